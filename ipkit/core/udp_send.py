"""What UDP does with a send call: validation, route, cork, header and checksum.

Law: the order of the tests is the kernel's; each ends the call with the errno a program sees.
"""

from __future__ import annotations

from errno import (
    EACCES,
    EDESTADDRREQ,
    EINVAL,
    EIO,
    EMSGSIZE,
    ENETUNREACH,
    ENOBUFS,
    EOPNOTSUPP,
)
from typing import Final, NamedTuple

from ipkit.core.append_data import CsumMode, QueuedSkb, SendFlag, ip_append_data
from ipkit.core.cmsg import IpcmCookie, ip_cmsg_send, ipcm_init_sk
from ipkit.core.host.fib import SCOPE_LINK, RouteFlag
from ipkit.core.host.kernel import UdpGso
from ipkit.core.inet_sock import InetCork, InetSock, LocalError, SockKind
from ipkit.core.make_skb import (
    Message,
    SendResult,
    ip_finish_skb,
    ip_make_skb,
    ip_send_skb,
    ip_setup_cork,
    release,
)
from ipkit.core.outcome.counters import Mib
from ipkit.core.route import OutputFlow, Refused
from ipkit.core.route_flow import is_multicast
from ipkit.core.skbuff import SkBuff
from ipkit.core.state.netns import NetNamespace
from ipkit.core.wire.checksum import csum_partial, csum_tcpudp_magic
from ipkit.core.wire.ipv4 import MAX_TOTAL_BYTES, PROTO_UDP
from ipkit.core.wire.transport import UDP_HEADER_BYTES, UdpHeader, build_udp
from ipkit.core.xfrm import ip_route_output_flow


class _GsoRules(NamedTuple):
    segments: int
    too_big: int


GSO_RULES: Final = {UdpGso.SEGMENTS_64: _GsoRules(64, EINVAL), UdpGso.SEGMENTS_128: _GsoRules(128, EMSGSIZE)}


def udp_sendmsg(sock: InetSock, message: Message, net: NetNamespace) -> SendResult:
    """Send a message, or add it to the datagram that the socket holds back.

    Kernel: net/ipv4/udp.c
    """
    result = SendResult()
    if len(message.data) > MAX_TOTAL_BYTES:
        return result.failed(EMSGSIZE)
    if message.flags & SendFlag.OOB:
        return result.failed(EOPNOTSUPP)
    message = message._replace(flags=_flags(sock, message.flags))
    if sock.pending is not None:
        return _append(sock, sock.pending, message, net, result)
    made = _udp_cork(sock, message, net, result)
    if isinstance(made, int):
        return result.failed(made)
    if made is None:
        return result
    if message.flags & SendFlag.MORE:
        made.flow = made.flow._replace(daddr=made.addr)  # the final destination, though a source route leads there
        sock.pending = made
        return _append(sock, made, message, net, result)
    skb = ip_make_skb(sock, made, message, UDP_HEADER_BYTES, net)
    result.built = tuple(made.base.queue)
    if isinstance(skb, SkBuff):
        result.errno = udp_send_skb(skb, made, sock, net, result)
    elif skb:
        result.errno = _append_failed(sock, made, skb, result)
    release(sock, made.base.queue)
    return _ended(result)


def _flags(sock: InetSock, flags: SendFlag) -> SendFlag:
    """Return the flags of a call, with what the socket's own settings make of them."""
    if sock.corked:
        flags |= SendFlag.MORE
    return flags if sock.zerocopy else flags & ~SendFlag.ZEROCOPY


def _udp_cork(sock: InetSock, message: Message, net: NetNamespace, result: SendResult) -> InetCork | int | None:
    """Find out where a first piece goes; an errno, or None where a probe of the neighbour was all that was asked."""
    if message.to is not None and not message.to[1]:
        return EINVAL
    if message.to is None and not sock.daddr:
        return EDESTADDRREQ
    daddr, dport = message.to or (sock.daddr, sock.dport)
    cookie = ipcm_init_sk(sock)
    error = ip_cmsg_send(sock, message.control, net, cookie)
    if error:
        return error
    options = cookie.options if cookie.options is not None else sock.options
    if options.places.srr and not daddr:
        return EINVAL
    flow = _flow(sock, message, cookie, daddr, net)._replace(
        daddr=options.places.faddr if options.places.srr else daddr, sport=sock.sport, dport=dport
    )
    if options.places.is_strictroute:
        flow = flow._replace(scope=SCOPE_LINK)
    result.flow = flow
    route = ip_route_output_flow(flow, net.routing)
    if isinstance(route, Refused):
        result.mibs[Mib.OUT_NO_ROUTES] += route.errno == ENETUNREACH
        result.mibs.update(route.mibs)
        return route.errno
    if route.flags & RouteFlag.BROADCAST and not sock.broadcast:
        return EACCES
    if message.flags & SendFlag.CONFIRM and message.flags & SendFlag.PROBE and not message.data:
        return None
    flow = flow._replace(saddr=route.prefsrc, daddr=flow.daddr or route.prefsrc)
    result.flow = flow
    cork = ip_setup_cork(sock, cookie, flow, route, net)
    if isinstance(cork, InetCork) and options.places.srr:
        cork.addr = daddr
    return cork


def _flow(sock: InetSock, message: Message, cookie: IpcmCookie, daddr: int, net: NetNamespace) -> OutputFlow:
    """Return what the route is looked up by, before the destination is filled in."""
    saddr, oif = cookie.addr, cookie.oif
    if is_multicast(daddr):
        oif = oif or sock.mc_dev
        saddr = saddr or sock.mc_addr
    else:
        oif = oif or sock.uc_dev
    on_link = sock.dontroute or message.flags & SendFlag.DONTROUTE
    return OutputFlow(
        0,
        saddr,
        (cookie.tos if cookie.tos != -1 else sock.tos) & 0xFF,
        oif,
        sock.protocol,
        cookie.mark,
        now_ns=message.now_ns,
        scope=SCOPE_LINK if on_link else 0,
    )


def _append(sock: InetSock, cork: InetCork, message: Message, net: NetNamespace, result: SendResult) -> SendResult:
    """Add a piece to what is held back, and let it go if nothing more is to come."""
    result.flow = cork.flow
    error = ip_append_data(cork.base, sock.memory, message.data, UDP_HEADER_BYTES, message.flags)
    if error:
        result.errno = _append_failed(sock, cork, error, result)
        result.built = udp_flush_pending_frames(sock)
        return _ended(result)
    if message.flags & SendFlag.MORE:
        if not cork.base.queue:
            sock.pending = None
        return result
    return udp_push_pending_frames(sock, net, message.now_ns, result)


def _append_failed(sock: InetSock, cork: InetCork, error: int, result: SendResult) -> int:
    """Note what an error of appending leaves behind: a counter, or an entry on the error queue."""
    if cork.base.discards:
        result.mibs[Mib.OUT_DISCARDS] += cork.base.discards
    elif sock.recverr:
        info = cork.base.mtu - cork.base.optlen
        sock.errors.append(LocalError(EMSGSIZE, info, sock.dport, cork.flow.daddr))
    return error


def udp_flush_pending_frames(sock: InetSock) -> tuple[QueuedSkb, ...]:
    """Throw away what a socket holds back and return it.

    Kernel: net/ipv4/udp.c
    """
    cork, sock.pending = sock.pending, None
    if cork is None:
        return ()
    release(sock, cork.base.queue)
    return tuple(cork.base.queue)


def udp_push_pending_frames(sock: InetSock, net: NetNamespace, now_ns: int, result: SendResult) -> SendResult:
    """Let go what a socket holds back.

    Kernel: net/ipv4/udp.c
    """
    cork = sock.pending
    skb = ip_finish_skb(sock, net, now_ns)
    if cork is not None and skb is not None:
        result.built = tuple(cork.base.queue)
        result.flow = cork.flow
        result.errno = udp_send_skb(skb, cork, sock, net, result)
        release(sock, cork.base.queue)
    return _ended(result)


def udp_send_skb(skb: SkBuff, cork: InetCork, sock: InetSock, net: NetNamespace, result: SendResult) -> int:
    """Put the UDP header and its checksum in front, mark what stands for many, and send.

    Kernel: net/ipv4/udp.c
    """
    at = cork.base.fragheaderlen
    length = skb.length - at
    if cork.base.gso_size:
        error = _mark_segments(skb, cork, sock, length - UDP_HEADER_BYTES, net)
        if error:
            return error
    udp = build_udp(UdpHeader(sock.sport, cork.flow.dport, length, 0))
    check = 0 if sock.no_check else _udp_check(udp, skb, cork)
    skb.data = skb.data[:at] + udp[:6] + check.to_bytes(2, "big") + skb.data[at + UDP_HEADER_BYTES :]
    error = ip_send_skb(skb, sock, net, result)
    if error == ENOBUFS and not sock.recverr:
        result.mibs[Mib.UDP_SNDBUF_ERRORS] += 1
        return 0
    result.mibs[Mib.UDP_OUT_DATAGRAMS] += not error
    return error


def _udp_check(udp: bytes, skb: SkBuff, cork: InetCork) -> int:
    """Return the checksum: from the sums made while copying, or by the card where those were left to it."""
    queue = cork.base.queue
    if queue[0].csum_mode is CsumMode.PARTIAL:
        total = csum_partial(skb.linear[cork.base.fragheaderlen :])
    else:
        total = sum(piece.csum for piece in queue)
    addresses = (cork.flow.saddr, cork.flow.daddr)
    length = skb.length - cork.base.fragheaderlen
    return csum_tcpudp_magic(addresses, PROTO_UDP, length, csum_partial(udp) + total) or 0xFFFF


def _mark_segments(skb: SkBuff, cork: InetCork, sock: InetSock, payload: int, net: NetNamespace) -> int:
    """Judge a message that is to leave in segments; return the errno that refuses it."""
    rules, size = GSO_RULES[net.host.kernel.udp_gso], cork.base.gso_size
    headers = cork.base.fragheaderlen + UDP_HEADER_BYTES
    strict = net.host.kernel.udp_gso is UdpGso.SEGMENTS_64
    if headers + (size if strict else min(payload, size)) > cork.base.fragsize:
        return rules.too_big
    if (skb.length if strict else payload) > size * rules.segments or sock.no_check:
        return EINVAL
    left_to_card = cork.base.queue[0].csum_mode is CsumMode.PARTIAL
    if sock.kind is SockKind.UDPLITE or (strict and not left_to_card):
        return EIO
    if strict or payload > size:
        skb.gso_size = size
    return 0


def _ended(result: SendResult) -> SendResult:
    result.mibs[Mib.UDP_SNDBUF_ERRORS] += result.errno == ENOBUFS
    return result
