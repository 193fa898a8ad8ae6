"""Whether the kernel would take a route, and what it makes of its ways out.

Law: judges and completes one route against tables that already hold everything of narrower scope; what is said of a
refusal is why, in one sentence. Prefix and length are not looked at: one ending of many lines is judged once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from ipkit.core.host.config import Link, LinkKind, Trust
from ipkit.core.host.fib import (
    SCOPE_HOST,
    SCOPE_LINK,
    SCOPE_NOWHERE,
    SCOPE_UNIVERSE,
    TABLE_DEFAULT,
    TABLE_LOCAL,
    TABLE_MAIN,
    FibEntry,
    NextHop,
    NextHopFlag,
    RouteType,
)
from ipkit.core.host.fib_draft import FibDraft
from ipkit.core.host.kernel import EcnInTos, GatewayFamily, KernelProfile, ZeroNet
from ipkit.core.host.nexthop_words import NexthopWords
from ipkit.core.host.route_words import LEAST_SCOPE, HopWords, RouteWords
from ipkit.core.host.words import ALL_ONES, WordError, scope_text
from ipkit.core.wire.ipv4 import address_text

REJECTING: Final = frozenset({RouteType.BLACKHOLE, RouteType.UNREACHABLE, RouteType.PROHIBIT, RouteType.THROW})
ECN_BITS: Final = 0x03
NEXTHOP_OBJECT: Final = RouteWords(table=TABLE_MAIN, scope=SCOPE_UNIVERSE)
"""As what a nexthop object is judged, whatever the route that uses it."""


@dataclass(frozen=True)
class Surroundings:
    """What a route is judged against."""

    kernel: KernelProfile
    links: Mapping[str, Link]
    draft: FibDraft
    nexthops: Mapping[int, NexthopWords] = field(default_factory=dict)
    trust: Trust = Trust.JUDGED

    @cached_property
    def has_vrf(self) -> bool:
        """Tell whether one of the links is a VRF."""
        return any(link.kind is LinkKind.VRF for link in self.links.values())

    def l3mdev_table(self, dev: str) -> int:
        """Return the table of the VRF that a link is or belongs to; 0: none."""
        link = self.links.get(dev)
        if link is None:
            return 0
        return link.vrf_table or (self.links[link.master].vrf_table if link.master else 0)

    def lookup_order(self, dev: str) -> Sequence[Sequence[int]]:
        """Return the tables that are asked for a gateway, those that are one trie together."""
        if self.has_vrf:
            own = self.l3mdev_table(dev)
            return ((TABLE_LOCAL,), *(((own,),) if own else ()), (TABLE_MAIN,), (TABLE_DEFAULT,))
        return ((TABLE_LOCAL, TABLE_MAIN), (TABLE_DEFAULT,))


def fib_create_info(words: RouteWords, around: Surroundings) -> FibEntry:
    """Return the entry that a line's ending makes, its prefix left open; WordError where the kernel refuses it.

    Kernel: net/ipv4/fib_semantics.c
    """
    kind: RouteType = words.type
    hops: Sequence[HopWords] = words.hops
    if words.tos & ECN_BITS and around.kernel.ecn_in_tos is EcnInTos.REFUSED:
        raise WordError("the two ECN bits of a TOS must be 0")
    if words.scope > SCOPE_HOST or words.scope < LEAST_SCOPE.get(kind, SCOPE_UNIVERSE):
        raise WordError(f"scope {scope_text(words.scope)} cannot be that of a {kind.name.lower()} route")
    ground = words
    if words.nhid:
        kind, hops = _of_nexthop(words, around)
        ground = NEXTHOP_OBJECT
    nexthops: tuple[NextHop, ...] = ()
    if kind in REJECTING:
        if hops:
            raise WordError(f"a {kind.name.lower()} route has neither gateway nor device")
    elif kind is RouteType.NAT:
        nexthops = tuple(NextHop(_link(hop.dev or "lo", around).name, hop.gateway) for hop in hops)
    elif not hops:
        raise WordError("neither gateway nor device")
    elif words.scope == SCOPE_HOST and not words.nhid:
        nexthops = (_of_host_scope(hops, around),)
    else:
        nexthops = tuple(fib_check_nh(hop, ground, around) for hop in hops)
    return FibEntry(
        prefix=0,
        length=0,
        table=words.table,
        type=kind,
        nexthops=nexthops,
        tos=words.tos,
        priority=words.priority,
        scope=words.scope,
        protocol=words.protocol,
        prefsrc=words.prefsrc,
        metrics=words.metrics,
        nhid=words.nhid,
    )


def prefsrc_is_local(entry: FibEntry, around: Surroundings) -> bool:
    """Tell whether the source that a route prefers is one of the host's own, or what the route makes its own."""
    if not entry.prefsrc or (entry.type is RouteType.LOCAL and entry.prefsrc == entry.prefix):
        return True
    tables = {TABLE_LOCAL if entry.table == TABLE_MAIN else entry.table, TABLE_LOCAL}
    return any(_type_in(table, entry.prefsrc, around) is RouteType.LOCAL for table in tables)


def _of_nexthop(words: RouteWords, around: Surroundings) -> tuple[RouteType, Sequence[HopWords]]:
    """Return what a nexthop id stands for; a dump that comes without its objects repeats it behind the id."""
    known = around.nexthops.get(words.nhid)
    if known is None:
        if words.type is RouteType.BLACKHOLE:
            return words.type, ()
        if not words.hops:
            raise WordError(f"there is no nexthop {words.nhid}")
        return words.type, words.hops
    members = [around.nexthops[name] for name, _ in known.group] or [known]
    _check_nexthop_scope(members[0].hop or HopWords(), words.scope)
    if any(member.blackhole for member in members):
        return RouteType.BLACKHOLE, ()
    weights = [weight for _, weight in known.group] or [1]
    hops = [_weighted(member, weight) for member, weight in zip(members, weights, strict=True)]
    if words.hops and {_way(hop) for hop in words.hops} - {_way(hop) for hop in hops}:
        raise WordError(f"nexthop {words.nhid} leads elsewhere")
    return words.type, hops


def _check_nexthop_scope(first: HopWords, scope: int) -> None:
    if scope == SCOPE_HOST and (first.gateway or first.gateway6):
        raise WordError("a route of scope host cannot have a gateway")
    if scope >= SCOPE_LINK and first.flags & NextHopFlag.ONLINK:
        raise WordError(f"onlink and scope {scope_text(scope)}")


def _weighted(member: NexthopWords, weight: int) -> HopWords:
    hop = member.hop or HopWords()
    return HopWords(hop.gateway, hop.gateway6, hop.dev, weight, hop.flags)


def _way(hop: HopWords) -> tuple[int, str, str]:
    return hop.gateway, hop.gateway6, hop.dev


def _of_host_scope(hops: Sequence[HopWords], around: Surroundings) -> NextHop:
    """Return the way out of a route that ends in this host."""
    if len(hops) > 1:
        raise WordError("a route of scope host has only one way")
    if hops[0].gateway or hops[0].gateway6:
        raise WordError("a route of scope host cannot have a gateway")
    link = _link(hops[0].dev, around)
    return NextHop(link.name, scope=SCOPE_NOWHERE)


def fib_check_nh(hop: HopWords, words: RouteWords, around: Surroundings) -> NextHop:
    """Return one way out with the scope and the device that the kernel finds for it.

    Kernel: net/ipv4/fib_semantics.c
    """
    if hop.gateway6:
        if around.kernel.gateway_family is GatewayFamily.IPV4:
            raise WordError(f"via inet6: kernel {around.kernel.name} does not have it")
        return _made(hop, _link(hop.dev, around), SCOPE_LINK, around)
    if not hop.gateway:
        if hop.flags & (NextHopFlag.ONLINK | NextHopFlag.PERVASIVE):
            raise WordError("onlink and pervasive need a gateway")
        return _made(hop, _link(hop.dev, around), SCOPE_HOST, around)
    if hop.flags & NextHopFlag.ONLINK:
        return _onlink(hop, words, around)
    return _resolved(hop, words, around)


def _onlink(hop: HopWords, words: RouteWords, around: Surroundings) -> NextHop:
    if words.scope >= SCOPE_LINK:
        raise WordError(f"a gateway and scope {scope_text(words.scope)}")
    if not hop.dev:
        raise WordError("onlink needs a device")
    link = _link(hop.dev, around)
    kind = _inet_addr_type_dev_table(hop.gateway, hop.dev, around)
    if kind is not RouteType.UNICAST and around.trust is Trust.JUDGED:
        raise WordError(f"the gateway {address_text(hop.gateway)} is of type {kind.name.lower()}")
    return _made(hop, link, SCOPE_LINK, around)


def _resolved(hop: HopWords, words: RouteWords, around: Surroundings) -> NextHop:
    """Find the link that reaches a gateway: in the route's own table, then as any packet would."""
    if hop.dev:
        _link(hop.dev, around)
    scope = max(words.scope + 1, SCOPE_LINK)
    own = () if words.table in (TABLE_MAIN, TABLE_LOCAL) else ((words.table,),)
    gateway = address_text(hop.gateway)
    for tables in (*own, *around.lookup_order(hop.dev)):
        found = around.draft.lookup(tables, hop.gateway, scope, hop.dev)
        if found is None:
            continue
        if found.entry.type not in (RouteType.UNICAST, RouteType.LOCAL):
            if around.trust is Trust.ACCEPTED:
                break
            raise WordError(f"the gateway {gateway} is a {found.entry.type.name.lower()} address")
        return _made(hop, around.links[found.nexthop.dev], found.entry.scope, around)
    if around.trust is Trust.ACCEPTED:
        return _made(hop, _link(hop.dev or _first_card(around.links), around), SCOPE_LINK, around)
    raise WordError(f"no link that is up reaches the gateway {gateway}{f' through {hop.dev}' if hop.dev else ''}")


def _first_card(links: Mapping[str, Link]) -> str:
    return next((name for name, link in links.items() if link.kind is not LinkKind.LOOPBACK), "")


def _made(hop: HopWords, link: Link, scope: int, around: Surroundings) -> NextHop:
    if not link.up and around.trust is Trust.JUDGED:
        raise WordError(f"the link {link.name} is down")
    flags = hop.flags
    if not link.carrier:  # dumps also say dead where only ignore_routes_with_linkdown says so
        flags = flags & ~NextHopFlag.DEAD | NextHopFlag.LINKDOWN
    return NextHop(link.name, hop.gateway, hop.weight, scope, flags, hop.gateway6)


def _link(dev: str, around: Surroundings) -> Link:
    if not dev:
        raise WordError("no device")
    if dev not in around.links:
        raise WordError(f"there is no link {dev}")
    return around.links[dev]


def _inet_addr_type_dev_table(address: int, dev: str, around: Surroundings) -> RouteType:
    """Return what kind of address this host takes one for; of the device only its VRF counts."""
    zeronet = address >> 24 == 0 if around.kernel.zeronet is ZeroNet.WHOLE_PREFIX else address == 0
    if zeronet or address == ALL_ONES:
        return RouteType.BROADCAST
    if address >> 28 == 0xE:
        return RouteType.MULTICAST
    return _type_in(around.l3mdev_table(dev) or TABLE_LOCAL, address, around)


def _type_in(table: int, address: int, around: Surroundings) -> RouteType:
    """Return the type that a table gives an address; local and main are one trie while there are no rules."""
    tables = around.lookup_order("")[0] if table == TABLE_LOCAL else (table,)
    for entry in around.draft.covering(tables, address):
        if entry.tos:
            continue
        if not entry.nexthops:
            break
        if any(_is_good(hop, around) for hop in entry.nexthops):
            return entry.type
    return RouteType.UNICAST


def _is_good(hop: NextHop, around: Surroundings) -> bool:
    """Tell whether a packet could leave this way as things are (fib_lookup_good_nhc)."""
    ignored = hop.flags & NextHopFlag.LINKDOWN and around.links[hop.dev].conf.ignore_routes_with_linkdown
    return not (hop.flags & NextHopFlag.DEAD or ignored)
