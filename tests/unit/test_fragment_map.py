"""Drawings of datagrams, in characters and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

import pytest

from ipkit.core.fragment_map import MOST_ROWS, map_lines, map_svg
from ipkit.core.host.kernel import LINUX_4_14, LINUX_6_18
from tests.support.reassembled import Capture, frag

SIX = [
    frag("A", 0, size=24),
    frag("B", 32, size=16),
    frag("C", 48, size=24),
    frag("D", 8, size=32),
    frag("E", 48, size=24),
    frag("F", 72, size=24, last=True),
]


def rows(frames: Sequence[bytes], **options: Any) -> list[dict[str, Any]]:
    return Capture(frames, draws=True, **options).rows


def test_the_six_fragments_of_the_literature() -> None:
    [row] = rows(SIX, kernel=LINUX_4_14)
    assert map_lines(row, 78) == [
        "               |0   |8   |16  |24  |32  |40  |48  |56  |64  |72  |80  |88",
        "#1  0+24       |===============                                             |",
        "#2  32+16      |                    xxxxx=====                              |",
        "#3  48+24      |                              xxxxxxxxxxxxxxx               |",
        "#4  8+32       |     xxxxxxxxxx==========                                   |",
        "#5  48+24      |                              ===============               |",
        "#6  72+24 last |                                             ===============|",
        "               8 bytes are 5 columns; = kept, x lost or refused, * both, ? missing",
    ]


def test_holes_and_an_open_end_are_marked() -> None:
    lost, rest = rows(SIX, kernel=LINUX_6_18)
    assert [line for line in map_lines(lost, 60) if line.startswith("missing")] == [
        "missing   |            ????                    ????>"
    ]
    assert map_lines(rest, 60)[-2].startswith("missing")
    assert "x" not in "".join(map_lines(rest, 60)[1:-1])


def test_a_column_of_many_bytes_says_where_both_happened() -> None:
    [row] = rows([frag("A", 0, size=1000), frag("B", 504, size=1000), frag("C", 1504, size=8, last=True)])
    lines = map_lines(row, 40)
    assert "*" in lines[2]
    assert lines[-1].strip().startswith("a column is 72 bytes")


@pytest.mark.parametrize("width", [1, 20, 40, 80, 132, 300])
def test_lines_fit_where_there_is_room_at_all(width: int) -> None:
    frames = [frag("A", 0, size=1480), frag("B", 1480, size=1480), frag("C", 64000, size=1480)]
    for row in rows([*SIX, *frames], kernel=LINUX_6_18):
        drawing = map_lines(row, width)
        assert max(map(len, drawing[:-1])) <= max(width, 31)


@pytest.mark.parametrize("frames", [[frag("A", 8, size=3)], [frag("A", 8, size=0, last=True)], [frag("A", 0, size=7)]])
def test_what_holds_nothing_can_be_drawn(frames: list[bytes]) -> None:
    for row in rows(frames):
        assert map_lines(row, 60)
        assert ElementTree.fromstring(map_svg([row])) is not None


def test_a_flood_is_drawn_only_so_far() -> None:
    [row] = rows([frag("A", 0)] * (MOST_ROWS + 100), seconds=[0] * (MOST_ROWS + 100))
    assert len(row["map"]) == MOST_ROWS
    assert row["fragments"] == MOST_ROWS + 100


def boxes(picture: str, kind: str) -> list[tuple[float, float]]:
    found = ElementTree.fromstring(picture).iter("{http://www.w3.org/2000/svg}rect")
    return [(float(box.get("x", 0)), float(box.get("width", 0))) for box in found if box.get("class") == kind][1:]


def test_the_picture_stands_on_its_own_and_has_every_part() -> None:
    [row] = rows(SIX, kernel=LINUX_4_14)
    picture = map_svg([row])
    assert "href" not in picture
    assert len(boxes(picture, "claimed")) == 6
    assert len(boxes(picture, "won")) == 5
    assert not boxes(picture, "hole")
    x, width = boxes(picture, "claimed")[1]
    assert (round((x - 190) / 7.8125), round(width / 7.8125)) == (32, 16)
    words = [text.text or "" for text in ElementTree.fromstring(picture).iter("{http://www.w3.org/2000/svg}text")]
    assert "192.0.2.1 > 198.51.100.2  id 0x0001  proto 253  complete  116" in words
    assert "#6  72+24 last" in words


def test_holes_are_in_the_picture_and_what_was_left_out_is_said() -> None:
    lost, _ = rows(SIX, kernel=LINUX_6_18)
    picture = map_svg([lost], 7)
    assert len(boxes(picture, "hole")) == 2
    assert "missing, end unknown" in picture
    assert "7 more not drawn" in picture


def test_words_are_escaped() -> None:
    [row] = rows(SIX)
    assert "<b>" not in map_svg([{**row, "reason": "<b>&"}])
