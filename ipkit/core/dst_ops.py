"""What a route learns: path MTUs, redirects, next hops that fail.

Law: only the store of exceptions changes. Routes that packets carry stay what they were; the next lookup sees what was
learnt.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from typing import Final, NamedTuple

from ipkit.core.host.fib import NextHop, Route, RouteFlag, RouteType
from ipkit.core.host.fib_lookup import LIMITED_BROADCAST, inet_addr_type, is_zeronet
from ipkit.core.host.multipath import VALID_STATES
from ipkit.core.route_flow import OutputFlow, Refused, is_multicast
from ipkit.core.route_mtu import dst_mtu, ip_mtu_locked
from ipkit.core.route_output import ip_route_output_key
from ipkit.core.route_source import inet_addr_onlink
from ipkit.core.state.route_exceptions import RouteException
from ipkit.core.state.routing import Routing

NS_PER_S: Final = 1_000_000_000
REDIRECT_LIFE_NS: Final = 300 * NS_PER_S
"""How long a redirect is obeyed (ip_rt_gc_timeout)."""

REDIRECT_CODES: Final = 4


class Learnt(Enum):
    """What became of a lesson."""

    STORED = "stored"
    IGNORED = "ignored"
    ASK_NEIGHBOUR = "the new gateway has to be resolved first"


def ip_rt_update_pmtu(routing: Routing, flow: OutputFlow, route: Route, mtu: int) -> Learnt:
    """Learn that packets to a destination must be smaller.

    Kernel: net/ipv4/route.c
    """
    host, now = routing.host, flow.now_ns
    current = dst_mtu(route, host, now)
    if ip_mtu_locked(route) or current < mtu:
        return Learnt.IGNORED
    locked = mtu < host.net.route_min_pmtu
    if locked:
        mtu = min(current, host.net.route_min_pmtu)
    life = host.net.route_mtu_expires * NS_PER_S
    if route.pmtu == mtu and not locked and now < route.expires_ns - life // 2:
        return Learnt.IGNORED
    ways = _ways_to(routing, flow)
    for entry_route, nexthop in ways:
        if entry_route.entry is not None:
            lesson = RouteException(entry_route.entry, nexthop, 0, mtu, locked, now + life)
            routing.exceptions.update_or_create(flow.daddr, lesson, now)
    return Learnt.STORED if ways else Learnt.IGNORED


def _ways_to(routing: Routing, flow: OutputFlow) -> list[tuple[Route, NextHop]]:
    """Return every next hop that a lesson about a destination is noted on: all of a multipath route."""
    route = ip_route_output_key(flow, routing)
    if isinstance(route, Refused) or route.entry is None or route.nexthop is None:
        return []
    several = route.entry.nexthops if len(route.entry.nexthops) > 1 else (route.nexthop,)
    return [(route, nexthop) for nexthop in several]


def ipv4_update_pmtu(routing: Routing, flow: OutputFlow, mtu: int) -> Learnt:
    """Learn from a fragmentation-needed message; the flow is that of the packet it quotes.

    Kernel: net/ipv4/route.c
    """
    route = ip_route_output_key(flow, routing)
    return Learnt.IGNORED if isinstance(route, Refused) else ip_rt_update_pmtu(routing, flow, route, mtu)


class Redirect(NamedTuple):
    """A redirect as it came in."""

    dev: str
    old_gateway: int  # who sent it
    new_gateway: int
    code: int


def ipv4_redirect(routing: Routing, flow: OutputFlow, redirect: Redirect) -> Learnt:
    """Learn from a redirect; the flow is that of the packet it quotes.

    Kernel: net/ipv4/route.c
    """
    route = ip_route_output_key(flow, routing)
    if isinstance(route, Refused) or redirect.code >= REDIRECT_CODES:
        return Learnt.IGNORED
    if not route.uses_gateway or route.gateway != redirect.old_gateway or not _is_credible(routing, redirect):
        return Learnt.IGNORED
    if not _is_resolved(routing, route.dev, redirect.new_gateway):
        return Learnt.ASK_NEIGHBOUR
    if route.entry is None or route.nexthop is None:
        return Learnt.IGNORED
    lesson = RouteException(route.entry, route.nexthop, redirect.new_gateway, expires_ns=flow.now_ns + REDIRECT_LIFE_NS)
    routing.exceptions.update_or_create(flow.daddr, lesson, flow.now_ns)
    return Learnt.STORED


def _is_credible(routing: Routing, redirect: Redirect) -> bool:
    """Tell whether a redirect may be obeyed on the device it came by."""
    new, link = redirect.new_gateway, routing.host.links[redirect.dev]
    if new == redirect.old_gateway or not link.conf.accept_redirects:
        return False
    if is_multicast(new) or new == LIMITED_BROADCAST or is_zeronet(routing.tables, new):
        return False
    if link.conf.shared_media:
        return inet_addr_type(routing.tables, new) is RouteType.UNICAST
    if not inet_addr_onlink(link, new, redirect.old_gateway):
        return False
    return not link.conf.secure_redirects or ip_fib_check_default(routing, new, redirect.dev)


def ip_fib_check_default(routing: Routing, gateway: int, dev: str) -> bool:
    """Tell whether an address is a gateway of some route that is in use on a device.

    Kernel: net/ipv4/fib_semantics.c
    """
    fib = routing.host.fib
    entries = [entry for table in fib.tables.values() for entry in table]
    entries += [entry for bulk in fib.bulk.values() for entry in bulk.templates]
    return any(nexthop.dev == dev and nexthop.gateway == gateway for entry in entries for nexthop in entry.nexthops)


def _is_resolved(routing: Routing, dev: str, gateway: int) -> bool:
    state = routing.state_of(dev, gateway)
    return state in VALID_STATES or (not state and routing.host.neigh_default == "assume")


def ipv4_link_failure(route: Route, now_ns: int) -> Route:
    """Return a route whose next hop does not answer: what it had learnt ends now. The ICMP error is the caller's.

    Kernel: net/ipv4/route.c
    """
    return replace(route, expires_ns=min(route.expires_ns, now_ns))


def ipv4_negative_advice(route: Route) -> bool:
    """Tell whether a sender in trouble should look its route up again: it rests on something learnt.

    Kernel: net/ipv4/route.c
    """
    return bool(route.flags & RouteFlag.REDIRECTED or route.expires_ns)
