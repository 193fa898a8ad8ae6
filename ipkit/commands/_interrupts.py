"""Ctrl-C as the end of the input: what was read is finished, written and reported.

Law: an interrupt breaks into nothing but the wait for more input; whatever else is under way ends first.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from types import FrameType
from typing import Protocol, Self, TypeVar

Item_co = TypeVar("Item_co", covariant=True)


class Source(Protocol[Item_co]):
    """Items in order, and whether the next one may take forever."""

    @property
    def waiting(self) -> bool:
        """Tell whether a read is under way that may take forever."""
        ...

    def __iter__(self) -> Iterator[Item_co]:
        """Yield the items."""
        ...


class Interrupts:
    """While it holds, an interrupt ends the input and nothing else."""

    def __init__(self) -> None:
        self.happened = False
        self._source: Source[object] | None = None
        self._before: object = None

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGINT, self._on_signal)
        return self

    def __exit__(self, *_error: object) -> None:
        signal.signal(signal.SIGINT, self._before if callable(self._before) else signal.default_int_handler)

    def until(self, source: Source[Item_co]) -> Iterator[Item_co]:
        """Yield the items until they end or an interrupt arrives."""
        self._source = source
        items = iter(source)
        while not self.happened:
            try:
                item = next(items)
            except (StopIteration, KeyboardInterrupt):
                return
            yield item

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.happened = True
        if self._source is not None and self._source.waiting:
            raise KeyboardInterrupt
