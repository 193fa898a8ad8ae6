"""Which of several next hops a packet takes: the flow hash, the bounds that weights set, the choice.

Law: reproducible. The same addresses, seed and weights choose the same way out on every machine; the hash is the one
that the kernel uses once net.ipv4.fib_multipath_hash_seed is set.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final, TypeAlias

from ipkit.core.host.fib import SCOPE_LINK, FibEntry, NextHop, NextHopFlag
from ipkit.core.host.fib_tables import FibTables
from ipkit.core.host.siphash import jhash_2words, siphash
from ipkit.core.wire.flow_keys import FlowKeys

NeighbourState: TypeAlias = Callable[[str, int], str]
"""Asks for the state of a neighbour by device and address, as iproute2 spells it; empty: there is no entry."""

VALID_STATES: Final = frozenset({"permanent", "noarp", "reachable", "probe", "stale", "delay"})

FIELD_SRC_IP: Final = 1
FIELD_DST_IP: Final = 2
FIELD_IP_PROTO: Final = 4
FIELD_FLOW_LABEL: Final = 8
FIELD_SRC_PORT: Final = 16
FIELD_DST_PORT: Final = 32
INNER_FIELDS_SHIFT: Final = 6
OUTER_FIELDS: Final = 0x3F


@lru_cache(maxsize=1 << 16)
def fib_multipath_hash_from_keys(seed: int, keys: FlowKeys) -> int:
    """Return the 32 bits that a flow hashes to, the same for both directions; never 0.

    Kernel: include/net/ip_fib.h, net/core/flow_dissector.c
    """
    addresses = sorted((keys.source, keys.destination), key=_address_order)
    ports = sorted((keys.sport.to_bytes(2, "big"), keys.dport.to_bytes(2, "big")), key=_little_endian)
    message = b"".join(
        (
            b"\0\0",
            bytes((keys.ip_proto, 0)),
            keys.flow_label.to_bytes(4, "little"),
            bytes(20),  # two VLAN tags and a key identifier, which no policy asks for
            *ports,
            bytes(4),
            *addresses,
        )
    )
    word = seed << 32 | seed
    return siphash((word, word), message + bytes(-len(message) % 8)) & 0xFFFFFFFF or 1


def _little_endian(field: bytes) -> int:
    return int.from_bytes(field, "little")


def _address_order(address: bytes) -> int:
    """IPv4 addresses are compared as this machine reads them, IPv6 addresses as bytes."""
    return int.from_bytes(address, "little" if len(address) == 4 else "big")


def chosen_fields(keys: FlowKeys, fields: int) -> FlowKeys:
    """Return the keys with everything blanked that fib_multipath_hash_fields leaves out."""
    nothing = bytes(len(keys.source))
    return FlowKeys(
        keys.source if fields & FIELD_SRC_IP else nothing,
        keys.destination if fields & FIELD_DST_IP else nothing,
        keys.ip_proto if fields & FIELD_IP_PROTO else 0,
        keys.sport if fields & FIELD_SRC_PORT else 0,
        keys.dport if fields & FIELD_DST_PORT else 0,
        keys.flow_label if fields & FIELD_FLOW_LABEL else 0,
    )


def fib_multipath_custom_hash_skb(seed: int, outer: FlowKeys, inner: FlowKeys | None, fields: int) -> int:
    """Return the hash over chosen fields of a forwarded packet, mixed from its outer and inner headers.

    Kernel: net/ipv4/route.c
    """
    hashes = [0, 0]
    if fields & OUTER_FIELDS:
        hashes[0] = fib_multipath_hash_from_keys(seed, chosen_fields(outer, fields & ~FIELD_FLOW_LABEL))
    if inner is not None and fields >> INNER_FIELDS_SHIFT:
        hashes[1] = fib_multipath_hash_from_keys(seed, chosen_fields(inner, fields >> INNER_FIELDS_SHIFT))
    return jhash_2words(hashes[0], hashes[1], 0)


def fib_multipath_custom_hash_fl4(seed: int, keys: FlowKeys, fields: int) -> int:
    """Return the hash over chosen fields of a locally made packet.

    Kernel: net/ipv4/route.c
    """
    if not fields & OUTER_FIELDS:
        return 0
    return fib_multipath_hash_from_keys(seed, chosen_fields(keys, fields & ~FIELD_FLOW_LABEL))


@lru_cache(maxsize=1024)
def fib_rebalance(weights: tuple[int, ...]) -> tuple[int, ...]:
    """Return up to which 31-bit hash each next hop is taken; -1 for those without weight, which are out.

    Kernel: net/ipv4/fib_semantics.c
    """
    total, so_far, bounds = sum(weights), 0, []
    for weight in weights:
        so_far += weight
        bounds.append(((so_far << 31) + total // 2) // total - 1 if weight else -1)
    return tuple(bounds)


def fib_select_multipath(
    tables: FibTables, entry: FibEntry, flow_hash: int, own_source: Sequence[bool], state_of: NeighbourState
) -> NextHop | None:
    """Return the next hop that a hash chooses; None: none is better than the first usable one.

    `own_source` says of each next hop whether the packet's source is the one it would give.
    Kernel: net/ipv4/fib_semantics.c, net/ipv4/nexthop.c
    """
    group = bool(entry.nhid)
    bounds = fib_rebalance(tuple(nexthop.weight if group else _weight(tables, nexthop) for nexthop in entry.nexthops))
    asks_neighbours = group or tables.host.net.fib_multipath_use_neigh
    best, best_score = None, -1
    for nexthop, bound, own in zip(entry.nexthops, bounds, own_source, strict=True):
        if bound < 0 or (asks_neighbours and not fib_good_nh(nexthop, state_of)):
            continue
        score = 2 * (own and not group) + (flow_hash <= bound)
        if score > best_score:
            best, best_score = nexthop, score
    return best


def _weight(tables: FibTables, nexthop: NextHop) -> int:
    """Return what a next hop weighs now: nothing while it is dead, or without carrier where that is minded."""
    if nexthop.flags & NextHopFlag.DEAD:
        return 0
    ignored = nexthop.flags & NextHopFlag.LINKDOWN and nexthop.dev in tables.carrier_minded
    return 0 if ignored else nexthop.weight


def fib_good_nh(nexthop: NextHop, state_of: NeighbourState) -> bool:
    """Tell whether the gateway's neighbour entry, if there is one, is valid.

    Kernel: net/ipv4/fib_semantics.c
    """
    if nexthop.scope != SCOPE_LINK or not nexthop.gateway:
        return True
    state = state_of(nexthop.dev, nexthop.gateway)
    return not state or state in VALID_STATES
