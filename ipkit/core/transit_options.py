"""Options of a packet on its way through: a source route followed when it comes in, slots filled when it goes on.

Law: what is written when it comes in does not touch the header checksum; what is written when it goes on puts it right.
"""

from __future__ import annotations

from typing import Final

from ipkit.core.host.fib import Route, RouteType
from ipkit.core.host.fib_explain import Trace
from ipkit.core.outcome.drop_reasons import DropReason
from ipkit.core.outcome.verdict import Drop, IcmpDue, StageResult
from ipkit.core.route import Refused, input_flow, ip_route_input_noref, ip_rt_get_source
from ipkit.core.route_flow import judging_link
from ipkit.core.skbuff import IpOptions, PacketType, SkBuff
from ipkit.core.state.routing import Routing
from ipkit.core.wire.checksum import with_header_checksum
from ipkit.core.wire.icmp import PARAMETERPROB
from ipkit.core.wire.ipv4 import DADDR_AT, HEADER_BYTES, address_text
from ipkit.core.wire.options import ADDRESS_BYTES

REFUSED: Final = StageResult(Drop(DropReason.NOT_SPECIFIED, "ip_options_rcv_srr"))
PASSABLE: Final = frozenset({RouteType.UNICAST, RouteType.LOCAL})


def ip_options_rcv_srr(skb: SkBuff, route: Route, routing: Routing, trace: Trace | None) -> StageResult | Route:
    """Decide whether a source route is followed, and return the route that the packet has then.

    The place of the option's pointer does not move before the packet leaves: ip_forward_options finds it again.
    Kernel: net/ipv4/ip_options.c
    """
    options = skb.cb.options
    if skb.pkt_type is not PacketType.HOST:
        return REFUSED
    if route.type is RouteType.UNICAST:
        return _refused_at(DADDR_AT, skb) if options.is_strictroute else route
    if route.type is not RouteType.LOCAL:
        return REFUSED
    length, pointer = skb.data[options.srr + 1 : options.srr + 3]
    while pointer <= length:
        slot = options.srr + pointer - 1
        if pointer + 3 > length:
            return _refused_at(options.srr + 2, skb)
        hop = int.from_bytes(skb.data[slot : slot + ADDRESS_BYTES], "big")
        flow = input_flow(skb)._replace(daddr=hop, iif=judging_link(skb, routing.host).name)
        onward = ip_route_input_noref(flow, routing, trace)
        if isinstance(onward, Refused) or onward.type not in PASSABLE:
            return REFUSED
        route = skb.route = onward
        options.is_changed = True
        if trace is not None:
            say = f"next hop {address_text(hop)}: {route.type.name.lower()} dev {route.dev}"
            trace.append(("ip_options_rcv_srr", say, {"nexthop": address_text(hop), "pointer": pointer}))
        if route.type is RouteType.UNICAST:
            options.srr_is_hit, options.nexthop = True, hop
            break
        skb.data = _with_daddr(skb.data, hop)
        pointer += ADDRESS_BYTES
    return route


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
        say = "the header checksum follows what was written" if options.is_changed else "nothing was written"
        trace.append(("ip_forward_options", say, {"is_changed": options.is_changed, "srr_is_hit": options.srr_is_hit}))
    if options.is_changed:
        options.is_changed = False
        header_bytes = HEADER_BYTES + options.optlen
        skb.data = with_header_checksum(skb.data[:header_bytes]) + skb.data[header_bytes:]


def _refused_at(place: int, skb: SkBuff) -> StageResult:
    return REFUSED._replace(icmp=(IcmpDue(PARAMETERPROB, 0, place << 24, skb),))


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
