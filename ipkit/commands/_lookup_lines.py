"""Lookups by the line: blocks of questions in, rows out in the same order.

Law: every answer is the Asker's. Where all addresses of a route have the same one, its text is cut once around address
and prefix, and the pieces are put round the next: a million lines need no million rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from typing import Final, TypeAlias

from ipkit.commands._interrupts import Interrupts, Source
from ipkit.commands._render import Report
from ipkit.core.host.fib import FibEntry
from ipkit.core.host.fib_table import Leaf
from ipkit.core.host.words import WordError, address, prefix_text
from ipkit.core.lanes import ReportRow, RowValue
from ipkit.core.lookup import Question
from ipkit.core.lookup_lane import Asker, Manner, Wording
from ipkit.core.lookup_plain import PlainRoutes

OCTETS: Final = {str(number).encode(): number for number in range(256)}
DST_MARK: Final = "@dst@"
PREFIX_MARK: Final = "@prefix@"
IPROUTE2: Final = Wording.LINES.value
MOST_WORDS: Final = 3


Questions: TypeAlias = Source[Sequence[bytes]]
"""Lines in blocks, as they come."""


class Cut:
    """The answer of one prefix's routes, in pieces: around the address asked for and the prefix that covers it."""

    __slots__ = ("_after", "_before", "_middle", "asked", "failed", "kind", "routes")

    def __init__(self, routes: tuple[FibEntry, ...], row: dict[str, RowValue], text: str) -> None:
        self.routes = routes  # kept alive: they are known by their identity
        self.kind = str(row["type"])
        self.failed = "error" in row
        self.asked = 0
        self._before, told, rest = text.partition(DST_MARK)
        middle, prefixed, self._after = rest.partition(PREFIX_MARK)
        self._middle = middle if prefixed else None
        if not prefixed:
            self._after = rest if told else ""

    def put_round(self, dst: str, leaf: Leaf) -> str:
        """Return the answer to one question."""
        if self._middle is not None:
            return f"{self._before}{dst}{self._middle}{prefix_text(leaf.prefix, leaf.length)}{self._after}"
        return f"{self._before}{dst}{self._after}" if self._after else self._before


class LineLookups:
    """The questions of one run, all with the same options."""

    def __init__(self, asker: Asker, template: Question, report: Report, most: int = 0) -> None:
        self._asker = asker
        self._template = template
        self._report = report
        usual = Question(0, tos=template.tos, mark=template.mark)
        plain = template == usual and asker.manner == Manner(wording=asker.manner.wording)
        self._plain = PlainRoutes(asker.routing) if plain else None
        self._cuts: dict[int, Cut] = {}
        self._left = most or inf

    def answer_all(self, blocks: Questions) -> bool:
        """Answer everything that comes, up to the number wanted; tell whether an interrupt ended it."""
        with Interrupts() as interrupts:
            for block in interrupts.until(blocks):
                lines = [line for line in block if line and not line.isspace()]
                wanted = int(min(len(lines), self._left))
                self.answer(lines[:wanted])
                self._left -= wanted
                if not self._left:
                    break
        return interrupts.happened

    def summary(self) -> Mapping[str, RowValue]:
        """Return the summary, once everything is answered."""
        for cut in self._cuts.values():
            self._asker.count(cut.kind, cut.asked, failed=cut.failed)
        self._cuts.clear()
        return self._asker.summary()

    def answer(self, lines: Sequence[bytes]) -> None:
        """Answer some lines, the shortest way that the report allows."""
        if self._report.keeps_rows_apart and self._plain is not None:
            self._as_texts(lines, self._plain)
            return
        some = int(min(len(lines), self._report.room)) if self._plain is not None else len(lines)
        self._as_rows(lines[:some])
        if self._plain is not None and some < len(lines):
            self._counted(lines[some:], self._plain)

    def _as_rows(self, lines: Sequence[bytes]) -> None:
        self._report.rows(ReportRow(needs_look=True, row=self._properly(line)) for line in lines)

    def _as_texts(self, lines: Sequence[bytes], plain: PlainRoutes) -> None:
        texts: list[str] = []
        cuts, leaf_over = self._cuts, plain.leaf_over
        for line in lines:
            daddr = self._address(line)
            leaf = leaf_over(daddr)
            cut = cuts.get(id(leaf.entries)) if leaf is not None else None
            if leaf is None or cut is None:
                texts.append(self._proper_text(line, leaf))
                continue
            cut.asked += 1
            texts.append(cut.put_round(line.decode(), leaf))
        self._report.texts(texts)

    def _proper_text(self, line: bytes, leaf: Leaf | None) -> str:
        """Return the text of a row that is made in full; the next of its kind is cut from it."""
        row = self._properly(line)
        text = self._report.text_of(row)
        if leaf is not None:
            marks = {"dst": DST_MARK, "prefix": PREFIX_MARK}
            marked = {**row, **{key: mark for key, mark in marks.items() if key in row}}
            if IPROUTE2 in row:
                marked[IPROUTE2] = str(row[IPROUTE2]).replace(line.decode(), DST_MARK, 1)
            self._cuts[id(leaf.entries)] = Cut(leaf.entries, row, self._report.text_of(marked))
        return text

    def _counted(self, lines: Sequence[bytes], plain: PlainRoutes) -> None:
        """Answer lines that nobody sees: they count."""
        for line in lines:
            leaf = plain.leaf_over(self._address(line))
            cut = self._cuts.get(id(leaf.entries)) if leaf is not None else None
            if cut is not None:
                cut.asked += 1
            elif leaf is not None:
                self._cuts[id(leaf.entries)] = Cut(leaf.entries, self._properly(line), "")
            else:
                self._properly(line)
        self._report.leave_out(len(lines))

    @staticmethod
    def _address(line: bytes) -> int:
        """Return the address that a line is, -1 where it is anything else."""
        try:
            first, second, third, fourth = line.split(b".")
            return OCTETS[first] << 24 | OCTETS[second] << 16 | OCTETS[third] << 8 | OCTETS[fourth]
        except (ValueError, KeyError):
            return -1

    def _properly(self, line: bytes) -> dict[str, RowValue]:
        """Return the row of a line: `dst [src [iif]]`, or what cannot be one."""
        text = line.decode("utf-8", "surrogateescape").strip()
        words, given = text.split(), self._template
        try:
            if not 0 < len(words) <= MOST_WORDS or (words[2:] and words[2] not in self._asker.routing.host.links):
                return self._asker.refusal(text)
            given = given._replace(dst=address(words[0]))
            given = given._replace(src=address(words[1])) if words[1:] else given
            given = given._replace(iif=words[2]) if words[2:] else given
        except WordError:
            return self._asker.refusal(text)
        return self._asker.row(given)
