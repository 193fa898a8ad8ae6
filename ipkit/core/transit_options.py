"""Options of a packet on its way through: a source route followed when it comes in, slots filled when it goes on.

Law: what is written when it comes in does not touch the header checksum; what is written when it goes on puts it right.
"""

from __future__ import annotations

from typing import Final

from ipkit.core.host.fib import Route, RouteType
from ipkit.core.host.fib_explain import Trace
from ipkit.core.input_words import told_route
from ipkit.core.outcome.drop_reasons import DropReason
from ipkit.core.outcome.facts import Fact
from ipkit.core.outcome.verdict import Drop, IcmpDue, StageResult
from ipkit.core.route import Refused, input_flow, ip_route_input_noref, ip_rt_get_source
from ipkit.core.route_flow import judging_link
from ipkit.core.skbuff import IpOptions, PacketType, SkBuff
from ipkit.core.state.routing import Routing
from ipkit.core.wire.checksum import with_header_checksum
from ipkit.core.wire.icmp import PARAMETERPROB
from ipkit.core.wire.ipv4 import DADDR_AT, HEADER_BYTES, address_text
from ipkit.core.wire.options import ADDRESS_BYTES

SRR: Final = "ip_options_rcv_srr"
REFUSED: Final = StageResult(Drop(DropReason.NOT_SPECIFIED, SRR))
PASSABLE: Final = frozenset({RouteType.UNICAST, RouteType.LOCAL})


def ip_options_rcv_srr(skb: SkBuff, route: Route, routing: Routing, trace: Trace | None) -> StageResult | Route:
    """Decide whether a source route is followed, and return the route that the packet has then.

    The place of the option's pointer does not move before the packet leaves: ip_forward_options finds it again.
    Kernel: net/ipv4/ip_options.c
    """
    options = skb.cb.options
    if skb.pkt_type is not PacketType.HOST:
        return _ended("the frame was not for this host alone", trace)
    if route.type is RouteType.UNICAST:
        return _refused_at(DADDR_AT, skb, trace) if options.is_strictroute else route
    if route.type is not RouteType.LOCAL:
        return _ended("nothing leads to the destination", trace)
    length, pointer = skb.data[options.srr + 1 : options.srr + 3]
    while pointer <= length:
        slot = options.srr + pointer - 1
        if pointer + 3 > length:
            return _refused_at(options.srr + 2, skb, trace)
        hop = int.from_bytes(skb.data[slot : slot + ADDRESS_BYTES], "big")
        onward = _routed_to(hop, skb, routing, trace)
        if isinstance(onward, Refused) or onward.type not in PASSABLE:
            return _ended(f"next hop {address_text(hop)} is no host that can be reached", trace)
        route = skb.route = onward
        options.is_changed = True
        if route.type is RouteType.UNICAST:
            options.srr_is_hit, options.nexthop = True, hop
            break
        skb.data = _with_daddr(skb.data, hop)
        pointer += ADDRESS_BYTES
    return route


def _routed_to(hop: int, skb: SkBuff, routing: Routing, trace: Trace | None) -> Route | Refused:
    flow = input_flow(skb)._replace(daddr=hop, iif=judging_link(skb, routing.host).name)
    if trace is None:
        return ip_route_input_noref(flow, routing)
    walk: Trace = []
    onward = ip_route_input_noref(flow, routing, walk)
    next_hop = address_text(hop)
    trace += [Fact(SRR, f"next hop {next_hop}", {"nexthop": next_hop}), *told_route(flow, onward, walk)]
    return onward


def _ended(why: str, trace: Trace | None) -> StageResult:
    if trace is not None:
        trace.append(Fact(SRR, why))
    return REFUSED


def _refused_at(place: int, skb: SkBuff, trace: Trace | None) -> StageResult:
    if trace is not None:
        trace.append(Fact(SRR, f"refused for byte {place} of the header", {"fault": place}))
    return REFUSED._replace(icmp=(IcmpDue(PARAMETERPROB, 0, place << 24, skb),))


def ip_forward_options(skb: SkBuff, route: Route, routing: Routing, trace: Trace | None) -> None:
    """Write the outgoing side's address into what was reserved for it, and put the header checksum right.

    Kernel: net/ipv4/ip_options.c
    """
    options = skb.cb.options
    if options.rr_needaddr:
        _write_source(skb, options.rr + skb.data[options.rr + 2] - 5, route, routing)
    if options.srr_is_hit:
        _follow(skb, options, route, routing)
        if options.ts_needaddr:
            _write_source(skb, options.ts + skb.data[options.ts + 2] - 9, route, routing)
    if trace is not None:
        say = "filled in, and the header checksum put right" if options.is_changed else "nothing to fill in"
        trace.append(Fact("ip_forward_options", say, {"is_changed": options.is_changed}))
    if options.is_changed:
        options.is_changed = False
        header_bytes = HEADER_BYTES + options.optlen
        skb.data = with_header_checksum(skb.data[:header_bytes]) + skb.data[header_bytes:]


def _follow(skb: SkBuff, options: IpOptions, route: Route, routing: Routing) -> None:
    """Put the next hop into the header and our address into its place; the pointer moves past it."""
    length, pointer = skb.data[options.srr + 1 : options.srr + 3]
    hop = options.nexthop.to_bytes(ADDRESS_BYTES, "big")
    while pointer + 3 <= length:
        slot = options.srr + pointer - 1
        if skb.data[slot : slot + ADDRESS_BYTES] == hop:
            skb.data = _with_daddr(skb.data, options.nexthop)
            _write_source(skb, slot, route, routing)
            skb.data = skb.data[: options.srr + 2] + bytes((pointer + ADDRESS_BYTES,)) + skb.data[options.srr + 3 :]
            return
        pointer += ADDRESS_BYTES


def _write_source(skb: SkBuff, at: int, route: Route, routing: Routing) -> None:
    source = ip_rt_get_source(routing, input_flow(skb), route).to_bytes(ADDRESS_BYTES, "big")
    skb.data = skb.data[:at] + source + skb.data[at + ADDRESS_BYTES :]
    skb.cb.options.is_changed = True


def _with_daddr(data: bytes, daddr: int) -> bytes:
    return data[:DADDR_AT] + daddr.to_bytes(ADDRESS_BYTES, "big") + data[HEADER_BYTES:]
