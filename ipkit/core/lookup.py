"""One question to the tables and its answer: a row by iproute2's keys, or the very lines of `ip route get`.

Law: asks the routing room and puts what it says into iproute2's words; decides nothing about packets.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from errno import EACCES, EHOSTUNREACH, EINVAL, ENETUNREACH, ENODEV, EXDEV, errorcode
from types import MappingProxyType
from typing import Final, NamedTuple

from ipkit.core.host.fib import TABLE_MAIN, FibResult, Metrics, Route, RouteFlag, RouteType, RuleAction
from ipkit.core.host.fib_explain import Trace
from ipkit.core.host.iproute_text import table_text
from ipkit.core.host.kernel import ReverseFilterErrno
from ipkit.core.host.route_text import metrics_text, route_text, tos_text
from ipkit.core.host.words import prefix_text
from ipkit.core.outcome.drop_reasons import DropReason
from ipkit.core.route import InputFlow, OutputFlow, Refused, ip_route_input_noref, ip_route_output_key
from ipkit.core.route_flow import is_multicast
from ipkit.core.state.routing import Routing
from ipkit.core.wire.ipv4 import PROTO_UDP, Ipv4Header, address_text, build

COMPLAINTS: Final = MappingProxyType(
    {
        ENETUNREACH: "Network is unreachable",
        EHOSTUNREACH: "No route to host",
        EACCES: "Permission denied",
        EINVAL: "Invalid argument",
        EXDEV: "Invalid cross-device link",
        ENODEV: "No such device",
    }
)
CACHE_FLAGS: Final = MappingProxyType(
    {
        RouteFlag.LOCAL: "local",
        RouteFlag.MULTICAST: "mc",
        RouteFlag.BROADCAST: "brd",
        RouteFlag.REDIRECTED: "redirected",
        RouteFlag.DOREDIRECT: "redirect",
    }
)
"""In the order in which iproute2 prints them."""

MULTICAST_ARTEFACT: Final = "rt_offload_failed"
"""How iproute2 reads the flag of a multicast route: both are the same bit."""

CUSTOM_HASH: Final = 3
LARGEST_DECIMAL_MARK: Final = 15
NS_PER_S: Final = 1_000_000_000


class Question(NamedTuple):
    """What is looked up; with an input device, as a packet that came in there."""

    dst: int
    src: int = 0
    iif: str = ""
    oif: str = ""
    tos: int = 0
    mark: int = 0
    protocol: int = PROTO_UDP
    sport: int = 0
    dport: int = 0
    data: bytes = b""  # the datagram, where there is one
    now_ns: int = 0


class Answer(NamedTuple):
    """What routing said: a route, or the errno that a user is told."""

    route: Route | None
    errno: int = 0
    type: str = ""
    reason: DropReason | None = None  # what a packet would be dropped as
    found: FibResult | None = None
    carrier_minded: frozenset[str] = frozenset()


def ask(question: Question, routing: Routing, trace: Trace | None = None) -> Answer:
    """Return what `ip route get` would find out."""
    said = _of_input(question, routing, trace) if question.iif else _of_output(question, routing, trace)
    return said._replace(carrier_minded=routing.tables.carrier_minded) if routing.tables.carrier_minded else said


def _of_output(question: Question, routing: Routing, trace: Trace | None) -> Answer:
    flow = OutputFlow(
        question.dst,
        question.src,
        question.tos,
        question.oif,
        question.protocol,
        question.mark,
        question.data or (probe(question) if routing.host.net.fib_multipath_hash_policy == CUSTOM_HASH else b""),
        question.sport,
        question.dport,
        question.now_ns,
    )
    said = ip_route_output_key(flow, routing, trace)
    if isinstance(said, Refused):
        return Answer(None, said.errno, kind_of_refusal(said.found), None, said.found)
    return Answer(said, 0, said.type.name.lower(), None, said.found)


def probe(question: Question) -> bytes:
    """Return the packet that `ip route get` asks with: policy 3 hashes a packet in another way than a bare flow."""
    ports = question.sport.to_bytes(2, "big") + question.dport.to_bytes(2, "big")
    return build(Ipv4Header(0x45, 0, 24, 0, 0, 0, question.protocol, 0, question.src, question.dst)) + ports


def _of_input(question: Question, routing: Routing, trace: Trace | None) -> Answer:
    flow = InputFlow(
        question.dst,
        question.src,
        question.tos,
        question.iif,
        question.protocol,
        question.mark,
        question.data,
        question.sport,
        question.dport,
        question.now_ns,
    )
    said = ip_route_input_noref(flow, routing, trace)
    if isinstance(said, Refused):
        kind = "martian" if said.martian else "multicast" if is_multicast(question.dst) else "none"
        hides_reason = routing.host.kernel.reverse_filter_errno is ReverseFilterErrno.EINVAL
        errno = EINVAL if said.errno == EXDEV and hides_reason else said.errno
        return Answer(None, errno, kind, said.reason, said.found)
    if not said.errno:
        return Answer(said, 0, said.type.name.lower(), None, said.found)
    if not routing.host.links[question.iif].conf.forwarding:
        return Answer(None, said.errno, "unreachable", DropReason.IP_INADDRERRORS, said.found)
    reason = DropReason.IP_INNOROUTES if said.errno == ENETUNREACH else DropReason.NOT_SPECIFIED
    return Answer(None, said.errno, kind_of_refusal(said.found), reason, said.found)


def kind_of_refusal(found: FibResult | None) -> str:
    """Return what kind of route or rule refused; `none`: nothing was there."""
    if found is not None and found.entry is not None:
        return found.entry.type.name.lower()
    if found is not None and found.rule is not None and found.rule.action is not RuleAction.LOOKUP:
        return str(found.rule.action.value)
    return "none"


class Lines(NamedTuple):
    """What `ip route get` prints to its two outputs."""

    out: str
    err: str = ""


def iproute2_lines(question: Question, answer: Answer) -> Lines:
    """Return the lines of `ip route get`, blanks at their ends included."""
    if answer.route is None:
        return _complaint(answer.errno)
    route, found = answer.route, answer.found
    words = [] if route.type is RouteType.UNICAST else [answer.type]
    words.append(address_text(question.dst))
    words += [f"from {address_text(question.src)}"] if question.src else []
    words += [f"tos {tos_text(found.entry.tos)}"] if found and found.entry and found.entry.tos else []
    words += [f"via {gateway_text(route)}"] if route.uses_gateway else []
    words.append(f"dev {route.dev}")
    words += [f"table {table_text(found.table)}"] if found and found.table not in (0, TABLE_MAIN) else []
    is_output = route.iif is None
    words += [f"src {address_text(route.prefsrc)}"] if is_output and route.prefsrc != question.src else []
    words += [MULTICAST_ARTEFACT] if route.flags & RouteFlag.MULTICAST else []
    words += [f"mark {mark_text(question.mark)}"] if question.mark else []
    words += ["uid 0"] if is_output else []
    return Lines(f"{' '.join(words)} \n    cache {''.join(_cache(question, route))}\n")


def _cache(question: Question, route: Route) -> Iterator[str]:
    flags = cache_flags(route)
    if flags:
        yield f"<{','.join(flags)}> "
    if route.expires_ns > question.now_ns:
        yield f"expires {(route.expires_ns - question.now_ns) // NS_PER_S}sec "
    yield metrics_text(effective_metrics(route, question.now_ns))
    if route.iif is not None:
        yield f"iif {route.iif} "


def fibmatch_lines(answer: Answer) -> Lines:
    """Return the lines of `ip route get fibmatch`."""
    if answer.route is None:
        return _complaint(answer.errno)
    found = answer.found
    if found is None or found.entry is None:
        return _complaint(EHOSTUNREACH)
    entry = replace(found.entry, type=answer.route.type)  # a group by way of the default route is a group all the same
    prefix = prefix_text(found.prefix, found.length)
    return Lines(route_text(entry, prefix, found.table, answer.carrier_minded) + "\n")


def _complaint(errno: int) -> Lines:
    return Lines("", f"RTNETLINK answers: {COMPLAINTS.get(errno, errorcode.get(errno, str(errno)))}\n")


def cache_flags(route: Route) -> list[str]:
    """Return what iproute2 says of a route in angle brackets."""
    return [word for flag, word in CACHE_FLAGS.items() if route.flags & flag]


def gateway_text(route: Route) -> str:
    """Return the gateway of a route that has one."""
    if route.gateway or route.nexthop is None:
        return address_text(route.gateway)
    return f"inet6 {route.nexthop.gateway6}"


def mark_text(mark: int) -> str:
    """Return a mark as iproute2 prints it."""
    return str(mark) if mark <= LARGEST_DECIMAL_MARK else f"0x{mark:x}"


def effective_metrics(route: Route, now_ns: int) -> Metrics:
    """Return the metrics of a route with what was learnt of its MTU."""
    metrics = route.metrics
    if route.pmtu and now_ns < route.expires_ns:
        locked = metrics.mtu_locked or route.pmtu_locked
        return Metrics(route.pmtu, locked, metrics.advmss, metrics.hoplimit, metrics.others)
    return metrics
