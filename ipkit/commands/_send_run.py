"""The two things that send does with frames: put messages on their way, and put a capture back on a wire.

Law: what leaves is decided in the core, whether a wire takes it at the edge; here frames are numbered, written, sent
and reported, in this order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import click

from ipkit.commands._columns import SHARED, Column, yes_or_no
from ipkit.commands._interrupts import Interrupts
from ipkit.commands._options import CaptureOptions, ReportOptions
from ipkit.commands._progress import Progress
from ipkit.commands._render import Report
from ipkit.commands._stream import input_names, opened_report, opened_writer
from ipkit.core.arp_send import arp_request
from ipkit.core.frames import Frame, FrameBatch
from ipkit.core.host.config import HostConfig, LinkKind, Neighbour
from ipkit.core.host.kernel import KernelProfile
from ipkit.core.lanes import ReportRow, RowValue
from ipkit.core.link_header import wire_of
from ipkit.core.link_receive import NOT_IPV4
from ipkit.core.output import OutFrame
from ipkit.core.replay import Fitted, TooLong, fitted
from ipkit.core.rows import frame_keys
from ipkit.core.send import Call, SendOrder, calls
from ipkit.core.send_layout import LAYOUT_KEYS
from ipkit.core.send_report import PLANNED, SENT, Put, SendReport, refused
from ipkit.core.state.netns import namespace_of
from ipkit.core.wire.ipv4 import MAX_TOTAL_BYTES, address_text
from ipkit.core.wire.link import EN10MB
from ipkit.errors import CaptureError, ExitStatus, SendError

if TYPE_CHECKING:
    from ipkit.edge.capture_reader import CaptureStream
    from ipkit.edge.capture_writer import CaptureWriter
    from ipkit.edge.wire_sender import Pace, WireSender

UNBOUND: Final = MAX_TOTAL_BYTES
ETHERNET_BYTES: Final = 14

_BY_KEY = {column.key: column for column in SHARED}

MESSAGE_COLUMNS = (
    _BY_KEY["frame"],
    Column("dev", "string", "dev"),
    *(_BY_KEY[key] for key in ("src", "dst", "proto", "id")),
    Column("length", "integer", "length"),
    Column("offset", "integer", "offset"),
    Column("mf", "boolean", "mf", yes_or_no),
    Column("df", "boolean", "df", yes_or_no),
    Column("ttl", "integer", "ttl"),
    Column("gateway", "string", "gateway"),
    Column("result", "string", "result"),
    Column("errno", "string", "errno"),
)
REPLAY_COLUMNS = (_BY_KEY["file"], *MESSAGE_COLUMNS)
LAYOUT = Column("layout", "list", "layout", detail=LAYOUT_KEYS)


def with_mtu(host: HostConfig, mtu: int | None) -> HostConfig:
    """Return the host as if every device but the loopback one had this MTU."""
    if mtu is None:
        return host
    links = {
        name: link if link.kind is LinkKind.LOOPBACK else replace(link, mtu=mtu) for name, link in host.links.items()
    }
    return replace(host, links=links)


@dataclass(slots=True)
class _Way:
    """Where frames go: into a capture, onto a wire, both, or nowhere."""

    host: HostConfig
    writer: CaptureWriter | None
    wire: WireSender | None
    number: int = 1
    wires: dict[str, tuple[str, int]] = field(default_factory=dict)

    def put(self, frames: Sequence[OutFrame]) -> list[tuple[OutFrame, Put]]:
        """Let the frames of a call go."""
        if self.writer is not None:
            self._write(frames, self.writer)
        self.number += len(frames)
        if self.wire is None:
            return [(frame, PLANNED) for frame in frames]
        return [(frame, _sent(frame, self.wire)) for frame in frames]

    def _write(self, frames: Sequence[OutFrame], writer: CaptureWriter) -> None:
        for number, frame in enumerate(frames, self.number):
            if frame.dev not in self.wires:
                self.wires[frame.dev] = wire_of(self.host, frame.dev)
            dev, link_type = self.wires[frame.dev]
            data = frame.header + frame.datagram
            writer.write_frame(Frame("", number, 0, data, len(data), link_type, dev))


def _sent(frame: OutFrame, wire: WireSender) -> Put:
    if frame.dev != wire.dev:
        raise SendError(f"the route leads out by {frame.dev}, not {wire.dev}")
    error = wire.send(frame.data)
    return refused(error) if error else SENT


class _Source:
    """Messages or frames that never keep anybody waiting."""

    def __init__(self, items: Iterator[list[Call]]) -> None:
        self._items = items

    @property
    def waiting(self) -> bool:
        """Nothing is read from anywhere."""
        return False

    def __iter__(self) -> Iterator[list[Call]]:
        return self._items


@dataclass(frozen=True, slots=True)
class Aim:
    """Where frames are to go, and how it is told."""

    write: str | None
    dev: str | None
    options: ReportOptions


@contextmanager
def _opened(aim: Aim, columns: Sequence[Column]) -> Iterator[tuple[Report, CaptureWriter | None, WireSender | None]]:
    """Open device, capture and report; what was written appears once all is done."""
    with ExitStack() as stack:
        wire = stack.enter_context(_opened_wire(aim.dev)) if aim.dev is not None else None
        report = stack.enter_context(opened_report(aim.options, columns, aim.write))
        writer = stack.enter_context(opened_writer(aim.write))
        yield report, writer, wire
        if writer is not None:
            writer.commit()


def _opened_wire(dev: str) -> WireSender:
    from ipkit.edge.wire_sender import WireSender

    return WireSender(dev)


def run_messages(order: SendOrder, host: HostConfig, aim: Aim, *, layout: bool) -> ExitStatus:
    """Send messages by the local output path of a host."""
    columns = (*MESSAGE_COLUMNS, LAYOUT) if layout else MESSAGE_COLUMNS
    with _opened(aim, columns) as (report, writer, wire), Interrupts() as interrupts:
        if writer is not None:
            writer.like(None)
        net = namespace_of(host if wire is None else _acquainted(host, order, wire), order.seed)
        told = SendReport(report.wish, host.kernel)
        way = _Way(host, writer, wire)
        for message in interrupts.until(_Source(calls(order, net))):
            for call in message:
                first = way.number
                frames = call.result.output.frames if call.result.output is not None else []
                report.rows(told.call(call, way.put(frames), first, layout=layout))
        for dev, address in net.neighbours.assumed:
            report.note(f"neighbour {address_text(address)} on {dev} is not known: its address is made up")
        if writer is not None:
            writer.commit()
        report.close(told.summary())
    return _status(told, interrupted=interrupts.happened)


def _acquainted(host: HostConfig, order: SendOrder, wire: WireSender) -> HostConfig:
    """Return a host that has asked on the wire for the neighbours it is about to need."""
    rehearsal = namespace_of(host, order.seed)
    for _ in calls(replace(order, repeat=1), rehearsal):
        pass
    answered = []
    for dev, address in rehearsal.neighbours.assumed:
        lladdr = wire.ask(arp_request(rehearsal, dev, address, order.saddr), address) if dev == wire.dev else None
        if lladdr is not None:
            answered.append(Neighbour(address, dev, lladdr, "reachable"))
    return replace(host, neighbours=(*host.neighbours, *answered))


def _status(told: SendReport, *, interrupted: bool) -> ExitStatus:
    if interrupted:
        return ExitStatus.INTERRUPTED
    return ExitStatus.FINDING if told.has_finding() else ExitStatus.FINE


@dataclass(frozen=True, slots=True)
class Replaying:
    """How a capture is put back on a wire."""

    captures: CaptureOptions
    pace: Pace
    rounds: int
    mtu: int | None
    too_long: TooLong
    kernel: KernelProfile


class _Replay:
    """One run over captures, as often as was asked for."""

    def __init__(
        self, plan: Replaying, told: SendReport, wire: WireSender | None, writer: CaptureWriter | None
    ) -> None:
        self.plan = plan
        self._told = told
        self._wire = wire
        self._writer = writer
        self._mtu = plan.mtu or (wire.mtu if wire is not None else UNBOUND)
        self._dev = {"dev": wire.dev} if wire is not None else {}

    def batch(self, batch: FrameBatch) -> list[ReportRow]:
        """Let the frames of a batch go, each when it is due; return their rows."""
        plan, wire = self.plan, self._wire
        rows: list[ReportRow] = []
        if wire is not None and len(batch) and batch.link_type != EN10MB:
            raise SendError(f"{batch.file}: only Ethernet frames can be put on {wire.dev}")
        if wire is not None and self._writer is None and not plan.pace.waits and self._told.wants_failures_only:
            fits = self._mtu + ETHERNET_BYTES
            if not batch.captured or max(batch.captured) <= fits:
                return self._at_once(batch, wire)
        changes: dict[int, list[Frame]] = {}
        for row in range(len(batch)):
            data = batch.bytes_of(row)
            fit = fitted(data, batch.link_type, self._mtu, plan.too_long, plan.kernel)
            if plan.pace.waits and self._wire is not None:
                plan.pace.wait_for(batch.tstamp_ns[row])
            if self._writer is not None and (len(fit.frames) != 1 or fit.frames[0] is not data):
                frame = batch.frame(row)
                changes[row] = [frame._replace(data=one, on_wire=len(one)) for one in fit.frames]
            rows += self._tell(batch, row, fit)
        if self._writer is not None:
            self._writer.write_batch(batch, changes)
        return rows

    def _at_once(self, batch: FrameBatch, wire: WireSender) -> list[ReportRow]:
        """Let a batch go of which everything fits and nothing but failures is reported."""
        pieces = [(begin, begin + size) for begin, size in zip(batch.start, batch.captured, strict=True)]
        failed = wire.send_pieces(batch.data, pieces)
        self._told.sent_at_once(len(batch) - len(failed), len(failed), sum(batch.captured))
        return [
            row
            for number, error in failed.items()
            for row in self._told.replayed(self._keys(batch, number), b"", refused(error))
        ]

    def _keys(self, batch: FrameBatch, row: int) -> dict[str, RowValue]:
        keys = {**frame_keys(batch, row), **self._dev}
        del keys["time"]
        return keys

    def _tell(self, batch: FrameBatch, row: int, fit: Fitted) -> list[ReportRow]:
        """Put the frames on the wire, if there is one, and return their rows."""
        told = self._told
        told.captured(batch.captured[row])
        if fit.mibs is not None:
            told.moved(fit.mibs)
        keys = self._keys(batch, row)
        if fit.errno:
            at = fit.datagram_at
            return told.replayed(keys, batch.bytes_of(row)[at:] if at != NOT_IPV4 else b"", refused(fit.errno))
        rows: list[ReportRow] = []
        for data in fit.frames:
            error = self._wire.send(data) if self._wire is not None else 0
            put = refused(error) if error else (SENT if self._wire is not None else PLANNED)
            rows += told.replayed(keys, data[fit.datagram_at :] if fit.datagram_at != NOT_IPV4 else b"", put)
        return rows


def run_replay(plan: Replaying, aim: Aim) -> ExitStatus:
    """Put captures back on a wire, or say what would be put there."""
    from ipkit.edge.capture_reader import CaptureStream

    names = input_names(plan.captures.files)
    if plan.rounds != 1 and "-" in names:
        raise click.UsageError("standard input cannot be read more than once: --loop needs files")
    with _opened(aim, REPLAY_COLUMNS) as (report, writer, wire), Interrupts() as interrupts:
        told = SendReport(report.wish, plan.kernel, plan_is_all=wire is None and writer is None)
        replay = _Replay(plan, told, wire, writer)
        damage = None
        try:
            for _ in range(plan.rounds):
                _one_round(replay, CaptureStream(names, plan.captures.count), report, interrupts)
        except CaptureError as error:
            damage = error
        if writer is not None:
            writer.commit()
        report.close(told.summary())
    if damage is not None:
        raise damage
    return _status(told, interrupted=interrupts.happened)


def _one_round(replay: _Replay, stream: CaptureStream, report: Report, interrupts: Interrupts) -> None:
    """Let all captures go once; after an interrupt nothing more."""
    progress = Progress(stream.total, replay.plan.captures.progress)
    replay.plan.pace.begin_again()
    try:
        for batch in interrupts.until(stream):
            progress.hide()
            report.rows(replay.batch(batch))
            progress.show(stream.position)
    finally:
        progress.hide()
        stream.close()
