"""The classic cases of the manual page, made by the shaper and taken by the reassembly of both kernels."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import pytest

from ipkit.core.fragment_lane import FragmentLane, FragmentOptions
from ipkit.core.fragment_shaper import Choice, Order, Overlap, Shape, parse_choice, parse_overlap
from ipkit.core.host.kernel import LINUX_4_14, LINUX_6_18, KernelProfile
from ipkit.core.lanes import RowWish
from tests.support.batches import batch_of
from tests.support.cut import shapes
from tests.support.fragments import Bench
from tests.support.packets import eth, ip, udp

SEGMENT = udp(bytes(range(192)))
WHOLE = "put together"
NOISE = "put together with noise"
WAITS = "waits"
LOST = "all lost"


class Case(NamedTuple):
    name: str
    shape: Shape
    expected: str
    documented: str  # what becomes of it under 4.14
    modern: str  # and under 6.18

    def __str__(self) -> str:
        return self.name


def made(*, overlap: str = "", drop: str = "", duplicate: str = "", order: Order = Order.FORWARD) -> Shape:
    drops: Choice | None = parse_choice(drop) if drop else None
    doubles: Choice | None = parse_choice(duplicate) if duplicate else None
    overlaps: Overlap | None = parse_overlap(overlap) if overlap else None
    return Shape(order, doubles, drops, overlaps)


REVERSED = "8@192 48@144+ 48@96+ 48@48+ 48@0+"
PAIRS = "48@0+ 48@96+ 96@48+ 48@144+ 8@192"
CASES = [
    Case("last first", made(order=Order.REVERSE), REVERSED, WHOLE, WHOLE),
    Case("missing middle", made(drop="middle"), "48@0+ 48@48+ 48@144+ 8@192", WAITS, WAITS),
    Case("tiny first fragment", made(overlap="8@0+,@8"), "8@0+ 192@8", WHOLE, WHOLE),
    Case("overlapping header, old", made(overlap="24@0+,@8"), "24@0+ 192@8", WHOLE, LOST),
    Case("overlapping header, new", made(overlap="new:24@0+,@8"), "24@0+ 192@8", NOISE, LOST),
    Case("teardrop", made(overlap="36@0+,4@24"), "36@0+ 4@24", WAITS, LOST),
    Case("bonk", made(overlap="new:28@0+,@24"), "28@0+ 176@24", WHOLE, WHOLE),
    Case("pairs, old", made(overlap="old"), PAIRS, NOISE, LOST),
    Case("pairs, new", made(overlap="new"), PAIRS, WHOLE, LOST),
    Case("two first ones, old", made(overlap="24@0+,24@0+,@24"), "24@0+ 24@0+ 176@24", NOISE, WHOLE),
    Case("two first ones, new", made(overlap="new:24@0+,24@0+,@24"), "24@0+ 24@0+ 176@24", WHOLE, NOISE),
    Case("past the largest datagram", made(overlap="@0+,1400@65528"), "200@0+ 1400@65528", WAITS, WAITS),
    Case("an empty one", made(overlap="48@0+,0@48+,@48"), "48@0+ 0@48+ 152@48", WHOLE, LOST),
    Case("the first one twice", made(duplicate="first"), "48@0+ 48@0+ 48@48+ 48@96+ 48@144+ 8@192", WHOLE, WHOLE),
]


def fragments(shape: Shape) -> list[bytes]:
    lane = FragmentLane(replace(FragmentOptions(68, LINUX_4_14), shape=shape), RowWish.NONE)
    result = lane.process(batch_of([eth(ip(SEGMENT))]))
    return [frame.data[14:] for frame in result.changes[0]]


def outcome(shape: Shape, kernel: KernelProfile) -> str:
    bench = Bench(kernel)
    for fragment in fragments(shape):
        bench.hand_in(fragment)
    if bench.delivered:
        return WHOLE if bench.payloads == [SEGMENT] else NOISE
    return LOST if bench.lost else WAITS


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_shape(case: Case) -> None:
    assert shapes(fragments(case.shape)) == case.expected


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_becomes_of_it(case: Case) -> None:
    assert outcome(case.shape, LINUX_4_14) == case.documented
    assert outcome(case.shape, LINUX_6_18) == case.modern
