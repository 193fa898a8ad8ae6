"""How large a packet may be on a route, and what follows from that.

Law: a number from a route, its device and the clock; nothing is sent or noted.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from ipkit.core.host.config import HostConfig
from ipkit.core.host.fib import Route, RouteType
from ipkit.core.host.kernel import ForwardMtu

IP_MAX_MTU: Final = 65535
MTU_OF_A_LOCKED_GATEWAY: Final = 576
TCP_AND_IP_HEADERS: Final = 40


class Direction(Enum):
    """Whose packet it is."""

    FORWARDED = "somebody else's"
    OWN = "ours"


def ip_mtu_locked(route: Route) -> bool:
    """Tell whether the MTU of a route must not be discovered, only obeyed.

    Kernel: include/net/ip.h
    """
    return route.pmtu_locked or route.metrics.mtu_locked


def ip_dst_mtu_maybe_forward(route: Route, host: HostConfig, direction: Direction, now_ns: int) -> int:
    """Return the MTU that binds a packet.

    Kernel: include/net/ip.h
    """
    locked = ip_mtu_locked(route)
    asks_pmtu = direction is Direction.OWN or locked or host.net.ip_forward_use_pmtu
    if asks_pmtu and route.pmtu and now_ns < route.expires_ns:
        return min(route.pmtu, IP_MAX_MTU)
    if route.metrics.mtu and (asks_pmtu or host.kernel.forward_mtu is ForwardMtu.ROUTE):
        return min(route.metrics.mtu, IP_MAX_MTU)
    mtu = host.links[route.dev].mtu
    if locked and route.uses_gateway and mtu > MTU_OF_A_LOCKED_GATEWAY:
        return MTU_OF_A_LOCKED_GATEWAY
    return min(mtu, IP_MAX_MTU)


def dst_mtu(route: Route, host: HostConfig, now_ns: int) -> int:
    """Return the MTU of our own packets on a route.

    Kernel: include/net/dst.h, net/ipv4/route.c
    """
    return ip_dst_mtu_maybe_forward(route, host, Direction.OWN, now_ns)


def dst_metric_advmss(route: Route, host: HostConfig, now_ns: int) -> int:
    """Return the largest TCP segment to announce on a route.

    Kernel: include/net/dst.h, net/ipv4/route.c
    """
    if route.metrics.advmss:
        return route.metrics.advmss
    segment = max(dst_mtu(route, host, now_ns) - TCP_AND_IP_HEADERS, host.net.route_min_adv_mss)
    return min(segment, IP_MAX_MTU - TCP_AND_IP_HEADERS)


def ip4_dst_hoplimit(route: Route, host: HostConfig) -> int:
    """Return the TTL of our own unicast packets on a route.

    Kernel: include/net/route.h
    """
    return route.metrics.hoplimit or host.net.ip_default_ttl


def answer_ttl(route: Route, host: HostConfig) -> int:
    """Return the TTL of what the stack itself answers: to a group, as where no socket says otherwise, a single hop."""
    return 1 if route.type is RouteType.MULTICAST else ip4_dst_hoplimit(route, host)
