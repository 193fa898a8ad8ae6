"""Where a received packet goes: local, forward, refused, or an error that is owed.

Law: an answer and no action. A route with an errno lets nothing pass: its packet ends in ip_error. A refusal is a
packet that gets no route at all.
"""

from __future__ import annotations

from errno import EHOSTUNREACH, EINVAL
from typing import Final

from ipkit.core.host.config import Link
from ipkit.core.host.fib import FibResult, NextHop, Route, RouteFlag, RouteType
from ipkit.core.host.fib_explain import Trace
from ipkit.core.host.fib_lookup import LIMITED_BROADCAST, fib_lookup, is_zeronet
from ipkit.core.host.fib_rules import FibKey
from ipkit.core.host.kernel import DirectedBroadcast, ZeroNet
from ipkit.core.outcome.drop_reasons import DropReason
from ipkit.core.outcome.facts import Fact
from ipkit.core.route_entry import rt_set_nexthop
from ipkit.core.route_flow import (
    InputFlow,
    Martian,
    Refused,
    fib4_rules_early_flow_dissect,
    is_local_multicast,
    is_loopback,
    is_multicast,
)
from ipkit.core.route_multipath import chosen_nexthop
from ipkit.core.route_source import has_ip_config, inet_addr_onlink
from ipkit.core.route_validate import REFUSALS, Source, fib_validate_source
from ipkit.core.state.routing import Routing
from ipkit.core.wire.ipv4 import PROTO_IGMP, address_text

ALL_HOSTS: Final = 0xE0000001
NOT_LOOKED_UP: Final = FibResult()
BROADCAST_HERE: Final = RouteFlag.BROADCAST | RouteFlag.LOCAL
GROUP_HERE: Final = RouteFlag.MULTICAST | RouteFlag.LOCAL


def ip_route_input_noref(flow: InputFlow, routing: Routing, trace: Trace | None = None) -> Route | Refused:
    """Decide where a received packet goes.

    Kernel: net/ipv4/route.c
    """
    if is_multicast(flow.daddr):
        return ip_route_input_mc(flow, routing, trace)
    return ip_route_input_slow(flow, routing, trace)


def ip_check_mc_rcu(routing: Routing, dev: str, group: int) -> bool:
    """Tell whether a group is joined on a link; all-hosts always is, once the link has come up.

    Kernel: net/ipv4/igmp.c
    """
    link = routing.host.links[dev]
    return group in link.groups or (group == ALL_HOSTS and link.up)


def ip_route_input_mc(flow: InputFlow, routing: Routing, trace: Trace | None) -> Route | Refused:
    """Decide about a packet to a group.

    Kernel: net/ipv4/route.c
    """
    link = routing.host.links[flow.iif]
    if not has_ip_config(link):
        return Refused(EINVAL)
    vrf = routing.tables.vrfs.get(flow.iif)
    ours = ip_check_mc_rcu(routing, flow.iif, flow.daddr) or (
        vrf is not None and ip_check_mc_rcu(routing, vrf, flow.daddr)
    )
    routed = bool(link.conf.mc_forwarding) and not is_local_multicast(flow.daddr)
    if trace is not None:
        say = f"group {address_text(flow.daddr)} {'joined' if ours else 'not joined'} on {flow.iif}"
        trace.append(Fact("ip_check_mc_rcu", say, {"joined": ours}))
    if not ours and not routed:
        return Refused(EINVAL)
    refused = ip_mc_validate_source(flow, routing, trace)
    if refused is not None:
        return refused
    return Route(
        RouteType.MULTICAST, GROUP_HERE if ours else RouteFlag.MULTICAST, routing.tables.loopback, iif=flow.iif
    )


def ip_mc_validate_source(flow: InputFlow, routing: Routing, trace: Trace | None) -> Refused | None:
    """Judge the source of a packet to a group; None: it may pass.

    Kernel: net/ipv4/route.c
    """
    if is_multicast(flow.saddr) or flow.saddr == LIMITED_BROADCAST:
        return Refused(EINVAL, DropReason.IP_INVALID_SOURCE)
    if is_loopback(flow.saddr) and not routing.host.links[flow.iif].conf.route_localnet:
        return Refused(EINVAL, DropReason.IP_LOCALNET)
    if is_zeronet(routing.tables, flow.saddr):
        asks_for_groups = flow.protocol == PROTO_IGMP and routing.tables.kernel.zeronet is ZeroNet.ONE_ADDRESS
        if is_local_multicast(flow.daddr) or asks_for_groups:
            return None
        return Refused(EINVAL, DropReason.IP_INVALID_SOURCE)
    return _refused_source(fib_validate_source(routing, flow, 0, "", trace))


def ip_route_input_slow(flow: InputFlow, routing: Routing, trace: Trace | None) -> Route | Refused:
    """Decide about a packet that is not to a group.

    Kernel: net/ipv4/route.c
    """
    link = routing.host.links[flow.iif]
    if not has_ip_config(link):
        return Refused(EINVAL)
    if is_multicast(flow.saddr) or flow.saddr == LIMITED_BROADCAST:
        return _martian(Martian.SOURCE, DropReason.IP_INVALID_SOURCE)
    if flow.daddr == LIMITED_BROADCAST or flow.saddr == flow.daddr == 0:
        return _brd_input(flow, routing, NOT_LOOKED_UP, trace)
    refused = _weird_martian(flow, link, routing)
    if refused is not None:
        return refused
    found = fib_lookup(routing.tables, _input_key(flow, routing), trace)
    if found.errno:
        return _no_route(flow, routing, found)
    return _by_type(flow, routing, found, trace)


def _by_type(flow: InputFlow, routing: Routing, found: FibResult, trace: Trace | None) -> Route | Refused:
    """Decide by the kind of destination that the tables know."""
    link, kind = routing.host.links[flow.iif], found.entry and found.entry.type
    if kind is RouteType.BROADCAST:
        if not _forwards_broadcasts(link, routing):
            return _brd_input(flow, routing, found, trace)
        return ip_mkroute_input(flow, routing, found, trace)
    if kind is RouteType.LOCAL:
        refused = _refused_source(fib_validate_source(routing, flow, flow.daddr, "", trace))
        return refused or _local_input(flow, routing, found, RouteFlag.LOCAL)
    if not link.conf.forwarding:
        return _no_route(flow, routing, found)
    if kind is not RouteType.UNICAST:
        return _martian(Martian.DESTINATION, DropReason.IP_INVALID_DEST)._replace(found=found)
    return ip_mkroute_input(flow, routing, found, trace)


def _martian(which: Martian, reason: DropReason) -> Refused:
    return Refused(EINVAL, reason, which)


def _weird_martian(flow: InputFlow, link: Link, routing: Routing) -> Refused | None:
    """Refuse addresses that no table is asked about."""
    if is_zeronet(routing.tables, flow.saddr):
        return _martian(Martian.SOURCE, DropReason.IP_INVALID_SOURCE)
    if is_zeronet(routing.tables, flow.daddr):
        return _martian(Martian.DESTINATION, DropReason.IP_INVALID_DEST)
    if is_loopback(flow.daddr):
        return None if link.conf.route_localnet else _martian(Martian.DESTINATION, DropReason.IP_LOCALNET)
    if is_loopback(flow.saddr) and not link.conf.route_localnet:
        return _martian(Martian.SOURCE, DropReason.IP_LOCALNET)
    return None


def _input_key(flow: InputFlow, routing: Routing) -> FibKey:
    tos = flow.tos & routing.tables.kernel.tos_key.value
    return fib4_rules_early_flow_dissect(routing, FibKey(flow.daddr, flow.saddr, tos, flow.iif, mark=flow.mark), flow)


def _forwards_broadcasts(link: Link, routing: Routing) -> bool:
    return bool(link.conf.bc_forwarding) and routing.tables.kernel.directed_broadcast is DirectedBroadcast.SYSCTL


def _refused_source(source: Source) -> Refused | None:
    if source in REFUSALS:
        errno, reason = REFUSALS[source]
        return Refused(errno, reason, Martian.SOURCE)
    return None


def _brd_input(flow: InputFlow, routing: Routing, found: FibResult, trace: Trace | None) -> Route | Refused:
    """Take in a broadcast, of whichever link it is; a sender without an address may be asking for one."""
    if not is_zeronet(routing.tables, flow.saddr):
        refused = _refused_source(fib_validate_source(routing, flow, 0, "", trace))
        if refused is not None:
            return refused
    return _local_input(flow, routing, found, BROADCAST_HERE)


def _local_input(flow: InputFlow, routing: Routing, found: FibResult, flags: RouteFlag) -> Route:
    """Return the route into this host; its device is the loopback, or the VRF that the address belongs to."""
    tables, nexthop = routing.tables, found.nexthop
    vrf = tables.vrfs.get(nexthop.dev) if nexthop is not None else None
    kind = RouteType.BROADCAST if flags is BROADCAST_HERE else RouteType.LOCAL
    return Route(
        kind,
        flags,
        vrf or tables.loopback,
        iif=flow.iif,
        entry=found.entry,
        nexthop=nexthop,
        found=found if found.entry is not None else None,
    )


def _no_route(flow: InputFlow, routing: Routing, found: FibResult) -> Route:
    """Return the route that leads to ip_error; where the device does not forward, every failure looks the same."""
    forwards = routing.host.links[flow.iif].conf.forwarding
    errno = found.errno if forwards else EHOSTUNREACH
    return Route(RouteType.UNREACHABLE, RouteFlag.NONE, routing.tables.loopback, iif=flow.iif, errno=errno, found=found)


def ip_mkroute_input(flow: InputFlow, routing: Routing, found: FibResult, trace: Trace | None) -> Route | Refused:
    """Make the route of a packet that is forwarded, and note whether its sender should be told of a better one.

    Kernel: net/ipv4/route.c
    """
    entry = found.entry
    several = False
    if entry is not None and len(entry.nexthops) > 1:
        several = True
        anyone = (False,) * len(entry.nexthops)
        found = found._replace(nexthop=chosen_nexthop(routing, flow, found, anyone, trace))
    nexthop = found.nexthop
    out = routing.host.links.get(nexthop.dev) if nexthop is not None else None
    if entry is None or nexthop is None or out is None or not has_ip_config(out):
        return Refused(EINVAL, found=found)
    source = fib_validate_source(routing, flow, flow.daddr, out.name, trace)
    refused = _refused_source(source)
    if refused is not None:
        return refused._replace(found=found)
    flags = RouteFlag.NONE
    if out.name == flow.iif and source is Source.ONLINK and _redirects(out, flow.saddr, nexthop):
        flags = RouteFlag.DOREDIRECT
    route = Route(entry.type, flags, out.name, iif=flow.iif, multipath=several, found=found)
    return rt_set_nexthop(route, found, flow.daddr, routing, flow.now_ns)


def _redirects(link: Link, saddr: int, nexthop: NextHop) -> bool:
    """Tell whether a sender on this link should be told that its next hop is on the link, too."""
    if not link.conf.send_redirects:
        return False
    return bool(link.conf.shared_media) or inet_addr_onlink(link, saddr, nexthop.gateway)
