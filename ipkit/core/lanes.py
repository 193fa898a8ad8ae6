"""Batches in, results out: the seam at which faster lanes plug in.

A lane keeps its carry-over state itself, never prints and never reads a file. A faster lane answers the rows it can
prove ordinary and hands the rest, in order, to the scalar one; for every batch both give the same results.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ipkit.core.frames import Changes, Frame, FrameBatch

if TYPE_CHECKING:
    from ipkit.core.outcome.verdict import IcmpDue  # the stack is not loaded for a name

RowValue = object
Row = Mapping[str, RowValue]
"""One line of a report, by column key; a key with nothing to say is left out."""


class RowWish(Enum):
    """Which rows the report will show, so that no other is made."""

    NONE = "none"
    LOOK = "look"  # those that need a look
    ALL = "all"


class Explain(Enum):
    """Whether rows show how their answer comes about."""

    NO = "no"
    YES = "yes"


class ReportRow(NamedTuple):
    """A row, and whether it needs a look."""

    needs_look: bool
    row: Row


class Patch(NamedTuple):
    """Bytes to be put right in a frame that has gone out already."""

    mark: int
    at: int  # in the frame
    data: bytes  # none: the mark is not needed any more


class LaneResult(NamedTuple):
    """What became of a batch."""

    rows: Sequence[ReportRow] = ()
    changes: Changes = MappingProxyType({})
    late: Sequence[Frame] = ()  # frames that follow the batch: what finish() lets go
    icmp: Sequence[Frame] = ()  # errors the host would send: what --icmp FILE gets
    marks: Mapping[int, int] = MappingProxyType({})  # rows that may be patched later on, each by its mark
    patches: Sequence[Patch] = ()


class Lane(Protocol):
    """One command's decision over batches of frames."""

    def process(self, batch: FrameBatch) -> LaneResult:
        """Decide every row of a batch."""
        ...

    def finish(self) -> LaneResult:
        """Say what was still held when the input ended."""
        ...

    def summary(self) -> Mapping[str, RowValue]:
        """Count what was seen."""
        ...

    def has_finding(self) -> bool:
        """Tell whether the command's finding is there (exit status 1)."""
        ...


class ErrorSender(Protocol):
    """The host that a datagram's source hears from."""

    def frame_for(self, due: IcmpDue, frame: Frame) -> Frame | None:
        """Return the error about a frame as it would leave the host; None where none would."""
        ...
