"""The forms a report takes: each sink turns rows and one summary into text, piece by piece.

Law: no sink holds more rows than it must; the machine forms hold none.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, Protocol

from ipkit.commands._columns import Column
from ipkit.core.lanes import Row

TABLE_ROWS: Final = 1000
"""A table ends and the next begins after so many rows, so that memory stays bounded."""

json_text: Final = json.JSONEncoder(separators=(", ", ": "), default=dict).encode
"""A value as JSON; a mapping that is not a dict, such as one that is read-only, is an object as well."""


class Sink(Protocol):
    """One form of report."""

    def row(self, row: Row) -> str:
        """Return what can be written once this row is known."""
        ...

    def close(self, summary: Mapping[str, object]) -> str:
        """Return what remains."""
        ...


class JsonLines:
    """One object a line; the summary is the last."""

    def row(self, row: Row) -> str:
        """Return the row's line."""
        return json_text(row) + "\n"

    def close(self, summary: Mapping[str, object]) -> str:
        """Return the summary's line."""
        return json_text({"summary": summary}) + "\n"


class JsonDocument:
    """One document with all rows and the summary."""

    def __init__(self) -> None:
        self._opening = '{"rows": ['

    def row(self, row: Row) -> str:
        """Return the row, behind what separates it from the one before."""
        text = f"{self._opening}\n{json_text(row)}"
        self._opening = ","
        return text

    def close(self, summary: Mapping[str, object]) -> str:
        """Return the document's end."""
        opening = self._opening if self._opening != "," else ""
        return f'{opening}\n], "summary": {json_text(summary)}}}\n'


class _Echo:
    """What csv writes to, so that writing a row returns its line."""

    def write(self, line: str) -> str:
        return line


class Separated:
    """Values as in JSON behind a header line, without a summary; quiet, the summary as two columns."""

    def __init__(self, columns: Sequence[Column], delimiter: str, *, summary_only: bool) -> None:
        self._keys = [column.key for column in columns]
        self._spelled: Callable[[Sequence[str]], str] = csv.writer(
            _Echo(), delimiter=delimiter, lineterminator="\n"
        ).writerow
        self._summary_only = summary_only
        self._header: Sequence[str] | None = ("key", "value") if summary_only else self._keys

    def row(self, row: Row) -> str:
        """Return the row's line."""
        return self._line([self._value(row.get(key)) for key in self._keys])

    def close(self, summary: Mapping[str, object]) -> str:
        """Return the header where no row came, or the summary where only that was wanted."""
        if self._summary_only:
            return "".join(self._line([key, self._value(value)]) for key, value in flattened(summary))
        return self._line(None)

    def _line(self, values: Sequence[str] | None) -> str:
        header, self._header = self._header, None
        return "".join(self._spelled(line) for line in (header, values) if line is not None)

    @staticmethod
    def _value(value: object) -> str:
        if value is None:
            return ""
        return value if isinstance(value, str) else json_text(value)


class Verbatim:
    """A text that each row brings along under one key, and nothing else."""

    def __init__(self, key: str) -> None:
        self._key = key

    def row(self, row: Row) -> str:
        """Return the row's text."""
        return str(row[self._key])

    def close(self, _summary: Mapping[str, object]) -> str:
        """Return nothing: the form has no summary."""
        return ""


class Tables:
    """Tables for people, a new one each thousand rows; how it is drawn and what follows it is told from outside."""

    def __init__(
        self,
        draw: Callable[[Sequence[Row]], str],
        conclude: Callable[[Mapping[str, object]], str],
        *,
        summary_first: bool = False,
    ) -> None:
        self._draw = draw
        self._conclude = conclude
        self._summary_first = summary_first  # where all rows fit one table
        self._held: list[Row] = []

    def row(self, row: Row) -> str:
        """Hold the row, or return a table that has become full."""
        self._held.append(row)
        if len(self._held) < TABLE_ROWS:
            return ""
        self._summary_first = False
        return self._drawn()

    def close(self, summary: Mapping[str, object]) -> str:
        """Return the last table and what follows it."""
        table, conclusion = self._drawn(), self._conclude(summary)
        if self._summary_first:
            return conclusion + (f"\n{table}" if table else "")
        return table + conclusion

    def _drawn(self) -> str:
        text = self._draw(self._held) if self._held else ""
        self._held = []
        return text


def flattened(summary: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """Yield the summary's values with the keys that lead to them joined by dots."""
    for key, value in summary.items():
        if isinstance(value, Mapping):
            yield from ((f"{key}.{inner}", what) for inner, what in flattened(value))
        else:
            yield key, value
