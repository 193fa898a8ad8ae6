"""Captured frames through ip_defrag: what `ipkit reassemble` decides.

Law: fragments are taken as a host would take them that all of them are addressed to, by the capture's clock. What is
no fragment stays byte for byte. Fragments are held until their datagram is decided, and no longer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from ipkit.core.compare_policies import Panels
from ipkit.core.defrag import DefragUser, Fallen, fragment_key, fragment_of, ip_expire, owed_about, take
from ipkit.core.frag_state import queue_from, restore_store, store_document
from ipkit.core.frames import Frame, FrameBatch
from ipkit.core.host.kernel import KernelProfile
from ipkit.core.host.sysctl import NetConf
from ipkit.core.lanes import ErrorSender, LaneResult, ReportRow, Row, RowValue, RowWish
from ipkit.core.link_receive import NOT_IPV4, ipv4_at
from ipkit.core.outcome.counters import Mib
from ipkit.core.outcome.defrag_exits import EVICTED, QUEUED, TIMED_OUT, TOO_FAR, Exit, Fate, FragNote
from ipkit.core.outcome.drop_reasons import DropReason
from ipkit.core.outcome.verdict import IcmpDue
from ipkit.core.overlap import Policy, kernel_policy
from ipkit.core.reassemble_datagram import Status, Trail, datagram_values, needs_look, refused_values, trail_of
from ipkit.core.reassemble_state import (
    Terms,
    check_header,
    datagram_document,
    header_document,
    panels_document,
    restore_panels,
    trail_from,
)
from ipkit.core.rows import frame_keys, header_keys
from ipkit.core.skbuff import PacketType, SkBuff
from ipkit.core.state.frag_queue import FragKey, Fragment, FragQueue
from ipkit.core.state.frag_queues import FragQueues
from ipkit.core.state_fields import Fields
from ipkit.core.wire.checksum import ip_fast_csum
from ipkit.core.wire.ipv4 import FLAG_MF, HEADER_BYTES, OFFSET_MASK, unpack_from

FRAGMENT_BITS: Final = FLAG_MF | OFFSET_MASK
PLAIN_FIRST_BYTE: Final = 0x45
FRAG_TIME_EXCEEDED: Final = (11, 1)
MOST_DRAWN: Final = 100
BEFORE_ALL: Final = -(1 << 63)
AFTER_ALL: Final = 1 << 63

HEADER_REFUSALS: Final = {
    DropReason.IP_INHDR: Exit(Fate.REFUSED, "ip_rcv", DropReason.IP_INHDR, (Mib.IN_HDR_ERRORS,)),
    DropReason.IP_CSUM: Exit(Fate.REFUSED, "ip_rcv", DropReason.IP_CSUM, (Mib.IN_CSUM_ERRORS, Mib.IN_HDR_ERRORS)),
    DropReason.PKT_TOO_SMALL: Exit(Fate.REFUSED, "ip_rcv", DropReason.PKT_TOO_SMALL, (Mib.IN_TRUNCATED_PKTS,)),
}
"""Why a fragment never reaches ip_defrag."""

ENDINGS: Final = {TIMED_OUT: Status.TIMEOUT, EVICTED: Status.EVICTED, TOO_FAR: Status.DROPPED}

COUNTED: Final = (Mib.REASM_OKS, Mib.REASM_FAILS, Mib.REASM_TIMEOUT, Mib.REASM_OVERLAPS)


@dataclass(frozen=True, slots=True)
class ReassembleOptions:
    """How fragments are put together."""

    kernel: KernelProfile
    limits: NetConf = field(default_factory=NetConf)
    policy: Policy | None = None  # None: the kernel's own
    drains: bool = False  # timers run on after the last frame
    keeps_frames: bool = False  # for -w: the fragments of what fails are wanted again
    drops_incomplete: bool = False
    compares: bool = False  # every policy on every datagram
    draws: bool = False  # each datagram with its fragments as they came
    saves: bool = False  # what waits at the end goes into a state


@dataclass(slots=True)
class _Output:
    """What a batch has come to so far."""

    rows: list[ReportRow] = field(default_factory=list)
    changes: dict[int, list[Frame]] = field(default_factory=dict)
    icmp: list[Frame] = field(default_factory=list)
    released: list[Frame] = field(default_factory=list)  # frames of datagrams that failed just now
    touched: dict[FragKey, Trail] = field(default_factory=dict)  # of waiting datagrams with a frame of this batch

    def put_before(self, batch: FrameBatch, row: int) -> None:
        """Let go what was released, in front of what stands in a row's place."""
        own = self.changes.get(row)
        self.changes[row] = [*self.released, *([batch.frame(row)] if own is None else own)]
        self.released = []


class ReassembleLane:
    """Puts fragments together, frame after frame; what waits is carried from batch to batch."""

    def __init__(self, options: ReassembleOptions, wish: RowWish, errors: ErrorSender | None = None) -> None:
        self._options = options
        self._wish = wish
        self._errors = errors
        self._keeps = options.keeps_frames or options.saves or errors is not None
        self._policy = options.policy or kernel_policy(options.kernel)
        self._frags = FragQueues(options.kernel, options.limits)
        self._frags.now_ns = BEFORE_ALL
        self._frames = 0
        self._arrivals = 0  # frames before this batch, those of earlier runs included
        self._other = 0
        self._fragments = 0
        self._requests = 0
        self._overlaps = 0
        self._statuses: Counter[Status] = Counter()
        self._mibs: Counter[Mib] = Counter()
        self._held_bytes = 0
        self._panels = Panels(options.limits) if options.compares else None
        self._differing = 0
        self.is_finished = False
        self.drawn: list[Row] = []
        self.not_drawn = 0
        self._out = _Output()

    def process(self, batch: FrameBatch) -> LaneResult:
        """Decide every frame of a batch."""
        data, link_type, frags, out = batch.data, batch.link_type, self._frags, self._out
        other = 0
        for row, (begin, captured, now_ns) in enumerate(zip(batch.start, batch.captured, batch.tstamp_ns, strict=True)):
            if now_ns > frags.now_ns:
                frags.now_ns = now_ns
                if now_ns >= frags.due_ns:
                    self._expire(now_ns)
            at = ipv4_at(link_type, data, begin, captured)
            if at == NOT_IPV4:
                other += 1
            elif begin + captured - at >= HEADER_BYTES:
                fields = unpack_from(data, at)
                if fields[4] & FRAGMENT_BITS:
                    self._fragment(batch, row, at, fields)
            if out.released:
                out.put_before(batch, row)
        for trail in out.touched.values():
            trail.freeze()
        self._frames += len(batch)
        self._arrivals += len(batch)
        self._other += other
        self._out = _Output()
        return LaneResult(out.rows, out.changes, icmp=out.icmp)

    def finish(self) -> LaneResult:
        """Let the clock run on, or say what still waited; what is saved waits on."""
        out, held = self._out, dict[int, Frame]()
        self.is_finished = True
        if self._options.drains:
            self._expire(AFTER_ALL)
            return LaneResult(out.rows, late=out.released, icmp=out.icmp)
        for queue in () if self._options.saves else self._frags.queues.values():
            self._conclude(queue, Status.INCOMPLETE, None)
            held |= self._let_go(queue)
        return LaneResult(out.rows, late=[held[arrival] for arrival in sorted(held)])

    def summary(self) -> Mapping[str, RowValue]:
        """Count frames, datagrams by how they ended, and what the kernel would have counted."""
        return {
            "frames": self._frames,
            "ipv4": self._frames - self._other,
            "other": self._other,
            "fragments": self._fragments,
            "datagrams": self._statuses.total(),
            **{status.value: self._statuses[status] for status in Status},
            "overlaps": self._overlaps,
            Mib.REASM_REQDS.bare: self._requests,
            **{mib.bare: self._mibs[mib] for mib in COUNTED},
            **({"differ": self._differing} if self._panels is not None else {}),
            "kernel": self._options.kernel.name,
            "policy": self._policy.name,
        }

    def has_finding(self) -> bool:
        """Tell whether a datagram did not become whole."""
        return self._statuses.total() > self._statuses[Status.COMPLETE]

    def state(self) -> Mapping[str, object]:
        """Return what waits, for a later run."""
        document = header_document(self._terms)
        document["arrivals"] = self._arrivals
        document["store"] = store_document(self._frags)
        document["datagrams"] = [datagram_document(queue, trail_of(queue)) for queue in self._frags.queues.values()]
        if self._panels is not None:
            document["panels"] = panels_document(self._panels)
        return document

    def restore(self, document: object) -> None:
        """Go on from what an earlier run left waiting."""
        fields = Fields(document, "")
        check_header(fields, self._terms)
        self._arrivals = fields.number("arrivals")
        queues = []
        for datagram in fields.objects("datagrams"):
            queue = queue_from(datagram, self._arrivals)
            queue.carried = trail = trail_from(datagram.inner("frames"))
            self._held_bytes += trail.held_bytes
            queues.append(queue)
        restore_store(fields.inner("store"), self._frags, queues)
        if self._panels is not None:
            restore_panels(fields.inner("panels"), self._panels, self._arrivals)

    @property
    def _terms(self) -> Terms:
        options = self._options
        return Terms(options.kernel.name, self._policy.name, options.limits.ipfrag_time, options.compares)

    def _fragment(self, batch: FrameBatch, row: int, at: int, fields: tuple[int, ...]) -> None:
        """Take one fragment in."""
        self._fragments += 1
        begin = batch.start[row]
        end, stop = begin + batch.captured[row], at + fields[2]
        datagram = batch.data[at : stop if stop < end else end]
        # Nearly every fragment: no options, all there, checksum right.
        if fields[0] != PLAIN_FIRST_BYTE or not HEADER_BYTES <= fields[2] <= end - at or ip_fast_csum(datagram[:20]):
            refused = _refused(datagram, fields, max(end, begin + batch.on_wire[row]) - at)
            if refused is not None:
                self._refuse(batch, row, at, HEADER_REFUSALS[refused])
                return
        self._requests += 1
        frags = self._frags
        key = fragment_key(datagram, fields, DefragUser.LOCAL_DELIVER, 0)
        fragment = fragment_of(frags, datagram, fields, self._arrivals + row)
        exit_, queue, fallen = take(frags, key, fragment, self._policy)
        for each in fallen:
            if each.exit is TOO_FAR:
                self._fall(each)
        if queue is None:
            self._refuse(batch, row, at, exit_)
        else:
            trail_of(queue).note_header(queue, datagram, fields)
            self._follow(batch, row, queue, exit_)
            self._show(queue, fragment)
            if exit_ is not QUEUED and exit_.fate is not Fate.REFUSED:
                self._mibs.update(exit_.mibs)
                self._settle(batch, row, at, queue, exit_)
        for each in fallen:
            if each.exit is not TOO_FAR:
                self._fall(each)

    def _show(self, queue: FragQueue, fragment: Fragment) -> None:
        """Let a fragment be seen by whoever looks on."""
        if self._panels is not None:
            self._panels.see(queue.key, fragment)
        if self._options.draws:
            trail_of(queue).draw(fragment)

    def _follow(self, batch: FrameBatch, row: int, queue: FragQueue, exit_: Exit) -> None:
        """Remember the frame with its datagram; for -w, take it out of the output until that is decided.

        What the engine holds is bounded by its limits. A flood of what it frees at once or replaces is not: such
        frames stay where they are once they outweigh the limit.
        """
        trail, arrival = trail_of(queue), self._arrivals + row
        if trail.batch is not batch:
            trail.batch = batch
            self._out.touched[queue.key] = trail
        trail.row = row
        trail.fragments += 1
        if exit_.fate is not Fate.REFUSED:
            trail.numbers[arrival] = batch.first_number + row
        is_freed = len(trail.numbers) != len(queue.pieces)
        if is_freed:
            trail.prune(queue)
        if not self._keeps:
            return
        is_freed |= exit_.fate is Fate.REFUSED
        if is_freed and self._held_bytes > self._frags.memory + self._options.limits.ipfrag_high_thresh:
            return
        trail.held[arrival] = row
        trail.held_bytes += batch.captured[row]
        self._held_bytes += batch.captured[row]
        self._out.changes[row] = []

    def _refuse(self, batch: FrameBatch, row: int, at: int, exit_: Exit) -> None:
        """Report a fragment that came to no queue: a datagram of its own."""
        self._mibs.update(exit_.mibs)
        self._statuses[Status.DROPPED] += 1
        if self._options.drops_incomplete:
            self._out.changes[row] = []
        if self._wish is not RowWish.NONE:
            end = batch.start[row] + batch.captured[row]
            shared = frame_keys(batch, row) | header_keys(batch.data, at, end)
            self._out.rows.append(
                ReportRow(needs_look=True, row=shared | refused_values(batch.first_number + row, exit_))
            )

    def _settle(self, batch: FrameBatch, row: int, at: int, queue: FragQueue, exit_: Exit) -> None:
        """Say what a fragment has decided; a whole datagram takes its place, behind its link header."""
        status = Status.COMPLETE if exit_.fate is Fate.COMPLETE else Status.DROPPED
        if self._conclude(queue, status, exit_) is not Status.COMPLETE:
            self._out.released += self._let_go(queue).values()
        elif self._keeps:
            frame = batch.frame(row)
            whole = frame.data[: at - batch.start[row]] + queue.datagram
            self._out.changes[row] = [frame._replace(data=whole, on_wire=len(whole))]
            self._held_bytes -= trail_of(queue).held_bytes

    def _expire(self, now_ns: int) -> None:
        for fallen in ip_expire(self._frags, now_ns):
            self._answer(fallen.queue)
            self._fall(fallen)

    def _fall(self, fallen: Fallen) -> None:
        """Report a queue that ended without a fragment of its own."""
        queue, exit_ = fallen
        self._mibs.update(exit_.mibs)
        self._conclude(queue, ENDINGS[exit_], exit_)
        self._out.released += self._let_go(queue).values()

    def _answer(self, queue: FragQueue) -> None:
        """Let the host the fragments were for send the error that their source hears."""
        first = owed_about(queue)
        if first is None or self._errors is None:
            return
        frame = trail_of(queue).frame(first.tag)
        if frame is None:
            return
        skb = SkBuff(first.head, frame.interface or "", PacketType.HOST, queue.expires_ns)
        error = self._errors.frame_for(IcmpDue(*FRAG_TIME_EXCEEDED, 0, skb), frame._replace(tstamp_ns=queue.expires_ns))
        if error is not None:
            self._out.icmp.append(error)

    def _conclude(self, queue: FragQueue, status: Status, exit_: Exit | None) -> Status:
        """Count a datagram that has ended, and make its row where it is wanted."""
        if queue.notes is not None and FragNote.TRUNCATED in queue.notes:
            status = Status.DROPPED
        trail = trail_of(queue)
        if self._out.touched.get(queue.key) is trail:
            del self._out.touched[queue.key]
        self._statuses[status] += 1
        self._overlaps += queue.overlaps
        compared = self._compared(queue, status, exit_) if self._panels is not None else {}
        looks = needs_look(queue, status) or bool(compared.get("differ"))
        is_drawn = self._options.draws and len(self.drawn) < MOST_DRAWN
        if self._wish is RowWish.ALL or (looks and self._wish is RowWish.LOOK) or is_drawn:
            row = {**trail.shared(), **datagram_values(queue, status, exit_), **compared}
            self._out.rows.append(ReportRow(looks, row))
            if is_drawn:
                self.drawn.append(row)
        self.not_drawn += self._options.draws and not is_drawn
        return status

    def _compared(self, queue: FragQueue, status: Status, exit_: Exit | None) -> dict[str, RowValue]:
        """Return what every policy made of a datagram that has ended."""
        panels = self._panels
        if panels is None:
            return {}
        is_timed = status in (Status.TIMEOUT, Status.EVICTED)
        readings = panels.readings(queue.key, status.value if is_timed else Status.INCOMPLETE.value)
        if queue.notes is not None and FragNote.TRUNCATED in queue.notes:
            readings = dict.fromkeys(readings, Status.DROPPED.value)
        if exit_ is not None and exit_.fate is Fate.LOST and exit_ not in ENDINGS:
            panels.rest(queue.key, self._frags.now_ns)
        else:
            panels.end(queue.key)
        differ = len(set(readings.values())) > 1
        self._differing += differ
        return {"policies": readings, "differ": differ}

    def _let_go(self, queue: FragQueue) -> dict[int, Frame]:
        """Return the frames of a datagram that failed, by arrival."""
        trail = trail_of(queue)
        self._held_bytes -= trail.held_bytes
        if self._options.drops_incomplete or not self._options.keeps_frames:
            return {}
        return trail.frames()


def _refused(datagram: bytes, fields: Sequence[int], on_wire: int) -> DropReason | None:
    """Return why ip_rcv would not let a fragment in; what the capture cut off is taken to be right."""
    version_ihl, _, tot_len, *_ = fields
    header_bytes = (version_ihl & 0x0F) << 2
    if version_ihl >> 4 != 4 or not HEADER_BYTES <= header_bytes <= on_wire:
        return DropReason.IP_INHDR
    header = datagram[:header_bytes]
    if len(header) == header_bytes and ip_fast_csum(header):
        return DropReason.IP_CSUM
    if tot_len > on_wire:
        return DropReason.PKT_TOO_SMALL
    return DropReason.IP_INHDR if tot_len < header_bytes else None
