"""Captured frames through a host: what `ipkit forward` reports of each, and what the host puts on its wires.

Law: no frame passes by: what leaves is what the host sent, in order. The clock is the latest time seen; timers that
are due go off before the frame that brought the time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, NamedTuple

from ipkit.core.eth_type_trans import COOKED, eth_type_trans, vlan_do_receive, vlans_of
from ipkit.core.forward_report import (
    CUT_SHORT,
    TIMER,
    VERDICTS,
    Ending,
    Tally,
    counters_by_name,
    emitted_keys,
    ending_keys,
    ending_of,
    kinds_keys,
    trace_keys,
    waiting_notes,
)
from ipkit.core.frames import Frame, FrameBatch
from ipkit.core.host.config import HostConfig, Link, LinkKind
from ipkit.core.journey import run, run_arp
from ipkit.core.lanes import LaneResult, ReportRow, RowValue, RowWish
from ipkit.core.link_header import wire_of
from ipkit.core.link_receive import NOT_ARP, NOT_IPV4, arp_at, ipv4_at
from ipkit.core.outcome.counters import Counted
from ipkit.core.outcome.drop_reasons import DropReason
from ipkit.core.outcome.journal import EmittedKind, Journal
from ipkit.core.outcome.verdict import Transmitted
from ipkit.core.rows import arp_keys, frame_keys, header_keys, time_text
from ipkit.core.skbuff import IpControlBlock, IpOptions, PacketType, SkBuff
from ipkit.core.state.neighbour_table import MOST_ASSUMED
from ipkit.core.state.netns import namespace_of
from ipkit.core.state.timers import ALWAYS
from ipkit.core.timers import ASKED_AGAIN, END_OF_TIME_NS, Fired, let_timers_fire
from ipkit.core.wire.arp import ARP_BYTES
from ipkit.core.wire.ipv4 import HEADER_BYTES, PROTO_TCP, address_text
from ipkit.core.wire.link import EN10MB, RAW, TYPED_LINKS, vlan_tags
from ipkit.errors import HostError

EVERY_VERDICT: Final = frozenset({*VERDICTS, TIMER})
TCP: Final = bytes((PROTO_TCP,))
NO_OPTIONS: Final = IpOptions()
ETHERNET_OUT: Final = COOKED | {EN10MB}


class AtEnd(Enum):
    """What becomes of timers when the input has ended."""

    STOP = "the clock stops"
    DRAIN = "the clock runs on"


class Detail(Enum):
    """Whether rows tell the way of their packets."""

    VERDICT = "no"
    TRACE = "yes"


@dataclass(frozen=True, slots=True)
class ForwardOptions:
    """Which host the packets meet, and what is told of them."""

    host: HostConfig
    iif: str = ""  # in place of what the capture names
    named: str = ""  # the host's file, where one was given: links that it lacks are a mistake then
    seed: int = 0
    at_end: AtEnd = AtEnd.STOP
    detail: Detail = Detail.VERDICT
    only: frozenset[str] = frozenset()
    counters: bool = False
    keeps_frames: bool = True  # False: nobody wants what the host sends


class _Seen(NamedTuple):
    """What a frame was seen as that made the host do something."""

    file: str
    time_ns: int
    link_type: int


class _Received(NamedTuple):
    """A frame off its link."""

    skb: SkBuff
    row: int
    at: int  # where in the batch the datagram begins
    is_arp: bool = False


@dataclass(slots=True)
class _Note:
    """By what a frame is known whose packet waits for a neighbour."""

    file: str
    number: int
    interface: str | None
    told: bool = False  # that it waited in vain


class _Late(NamedTuple):
    """A frame that waited in vain, and by which link it was to leave."""

    note: object
    skb: SkBuff
    ending: Ending
    dev: str = ""


@dataclass(slots=True)
class _Decided:
    """What a batch has come to so far."""

    rows: list[ReportRow] = field(default_factory=list)
    changes: dict[int, list[Frame]] = field(default_factory=dict)


class ForwardLane:
    """One host, frame after frame."""

    def __init__(self, options: ForwardOptions, wish: RowWish) -> None:
        self._options = options
        self._wish = wish
        self._host = options.host
        self._net = namespace_of(options.host, options.seed)
        self._net.frags.ended = []
        self._asks = self._net.neighbours.asks
        self._links = _Links(options)
        self._vlans = vlans_of(options.host)
        self._wires = {dev: wire_of(options.host, dev) for dev in options.host.links}
        self._counters: dict[Counted, int] = {}
        self._tally = Tally()
        self._tracing = options.detail is Detail.TRACE and wish is not RowWish.NONE
        every = options.only or EVERY_VERDICT
        self._looked_at = every if options.only or self._tracing else frozenset({"dropped"})
        self._told = {RowWish.NONE: frozenset[str](), RowWish.LOOK: self._looked_at, RowWish.ALL: every}[wish]
        self._seen = dict.fromkeys(("frames", "ipv4", "arp", "other", "outgoing", "emitted", "gso"), 0)
        self._kinds: dict[str, int] = {}  # of what was emitted, but for packets
        self._now = ALWAYS
        self._last: _Seen | None = None

    def process(self, batch: FrameBatch) -> LaneResult:
        """Let every frame of a batch come in."""
        out = _Decided()
        data, link_type, seen, timers = batch.data, batch.link_type, self._seen, self._net.timers
        seen["frames"] += len(batch)
        # No ARP is in a capture without link addresses, and none can be sent: whoever waited would wait for ever.
        self._net.neighbours.asks = self._asks and link_type in ETHERNET_OUT
        header_bytes = TYPED_LINKS[link_type][1] if link_type in TYPED_LINKS else None
        for row, (begin, captured) in enumerate(zip(batch.start, batch.captured, strict=True)):
            self._now = max(self._now, batch.tstamp_ns[row])
            frames: list[Frame] = []
            out.changes[row] = frames
            if self._now >= timers.due_ns:
                self._let_fire(self._now, _Seen(batch.file, self._now, link_type), frames, out.rows)
            at = ipv4_at(link_type, data, begin, captured)
            if at == NOT_IPV4:
                self._take_other(batch, row, frames, out.rows)
                continue
            link = self._links.by_interface(batch, row)
            if header_bytes is not None and at != begin + header_bytes:
                skb = self._received(batch, row, at, self._behind_tags(batch, row, link))
            else:
                skb = self._received(batch, row, at, link)
            if skb.pkt_type is PacketType.OUTGOING:
                seen["outgoing"] += 1
                continue
            seen["ipv4"] += 1
            self._decide(batch, _Received(skb, row, at), frames, out.rows)
        if len(batch):
            self._last = _Seen(batch.file, self._now, link_type)
        return LaneResult(out.rows, out.changes)

    def finish(self) -> LaneResult:
        """Let the clock stop, or run on until no timer is left."""
        frames: list[Frame] = []
        rows: list[ReportRow] = []
        if self._options.at_end is AtEnd.DRAIN and self._last is not None:
            self._let_fire(END_OF_TIME_NS, self._last, frames, rows)
        return LaneResult(rows, late=frames)

    def summary(self) -> Mapping[str, RowValue]:
        """Count frames, packets by verdict, and what the kernel would have counted."""
        seen = self._seen
        summary: dict[str, RowValue] = {key: seen[key] for key in ("frames", "ipv4", "other")}
        summary |= {key: seen[key] for key in ("arp", "outgoing") if seen[key]}
        summary |= self._tally.by_verdict()
        summary |= {"emitted": seen["emitted"]} | kinds_keys(seen["emitted"], self._kinds)
        summary |= {"gso": seen["gso"]} if seen["gso"] else {}
        summary |= {"kernel": self._options.host.kernel.name, "verdicts": self._tally.rows()}
        if self._options.counters:
            summary["counters"] = counters_by_name(self._counters)
        notes = self._notes()
        if notes:
            summary["notes"] = notes
        return summary

    def has_finding(self) -> bool:
        """Tell whether a packet was dropped."""
        return bool(self._tally.by_verdict()["dropped"])

    def _notes(self) -> list[str]:
        """Return what is to be said once: what was assumed, and what captures cannot tell."""
        notes = list(self._links.notes)
        assumed = self._net.neighbours.assumed
        if assumed:
            dev, address = next(iter(assumed))
            at_least = "" if len(assumed) < MOST_ASSUMED else "at least "
            more = f" and {at_least}{len(assumed) - 1} more" if len(assumed) > 1 else ""
            notes.append(f"unknown neighbours got made-up addresses: {address_text(address)} dev {dev}{more}")
        notes += waiting_notes(self._net)
        if self._seen["gso"]:
            notes.append(f"{self._seen['gso']} segmentation-offload frames forwarded as one frame each")
        return notes

    def _behind_tags(self, batch: FrameBatch, row: int, link: Link) -> Link | None:
        """Return the link that a frame is for by its tags, where it has any."""
        begin = batch.start[row]
        tags = vlan_tags(batch.link_type, batch.data, begin, begin + batch.captured[row])
        return vlan_do_receive(tags, link, self._vlans)

    def _received(self, batch: FrameBatch, row: int, at: int, link: Link | None) -> SkBuff:
        """Return what a link hands to the stack."""
        begin = batch.start[row]
        end = begin + batch.captured[row]
        data = batch.data[at:end]
        on_wire = batch.on_wire[row] - (at - begin)
        kind = PacketType.OTHERHOST
        dev = ""
        if link is not None:
            kind = eth_type_trans(batch.link_type, batch.data, begin, link, self._host)
            dev = link.name
        cut = on_wire if on_wire > len(data) else 0
        return SkBuff(
            data,
            dev,
            kind,
            self._now,
            cb=IpControlBlock(options=NO_OPTIONS, iif=dev),
            on_wire=cut,
            gso_size=_segment_size(data, max(on_wire, len(data)), link) if data[9:10] == TCP else 0,
        )

    def _take_other(self, batch: FrameBatch, row: int, frames: list[Frame], rows: list[ReportRow]) -> None:
        """Let ARP see a frame that is not IPv4."""
        begin, captured, seen = batch.start[row], batch.captured[row], self._seen
        at = arp_at(batch.link_type, batch.data, begin, captured)
        link = self._links.by_interface(batch, row) if at != NOT_ARP else None
        if link is not None:
            link = self._behind_tags(batch, row, link)
        if link is None:
            seen["other"] += 1
            return
        skb = self._received(batch, row, at, link)
        if skb.pkt_type is PacketType.OUTGOING:
            seen["outgoing"] += 1
            return
        self._decide(batch, _Received(skb, row, at, is_arp=True), frames, rows)

    def _decide(self, batch: FrameBatch, received: _Received, frames: list[Frame], rows: list[ReportRow]) -> None:
        skb, row, _, is_arp = received
        journal = Journal(self._counters, steps=[] if self._tracing else None)
        if is_arp:
            is_seen = run_arp(skb, self._net, journal)
            self._seen["arp" if is_seen else "other"] += 1
            if not is_seen:
                return
            ending = ending_of(journal)
        else:
            ending = CUT_SHORT if _is_cut_short(skb) else ending_of(run(skb, self._net, journal))
            self._seen["gso"] += bool(skb.gso_size)
        self._tally.add(ending, batch.file, batch.first_number + row)
        if journal.emitted:
            self._put_on_wire(_Seen(batch.file, self._now, batch.link_type), journal, frames)
        if ending.verdict in self._told:
            looked_at = ending.verdict in self._looked_at
            rows.append(ReportRow(looked_at, self._row(batch, received, ending, journal)))
        if ending.verdict == "queued":
            skb.note = note = _Note(batch.file, batch.first_number + row, batch.interfaces[batch.interface[row]])
            for waiting in journal.waiting:
                waiting.note = note
        if journal.lost:
            self._tell_lost(journal, self._now, rows)
        if self._net.frags.ended:
            self._tell_fallen(self._now, rows)

    def _tell_lost(self, journal: Journal, now_ns: int, rows: list[ReportRow]) -> None:
        """Report those packets once more that had been waiting for a neighbour in vain."""
        for waiting, end in journal.lost:
            late = _Late(waiting.note, waiting.skb, Ending("dropped", end.reason.value, end.func), waiting.skb.dev)
            self._tell_late(late, now_ns, rows)

    def _tell_fallen(self, now_ns: int, rows: list[ReportRow]) -> None:
        """Report those fragments once more whose datagram never became whole."""
        ended, self._net.frags.ended = self._net.frags.ended or (), []
        for queue, exit_ in ended:
            ending = Ending("dropped", (exit_.reason or DropReason.NOT_SPECIFIED).value, exit_.func)
            for piece in queue.pieces:
                if isinstance(piece.tag, SkBuff):
                    self._tell_late(_Late(piece.tag.note, piece.tag, ending), now_ns, rows)

    def _tell_late(self, late: _Late, now_ns: int, rows: list[ReportRow]) -> None:
        """Report a frame once more: by its own number, as of now."""
        note, skb, ending, dev = late
        if not isinstance(note, _Note) or note.told:
            return  # one of the host's own, or another fragment of the same
        note.told = True
        self._tally.add(ending, note.file, note.number)
        if ending.verdict not in self._told:
            return
        keys: dict[str, RowValue] = {"file": note.file, "frame": note.number, "time": time_text(now_ns)}
        if note.interface is not None:
            keys["iface"] = note.interface
        keys |= header_keys(skb.data, 0, len(skb.data)) | {"length": skb.length} | ending_keys(ending)
        keys["iif"] = skb.cb.iif
        if dev:
            keys["dev"] = dev
        rows.append(ReportRow(ending.verdict in self._looked_at, keys))

    def _row(self, batch: FrameBatch, received: _Received, ending: Ending, journal: Journal) -> Mapping[str, RowValue]:
        skb, row, at, _ = received
        end = batch.start[row] + batch.captured[row]
        if received.is_arp:
            keys = frame_keys(batch, row) | arp_keys(skb.data) | {"length": ARP_BYTES}
        else:
            keys = frame_keys(batch, row) | header_keys(batch.data, at, end)
            # What completed a datagram in transit has become the whole.
            keys["length"] = skb.length if not skb.cb.frag_max_size else batch.data[at + 2] << 8 | batch.data[at + 3]
        keys |= ending_keys(ending)
        if skb.cb.iif:
            keys["iif"] = skb.cb.iif
        route = skb.route
        leaves = bool(journal.waiting) or any(isinstance(one, Transmitted) for one in journal.ends)
        if route is not None and leaves:
            keys["dev"] = route.dev
            if route.gateway:
                keys["gateway"] = address_text(route.gateway)
            keys["ttl"] = skb.data[8]
        if journal.emitted:
            keys["emitted"] = emitted_keys(journal.emitted)
        if journal.steps:
            keys["trace"] = trace_keys(journal.steps)
        return keys

    def _put_on_wire(self, like: _Seen, journal: Journal, frames: list[Frame]) -> None:
        """Add the frames that the host put on its wires, in the link types that belong to the input's."""
        file, now_ns, link_type = like
        bare = link_type not in ETHERNET_OUT
        if bare:
            journal.emitted = [one for one in journal.emitted if one.kind is not EmittedKind.ARP]
        self._seen["emitted"] += len(journal.emitted)
        for one in journal.emitted:
            if one.kind is not EmittedKind.PACKET:
                self._kinds[one.kind.value] = self._kinds.get(one.kind.value, 0) + 1
        if not self._options.keeps_frames:
            return
        for dev, _, length, link_header, payload in journal.emitted:
            wire, out_type = (dev, RAW) if bare else self._wires[dev]
            header = b"" if bare else link_header
            frames.append(Frame(file, 0, now_ns, header + payload, len(header) + length, out_type, wire))

    def _let_fire(self, now_ns: int, like: _Seen, frames: list[Frame], rows: list[ReportRow]) -> None:
        """Let the timers go off that are due: each has a row of its own."""

        def journal_of() -> Journal:
            return Journal(self._counters, steps=[] if self._tracing else None)

        for fired in let_timers_fire(self._net, now_ns, journal_of):
            if now_ns == END_OF_TIME_NS:
                self._now = max(self._now, fired.due_ns)
            journal = fired.journal
            if journal.emitted:
                self._put_on_wire(like._replace(time_ns=fired.due_ns), journal, frames)
            shown = TIMER in self._told or (self._wish is not RowWish.NONE and not self._options.only)
            # Where links have no header nobody sees a question.
            if shown and (journal.emitted or fired.func != ASKED_AGAIN):
                rows.append(ReportRow(TIMER in self._looked_at, _timer_row(fired, like.file)))
            if journal.lost:
                self._tell_lost(journal, fired.due_ns, rows)
            if self._net.frags.ended:
                self._tell_fallen(fired.due_ns, rows)


def _timer_row(fired: Fired, file: str) -> dict[str, RowValue]:
    keys: dict[str, RowValue] = {"file": file, "time": time_text(fired.due_ns)}
    keys |= header_keys(fired.about, 0, len(fired.about))
    if fired.neighbour is not None:
        keys["dst"] = address_text(fired.neighbour[1])
    keys |= ending_keys(Ending(TIMER, fired.reason.value if fired.reason is not None else "", fired.func, fired.mibs))
    if fired.neighbour is not None:
        keys["dev"] = fired.neighbour[0]
    if fired.journal.emitted:
        keys["emitted"] = emitted_keys(fired.journal.emitted)
    if fired.journal.steps:
        keys["trace"] = trace_keys(fired.journal.steps)
    return keys


class _Links:
    """By which link of the host a frame came in."""

    def __init__(self, options: ForwardOptions) -> None:
        self._host = options.host
        self._named = options.named
        self._forced = options.iif
        self._known: dict[str | None, Link] = {}
        self.notes: dict[str, None] = {}
        self._first = next(
            (link for link in self._host.links.values() if link.kind in (LinkKind.ETHERNET, LinkKind.POINTOPOINT)), None
        )
        if self._forced:
            self.by_name(self._forced)

    def by_interface(self, batch: FrameBatch, row: int) -> Link:
        """Return the link that a frame came in by, whatever tags it has."""
        name = self._forced or batch.interfaces[batch.interface[row]]
        link = self._known.get(name)
        if link is None:
            link = self._known[name] = self.by_name(name or "")
        return link

    def by_name(self, name: str) -> Link:
        """Return a link by the name that a capture or the user gives it."""
        link = self._host.links.get(name) if name else self._first
        if link is not None:
            return link
        if self._first is None or self._named:
            hint = "" if self._forced else " (--iif names one)"
            raise HostError(self._named or "the built-in host", "", f"there is no link {name}{hint}")
        self.notes[f"the built-in host has no link {name}: its frames come in by {self._first.name}"] = None
        return self._first


def _is_cut_short(skb: SkBuff) -> bool:
    """Tell whether the capture kept less of a datagram than its header."""
    if not skb.on_wire:
        return False
    if len(skb.data) < HEADER_BYTES:
        return skb.on_wire >= HEADER_BYTES
    header_bytes = (skb.data[0] & 0x0F) << 2
    return len(skb.data) < header_bytes <= skb.on_wire


def _segment_size(data: bytes, length: int, link: Link | None) -> int:
    """Return a size for the segments of a frame that segmentation offload left whole; 0: it is an ordinary one.

    How large they were no capture says: they are taken to fit everywhere.
    """
    if link is None or len(data) < HEADER_BYTES:
        return 0
    total = data[2] << 8 | data[3]
    is_super = length > HEADER_BYTES if not total else link.mtu < total <= length
    return int(is_super)
