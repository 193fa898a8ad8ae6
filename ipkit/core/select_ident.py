"""The identification that a datagram gets.

Law: the one room that draws numbers; which counter they come from depends on DF, on the socket and on the kernel.
"""

from __future__ import annotations

from enum import Enum

from ipkit.core.host.kernel import IdentOrder
from ipkit.core.inet_sock import InetSock, SockKind
from ipkit.core.state.netns import NetNamespace
from ipkit.core.wire.ipv4 import FLAG_DF, Ipv4Header


class Fragmenting(Enum):
    """Whether a datagram may be fragmented although it says DF (skb->ignore_df)."""

    BY_DF = "as DF says"
    ALLOWED = "whatever DF says"


def ip_select_ident(
    net: NetNamespace, header: Ipv4Header, sock: InetSock | None, fragmenting: Fragmenting, segments: int = 1
) -> int:
    """Return the identification of a datagram, for so many segments (ip_select_ident_segs).

    Kernel: include/net/ip.h
    """
    fixed = bool(header.frag_off & FLAG_DF) and fragmenting is Fragmenting.BY_DF
    connected = sock if sock is not None and sock.daddr else None
    if net.host.kernel.ident_order is IdentOrder.SOCKET_FIRST:
        if connected is not None:
            return _socket_ident_counted_first(connected, segments)
        return 0 if fixed else net.idents.reserve(header.saddr, header.daddr, header.protocol, segments)
    if not fixed:
        return net.idents.reserve(header.saddr, header.daddr, header.protocol, segments)
    if connected is None:
        return 0
    ident = connected.ident
    connected.ident = ident + segments & 0xFFFF
    return ident


def _socket_ident_counted_first(sock: InetSock, segments: int) -> int:
    """Return the number before counting for TCP, the one after it for all others."""
    before = sock.ident
    sock.ident = before + segments & 0xFFFF
    return before if sock.kind is SockKind.TCP else sock.ident
