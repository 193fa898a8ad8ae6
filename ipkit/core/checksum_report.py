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
from ipkit.core.checksum_rules import STATUSES, TRANSPORTS, Check, Outcome, Status, examine, judge
from ipkit.core.frames import Changes, Frame, FrameBatch
from ipkit.core.lanes import LaneResult, ReportRow, RowValue, RowWish
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


class Explain(Enum):
    """Whether rows show how their checksum comes about."""

    NO = "no"
    YES = "yes"


class ChecksumLane:
    """Judge every checksum asked for; in repair, give back the frames that had wrong ones."""

    def __init__(
        self, checks: frozenset[str], wish: RowWish, repair: Repair = Repair.LEAVE, explain: Explain = Explain.NO
    ) -> None:
        self._checks = checks
        self._explain = explain
        self._repair = repair
        self._fixed = _WRONG if repair is Repair.FIX else frozenset()
        self._look = _FINDINGS | self._fixed
        self._shown = {RowWish.NONE: frozenset(), RowWish.LOOK: self._look, RowWish.ALL: frozenset(Status)}[wish]
        self._transports = {number: rule for number, rule in TRANSPORTS.items() if rule.check in checks}
        self._outcomes: Counter[Outcome] = Counter()
        self._other = 0

    def process(self, batch: FrameBatch) -> LaneResult:
        """Judge the frames of a batch; one that needs neither row nor repair costs no more than a count."""
        data, link_type, transports, outcomes = batch.data, batch.link_type, self._transports, self._outcomes
        needs_attention = cache(self._needs_attention)
        told: list[tuple[ReportRow, Check]] = []
        changes: dict[int, Sequence[Frame]] = {}
        for row, (begin, captured, on_wire) in enumerate(zip(batch.start, batch.captured, batch.on_wire, strict=True)):
            at = ipv4_at(link_type, data, begin, captured)
            if at == NOT_IPV4:
                self._other += 1
                continue
            end = begin + captured
            wire_end = begin + on_wire if on_wire > captured else end
            outcome = judge(data, at, end, wire_end, transports)
            outcomes[outcome] += 1
            if needs_attention(outcome):
                checks = list(examine(data, at, end, wire_end, outcome))
                told += self._rows({**frame_keys(batch, row), **header_keys(data, at, end)}, checks)
                wrong = [check for check in checks if check.name in self._checks and check.status in self._fixed]
                if wrong:
                    changes[row] = (_repaired(batch.frame(row), begin, wrong),)
        return self._result(told, changes)

    def check_datagram(self, data: bytes, number: int = 1) -> LaneResult:
        """Judge one datagram given as bytes; of a header alone, its own checksum."""
        length = len(data)
        header_alone = length > 0 and length == (data[0] & 0x0F) << 2
        transports = {} if header_alone else self._transports
        wire_end = max(length, read(data).tot_len) if length >= HEADER_BYTES else length
        outcome = judge(data, 0, length, wire_end, transports)
        self._outcomes[outcome] += 1
        keys = {"file": HEX_FILE, "frame": number, **header_keys(data, 0, length)}
        return self._result(list(self._rows(keys, examine(data, 0, length, wire_end, outcome))), {})

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
        ipv4 = self._outcomes.total()
        frames = {"frames": ipv4 + self._other, "ipv4": ipv4, "other": self._other}
        return {**frames, "fixed": fixed, "offloaded": offloaded, **counts}

    def has_finding(self) -> bool:
        """Tell whether something bad or malformed was seen, and left so."""
        left = _FINDINGS - self._fixed
        return any(status in left for outcome in self._outcomes for _, status in self._judged(outcome))

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

    def _rows(self, keys: Mapping[str, RowValue], checks: Iterable[Check]) -> Iterator[tuple[ReportRow, Check]]:
        """Give the rows that the report will show of a datagram's checks."""
        for check in checks:
            if check.name not in self._checks or check.status not in self._shown:
                continue
            row: dict[str, RowValue] = {**keys, "check": check.name}
            if check.stored is not None:
                row["stored"] = hex16(check.stored)
            if check.computed is not None:
                row["computed"] = hex16(check.computed)
            row["status"] = check.status.value
            if self._repair is Repair.FIX:
                row["fixed"] = check.status in self._fixed
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
