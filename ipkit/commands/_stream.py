"""The one loop that all capture commands share: read, decide, write.

Law: it knows no packet. A lane decides, a report speaks, a writer writes; here only their order is settled, and what
becomes of the output when the input is damaged, the reader of the report leaves, or the user interrupts.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from ipkit.commands._columns import Column
from ipkit.commands._interrupts import Interrupts
from ipkit.commands._options import CaptureOptions, ReportOptions
from ipkit.commands._progress import Progress
from ipkit.commands._render import Conclude, Report
from ipkit.core.frames import Frame
from ipkit.core.lanes import Lane, LaneResult, RowWish
from ipkit.errors import CaptureError, ExitStatus

if TYPE_CHECKING:
    from ipkit.edge.capture_reader import CaptureStream
    from ipkit.edge.capture_writer import CaptureWriter


def run_captures(
    captures: CaptureOptions,
    options: ReportOptions,
    columns: Sequence[Column],
    make_lane: Callable[[RowWish], Lane],
    *,
    icmp_to: str | None = None,
    conclude: Conclude | None = None,
) -> ExitStatus:
    """Take captures through a lane and report; the status is the command's."""
    from ipkit.edge.capture_reader import CaptureStream

    names = input_names(captures.files)
    with (
        Interrupts() as interrupts,
        opened_report(options, columns, captures.write, conclude) as report,
        opened_writer(captures.write) as writer,
        opened_writer(icmp_to) as icmp,
    ):
        lane = make_lane(report.wish)
        stream = CaptureStream(names, captures.count)
        run = _Run(lane, report, writer, icmp)
        try:
            run.read(stream, interrupts, Progress(stream.total, captures.progress))
        except CaptureError as damage:
            run.finish()
            raise damage from None
        finally:
            stream.close()
        run.finish()
    if interrupts.happened:
        return ExitStatus.INTERRUPTED
    return ExitStatus.FINDING if lane.has_finding() else ExitStatus.FINE


def input_names(files: tuple[str, ...]) -> tuple[str, ...]:
    """Return what to read: the files named, or stdin where that is not a terminal."""
    if files:
        return files
    if sys.stdin is None or sys.stdin.isatty():
        context = click.get_current_context()
        raise click.UsageError("no capture given: name a FILE, or - for standard input", context)
    return ("-",)


@contextmanager
def opened_report(
    options: ReportOptions, columns: Sequence[Column], packets_to: str | None, conclude: Conclude | None = None
) -> Iterator[Report]:
    """Open the report where it belongs: stdout, a file, or stderr where the packets take stdout."""
    from ipkit.edge.output_target import STDOUT, OutputTarget, are_one, descriptor_of

    place = options.place or "-"
    if packets_to is not None and descriptor_of(packets_to) == STDOUT and options.place is None:
        place, options = "/dev/stderr", replace(options, quiet=max(1, options.quiet))
    if packets_to is not None and are_one(packets_to, place):
        raise click.UsageError(f"packets and report cannot both go to {place}", click.get_current_context())
    with OutputTarget(place) as target:
        yield Report(options, columns, target, conclude)


@contextmanager
def opened_writer(target: str | None) -> Iterator[CaptureWriter | None]:
    """Open the capture that packets go to; None: they go to none."""
    if target is None:
        yield None
        return
    from ipkit.edge.capture_writer import CaptureWriter

    with CaptureWriter(target) as writer:
        yield writer


class _Run:
    """One pass over the input: what was decided is written first, then reported."""

    def __init__(self, lane: Lane, report: Report, writer: CaptureWriter | None, icmp: CaptureWriter | None) -> None:
        self._lane = lane
        self._report = report
        self._writer = writer
        self._icmp = icmp
        self._reader_left: BrokenPipeError | None = None
        self._began = False  # something could be read: there is something to conclude

    def read(self, stream: CaptureStream, interrupts: Interrupts, progress: Progress) -> None:
        """Go through the batches until they end or an interrupt arrives."""
        try:
            for batch in interrupts.until(stream):
                if self._icmp is not None and not self._began:
                    self._icmp.like(None)  # without an error the capture is empty, not missing
                self._began = True
                result = self._lane.process(batch)
                if self._writer is not None:
                    self._writer.write_batch(batch, result.changes, result.marks)
                    for patch in result.patches:
                        self._writer.patch(patch)
                self._write_frames(self._icmp, result.icmp)
                progress.hide()
                self._say(result)
                progress.show(stream.position)
        finally:
            progress.hide()

    def finish(self) -> None:
        """Let go what was held, make the output appear, conclude the report; of nothing, nothing is made."""
        if not self._began:
            return
        result = self._lane.finish()
        self._write_frames(self._writer, result.late)
        self._write_frames(self._icmp, result.icmp)
        for writer in (self._writer, self._icmp):
            if writer is not None:
                writer.commit()
        self._say(result)
        if self._reader_left is not None:
            raise self._reader_left
        self._report.close(self._lane.summary())

    @staticmethod
    def _write_frames(writer: CaptureWriter | None, frames: Sequence[Frame]) -> None:
        if writer is not None:
            for frame in frames:
                writer.write_frame(frame)

    def _say(self, result: LaneResult) -> None:
        """Report rows; a reader who leaves ends the run, unless a capture is being written: that is finished first."""
        if self._reader_left is not None:
            return
        try:
            self._report.rows(result.rows)
        except BrokenPipeError as error:
            if self._writer is None and self._icmp is None:
                raise
            self._reader_left = error
