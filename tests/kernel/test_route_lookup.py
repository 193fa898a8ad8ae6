"""The rows of route-lookup against `ip -j route get`: where both have a key, they have the same value."""

from __future__ import annotations

from ipaddress import IPv4Address
from socket import getprotobyname
from typing import Any

import pytest

from ipkit.core.lookup import Question, ask
from ipkit.core.lookup_row import fibmatch_row, lookup_row
from tests.kernel import model
from tests.kernel.lookup_cases import lookup_case
from tests.kernel.lookups import Lookup
from tests.kernel.namespace import Namespace
from tests.kernel.test_lookups import taken

pytestmark = pytest.mark.kernel

SEEDS = range(5000, 5012)
COMPARED = (
    "dst", "from", "iif", "type", "table", "gateway", "dev", "prefsrc", "metric", "metrics", "flags", "cache",
    "nexthops",
)  # fmt: skip


def question(lookup: Lookup) -> Question:
    return Question(
        int(IPv4Address(lookup.dst)), int(IPv4Address(lookup.src or 0)), lookup.iif or "", lookup.oif or "",
        lookup.tos, lookup.mark, getprotobyname(lookup.ipproto or "udp"), lookup.sport, lookup.dport,
    )  # fmt: skip


def shared(row: dict[str, Any], lookup: Lookup) -> dict[str, Any]:
    """Return what can be compared: ours leaves empty lists out, and knows the metric of a route behind an answer."""
    keys = {key: row[key] for key in COMPARED if row.get(key) not in (None, [])}
    if not lookup.fibmatch:
        keys.pop("metric", None)
    return keys


@pytest.mark.parametrize("seed", SEEDS)
def test_rows_are_those_of_iproute2(seed: int) -> None:
    host, _ = taken(seed)
    routing = model.routing(host)
    lookups = [one for one in lookup_case(seed).lookups if not is_group(one.dst)]
    with Namespace(host) as namespace:
        answers = namespace.route_get(*lookups)
    for lookup, told in zip(lookups, answers, strict=True):
        answer = ask(question(lookup), routing)
        row = (fibmatch_row if lookup.fibmatch else lookup_row)(question(lookup), answer)
        if isinstance(told, str):
            assert row["error"] == told, lookup.words()
        else:
            assert shared(row, lookup) == shared(told, lookup), lookup.words()


def is_group(dst: str) -> bool:
    """Groups are left out: what the kernel answers for them depends on what it was asked before."""
    return IPv4Address(dst).is_multicast
