"""What csum says of every packet, and what it puts right.

Law: what a checksum is worth is decided in checksum_rules; here it is counted, written into rows, and repaired.
Only bytes of wrong checksums change: nothing malformed, truncated or fragmented is touched.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from functools import cache
from typing import Final

from ipkit.core.checksum_explain import ExplainedRows
from ipkit.core.checksum_fragments import ChecksumFragments, Whole
from ipkit.core.checksum_rules import FRAGMENT, STATUSES, TRANSPORTS, Check, Outcome, Status, examine, judge
from ipkit.core.frames import Changes, Frame, FrameBatch
from ipkit.core.lanes import Explain, LaneResult, Patch, ReportRow, RowValue, RowWish
from ipkit.core.link_receive import NOT_IPV4, ipv4_at
from ipkit.core.rows import frame_keys, header_keys, hex16
from ipkit.core.wire.ipv4 import HEADER_BYTES, read

CHECKS: Final = tuple(STATUSES)
"""Every check there is, in the order of reports."""

HEX_FILE: Final = "--hex"
"""The file of a datagram that was typed."""

_FINDINGS: Final = frozenset({Status.BAD, Status.MALFORMED})
_WRONG: Final = frozenset({Status.BAD, Status.PARTIAL})


class Repair(Enum):
    """What becomes of wrong checksums."""

    LEAVE = "leave"
    FIX = "fix"
    FIX_IN_PASSING = "fix in passing"  # into a pipe: what has gone out cannot be changed any more


class ChecksumLane:
    """Judge every checksum asked for; in repair, give back the frames that had wrong ones."""

    def __init__(
        self, checks: frozenset[str], wish: RowWish, repair: Repair = Repair.LEAVE, explain: Explain = Explain.NO
    ) -> None:
        self._checks = checks
        self._explain = explain
        self._repair = repair
        self._fixed = frozenset() if repair is Repair.LEAVE else _WRONG
        self._fixed_later = _WRONG if repair is Repair.FIX else frozenset()
        self._fragments = ChecksumFragments()
        self._wholes: Counter[Outcome] = Counter()  # of fragments that completed a datagram, judged over all of it
        self._look = _FINDINGS | self._fixed
        self._shown = {RowWish.NONE: frozenset(), RowWish.LOOK: self._look, RowWish.ALL: frozenset(Status)}[wish]
        self._transports = {number: rule for number, rule in TRANSPORTS.items() if rule.check in checks}
        self._outcomes: Counter[Outcome] = Counter()
        self._other = 0

    def process(self, batch: FrameBatch) -> LaneResult:
        """Judge the frames of a batch; one that needs neither row nor repair costs no more than a count."""
        data, link_type, transports, outcomes = batch.data, batch.link_type, self._transports, self._outcomes
        needs_attention = cache(self._needs_attention)
        self._fragments.begin_batch()
        told: list[tuple[ReportRow, Check]] = []
        changes: dict[int, Sequence[Frame]] = {}
        patches: list[Patch] = []
        for row, (begin, captured, on_wire) in enumerate(zip(batch.start, batch.captured, batch.on_wire, strict=True)):
            at = ipv4_at(link_type, data, begin, captured)
            if at == NOT_IPV4:
                self._other += 1
                continue
            end = begin + captured
            wire_end = begin + on_wire if on_wire > captured else end
            outcome = judge(data, at, end, wire_end, transports)
            whole = self._fragments.take(batch, row, at) if outcome[2] is FRAGMENT else None
            if whole is not None:
                outcome = (outcome[0], "", None, outcome[3])
            outcomes[outcome] += 1
            if needs_attention(outcome):
                checks = list(examine(data, at, end, wire_end, outcome))
                told += self._rows({**frame_keys(batch, row), **header_keys(data, at, end)}, checks, self._fixed)
                wrong = [check for check in checks if check.name in self._checks and check.status in self._fixed]
                if wrong:
                    changes[row] = (_repaired(batch.frame(row), begin, wrong),)
            if whole is not None:
                check = self._judge_whole(whole)
                keys = {**frame_keys(batch, row), **header_keys(data, at, end)}
                told += self._rows(keys, (check,), self._fixed_later)
                patches += self._patches(whole, check)
        marks = self._fragments.marks if self._fixed_later else {}
        rows = self._result(told, changes)
        return rows._replace(marks=marks, patches=[*patches, *self._fragments.forgotten])

    def _judge_whole(self, whole: Whole) -> Check:
        """Judge the segment of a datagram that was put together from fragments."""
        length = len(whole.datagram)
        outcome = judge(whole.datagram, 0, length, length, self._transports)
        self._wholes[outcome] += 1
        *_, check = examine(whole.datagram, 0, length, length, outcome)
        return check

    def _patches(self, whole: Whole, check: Check) -> Iterator[Patch]:
        """Put a wrong checksum right in the fragment that holds it, which has gone out before."""
        if check.status in self._fixed_later and check.computed is not None:
            yield Patch(whole.mark, whole.at, check.computed.to_bytes(2, "big"))

    def check_datagram(self, data: bytes, number: int = 1) -> LaneResult:
        """Judge one datagram given as bytes; of a header alone, its own checksum."""
        length = len(data)
        header_alone = length > 0 and length == (data[0] & 0x0F) << 2
        transports = {} if header_alone else self._transports
        wire_end = max(length, read(data).tot_len) if length >= HEADER_BYTES else length
        outcome = judge(data, 0, length, wire_end, transports)
        self._outcomes[outcome] += 1
        keys = {"file": HEX_FILE, "frame": number, **header_keys(data, 0, length)}
        return self._result(list(self._rows(keys, examine(data, 0, length, wire_end, outcome), self._fixed)), {})

    def finish(self) -> LaneResult:
        """Nothing is held back."""
        return LaneResult()

    def summary(self) -> Mapping[str, RowValue]:
        """Count frames, repairs, and every status of every check asked for."""
        counts = {name: dict.fromkeys(STATUSES[name], 0) for name in CHECKS if name in self._checks}
        fixed = offloaded = 0
        for outcome, times in self._outcomes.items():
            *_, left_to_the_card = outcome
            offloaded += times * left_to_the_card
            for name, status in self._judged(outcome):
                counts[name][status] += times
                fixed += times * (status in self._fixed)
        for (_, name, whole_status, _), times in self._wholes.items():
            if whole_status is not None:
                counts[name][whole_status] += times
                fixed += times * (whole_status in self._fixed_later)
        ipv4 = self._outcomes.total()
        frames = {"frames": ipv4 + self._other, "ipv4": ipv4, "other": self._other}
        return {**frames, "fixed": fixed, "offloaded": offloaded, **counts}

    def has_finding(self) -> bool:
        """Tell whether something bad or malformed was seen, and left so."""
        left, left_later = _FINDINGS - self._fixed, _FINDINGS - self._fixed_later
        return any(status in left for outcome in self._outcomes for _, status in self._judged(outcome)) or any(
            status in left_later for _, _, status, _ in self._wholes
        )

    def _judged(self, outcome: Outcome) -> Iterator[tuple[str, Status]]:
        """Give the checks of an outcome that were asked for."""
        ip, name, status, _ = outcome
        if "ip" in self._checks:
            yield "ip", ip
        if status is not None:
            yield name, status

    def _needs_attention(self, outcome: Outcome) -> bool:
        wanted = self._shown | self._fixed
        return any(status in wanted for _, status in self._judged(outcome))

    def _rows(
        self, keys: Mapping[str, RowValue], checks: Iterable[Check], fixed: frozenset[Status]
    ) -> Iterator[tuple[ReportRow, Check]]:
        """Give the rows that the report will show of a datagram's checks, some statuses of which are put right."""
        for check in checks:
            if check.name not in self._checks or check.status not in self._shown:
                continue
            row: dict[str, RowValue] = {**keys, "check": check.name}
            if check.stored is not None:
                row["stored"] = hex16(check.stored)
            if check.computed is not None:
                row["computed"] = hex16(check.computed)
            row["status"] = check.status.value
            if self._repair is not Repair.LEAVE:
                row["fixed"] = check.status in fixed
            yield ReportRow(check.status in self._look, row), check

    def _result(self, told: Sequence[tuple[ReportRow, Check]], changes: Changes) -> LaneResult:
        if self._explain is Explain.YES:
            return LaneResult(ExplainedRows(told), changes)
        return LaneResult([row for row, _ in told], changes)


def _repaired(frame: Frame, begin: int, wrong: Sequence[Check]) -> Frame:
    """Return the frame, which began there in its buffer, with these checksums put right."""
    data = bytearray(frame.data)
    for check in wrong:
        if check.computed is not None:
            at = check.at - begin
            data[at : at + 2] = check.computed.to_bytes(2, "big")
    return frame._replace(data=bytes(data))
