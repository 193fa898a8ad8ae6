"""Captured frames through ip_defrag: what `ipkit reassemble` decides.

Law: fragments are taken as a host would take them that all of them are addressed to, by the capture's clock. What is
no fragment stays byte for byte. Fragments are held until their datagram is decided, and no longer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ipkit.core.defrag import DefragUser, Fallen, fragment_of, ip_expire, owed_about, take
from ipkit.core.frames import Frame, FrameBatch
from ipkit.core.host.kernel import KernelProfile
from ipkit.core.host.sysctl import NetConf
from ipkit.core.lanes import ErrorSender, LaneResult, ReportRow, Row, RowValue, RowWish
from ipkit.core.link_receive import NOT_IPV4, ipv4_at
from ipkit.core.outcome.counters import Mib
from ipkit.core.outcome.defrag_exits import COMPLETE, EVICTED, QUEUED, TIMED_OUT, TOO_FAR, Exit, Fate, FragNote
from ipkit.core.outcome.drop_reasons import DropReason
from ipkit.core.outcome.verdict import IcmpDue
from ipkit.core.overlap import Policy, kernel_policy
from ipkit.core.reassemble_datagram import Status, Trail, datagram_values, needs_look, refused_values, trail_of
from ipkit.core.rows import frame_keys, header_keys
from ipkit.core.skbuff import PacketType, SkBuff
from ipkit.core.state.frag_queue import FragKey, Fragment, FragQueue
from ipkit.core.state.frag_queues import FragQueues
from ipkit.core.wire.checksum import ip_fast_csum
from ipkit.core.wire.ipv4 import FLAG_DF, FLAG_MF, HEADER_BYTES, OFFSET_MASK, PLAIN_FIRST_BYTE, unpack_keyed_from

if TYPE_CHECKING:
    from ipkit.core.compare_policies import Panels

FRAGMENT_BITS: Final = FLAG_MF | OFFSET_MASK
FRAG_TIME_EXCEEDED: Final = (11, 1)
LOCAL_DELIVER: Final = int(DefragUser.LOCAL_DELIVER)
MOST_DRAWN: Final = 100
BEFORE_ALL: Final = -(1 << 63)
AFTER_ALL: Final = 1 << 63

HEADER_REFUSALS: Final = {
    DropReason.IP_INHDR: Exit(Fate.REFUSED, "ip_rcv_core", DropReason.IP_INHDR, (Mib.IN_HDR_ERRORS,)),
    DropReason.IP_CSUM: Exit(Fate.REFUSED, "ip_rcv_core", DropReason.IP_CSUM, (Mib.IN_CSUM_ERRORS, Mib.IN_HDR_ERRORS)),
    DropReason.PKT_TOO_SMALL: Exit(Fate.REFUSED, "ip_rcv_core", DropReason.PKT_TOO_SMALL, (Mib.IN_TRUNCATED_PKTS,)),
}
"""Why a fragment never reaches ip_defrag."""

COUNTED: Final = (Mib.REASM_FAILS, Mib.REASM_TIMEOUT, Mib.REASM_OVERLAPS)


@dataclass(frozen=True, slots=True)
class ReassembleOptions:
    """How fragments are put together."""

    kernel: KernelProfile
    limits: NetConf = field(default_factory=NetConf)
    policy: Policy | None = None  # None: the kernel's own
    drains: bool = False  # timers run on after the last frame
    keeps_frames: bool = False  # for -w: the fragments of what fails are wanted again
    drops_incomplete: bool = False
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

    def __init__(
        self,
        options: ReassembleOptions,
        wish: RowWish,
        errors: ErrorSender | None = None,
        panels: Panels | None = None,
    ) -> None:
        self.options = options
        self.policy = options.policy or kernel_policy(options.kernel)
        self.frags = FragQueues(options.kernel, options.limits)
        self.frags.now_ns = BEFORE_ALL
        self.panels = panels  # every policy on every datagram
        self.arrivals = 0  # frames before this batch, those of earlier runs included
        self.held_bytes = 0
        self.is_finished = False
        self.drawn: list[Row] = []
        self.not_drawn = 0
        self._wish = wish
        self._errors = errors
        self._holds = options.keeps_frames or options.saves or errors is not None
        self._is_watched = options.draws or panels is not None
        self._reports_all = self._is_watched or wish is RowWish.ALL
        self._frames = 0
        self._other = 0
        self._bad_headers = 0
        self._requests = 0
        self._wholes = 0
        self._overlaps = 0
        self._differing = 0
        self._statuses: Counter[Status] = Counter()
        self._mibs: Counter[Mib] = Counter()
        self._out = _Output()

    def process(self, batch: FrameBatch) -> LaneResult:
        """Decide every frame of a batch."""
        data, link_type, frags, out = batch.data, batch.link_type, self.frags, self._out
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
                fields = unpack_keyed_from(data, at)
                if fields[4] & FRAGMENT_BITS:
                    self._fragment(batch, row, at, fields)
            if out.released:
                out.put_before(batch, row)
        for trail in out.touched.values():
            trail.freeze()
        self._frames += len(batch)
        self.arrivals += len(batch)
        self._other += other
        self._out = _Output()
        return LaneResult(out.rows, out.changes, icmp=out.icmp)

    def finish(self) -> LaneResult:
        """Let the clock run on, or say what still waited; what is saved waits on."""
        out, held = self._out, dict[int, Frame]()
        self.is_finished = True
        if self.options.drains:
            self._expire(AFTER_ALL)
            return LaneResult(out.rows, late=out.released, icmp=out.icmp)
        for queue in () if self.options.saves else self.frags.queues.values():
            self._conclude(queue, Status.INCOMPLETE, None)
            held |= self._let_go(queue)
        return LaneResult(out.rows, late=[held[arrival] for arrival in sorted(held)])

    def summary(self) -> Mapping[str, RowValue]:
        """Count frames, datagrams by how they ended, and what the kernel would have counted."""
        return {
            "frames": self._frames,
            "ipv4": self._frames - self._other,
            "other": self._other,
            "fragments": self._bad_headers + self._requests,
            "datagrams": self._statuses.total(),
            **{status.value: self._statuses[status] for status in Status},
            "overlaps": self._overlaps,
            Mib.REASM_REQDS.bare: self._requests,
            Mib.REASM_OKS.bare: self._wholes,
            **{mib.bare: self._mibs[mib] for mib in COUNTED},
            **({"differ": self._differing} if self.panels is not None else {}),
            "kernel": self.options.kernel.name,
            "policy": self.policy.name,
        }

    def has_finding(self) -> bool:
        """Tell whether a datagram did not become whole."""
        return self._statuses.total() > self._statuses[Status.COMPLETE]

    def _fragment(self, batch: FrameBatch, row: int, at: int, fields: tuple[Any, ...]) -> None:
        """Take one fragment in."""
        data, begin = batch.data, batch.start[row]
        end = begin + batch.captured[row]
        version_ihl, _, tot_len, ident, frag_off, ttl, protocol, _, addresses = fields
        body, stop = at + ((version_ihl & 0x0F) << 2), at + tot_len
        # Nearly every fragment: no options, all there, checksum right.
        is_plain = version_ihl == PLAIN_FIRST_BYTE and body <= stop <= end
        if not is_plain or ip_fast_csum(data[at:body]):
            refused = _refused(data[at : min(body, end)], fields, max(end, begin + batch.on_wire[row]) - at)
            if refused is not None:
                self._bad_headers += 1
                self._refuse(batch, row, at, HEADER_REFUSALS[refused])
                return
            stop = min(stop, end)
        self._requests += 1
        head = b"" if frag_off & OFFSET_MASK else data[at:stop]
        fragment = fragment_of(self.frags, fields, data[body:stop], head, self.arrivals + row)
        key = (addresses, ident, protocol, LOCAL_DELIVER, 0)
        exit_, queue, fallen = take(self.frags, key, fragment, self.policy)
        if fallen:
            fallen = self._give_up_restarted(fallen)
        if queue is None:
            self._refuse(batch, row, at, exit_)
        else:
            trail = trail_of(queue)
            if not is_plain or ttl != trail.ttl or frag_off & FLAG_DF or head or trail.copied:
                trail.note_header(queue, data[at:stop], fields)
            self._follow(batch, row, queue, exit_)
            if self._is_watched:
                self._show(queue, fragment)
            if exit_ is COMPLETE:
                self._complete(batch, row, at, queue)
            elif exit_ is not QUEUED and exit_.fate is Fate.LOST:
                self._count(exit_)
                self._conclude(queue, Status.DROPPED, exit_)
                self._out.released += self._let_go(queue).values()
        for each in fallen:
            self._fall(each)

    def _give_up_restarted(self, fallen: Sequence[Fallen]) -> Sequence[Fallen]:
        """Report what a restart threw away before the fragment that caused it; return who else fell."""
        for each in fallen:
            if each.exit is TOO_FAR:
                self._fall(each)
        return [each for each in fallen if each.exit is not TOO_FAR]

    def _show(self, queue: FragQueue, fragment: Fragment) -> None:
        """Let a fragment be seen by whoever looks on."""
        if self.panels is not None:
            self.panels.see(queue.key, fragment)
        if self.options.draws:
            trail_of(queue).draw(fragment)

    def _follow(self, batch: FrameBatch, row: int, queue: FragQueue, exit_: Exit) -> None:
        """Remember the frame with its datagram; for -w, take it out of the output until that is decided.

        What the engine holds is bounded by its limits. A flood of what it frees at once or replaces is not: such
        frames stay where they are once they outweigh the limit.
        """
        trail, arrival = trail_of(queue), self.arrivals + row
        if trail.batch is not batch:
            trail.batch = batch
            self._out.touched[queue.key] = trail
        trail.row = row
        trail.fragments += 1
        is_freed = exit_.fate is Fate.REFUSED
        if not is_freed:
            trail.numbers[arrival] = batch.first_number + row
        if len(trail.numbers) != len(queue.pieces):
            is_freed = True
            trail.prune(queue)
        if not self._holds:
            return
        if is_freed and self.held_bytes > self.frags.memory + self.options.limits.ipfrag_high_thresh:
            return
        size = batch.captured[row]
        trail.held[arrival] = row
        trail.held_bytes += size
        self.held_bytes += size
        self._out.changes[row] = []

    def _refuse(self, batch: FrameBatch, row: int, at: int, exit_: Exit) -> None:
        """Report a fragment that came to no queue: a datagram of its own."""
        self._count(exit_)
        self._statuses[Status.DROPPED] += 1
        if self.options.drops_incomplete:
            self._out.changes[row] = []
        if self._wish is not RowWish.NONE:
            end = batch.start[row] + batch.captured[row]
            shared = frame_keys(batch, row) | header_keys(batch.data, at, end)
            values = shared | refused_values(batch.first_number + row, exit_)
            self._out.rows.append(ReportRow(needs_look=True, row=values))

    def _complete(self, batch: FrameBatch, row: int, at: int, queue: FragQueue) -> None:
        """Let a whole datagram take the place of its last fragment, behind that one's link header."""
        self._wholes += 1
        if self._conclude(queue, Status.COMPLETE, COMPLETE) is not Status.COMPLETE:
            self._out.released += self._let_go(queue).values()
        elif self._holds:
            frame = batch.frame(row)
            whole = frame.data[: at - batch.start[row]] + queue.datagram
            self._out.changes[row] = [frame._replace(data=whole, on_wire=len(whole))]
            self.held_bytes -= trail_of(queue).held_bytes

    def _count(self, exit_: Exit) -> None:
        for mib in exit_.mibs:
            self._mibs[mib] += 1

    def _expire(self, now_ns: int) -> None:
        for fallen in ip_expire(self.frags, now_ns):
            self._answer(fallen.queue)
            self._fall(fallen)

    def _fall(self, fallen: Fallen) -> None:
        """Report a queue that ended without a fragment of its own."""
        queue, exit_ = fallen
        self._count(exit_)
        status = Status.TIMEOUT if exit_ is TIMED_OUT else Status.EVICTED if exit_ is EVICTED else Status.DROPPED
        self._conclude(queue, status, exit_)
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
        """Count a datagram that has ended, and report it where it is wanted."""
        if queue.notes is not None and FragNote.TRUNCATED in queue.notes:
            status = Status.DROPPED
        if self._out.touched.get(queue.key) is queue.carried:
            del self._out.touched[queue.key]
        self._statuses[status] += 1
        if self._reports_all or needs_look(queue, status):
            self._report(queue, status, exit_)
        return status

    def _report(self, queue: FragQueue, status: Status, exit_: Exit | None) -> None:
        self._overlaps += queue.overlaps
        compared = self._compared(queue, status, exit_) if self.panels is not None else {}
        looks = needs_look(queue, status) or bool(compared.get("differ"))
        is_drawn = self.options.draws and len(self.drawn) < MOST_DRAWN
        if self._wish is RowWish.ALL or (looks and self._wish is RowWish.LOOK) or is_drawn:
            row = {**trail_of(queue).shared(), **datagram_values(queue, status, exit_), **compared}
            self._out.rows.append(ReportRow(looks, row))
            if is_drawn:
                self.drawn.append(row)
        self.not_drawn += self.options.draws and not is_drawn

    def _compared(self, queue: FragQueue, status: Status, exit_: Exit | None) -> dict[str, RowValue]:
        """Return what every policy made of a datagram that has ended."""
        panels = self.panels
        if panels is None:
            return {}
        is_timed = status in (Status.TIMEOUT, Status.EVICTED)
        readings = panels.readings(queue.key, status.value if is_timed else Status.INCOMPLETE.value)
        if queue.notes is not None and FragNote.TRUNCATED in queue.notes:
            readings = dict.fromkeys(readings, Status.DROPPED.value)
        is_lost = exit_ is not None and exit_.fate is Fate.LOST and not is_timed and exit_ is not TOO_FAR
        if is_lost:
            panels.rest(queue.key, self.frags.now_ns)
        else:
            panels.end(queue.key)
        differ = len(set(readings.values())) > 1
        self._differing += differ
        return {"policies": readings, "differ": differ}

    def _let_go(self, queue: FragQueue) -> dict[int, Frame]:
        """Return the frames of a datagram that failed, by arrival."""
        trail = trail_of(queue)
        self.held_bytes -= trail.held_bytes
        if self.options.drops_incomplete or not self.options.keeps_frames:
            return {}
        return trail.frames()


def _refused(header: bytes, fields: Sequence[Any], on_wire: int) -> DropReason | None:
    """Return why ip_rcv would not let a fragment in; what the capture cut off is taken to be right."""
    version_ihl, _, tot_len, *_ = fields
    header_bytes = (version_ihl & 0x0F) << 2
    if version_ihl >> 4 != 4 or not HEADER_BYTES <= header_bytes <= on_wire:
        return DropReason.IP_INHDR
    if len(header) == header_bytes and ip_fast_csum(header):
        return DropReason.IP_CSUM
    if tot_len > on_wire:
        return DropReason.PKT_TOO_SMALL
    return DropReason.IP_INHDR if tot_len < header_bytes else None
