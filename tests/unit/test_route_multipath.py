"""What of a packet chooses among next hops, by policy; and what chooses among equal default routes."""

from __future__ import annotations

import pytest

from ipkit.core.host.fib import FibResult, NextHopFlag
from ipkit.core.host.multipath import fib_multipath_custom_hash_fl4, fib_multipath_hash_from_keys
from ipkit.core.host.siphash import jhash_2words
from ipkit.core.route_flow import Flow, InputFlow, OutputFlow
from ipkit.core.route_multipath import fib_multipath_hash, fib_select_default
from ipkit.core.state.routing import Routing, routing_of
from ipkit.core.wire.flow_keys import FlowKeys
from tests.support.packets import icmp, ip, udp
from tests.support.routes import hop, host, number, route

SEED = 12345
A, B = bytes([10, 0, 0, 5]), bytes([10, 1, 0, 5])
INNER_A, INNER_B = bytes([192, 0, 2, 1]), bytes([198, 51, 100, 2])


def routing(policy: int, fields: int = 7) -> Routing:
    net = {
        "fib_multipath_hash_policy": policy,
        "fib_multipath_hash_fields": fields,
        "fib_multipath_hash_seed": SEED,
    }
    return routing_of(host(net=net))


def came_in(data: bytes) -> InputFlow:
    return InputFlow(number("10.1.0.5"), number("10.0.0.5"), 0, "eth0", data=data)


def of(keys: FlowKeys) -> int:
    return fib_multipath_hash_from_keys(SEED, keys) >> 1


PLAIN = came_in(ip(udp(b"x", sport=1000, dport=53), src="10.0.0.5", dst="10.1.0.5"))
ERROR = came_in(ip(icmp(ip(udp(b"x")), kind=3), src="10.0.0.5", dst="10.1.0.5", proto=1))
TUNNEL = came_in(ip(ip(udp(b"x", sport=7, dport=8)), src="10.0.0.5", dst="10.1.0.5", proto=4))
SIX = came_in(
    ip(bytes.fromhex("60012345 0008 11 40") + bytes(15) + b"\1" + bytes(15) + b"\2" + bytes(8), src="10.0.0.5",
       dst="10.1.0.5", proto=41)
)  # fmt: skip
SIX_KEYS = FlowKeys(bytes(15) + b"\1", bytes(15) + b"\2", 17, flow_label=0x12345)
ASKED = OutputFlow(number("10.1.0.5"), number("10.0.0.5"), protocol=6, sport=1000, dport=53)


@pytest.mark.parametrize(
    ("policy", "flow", "keys"),
    [
        (0, PLAIN, FlowKeys(A, B)),
        (0, ERROR, FlowKeys(INNER_A, INNER_B)),
        (0, TUNNEL, FlowKeys(A, B)),
        (0, ASKED, FlowKeys(A, B)),
        (1, PLAIN, FlowKeys(A, B, 17, 1000, 53)),
        (1, ERROR, FlowKeys(A, B, 1)),
        (1, TUNNEL, FlowKeys(A, B, 4)),
        (1, ASKED, FlowKeys(A, B, 6, 1000, 53)),
        (2, PLAIN, FlowKeys(A, B)),
        (2, TUNNEL, FlowKeys(INNER_A, INNER_B)),
        (2, SIX, SIX_KEYS),
        (2, ASKED, FlowKeys(A, B)),
    ],
)
def test_what_each_policy_looks_at(policy: int, flow: Flow, keys: FlowKeys) -> None:
    assert fib_multipath_hash(routing(policy), flow) == of(keys)


def test_policy_three_mixes_outer_and_inner_headers() -> None:
    outer = fib_multipath_hash_from_keys(SEED, FlowKeys(A, B, 4))
    inner = fib_multipath_hash_from_keys(SEED, FlowKeys(INNER_A, bytes(4), 0, 0, 8))
    fields = 7 | 1 << 6 | 1 << 11
    assert fib_multipath_hash(routing(3, fields), TUNNEL) == jhash_2words(outer, inner, 0) >> 1
    alone = fib_multipath_hash_from_keys(SEED, FlowKeys(A, B, 17))
    assert fib_multipath_hash(routing(3, fields), PLAIN) == jhash_2words(alone, 0, 0) >> 1


def test_policy_three_of_our_own_packets_is_not_mixed() -> None:
    expected = fib_multipath_custom_hash_fl4(SEED, FlowKeys(A, B, 6, 1000, 53), 0x37) >> 1
    assert fib_multipath_hash(routing(3, 0x37), ASKED) == expected == of(FlowKeys(A, B, 6, 1000, 53))


FIRST = route("0.0.0.0/0", hop("eth0", "10.0.0.9"))
SECOND = route("0.0.0.0/0", hop("eth1", "10.1.0.9"))


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ([SECOND], "eth1"),
        ([route("0.0.0.0/0", hop("eth1", "10.1.0.9"), priority=5)], "eth0"),
        ([route("0.0.0.0/0", hop("eth1"))], "eth0"),  # no gateway
        ([route("0.0.0.0/0", hop("eth1", "10.1.0.9"), scope=200)], "eth0"),
        ([route("0.0.0.0/0", hop("eth1", "10.1.0.9", flags=NextHopFlag.DEAD))], "eth0"),
        ([route("0.0.0.0/0", hop("eth1", "10.1.0.9"), tos=0x10)], "eth0"),
        ([route("0.0.0.0/0", hop("eth2", "10.2.0.9")), SECOND], "eth1"),
    ],
)
def test_which_default_route_stands_in_for_one_whose_gateway_is_gone(others: list[object], expected: str) -> None:
    gone = {("eth0", number("10.0.0.9")): "failed", ("eth2", number("10.2.0.9")): "incomplete"}
    entries = [FIRST, *others]
    asking = routing_of(host(entries), state_of=lambda dev, gateway: gone.get((dev, gateway), ""))  # type: ignore[arg-type]
    found = FibResult(0, FIRST, FIRST.nexthops[0], table=254)
    chosen = fib_select_default(asking, found, 0)
    assert chosen.nexthop is not None
    assert chosen.nexthop.dev == expected


def test_a_default_route_that_was_found_by_its_tos_has_no_rivals_of_worse_metric() -> None:
    special = route("0.0.0.0/0", hop("eth0", "10.0.0.9"), tos=0x10)
    worse = route("0.0.0.0/0", hop("eth1", "10.1.0.9"), tos=0x10, priority=5)
    plain = route("0.0.0.0/0", hop("eth2", "10.2.0.9"))
    asking = routing_of(host([special, worse, plain]), state_of=lambda dev, _gateway: "failed" if dev == "eth0" else "")
    chosen = fib_select_default(asking, FibResult(0, special, special.nexthops[0], table=254), 0x10)
    assert chosen.nexthop is not None
    assert chosen.nexthop.dev == "eth2"
