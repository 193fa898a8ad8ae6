"""Standard input as lines, block by block: as many as have arrived, so that a slow writer is answered at once.

Law: memory is bounded, whatever comes: of a line that never ends only the beginning is kept.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from io import BufferedReader
from typing import Final, cast

BLOCK_BYTES: Final = 1 << 20
LONGEST_LINE: Final = 1 << 12


def stdin_is_terminal() -> bool:
    """Tell whether a person would have to type the lines."""
    return sys.stdin is None or sys.stdin.isatty()


class TypedLines:
    """Lines that are there already, given as arguments."""

    waiting = False

    def __init__(self, texts: Sequence[str]) -> None:
        self._lines = [text.encode("utf-8", "surrogateescape") for text in texts]

    def __iter__(self) -> Iterator[list[bytes]]:
        yield self._lines


class StdinLines:
    """The lines in blocks, their ends taken off."""

    def __init__(self) -> None:
        self.waiting = False

    def __iter__(self) -> Iterator[list[bytes]]:
        rest = b""
        while block := self._read():
            whole, newline, tail = block.rpartition(b"\n")
            if newline:
                yield (rest + whole).split(b"\n")
                rest = b""
            rest = (rest + tail)[:LONGEST_LINE]
        if rest:
            yield [rest]

    def _read(self) -> bytes:
        self.waiting = True
        try:
            return cast("BufferedReader", sys.stdin.buffer).read1(BLOCK_BYTES)
        finally:
            self.waiting = False
