"""Which address a packet of ours bears: inet_select_addr and what asks it.

Law: a function of the configured links; nothing is remembered but the answers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ipkit.core.host.config import Address, Link
from ipkit.core.host.fib import SCOPE_HOST, SCOPE_LINK, SCOPE_UNIVERSE, FibResult, NextHop, Route, RouteFlag
from ipkit.core.host.fib_lookup import fib_lookup, is_zeronet
from ipkit.core.host.fib_rules import FibKey
from ipkit.core.host.fib_tables import FibTables
from ipkit.core.host.kernel import LocalnetSource
from ipkit.core.host.words import mask
from ipkit.core.route_flow import SMALLEST_IP_MTU, InputFlow
from ipkit.core.state.routing import Routing

NOT_OURS_ALONE: Final = RouteFlag.BROADCAST | RouteFlag.MULTICAST | RouteFlag.LOCAL


def has_ip_config(link: Link | None) -> bool:
    """Tell whether a link has an IPv4 side at all: the kernel takes it away below an MTU of 68."""
    return link is not None and link.mtu >= SMALLEST_IP_MTU


def covers(address: Address, other: int) -> bool:
    """Tell whether an address lies in the subnet of a configured one (inet_ifa_match)."""
    return not (address.peer ^ other) & mask(address.prefix_len)


def inet_addr_onlink(link: Link, one: int, other: int) -> bool:
    """Tell whether one subnet of a link covers both addresses; 0 is covered by all.

    Kernel: net/ipv4/devinet.c
    """
    return any(covers(address, one) and (not other or covers(address, other)) for address in link.addresses)


def inet_select_addr(tables: FibTables, dev: str, dst: int, scope: int) -> int:
    """Return the address of a link that suits a destination and a scope; another link's where it has none; else 0.

    Kernel: net/ipv4/devinet.c
    """
    links = tables.host.links
    link = links.get(dev)
    if link is not None and has_ip_config(link):
        widest = _widest_scope(tables, link)
        usable = [one for one in link.addresses if not one.secondary and min(one.scope, widest) <= scope]
        for address in usable:
            if not dst or covers(address, dst):
                return address.local
        if usable:
            return usable[0].local
    return _address_of_any_link(tables, tables.vrfs.get(dev, ""), scope)


def inet_confirm_addr(tables: FibTables, links: Iterable[Link], dst: int, local: int, scope: int) -> bool:
    """Tell whether links have an address in a scope: a given one whose subnet covers `dst`; 0: any, any.

    Kernel: net/ipv4/devinet.c
    """
    return any(_confirms(tables, link, dst, local, scope) for link in links if has_ip_config(link))


def _confirms(tables: FibTables, link: Link, dst: int, local: int, scope: int) -> bool:
    narrow = [one for one in link.addresses if min(one.scope, _widest_scope(tables, link)) <= scope]
    if not local:
        return any(not dst or covers(one, dst) for one in narrow)
    # Which subnet covers both need not be the one that the address itself was given with.
    return any(one.local == local for one in narrow) and any(
        covers(one, local) and (not dst or covers(one, dst)) for one in link.addresses
    )


def _widest_scope(tables: FibTables, link: Link) -> int:
    """Return the scope that an address of a link has at most."""
    capped = link.conf.route_localnet and tables.kernel.localnet_source is LocalnetSource.LINK_AT_MOST
    return SCOPE_LINK if capped else SCOPE_HOST


def _address_of_any_link(tables: FibTables, vrf: str, scope: int) -> int:
    """Return the first address on the VRF itself, or on the links of the same one in the order of their index."""
    links = sorted(tables.host.links.values(), key=lambda link: (link.name != vrf, link.ifindex))
    for link in links:
        if tables.vrfs.get(link.name, "") == vrf and has_ip_config(link):
            for address in link.addresses:
                if not address.secondary and address.scope != SCOPE_LINK and address.scope <= scope:
                    return address.local
    return 0


def nexthop_source(tables: FibTables, nexthop: NextHop, scope: int) -> int:
    """Return the source that goes with a next hop (fib_info_update_nhc_saddr)."""
    place = (nexthop.dev, nexthop.gateway, scope)
    known = tables.nexthop_sources.get(place)
    if known is None:
        known = tables.nexthop_sources[place] = inet_select_addr(tables, *place)
    return known


def fib_result_prefsrc(tables: FibTables, result: FibResult) -> int:
    """Return the source that a lookup's answer gives.

    Kernel: net/ipv4/fib_semantics.c
    """
    if result.entry is None or result.nexthop is None:
        return 0
    # A nexthop object chose its source when it was made: as for a route of the next wider scope.
    scope = max(0, result.nexthop.scope - 1) if result.entry.nhid else result.entry.scope
    return result.entry.prefsrc or nexthop_source(tables, result.nexthop, scope)


def fib_compute_spec_dst(routing: Routing, flow: InputFlow, route: Route) -> int:
    """Return which of our addresses a received packet was for: what options record and ICMP answers from.

    Kernel: net/ipv4/fib_frontend.c
    """
    if route.flags & NOT_OURS_ALONE == RouteFlag.LOCAL:
        return flow.daddr
    tables = routing.tables
    if is_zeronet(tables, flow.saddr):
        return inet_select_addr(tables, flow.iif, flow.saddr, SCOPE_LINK)
    link = routing.host.links[flow.iif]
    key = FibKey(
        flow.saddr,
        tos=flow.tos & tables.kernel.tos_key.value,
        iif=tables.loopback,
        mark=flow.mark if link.conf.src_valid_mark else 0,
        l3mdev=tables.vrfs.get(flow.iif, ""),
    )
    result = fib_lookup(tables, key)
    if not result.errno:
        return fib_result_prefsrc(tables, result)
    return inet_select_addr(tables, flow.iif, flow.saddr, SCOPE_UNIVERSE)


def ip_rt_get_source(routing: Routing, flow: InputFlow, route: Route) -> int:
    """Return the address that a packet on its way records: its source's where it is ours, else the outgoing side's.

    Kernel: net/ipv4/route.c
    """
    if route.iif is None:
        return flow.saddr
    tables = routing.tables
    tos = flow.tos & tables.kernel.tos_key.value
    found = fib_lookup(tables, FibKey(flow.daddr, flow.saddr, tos, flow.iif, route.dev, flow.mark))
    if not found.errno:
        return fib_result_prefsrc(tables, found)
    return inet_select_addr(tables, route.dev, route.gateway or flow.daddr, SCOPE_UNIVERSE)
