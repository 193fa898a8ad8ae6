"""Laws of lookups: any line and any packet is answered; the short ways say what the long way says."""

from __future__ import annotations

import io
from array import array
from collections.abc import Sequence
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipkit.commands._lookup_lines import LineLookups
from ipkit.commands._options import ReportOptions
from ipkit.commands._render import Report
from ipkit.commands.route_lookup import COLUMNS, LINES
from ipkit.core.host.fib import TABLE_LOCAL, TABLE_MAIN, BulkRoutes, RouteType
from ipkit.core.host.fib_lookup import fib_lookup
from ipkit.core.host.fib_rules import FibKey
from ipkit.core.host.kernel import LINUX_4_14, LINUX_6_18, KernelProfile
from ipkit.core.lanes import Explain, RowWish
from ipkit.core.lookup import Question
from ipkit.core.lookup_lane import Asker, LookupLane, Manner, Match, Wording
from ipkit.core.lookup_plain import address_lookup
from ipkit.core.state.routing import Routing, routing_of
from tests.support.batches import batch_of
from tests.support.routes import address, hop, host, link, route, two_armed

KERNELS = st.sampled_from([LINUX_4_14, LINUX_6_18])
FORMATS = ("jsonl", "json", "csv", "tsv", "iproute2", "table")
ROUTES = [
    "default via 10.1.0.9",
    "10.7.0.0/16 via 10.0.0.9 mtu 1300",
    "10.7.1.0/24 via 10.0.0.8 tos 0x10",
    "10.8.0.0/16 nexthop via 10.0.0.9 nexthop via 10.1.0.9",
    "blackhole 10.9.0.0/16",
    "unreachable 10.9.1.0/24",
    "throw 10.10.0.0/16",
    "local 10.66.0.0/16 dev lo",
]
ADDRESSES = st.one_of(
    st.integers(0, 0xFFFFFFFF),
    st.integers(0, 0xFFFF).map(lambda low: 0x0A000000 | low >> 8 << 16 | low & 0xFF),
    st.sampled_from([0, 1, 0x7F000001, 0xE0000001, 0xEFFFFFFF, 0xF0000000, 0xFFFFFFFF, 0x0A0000FF, 0x0A000001]),
).map(lambda value: ".".join(map(str, value.to_bytes(4, "big"))))
LINES_GIVEN = st.lists(
    st.one_of(
        ADDRESSES,
        st.tuples(ADDRESSES, ADDRESSES).map(" ".join),
        st.tuples(ADDRESSES, ADDRESSES, st.sampled_from(["t0", "t1", "lo", "t9"])).map(" ".join),
        st.text(st.characters(blacklist_characters="\n", blacklist_categories=["Cs"]), min_size=1, max_size=12),
    ).map(str.encode).filter(lambda line: not line.isspace()),
    max_size=25,
)  # fmt: skip


@cache
def bulky(kernel: KernelProfile) -> Routing:
    """A host with columns of routes, and everything in them that cannot be answered by the column alone."""
    ways = (
        route("0.0.0.0/0", hop("t0", "10.0.0.9")),
        route("0.0.0.0/0", hop("t0", "10.0.0.9"), hop("t1", "10.1.0.9")),
        route("0.0.0.0/0", type=RouteType.BLACKHOLE),
        route("0.0.0.0/0", type=RouteType.THROW),
    )
    places = [(0x0A000000 + (n << 16), 16) for n in range(64)] + [(0x0A000000 + (n << 16), 24) for n in range(0, 64, 3)]
    places.sort()
    columns = BulkRoutes(
        array("I", [prefix for prefix, _ in places]),
        array("B", [length for _, length in places]),
        array("I", [n % len(ways) for n in range(len(places))]),
        ways,
    )
    few = [
        route("10.0.0.1/32", hop("t0"), table=TABLE_LOCAL, type=RouteType.LOCAL, prefsrc=0x0A000001),
        route("10.5.0.0/16", hop("t0"), table=TABLE_LOCAL, type=RouteType.LOCAL),
        route("0.0.0.0/0", hop("t1", "10.1.0.9")),
        route("10.20.0.0/20", hop("t1", "10.1.0.8"), tos=0x10),
    ]
    links = [link("t0", 2, address("10.0.0.1/24")), link("t1", 3, address("10.1.0.1/24"))]
    return routing_of(host(few, links=links, kernel=kernel, bulk={TABLE_MAIN: columns}))


class Page(io.BytesIO):
    """What a report is written on."""

    def commit(self) -> None:
        self.flush()


def told(routing: Routing, blocks: Sequence[Sequence[bytes]], form: str, question: Question) -> tuple[bytes, object]:
    """Answer lines as the command does; return what is printed, and the summary."""
    wording = Wording.LINES if form == "iproute2" else Wording.ROW
    out = Page()
    columns = (LINES,) if wording is Wording.LINES else COLUMNS
    report = Report(ReportOptions(form, None, False, 3, 0, False), columns, out)
    asker = Asker(routing, Manner(wording=wording))
    lookups = LineLookups(asker, question, report)
    for block in blocks:
        lookups.answer(block)
    summary = lookups.summary()
    report.close(summary)
    return out.getvalue(), summary


@pytest.mark.parametrize("form", FORMATS)
@given(LINES_GIVEN, KERNELS)
@settings(max_examples=25, deadline=None)
def test_answers_in_one_piece_are_those_line_by_line(form: str, lines: list[bytes], kernel: KernelProfile) -> None:
    """A blank at the end makes a line one that is read and answered in full."""
    for routing in (two_armed(kernel, routes=ROUTES), bulky(kernel)):
        usual = Question(0)
        short = told(routing, [lines], form, usual)
        assert short == told(routing, [[line] for line in lines], form, usual)
        assert short == told(routing, [[line + b" " for line in lines]], form, usual)


@given(st.lists(st.integers(0, 0xFFFFFFFF), max_size=20), st.integers(0, 0x3FFFFF), KERNELS)
@settings(max_examples=100, deadline=None)
def test_an_address_alone_finds_the_route_that_a_key_finds(
    addresses: list[int], near: int, kernel: KernelProfile
) -> None:
    for routing in (bulky(kernel), two_armed(kernel, routes=ROUTES)):
        lookup = address_lookup(routing)
        for asked in [*addresses, 0x0A000000 + near, *(0x0A000000 + (n << 16) + (near & 0x1FF) for n in range(64))]:
            found = fib_lookup(routing.tables, FibKey(asked, iif="lo"))
            assert lookup(asked) == (None if found.errno else found.entry)


@given(st.lists(st.binary(max_size=80).map(lambda data: bytes(12) + b"\x08\0" + data), max_size=10), KERNELS)
@settings(max_examples=100, deadline=None)
def test_any_packet_is_answered(frames: list[bytes], kernel: KernelProfile) -> None:
    routing = two_armed(kernel, routes=ROUTES, rules=["ipproto udp dport 53 prohibit"] if kernel is LINUX_6_18 else [])
    for manner in (Manner(), Manner(Match.FIB, Explain.YES, Wording.LINES)):
        lane = LookupLane(Asker(routing, manner), Question(0), RowWish.ALL)
        result = lane.process(batch_of(frames))
        summary = lane.summary()
        whole = [frame for frame in frames if len(frame) >= 34]
        assert len(result.rows) == summary["lookups"] == len(whole)
        assert summary["frames"] == len(frames)
        assert lane.has_finding() == any("error" in row.row for row in result.rows)
        assert lane.finish().rows == ()
