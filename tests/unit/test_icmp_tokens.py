"""The buckets of ICMP messages, and the numbers of our own packets."""

from __future__ import annotations

import pytest

from ipkit.core.host.sysctl import NetConf
from ipkit.core.state.icmp_tokens import MOST_PEERS, IcmpTokens
from ipkit.core.state.ip_ident import IpIdents

SECOND = 1_000_000_000
NET = NetConf()
COST = 250  # a message, in ticks of 4 ms
PEER = (0xC0000209, "")


def sent(tokens: IcmpTokens, now_ns: int, times: int, peer: tuple[int, str] = PEER) -> int:
    return sum(tokens.peer_allow(peer, now_ns, COST, 6 * COST) for _ in range(times))


@pytest.mark.parametrize("start", [0, -5 * SECOND, 1_700_000_000 * SECOND])
def test_a_destination_gets_six_at_once_and_one_a_second(start: int) -> None:
    tokens = IcmpTokens()
    assert sent(tokens, start, 10) == 6
    assert sent(tokens, start + SECOND - 5_000_000, 3) == 0
    assert sent(tokens, start + SECOND, 3) == 1
    assert sent(tokens, start + 4 * SECOND, 9) == 3
    assert sent(tokens, start + 100 * SECOND, 9) == 6


def test_destinations_and_vrfs_have_their_own() -> None:
    tokens = IcmpTokens()
    assert [sent(tokens, 0, 9, peer) for peer in (PEER, (1, ""), (1, "blue"))] == [6, 6, 6]


def test_a_clock_that_turns_back_gives_nothing() -> None:
    tokens = IcmpTokens()
    assert sent(tokens, 10 * SECOND, 9) == 6
    assert sent(tokens, 5 * SECOND, 9) == 0
    assert sent(tokens, 11 * SECOND, 9) == 1


def test_costs_of_another_kind_draw_on_the_same_bucket() -> None:
    tokens = IcmpTokens()
    assert sent(tokens, 0, 6) == 6
    assert not tokens.peer_allow(PEER, SECOND // 2, 250, 1250)
    assert tokens.peer_allow((7, ""), 0, 250, 1250)


def global_sent(tokens: IcmpTokens, now_ns: int, times: int, net: NetConf = NET) -> int:
    count = 0
    for _ in range(times):
        if tokens.global_allow(now_ns, net):
            tokens.global_consume()
            count += 1
    return count


def test_the_host_sends_fifty_at_once_and_a_thousand_a_second() -> None:
    tokens = IcmpTokens()
    assert global_sent(tokens, 0, 99) == 50
    assert global_sent(tokens, 19_000_000, 99) == 0
    assert global_sent(tokens, 20_000_000, 99) == 20
    assert global_sent(tokens, 40_000_000, 5) == 5
    assert global_sent(tokens, 10 * SECOND, 99) == 50


def test_a_host_that_may_send_nothing() -> None:
    assert global_sent(IcmpTokens(), 0, 9, NetConf(icmp_msgs_per_sec=0)) == 0
    assert global_sent(IcmpTokens(), 0, 9, NetConf(icmp_msgs_burst=0)) == 0


def test_a_flood_of_destinations_leaves_nothing_behind() -> None:
    tokens = IcmpTokens()
    for number in range(50_000):
        tokens.peer_allow((number, ""), number * SECOND // 10, COST, 6 * COST)
    assert tokens.destinations < 3000


def test_a_flood_in_one_moment_is_bounded() -> None:
    tokens = IcmpTokens()
    for number in range(MOST_PEERS * 2):
        tokens.peer_allow((number, ""), 0, COST, 6 * COST)
        assert tokens.destinations <= MOST_PEERS
    assert tokens.destinations >= MOST_PEERS // 2


def test_numbers_run_on_for_the_same_addresses_and_protocol() -> None:
    idents = IpIdents(seed=1)
    first = idents.reserve(1, 2, 1)
    assert idents.reserve(1, 2, 1, segments=3) == (first + 1) & 0xFFFF
    assert idents.reserve(1, 2, 1) == (first + 4) & 0xFFFF


def test_numbers_are_the_seeds() -> None:
    def start(seed: int) -> list[int]:
        idents = IpIdents(seed)
        return [idents.reserve(1, 2, protocol) for protocol in range(20)]

    assert start(1) == start(1)
    assert start(1) != start(2)
    assert len(set(start(1))) > 15


def test_numbers_wrap() -> None:
    idents = IpIdents()
    numbers = [idents.reserve(1, 2, 1, segments=0x8000) for _ in range(4)]
    assert len(set(numbers)) == 2
    assert max(numbers) < 0x10000
