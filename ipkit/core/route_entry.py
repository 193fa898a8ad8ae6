"""A route as a packet carries it, made from what the tables said and what was learnt since.

Law: made here, read everywhere, changed nowhere afterwards.
"""

from __future__ import annotations

from ipkit.core.host.fib import SCOPE_LINK, FibResult, Route, RouteFlag
from ipkit.core.state.routing import Routing


def rt_set_nexthop(route: Route, found: FibResult, daddr: int, routing: Routing, now_ns: int) -> Route:
    """Give a new route its gateway, its metrics and what is known of the destination.

    Kernel: net/ipv4/route.c
    """
    entry, nexthop = found.entry, found.nexthop
    if entry is None or nexthop is None:
        return route
    route.entry, route.nexthop, route.metrics = entry, nexthop, entry.metrics
    if nexthop.scope == SCOPE_LINK and (nexthop.gateway or nexthop.gateway6):
        route.uses_gateway = True
        route.gateway = nexthop.gateway
    exception = routing.exceptions.find(entry, nexthop, daddr, now_ns) if routing.exceptions.by_destination else None
    if exception is not None:
        route.pmtu, route.pmtu_locked = exception.pmtu, exception.mtu_locked
        route.expires_ns = exception.ends_ns[route.iif is not None]
        if exception.gateway:
            route.flags |= RouteFlag.REDIRECTED
            route.uses_gateway = True
            route.gateway = exception.gateway
    return route
