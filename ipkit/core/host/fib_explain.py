"""How a walk through rules and tables is told: what was asked, what won, what lost and why.

Law: nothing here decides. A step is a kernel function, a short phrase and the values behind it; none is made unless
somebody brought a list for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from errno import EAGAIN, errorcode
from typing import TypeAlias

from ipkit.core.host.fib import FibEntry, FibResult, RuleAction
from ipkit.core.host.fib_rules import FibKey, RuleStep, differing
from ipkit.core.host.fib_table import Leaf
from ipkit.core.host.iproute_text import rule_text, table_text
from ipkit.core.host.route_text import tos_text, way_text
from ipkit.core.host.words import prefix_text

WalkStep: TypeAlias = tuple[str, str, Mapping[str, object]]
Trace: TypeAlias = list[WalkStep]


def entry_text(leaf: Leaf, entry: FibEntry) -> str:
    """Return the short name of a route: what tells it from the others over the same address."""
    words = [prefix_text(leaf.prefix, leaf.length)]
    if entry.type.name != "UNICAST":
        words.insert(0, entry.type.name.lower())
    if entry.tos:
        words.append(f"tos {tos_text(entry.tos)}")
    words += [way_text(entry.nexthops[0])] if len(entry.nexthops) == 1 else []
    words += [f"{len(entry.nexthops)} next hops"] if len(entry.nexthops) > 1 else []
    if entry.priority:
        words.append(f"metric {entry.priority}")
    return " ".join(words)


def rule_asked(trace: Trace, step: RuleStep, key: FibKey, *, selected: bool) -> None:
    """Tell what came of asking one rule."""
    rule, by = step.rule, differing(step, key)
    say = f"rule {rule.pref}: {rule_text(rule).removesuffix(f' pref {rule.pref}')}"
    values: dict[str, object] = {"rule": rule.pref, "selected": selected}
    if not selected:
        say += f": passed by, {by} differs" if by else ": passed by, everything fits"
        values["by"] = by or "not"
    elif rule.action is RuleAction.GOTO and step.target is None:
        say += ": nothing is there"
    trace.append(("fib_rules_lookup", say, values))


def rule_suppressed(trace: Trace, step: RuleStep, result: FibResult) -> None:
    """Tell that a rule refuses what its table found."""
    say = f"rule {step.rule.pref}: {prefix_text(result.prefix, result.length)} suppressed"
    trace.append(("fib4_rule_suppress", say, {"rule": step.rule.pref, "suppressed": True}))


def entry_lost(trace: Trace, leaf: Leaf, entry: FibEntry, why: str) -> None:
    """Tell that a covering route is not used."""
    prefix = prefix_text(leaf.prefix, leaf.length)
    trace.append(("fib_table_lookup", f"{entry_text(leaf, entry)}: {why}", {"prefix": prefix, "lost": why}))


def table_answered(trace: Trace, at: int, number: int, result: FibResult, leaves: Iterable[Leaf]) -> None:
    """Tell what a table answered, before what was told of its routes; and which routes were not asked because of it."""
    values: dict[str, object] = {"table": table_text(number)}
    if result.entry is None:
        trace.insert(at, ("fib_table_lookup", f"table {table_text(number)}: nothing fits", values))
        return
    won = Leaf(result.prefix, result.length, (result.entry,))
    values["prefix"] = prefix_text(won.prefix, won.length)
    say = f"table {table_text(number)}: {entry_text(won, result.entry)}"
    if result.errno:
        values["errno"] = errorcode[result.errno]
        say += f", {errorcode[result.errno]}" if result.errno != EAGAIN else ", on to the next rule"
    trace.insert(at, ("fib_table_lookup", say, values))
    for leaf in leaves:
        if leaf.length < result.length:
            for entry in leaf.entries:
                entry_lost(trace, leaf, entry, "shorter prefix")
        elif leaf.length == result.length:
            place = leaf.entries.index(result.entry)
            for entry in leaf.entries[place + 1 :]:
                entry_lost(trace, leaf, entry, "comes later")
