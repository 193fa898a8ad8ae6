"""Which output lookups all addresses of a route answer alike, so that a million of them cost a million table reads.

Law: knows nothing that asking properly would not say. Where a rule, a second next hop, a TOS, a learnt path or a
special address could make a difference, it is silent, or asks properly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ipkit.core.host.fib import TABLE_DEFAULT, TABLE_MAIN, FibEntry, RouteType
from ipkit.core.host.fib_lookup import TYPE_ERRORS, fib_lookup
from ipkit.core.host.fib_rules import FibKey
from ipkit.core.host.fib_table import BulkTable, Leaf
from ipkit.core.state.routing import Routing

FIRST_PLAIN: Final = 0x01000000
LAST_PLAIN: Final = 0xDFFFFFFF
"""No address between them is special by itself: what is loopback or broadcast has a route that says so."""

ASK: Final = FibEntry(0, 0, 0, RouteType.THROW)
"""In place of an answer: the question has to be asked properly."""


def address_lookup(routing: Routing) -> Callable[[int], FibEntry | None]:
    """Return a function from an address to the route that a packet there would take; None: there is no way.

    It is fib_lookup for who asks for nothing but an address, and that often: on a host without rules and with columns
    of routes, most answers are three array reads.
    """
    tables = routing.tables

    def asked(address: int) -> FibEntry | None:
        found = fib_lookup(tables, FibKey(address, iif=tables.loopback))
        return None if found.errno else found.entry

    main = None if tables.has_custom_rules else tables.table(TABLE_MAIN)
    if not isinstance(main, BulkTable):
        return asked
    painted, plain = main.painted, PlainRoutes(routing)
    answer_over = painted.by_address([plain.answer(entries) for entries in painted.entries])

    def looked_up(address: int) -> FibEntry | None:
        answer = answer_over(address)
        return asked(address) if answer is ASK else answer

    return looked_up


class PlainRoutes:
    """The routes of a host that answer output lookups alone; questions bring no source and no device."""

    def __init__(self, routing: Routing) -> None:
        self._exceptions = routing.exceptions.by_destination
        tables = routing.tables
        self._table = None if tables.has_custom_rules else tables.table(TABLE_MAIN)
        self._refusals_are_final = tables.table(TABLE_DEFAULT) is None
        self._known: dict[int, bool] = {}

    def leaf_over(self, daddr: int) -> Leaf | None:
        """Return the prefix whose routes settle an address, NO_LEAF where nothing covers it; None: it depends."""
        if self._table is None or self._exceptions or not FIRST_PLAIN <= daddr <= LAST_PLAIN:
            return None
        leaf = self._table.longest(daddr)
        plain = self._known.get(id(leaf.entries))
        if plain is None:
            plain = self._known[id(leaf.entries)] = self.answer(leaf.entries) is not ASK
        return leaf if plain else None

    def answer(self, entries: tuple[FibEntry, ...]) -> FibEntry | None:
        """Return the answer that the routes of a prefix give to every address under it; ASK: it depends."""
        if not entries and self._refusals_are_final:
            return None
        if len(entries) != 1 or not self._is_plain(entries[0]):
            return ASK
        return None if entries[0].type in TYPE_ERRORS else entries[0]

    def _is_plain(self, entry: FibEntry) -> bool:
        if entry.tos:
            return False
        if entry.type is RouteType.UNICAST:
            return len(entry.nexthops) == 1 and not entry.nexthops[0].flags
        return entry.type in TYPE_ERRORS and entry.type is not RouteType.THROW and self._refusals_are_final
