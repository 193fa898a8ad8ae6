"""Many questions to one host: typed, by the line, or one for each packet of a capture.

Law: counts what it was asked, makes rows where they are wanted, and remembers nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from enum import Enum
from errno import EINVAL, errorcode
from typing import Final, NamedTuple

from ipkit.core.frames import FrameBatch
from ipkit.core.host.config import LinkKind
from ipkit.core.host.fib_explain import Trace
from ipkit.core.lanes import Explain, LaneResult, ReportRow, RowValue, RowWish
from ipkit.core.link_receive import NOT_IPV4, ipv4_at
from ipkit.core.lookup import Answer, Question, ask, fibmatch_lines, iproute2_lines
from ipkit.core.lookup_row import fibmatch_row, lookup_row
from ipkit.core.rows import frame_keys, header_keys
from ipkit.core.state.routing import Routing
from ipkit.core.wire.ipv4 import HEADER_BYTES, read
from ipkit.errors import HostError

TYPES: Final = (
    "unicast", "local", "broadcast", "multicast", "blackhole", "unreachable", "prohibit", "throw", "martian", "none",
)  # fmt: skip
"""What a summary always counts, in this order."""


class Wording(Enum):
    """How an answer is put."""

    ROW = "row"  # the keys of ip -j route get
    LINES = "iproute2"  # the lines of ip route get, under this key


class Match(Enum):
    """What is told: where the packet goes, or which route of the table says so."""

    ROUTE = "route"
    FIB = "fibmatch"


class Manner(NamedTuple):
    """How all questions are answered."""

    match: Match = Match.ROUTE
    explain: Explain = Explain.NO
    wording: Wording = Wording.ROW


class Asker:
    """Answers questions and counts them."""

    def __init__(self, routing: Routing, manner: Manner) -> None:
        self.routing = routing
        self.manner = manner
        self.types: Counter[str] = Counter()
        self.errors = 0

    def row(self, question: Question) -> dict[str, RowValue]:
        """Return the answer to a question as a row."""
        trace: Trace | None = [] if self.manner.explain is Explain.YES else None
        answer = ask(question, self.routing, trace)
        row = self._worded(question, answer)
        self.count(answer.type, 1, failed="error" in row or answer.errno != 0)
        if trace is not None:
            row["explain"] = [{"func": func, "say": say, "values": dict(values)} for func, say, values in trace]
        return row

    def refusal(self, text: str) -> dict[str, RowValue]:
        """Return the row of something that is no question."""
        self.count("none", 1, failed=True)
        row: dict[str, RowValue] = {"dst": text, "type": "none", "error": errorcode[EINVAL]}
        if self.manner.wording is Wording.LINES:
            row[Wording.LINES.value] = f'Error: any valid prefix is expected rather than "{text}".\n'
        return row

    def count(self, kind: str, number: int, *, failed: bool) -> None:
        """Add answers of one kind to the summary."""
        self.types[kind] += number
        self.errors += number if failed else 0

    def _worded(self, question: Question, answer: Answer) -> dict[str, RowValue]:
        by_fib = self.manner.match is Match.FIB
        row = (fibmatch_row if by_fib else lookup_row)(question, answer)
        if self.manner.wording is Wording.LINES:
            lines = fibmatch_lines(answer) if by_fib else iproute2_lines(question, answer)
            row[Wording.LINES.value] = lines.out or lines.err
        return row

    def summary(self) -> dict[str, RowValue]:
        """Return how many questions there were, and how many answers of each kind."""
        kinds = (*TYPES, *(kind for kind in self.types if kind not in TYPES))
        counted: dict[str, RowValue] = {"lookups": self.types.total()}
        counted.update((kind, self.types[kind]) for kind in kinds)
        return {**counted, "kernel": self.routing.host.kernel.name}


class LookupLane:
    """Where each packet of a capture would go, by its own source, TOS and interface."""

    def __init__(self, asker: Asker, template: Question, wish: RowWish, named: str = "") -> None:
        self._asker = asker
        self._template = template
        self._wish = wish
        self._named = named  # the host's file, where one was given: links that it lacks are a mistake then
        self._frames = self._other = 0
        self._assumed: dict[str, str] = {}

    def process(self, batch: FrameBatch) -> LaneResult:
        """Look up the destination of every packet."""
        rows = []
        for row in range(len(batch)):
            at = ipv4_at(batch.link_type, batch.data, batch.start[row], batch.captured[row])
            end = batch.start[row] + batch.captured[row]
            if at == NOT_IPV4 or end - at < HEADER_BYTES:
                self._other += 1
                continue
            keys = self._asker.row(self._question(batch, row, at, end))
            if self._wish is RowWish.ALL or (self._wish is RowWish.LOOK and "error" in keys):
                shared = {**frame_keys(batch, row), **header_keys(batch.data, at, end)}
                rows.append(ReportRow("error" in keys, {**shared, **keys, "dst": shared["dst"]}))
        self._frames += len(batch)
        return LaneResult(rows)

    def _question(self, batch: FrameBatch, row: int, at: int, end: int) -> Question:
        header = read(batch.data, at)
        iif = self._template.iif
        if not iif and not self._template.oif:
            iif = self._link_named(batch.interfaces[batch.interface[row]] or "")
        return self._template._replace(
            dst=header.daddr,
            src=header.saddr,
            iif=iif,
            tos=self._template.tos or header.tos,
            protocol=header.protocol,
            data=batch.data[at:end],
            now_ns=batch.tstamp_ns[row],
        )

    def _link_named(self, name: str) -> str:
        """Return the link that frames of an interface came in by: the first one where the host says of none."""
        links = self._asker.routing.host.links
        if name in links:
            return name
        first = next((link.name for link in links.values() if link.kind is not LinkKind.LOOPBACK), None)
        if first is None or (name and self._named):
            raise HostError(self._named or "host", "", f"there is no link {name} (--iif names one)")
        if name:
            self._assumed[name] = first
        return first

    def finish(self) -> LaneResult:
        """Nothing is held."""
        return LaneResult()

    def summary(self) -> Mapping[str, RowValue]:
        """Count frames and answers; say once which interfaces were taken for which link."""
        summary: dict[str, RowValue] = {"frames": self._frames, "other": self._other, **self._asker.summary()}
        if self._assumed:
            taken = self._assumed.items()
            summary["notes"] = [f"the host has no link {name}: its frames come in by {first}" for name, first in taken]
        return summary

    def has_finding(self) -> bool:
        """Tell whether a lookup failed."""
        return self._asker.errors > 0
