"""The choice among next hops: hash, bounds, choice; the kernel's own choices are in test_route_recordings.py."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from ipkit.core.host.fib import NextHop, NextHopFlag
from ipkit.core.host.fib_tables import FibTables
from ipkit.core.host.multipath import (
    chosen_fields,
    fib_multipath_custom_hash_fl4,
    fib_multipath_custom_hash_skb,
    fib_multipath_hash_from_keys,
    fib_rebalance,
    fib_select_multipath,
)
from ipkit.core.host.siphash import jhash_2words, siphash
from ipkit.core.wire.flow_keys import FlowKeys
from tests.support.routes import hop, host, link, number, route

# The 64 answers published with SipHash begin with these; key 00 01 .. 0f, message 00 01 .. n.
PUBLISHED = ["310e0edd47db6f72", "fd67dc93c539f874", "5a4fa9d909806c0d", "2d7efbd796666785", "b7877127e09427cf",
             "8da699cd64557618", "cee3fe586e46c9cb", "37d1018bf50002ab", "6224939a79f5f593"]  # fmt: skip


@pytest.mark.parametrize(("length", "expected"), list(enumerate(PUBLISHED)))
def test_siphash_gives_the_published_answers(length: int, expected: str) -> None:
    key = (0x0706050403020100, 0x0F0E0D0C0B0A0908)
    assert siphash(key, bytes(range(length))).to_bytes(8, "little").hex() == expected


def test_siphash_of_the_worked_example_in_its_paper() -> None:
    assert siphash((0x0706050403020100, 0x0F0E0D0C0B0A0908), bytes(range(15))) == 0xA129CA6149BE45E5


def test_jhash_mixes_both_words() -> None:
    answers = {jhash_2words(a, b, 0) for a in range(4) for b in range(4)}
    assert len(answers) == 16
    assert all(0 <= answer < 1 << 32 for answer in answers)


@pytest.mark.parametrize(
    ("weights", "bounds"),
    [
        ((1,), (2147483647,)),
        ((1, 1), (1073741823, 2147483647)),
        ((1, 3), (536870911, 2147483647)),
        ((1, 1, 1), (715827882, 1431655764, 2147483647)),
        ((0, 1, 1), (-1, 1073741823, 2147483647)),
        ((256, 1), (2139127679, 2147483647)),
    ],
)
def test_the_bounds_that_weights_set(weights: tuple[int, ...], bounds: tuple[int, ...]) -> None:
    assert fib_rebalance(weights) == bounds


def test_bounds_only_rise() -> None:
    bounds = fib_rebalance(tuple(range(1, 257)))
    assert all(low < high for low, high in pairwise(bounds))
    assert bounds[-1] == (1 << 31) - 1


KEYS = FlowKeys(bytes([10, 0, 0, 5]), bytes([10, 1, 0, 7]), 17, 1000, 53)


def test_both_directions_hash_alike_and_another_seed_does_not() -> None:
    back = FlowKeys(KEYS.destination, KEYS.source, 17, 53, 1000)
    forward = fib_multipath_hash_from_keys(12345, KEYS)
    assert forward == fib_multipath_hash_from_keys(12345, back)
    assert forward != fib_multipath_hash_from_keys(12346, KEYS)
    assert forward != fib_multipath_hash_from_keys(12345, KEYS._replace(ip_proto=6))


def test_ipv6_inside_a_tunnel_hashes_by_its_addresses_and_label() -> None:
    inner = FlowKeys(bytes(range(16)), bytes(range(16, 32)), 6, 0, 0, 5)
    answers = {
        fib_multipath_hash_from_keys(1, keys)
        for keys in (inner, inner._replace(flow_label=6), inner._replace(source=bytes(16)))
    }
    assert len(answers) == 3
    back = inner._replace(source=inner.destination, destination=inner.source)
    assert fib_multipath_hash_from_keys(1, back) in answers


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        (1, FlowKeys(KEYS.source, bytes(4))),
        (2, FlowKeys(bytes(4), KEYS.destination)),
        (7, FlowKeys(KEYS.source, KEYS.destination, 17)),
        (0x37, KEYS),
        (0x20, FlowKeys(bytes(4), bytes(4), 0, 0, 53)),
    ],
)
def test_the_fields_that_a_custom_hash_sees(fields: int, kept: FlowKeys) -> None:
    assert chosen_fields(KEYS, fields) == kept
    assert fib_multipath_custom_hash_fl4(9, KEYS, fields) == fib_multipath_hash_from_keys(9, kept)
    assert fib_multipath_custom_hash_skb(9, KEYS, None, fields) == jhash_2words(
        fib_multipath_hash_from_keys(9, kept), 0, 0
    )


def test_a_custom_hash_of_inner_fields_needs_a_tunnel() -> None:
    inner = KEYS._replace(sport=7)
    assert fib_multipath_custom_hash_skb(9, KEYS, None, 0x40) == jhash_2words(0, 0, 0)
    expected = jhash_2words(0, fib_multipath_hash_from_keys(9, FlowKeys(inner.source, bytes(4))), 0)
    assert fib_multipath_custom_hash_skb(9, KEYS, inner, 0x40) == expected
    assert fib_multipath_custom_hash_fl4(9, KEYS, 0x40) == 0


A = hop("eth0", "10.0.0.9")
B = hop("eth1", "10.1.0.9", weight=3)
C = hop("eth1", "10.1.0.8")
GATEWAYS = {number("10.0.0.9"): "A", number("10.1.0.9"): "B", number("10.1.0.8"): "C"}


def chosen(hops: list[NextHop], flow_hash: int, own: list[bool] | None = None, nhid: int = 0, **states: str) -> str:
    """Choose; `states` says what is known of the neighbours A, B and C, and brings the sysctl that asks for it."""
    conf = {"ignore_routes_with_linkdown": 1}
    links = [link("eth0", 2, conf=conf), link("eth1", 3)]
    tables = FibTables(host(links=links, net={"fib_multipath_use_neigh": int(bool(states))}))
    entry = route("10.2.0.0/16", *hops, nhid=nhid)
    best = fib_select_multipath(
        tables, entry, flow_hash, own or [False] * len(hops), lambda _dev, gateway: states.get(GATEWAYS[gateway], "")
    )
    return GATEWAYS[best.gateway] if best else "none"


def marked(nexthop: NextHop, flags: NextHopFlag) -> NextHop:
    return replace(nexthop, flags=flags)


@pytest.mark.parametrize(("flow_hash", "expected"), [(0, "A"), (536870911, "A"), (536870912, "B"), (2147483647, "B")])
def test_the_first_whose_bound_is_not_below_the_hash(flow_hash: int, expected: str) -> None:
    assert chosen([A, B], flow_hash) == expected


def test_dead_ones_are_out_and_those_without_carrier_where_that_is_minded() -> None:
    assert chosen([marked(A, NextHopFlag.DEAD), B], 0) == "B"
    assert chosen([marked(A, NextHopFlag.LINKDOWN), B], 0) == "B"
    assert chosen([A, marked(B, NextHopFlag.LINKDOWN)], 2147483647) == "B"


@pytest.mark.parametrize(
    ("own", "flow_hash", "expected"),
    [
        ([False, True, False], 0, "B"),
        ([False, True, True], 0, "B"),
        ([False, True, True], 2147483647, "C"),
        ([True, False, False], 2147483647, "A"),
    ],
)
def test_a_next_hop_whose_own_source_the_packet_has_comes_first(own: list[bool], flow_hash: int, expected: str) -> None:
    assert chosen([A, B, C], flow_hash, own) == expected


def test_a_gateway_known_to_be_gone_is_passed_over() -> None:
    assert chosen([A, B], 0, A="failed") == "B"
    assert chosen([A, B], 0, A="stale") == "A"
    assert chosen([A, B], 2147483647, B="incomplete") == "A"
    assert chosen([A, B], 0, A="failed", B="failed") == "none"


def test_a_group_of_nexthop_objects_always_asks_for_neighbours() -> None:
    assert chosen([A, B], 0, nhid=5, A="failed") == "B"
