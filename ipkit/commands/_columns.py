"""What a report's columns are: one table that every format, the manual pages and the tests share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from ipkit.core.lanes import Row
from ipkit.core.wire.ipv4 import PROTOCOL_NAMES


class Column(NamedTuple):
    """One key of a row: its type in JSON, its heading and its text in a table."""

    key: str
    type: str  # string, integer, boolean, list
    heading: str
    shown: Callable[[object], str] = str
    detail: tuple[str, ...] = ()  # not a cell: a small table of its own under the row, of these keys
    picture: Callable[[Row, int], Sequence[str]] | None = None  # not a cell: lines under the row, so wide at most

    @property
    def is_cell(self) -> bool:
        """Whether it is a column of the table itself."""
        return not self.detail and self.picture is None


def protocol_shown(value: object) -> str:
    """Return a protocol's name where it has a well-known one."""
    return PROTOCOL_NAMES.get(value, str(value)) if isinstance(value, int) else str(value)


def yes_or_no(value: object) -> str:
    """Return a truth value as a word."""
    return "yes" if value else "no"


SHARED: Final = (
    Column("file", "string", "file"),
    Column("frame", "integer", "frame"),
    Column("time", "string", "time"),
    Column("iface", "string", "iface"),
    Column("src", "string", "src"),
    Column("dst", "string", "dst"),
    Column("proto", "integer", "proto", protocol_shown),
    Column("id", "string", "id"),
)
"""The columns that every packet row begins with."""
