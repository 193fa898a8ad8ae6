"""How a checksum comes about: every word added, every carry folded in, the complement.

Law: the textbook way, one step at a time, for people to follow; the judging does not use it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, overload

from ipkit.core.checksum_rules import Check, Coverage, PseudoHeader
from ipkit.core.lanes import ReportRow, Row
from ipkit.core.rows import hex16

NOWHERE: Final = -1
CHECK_AS_ZERO: Final = "check, taken as zero"
ODD_BYTE: Final = "last byte, padded with zero"

IP_WORDS: Final = (
    "version, ihl, tos",
    "tot_len",
    "id",
    "frag_off",
    "ttl, protocol",
    "check",
    "saddr",
    "saddr",
    "daddr",
    "daddr",
)
"""What the words of an IPv4 header hold; options follow."""


def explain(coverage: Coverage, names: tuple[str, ...] = ()) -> Iterator[Row]:
    """Give the steps of a sum, a pseudo header's words first; `names` says what the first words of the data hold.

    `add` has the word and the sum so far, `fold` the carry and the word it is added to, `complement` the result.
    """
    total = 0
    for row, word in _words(coverage, names):
        total += word
        yield {"step": "add", **row, "word": hex16(word), "sum": hex16(total)}
    while total >> 16:
        carry, low = total >> 16, total & 0xFFFF
        total = carry + low
        yield {"step": "fold", "carry": hex16(carry), "word": hex16(low), "sum": hex16(total)}
    result = ~total & 0xFFFF
    yield {"step": "complement", "sum": hex16(result)}
    if not result and coverage.for_zero:
        yield {"step": "zero", "what": "zero would mean no checksum", "sum": hex16(coverage.for_zero)}


def explain_bytes(data: bytes) -> Iterator[Row]:
    """Give the steps of the sum of any bytes, none of which is a checksum to be left out."""
    return explain(Coverage(data, NOWHERE))


def _words(coverage: Coverage, names: tuple[str, ...]) -> Iterator[tuple[Row, int]]:
    """Give every word with where it stands and what it holds."""
    if coverage.pseudo is not None:
        yield from _pseudo_words(coverage.pseudo)
    data, check_at = coverage.data, coverage.check_at
    known = {2 * i: name for i, name in enumerate(names)} | {check_at: CHECK_AS_ZERO}
    for at in range(0, len(data) - 1, 2):
        word = 0 if at == check_at else int.from_bytes(data[at : at + 2], "big")
        yield {"at": at, "what": known[at]} if at in known else {"at": at}, word
    if len(data) & 1:
        yield {"at": len(data) - 1, "what": ODD_BYTE}, data[-1] << 8


def _pseudo_words(pseudo: PseudoHeader) -> Iterator[tuple[Row, int]]:
    for name, value in (
        ("saddr", pseudo.saddr >> 16),
        ("saddr", pseudo.saddr & 0xFFFF),
        ("daddr", pseudo.daddr >> 16),
        ("daddr", pseudo.daddr & 0xFFFF),
        ("protocol", pseudo.protocol),
        ("length", pseudo.length),
    ):
        yield {"what": f"pseudo header: {name}"}, value


class ExplainedRows(Sequence[ReportRow]):
    """Rows with their `explain` key, made when read: one explanation is far larger than the packet it is about."""

    def __init__(self, told: Sequence[tuple[ReportRow, Check]]) -> None:
        self._told = told

    def __len__(self) -> int:
        return len(self._told)

    @overload
    def __getitem__(self, which: int) -> ReportRow: ...

    @overload
    def __getitem__(self, which: slice) -> ExplainedRows: ...

    def __getitem__(self, which: int | slice) -> ReportRow | ExplainedRows:
        if isinstance(which, slice):
            return ExplainedRows(self._told[which])
        (needs_look, row), check = self._told[which]
        if check.coverage is None:
            return ReportRow(needs_look, row)
        names = IP_WORDS if check.name == "ip" else ()
        return ReportRow(needs_look, {**row, "explain": list(explain(check.coverage, names))})
