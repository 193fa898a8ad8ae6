"""A socket from its opening to its first send: what is settled before any message.

Law: the kernel's own defaults, and what connecting finds out.
"""

from __future__ import annotations

from errno import EACCES, ENETUNREACH
from random import Random

from ipkit.core.host.config import HostConfig
from ipkit.core.host.fib import RouteFlag
from ipkit.core.inet_sock import InetSock, PmtuDisc, SockKind
from ipkit.core.make_skb import SendResult
from ipkit.core.outcome.counters import Mib
from ipkit.core.route import OutputFlow, Refused
from ipkit.core.route_flow import is_multicast
from ipkit.core.sockopts import setsockopt
from ipkit.core.state.netns import NetNamespace
from ipkit.core.udp_send import udp_push_pending_frames
from ipkit.core.wire.ipv4 import PROTO_RAW
from ipkit.core.xfrm import ip_route_output_flow


def open_socket(kind: SockKind, protocol: int, host: HostConfig, seed: int = 0) -> InetSock:
    """Return a new socket with the host's defaults (inet_create)."""
    sock = InetSock(kind, protocol, PmtuDisc.DONT if host.net.ip_no_pmtu_disc else PmtuDisc.WANT)
    sock.memory.sndbuf = host.net.wmem_default
    sock.ident = Random(f"socket/{seed}").getrandbits(16)
    sock.hdrincl = kind is SockKind.RAW and protocol == PROTO_RAW
    return sock


def connect(sock: InetSock, daddr: int, dport: int, net: NetNamespace) -> SendResult:
    """Fix the destination of a socket, and its source by the route there.

    Kernel: ip4_datagram_connect in net/ipv4/datagram.c
    """
    to_many = is_multicast(daddr)
    flow = OutputFlow(
        daddr,
        sock.saddr or (sock.mc_addr if to_many else 0),
        sock.tos,
        sock.bound_dev or (sock.mc_dev if to_many else sock.uc_dev),
        sock.protocol,
        sock.mark,
        sport=sock.sport,
        dport=dport,
    )
    result = SendResult(flow=flow)
    route = ip_route_output_flow(flow, net.routing)
    if isinstance(route, Refused):
        result.mibs[Mib.OUT_NO_ROUTES] += route.errno == ENETUNREACH
        result.mibs.update(route.mibs)
        return result.failed(route.errno)
    if route.flags & RouteFlag.BROADCAST and not sock.broadcast:
        return result.failed(EACCES)
    sock.saddr = sock.saddr or route.prefsrc
    sock.daddr, sock.dport = daddr or route.prefsrc, dport
    return result


def set_option(sock: InetSock, name: str, value: bytes, net: NetNamespace) -> SendResult:
    """Set a socket option; taking the cork out lets go what it held back.

    Kernel: udp_lib_setsockopt in net/ipv4/udp.c
    """
    result = SendResult()
    was_corked = sock.corked
    result.errno = setsockopt(sock, name, value, net)
    if was_corked and not sock.corked and sock.pending is not None:
        udp_push_pending_frames(sock, net, 0, result)
    return result
