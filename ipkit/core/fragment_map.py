"""A datagram drawn: which fragment gave which bytes, which bytes lost, what is missing.

Law: from the values of a row alone, so that who reads the JSON can draw the same. Won and lost bytes differ in
character and in pattern, never in colour only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import pairwise
from typing import Any, Final, NamedTuple

from ipkit.core.lanes import Row, RowValue
from ipkit.core.state.frag_queue import FragQueue

MOST_ROWS: Final = 500
"""Fragments drawn of one datagram; a flood of copies says nothing new."""

WON, LOST, BOTH, HOLE, NOTHING = "=", "x", "*", "?", " "
LEGEND: Final = f"{WON} kept, {LOST} lost or refused, {BOTH} both, {HOLE} missing"
WIDEST_CELL: Final = 6

Span = tuple[int, int]


class Arrival(NamedTuple):
    """One fragment as it came."""

    tag: object
    frame: int
    start: int
    end: int
    is_last: bool


def map_values(queue: FragQueue, arrivals: Sequence[Arrival]) -> list[dict[str, RowValue]]:
    """Return, for each fragment in the order of arrival, where it lies and which of its bytes count."""
    won: dict[object, list[list[int]]] = {}
    for piece in queue.pieces:
        end = min(piece.end, queue.len) if queue.last_in else piece.end
        if piece.start < end:
            won.setdefault(piece.tag, []).append([piece.start, end])
    return [
        {
            "frame": arrival.frame,
            "offset": arrival.start,
            "length": arrival.end - arrival.start,
            "mf": not arrival.is_last,
            "won": _joined(won.get(arrival.tag, [])),
        }
        for arrival in arrivals
    ]


def _joined(spans: Sequence[list[int]]) -> list[list[int]]:
    joined: list[list[int]] = []
    for start, end in spans:
        if joined and joined[-1][1] == start:
            joined[-1][1] = end
        else:
            joined.append([start, end])
    return joined


class _Line(NamedTuple):
    """One fragment of a drawing."""

    frame: int
    label: str
    claimed: Span
    won: Sequence[Span]


class _Drawing(NamedTuple):
    """What a row's values say, as spans of bytes."""

    lines: Sequence[_Line]
    holes: Sequence[Span]  # the open end is cut off at the right edge
    is_open: bool
    end: int  # the right edge


def _drawing(row: Row) -> _Drawing:
    entries: Any = row.get("map", ())
    missing: Any = row.get("missing", ())
    lines = [
        _Line(
            entry["frame"],
            f"{entry['offset']}+{entry['length']}{'' if entry['mf'] else ' last'}",
            (entry["offset"], entry["offset"] + entry["length"]),
            [(start, end) for start, end in entry["won"]],
        )
        for entry in entries
    ]
    ends = [line.claimed[1] for line in lines] + [edge for hole in missing for edge in hole if edge is not None]
    end = max(ends, default=8) or 8
    is_open = bool(missing) and missing[-1][1] is None
    if is_open:
        end += max(8, end // 16)
    return _Drawing(lines, [(start, end if to is None else to) for start, to in missing], is_open, end)


def map_lines(row: Row, width: int) -> list[str]:
    """Return the drawing of a row as lines of text: a line a fragment, over a ruler of bytes."""
    drawing = _drawing(row)
    names = [f"#{line.frame}" for line in drawing.lines]
    labels = [line.label for line in drawing.lines]
    left = max(map(len, names), default=0) + 2 + max(map(len, labels), default=0)
    columns = max(8, width - left - 3)
    unit = -(-drawing.end // columns)
    unit += -unit % 8
    cells = [(at, at + unit) for at in range(0, drawing.end, unit)]
    wide = max(1, min(WIDEST_CELL, columns // len(cells)))
    indent = " " * (left + 1)
    lines = [indent + _ruler([start for start, _ in cells], wide)]
    for name, label, line in zip(names, labels, drawing.lines, strict=True):
        picture = "".join(_cell(line, start, end) * wide for start, end in cells)
        lines.append(f"{name}  {label:{left - len(name) - 2}} |{picture}|")
    if drawing.holes:
        picture = "".join((HOLE if _meets(drawing.holes, start, end) else NOTHING) * wide for start, end in cells)
        lines.append(f"{'missing':{left}} |{picture}{'>' if drawing.is_open else '|'}")
    scale = f"{unit} bytes are {wide} columns" if wide > 1 else f"a column is {unit} bytes"
    return [*(line.rstrip() for line in lines), f"{indent}{scale}; {LEGEND}"]


def _ruler(starts: Sequence[int], wide: int) -> str:
    """Return where cells start, at every so many cells that the numbers have room."""
    step = -(-(len(str(starts[-1])) + 2) // wide)
    ticks = [f"|{start}".ljust(step * wide) for start in starts[::step]]
    if len(ticks) > 1 and (len(ticks) - 1) * step * wide + len(ticks[-1].rstrip()) > len(starts) * wide:
        ticks.pop()
    return "".join(ticks)


def _cell(line: _Line, start: int, end: int) -> str:
    start, end = max(start, line.claimed[0]), min(end, line.claimed[1])
    if start >= end:
        return NOTHING
    kept = sum(max(0, min(to, end) - max(at, start)) for at, to in line.won)
    return WON if kept == end - start else BOTH if kept else LOST


def _meets(spans: Sequence[Span], start: int, end: int) -> bool:
    return any(at < end and start < to for at, to in spans)


PAGE_WIDTH: Final = 960
LABEL_WIDTH: Final = 190
BAR_HEIGHT: Final = 16
LINE_HEIGHT: Final = 22
STYLE: Final = """
text { font: 12px ui-monospace, monospace; fill: #222 }
text.title { font-weight: bold }
.claimed { fill: url(#lost); stroke: #222 }
.won { fill: #2f6fab; stroke: #222 }
.hole { fill: none; stroke: #b3261e; stroke-width: 2; stroke-dasharray: 5 3 }
.tick { stroke: #999 }
"""
HATCHING: Final = (
    '<pattern id="lost" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect width="6" height="6" fill="#fff"/><line x1="0" y1="0" x2="0" y2="6" stroke="#c8741a" stroke-width="3"/>'
    "</pattern>"
)


def map_svg(rows: Sequence[Row], left_out: int = 0) -> str:
    """Return the drawings of some rows as one picture that needs nothing else."""
    body: list[str] = []
    y = 24
    body.append(f'<rect x="10" y="{y - 11}" width="24" height="12" class="won"/>')
    body.append(_text(40, y, "kept"))
    body.append(f'<rect x="110" y="{y - 11}" width="24" height="12" class="claimed"/>')
    body.append(_text(140, y, "lost to another fragment, or refused"))
    body.append(f'<rect x="430" y="{y - 11}" width="24" height="12" class="hole"/>')
    body.append(_text(460, y, "missing"))
    for row in rows:
        y += 2 * LINE_HEIGHT
        y = _datagram_svg(row, y, body)
    if left_out:
        y += 2 * LINE_HEIGHT
        body.append(_text(10, y, f"{left_out} more not drawn"))
    height = y + LINE_HEIGHT
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{PAGE_WIDTH}" height="{height}" '
            f'viewBox="0 0 {PAGE_WIDTH} {height}" role="img">',
            "<title>Fragments of each datagram, in the order of their arrival</title>",
            f"<style>{STYLE}</style><defs>{HATCHING}</defs>",
            f'<rect width="{PAGE_WIDTH}" height="{height}" fill="#fff"/>',
            *body,
            "</svg>\n",
        ]
    )


def _datagram_svg(row: Row, y: int, body: list[str]) -> int:
    """Draw one datagram from a height on; return the height it ends at."""
    drawing = _drawing(row)
    scale = (PAGE_WIDTH - LABEL_WIDTH - 20) / drawing.end

    def box(span: Span, kind: str) -> str:
        x, width = LABEL_WIDTH + span[0] * scale, max(1.0, (span[1] - span[0]) * scale)
        return f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{BAR_HEIGHT}" class="{kind}"/>'

    body.append(_text(10, y, _caption(row), "title"))
    y += 8
    for byte in _ticks(drawing.end):
        x = LABEL_WIDTH + byte * scale
        body.append(_text(round(x), y + 12, str(byte)))
        bottom = y + 18 + LINE_HEIGHT * (len(drawing.lines) + bool(drawing.holes))
        body.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y + 15}" y2="{bottom}" class="tick"/>')
    y += 18
    for line in drawing.lines:
        body.append(_text(10, y + 12, f"#{line.frame}  {line.label}"))
        if line.claimed[0] < line.claimed[1]:
            body.append(box(line.claimed, "claimed"))
        body += [box(span, "won") for span in line.won]
        y += LINE_HEIGHT
    if drawing.holes:
        body.append(_text(10, y + 12, "missing, end unknown" if drawing.is_open else "missing"))
        body += [box(span, "hole") for span in drawing.holes]
        y += LINE_HEIGHT
    return y


def _caption(row: Mapping[str, RowValue]) -> str:
    parts = [f"{row.get('src')} > {row.get('dst')}", f"id {row.get('id')}", f"proto {row.get('proto')}"]
    parts.append(str(row.get("status")))
    parts += [str(row[key]) for key in ("reason", "length") if row.get(key) is not None]
    return "  ".join(parts)


def _ticks(end: int) -> Iterator[int]:
    """Yield round byte numbers, eight or so."""
    sizes = [8 * factor * 10**power for power in range(5) for factor in (1, 2, 5)]
    step = next((size for size, larger in pairwise(sizes) if end / size <= 9 or larger == sizes[-1]), sizes[-1])
    return iter(range(0, end, step))


def _text(x: int, y: int, words: str, kind: str = "") -> str:
    attribute = f' class="{kind}"' if kind else ""
    return f'<text x="{x}" y="{y}"{attribute}>{escape(words)}</text>'
