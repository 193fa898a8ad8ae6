"""Ctrl-C as the end of the input: what was read is finished, written and reported."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import Self, TypeVar

Item = TypeVar("Item")


class Interrupts:
    """While it holds, an interrupt ends iteration and nothing else."""

    def __init__(self) -> None:
        self.happened = False
        self._reading = False
        self._before: object = None

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGINT, self._on_signal)
        return self

    def __exit__(self, *_error: object) -> None:
        signal.signal(signal.SIGINT, self._before if callable(self._before) else signal.default_int_handler)

    def until(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield the items until they end or an interrupt arrives; what is being worked on is never torn apart."""
        source = iter(items)
        while not self.happened:
            try:
                self._reading = True
                item = next(source)
            except (StopIteration, KeyboardInterrupt):
                return
            finally:
                self._reading = False
            yield item

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.happened = True
        if self._reading:
            raise KeyboardInterrupt
