"""What a raw socket does with a send call, with the IP header written here or by the program.

Law: the order of the tests is the kernel's. Of a header that the program wrote only length, checksum, and what it left
at zero of source and identification are filled in.
"""

from __future__ import annotations

from dataclasses import replace
from errno import (
    EACCES,
    EAGAIN,
    EDESTADDRREQ,
    EINVAL,
    EMSGSIZE,
    ENOBUFS,
    EOPNOTSUPP,
    EPERM,
    EPIPE,
)
from types import MappingProxyType
from typing import Final

from ipkit.core.append_data import SendFlag, Shutdown, ip_append_data
from ipkit.core.cmsg import IpcmCookie, ip_cmsg_send, ipcm_init_sk
from ipkit.core.defrag import DefragUser
from ipkit.core.fragment import ETHERNET_RESERVED_SPACE
from ipkit.core.hooks import HookPoint, HookVerdict, nf_hook
from ipkit.core.host.fib import SCOPE_LINK, Route, RouteFlag
from ipkit.core.host.kernel import HeaderTooShort
from ipkit.core.inet_sock import InetCork, InetSock, LocalError
from ipkit.core.make_skb import (
    Message,
    SendResult,
    ip_finish_skb,
    ip_send_skb,
    ip_setup_cork,
    owner_of,
    release,
)
from ipkit.core.nf_defrag import nf_ct_ipv4_gather_frags
from ipkit.core.outcome.counters import Mib
from ipkit.core.output import dst_output
from ipkit.core.route import OutputFlow, Refused
from ipkit.core.route_flow import is_multicast
from ipkit.core.select_ident import Fragmenting, ip_select_ident
from ipkit.core.skbuff import Buffer, PacketType, SkBuff
from ipkit.core.state.netns import NetNamespace
from ipkit.core.wire import icmp
from ipkit.core.wire.checksum import with_header_checksum
from ipkit.core.wire.ipv4 import HEADER_BYTES, MAX_TOTAL_BYTES, PROTO_ICMP, PROTO_RAW, Ipv4Header, build, read
from ipkit.core.xfrm import ip_route_output_flow

ICMP_COUNTED: Final = MappingProxyType(
    {
        icmp.ECHOREPLY: (Mib.ICMP_OUT_ECHO_REPS, Mib.ICMP_MSG_OUT_TYPE0),
        icmp.DEST_UNREACH: (Mib.ICMP_OUT_DEST_UNREACHS, Mib.ICMP_MSG_OUT_TYPE3),
        icmp.SOURCE_QUENCH: (Mib.ICMP_OUT_SRC_QUENCHS, Mib.ICMP_MSG_OUT_TYPE4),
        icmp.REDIRECT: (Mib.ICMP_OUT_REDIRECTS, Mib.ICMP_MSG_OUT_TYPE5),
        icmp.ECHO: (Mib.ICMP_OUT_ECHOS, Mib.ICMP_MSG_OUT_TYPE8),
        icmp.TIME_EXCEEDED: (Mib.ICMP_OUT_TIME_EXCDS, Mib.ICMP_MSG_OUT_TYPE11),
        icmp.PARAMETERPROB: (Mib.ICMP_OUT_PARM_PROBS, Mib.ICMP_MSG_OUT_TYPE12),
        icmp.TIMESTAMP: (Mib.ICMP_OUT_TIMESTAMPS, Mib.ICMP_MSG_OUT_TYPE13),
        icmp.TIMESTAMPREPLY: (Mib.ICMP_OUT_TIMESTAMP_REPS, Mib.ICMP_MSG_OUT_TYPE14),
        icmp.ADDRESS: (Mib.ICMP_OUT_ADDR_MASKS, Mib.ICMP_MSG_OUT_TYPE17),
        icmp.ADDRESSREPLY: (Mib.ICMP_OUT_ADDR_MASK_REPS, Mib.ICMP_MSG_OUT_TYPE18),
    }
)
"""What is counted for each type of message that somebody sends, besides the message itself."""


def raw_sendmsg(sock: InetSock, message: Message, net: NetNamespace) -> SendResult:
    """Send what a program wrote behind the IP header, or behind nothing at all.

    Kernel: net/ipv4/raw.c
    """
    result = SendResult()
    found = _raw_cookie(sock, message, net)
    if isinstance(found, int):
        return result.failed(found)
    flow = _raw_flow(sock, message, found, net)
    result.flow = flow
    if _source_route_to_nowhere(sock, message, found):
        return result.failed(EINVAL)
    route = ip_route_output_flow(flow, net.routing)
    if isinstance(route, Refused):
        result.mibs.update(route.mibs)
        return result.failed(route.errno)
    if route.flags & RouteFlag.BROADCAST and not sock.broadcast:
        return result.failed(EACCES)
    flow = result.flow = flow._replace(saddr=route.prefsrc, daddr=flow.daddr or route.prefsrc)
    if sock.hdrincl:
        # The next hop is the one that was looked up, whatever destination the header names.
        route = replace(route, gateway=route.gateway or flow.daddr)
        result.errno = raw_send_hdrinc(sock, message, route, net, result)
        return _without_enobufs(sock, result)
    cork = sock.pending
    if cork is None:
        made = ip_setup_cork(sock, found, flow, route, net)
        if isinstance(made, int):
            return result.failed(made)
        made.addr = _final_destination(sock, message)
        cork = made
    cork.flow = flow  # the addresses of the last call, though the first one settled the route
    return _raw_append(sock, cork, message, net, result)


def _raw_cookie(sock: InetSock, message: Message, net: NetNamespace) -> IpcmCookie | int:
    """Return what the call wants, or the errno that refuses it before any route is looked up."""
    if len(message.data) > MAX_TOTAL_BYTES:
        return EMSGSIZE
    if message.flags & SendFlag.OOB:
        return EOPNOTSUPP
    if message.to is None and not sock.daddr:
        return EDESTADDRREQ
    cookie = ipcm_init_sk(sock)
    error = ip_cmsg_send(sock, message.control, net, cookie)
    if error:
        return error
    cookie.gso_size = 0
    options = cookie.options if cookie.options is not None else sock.options
    return EINVAL if options.data and sock.hdrincl else cookie


def _source_route_to_nowhere(sock: InetSock, message: Message, cookie: IpcmCookie) -> bool:
    options = cookie.options if cookie.options is not None else sock.options
    return bool(options.places.srr) and not _final_destination(sock, message)


def _final_destination(sock: InetSock, message: Message) -> int:
    return message.to[0] if message.to is not None else sock.daddr


def _raw_flow(sock: InetSock, message: Message, cookie: IpcmCookie, net: NetNamespace) -> OutputFlow:
    """Return what the route is looked up by."""
    options = (cookie.options if cookie.options is not None else sock.options).places
    daddr = _final_destination(sock, message)
    to_many = is_multicast(daddr)
    on_link = sock.dontroute or message.flags & SendFlag.DONTROUTE or options.is_strictroute
    protocol = (cookie.protocol or PROTO_RAW) if sock.hdrincl else sock.protocol
    kind = message.data[:2] if sock.protocol == PROTO_ICMP and not sock.hdrincl else b""
    return OutputFlow(
        options.faddr if options.srr else daddr,
        cookie.addr or (sock.mc_addr if to_many else 0),
        (cookie.tos if cookie.tos != -1 else sock.tos) & 0xFF,
        cookie.oif or (sock.mc_dev if to_many else sock.uc_dev),
        protocol,
        cookie.mark,
        dport=int.from_bytes(kind, "big"),  # type and code take the place of a port in the kernel's key
        now_ns=message.now_ns,
        scope=SCOPE_LINK if on_link else 0,
        any_source=sock.hdrincl,
    )


def _raw_append(sock: InetSock, cork: InetCork, message: Message, net: NetNamespace, result: SendResult) -> SendResult:
    sock.pending = cork
    if message.flags & SendFlag.PROBE:
        sock.pending = cork if cork.base.queue else None
        return result
    error = ip_append_data(cork.base, sock.memory, message.data, 0, message.flags)
    if error:
        result.mibs[Mib.OUT_DISCARDS] += cork.base.discards
        if not cork.base.discards and sock.recverr:
            info = cork.base.mtu - cork.base.optlen
            sock.errors.append(LocalError(EMSGSIZE, info, sock.dport, cork.flow.daddr))
        result.built = tuple(cork.base.queue)
        sock.pending = None
        release(sock, cork.base.queue)
        return _without_enobufs(sock, result.failed(error))
    if not message.flags & SendFlag.MORE:
        result.errno = ip_push_pending_frames(sock, net, message.now_ns, result)
    return _without_enobufs(sock, result)


def ip_push_pending_frames(sock: InetSock, net: NetNamespace, now_ns: int, result: SendResult) -> int:
    """Let go what a raw socket holds back.

    Kernel: net/ipv4/ip_output.c
    """
    cork = sock.pending
    skb = ip_finish_skb(sock, net, now_ns)
    if cork is None or skb is None:
        return 0
    result.built = tuple(cork.base.queue)
    if sock.protocol == PROTO_ICMP:
        icmp_out_count(skb.linear[cork.base.fragheaderlen :], result)
    error = ip_send_skb(skb, sock, net, result)
    release(sock, cork.base.queue)
    return error


def icmp_out_count(message: bytes, result: SendResult) -> None:
    """Count an ICMP message that leaves.

    Kernel: net/ipv4/icmp.c
    """
    if message:
        result.mibs.update((Mib.ICMP_OUT_MSGS, *ICMP_COUNTED.get(message[0], ())))


def _without_enobufs(sock: InetSock, result: SendResult) -> SendResult:
    """Hide that memory ran out from a program that did not ask for errors."""
    if result.errno == ENOBUFS and not sock.recverr:
        result.errno = 0
    return result


def raw_send_hdrinc(sock: InetSock, message: Message, route: Route, net: NetNamespace, result: SendResult) -> int:
    """Send a datagram whose header the program wrote; it is never fragmented.

    Kernel: net/ipv4/raw.c
    """
    data = message.data
    mtu = net.host.links[route.dev].mtu
    if len(data) > mtu:
        if sock.recverr:
            daddr = result.flow.daddr if result.flow is not None else 0
            sock.errors.append(LocalError(EMSGSIZE, mtu, sock.dport, daddr))
        return EMSGSIZE
    if len(data) < HEADER_BYTES:
        return EINVAL
    if message.flags & SendFlag.PROBE:
        return 0
    late = _no_memory(sock, message) or _header_refusal(read(data), len(data), net)
    if late:
        result.mibs[Mib.OUT_DISCARDS] += 1
        return late
    if read(data).header_bytes >= HEADER_BYTES:
        data = _completed(data, route, net)
    return _sent_as_written(sock, message._replace(data=data), route, net, result)


def _no_memory(sock: InetSock, message: Message) -> int:
    memory = sock.memory
    if memory.shutdown is Shutdown.SEND:
        return EPIPE
    return EAGAIN if message.flags & SendFlag.DONTWAIT and memory.allocated - 1 >= memory.sndbuf else 0


def _header_refusal(header: Ipv4Header, length: int, net: NetNamespace) -> int:
    if header.header_bytes > length:
        return EINVAL
    too_short = header.header_bytes < HEADER_BYTES
    return EINVAL if too_short and net.host.kernel.header_too_short is HeaderTooShort.EINVAL else 0


def _completed(data: bytes, route: Route, net: NetNamespace) -> bytes:
    """Fill in what the program may leave open."""
    header = read(data)
    header = header._replace(tot_len=len(data), saddr=header.saddr or route.prefsrc)
    if not header.id:
        header = header._replace(id=ip_select_ident(net, header, None, Fragmenting.BY_DF))
    return with_header_checksum(build(header) + data[HEADER_BYTES : header.header_bytes]) + data[header.header_bytes :]


def _sent_as_written(sock: InetSock, message: Message, route: Route, net: NetNamespace, result: SendResult) -> int:
    data = message.data
    header = read(data)
    if header.protocol == PROTO_ICMP and len(data) >= header.header_bytes + icmp.HEADER_BYTES:
        icmp_out_count(data[header.header_bytes :], result)
    skb = SkBuff(data, route.dev, PacketType.OUTGOING, message.now_ns, route, mark=sock.mark)
    if net.host.conntrack and header.is_fragment and not sock.nodefrag:
        skb.buffer = Buffer(ETHERNET_RESERVED_SPACE)
        gathered = nf_ct_ipv4_gather_frags(skb, DefragUser.CONNTRACK_OUT, net)
        result.mibs.update(gathered.mibs)
        if not isinstance(gathered.outcome, SkBuff):
            return 0
    answer = nf_hook(net.host, HookPoint.LOCAL_OUT, skb.linear, oif=route.dev)
    if answer is HookVerdict.STOLEN:
        return 0
    error = EPERM
    if answer is HookVerdict.ACCEPT:
        result.output = dst_output(skb, net, owner_of(sock))
        result.mibs.update(result.output.mibs)
        error = result.output.errno
    result.mibs[Mib.OUT_DISCARDS] += bool(error)
    return error
