"""Where a packet of this host goes, and which source it bears.

Law: an answer and no action. The source of the answer is `prefsrc`; a packet to 0.0.0.0 goes to that address, too.
"""

from __future__ import annotations

from errno import EINVAL, ENETUNREACH, ENODEV
from typing import NamedTuple

from ipkit.core.host.config import Link, LinkKind
from ipkit.core.host.fib import SCOPE_HOST, SCOPE_LINK, FibResult, Route, RouteFlag, RouteType
from ipkit.core.host.fib_explain import Trace
from ipkit.core.host.fib_lookup import LIMITED_BROADCAST, fib_lookup, ip_dev_find, is_zeronet, l3mdev_update_flow
from ipkit.core.host.fib_rules import FibKey
from ipkit.core.host.kernel import ForeignSource, MultipathSource, OutputBroadcast
from ipkit.core.outcome.facts import Fact
from ipkit.core.route_entry import rt_set_nexthop
from ipkit.core.route_flow import (
    LOOPBACK_ADDRESS,
    OutputFlow,
    Refused,
    is_local_multicast,
    is_loopback,
    is_multicast,
)
from ipkit.core.route_input import BROADCAST_HERE, GROUP_HERE, ip_check_mc_rcu
from ipkit.core.route_multipath import chosen_nexthop, fib_select_default
from ipkit.core.route_source import fib_result_prefsrc, has_ip_config, inet_select_addr, nexthop_source
from ipkit.core.state.routing import Routing
from ipkit.core.wire.ipv4 import PROTO_IGMP, address_text


class _Way(NamedTuple):
    """What is settled before the route itself is made."""

    flow: OutputFlow  # source and destination filled in
    dev: str
    type: RouteType = RouteType.UNICAST
    flags: RouteFlag = RouteFlag.NONE
    found: FibResult | None = None
    multipath: bool = False


def ip_route_output_key(flow: OutputFlow, routing: Routing, trace: Trace | None = None) -> Route | Refused:
    """Decide where a packet of ours goes.

    Kernel: net/ipv4/route.c
    """
    way = _without_lookup(flow, routing)
    if isinstance(way, OutputFlow):
        way = _looked_up(way, routing, trace)
    if isinstance(way, Refused):
        return way
    if trace is not None:
        source = address_text(way.flow.saddr)
        trace.append(Fact("ip_route_output_key_hash_rcu", f"source {source}, by {way.dev}", {"prefsrc": source}))
    return _mkroute_output(way, routing)


def _without_lookup(flow: OutputFlow, routing: Routing) -> _Way | Refused | OutputFlow:
    """Settle what needs no table; else return the flow with the source that its device gives."""
    if flow.saddr:
        settled = _by_source(flow, routing)
        if settled is not None:
            return settled
    if flow.oif:
        by_device = _by_device(flow, routing)
        if not isinstance(by_device, OutputFlow):
            return by_device
        flow = by_device
    if not flow.daddr:
        address = flow.saddr or LOOPBACK_ADDRESS
        here = flow._replace(daddr=address, saddr=address)
        return _Way(here, routing.tables.loopback, RouteType.LOCAL, RouteFlag.LOCAL)
    return flow


def _by_source(flow: OutputFlow, routing: Routing) -> _Way | Refused | None:
    """Refuse a source that cannot be; let an own one name the device for what goes to everybody."""
    tables = routing.tables
    if is_multicast(flow.saddr) or flow.saddr == LIMITED_BROADCAST or is_zeronet(tables, flow.saddr):
        return Refused(EINVAL)
    owner = ip_dev_find(tables, flow.saddr)
    to_everybody = not flow.oif and (is_multicast(flow.daddr) or flow.daddr == LIMITED_BROADCAST)
    if owner is None and (to_everybody or not flow.any_source):
        return Refused(EINVAL if tables.kernel.foreign_source is ForeignSource.EINVAL else ENETUNREACH)
    return _Way(flow, owner) if to_everybody and owner is not None else None


def _by_device(flow: OutputFlow, routing: Routing) -> _Way | Refused | OutputFlow:
    """Refuse a device that cannot send; settle what never leaves its link; else let it give the source."""
    link = routing.host.links.get(flow.oif)
    if link is None:
        return Refused(ENODEV)
    if not link.up or not has_ip_config(link):
        return Refused(ENETUNREACH)
    scope = _scope_of_source(flow)
    if not flow.saddr and scope is not None:
        flow = flow._replace(saddr=inet_select_addr(routing.tables, flow.oif, 0, scope))
    return _Way(flow, flow.oif) if _stays_on_link(flow) else flow


def _stays_on_link(flow: OutputFlow) -> bool:
    return is_local_multicast(flow.daddr) or flow.daddr == LIMITED_BROADCAST or flow.protocol == PROTO_IGMP


def _scope_of_source(flow: OutputFlow) -> int | None:
    """Return the scope of the source that a device gives; None: the lookup gives it."""
    if _stays_on_link(flow):
        return SCOPE_LINK
    if is_multicast(flow.daddr):
        return flow.scope
    return None if flow.daddr else SCOPE_HOST


def _looked_up(flow: OutputFlow, routing: Routing, trace: Trace | None) -> _Way | Refused:
    """Ask the tables, and take the device's word for it where they know nothing."""
    tables = routing.tables
    key = _output_key(flow, routing)
    found = fib_lookup(tables, key, trace)
    if found.errno or found.entry is None or found.nexthop is None:
        if not key.oif or (key.l3mdev and not is_multicast(flow.daddr)):
            return Refused(found.errno, found=found)
        source = flow.saddr or inet_select_addr(tables, flow.oif, 0, SCOPE_LINK)
        if trace is not None:
            trace.append(Fact("ip_route_output_key_hash_rcu", f"taken to be on link {flow.oif}", {"dev": flow.oif}))
        return _Way(flow._replace(saddr=source), flow.oif)
    kind = found.entry.type
    if kind is RouteType.LOCAL:
        source = flow.saddr or found.entry.prefsrc or flow.daddr
        dev = tables.vrfs.get(found.nexthop.dev) or tables.loopback
        return _Way(flow._replace(saddr=source), dev, kind, RouteFlag.LOCAL, found)
    several = not key.oif and len(found.entry.nexthops) > 1
    if not key.oif:
        found = _selected(flow, routing, found, trace)
    source = flow.saddr or _source_of(routing, found, key.l3mdev)
    dev = found.nexthop.dev if found.nexthop is not None else ""
    return _Way(flow._replace(saddr=source), dev, kind, RouteFlag.NONE, found, several)


def _output_key(flow: OutputFlow, routing: Routing) -> FibKey:
    tables = routing.tables
    key = FibKey(
        flow.daddr,
        flow.saddr,
        flow.tos & tables.kernel.tos_key.value,
        tables.loopback,
        flow.oif,
        flow.mark,
        flow.protocol,
        flow.sport,
        flow.dport,
        flow.uid,
        flow.scope,
    )
    return l3mdev_update_flow(tables, key) if tables.has_custom_rules else key


def _selected(flow: OutputFlow, routing: Routing, found: FibResult, trace: Trace | None) -> FibResult:
    """Choose among several next hops, or among several default routes (fib_select_path)."""
    entry = found.entry
    if entry is None or len(entry.nexthops) < 2:
        return fib_select_default(routing, found, flow.tos)
    prefers_own = flow.saddr and routing.tables.kernel.multipath_source is MultipathSource.PREFERS_OWN
    own = [
        bool(prefers_own) and nexthop_source(routing.tables, nexthop, entry.scope) == flow.saddr
        for nexthop in entry.nexthops
    ]
    return found._replace(nexthop=chosen_nexthop(routing, flow, found, own, trace))


def _source_of(routing: Routing, found: FibResult, vrf: str) -> int:
    """Return the source that the answer gives, or the VRF's own where the way leads out of it."""
    tables = routing.tables
    leaves_vrf = vrf and found.nexthop is not None and tables.vrfs.get(found.nexthop.dev) != vrf
    return inet_select_addr(tables, vrf, 0, SCOPE_LINK) if leaves_vrf else fib_result_prefsrc(tables, found)


def _mkroute_output(way: _Way, routing: Routing) -> Route | Refused:
    """Make the route, now that device and source are known (__mkroute_output)."""
    flow, link = way.flow, routing.host.links.get(way.dev)
    if link is None or not has_ip_config(link) or _is_stray_loopback(flow.saddr, link):
        return Refused(EINVAL, found=way.found)
    kind, found = way.type, way.found
    if flow.daddr == LIMITED_BROADCAST:
        kind = RouteType.BROADCAST
    elif is_multicast(flow.daddr):
        kind = RouteType.MULTICAST
    elif is_zeronet(routing.tables, flow.daddr):
        return Refused(EINVAL, found=found)
    flags = _flags(way, kind, link, routing)
    route = Route(kind, flags, link.name, prefsrc=flow.saddr, multipath=way.multipath, found=found)
    if found is None or _ignores_gateway(kind, flow, found, routing):
        return route
    return rt_set_nexthop(route, found, flow.daddr, routing, flow.now_ns)


def _flags(way: _Way, kind: RouteType, link: Link, routing: Routing) -> RouteFlag:
    """Return what a route says of its destination: broadcasts come back to us, groups where they are joined."""
    if kind is RouteType.BROADCAST:
        return BROADCAST_HERE
    if kind is RouteType.MULTICAST:
        return GROUP_HERE if ip_check_mc_rcu(routing, link.name, way.flow.daddr) else RouteFlag.MULTICAST
    return RouteFlag.LOCAL if link.kind is LinkKind.LOOPBACK else way.flags


def _is_stray_loopback(saddr: int, link: Link) -> bool:
    if not is_loopback(saddr):
        return False
    return link.kind not in (LinkKind.LOOPBACK, LinkKind.VRF) and not link.conf.route_localnet


def _ignores_gateway(kind: RouteType, flow: OutputFlow, found: FibResult, routing: Routing) -> bool:
    """Tell whether gateway and metrics of the route found do not count, because it was not meant for this."""
    if kind is RouteType.BROADCAST:
        return flow.daddr == LIMITED_BROADCAST or routing.tables.kernel.output_broadcast is OutputBroadcast.BARE
    return kind is RouteType.MULTICAST and found.length < 4
