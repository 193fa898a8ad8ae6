"""Any capture, from a path or a pipe, as batches of frames.

Law: several files are one stream, read once, in order, in constant memory. Every good frame is handed over before
damage is raised, and damage is always a CaptureError that names the file.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from typing import Final, Protocol

from ipkit.core.frames import FrameBatch
from ipkit.edge.capture_source import ByteSource, FileSource, unpacked
from ipkit.edge.capture_window import Window
from ipkit.edge.pcap_records import PcapReader
from ipkit.edge.pcapng_blocks import SECTION_MAGIC
from ipkit.edge.pcapng_reader import PcapngReader
from ipkit.errors import CaptureError

NO_LIMIT: Final = 1 << 62
MAGIC_BYTES: Final = 4


class FileReader(Protocol):
    """The frames of one file."""

    def batches(self, limit: int) -> Iterator[FrameBatch]:
        """Yield the good frames, at most `limit` of them; damage is raised after them."""
        ...

    def rest(self, number: int) -> FrameBatch:
        """Return a batch without rows: the format, and what stood in the file after the last frame."""
        ...


class CaptureStream:
    """Several captures as one stream of batches.

    A batch may have no rows: a file without frames still has a format, and a file may say something after its last
    frame. Where a batch has no rows, all of its `data` is such an addition, to be handed to the writer like any other.
    """

    def __init__(self, names: Sequence[str | os.PathLike[str]], limit: int = 0) -> None:
        self._names = tuple(os.fspath(name) for name in names)
        self.total = _total_bytes(self._names)
        self._left = limit or NO_LIMIT
        self._read_before = 0
        self._source: ByteSource | None = None
        self._opening = False  # a FIFO is open once someone has opened its other end

    @property
    def position(self) -> int:
        """Bytes of the input read so far: packed ones where it is gzipped."""
        return self._read_before + (self._source.position if self._source is not None else 0)

    @property
    def waiting(self) -> bool:
        """Tell whether the stream waits for bytes that may never come: every whole frame has been handed over then."""
        return self._opening or (self._source is not None and self._source.waiting)

    def __iter__(self) -> Iterator[FrameBatch]:
        for name in self._names:
            if not self._left:
                return
            self._source = opened = self._opened(name)
            try:
                self._source = unpacked(opened)
                yield from self._frames(_open_reader(Window(self._source)))
            finally:
                self.close()

    def close(self) -> None:
        """Let go of the input."""
        if self._source is not None:
            self._read_before += self._source.position
            self._source.close()
            self._source = None

    def _opened(self, name: str) -> FileSource:
        self._opening = True
        try:
            return FileSource(name)
        finally:
            self._opening = False

    def _frames(self, reader: FileReader) -> Iterator[FrameBatch]:
        number = 1
        damage: CaptureError | None = None
        try:
            for batch in reader.batches(self._left):
                number += len(batch)
                self._left -= len(batch)
                yield batch
        except CaptureError as error:
            damage = error
        rest = reader.rest(number)
        if self._left and (rest.data or number == 1):
            yield rest
        if damage is not None:
            raise damage


def _open_reader(window: Window) -> FileReader:
    window.fill(MAGIC_BYTES)
    if not window.data:
        raise CaptureError(f"{window.name}: empty file, not a capture")
    return PcapngReader(window) if window.data[:MAGIC_BYTES] == SECTION_MAGIC else PcapReader(window)


def _total_bytes(names: Sequence[str]) -> int | None:
    """Return the size of all inputs, where it is known."""
    total = 0
    for name in names:
        if name == "-":
            return None
        try:
            status = os.stat(name)
        except OSError:
            return None
        if not stat.S_ISREG(status.st_mode):
            return None
        total += status.st_size
    return total
