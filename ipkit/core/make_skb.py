"""From a queue of buffers to one datagram with its IP header, and the datagram on its way.

Law: what UDP or a raw socket puts behind the IP header is not known here; a datagram is what the first piece's cork
says and what the queue holds.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from errno import ENETUNREACH
from typing import Final, NamedTuple

from ipkit.core.append_data import HEAD_SIZES, Cork, Device, QueuedSkb, SendFlag, ip_append_data
from ipkit.core.cmsg import IpcmCookie
from ipkit.core.host.config import Link, LinkKind
from ipkit.core.host.fib import Route, RouteType
from ipkit.core.host.kernel import MinimumMtu
from ipkit.core.inet_sock import NO_OPTIONS, InetCork, InetSock, PmtuDisc
from ipkit.core.ip_options import inet_current_timestamp, ip_options_build
from ipkit.core.outcome.counters import Mib
from ipkit.core.output import Output, Owner, SizedBy, ip_local_out
from ipkit.core.route import OutputFlow, dst_mtu, ip4_dst_hoplimit, ip_mtu_locked
from ipkit.core.route_mtu import IP_MAX_MTU
from ipkit.core.select_ident import Fragmenting, ip_select_ident
from ipkit.core.skbuff import IpControlBlock, PacketType, SkBuff
from ipkit.core.state.netns import NetNamespace
from ipkit.core.wire.ipv4 import FLAG_DF, Ipv4Header, build

LEAST_MTU: Final = 68


class Message(NamedTuple):
    """What a program hands to one send call."""

    data: bytes
    to: tuple[int, int] | None = None  # address and port; None: where the socket is connected to
    control: bytes = b""
    flags: SendFlag = SendFlag.NONE
    now_ns: int = 0


@dataclass(slots=True)
class SendResult:
    """What became of one send call."""

    errno: int = 0
    output: Output | None = None  # None: nothing was handed to the way out
    mibs: Counter[Mib] = field(default_factory=Counter)
    built: tuple[QueuedSkb, ...] = ()  # the buffers of the datagram that was sent or thrown away
    flow: OutputFlow | None = None  # where it was meant to go

    def failed(self, errno: int) -> SendResult:
        """Note the errno that ends the call."""
        self.errno = errno
        return self


def ip_dont_fragment(sock: InetSock, route: Route) -> bool:
    """Tell whether a socket's datagrams say DF.

    Kernel: include/net/ip.h
    """
    return sock.pmtudisc is PmtuDisc.DO or (sock.pmtudisc is PmtuDisc.WANT and not ip_mtu_locked(route))


def ip_select_ttl(sock: InetSock, route: Route, net: NetNamespace) -> int:
    """Return the TTL of a unicast datagram.

    Kernel: net/ipv4/ip_output.c
    """
    return sock.uc_ttl if sock.uc_ttl >= 0 else ip4_dst_hoplimit(route, net.host)


def device_of(link: Link) -> Device:
    """Return what appending asks of a device."""
    able = link.kind is LinkKind.LOOPBACK
    return Device(able or "sg" in link.features, able or "hw_csum" in link.features)


def ip_setup_cork(
    sock: InetSock, cookie: IpcmCookie, flow: OutputFlow, route: Route, net: NetNamespace
) -> InetCork | int:
    """Settle what holds for all pieces of a datagram; an errno where the route is too narrow for any.

    Kernel: net/ipv4/ip_output.c
    """
    host = net.host
    link = host.links[route.dev]
    by_route = sock.pmtudisc.use_pmtu
    fragsize = dst_mtu(route, host, flow.now_ns) if by_route else min(link.mtu, IP_MAX_MTU)
    if fragsize < LEAST_MTU and host.kernel.minimum_mtu is MinimumMtu.ENETUNREACH:
        return ENETUNREACH
    options = cookie.options if cookie.options is not None else sock.options
    base = Cork(
        fragsize,
        len(options.data),
        sock.pmtudisc.ignore_df,
        device_of(link),
        cookie.gso_size,
        smallest_heads=HEAD_SIZES[host.kernel.skb_heads],
        paged_split=host.kernel.paged_split,
    )
    return InetCork(base, flow, route, options, flow.daddr, cookie.ttl, cookie.tos, cookie.mark)


def ip_make_skb(
    sock: InetSock, cork: InetCork, message: Message, transhdrlen: int, net: NetNamespace
) -> SkBuff | int | None:
    """Build a datagram at one go on a queue of its own; an errno, or None where only a probe was asked for.

    Kernel: net/ipv4/ip_output.c
    """
    if message.flags & SendFlag.PROBE:
        return None
    error = ip_append_data(cork.base, sock.memory, message.data, transhdrlen, message.flags)
    if error:
        return error
    return __ip_make_skb(sock, cork, net, message.now_ns)


def ip_finish_skb(sock: InetSock, net: NetNamespace, now_ns: int) -> SkBuff | None:
    """Build the datagram from what a socket holds back.

    Kernel: include/net/ip.h
    """
    cork, sock.pending = sock.pending, None
    return __ip_make_skb(sock, cork, net, now_ns) if cork is not None and cork.base.queue else None


def __ip_make_skb(sock: InetSock, cork: InetCork, net: NetNamespace, now_ns: int) -> SkBuff:
    route, queue = cork.route, cork.base.queue
    header_bytes = cork.base.fragheaderlen
    total = cork.base.length + header_bytes
    forced = sock.pmtudisc in (PmtuDisc.DO, PmtuDisc.PROBE)
    fits = total <= dst_mtu(route, net.host, now_ns)
    df = FLAG_DF if forced or (fits and ip_dont_fragment(sock, route)) else 0
    header = Ipv4Header(
        version_ihl=0x45 + cork.base.optlen // 4,
        tos=cork.tos if cork.tos != -1 else sock.tos,
        tot_len=0,
        id=0,
        frag_off=df,
        ttl=cork.ttl or (sock.mc_ttl if route.type is RouteType.MULTICAST else ip_select_ttl(sock, route, net)),
        protocol=sock.protocol,
        check=0,
        saddr=cork.flow.saddr,
        daddr=cork.flow.daddr,
    )
    fragmenting = Fragmenting.ALLOWED if sock.pmtudisc.ignore_df else Fragmenting.BY_DF
    header = header._replace(id=ip_select_ident(net, header, sock, fragmenting))
    head = build(header) + built_options(cork, now_ns) + queue[0].contents(header_bytes)
    outgoing = PacketType.OUTGOING
    pieces = tuple([SkBuff(skb.contents(header_bytes), route.dev, outgoing, now_ns, cb=NO_CB) for skb in queue[1:]])
    return SkBuff(
        head,
        route.dev,
        PacketType.OUTGOING,
        now_ns,
        route,
        IpControlBlock(options=cork.options.places),
        sock.pmtudisc.ignore_df,
        pieces,
        mark=cork.mark,
    )


NO_CB: Final = IpControlBlock()


def built_options(cork: InetCork, now_ns: int) -> bytes:
    """Return the options of a datagram as they leave."""
    if cork.options is NO_OPTIONS:
        return b""
    return ip_options_build(cork.options, cork.addr, cork.flow.saddr, inet_current_timestamp(now_ns))


def owner_of(sock: InetSock) -> Owner:
    """Return what a socket decides about its packets on their way out."""
    return Owner(SizedBy.ROUTE if sock.pmtudisc.use_pmtu else SizedBy.DEVICE, sock.mc_loop)


def ip_send_skb(skb: SkBuff, sock: InetSock, net: NetNamespace, result: SendResult) -> int:
    """Hand a datagram to the way out; what keeps it from leaving counts as discarded.

    Kernel: net/ipv4/ip_output.c
    """
    output = result.output = ip_local_out(skb, net, owner_of(sock))
    result.mibs.update(output.mibs)
    if output.errno:
        result.mibs[Mib.OUT_DISCARDS] += 1
    return output.errno


def release(sock: InetSock, queue: list[QueuedSkb]) -> None:
    """Give the memory of buffers back: they have left, or were thrown away."""
    sock.memory.allocated -= sum(skb.truesize for skb in queue)
