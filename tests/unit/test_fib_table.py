"""One table: what covers an address, of few routes and of columns of many."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipkit.core.host.fib import TABLE_LOCAL, TABLE_MAIN, BulkRoutes, FibEntry, RouteType
from ipkit.core.host.fib_lookup import fib_lookup
from ipkit.core.host.fib_rules import FibKey
from ipkit.core.host.fib_table import BulkTable, FibTable, PrefixTable
from ipkit.core.host.fib_tables import FibTables
from tests.support.routes import hop, host, number, route

Place = tuple[int, int]


def columns(places: list[Place], *templates: FibEntry) -> BulkRoutes:
    """Make columns of prefixes; the row's number chooses among the templates in turn."""
    rows = sorted(places)
    kinds = array("I", (row % len(templates) for row in range(len(rows))))
    return BulkRoutes(array("I", (p for p, _ in rows)), array("B", (length for _, length in rows)), kinds, templates)


def place(prefix: int, length: int) -> Place:
    return (prefix >> 32 - length << 32 - length if length else 0, length)


# Prefixes that crowd together, so that they nest and touch; every length occurs.
PLACES = st.lists(
    st.builds(place, st.sampled_from([0, 0x0A000000, 0x0A000100, 0xFFFFFF00]).flatmap(
        lambda base: st.integers(0, 0x3FF).map(lambda low: base ^ low)), st.integers(0, 32)),
    unique=True, max_size=30)  # fmt: skip
ADDRESSES = st.sampled_from([0, 0x0A000000, 0x0A000100, 0x0A0001FF, 0xFFFFFFFF]).flatmap(
    lambda base: st.integers(0, 0x3FF).map(lambda low: base ^ low)
)
TEMPLATE = route("0.0.0.0/0", hop("eth0"))


def covering(places: list[Place], address: int) -> list[Place]:
    """Scan: the oracle knows nothing of tries."""
    found = [(p, length) for p, length in places if length == 0 or (address ^ p) >> 32 - length == 0]
    return sorted(found, key=lambda one: -one[1])


def seen(table: PrefixTable, address: int) -> list[Place]:
    return [(leaf.prefix, leaf.length) for leaf in table.leaves(address)]


@given(PLACES, st.lists(ADDRESSES, min_size=1, max_size=20))
@settings(max_examples=120, deadline=None)
def test_few_routes(places: list[Place], addresses: list[int]) -> None:
    table = FibTable(FibEntry(p, length, TABLE_MAIN, RouteType.UNICAST) for p, length in places)
    for address in addresses:
        assert seen(table, address) == covering(places, address)


@given(PLACES, PLACES, st.lists(ADDRESSES, min_size=1, max_size=20))
@settings(max_examples=12, deadline=None)
def test_columns_with_single_routes_among_them(many: list[Place], few: list[Place], addresses: list[int]) -> None:
    table = BulkTable([FibEntry(p, n, TABLE_LOCAL, RouteType.LOCAL) for p, n in few], columns(many, TEMPLATE))
    for address in addresses:
        assert seen(table, address) == covering(list(dict.fromkeys(many + few)), address)
        for leaf in table.leaves(address):
            spot = (leaf.prefix, leaf.length)
            kinds = [entry.type for entry in leaf.entries]
            assert kinds == [RouteType.LOCAL] * (spot in few) + [RouteType.UNICAST] * (spot in many)


def test_columns_in_a_shared_trie_stand_behind_local_routes() -> None:
    bulk = columns([place(number("10.0.0.0"), 8), place(number("10.1.0.0"), 16)], TEMPLATE)
    own = route("10.1.0.1/32", hop("lo"), table=TABLE_LOCAL, type=RouteType.LOCAL)
    tables = FibTables(host([own], bulk={TABLE_MAIN: bulk}))
    answers = [fib_lookup(tables, FibKey(number(a))) for a in ("10.1.0.1", "10.1.0.2", "10.2.0.1", "11.0.0.1")]
    assert [(one.errno, one.length, one.nexthop and one.nexthop.dev) for one in answers] == [
        (0, 32, "lo"), (0, 16, "eth0"), (0, 8, "eth0"), (101, 0, None)
    ]  # fmt: skip


def test_local_columns_stand_before_the_routes_of_main() -> None:
    own = route("0.0.0.0/0", hop("lo"), table=TABLE_LOCAL, type=RouteType.LOCAL)
    bulk = columns([place(number("10.0.0.0"), 8)], own)
    tables = FibTables(host([route("10.0.0.0/8", hop("eth0"))], bulk={TABLE_LOCAL: bulk}))
    found = fib_lookup(tables, FibKey(number("10.1.0.1")))
    assert (found.nexthop and found.nexthop.dev, found.length, found.table) == ("lo", 8, TABLE_MAIN)


def test_a_row_that_cannot_be_used_falls_through_to_shorter_ones() -> None:
    other = route("0.0.0.0/0", hop("eth1"))
    bulk = columns([place(number("10.0.0.0"), 8), place(number("10.1.0.0"), 16)], TEMPLATE, other)
    tables = FibTables(host(bulk={TABLE_MAIN: bulk}))
    found = fib_lookup(tables, FibKey(number("10.1.0.1"), oif="eth0"))
    assert (found.length, found.nexthop and found.nexthop.dev) == (8, "eth0")


@pytest.mark.parametrize("length", [0, 1, 23, 24, 25, 31, 32])
def test_a_prefix_of_any_length_ends_where_it_should(length: int) -> None:
    first = place(number("200.100.50.25"), length)[0]
    last = first | (0xFFFFFFFF >> length if length else 0xFFFFFFFF)
    table = BulkTable([], columns([(first, length)], TEMPLATE))
    inside = [seen(table, address) for address in (first, last)]
    outside = [seen(table, address) for address in (first - 1, last + 1) if 0 <= address <= 0xFFFFFFFF]
    assert inside == [[(first, length)]] * 2
    assert outside == [[]] * len(outside)
