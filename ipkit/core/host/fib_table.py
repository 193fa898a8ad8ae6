"""One table as longest-prefix match meets it: what covers an address, longest prefix first.

Law: exact and without opinion; which of the candidates answers is fib_lookup.py's to say. Few routes are a dict per
prefix length; columns of a million get slots by the first three bytes, made when the first address is asked for.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple, Protocol, TypeVar

from ipkit.core.host.fib import BulkRoutes, FibEntry

SEGMENT: Final = 1 << 31
"""Set in a slot whose 256 addresses do not all have the same longest prefix."""


T = TypeVar("T")


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

    def longest(self, address: int) -> Leaf:
        """Return the longest prefix over an address with its routes; without any: NO_LEAF."""
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

    def longest(self, address: int) -> Leaf:
        """Return the longest prefix over an address with its routes; without any: NO_LEAF."""
        return next(self.leaves(address), NO_LEAF)

    def leaf(self, prefix: int, length: int) -> Leaf:
        """Return the routes of exactly one prefix."""
        return self.by_prefix.get((length, prefix), NO_LEAF)


class BulkTable:
    """A table with columns of routes, and perhaps a few single ones that come before them."""

    def __init__(self, entries: Iterable[FibEntry], bulk: BulkRoutes) -> None:
        self._few = FibTable(entries)
        self._bulk = bulk
        self._painted: PaintedTable | None = None

    @property
    def painted(self) -> PaintedTable:
        """The table by address; made at first sight."""
        if self._painted is None:
            self._painted = PaintedTable(self._bulk, self._few_leaves())
        return self._painted

    def _few_leaves(self) -> list[Leaf]:
        """Return the single routes, what the columns have of the same prefix behind them."""
        places = sorted((prefix, length) for length, prefix in self._few.by_prefix)
        return [self.leaf(*place) for place in places]

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
        """Return the longest prefix over an address with its routes; without any: NO_LEAF."""
        painted, bulk = self.painted, self._bulk
        number = painted.number_over(address)
        row = number - 1
        if 0 <= row < len(bulk.prefixes):
            return Leaf(bulk.prefixes[row], bulk.lengths[row], painted.entries[painted.kinds[number]])
        return painted.few[row - len(bulk.prefixes)] if number else NO_LEAF

    def leaf(self, prefix: int, length: int) -> Leaf:
        """Return the routes of exactly one prefix."""
        few, bulk = self._few.leaf(prefix, length), self._bulk
        row = bisect_left(bulk.prefixes, prefix)
        while row < len(bulk.prefixes) and bulk.prefixes[row] == prefix:
            if bulk.lengths[row] == length:
                return Leaf(prefix, length, (*few.entries, bulk.templates[bulk.kinds[row]]))
            row += 1
        return few


class PaintedTable:
    """The number of the longest prefix over every address, in two array reads at most (DIR-24-8), and its routes.

    Rows of the columns are numbered from 1, the few single prefixes behind them; 0 is where nothing is.
    """

    def __init__(self, bulk: BulkRoutes, few: list[Leaf]) -> None:
        self.few = few
        self.top = array("I", (0,)) * (1 << 24)
        self.low = array("I")
        self.entries = [(), *((template,) for template in bulk.templates), *(leaf.entries for leaf in few)]
        first_few = len(bulk.templates) + 1
        self.kinds = array("I", (0,))
        self.kinds.extend(kind + 1 for kind in bulk.kinds)
        self.kinds.extend(range(first_few, first_few + len(few)))
        self._paint_all(bulk)

    def number_over(self, address: int) -> int:
        """Return the number painted over an address."""
        number = self.top[address >> 8]
        return self.low[number - SEGMENT << 8 | address & 255] if number >= SEGMENT else number

    def by_address(self, values: Sequence[T]) -> Callable[[int], T]:
        """Return a function from an address to the value that stands where its routes stand in `entries`."""
        top, low, kinds = self.top, self.low, self.kinds

        def value_over(address: int) -> T:
            number = top[address >> 8]
            if number >= SEGMENT:
                number = low[number - SEGMENT << 8 | address & 255]
            return values[kinds[number]]

        return value_over

    def _paint_all(self, bulk: BulkRoutes) -> None:
        """Paint in the order of prefixes, a shorter one before the longer ones inside it."""
        rows, done = len(bulk.prefixes), 0
        for place, leaf in enumerate(self.few, 1):
            upto = bisect_left(bulk.prefixes, leaf.prefix, done)
            while upto < rows and bulk.prefixes[upto] == leaf.prefix and bulk.lengths[upto] <= leaf.length:
                upto += 1
            self._paint(bulk, range(done, upto), 1)
            alone = BulkRoutes(array("I", (leaf.prefix,)), array("B", (leaf.length,)), array("I"), ())
            self._paint(alone, range(1), rows + place)
            done = upto
        self._paint(bulk, range(done, rows), 1)

    def _paint(self, bulk: BulkRoutes, rows: range, first: int) -> None:
        """Paint rows with their index and what the first one is to be called; later ones cover earlier ones."""
        top, low, prefixes, lengths = self.top, self.low, bulk.prefixes, bulk.lengths
        for row in rows:
            prefix, length = prefixes[row], lengths[row]
            if length == 24:
                top[prefix >> 8] = row + first
            elif length < 24:
                begin, count = prefix >> 8, 1 << 24 - length
                top[begin : begin + count] = array("I", (row + first,)) * count
            else:
                begin, count = self._segment(prefix >> 8) + (prefix & 255), 1 << 32 - length
                low[begin : begin + count] = array("I", (row + first,)) * count

    def _segment(self, slot: int) -> int:
        """Return where the 256 addresses of a slot lie, made from what covered all of them."""
        number = self.top[slot]
        if number < SEGMENT:
            self.low.extend(array("I", (number,)) * 256)
            number = self.top[slot] = SEGMENT + (len(self.low) >> 8) - 1
        return number - SEGMENT << 8
