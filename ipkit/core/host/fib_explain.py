"""How a walk through rules and tables is told: what was asked, what won, what lost and why.

Law: nothing here decides. A step is a kernel function, a short phrase and the values behind it; none is made unless
somebody brought a list for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from errno import errorcode
from typing import TypeAlias

from ipkit.core.host.fib import FibEntry, FibResult, RuleAction
from ipkit.core.host.fib_rules import FibKey, RuleStep, differing
from ipkit.core.host.fib_table import Leaf
from ipkit.core.host.route_text import table_name, tos_text, way_text
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
    values: dict[str, object] = {"rule": rule.pref, "selected": selected}
    if selected:
        doing = rule.action.value
        if rule.action is RuleAction.LOOKUP and not rule.l3mdev:
            doing = f"lookup {table_name(rule.table)}"
        elif rule.action is RuleAction.GOTO:
            doing = f"goto {rule.target}" if step.target is not None else f"goto {rule.target}, which is not there"
        trace.append(("fib_rules_lookup", f"rule {rule.pref}: {doing}", values))
    else:
        why = f"{by} differs" if by else "not, and everything fits"
        trace.append(("fib_rules_lookup", f"rule {rule.pref}: passed by, {why}", values | {"by": by or "not"}))


def rule_suppressed(trace: Trace, step: RuleStep, result: FibResult) -> None:
    """Tell that a rule refuses what its table found."""
    say = f"rule {step.rule.pref}: {prefix_text(result.prefix, result.length)} suppressed"
    trace.append(("fib4_rule_suppress", say, {"rule": step.rule.pref, "suppressed": True}))


def entry_lost(trace: Trace, leaf: Leaf, entry: FibEntry, why: str) -> None:
    """Tell that a covering route is not used."""
    prefix = prefix_text(leaf.prefix, leaf.length)
    trace.append(("fib_table_lookup", f"  {entry_text(leaf, entry)}: {why}", {"prefix": prefix, "lost": why}))


def table_answered(trace: Trace, number: int, result: FibResult, rest: Iterable[Leaf]) -> None:
    """Tell what a table answered, and which shorter prefixes were not asked because of it."""
    values: dict[str, object] = {"table": table_name(number)}
    if result.entry is None:
        trace.append(("fib_table_lookup", f"  table {table_name(number)}: nothing fits", values))
        return
    won = Leaf(result.prefix, result.length, (result.entry,))
    values["prefix"] = prefix_text(won.prefix, won.length)
    say = f"  table {table_name(number)}: {entry_text(won, result.entry)}"
    if result.errno:
        values["errno"] = errorcode[result.errno]
        say += f", {errorcode[result.errno]}"
    trace.append(("fib_table_lookup", say, values))
    for leaf in rest:
        for entry in leaf.entries:
            entry_lost(trace, leaf, entry, "shorter prefix")
