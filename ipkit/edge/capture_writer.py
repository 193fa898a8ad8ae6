"""Frames into a capture that appears whole or not at all.

Law: the output is of the first input's kind, or pcapng where its name ends so; what nobody changed goes out as it was
stored, bit for bit, in runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike, fspath
from types import MappingProxyType
from typing import Final, Protocol, Self

from ipkit.core.frames import Changes, Frame, FrameBatch
from ipkit.core.lanes import Patch
from ipkit.core.wire.link import EN10MB
from ipkit.edge.output_target import OutputTarget
from ipkit.edge.packet_output import PacketOutput
from ipkit.edge.pcap_records import PcapOrigin
from ipkit.edge.pcap_writer import PcapSink
from ipkit.edge.pcapng_blocks import PcapngOrigin
from ipkit.edge.pcapng_writer import PcapngSink
from ipkit.errors import WriteError

PCAPNG_SUFFIX: Final = ".pcapng"
SNAPLEN: Final = 262144
NO_MARKS: Final[Mapping[int, int]] = MappingProxyType({})


class Sink(Protocol):
    """A capture of one kind in the making."""

    data_offset: int
    """Where in the output the data begins of the frame that was written last."""

    def rows(self, batch: FrameBatch, first: int, last: int) -> None:
        """Write rows as they were stored."""
        ...

    def between(self, batch: FrameBatch, row: int | None) -> None:
        """Write what stood before a row that has gone, or all of a batch without rows."""
        ...

    def frame(self, frame: Frame) -> None:
        """Write a frame as it was stored, or anew where it has changed."""
        ...

    def finish(self) -> None:
        """Complete the capture."""
        ...


class CaptureWriter:
    """One output capture; "-" is stdout. Leaving without commit() leaves what stood there."""

    def __init__(self, target: str | PathLike[str], *, link_type: int = EN10MB) -> None:
        self._target = OutputTarget(fspath(target))
        if self._target.isatty():
            self._target.abandon()
            raise WriteError(f"{self._target.called} is a terminal: packets need a file or a pipe")
        self._output = PacketOutput(self._target)
        self._link_type = link_type  # of a capture that nothing else says one for
        self._sink: Sink | None = None
        self._places: dict[int, int] = {}  # where marked frames stand

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.abandon()

    def like(self, origin: object) -> None:
        """Take kind and resolution from an input, unless an earlier one gave them; None: from no input."""
        self._sink_like(origin)

    def write_batch(self, batch: FrameBatch, changes: Changes, marks: Mapping[int, int] = NO_MARKS) -> None:
        """Write the rows of a batch, those in `changes` as what stands in their place.

        Where the rows in `marks` come to stand is remembered by their marks, for patches.
        """
        sink = self._sink_like(batch.origin)
        if not len(batch):
            sink.between(batch, None)
        done = 0
        for row in sorted({*changes, *marks}):
            sink.rows(batch, done, row)
            if row in changes:
                sink.between(batch, row)
                for frame in changes[row]:
                    sink.frame(frame)
            else:
                sink.rows(batch, row, row + 1)
            if row in marks:
                self._places[marks[row]] = sink.data_offset
            done = row + 1
        sink.rows(batch, done, len(batch))
        self._output.send()
        self._target.flush()

    def patch(self, patch: Patch) -> None:
        """Put bytes right in a frame that was marked, where the target is a file; the mark is forgotten."""
        place = self._places.pop(patch.mark, None)
        if place is not None and patch.data:
            self._output.rewrite(place + patch.at, patch.data)

    def write_frame(self, frame: Frame) -> None:
        """Write a frame that is late, or made by us."""
        origin = frame.origin[0] if isinstance(frame.origin, tuple) else None
        self._sink_like(origin).frame(frame)

    def commit(self) -> None:
        """Complete the capture and let it appear; where nothing was ever read or written, nothing does."""
        if self._sink is None:
            self.abandon()
            return
        self._sink.finish()
        self._output.send()
        self._target.commit()

    def abandon(self) -> None:
        """Leave what stood there."""
        self._target.abandon()

    def _sink_like(self, origin: object) -> Sink:
        if self._sink is None:
            self._sink = self._new_sink(origin)
        return self._sink

    def _new_sink(self, origin: object) -> Sink:
        if isinstance(origin, PcapngOrigin):
            interfaces = origin.section.interfaces
            snaplen = interfaces[0].snaplen if interfaces else SNAPLEN
            return PcapngSink(self._output, origin.section, snaplen, self._link_type)
        model = origin if isinstance(origin, PcapOrigin) else None
        if not self._target.name.endswith(PCAPNG_SUFFIX):
            return PcapSink(self._output, model, self._link_type)
        if model is None:
            return PcapngSink(self._output, None, SNAPLEN, self._link_type)
        return PcapngSink(self._output, None, model.header.snaplen, model.link_type)
