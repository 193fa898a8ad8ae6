"""How a reassembled datagram is shown in a table: its columns, and what stands under its row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ipkit.commands._columns import SHARED, Column, yes_or_no
from ipkit.core.fragment_map import map_lines
from ipkit.core.lanes import Row


def numbers_shown(value: Any) -> str:
    """Return numbers with runs of neighbours drawn together."""
    runs: list[list[int]] = []
    for number in value:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def holes_shown(value: Any) -> str:
    """Return what is missing as ranges, the last one open where the end is not known."""
    return " ".join(f"[{start},{'' if end is None else end})" for start, end in value)


def words_shown(value: Any) -> str:
    """Return words one behind the other."""
    return " ".join(value)


def readings_shown(row: Row, _width: int) -> Sequence[str]:
    """Return what was read, each with the policies that read it so."""
    policies: Any = row["policies"]
    groups: dict[str, list[str]] = {}
    for policy, reading in policies.items():
        groups.setdefault(reading, []).append(policy)
    return [f"{reading:16}  {' '.join(names)}" for reading, names in groups.items()]


COLUMNS = (
    *SHARED,
    Column("frames", "list", "frames", numbers_shown),
    Column("fragments", "integer", "fragments"),
    Column("length", "integer", "length"),
    Column("status", "string", "status"),
    Column("reason", "string", "reason"),
    Column("func", "string", "func"),
    Column("mib", "list", "mib", words_shown),
    Column("missing", "list", "missing", holes_shown),
    Column("overlap", "integer", "overlap"),
    Column("duplicates", "integer", "duplicates"),
    Column("notes", "list", "notes", words_shown),
)
COMPARED = (
    Column("differ", "boolean", "differ", yes_or_no),
    Column("policies", "object", "policies", picture=readings_shown),
)
DRAWN = Column("map", "list", "map", picture=map_lines)
