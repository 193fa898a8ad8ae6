"""Parts of a host as the lines that `ip` takes: what route_words.py and its neighbours read, written.

Law: what is usual is left out; read again, a line gives the same value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from ipkit.core.host.address_words import LOOPBACK_BYTE
from ipkit.core.host.config import Address, Link, Neighbour
from ipkit.core.host.fib import (
    SCOPE_HOST,
    SCOPE_UNIVERSE,
    TABLE_MAIN,
    FibEntry,
    Metrics,
    NextHop,
    NextHopFlag,
    RouteType,
    Rule,
    RuleAction,
)
from ipkit.core.host.route_words import usual_scope, usual_table
from ipkit.core.host.words import ALL_ONES, TABLES, prefix_text, scope_text
from ipkit.core.wire.ipv4 import address_text

TABLE_NAMES: Final = {number: name for name, number in TABLES.items()}


def route_line(entry: FibEntry, links: Mapping[str, Link]) -> str:
    """Return the line of a route."""
    words = [] if entry.type is RouteType.UNICAST else [entry.type.name.lower()]
    words.append(prefix_text(entry.prefix, entry.length))
    hops = entry.nexthops
    alone = len(hops) == 1 and hops[0].weight == 1
    direct = alone and not (hops[0].gateway or hops[0].gateway6 or entry.nhid)
    words += [f"nhid {entry.nhid}"] if entry.nhid else []
    words += [f"tos {entry.tos:#04x}"] if entry.tos else []
    words += _hop(hops[0], links) if alone else []
    for name, value, usual in (
        ("table", table_text(entry.table), table_text(usual_table(entry.type))),
        ("proto", entry.protocol, "boot"),
        ("scope", scope_text(entry.scope), scope_text(usual_scope(entry.type, direct=direct))),
        ("src", address_text(entry.prefsrc), "0.0.0.0"),
        ("metric", str(entry.priority), "0"),
    ):
        words += [name, value] if value != usual else []
    words += _metrics(entry.metrics)
    for hop in () if alone else hops:
        words += ["nexthop", *_hop(hop, links), f"weight {hop.weight}"]
    return " ".join(words)


def _hop(hop: NextHop, links: Mapping[str, Link]) -> Iterator[str]:
    if hop.gateway6:
        yield f"via inet6 {hop.gateway6}"
    elif hop.gateway:
        yield f"via {address_text(hop.gateway)}"
    yield f"dev {hop.dev}"
    link = links[hop.dev]
    known = (NextHopFlag.NONE if link.carrier else NextHopFlag.LINKDOWN) | (
        NextHopFlag.NONE if link.up else NextHopFlag.DEAD | NextHopFlag.LINKDOWN
    )
    for flag in NextHopFlag:
        if flag & hop.flags & ~known:
            yield str(flag.name).lower()


def _metrics(metrics: Metrics) -> Iterator[str]:
    if metrics.mtu or metrics.mtu_locked:
        yield f"mtu {'lock ' if metrics.mtu_locked else ''}{metrics.mtu}"
    if metrics.advmss:
        yield f"advmss {metrics.advmss}"
    if metrics.hoplimit:
        yield f"hoplimit {metrics.hoplimit}"
    for name, value in metrics.others:
        yield f"{name} {value}"


def table_text(number: int) -> str:
    """Return the name of a table, or its number."""
    return TABLE_NAMES.get(number, str(number))


def rule_text(rule: Rule) -> str:
    """Return the line of a rule."""
    words = [*(["not"] if rule.invert else []), f"from {_selector(rule.src, rule.src_len)}"]
    words += [f"to {_selector(rule.dst, rule.dst_len)}"] if rule.dst_len or rule.dst else []
    words += _rule_selectors(rule)
    if rule.l3mdev:
        words.append("l3mdev")
    elif rule.action is RuleAction.LOOKUP or rule.table != TABLE_MAIN:
        words.append(f"lookup {table_text(rule.table)}")
    if rule.action is RuleAction.GOTO:
        words.append(f"goto {rule.target}")
    elif rule.action is not RuleAction.LOOKUP:
        words.append(rule.action.value)
    for name in ("suppress_prefixlength", "suppress_ifgroup"):
        words += [f"{name} {getattr(rule, name)}"] if getattr(rule, name) >= 0 else []
    words += [f"protocol {rule.protocol}"] if rule.protocol else []
    return " ".join([*words, f"pref {rule.pref}"])


def _selector(base: int, length: int) -> str:
    return f"{address_text(base)}/{length}" if length or base else "all"


def _rule_selectors(rule: Rule) -> Iterator[str]:
    for name in ("iif", "oif"):
        if getattr(rule, name) is not None:
            yield f"{name} {getattr(rule, name)}"
    if rule.tos:
        yield f"tos {rule.tos:#04x}"
    if rule.dscp is not None:
        yield f"dscp {rule.dscp}"
    if rule.mark or rule.mark_mask:
        yield f"fwmark {rule.mark:#x}" + ("" if rule.mark and rule.mark_mask == ALL_ONES else f"/{rule.mark_mask:#x}")
    for name in ("ipproto", "tun_id"):
        if getattr(rule, name):
            yield f"{name} {getattr(rule, name)}"
    for name in ("sport", "dport", "uidrange"):
        if bounds := getattr(rule, name):
            yield f"{name} {bounds[0]}-{bounds[1]}"


def neighbour_text(neighbour: Neighbour) -> str:
    """Return the line of a neighbour."""
    words = ["proxy"] if neighbour.proxy else []
    words += [address_text(neighbour.address), f"dev {neighbour.dev}"]
    words += [f"lladdr {neighbour.lladdr.hex(':')}"] if neighbour.lladdr else []
    return " ".join([*words, f"nud {neighbour.state}"])


def local_text(address: Address) -> str:
    """Return the line of an address of a link."""
    far = "" if address.peer == address.local else f" peer {address_text(address.peer)}"
    words = [f"{address_text(address.local)}{far}/{address.prefix_len}"]
    words += [f"brd {address_text(address.broadcast)}"] if address.broadcast is not None else []
    usual = SCOPE_HOST if address.local >> 24 == LOOPBACK_BYTE else SCOPE_UNIVERSE
    words += [f"scope {scope_text(address.scope)}"] if address.scope != usual else []
    words += [f"metric {address.metric}"] if address.metric else []
    return " ".join([*words, *(["noprefixroute"] if address.noprefixroute else [])])
