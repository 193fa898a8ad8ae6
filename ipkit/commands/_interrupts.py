"""Ctrl-C as the end of the input: what was read is finished, written and reported.

Law: an interrupt breaks into nothing but the wait for input; whatever else is under way ends first. Only a user who
insists breaks into everything: what is under way may be stuck in the pipe it writes to.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from types import FrameType
from typing import Final, Protocol, Self, TypeVar

INSISTENT_TIMES: Final = 3
"""Not two: timeout(1) and some shells send the same interrupt to a process and to its group."""

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
        self._times = 0
        self._source: Source[object] | None = None
        self._before: object = None

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGINT, self._on_signal)
        return self

    def __exit__(self, *_error: object) -> None:
        signal.signal(signal.SIGINT, self._before if callable(self._before) else signal.default_int_handler)

    @property
    def happened(self) -> bool:
        """Tell whether the user wants an end."""
        return self._times > 0

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
        self._times += 1
        if self._source is None or self._source.waiting or self._times >= INSISTENT_TIMES:
            raise KeyboardInterrupt
