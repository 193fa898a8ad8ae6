"""Answers of the stack itself to a datagram that came in: which way they take, and their IP header.

Law: what the answer says comes from the protocol; here it becomes a datagram with a route, for ip_local_out.
"""

from __future__ import annotations

from errno import EINVAL
from typing import NamedTuple

from ipkit.core.fragment import as_appended
from ipkit.core.ip_options import inet_current_timestamp, ip_options_build, ip_options_echo, ours_in
from ipkit.core.route import OutputFlow, Refused, answer_ttl, dst_mtu
from ipkit.core.skbuff import IpControlBlock, IpOptions, PacketType, SkBuff
from ipkit.core.state.netns import NetNamespace
from ipkit.core.wire.ipv4 import FLAG_DF, HEADER_BYTES, Ipv4Header, build, read
from ipkit.core.xfrm import ip_route_output_flow


class Answer(NamedTuple):
    """What a protocol answers, and how it wants it sent."""

    payload: bytes
    source: int
    tos: int
    ports: tuple[int, int] = (0, 0)  # what routing rules may ask for
    may_fragment: bool = True  # without: DF, and identification 0
    on_wire: int = 0  # bytes of the payload on the wire, where the capture kept fewer of the question


def answered(skb: SkBuff, answer: Answer, net: NetNamespace) -> SkBuff | Refused:
    """Return the answer to a datagram as it is handed to ip_local_out, or what keeps it from being sent."""
    header = read(skb.data)
    options = ip_options_echo(skb.data[: header.header_bytes], skb.cb.options, ours_in(net.routing.tables))
    if options is None:
        return Refused(EINVAL)
    flow = OutputFlow(
        options.first_hop(header.saddr),
        answer.source,
        answer.tos & 0x1E,
        oif=net.routing.tables.vrfs.get(skb.dev, ""),
        protocol=header.protocol,
        mark=skb.mark if net.host.net.fwmark_reflect else 0,
        sport=answer.ports[0],
        dport=answer.ports[1],
        now_ns=skb.tstamp_ns,
    )
    route = ip_route_output_flow(flow, net.routing)
    if isinstance(route, Refused):
        return route
    source = answer.source or route.prefsrc
    daddr = flow.daddr or source
    text = ip_options_build(options, header.saddr, source, inet_current_timestamp(skb.tstamp_ns))
    reserve = net.idents.reserve
    outer = Ipv4Header(
        version_ihl=0x45 + len(text) // 4,
        tos=answer.tos,
        tot_len=0,
        id=reserve(source, daddr, header.protocol) if answer.may_fragment else 0,
        frag_off=0 if answer.may_fragment else FLAG_DF,
        ttl=answer_ttl(route, net.host),
        protocol=header.protocol,
        check=0,
        saddr=source,
        daddr=daddr,
    )
    reply = SkBuff(
        build(outer) + text + answer.payload,
        route.dev,
        PacketType.OUTGOING,
        skb.tstamp_ns,
        route,
        IpControlBlock(options=IpOptions(optlen=len(text))),
        mark=flow.mark,
        on_wire=HEADER_BYTES + len(text) + answer.on_wire if answer.on_wire else 0,
    )
    return reply if reply.on_wire else as_appended(reply, dst_mtu(route, net.host, skb.tstamp_ns))
