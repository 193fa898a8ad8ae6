"""What `ipkit forward` prints: its columns, its one-screen summary, and the way of a packet as a tree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any, Final

from ipkit.commands._columns import SHARED, Column
from ipkit.commands._render import drawn, summary_text
from ipkit.core.lanes import Row

INDENT: Final = "|  "
ARROW: Final = "|-->"
LINE_WIDTH: Final = 79

MOST_COUNTERS: Final = 3
"""How many counters are shown of one way to end: the first screen is for many ways."""


def emitted_shown(value: object) -> str:
    """Return what was put on wires: kind, length and device of each frame; of many equal ones, how many."""
    if not isinstance(value, list):
        return str(value)
    texts = [f"{one['kind']} {one['length']} {one['dev']}" for one in value]
    return ", ".join(texts if len(texts) < 4 else [texts[0], f"{len(texts) - 2} more", texts[-1]])


def counters_shown(value: object) -> str:
    """Return the names of counters."""
    return " ".join(value) if isinstance(value, list) else str(value)


COLUMNS: Final = (
    *SHARED,
    Column("length", "integer", "length"),
    Column("verdict", "string", "verdict"),
    Column("reason", "string", "reason"),
    Column("func", "string", "func"),
    Column("mib", "list", "mib", counters_shown),
    Column("iif", "string", "iif"),
    Column("dev", "string", "dev"),
    Column("gateway", "string", "gateway"),
    Column("ttl", "integer", "ttl"),
    Column("emitted", "list", "emitted", emitted_shown),
)


def kinds_shown(value: object) -> str:
    """Return of what kind the frames put on wires are."""
    return " ".join(dict.fromkeys(one["kind"] for one in value)) if isinstance(value, list) else str(value)


_BY_KEY: Final = {column.key: column for column in COLUMNS}
_FINDINGS: Final = ("frame", "src", "dst", "proto", "reason")


def shown_columns(files: int, *, several_verdicts: bool) -> tuple[Column, ...]:
    """Return the columns that fit a screen; the summary above the rows says the rest of each verdict."""
    keys = [*(["file"] if files > 1 else []), *_FINDINGS]
    if several_verdicts:
        keys.insert(-1, "verdict")
    return (*(_BY_KEY[key] for key in keys), Column("emitted", "list", "emitted", kinds_shown))


def tree(row: Row, width: int) -> Sequence[str]:
    """Draw the way of a packet, an arrow for each function: its room, and what it decided by."""
    steps: Any = row.get("trace")
    return [line for step in steps for line in _branch(step, width)]


def _branch(step: Mapping[str, Any], width: int) -> list[str]:
    margin = INDENT * step["depth"]
    return wrap(
        f"{step['func']}{_room(step)}  {step['say']}",
        width,
        initial_indent=margin + ARROW,
        subsequent_indent=margin + INDENT + "    ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _room(step: Mapping[str, Any]) -> str:
    return f" ({step['room']})" if step["room"] else ""


TRACE: Final = Column("trace", "list", "trace", picture=tree)


def conclusion(summary: Mapping[str, object], table_format: str) -> str:
    """Draw the summary: what happened to how many, by whom and counted as what, with an example of each."""
    verdicts: Any = summary.get("verdicts", [])
    counters: Any = summary.get("counters", {})
    notes: Any = summary.get("notes", [])
    kinds: Any = summary.get("emitted_kinds", {})
    apart = ("verdicts", "counters", "notes", "emitted_kinds")
    rest = {key: value for key, value in summary.items() if key not in apart}
    if kinds:
        rest["emitted"] = f"{rest['emitted']} (" + ", ".join(f"{kind} {n}" for kind, n in kinds.items()) + ")"
    text = summary_text(rest, table_format)
    if verdicts:
        several = len({line["file"] for line in verdicts}) > 1
        text += "\n" + drawn(
            ["verdict", "function, counter", "count", "share", "first"],
            [_verdict_cells(line, several=several) for line in verdicts],
            table_format,
        )
        text += "\n"
    if counters:
        cells = [[name, str(amount)] for name, amount in counters.items()]
        text += "\n" + drawn(["counter", "moved"], cells, table_format) + "\n"
    return text + "".join(f"{line}\n" for note in notes for line in wrap(note, LINE_WIDTH))


def _verdict_cells(line: Mapping[str, Any], *, several: bool) -> list[str]:
    first = f"{line['file']}:{line['first']}" if several else str(line["first"])
    verdict = "\n".join((line["verdict"], *([f"  {line['reason']}"] if "reason" in line else [])))
    mibs = line.get("mib", ())
    if len(mibs) > MOST_COUNTERS:
        mibs = (*mibs[: MOST_COUNTERS - 1], f"and {len(mibs) - MOST_COUNTERS + 1} more")
    func = "\n".join((line.get("func", "-"), *(f"  {name}" for name in mibs)))
    return [verdict, func, str(line["count"]), f"{line['share']:.1%}", first]
