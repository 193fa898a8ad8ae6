"""Rows, facts and summaries into words: the only sentences for humans.

A Report is what a command speaks to. It knows how many rows are wanted, how they are drawn and where they go;
it never decides what a row says.
"""

from __future__ import annotations

import os
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import inf
from typing import Any, Final, Protocol, TypeAlias

import click

from ipkit.commands._columns import Column
from ipkit.commands._formats import JsonDocument, JsonLines, Separated, Sink, Tables, Verbatim
from ipkit.commands._options import ReportOptions
from ipkit.core.lanes import ReportRow, Row, RowWish
from ipkit.core.rows import plain_text

NOTHING: Final = "-"
ROWS_AT_ONCE: Final = 256
GAP: Final = 2
USUAL_WIDTH: Final = 80

COLOURS: Final = {
    "ok": "green",
    "complete": "green",
    "bad": "red",
    "malformed": "red",
    "dropped": "red",
    "failed": "red",
    "error": "red",
    "too_big": "yellow",
    "partial": "yellow",
    "truncated": "yellow",
    "incomplete": "yellow",
    "timeout": "yellow",
    "evicted": "yellow",
}
"""The words of verdict columns that are worth a colour."""


class ByteSink(Protocol):
    """What a report is written to."""

    def write(self, data: bytes, /) -> object:
        """Take all of the bytes."""
        ...

    def flush(self) -> object:
        """Let them go out."""
        ...

    def commit(self) -> None:
        """Let all of it appear, where a place waits for the whole."""
        ...

    def isatty(self) -> bool:
        """Tell whether a person looks at them."""
        ...


Conclude: TypeAlias = Callable[[Mapping[str, object], str], str]
"""Draws a summary in a table format; given, it stands before the rows where they fit one table."""


class Report:
    """One command's report: rows as they come, then the summary."""

    def __init__(
        self, options: ReportOptions, columns: Sequence[Column], out: ByteSink, conclude: Conclude | None = None
    ) -> None:
        self._options = options
        self._columns = columns
        self._conclude = conclude
        self._details = [column for column in columns if not column.is_cell]
        self._out = out
        self._width = shutil.get_terminal_size().columns if out.isatty() else 0
        self._colour = _wants_colour(options, out)
        self._sink = self._make_sink()
        self._machine = not isinstance(self._sink, Tables)
        self._shown = 0
        self._left_out = 0
        self._notes: list[str] = []

    @property
    def wish(self) -> RowWish:
        """Which rows are worth making."""
        if self._options.quiet:
            return RowWish.NONE
        return RowWish.ALL if self._machine or self._options.every_row else RowWish.LOOK

    def note(self, line: str) -> None:
        """Say something once, under the table; the machine forms have it in the summary."""
        if line not in self._notes:
            self._notes.append(line)

    def rows(self, rows: Iterable[ReportRow]) -> None:
        """Write the rows that the options ask for; each is asked for, since making it may be what counts it."""
        if self._options.quiet:
            deque(rows, maxlen=0)
            return
        wanted = rows if self._machine or self._options.every_row else (row for row in rows if row.needs_look)
        limit = 0 if self._machine else self._options.limit
        pending: list[str] = []
        for row in wanted:
            if limit and self._shown >= limit:
                self._left_out += 1
                continue
            self._shown += 1
            pending.append(self._sink.row(row.row))
            if len(pending) == ROWS_AT_ONCE:
                self._write("".join(pending))
                pending.clear()
        self._write("".join(pending))
        self._out.flush()

    @property
    def room(self) -> float:
        """How many more rows will be shown."""
        if self._options.quiet:
            return 0
        return self._options.limit - self._shown if self._options.limit and not self._machine else inf

    @property
    def keeps_rows_apart(self) -> bool:
        """Whether the text of a row depends on no other row, but for the first one."""
        return self._machine and not self._options.quiet

    def text_of(self, row: Row) -> str:
        """Return a row as it would be written; texts() writes it."""
        return self._sink.row(row)

    def texts(self, texts: Sequence[str]) -> None:
        """Write rows whose texts are known."""
        self._write("".join(texts))
        self._out.flush()

    def leave_out(self, rows: int) -> None:
        """Count rows that would have been shown, had there been room."""
        if not self._options.quiet:
            self._left_out += rows

    def close(self, summary: Mapping[str, object]) -> None:
        """Write the summary; the report is complete and may appear at its place."""
        if self._options.quiet < 2:
            self._write(self._sink.close(summary))
        self._out.commit()

    def _write(self, text: str) -> None:
        if text:
            self._out.write(text.encode("utf-8", "surrogateescape"))

    def _make_sink(self) -> Sink:
        name, quiet = self._options.format, bool(self._options.quiet)
        if name == "jsonl":
            return JsonLines()
        if name == "json":
            return JsonDocument()
        if name in ("csv", "tsv"):
            return Separated(self._columns, "," if name == "csv" else "\t", summary_only=quiet)
        if [column.key for column in self._columns] == [name]:
            return Verbatim(name)
        return Tables(self._table, self._conclusion, summary_first=self._conclude is not None)

    def _table(self, rows: Sequence[Row]) -> str:
        """Draw some rows; a grid ends at a row that has something to show under it."""
        texts: list[str] = []
        pending: list[Row] = []
        for row in rows:
            pending.append(row)
            details = _details_text(row, self._details, self._width or USUAL_WIDTH)
            if details:
                texts += [self._grid(pending), details]
                pending = []
        return "".join(texts) + (self._grid(pending) if pending else "")

    def _grid(self, rows: Sequence[Row]) -> str:
        """Draw rows alike; on a terminal too narrow for all columns, what says nothing steps out of the grid."""
        columns = [column for column in self._columns if column.is_cell]
        cells = [[_cell(column, row) for column in columns] for row in rows]
        caption = ""
        if self._width and _grid_width(columns, cells) > self._width:
            columns, cells, caption = _without_constants(columns, cells)
        if self._colour:
            cells = [[_coloured(text) for text in line] for line in cells]
        return caption + drawn([column.heading for column in columns], cells, self._table_format) + "\n"

    def _conclusion(self, summary: Mapping[str, object]) -> str:
        lines = []
        if self._left_out:
            rows = "row" if self._left_out == 1 else "rows"
            lines.append(f"({self._left_out} more {rows} not shown; --limit 0 shows all)\n")
        lines += [f"{note}\n" for note in self._notes]
        if self._conclude is not None:
            return self._conclude(summary, self._table_format) + "".join(lines)
        said: Any = summary.get("notes", ())
        lines += [f"{note}\n" for note in said]
        if self._shown:
            lines.append("\n")
        counted = {key: value for key, value in summary.items() if key != "notes"}
        return "".join(lines) + summary_text(counted, self._table_format)

    @property
    def _table_format(self) -> str:
        return "simple" if self._options.format == "table" else self._options.format


def drawn(headings: Sequence[str], cells: Sequence[Sequence[str]], table_format: str) -> str:
    """Draw one table; what looks like a number is left as it is written, and a column is as wide as its words."""
    import tabulate

    tabulate.MIN_PADDING = 0
    return tabulate.tabulate(cells, headings, tablefmt=table_format, disable_numparse=True)


def summary_text(summary: Mapping[str, object], table_format: str = "simple") -> str:
    """Return a summary: plain values on lines of their own, counts by kind as a grid; what never came is left out."""
    plain = [(key, value) for key, value in summary.items() if not isinstance(value, Mapping)]
    grids = {key: value for key, value in summary.items() if isinstance(value, Mapping) and any(value.values())}
    text = "".join(_wrapped([f"{key} {value}" for key, value in plain]))
    kinds = list(dict.fromkeys(kind for counts in grids.values() for kind in counts))
    if grids:
        cells = [[key, *(str(counts.get(kind, NOTHING)) for kind in kinds)] for key, counts in grids.items()]
        text += drawn(["", *kinds], cells, table_format) + "\n"
    return text


def _wrapped(words: Sequence[str], width: int = 79) -> list[str]:
    lines = [""]
    for word in words:
        joined = f"{lines[-1]}  {word}" if lines[-1] else word
        if len(joined) > width:
            lines.append(word)
        else:
            lines[-1] = joined
    return [f"{line}\n" for line in lines if line]


def _wants_colour(options: ReportOptions, out: ByteSink) -> bool:
    if options.format != "table":
        return False
    if options.colour is not None:
        return options.colour
    return out.isatty() and not os.environ.get("NO_COLOR")


def _coloured(text: str) -> str:
    colour = COLOURS.get(text)
    return click.style(text, fg=colour) if colour else text


def _cell(column: Column, row: Row) -> str:
    value = row.get(column.key)
    return NOTHING if value is None else plain_text(column.shown(value))


def _details_text(row: Row, details: Sequence[Column], width: int) -> str:
    """Draw what belongs to one row, indented under it: a picture or a small table."""
    texts = []
    for column in details:
        value = row.get(column.key)
        if not value:
            continue
        if column.picture is not None:
            lines = column.picture(row, width - GAP)
        else:
            lines = _detail_table(column, value).split("\n")
        texts.append("\n" + "".join(f"  {line}\n" for line in lines) + "\n")
    return "".join(texts)


def _detail_table(column: Column, lines: Any) -> str:
    cells = [[str(line.get(key, "")) for key in column.detail] for line in lines]
    kept = [i for i in range(len(column.detail)) if any(line[i] for line in cells)]
    return drawn([column.detail[i] for i in kept], [[line[i] for i in kept] for line in cells], "plain")


def _grid_width(columns: Sequence[Column], cells: Sequence[Sequence[str]]) -> int:
    widths = [max(len(column.heading), *(len(line[i]) for line in cells)) for i, column in enumerate(columns)]
    return sum(widths) + GAP * (len(widths) - 1)


def _without_constants(
    columns: Sequence[Column], cells: Sequence[Sequence[str]]
) -> tuple[list[Column], list[list[str]], str]:
    """Take columns that say the same in every row out of the grid; what they say stands in a line above it."""
    same = [
        len({line[i] for line in cells}) == 1 and len(cells) > 1 and cells[0][i] not in COLOURS
        for i in range(len(columns))
    ]
    empty = [all(line[i] == NOTHING for line in cells) for i in range(len(columns))]
    kept = [i for i in range(len(columns)) if not same[i] and not empty[i]]
    said = [f"{columns[i].heading} {cells[0][i]}" for i in range(len(columns)) if same[i] and not empty[i]]
    caption = "".join(_wrapped(said))
    return [columns[i] for i in kept], [[line[i] for i in kept] for line in cells], caption
