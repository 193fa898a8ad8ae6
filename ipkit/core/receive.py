"""The IPv4 stack's door: whether something is a datagram at all, and where it goes.

Law: nothing here is answered with ICMP but by ip_error. What ip_rcv refuses has no route yet, and options are looked
at only once it has one.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Mapping
from dataclasses import replace
from enum import Enum
from errno import EACCES, EHOSTUNREACH, ENETUNREACH, EXDEV
from typing import Final

from ipkit.core.host.fib import Route, RouteFlag, RouteType
from ipkit.core.host.fib_explain import Trace
from ipkit.core.input_words import ip_handle_martian_source, told_demux, told_options, told_route, told_unwelcome
from ipkit.core.ip_options_compile import ip_options_compile
from ipkit.core.nf_defrag import is_gathered, pull_for_demux
from ipkit.core.outcome.counters import Counted, Mib
from ipkit.core.outcome.drop_reasons import DropReason
from ipkit.core.outcome.verdict import Drop, IcmpDue, Next, StageResult
from ipkit.core.route import Refused, input_flow, ip_route_input_noref
from ipkit.core.route_flow import came_by, is_multicast, judging_link
from ipkit.core.skbuff import IpSkbFlag, PacketType, SkBuff
from ipkit.core.state.netns import NetNamespace
from ipkit.core.state.routing import InputKey, Routing
from ipkit.core.transit_options import ip_options_rcv_srr
from ipkit.core.wire.checksum import ip_fast_csum
from ipkit.core.wire.icmp import DEST_UNREACH, HOST_UNREACH, NET_UNREACH, PARAMETERPROB, PKT_FILTERED
from ipkit.core.wire.ipv4 import HEADER_BYTES, unpack_from

ECN_MIBS: Final = (Mib.IN_NO_ECT_PKTS, Mib.IN_ECT1_PKTS, Mib.IN_ECT0_PKTS, Mib.IN_CE_PKTS)
"""What is counted for each value of the two ECN bits."""

SEEN: Final = tuple((Mib.IN_RECEIVES, ecn) for ecn in ECN_MIBS)

UNREACHABLE_CODES: Final[Mapping[int, tuple[int, DropReason, tuple[Counted, ...]]]] = {
    EHOSTUNREACH: (HOST_UNREACH, DropReason.NOT_SPECIFIED, ()),
    ENETUNREACH: (NET_UNREACH, DropReason.IP_INNOROUTES, (Mib.IN_NO_ROUTES,)),
    EACCES: (PKT_FILTERED, DropReason.NOT_SPECIFIED, ()),
}
"""What each failure of the lookup is answered with, called and counted."""

MOST_CACHED: Final = 1 << 15
"""How many routes are remembered."""

GROUPS: Final = 0xE
"""How multicast addresses begin."""

SHORT: Final = Drop(DropReason.IP_INHDR, "ip_rcv_core")
GOOD: Final = Next("ip_rcv_finish")
TO_ERROR, TO_DELIVERY, TO_GROUPS, TO_FORWARDING = (
    StageResult(Next(stage)) for stage in ("ip_error", "ip_local_deliver", "ip_mr_input", "ip_forward")
)
UNWELCOME: Final = StageResult(Drop(DropReason.NOT_SPECIFIED, "ip_rcv_options"))


def ip_rcv(skb: SkBuff, net: NetNamespace, trace: Trace | None) -> StageResult:
    """Take what a link brought; PRE_ROUTING stands behind, and before all else there what conntrack puts together.

    Kernel: net/ipv4/ip_input.c
    Exits: those of ip_rcv_core; Next(ipv4_conntrack_defrag)
    """
    result = ip_rcv_core(skb, trace)
    if net.host.conntrack and isinstance(result.outcome, Next) and is_gathered(skb):
        return result._replace(outcome=Next("ipv4_conntrack_defrag"))
    return result


def ip_rcv_core(skb: SkBuff, trace: Trace | None) -> StageResult:
    """Decide whether what a link brought is an IPv4 datagram, and cut it to its length.

    Kernel: net/ipv4/ip_input.c
    Exits: Next(ip_rcv_finish); Drop(OTHERHOST, IP_INHDR, IP_CSUM, PKT_TOO_SMALL)
    """
    if skb.pkt_type is PacketType.OTHERHOST:
        return StageResult(Drop(DropReason.OTHERHOST, "ip_rcv_core"))
    data = skb.data
    length = skb.on_wire or len(data)
    octets = ((Mib.IN_OCTETS, length),)
    if length < HEADER_BYTES or not 0x45 <= data[0] <= 0x4F:
        return StageResult(SHORT, (Mib.IN_RECEIVES, Mib.IN_HDR_ERRORS), octets)
    tos, total, header_bytes = data[1], data[2] << 8 | data[3], (data[0] & 0x0F) << 2
    seen = SEEN[tos & 3]
    if length < header_bytes:
        return StageResult(SHORT, (*seen, Mib.IN_HDR_ERRORS), octets)
    if ip_fast_csum(data[:header_bytes]):
        bad = Drop(DropReason.IP_CSUM, "ip_rcv_core")
        return StageResult(bad, (*seen, Mib.IN_CSUM_ERRORS, Mib.IN_HDR_ERRORS), octets)
    if skb.gso_size and not total:
        total = length
    if length < total:
        return StageResult(Drop(DropReason.PKT_TOO_SMALL, "ip_rcv_core"), (*seen, Mib.IN_TRUNCATED_PKTS), octets)
    if total < header_bytes:
        return StageResult(SHORT, (*seen, Mib.IN_HDR_ERRORS), octets)
    if total < length:
        skb.data = data[:total]
        skb.on_wire = total if len(data) < total else 0
    if trace is not None:
        values = {"length": length, "tot_len": total, "ihl": header_bytes // 4, "tos": tos}
        trace.append(("ip_rcv_core", f"header is good, {total} of {length} bytes are the datagram's", values))
    return StageResult(GOOD, seen, octets)


def ip_rcv_finish(skb: SkBuff, net: NetNamespace, trace: Trace | None) -> StageResult:
    """Decide where a datagram goes; one of a VRF is shown to PRE_ROUTING once more, as the VRF's.

    Kernel: net/ipv4/ip_input.c
    Exits: Next(ip_local_deliver, ip_forward, ip_error, ip_rcv_finish_core); Drop(as ip_rcv_finish_core)
    """
    if net.routing.tables.vrfs and l3mdev_ip_rcv(skb, net, trace) is AsksAgain.YES:
        return StageResult(Next("ip_rcv_finish_core"))
    return ip_rcv_finish_core(skb, net, trace)


class AsksAgain(Enum):
    """Whether PRE_ROUTING is asked about a datagram a second time."""

    YES = "yes"
    NO = "no"


def l3mdev_ip_rcv(skb: SkBuff, net: NetNamespace, trace: Trace | None) -> AsksAgain:
    """Hand a datagram to the VRF that its link belongs to: from here on it came in by that.

    Kernel: include/net/l3mdev.h, drivers/net/vrf.c
    """
    vrf = net.routing.tables.vrfs.get(skb.dev)
    if vrf is None:
        return AsksAgain.NO
    link = skb.dev
    skb.cb = replace(skb.cb, flags=skb.cb.flags | IpSkbFlag.L3SLAVE, iif=link)
    skb.dev = vrf
    # To a group: the link's own business. With a route: what this host sent to itself.
    again = AsksAgain.NO if skb.route is not None or skb.data[16] >> 4 == GROUPS else AsksAgain.YES
    if trace is not None:
        trace.append(("l3mdev_ip_rcv", f"{link} is in {vrf}", {"dev": vrf, "slave": link, "hook": again.value}))
    return again


def ip_rcv_finish_core(skb: SkBuff, net: NetNamespace, trace: Trace | None) -> StageResult:
    """Route a datagram and send it on that way.

    Kernel: net/ipv4/ip_input.c
    Exits: Next(ip_local_deliver, ip_forward, ip_mr_input, ip_error); Drop(every reason of input routing,
    UNICAST_IN_L2_MULTICAST)
    """
    route = skb.route
    if route is None:
        looked_up = _routed(skb, net, trace)
        if isinstance(looked_up, Refused):
            return _refused(skb, looked_up, net, trace)
        route = skb.route = looked_up
    if skb.data[0] != 0x45:
        answer = ip_rcv_options(skb, route, net, trace)
        if isinstance(answer, StageResult):
            return answer
        route = answer
    onwards, kind = _dst_input(route), route.type
    if kind is RouteType.MULTICAST:
        return onwards._replace(mibs=(Mib.IN_MCAST_PKTS,), octets=((Mib.IN_MCAST_OCTETS, skb.length),))
    if kind is RouteType.BROADCAST:
        return onwards._replace(mibs=(Mib.IN_BCAST_PKTS,), octets=((Mib.IN_BCAST_OCTETS, skb.length),))
    if skb.pkt_type is not PacketType.HOST and _is_stray(skb, net):
        return StageResult(Drop(DropReason.UNICAST_IN_L2_MULTICAST, "ip_rcv_finish"))
    return onwards


def _refused(skb: SkBuff, refused: Refused, net: NetNamespace, trace: Trace | None) -> StageResult:
    if trace is not None and refused.martian is not None:
        trace.append(ip_handle_martian_source(skb, refused.martian, net.host.links[came_by(skb)]))
    mibs = (Mib.IP_REVERSE_PATH_FILTER,) if refused.errno == EXDEV else ()
    return StageResult(Drop(refused.reason, "ip_rcv_finish", refused.errno), mibs)


def _routed(skb: SkBuff, net: NetNamespace, trace: Trace | None) -> Route | Refused:
    """Return where a datagram goes, from memory where one like it was asked about before."""
    if skb.frag_list:
        pull_for_demux(skb, net.host)
    routing = net.routing
    dev = came_by(skb) if routing.tables.vrfs else skb.dev
    if trace is not None:
        flow = input_flow(skb)._replace(iif=dev)
        walk: Trace = []
        looked_up = ip_route_input_noref(flow, routing, walk)
        trace += [*told_demux(skb, net.host), *told_route(flow, looked_up, walk)]
        return looked_up
    _, tos, _, _, _, _, _, _, saddr, daddr = unpack_from(skb.data)
    starts = routing.tables.class_starts
    source, destination = (saddr, daddr) if starts is None else (bisect(starts, saddr), bisect(starts, daddr))
    key = (source, destination, tos, dev, skb.mark)
    is_plain = not (is_multicast(daddr) or daddr in routing.exceptions.by_destination)
    if is_plain and (known := routing.cached.get(key)) is not None:
        return known
    flow = input_flow(skb)
    if dev != skb.dev:
        flow = flow._replace(iif=dev)
    looked_up = ip_route_input_noref(flow, routing)
    if is_plain and isinstance(looked_up, Route) and not looked_up.multipath:
        _keep(looked_up, key, routing)
    return looked_up


def _keep(route: Route, key: InputKey, routing: Routing) -> None:
    """Remember a route, where the next packet of its kind cannot get another one."""
    if routing.tables.rules_ask_for_ports:
        return
    if len(routing.cached) >= MOST_CACHED:
        routing.cached.clear()
    routing.cached[key] = route


def ip_rcv_options(skb: SkBuff, route: Route, net: NetNamespace, trace: Trace | None) -> StageResult | Route:
    """Decide whether a datagram passes with its options, and return the route that it has then.

    Kernel: net/ipv4/ip_input.c
    """
    fault = ip_options_compile(skb, net.routing)
    options = skb.cb.options
    if trace is not None:
        trace.append(told_options(options, fault))
    if fault:
        due = IcmpDue(PARAMETERPROB, 0, fault << 24, skb)
        return StageResult(Drop(DropReason.IP_INHDR, "ip_rcv_options"), (Mib.IN_HDR_ERRORS,), icmp=(due,))
    if not options.srr:
        return route
    link = judging_link(skb, net.host)
    if not link.conf.accept_source_route:
        if trace is not None:
            trace.append(told_unwelcome(link))
        return UNWELCOME
    return ip_options_rcv_srr(skb, route, net.routing, trace)


def _is_stray(skb: SkBuff, net: NetNamespace) -> bool:
    """Tell whether a unicast datagram came in a frame for many where that is not wanted."""
    to_many = skb.pkt_type in (PacketType.BROADCAST, PacketType.MULTICAST)
    return to_many and bool(net.host.links[came_by(skb)].conf.drop_unicast_in_l2_multicast)


def _dst_input(route: Route) -> StageResult:
    """Return the stage that a route leads to (dst_input)."""
    if route.errno:
        return TO_ERROR
    if route.flags and route.flags & RouteFlag.LOCAL:
        return TO_DELIVERY
    return TO_GROUPS if route.type is RouteType.MULTICAST else TO_FORWARDING


def ip_error(skb: SkBuff, net: NetNamespace, trace: Trace | None) -> StageResult:
    """Tell the source of a datagram without a route, unless it was told too often.

    Kernel: net/ipv4/route.c
    Exits: Drop(IP_INADDRERRORS, IP_INNOROUTES, NOT_SPECIFIED)
    """
    errno = skb.route.errno if skb.route is not None else 0
    host = net.host
    if not judging_link(skb, net.host).conf.forwarding:
        return StageResult(Drop(DropReason.IP_INADDRERRORS, "ip_error", errno), (Mib.IN_ADDR_ERRORS,))
    if errno not in UNREACHABLE_CODES:
        return StageResult(Drop(DropReason.NOT_SPECIFIED, "ip_error", errno))
    code, reason, mibs = UNREACHABLE_CODES[errno]
    peer = (int.from_bytes(skb.data[12:16], "big"), net.routing.tables.vrfs.get(skb.dev, ""))
    cost, burst = host.net.route_error_cost, host.net.route_error_burst
    allowed = net.icmp_tokens.peer_allow(peer, skb.tstamp_ns, cost, burst)
    if trace is not None:
        say = "its source may be told" if allowed else "its source has been told too often"
        trace.append(("inet_peer_xrlim_allow", say, {"error_cost": cost, "error_burst": burst}))
    owed = (IcmpDue(DEST_UNREACH, code, 0, skb),) if allowed else ()
    return StageResult(Drop(reason, "ip_error", errno), mibs, icmp=owed)
