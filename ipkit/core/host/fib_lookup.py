"""What the forwarding information base answers: rules in order, tables, the entry that may be used.

Law: a function of the host and the key. Which next hop of several is taken afterwards is multipath.py's business, what
the answer means for a packet core/route.py's. A walk is told only to who brings a list for it.
"""

from __future__ import annotations

from errno import EACCES, EAGAIN, EHOSTUNREACH, EINVAL, ENETUNREACH, ESRCH
from typing import Final

from ipkit.core.host.fib import (
    TABLE_DEFAULT,
    TABLE_LOCAL,
    TABLE_MAIN,
    FibEntry,
    FibResult,
    NextHop,
    NextHopFlag,
    RouteType,
    Rule,
    RuleAction,
)
from ipkit.core.host.fib_explain import Trace, entry_lost, rule_asked, rule_suppressed, table_answered
from ipkit.core.host.fib_rules import LEGACY_TOS_BITS, FibKey, fib_rule_match
from ipkit.core.host.fib_table import PrefixTable
from ipkit.core.host.fib_tables import FibTables
from ipkit.core.host.kernel import DefaultRetry, VrfKey, ZeroNet

TYPE_ERRORS: Final = {
    RouteType.BLACKHOLE: EINVAL,
    RouteType.UNREACHABLE: EHOSTUNREACH,
    RouteType.PROHIBIT: EACCES,
    RouteType.THROW: EAGAIN,
    RouteType.NAT: EINVAL,
}
"""What a route of this kind answers instead of a way out; after a throw the next rule is asked."""

RULE_ERRORS: Final = {
    RuleAction.UNREACHABLE: ENETUNREACH,  # not EHOSTUNREACH, as from the route of that name
    RuleAction.PROHIBIT: EACCES,
    RuleAction.BLACKHOLE: EINVAL,
}

NO_MATCH: Final = FibResult(EAGAIN)
LIMITED_BROADCAST: Final = 0xFFFFFFFF


def fib_lookup(tables: FibTables, key: FibKey, trace: Trace | None = None) -> FibResult:
    """Return the route for a key, or the errno that stands in its place.

    Kernel: include/net/ip_fib.h, net/ipv4/fib_rules.c
    """
    if tables.has_custom_rules:
        result = fib_rules_lookup(tables, l3mdev_update_flow(tables, key), trace)
        return result._replace(errno=ENETUNREACH) if result.errno == ESRCH else result
    result = fib_table_lookup(tables, TABLE_MAIN, key, trace)
    retry = result.errno == EAGAIN or (result.errno and tables.kernel.default_retry is DefaultRetry.ANY_ERROR)
    if retry and tables.table(TABLE_DEFAULT) is not None:
        result = fib_table_lookup(tables, TABLE_DEFAULT, key, trace)
    return result._replace(errno=ENETUNREACH) if result.errno == EAGAIN else result


def l3mdev_update_flow(tables: FibTables, key: FibKey) -> FibKey:
    """Put the VRF of a key's devices where this kernel's rules look for it.

    Kernel: net/l3mdev/l3mdev.c
    """
    vrfs = tables.vrfs
    if not vrfs:
        return key
    if tables.kernel.vrf_key is VrfKey.REPLACES_DEVICE:
        if key.oif in vrfs:
            return key._replace(oif=vrfs[key.oif], l3mdev=vrfs[key.oif], any_nexthop_device=True)
        if key.iif in vrfs:
            return key._replace(iif=vrfs[key.iif], l3mdev=vrfs[key.iif], any_nexthop_device=True)
        return key
    if key.oif:
        vrf = key.l3mdev or vrfs.get(key.oif, "")
        # The VRF itself as output device only names the table: no next hop leaves by it.
        return key._replace(l3mdev=vrf, oif="" if vrfs.get(key.oif) == key.oif else key.oif)
    if not key.l3mdev and key.iif != tables.loopback:
        return key._replace(l3mdev=vrfs.get(key.iif, ""))
    return key


def fib_rules_lookup(tables: FibTables, key: FibKey, trace: Trace | None) -> FibResult:
    """Ask the rules in order; ESRCH where none has an answer.

    Kernel: net/core/fib_rules.c
    """
    steps = tables.steps
    index = 0
    last = FibResult(ESRCH)
    while index < len(steps):
        step = steps[index]
        index += 1
        selected = fib_rule_match(step, key)
        if trace is not None:
            rule_asked(trace, step, key, selected=selected)
        if not selected or step.rule.action is RuleAction.NOP:
            continue
        if step.rule.action is RuleAction.GOTO:
            index = index if step.target is None else step.target
            continue
        result = fib4_rule_action(tables, step.rule, key, trace)
        if not result.errno and fib4_rule_suppress(tables, step.rule, result):
            if trace is not None:
                rule_suppressed(trace, step, result)
            continue
        if result.errno != EAGAIN:
            return result
        last = result._replace(errno=ESRCH) if result.entry else last
    return last


def fib4_rule_action(tables: FibTables, rule: Rule, key: FibKey, trace: Trace | None) -> FibResult:
    """Do what a rule says with the key it selected.

    Kernel: net/ipv4/fib_rules.c
    """
    if rule.action is not RuleAction.LOOKUP:
        return FibResult(RULE_ERRORS[rule.action], rule=rule)
    number = tables.vrf_table(key.l3mdev) if rule.l3mdev else rule.table
    return fib_table_lookup(tables, number, key, trace)._replace(rule=rule)


def fib4_rule_suppress(tables: FibTables, rule: Rule, result: FibResult) -> bool:
    """Tell whether a rule refuses what its table found.

    Kernel: net/ipv4/fib_rules.c
    """
    if result.length <= rule.suppress_prefixlength:
        return True
    if rule.suppress_ifgroup < 0 or result.nexthop is None:
        return False
    link = tables.host.links.get(result.nexthop.dev)
    return link is not None and link.group == rule.suppress_ifgroup


def fib_table_lookup(tables: FibTables, number: int, key: FibKey, trace: Trace | None = None) -> FibResult:
    """Return the first usable route of one table, longest prefix first; EAGAIN where there is none.

    Kernel: net/ipv4/fib_trie.c
    """
    table = tables.table(number)
    told = len(trace) if trace is not None else 0
    result = NO_MATCH if table is None else _first_usable(tables, table, number, key, trace)
    if trace is not None:
        table_answered(trace, told, number, result, table.leaves(key.daddr) if table is not None else ())
    return result


def _first_usable(tables: FibTables, table: PrefixTable, number: int, key: FibKey, trace: Trace | None) -> FibResult:
    """Go through the routes over an address; what cannot be used falls through, to shorter prefixes at last."""
    tos = key.tos & LEGACY_TOS_BITS
    missed = -1
    for leaf in table.leaves(key.daddr):
        for entry in leaf.entries:
            if leaf.prefix == missed:
                why = "beside a nexthop object that cannot be used"
            elif entry.tos and entry.tos != tos:
                why = "other TOS"
            elif entry.scope < key.scope:
                why = "scope too wide"
            elif entry.type in TYPE_ERRORS:
                return FibResult(TYPE_ERRORS[entry.type], entry, None, leaf.prefix, leaf.length, number)
            elif (nexthop := good_nexthop(tables, entry, key)) is not None:
                return FibResult(0, entry, nexthop, leaf.prefix, leaf.length, number)
            else:
                why = "no next hop can be used"
                missed = leaf.prefix if entry.nhid else missed  # the whole leaf of the kernel's trie is given up
            if trace is not None:
                entry_lost(trace, leaf, entry, why)
    return NO_MATCH


def good_nexthop(tables: FibTables, entry: FibEntry, key: FibKey) -> NextHop | None:
    """Return the first next hop of a route that a key may take."""
    for nexthop in entry.nexthops:
        if nexthop.flags and not fib_lookup_good_nhc(tables, nexthop, key):
            continue
        if not key.oif or key.oif == nexthop.dev or key.any_nexthop_device:
            return nexthop
    return None


def fib_lookup_good_nhc(tables: FibTables, nexthop: NextHop, key: FibKey) -> bool:
    """Tell whether the state of a next hop allows its use.

    Kernel: net/ipv4/fib_trie.c
    """
    if nexthop.flags & NextHopFlag.DEAD:
        return False
    if key.ignore_linkstate or not nexthop.flags & NextHopFlag.LINKDOWN:
        return True
    return nexthop.dev not in tables.carrier_minded


def is_zeronet(tables: FibTables, address: int) -> bool:
    """Tell whether an address is "this network" to this kernel."""
    return address == 0 if tables.kernel.zeronet is ZeroNet.ONE_ADDRESS else address >> 24 == 0


def inet_addr_type(tables: FibTables, address: int, table: int = TABLE_LOCAL) -> RouteType:
    """Return what kind of address this is to the host.

    Kernel: net/ipv4/fib_frontend.c
    """
    if address == LIMITED_BROADCAST or is_zeronet(tables, address):
        return RouteType.BROADCAST
    if address >> 28 == 0xE:
        return RouteType.MULTICAST
    result = fib_table_lookup(tables, table, FibKey(address))
    return RouteType.UNICAST if result.errno or result.entry is None else result.entry.type


def ip_dev_find(tables: FibTables, address: int) -> str | None:
    """Return the link that owns an address, or has a local route to it; None: not ours.

    Kernel: net/ipv4/devinet.c
    """
    owner = tables.own_addresses.get(address)
    if owner is not None:
        return owner
    result = fib_table_lookup(tables, TABLE_LOCAL, FibKey(address))
    if result.errno or result.entry is None or result.nexthop is None or result.entry.type is not RouteType.LOCAL:
        return None
    return result.nexthop.dev
