"""Whether a local socket would take a datagram, as the host description says.

Law: an answer; sockets hold nothing and answer nothing. None is bound to a device, so what came in by a VRF reaches
only those that accept it from there.
"""

from __future__ import annotations

from ipkit.core.host.config import HostConfig
from ipkit.core.skbuff import IpSkbFlag, SkBuff
from ipkit.core.wire.ipv4 import PROTO_TCP


def is_open(skb: SkBuff, host: HostConfig, protocol: int, port: int) -> bool:
    """Tell whether a socket listens on a port of a protocol, for what came in as a datagram did."""
    knobs = host.net
    accepts = knobs.tcp_l3mdev_accept if protocol == PROTO_TCP else knobs.udp_l3mdev_accept
    if skb.cb.flags & IpSkbFlag.L3SLAVE and not accepts:
        return False
    return any(listener.proto == protocol and listener.port == port for listener in host.listeners)


def raw_local_deliver(skb: SkBuff, host: HostConfig, protocol: int) -> int:
    """Return how many raw sockets take copies of a protocol's datagrams.

    Kernel: net/ipv4/raw.c
    """
    if skb.cb.flags & IpSkbFlag.L3SLAVE and not host.net.raw_l3mdev_accept:
        return 0
    return sum(listener.proto is None and listener.raw_number == protocol for listener in host.listeners)
