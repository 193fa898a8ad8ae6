"""The tables while routes are put into them: what a prefix holds already, and which entry answers for a gateway.

Law: keeps and finds; whether a route may be added is route_check.py's to say, and in which order, routes.py's. What is
asked for every route costs the same however many there are.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple, TypeAlias

from ipkit.core.host.fib import FibEntry, NextHop, NextHopFlag
from ipkit.core.host.words import MAX_LENGTH, mask

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


Key: TypeAlias = tuple[int, int]
"""Prefix and length."""

Equals: TypeAlias = dict[FibEntry, Placed]
"""What has one prefix, TOS and metric, by identity and in the order in which it was added."""


def identity(entry: FibEntry) -> FibEntry:
    """Return an entry without the state of its links."""
    if all(hop.flags is NextHopFlag.NONE or hop.flags is NextHopFlag.ONLINK for hop in entry.nexthops):
        return entry
    return replace(entry, nexthops=tuple(replace(hop, flags=hop.flags & NextHopFlag.ONLINK) for hop in entry.nexthops))


@dataclass(slots=True)
class _Leaf:
    """What one prefix holds: TOS first, then small metrics."""

    order: list[tuple[int, int]] = field(default_factory=list)
    equals: dict[tuple[int, int], Equals] = field(default_factory=dict)


EMPTY: Final = _Leaf()


class FibDraft:
    """All tables of a host that is being built."""

    def __init__(self) -> None:
        self._tables: dict[int, dict[Key, _Leaf]] = {}
        self._lengths: dict[int, set[int]] = {}

    def equals(self, entry: FibEntry) -> Equals:
        """Return what has an entry's prefix, TOS and metric already; the dict is the table's own."""
        leaf = self._tables.get(entry.table, {}).get((entry.prefix, entry.length))
        return leaf.equals.get(_preference(entry), {}) if leaf else {}

    def add(self, entry: FibEntry, rank: int = FIRST_OF_ALL) -> None:
        """Put an entry behind its equals."""
        leaf = self._tables.setdefault(entry.table, {}).setdefault((entry.prefix, entry.length), _Leaf())
        place = _preference(entry)
        if place not in leaf.equals:
            leaf.equals[place] = {}
            insort(leaf.order, place)
        leaf.equals[place][identity(entry)] = Placed(entry, rank)
        self._lengths.setdefault(entry.table, set()).add(entry.length)

    def covering(self, tables: Sequence[int], address: int) -> Iterator[FibEntry]:
        """Yield the entries whose prefix covers an address, longest first, the tables being one trie."""
        for length in range(MAX_LENGTH, -1, -1):
            for table in tables:
                if length not in self._lengths.get(table, ()):
                    continue
                leaf = self._tables[table].get((address & mask(length), length), EMPTY)
                for equals in _all(leaf):
                    yield from (placed.entry for placed in equals.values())

    def lookup(self, tables: Sequence[int], address: int, scope: int, dev: str) -> Found | None:
        """Return the entry of at least this scope that leads to an address, by one device where it is named."""
        for entry in self.covering(tables, address):
            if entry.scope < scope or entry.tos:
                continue
            for nexthop in entry.nexthops:
                if not nexthop.flags & NextHopFlag.DEAD and dev in ("", nexthop.dev):
                    return Found(entry, nexthop)
        return None

    def change(self, changed: Callable[[FibEntry], FibEntry | None]) -> None:
        """Let every entry become another one, or go."""
        for equals in (equals for table in self._tables.values() for leaf in table.values() for equals in _all(leaf)):
            for key, (entry, rank) in list(equals.items()):
                after = changed(entry)
                if after is None:
                    del equals[key]
                elif after is not entry:
                    equals[key] = Placed(after, rank)

    def entries(self) -> dict[int, tuple[FibEntry, ...]]:
        """Return each table in the order in which a dump lists it and a lookup meets equals."""
        ordered = {number: tuple(_in_order(table)) for number, table in sorted(self._tables.items())}
        return {number: entries for number, entries in ordered.items() if entries}

    def keys(self, table: int) -> Iterable[Key]:
        """Return the prefixes of a table."""
        return self._tables.get(table, {}).keys()


def _preference(entry: FibEntry) -> tuple[int, int]:
    return -entry.tos, entry.priority


def _all(leaf: _Leaf) -> Iterator[Equals]:
    return (leaf.equals[place] for place in leaf.order)


def _in_order(table: dict[Key, _Leaf]) -> Iterator[FibEntry]:
    """Yield a table's entries: of prefixes that begin alike the longer ones first."""
    for _, leaf in sorted(table.items(), key=lambda item: (item[0][0], -item[0][1])):
        for equals in _all(leaf):
            yield from (placed.entry for placed in sorted(equals.values(), key=lambda one: one.rank))
