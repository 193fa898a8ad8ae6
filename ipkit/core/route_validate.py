"""Whether the source of a received packet may be believed: rp_filter, accept_local, own addresses.

Law: an answer, no action. Whether the source is a neighbour on the same link is part of it: redirects depend on that.
"""

from __future__ import annotations

from enum import Enum
from errno import EINVAL, EXDEV
from typing import Final

from ipkit.core.host.fib import SCOPE_HOST, FibResult, RouteType
from ipkit.core.host.fib_explain import Trace
from ipkit.core.host.fib_lookup import fib_lookup
from ipkit.core.host.fib_rules import FibKey
from ipkit.core.host.kernel import SourceCheckOff, VrfKey
from ipkit.core.outcome.drop_reasons import DropReason
from ipkit.core.outcome.facts import Fact
from ipkit.core.route_flow import InputFlow, fib4_rules_early_flow_dissect
from ipkit.core.state.routing import Routing
from ipkit.core.wire.ipv4 import address_text


class Source(Enum):
    """What a source turned out to be."""

    ACCEPTED = "accepted"
    ONLINK = "accepted, and on this link"
    INVALID = "no host's address"
    OWN = "our own address"
    OTHER_WAY = "the way back is another one"


REFUSALS: Final = {
    Source.INVALID: (EINVAL, DropReason.IP_INVALID_SOURCE),
    Source.OWN: (EINVAL, DropReason.IP_LOCAL_SOURCE),
    Source.OTHER_WAY: (EXDEV, DropReason.IP_RPFILTER),
}


def fib_validate_source(routing: Routing, flow: InputFlow, dst: int, oif: str, trace: Trace | None = None) -> Source:
    """Judge the source of a packet that would go to `dst` by `oif`; empty: it is for this host.

    Kernel: net/ipv4/fib_frontend.c
    """
    link = routing.host.links[flow.iif]
    strict = link.conf.rp_filter
    redirects = flow.iif == oif and link.conf.send_redirects
    if strict or redirects:
        answer = _full_check(routing, flow, dst, oif, trace)
    elif link.conf.accept_local:
        answer = Source.ACCEPTED
    elif routing.tables.kernel.source_check_off is SourceCheckOff.REVERSE_LOOKUP or _tables_are_special(routing):
        answer = _full_check(routing, flow, dst, oif, trace)
    else:
        answer = Source.OWN if flow.saddr in routing.tables.own_addresses else Source.ACCEPTED
    if trace is not None:
        say = f"source {address_text(flow.saddr)}: {answer.value}"
        trace.append(Fact("fib_validate_source", say, {"rp_filter": strict, "source": answer.name}))
    return answer


def _tables_are_special(routing: Routing) -> bool:
    """Tell whether own addresses alone say too little: rules or hand-made local routes are there."""
    return routing.tables.has_custom_rules or routing.tables.has_custom_local_routes


def _full_check(routing: Routing, flow: InputFlow, dst: int, oif: str, trace: Trace | None) -> Source:
    """Look up the way back and compare it with the way in.

    The kernel's __fib_validate_source.
    """
    tables, link = routing.tables, routing.host.links[flow.iif]
    key = _reverse_key(routing, flow, dst, oif)
    if trace is not None:
        source = address_text(flow.saddr)
        trace.append(Fact("__fib_validate_source", f"the way back to {source}", {"source": source}))
    found = fib_lookup(tables, key, trace)
    if found.errno or found.entry is None:
        return Source.OTHER_WAY if link.conf.rp_filter else Source.ACCEPTED
    kind = found.entry.type
    if kind is RouteType.LOCAL and not link.conf.accept_local:
        return Source.OWN
    if kind not in (RouteType.UNICAST, RouteType.LOCAL):
        return Source.INVALID
    documented = tables.kernel.source_check_off is SourceCheckOff.REVERSE_LOOKUP
    if documented and not link.conf.rp_filter and not (flow.iif == oif and link.conf.send_redirects):
        return Source.ACCEPTED
    if _leaves_by(routing, found, flow.iif) or (
        not documented and kind is RouteType.LOCAL and flow.iif == tables.loopback
    ):
        return _on_link(found)
    if not link.addresses:
        return Source.OTHER_WAY if link.conf.rp_filter else Source.ACCEPTED
    if link.conf.rp_filter == 1:
        return Source.OTHER_WAY
    by_this_link = fib_lookup(tables, key._replace(oif=flow.iif, ignore_linkstate=True), trace)
    if by_this_link.errno or by_this_link.entry is None or by_this_link.entry.type is not RouteType.UNICAST:
        return Source.ACCEPTED
    return _on_link(by_this_link)


def _reverse_key(routing: Routing, flow: InputFlow, dst: int, oif: str) -> FibKey:
    tables, link = routing.tables, routing.host.links[flow.iif]
    vrf = tables.vrfs.get(flow.iif, "")
    replaced = vrf if tables.kernel.vrf_key is VrfKey.REPLACES_DEVICE else ""
    key = FibKey(
        flow.saddr,
        dst,
        flow.tos & tables.kernel.tos_key.value,
        replaced or oif or tables.loopback,
        mark=flow.mark if link.conf.src_valid_mark else 0,
        l3mdev=vrf,
    )
    if not tables.rules_ask_for_ports:
        return key
    forward = fib4_rules_early_flow_dissect(routing, key, flow)
    return forward._replace(sport=forward.dport, dport=forward.sport)


def _leaves_by(routing: Routing, found: FibResult, dev: str) -> bool:
    """Tell whether any next hop of the route leaves by a device, or from within the VRF that it is."""
    vrfs = routing.tables.vrfs
    return found.entry is not None and any(
        nexthop.dev == dev or vrfs.get(nexthop.dev) == dev for nexthop in found.entry.nexthops
    )


def _on_link(found: FibResult) -> Source:
    direct = found.nexthop is not None and found.nexthop.scope >= SCOPE_HOST
    return Source.ONLINK if direct else Source.ACCEPTED
