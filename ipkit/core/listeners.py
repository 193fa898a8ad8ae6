"""Whether a local socket would take a datagram, as the host description says.

Law: an answer; sockets hold nothing and answer nothing.
"""

from __future__ import annotations

from ipkit.core.host.config import HostConfig


def is_open(host: HostConfig, protocol: int, port: int) -> bool:
    """Tell whether a socket listens on a port of a protocol."""
    return any(listener.proto == protocol and listener.port == port for listener in host.listeners)


def raw_local_deliver(host: HostConfig, protocol: int) -> int:
    """Return how many raw sockets take copies of a protocol's datagrams.

    Kernel: net/ipv4/raw.c
    """
    return sum(listener.proto is None and listener.raw_number == protocol for listener in host.listeners)
