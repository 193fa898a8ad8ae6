"""What a lookup's answer says as a row: iproute2's keys, and what it leaves out.

Law: a key with nothing to say is not there. Where `ip -j route get` has a key, the value is the same.
"""

from __future__ import annotations

from errno import EHOSTUNREACH, errorcode
from typing import Final

from ipkit.core.host.fib import TABLE_DEFAULT, FibResult, Metrics, NextHop, Route, RouteFlag
from ipkit.core.host.iproute_text import table_text
from ipkit.core.host.route_text import metric_values, route_flag_words, state_words
from ipkit.core.host.words import prefix_text
from ipkit.core.lanes import RowValue
from ipkit.core.lookup import MULTICAST_ARTEFACT, Answer, Question, cache_flags, effective_metrics
from ipkit.core.wire.ipv4 import address_text

RULE_OF_MAIN: Final = 32766
RULE_OF_DEFAULT: Final = 32767
"""The rules that a host without rules of its own would have asked."""


def lookup_row(question: Question, answer: Answer) -> dict[str, RowValue]:
    """Return the row of an answer."""
    row: dict[str, RowValue] = {"dst": address_text(question.dst)}
    if question.src:
        row["from"] = address_text(question.src)
    if question.iif:
        row["iif"] = question.iif
    row["type"] = answer.type
    route, found = answer.route, answer.found
    if found is not None and found.table:
        row["table"] = table_text(found.table)
    if route is not None:
        row.update(_way(question, route))
        if found is not None and found.entry is not None and found.entry.priority:
            row["metric"] = found.entry.priority
        row.update(_metrics(effective_metrics(route, question.now_ns)))
        if route.flags & RouteFlag.MULTICAST:
            row["flags"] = [MULTICAST_ARTEFACT]
        if cache_flags(route):
            row["cache"] = cache_flags(route)
    row.update(_source(found))
    row.update(_refusal(answer))
    return row


def _way(question: Question, route: Route) -> dict[str, RowValue]:
    way: dict[str, RowValue] = {}
    if route.uses_gateway:
        way["gateway"] = address_text(route.gateway) if route.gateway or not route.nexthop else route.nexthop.gateway6
    way["dev"] = route.dev
    if route.iif is None and route.prefsrc != question.src:
        way["prefsrc"] = address_text(route.prefsrc)
    return way


def _metrics(metrics: Metrics) -> dict[str, RowValue]:
    """Return the metrics as iproute2's JSON has them: a list of one object; locks are not told there."""
    values = {name: _number(value.removeprefix("lock ")) for name, value in metric_values(metrics)}
    return {"metrics": [values]} if values else {}


def _number(text: str) -> RowValue:
    bare = text.removesuffix("ms")
    return int(bare) if bare.isdigit() else text


def _source(found: FibResult | None) -> dict[str, RowValue]:
    """Return which prefix and which rule it was."""
    source: dict[str, RowValue] = {}
    if found is None:
        return source
    if found.entry is not None:
        source["prefix"] = prefix_text(found.prefix, found.length)
    if found.rule is not None:
        source["rule"] = found.rule.pref
    elif found.table:
        source["rule"] = RULE_OF_DEFAULT if found.table == TABLE_DEFAULT else RULE_OF_MAIN
    return source


def _refusal(answer: Answer) -> dict[str, RowValue]:
    refusal: dict[str, RowValue] = {}
    if answer.errno:
        refusal["error"] = errorcode[answer.errno]
    if answer.reason is not None:
        refusal["reason"] = answer.reason.value
    return refusal


def fibmatch_row(question: Question, answer: Answer) -> dict[str, RowValue]:
    """Return the row of the route in the table that an answer rests on."""
    found, route = answer.found, answer.route
    if route is None:
        return lookup_row(question, answer)
    row: dict[str, RowValue] = {"dst": address_text(question.dst), "type": answer.type}
    if found is None or found.entry is None:
        return {**row, "error": errorcode[EHOSTUNREACH]}
    entry = found.entry
    row.update(dst=prefix_text(found.prefix, found.length), table=table_text(found.table))
    if len(entry.nexthops) == 1:
        row.update(_nexthop(entry.nexthops[0]))
    if entry.prefsrc:
        row["prefsrc"] = address_text(entry.prefsrc)
    if entry.priority:
        row["metric"] = entry.priority
    row.update(_metrics(entry.metrics))
    if flags := route_flag_words(entry, answer.carrier_minded):
        row["flags"] = flags
    if len(entry.nexthops) > 1:
        row["nexthops"] = [
            {**_nexthop(one), "weight": one.weight, "flags": state_words(one, answer.carrier_minded)}
            for one in entry.nexthops
        ]
    return {**row, **_source(found)}


def _nexthop(nexthop: NextHop) -> dict[str, RowValue]:
    if nexthop.gateway or nexthop.gateway6:
        gateway = address_text(nexthop.gateway) if nexthop.gateway else nexthop.gateway6
        return {"gateway": gateway, "dev": nexthop.dev}
    return {"dev": nexthop.dev}
