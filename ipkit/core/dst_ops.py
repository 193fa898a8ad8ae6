"""What a route learns: path MTUs, redirects, next hops that fail.

Law: only the store of exceptions changes. Routes that packets carry stay what they were; the next lookup sees what was
learnt. Whether a message may teach anything at all is not asked here.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

from ipkit.core.host.config import LinkKind
from ipkit.core.host.fib import FibEntry, NextHop, Route, RouteFlag, RouteType
from ipkit.core.host.fib_lookup import LIMITED_BROADCAST, inet_addr_type, is_zeronet
from ipkit.core.host.kernel import MultipathLessons, PmtuFloor
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
REDIRECT_CODE_BITS: Final = 7


class Learnt(Enum):
    """What became of a lesson, and why."""

    STORED = "learnt"
    NO_ROUTE = "no route of ours leads there"
    MTU_LOCKED = "its mtu is locked"
    SMALLER_MTU = "a smaller mtu is in force"
    KNOWN = "known already"
    UNKNOWN_CODE = "a redirect of no known kind"
    OTHER_GATEWAY = "not from the gateway in use"
    NOT_ACCEPTED = "redirects are not accepted"
    NOT_CREDIBLE = "the new gateway is not to be believed"
    ASK_NEIGHBOUR = "the new gateway has to be resolved first"


def ip_rt_update_pmtu(routing: Routing, flow: OutputFlow, route: Route, mtu: int) -> Learnt:
    """Learn that packets to a destination must be smaller.

    Kernel: net/ipv4/route.c
    """
    host, now = routing.host, flow.now_ns
    current = dst_mtu(route, host, now)
    if ip_mtu_locked(route):
        return Learnt.MTU_LOCKED
    if current < mtu:
        return Learnt.SMALLER_MTU
    locked = mtu < host.net.route_min_pmtu
    if locked:
        mtu = host.net.route_min_pmtu
        if host.kernel.pmtu_floor is PmtuFloor.NEVER_RAISES:
            mtu = min(current, mtu)
    life = host.net.route_mtu_expires * NS_PER_S
    if route.pmtu == mtu and not locked and now < route.expires_ns - life // 2:
        return Learnt.KNOWN
    ways = _ways_to(routing, flow, route)
    for entry, nexthop in ways:
        lesson = RouteException(entry, nexthop, 0, mtu, locked, now + life)
        routing.exceptions.update_or_create(flow.daddr, lesson, now)
    return Learnt.STORED if ways else Learnt.NO_ROUTE


def _ways_to(routing: Routing, flow: OutputFlow, route: Route) -> list[tuple[FibEntry, NextHop]]:
    """Return every next hop that a path MTU is noted on."""
    found = _looked_up_again(routing, flow, route)
    if found is None or found.entry is None or found.nexthop is None:
        return []
    notes_on_all = routing.host.kernel.multipath_lessons is MultipathLessons.EVERY_OR_HASHED
    several = found.entry.nexthops if notes_on_all and len(found.entry.nexthops) > 1 else (found.nexthop,)
    return [(found.entry, nexthop) for nexthop in several]


def _looked_up_again(routing: Routing, flow: OutputFlow, route: Route) -> Route | None:
    """Return the route that a lesson is noted on, which need not be the one that it was about.

    To this host itself there is none: nothing local leads to the loopback device that such a route names.
    """
    flow = flow._replace(saddr=route.prefsrc)
    names_device = routing.host.kernel.multipath_lessons is MultipathLessons.FIRST_OF_DEVICE
    if names_device or route.type is RouteType.LOCAL:
        flow = flow._replace(oif=route.dev)
    again = ip_route_output_key(flow, routing)
    return None if isinstance(again, Refused) else again


def ipv4_update_pmtu(routing: Routing, flow: OutputFlow, mtu: int) -> Learnt:
    """Learn from a fragmentation-needed message; the flow is that of the packet it quotes.

    Kernel: net/ipv4/route.c
    """
    route = ip_route_output_key(flow, routing)
    return Learnt.NO_ROUTE if isinstance(route, Refused) else ip_rt_update_pmtu(routing, flow, route, mtu)


class Redirect(NamedTuple):
    """A redirect as it came in."""

    dev: str
    old_gateway: int  # who sent it
    new_gateway: int
    code: int
    header: bytes = b""  # of the message itself: what a choice among next hops hashes


def ipv4_redirect(routing: Routing, flow: OutputFlow, redirect: Redirect) -> Learnt:
    """Learn from a redirect; the flow is that of the packet it quotes.

    Kernel: net/ipv4/route.c
    """
    route = ip_route_output_key(flow, routing)
    if isinstance(route, Refused):
        return Learnt.NO_ROUTE
    if redirect.code & REDIRECT_CODE_BITS >= REDIRECT_CODES:
        return Learnt.UNKNOWN_CODE
    if _first_hop(route, flow) != redirect.old_gateway:
        return Learnt.OTHER_GATEWAY
    if not routing.host.links[redirect.dev].conf.accept_redirects:
        return Learnt.NOT_ACCEPTED
    if not _is_credible(routing, redirect):
        return Learnt.NOT_CREDIBLE
    if not _is_resolved(routing, route.dev, redirect.new_gateway):
        return Learnt.ASK_NEIGHBOUR
    noted = _looked_up_again(routing, flow._replace(data=redirect.header), route)
    if noted is None or noted.entry is None or noted.nexthop is None:
        return Learnt.NO_ROUTE
    lesson = RouteException(noted.entry, noted.nexthop, redirect.new_gateway, expires_ns=flow.now_ns + REDIRECT_LIFE_NS)
    routing.exceptions.update_or_create(flow.daddr, lesson, flow.now_ns)
    return Learnt.STORED


def _first_hop(route: Route, flow: OutputFlow) -> int:
    """Return who must have sent a redirect: a destination of which something is known is its own gateway."""
    has_exception = route.expires_ns and route.nexthop is not None and not route.nexthop.gateway6
    return route.gateway or (flow.daddr if has_exception else 0)


def _is_credible(routing: Routing, redirect: Redirect) -> bool:
    """Tell whether the new gateway may be believed in on the device that the redirect came by."""
    new, link = redirect.new_gateway, routing.host.links[redirect.dev]
    if new == redirect.old_gateway or is_multicast(new) or new == LIMITED_BROADCAST or is_zeronet(routing.tables, new):
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
    return (dev, gateway) in routing.tables.gateways


def _is_resolved(routing: Routing, dev: str, gateway: int) -> bool:
    if routing.host.links[dev].kind is LinkKind.POINTOPOINT:
        return True  # one entry for all, and nobody to ask
    state = routing.state_of(dev, gateway)
    return state in VALID_STATES or (not state and routing.host.neigh_default == "assume")


def ipv4_link_failure(routing: Routing, route: Route, daddr: int, now_ns: int) -> None:
    """Let what a route had learnt end, because its next hop does not answer. The ICMP error is the caller's.

    Only the direction that failed forgets: packets in transit, or those of the host.

    Kernel: net/ipv4/route.c
    """
    if route.entry is None or route.nexthop is None:
        return
    exception = routing.exceptions.find(route.entry, route.nexthop, daddr, now_ns)
    if exception is not None:
        exception.ends_ns[route.iif is not None] = min(exception.ends_ns[route.iif is not None], now_ns)


def ipv4_negative_advice(route: Route) -> bool:
    """Tell whether a sender in trouble should look its route up again: it rests on something learnt.

    Kernel: net/ipv4/route.c
    """
    return bool(route.flags & RouteFlag.REDIRECTED or route.expires_ns)
