"""Which way a flow takes where a route has several: the hash of its packet, the choice, equal default routes.

Law: an answer and no action; how a hash and weights choose is host/multipath.py's.
"""

from __future__ import annotations

from collections.abc import Sequence

from ipkit.core.host.fib import SCOPE_LINK, FibEntry, FibResult, NextHop, NextHopFlag, RouteType
from ipkit.core.host.fib_explain import Trace
from ipkit.core.host.fib_rules import LEGACY_TOS_BITS
from ipkit.core.host.multipath import (
    VALID_STATES,
    fib_multipath_custom_hash_fl4,
    fib_multipath_custom_hash_skb,
    fib_multipath_hash_from_keys,
    fib_select_multipath,
)
from ipkit.core.outcome.facts import Fact
from ipkit.core.route_flow import Flow, OutputFlow, flow_keys
from ipkit.core.state.routing import Routing
from ipkit.core.wire.flow_keys import FlowKeys, innermost_keys, ip_multipath_l3_keys, is_tunnel
from ipkit.core.wire.ipv4 import address_text


def chosen_nexthop(
    routing: Routing, flow: Flow, found: FibResult, own_source: Sequence[bool], trace: Trace | None
) -> NextHop | None:
    """Return the next hop of several that a flow takes; None: the route has none."""
    if found.entry is None:
        return None
    flow_hash = fib_multipath_hash(routing, flow)
    chosen = fib_select_multipath(routing.tables, found.entry, flow_hash, own_source, routing.state_of)
    nexthop = chosen or found.nexthop
    if trace is not None and nexthop is not None:
        gateway = f" {address_text(nexthop.gateway)}" if nexthop.gateway else ""
        say = f"hash {flow_hash:#010x} of {len(found.entry.nexthops)} next hops takes {nexthop.dev}{gateway}"
        trace.append(Fact("fib_select_multipath", say, {"hash": flow_hash, "dev": nexthop.dev}))
    return nexthop


def fib_multipath_hash(routing: Routing, flow: Flow) -> int:
    """Return the 31 bits that choose among next hops.

    Kernel: net/ipv4/route.c
    """
    seed, policy = routing.hash_seed, routing.host.net.fib_multipath_hash_policy
    if policy == 3:
        return _custom_hash(routing, flow) >> 1
    keys = flow_keys(flow)
    if policy == 2 and flow.data:
        keys = innermost_keys(flow.data)
    if flow.data and (policy == 0 or (policy == 2 and not any(keys.source + keys.destination))):
        keys = FlowKeys(*ip_multipath_l3_keys(flow.data))
    if policy != 1 and len(keys.source) == 4:
        keys = FlowKeys(keys.source, keys.destination)
    elif policy == 2:
        keys = keys._replace(sport=0, dport=0)
    return fib_multipath_hash_from_keys(seed, keys) >> 1


def _custom_hash(routing: Routing, flow: Flow) -> int:
    fields = routing.host.net.fib_multipath_hash_fields
    if isinstance(flow, OutputFlow) and not flow.data:
        return fib_multipath_custom_hash_fl4(routing.hash_seed, flow_keys(flow), fields)
    inner = innermost_keys(flow.data) if is_tunnel(flow.data) else None
    return fib_multipath_custom_hash_skb(routing.hash_seed, flow_keys(flow), inner, fields)


def fib_select_default(routing: Routing, found: FibResult, tos: int) -> FibResult:
    """Choose among default routes of the same metric: the first whose gateway is not known to be gone.

    Kernel: net/ipv4/fib_semantics.c
    """
    rivals = _rivals(routing, found, tos) if found.length == 0 else []
    if len(rivals) < 2 or rivals[0] is not found.entry:
        return found
    fallback = None
    for entry in rivals:
        state = routing.state_of(entry.nexthops[0].dev, entry.nexthops[0].gateway)
        if not state or state in VALID_STATES:
            return found._replace(entry=entry, nexthop=entry.nexthops[0])
        if fallback is None and state != "incomplete":
            fallback = entry
    return found if fallback is None else found._replace(entry=fallback, nexthop=fallback.nexthops[0])


def _rivals(routing: Routing, found: FibResult, tos: int) -> list[FibEntry]:
    """Return the gatewayed default routes that are as good as the one found, in the order of the table."""
    best, table = found.entry, routing.tables.table(found.table)
    if best is None or table is None or best.type is not RouteType.UNICAST:
        return []
    rivals: list[FibEntry] = []
    last_priority, last_tos = best.priority, 0
    for entry in table.leaf(0, 0).entries:
        if entry.table != found.table or entry.tos not in (0, tos & LEGACY_TOS_BITS):
            continue
        if entry.priority > last_priority and entry.tos == last_tos:
            if last_tos:
                continue
            break
        if entry.nexthops and all(nexthop.flags & NextHopFlag.DEAD for nexthop in entry.nexthops):
            continue
        last_priority, last_tos = entry.priority, entry.tos
        if entry.type is RouteType.UNICAST and entry.scope == best.scope and _is_gatewayed(entry):
            rivals.append(entry)
    return rivals


def _is_gatewayed(entry: FibEntry) -> bool:
    first = entry.nexthops[0]
    return bool(first.gateway or first.gateway6) and first.scope == SCOPE_LINK
