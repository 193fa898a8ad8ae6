"""One table as longest-prefix match meets it: what covers an address, longest prefix first.

Law: exact and without opinion; which of the candidates answers is fib_lookup.py's to say. Few routes are a dict per
prefix length; columns of a million get slots by the first three bytes, made when the first address is asked for.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple, Protocol

from ipkit.core.host.fib import BulkRoutes, FibEntry

SEGMENT: Final = 1 << 31
"""Set in a slot whose 256 addresses do not all have the same longest prefix."""


class Leaf(NamedTuple):
    """All routes of one prefix, in the order in which a lookup meets them."""

    prefix: int
    length: int
    entries: tuple[FibEntry, ...]


NO_LEAF: Final = Leaf(0, -1, ())


class PrefixTable(Protocol):
    """What a lookup needs of a table."""

    def leaves(self, address: int) -> Iterator[Leaf]:
        """Yield what covers an address, longest prefix first."""
        ...

    def leaf(self, prefix: int, length: int) -> Leaf:
        """Return the routes of exactly one prefix."""
        ...


class FibTable:
    """A table of ordinary size."""

    def __init__(self, entries: Iterable[FibEntry]) -> None:
        grouped: dict[tuple[int, int], list[FibEntry]] = {}
        for entry in entries:
            grouped.setdefault((entry.length, entry.prefix), []).append(entry)
        self.by_prefix = {
            (length, prefix): Leaf(prefix, length, tuple(routes)) for (length, prefix), routes in grouped.items()
        }
        levels: dict[int, dict[int, Leaf]] = {}
        for leaf in self.by_prefix.values():
            levels.setdefault(32 - leaf.length, {})[leaf.prefix >> 32 - leaf.length] = leaf
        self._levels = sorted(levels.items())

    def leaves(self, address: int) -> Iterator[Leaf]:
        """Yield what covers an address, longest prefix first."""
        for shift, leaves in self._levels:
            leaf = leaves.get(address >> shift)
            if leaf is not None:
                yield leaf

    def leaf(self, prefix: int, length: int) -> Leaf:
        """Return the routes of exactly one prefix."""
        return self.by_prefix.get((length, prefix), NO_LEAF)


class BulkTable:
    """A table with columns of routes, and perhaps a few single ones that come before them."""

    def __init__(self, entries: Iterable[FibEntry], bulk: BulkRoutes) -> None:
        self._few = FibTable(entries)
        self._bulk = bulk
        self._slots: PrefixSlots | None = None
        self._numbered: list[Leaf] = []

    def leaves(self, address: int) -> Iterator[Leaf]:
        """Yield what covers an address, longest prefix first."""
        longest = self.longest(address)
        if longest.length < 0:
            return
        yield longest
        for length in range(longest.length - 1, -1, -1):
            leaf = self.leaf(address >> 32 - length << 32 - length, length)
            if leaf.entries:
                yield leaf

    def longest(self, address: int) -> Leaf:
        """Return the longest prefix over an address with its routes."""
        number = (self._slots or self._painted()).number_over(address)
        bulk = self._bulk
        if number > len(bulk.prefixes):
            return self._numbered[number - len(bulk.prefixes) - 1]
        if not number:
            return NO_LEAF
        row = number - 1
        return Leaf(bulk.prefixes[row], bulk.lengths[row], (bulk.templates[bulk.kinds[row]],))

    def leaf(self, prefix: int, length: int) -> Leaf:
        """Return the routes of exactly one prefix."""
        few = self._few.leaf(prefix, length)
        bulk = self._bulk
        row = bisect_left(bulk.prefixes, prefix)
        while row < len(bulk.prefixes) and bulk.prefixes[row] == prefix:
            if bulk.lengths[row] == length:
                return Leaf(prefix, length, (*few.entries, bulk.templates[bulk.kinds[row]]))
            row += 1
        return few

    def _painted(self) -> PrefixSlots:
        """Give every row and every single prefix its number in the slots, shorter ones before longer ones inside."""
        bulk, slots, done = self._bulk, PrefixSlots(), 0
        for length, prefix in sorted(self._few.by_prefix, key=lambda place: (place[1], place[0])):
            upto = bisect_left(bulk.prefixes, prefix, done)
            while upto < len(bulk.prefixes) and bulk.prefixes[upto] == prefix and bulk.lengths[upto] <= length:
                upto += 1
            slots.paint(bulk.prefixes, bulk.lengths, range(done, upto))
            self._numbered.append(self.leaf(prefix, length))
            number = len(bulk.prefixes) + len(self._numbered)
            slots.paint({number - 1: prefix}, {number - 1: length}, range(number - 1, number))
            done = upto
        slots.paint(bulk.prefixes, bulk.lengths, range(done, len(bulk.prefixes)))
        self._slots = slots
        return slots


class Numbers(Protocol):
    """Something that gives a number for an index: a column, or a mapping of a few."""

    def __getitem__(self, index: int, /) -> int:
        """Return one number."""
        ...


class PrefixSlots:
    """The number of the longest prefix over every address: two array reads at most (DIR-24-8)."""

    def __init__(self) -> None:
        self._top = array("I", bytes(4 << 24))
        self._low = array("I")

    def number_over(self, address: int) -> int:
        """Return the number painted over an address; 0: none."""
        number = self._top[address >> 8]
        if number >= SEGMENT:
            return self._low[number - SEGMENT << 8 | address & 255]
        return number

    def paint(self, prefixes: Numbers, lengths: Numbers, rows: range) -> None:
        """Paint rows with their index + 1; what is painted later covers what was there."""
        top, low = self._top, self._low
        for row in rows:
            prefix, length = prefixes[row], lengths[row]
            if length == 24:
                top[prefix >> 8] = row + 1
            elif length < 24:
                begin, count = prefix >> 8, 1 << 24 - length
                top[begin : begin + count] = array("I", (row + 1,)) * count
            else:
                begin, count = self._segment(prefix >> 8) + (prefix & 255), 1 << 32 - length
                low[begin : begin + count] = array("I", (row + 1,)) * count

    def _segment(self, slot: int) -> int:
        """Return where the 256 addresses of a slot lie, made from what covered all of them."""
        number = self._top[slot]
        if number < SEGMENT:
            self._low.extend(array("I", (number,)) * 256)
            number = self._top[slot] = SEGMENT + (len(self._low) >> 8) - 1
        return number - SEGMENT << 8
