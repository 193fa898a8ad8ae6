"""The tables while routes are put into them: what a prefix holds already, and which entry answers for a gateway.

Law: keeps and finds; whether a route may be added is route_check.py's to say, and in which order, routes.py's.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from ipkit.core.host.fib import FibEntry, NextHop, NextHopFlag
from ipkit.core.host.words import MAX_LENGTH, mask

Key = tuple[int, int]
"""Prefix and length."""

FIRST_OF_ALL: Final = -1
"""The rank of what was there before any line was read."""


class Placed(NamedTuple):
    """An entry, and the number of the line that it stands in."""

    entry: FibEntry
    rank: int


class Found(NamedTuple):
    """What a lookup in the unfinished tables met."""

    entry: FibEntry
    nexthop: NextHop


class FibDraft:
    """All tables of a host that is being built."""

    def __init__(self) -> None:
        self._tables: dict[int, dict[Key, list[Placed]]] = {}
        self._lengths: dict[int, set[int]] = {}

    def at(self, table: int, prefix: int, length: int) -> list[Placed]:
        """Return what one prefix holds; the list is the table's own."""
        return self._tables.get(table, {}).get((prefix, length), [])

    def add(self, entry: FibEntry, rank: int = FIRST_OF_ALL) -> None:
        """Put an entry behind its equals: TOS first, then small metrics."""
        table = self._tables.setdefault(entry.table, {})
        insort(table.setdefault((entry.prefix, entry.length), []), Placed(entry, rank), key=_preference)
        self._lengths.setdefault(entry.table, set()).add(entry.length)

    def covering(self, tables: Sequence[int], address: int) -> Iterator[FibEntry]:
        """Yield the entries whose prefix covers an address, longest first, the tables being one trie."""
        for length in range(MAX_LENGTH, -1, -1):
            for table in tables:
                if length in self._lengths.get(table, ()):
                    for placed in self.at(table, address & mask(length), length):
                        yield placed.entry

    def lookup(self, tables: Sequence[int], address: int, scope: int, dev: str) -> Found | None:
        """Return the entry of at least this scope that leads to an address, by one device where it is named."""
        for entry in self.covering(tables, address):
            if entry.scope < scope or entry.tos:
                continue
            for nexthop in entry.nexthops:
                if not nexthop.flags & NextHopFlag.DEAD and dev in ("", nexthop.dev):
                    return Found(entry, nexthop)
        return None

    def entries(self) -> dict[int, tuple[FibEntry, ...]]:
        """Return each table in the order in which a dump lists it and a lookup meets equals."""
        ordered = {number: tuple(_in_order(table)) for number, table in sorted(self._tables.items())}
        return {number: entries for number, entries in ordered.items() if entries}

    def tables(self) -> Iterable[int]:
        """Return the numbers of the tables that hold anything."""
        return self._tables.keys()

    def keys(self, table: int) -> Iterable[Key]:
        """Return the prefixes of a table."""
        return self._tables.get(table, {}).keys()


def _preference(placed: Placed) -> tuple[int, int]:
    return -placed.entry.tos, placed.entry.priority


def _in_order(table: dict[Key, list[Placed]]) -> Iterator[FibEntry]:
    """Yield a table's entries: of prefixes that begin alike the longer ones first."""
    for _, group in sorted(table.items(), key=lambda item: (item[0][0], -item[0][1])):
        for placed in sorted(group, key=lambda one: (*_preference(one), one.rank)):
            yield placed.entry
