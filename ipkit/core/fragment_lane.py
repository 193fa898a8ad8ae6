"""Captured frames through ip_fragment: what `ipkit fragment` decides of each.

Law: what fits stays byte for byte; what the kernel refuses is taken out; what cannot be judged is left in, and said
so. Link headers are kept, paddings and trailers never become data.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from errno import errorcode
from typing import Final, NamedTuple

from ipkit.core.fragment import FragmentResult, FragPath, as_appended, ip_fragment, must_fragment
from ipkit.core.fragment_shaper import Shape, shaped
from ipkit.core.frames import Frame, FrameBatch
from ipkit.core.host.kernel import KernelProfile
from ipkit.core.lanes import ErrorSender, LaneResult, ReportRow, RowValue, RowWish
from ipkit.core.link_receive import NOT_IPV4, ipv4_at
from ipkit.core.outcome.counters import Mib
from ipkit.core.outcome.drop_reasons import DropReason
from ipkit.core.outcome.verdict import IcmpDue
from ipkit.core.rows import frame_keys, header_keys
from ipkit.core.skbuff import IpControlBlock, IpOptions, IpSkbFlag, PacketType, SkBuff
from ipkit.core.wire.ipv4 import (
    FLAG_DF,
    FLAG_MF,
    HEADER_BYTES,
    MAX_HEADER_BYTES,
    MAX_TOTAL_BYTES,
    Ipv4Header,
    build,
    read,
)

PLAIN_FIRST_BYTE: Final = 0x45


class DfRule(Enum):
    """What becomes of a datagram that is too long and must not be fragmented."""

    HONOUR = "honour"  # refused
    IGNORE = "ignore"  # fragmented, as for a socket that ignores DF
    CLEAR = "clear"  # fragmented, the bit is taken off first


class Result(Enum):
    """What became of one datagram."""

    PASSED = "passed"
    FRAGMENTED = "fragmented"
    TOO_BIG = "too_big"
    FAILED = "failed"


TRUNCATED: Final = "truncated"
"""Reason: the capture kept less of the datagram than would have to be cut."""

SUPER_FRAME: Final = "gso"
"""Reason: longer than a datagram can be; segmentation would have cut it, not ip_fragment."""


_CONTROL_BLOCKS: Final = {
    size: IpControlBlock(options=IpOptions(size - HEADER_BYTES))
    for size in range(HEADER_BYTES, MAX_HEADER_BYTES + 1, 4)
}
"""What the stack has noted on a datagram that it does not change, by the length of the header."""


@dataclass(frozen=True, slots=True)
class FragmentOptions:
    """How datagrams are fragmented."""

    mtu: int
    kernel: KernelProfile
    df: DfRule = DfRule.HONOUR
    frag_max_size: int = 0  # what is longer counts as reassembled from fragments, the largest of this size
    path: FragPath = FragPath.SLOW
    shape: Shape | None = None


class _Judged(NamedTuple):
    """What became of a datagram, and what is to be said of it."""

    result: Result
    length: int | None = None
    reason: str | None = None
    path: FragPath | None = None
    pieces: Sequence[bytes] | None = None  # what leaves instead; None: the frame as it came
    icmp: IcmpDue | None = None


@dataclass(slots=True)
class _Decided:
    """What a batch has come to so far."""

    rows: list[ReportRow] = field(default_factory=list)
    changes: dict[int, list[Frame]] = field(default_factory=dict)
    icmp: list[Frame] = field(default_factory=list)


class FragmentLane:
    """Cuts what is too long for an MTU, frame after frame; nothing is carried from one to the next but counts."""

    def __init__(self, options: FragmentOptions, wish: RowWish, errors: ErrorSender | None = None) -> None:
        self._options = options
        self._wish = wish
        self._errors = errors
        self._passes = min(options.mtu, options.frag_max_size or options.mtu)
        self._frames = 0
        self._other = 0
        self._pieces = 0
        self._results: Counter[Result] = Counter()
        self._fragmented: Counter[tuple[int, int]] = Counter()  # by fragments and errno

    def process(self, batch: FrameBatch) -> LaneResult:
        """Decide every frame of a batch."""
        data, link_type, passes, every_row = batch.data, batch.link_type, self._passes, self._wish is RowWish.ALL
        out = _Decided()
        other = passed = 0
        for row, (begin, captured) in enumerate(zip(batch.start, batch.captured, strict=True)):
            at = ipv4_at(link_type, data, begin, captured)
            if at == NOT_IPV4:
                other += 1
                continue
            left = begin + captured - at
            # Nearly every frame: no options, all there, short enough.
            if left >= HEADER_BYTES and data[at] == PLAIN_FIRST_BYTE and not every_row:
                length = data[at + 2] << 8 | data[at + 3]
                if HEADER_BYTES <= length <= passes and length <= left:
                    passed += 1
                    continue
            self._decide(batch, row, at, out)
        self._frames += len(batch)
        self._other += other
        self._results[Result.PASSED] += passed
        return LaneResult(out.rows, out.changes, icmp=out.icmp)

    def finish(self) -> LaneResult:
        """Let nothing go: nothing is held."""
        return LaneResult()

    def summary(self) -> Mapping[str, RowValue]:
        """Count frames, datagrams by result, and what the kernel would have counted."""
        mibs: Counter[Mib] = Counter()
        for (created, errno), times in self._fragmented.items():
            for mib in FragmentResult(created, errno).mibs:
                mibs[mib] += times
        return {
            "frames": self._frames,
            "ipv4": self._frames - self._other,
            "other": self._other,
            **{result.value: self._results[result] for result in Result},
            "fragments": self._pieces,
            **{mib.bare: mibs[mib] for mib in (Mib.FRAG_OKS, Mib.FRAG_FAILS, Mib.FRAG_CREATES)},
            "kernel": self._options.kernel.name,
        }

    def has_finding(self) -> bool:
        """Tell whether a datagram was too big or could not be fragmented."""
        return bool(self._results[Result.TOO_BIG] or self._results[Result.FAILED])

    def _decide(self, batch: FrameBatch, row: int, at: int, out: _Decided) -> None:
        judged = self._judge(batch, row, at)
        self._results[judged.result] += 1
        needs_look = judged.result in (Result.TOO_BIG, Result.FAILED)
        if self._wish is RowWish.ALL or (needs_look and self._wish is RowWish.LOOK):
            out.rows.append(ReportRow(needs_look, self._row(batch, row, at, judged)))
        if judged.pieces is None:
            return
        self._pieces += len(judged.pieces)
        frame = batch.frame(row)
        out.changes[row] = _frames_of(frame, at - batch.start[row], judged.pieces)
        if judged.icmp is not None and self._errors is not None:
            error = self._errors.frame_for(judged.icmp, frame)
            if error is not None:
                out.icmp.append(error)

    def _judge(self, batch: FrameBatch, row: int, at: int) -> _Judged:
        before = at - batch.start[row]
        left = batch.captured[row] - before
        on_wire = max(batch.on_wire[row] - before, left)
        if left < HEADER_BYTES:
            reason = TRUNCATED if on_wire >= HEADER_BYTES else DropReason.IP_INHDR.value
            return _Judged(Result.FAILED, reason=reason)
        header = read(batch.data, at)
        malformed = _malformed(header, on_wire)
        if malformed is not None:
            return _Judged(Result.FAILED, header.tot_len, malformed.value)
        length = header.tot_len or on_wire
        if length <= self._passes:
            return _Judged(Result.PASSED, length)
        if length > MAX_TOTAL_BYTES:
            return _Judged(Result.FAILED, length, SUPER_FRAME)
        if left < header.header_bytes:
            return _Judged(Result.FAILED, length, TRUNCATED)
        skb = self._skb(batch, row, batch.data[at : at + min(length, left)], length)
        return self._fragment(skb, batch.first_number + row)

    def _skb(self, batch: FrameBatch, row: int, datagram: bytes, length: int) -> SkBuff:
        """Return the datagram as it stands before ip_finish_output."""
        options, header = self._options, read(datagram)
        cb = _CONTROL_BLOCKS[header.header_bytes]
        if options.df is DfRule.CLEAR:
            datagram = build(header._replace(frag_off=header.frag_off & ~FLAG_DF)) + datagram[HEADER_BYTES:]
        if options.frag_max_size:
            # A datagram that was put together has DF only where its largest fragment had it.
            pmtu = header.frag_off & FLAG_DF and options.df is not DfRule.CLEAR
            flags = IpSkbFlag.FRAG_PMTU if pmtu else IpSkbFlag.NONE
            cb = replace(cb, flags=flags, frag_max_size=options.frag_max_size)
        return SkBuff(
            datagram,
            batch.interfaces[batch.interface[row]] or "",
            PacketType.HOST,
            batch.tstamp_ns[row],
            cb=cb,
            ignore_df=options.df is DfRule.IGNORE,
            on_wire=length if len(datagram) < length else 0,
        )

    def _fragment(self, skb: SkBuff, number: int) -> _Judged:
        options, length = self._options, skb.length
        if not must_fragment(skb, options.mtu, options.kernel):
            return _Judged(Result.PASSED, length)
        if options.path is FragPath.FAST and not skb.on_wire:
            skb = as_appended(skb, options.mtu)
        pieces: list[bytes] = []
        result = ip_fragment(skb, options.mtu, options.kernel, pieces.append)
        if skb.on_wire and result.icmp is None:
            return _Judged(Result.FAILED, length, TRUNCATED)
        self._fragmented[result.created, result.errno] += 1
        if result.icmp is not None:
            return _Judged(Result.TOO_BIG, length, DropReason.PKT_TOO_BIG.value, pieces=(), icmp=result.icmp)
        if result.errno:
            return _Judged(Result.FAILED, length, errorcode[result.errno], pieces=())
        reason = result.refusal and result.refusal.value
        if options.shape is not None:
            pieces = shaped(pieces, options.shape, number)
        return _Judged(Result.FRAGMENTED, length, reason, result.path, pieces)

    def _row(self, batch: FrameBatch, row: int, at: int, judged: _Judged) -> dict[str, RowValue]:
        end = batch.start[row] + batch.captured[row]
        keys = frame_keys(batch, row) | header_keys(batch.data, at, end)
        if judged.length is not None:
            keys["length"] = judged.length
        keys["mtu"] = self._options.mtu
        if end - at >= HEADER_BYTES:
            keys["df"] = bool(read(batch.data, at).frag_off & FLAG_DF)
        keys["result"] = judged.result.value
        if judged.path is not None:
            keys["path"] = judged.path.value
        if judged.reason is not None:
            keys["reason"] = judged.reason
        if judged.pieces:
            keys["fragments"] = [_described(piece) for piece in judged.pieces]
        return keys


def _malformed(header: Ipv4Header, on_wire: int) -> DropReason | None:
    """Return why ip_rcv would not have let the datagram in; total length 0 stands for all that is there."""
    if header.version != 4 or not HEADER_BYTES <= header.header_bytes <= on_wire:
        return DropReason.IP_INHDR
    if header.tot_len > on_wire:
        return DropReason.PKT_TOO_SMALL
    return DropReason.IP_INHDR if 0 < header.tot_len < header.header_bytes else None


def _frames_of(frame: Frame, link_bytes: int, pieces: Sequence[bytes]) -> list[Frame]:
    """Return a frame for each piece, behind the link header of the one they were cut from."""
    file, number, tstamp_ns, data, _, link_type, interface, origin, _ = frame
    link_header = data[:link_bytes]
    frames = []
    for place, piece in enumerate(pieces):
        data = link_header + piece
        frames.append(Frame(file, number, tstamp_ns, data, len(data), link_type, interface, origin, place == 0))
    return frames


def _described(piece: bytes) -> dict[str, RowValue]:
    header = read(piece)
    return {"offset": header.offset_bytes, "length": header.tot_len, "mf": bool(header.frag_off & FLAG_MF)}
