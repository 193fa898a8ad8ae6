"""Captured frames before anyone has judged them.

A batch is columns over one buffer: what numpy can wrap without a copy, and what a loop can slice.
Nothing here knows a header. `origin` belongs to the edge: it says how the capture stored the frames,
so that what nobody touched can be written again bit for bit; the core hands it through unopened.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Frame(NamedTuple):
    """One frame on its own: taken out of a batch, or made by us."""

    file: str
    number: int  # 1-based in its file; 0: not from a capture
    tstamp_ns: int
    data: bytes
    on_wire: int
    link_type: int
    interface: str | None
    origin: object = None  # how the capture stored it; None: made by us
    keeps_options: bool = True  # False: a second piece of the same record, without its comments


@dataclass(frozen=True, slots=True)
class FrameBatch:
    """Consecutive frames of one file and one link type.

    Row i is `data[start[i]:start[i] + captured[i]]`. `record` has one entry more than there are rows:
    the stored form of row i, with everything that stood before it, is `data[record[i]:record[i + 1]]`.
    """

    data: bytes
    start: array[int]
    captured: array[int]
    on_wire: array[int]
    tstamp_ns: array[int]
    record: array[int]
    interface: array[int]  # index into `interfaces`
    interfaces: tuple[str | None, ...]
    link_type: int  # without the FCS bits
    first_number: int
    file: str
    origin: object

    def __len__(self) -> int:
        return len(self.start)

    def bytes_of(self, row: int) -> bytes:
        """Return the captured bytes of one row."""
        begin = self.start[row]
        return self.data[begin : begin + self.captured[row]]

    def frame(self, row: int) -> Frame:
        """Take one row out, with a handle to its stored form."""
        return Frame(
            self.file,
            self.first_number + row,
            self.tstamp_ns[row],
            self.bytes_of(row),
            self.on_wire[row],
            self.link_type,
            self.interfaces[self.interface[row]],
            (self.origin, self.data[self.record[row] : self.record[row + 1]]),
        )


Changes = Mapping[int, Sequence[Frame]]
"""What stands in a row's place in the output, in order; a row that is not named goes out as it came."""
