"""Transports that bring their own segment: what ip_queue_xmit and the two senders of answers put in front.

Law: the segment comes ready, its checksum included; here it gets an IP header and is let go.
"""

from __future__ import annotations

from errno import EHOSTUNREACH
from typing import Final, NamedTuple

from ipkit.core.append_data import SendFlag, ip_append_data
from ipkit.core.cmsg import ipcm_init_sk
from ipkit.core.host.fib import Route
from ipkit.core.host.kernel import AnswerIdent
from ipkit.core.inet_sock import NO_OPTIONS, InetCork, InetSock, PmtuDisc, SockKind
from ipkit.core.ip_options import (
    OutgoingOptions,
    inet_current_timestamp,
    ip_options_build,
    ip_options_echo,
    ours_in,
)
from ipkit.core.make_skb import (
    SendResult,
    ip_dont_fragment,
    ip_finish_skb,
    ip_select_ttl,
    ip_send_skb,
    ip_setup_cork,
    owner_of,
    release,
)
from ipkit.core.outcome.counters import Mib
from ipkit.core.outcome.drop_reasons import DropReason
from ipkit.core.outcome.verdict import Drop
from ipkit.core.output import Output, ip_local_out
from ipkit.core.route import OutputFlow, Refused
from ipkit.core.select_ident import Fragmenting, ip_select_ident
from ipkit.core.skbuff import IpControlBlock, PacketType, SkBuff
from ipkit.core.state.netns import NetNamespace
from ipkit.core.wire.ipv4 import FLAG_DF, HEADER_BYTES, PROTO_TCP, Ipv4Header, build, read
from ipkit.core.xfrm import ip_route_output_flow

SMALL_ANSWER_BYTES: Final = 68
TOS_BITS: Final = 0x1E


class Segment(NamedTuple):
    """What a transport hands down."""

    data: bytes
    now_ns: int = 0
    gso_segments: int = 1
    fragmenting: Fragmenting = Fragmenting.BY_DF


def ip_queue_xmit(segment: Segment, sock: InetSock, net: NetNamespace) -> SendResult:
    """Send a segment of a connected transport.

    Kernel: net/ipv4/ip_output.c
    """
    result = SendResult()
    options = sock.options
    flow = OutputFlow(
        options.places.faddr if options.places.srr else sock.daddr,
        sock.saddr,
        sock.tos,
        sock.bound_dev,
        sock.protocol,
        sock.mark,
        sport=sock.sport,
        dport=sock.dport,
        now_ns=segment.now_ns,
    )
    result.flow = flow
    route = ip_route_output_flow(flow, net.routing)
    if isinstance(route, Refused) or (options.places.is_strictroute and route.uses_gateway):
        result.output = Output(EHOSTUNREACH, drops=(Drop(DropReason.IP_OUTNOROUTES, "__ip_queue_xmit", EHOSTUNREACH),))
        result.mibs.update((Mib.OUT_NO_ROUTES, *(route.mibs if isinstance(route, Refused) else ())))
        return result.failed(EHOSTUNREACH)
    flow = result.flow = flow._replace(saddr=flow.saddr or route.prefsrc)
    df = FLAG_DF if ip_dont_fragment(sock, route) and segment.fragmenting is Fragmenting.BY_DF else 0
    header = _header(sock, flow, df, len(options.data))._replace(ttl=ip_select_ttl(sock, route, net))
    header = header._replace(id=ip_select_ident(net, header, sock, segment.fragmenting, segment.gso_segments))
    text = _options_text(options, sock.daddr, flow.saddr, segment.now_ns)
    skb = _datagram(build(header) + text + segment.data, route, segment.now_ns, options, sock.mark)
    skb.ignore_df = segment.fragmenting is Fragmenting.ALLOWED
    output = result.output = ip_local_out(skb, net, owner_of(sock))
    result.mibs.update(output.mibs)
    return result.failed(output.errno)


def _header(sock: InetSock, flow: OutputFlow, frag_off: int, optlen: int) -> Ipv4Header:
    version_ihl = 0x45 + optlen // 4
    return Ipv4Header(version_ihl, sock.tos, 0, 0, frag_off, 0, sock.protocol, 0, flow.saddr, flow.daddr)


def _options_text(options: OutgoingOptions, daddr: int, source: int, now_ns: int) -> bytes:
    return ip_options_build(options, daddr, source, inet_current_timestamp(now_ns)) if options.data else b""


def _datagram(data: bytes, route: Route, now_ns: int, options: OutgoingOptions, mark: int) -> SkBuff:
    cb = IpControlBlock(options=options.places)
    return SkBuff(data, route.dev, PacketType.OUTGOING, now_ns, route, cb, mark=mark)


class Answer(NamedTuple):
    """Between whom a ready segment goes, on which route, with which options."""

    segment: Segment
    route: Route
    saddr: int
    daddr: int
    options: OutgoingOptions = NO_OPTIONS
    tos: int = 0


def ip_build_and_send_pkt(answer: Answer, sock: InetSock, net: NetNamespace) -> Output:
    """Send a segment of a socket that is not connected yet, as TCP does with its SYN-ACK.

    Kernel: net/ipv4/ip_output.c
    """
    options, segment = answer.options, answer.segment
    length = HEADER_BYTES + len(options.data) + len(segment.data)
    draws = net.host.kernel.answer_ident
    small = draws is AnswerIdent.BY_SIZE and length <= SMALL_ANSWER_BYTES
    whole = small or ip_dont_fragment(sock, answer.route)
    daddr = options.first_hop(answer.daddr)
    flow = OutputFlow(daddr, answer.saddr)
    header = _header(sock, flow, FLAG_DF if whole else 0, len(options.data))
    header = header._replace(tos=answer.tos, ttl=ip_select_ttl(sock, answer.route, net))
    if not whole:
        header = header._replace(id=net.idents.reserve(answer.saddr, daddr, sock.protocol))
    text = _options_text(options, answer.daddr, answer.saddr, segment.now_ns)
    skb = _datagram(build(header) + text + segment.data, answer.route, segment.now_ns, options, sock.mark)
    return ip_local_out(skb, net, owner_of(sock))


class Reply(NamedTuple):
    """The answer to a datagram, from the host and not from any of its sockets."""

    segment: bytes
    saddr: int
    daddr: int
    ports: tuple[int, int] = (0, 0)
    tos: int = 0
    bound_dev: str = ""


def ip_send_unicast_reply(received: SkBuff, reply: Reply, net: NetNamespace) -> Output | None:
    """Answer a datagram, as TCP does with a reset; None: silence, and no counter says so.

    Kernel: net/ipv4/ip_output.c
    """
    header_bytes = read(received.data).header_bytes
    options = ip_options_echo(received.data[:header_bytes], received.cb.options, ours_in(net.routing.tables))
    if options is None:
        return None
    mark = received.mark if net.host.net.fwmark_reflect else 0
    sock = InetSock(SockKind.RAW, PROTO_TCP, PmtuDisc.DO, tos=reply.tos, bound_dev=reply.bound_dev, mark=mark)
    sock.memory.sndbuf = net.host.net.wmem_default
    flow = OutputFlow(
        options.first_hop(reply.daddr),
        reply.saddr,
        reply.tos & TOS_BITS,
        reply.bound_dev or net.routing.tables.vrfs.get(received.dev, ""),
        PROTO_TCP,
        mark,
        sport=reply.ports[0],
        dport=reply.ports[1],
        now_ns=received.tstamp_ns,
        any_source=True,
    )
    route = ip_route_output_flow(flow, net.routing)
    if isinstance(route, Refused):
        return None
    cookie = ipcm_init_sk(sock)
    cookie.options = options
    cork = ip_setup_cork(sock, cookie, flow._replace(saddr=flow.saddr or route.prefsrc), route, net)
    if not isinstance(cork, InetCork):
        return None
    cork.addr = reply.daddr
    return _replied(sock, cork, reply.segment, net, received.tstamp_ns)


def _replied(sock: InetSock, cork: InetCork, segment: bytes, net: NetNamespace, now_ns: int) -> Output | None:
    if ip_append_data(cork.base, sock.memory, segment, 0, SendFlag.DONTWAIT):
        return None
    sock.pending = cork
    skb = ip_finish_skb(sock, net, now_ns)
    if skb is None:
        return None
    result = SendResult()
    ip_send_skb(skb, sock, net, result)
    release(sock, cork.base.queue)
    if result.output is not None:
        result.output.mibs = result.mibs
    return result.output
