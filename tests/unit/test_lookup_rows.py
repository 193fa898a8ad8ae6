"""Rows of lookups, and many lookups at once."""

from __future__ import annotations

from typing import Any

import pytest

from ipkit.core.lanes import Explain, RowWish
from ipkit.core.lookup import Question, ask
from ipkit.core.lookup_lane import Asker, LookupLane, Manner, Match, Wording
from ipkit.core.lookup_row import fibmatch_row, lookup_row
from ipkit.errors import HostError
from tests.support.batches import batch_of
from tests.support.packets import eth, ip, udp
from tests.support.routes import number, two_armed

ROUTES = [
    "10.7.0.0/16 via 10.1.0.9 metric 5 mtu lock 1300 src 10.1.0.1 rtt 12ms features ecn",
    "10.8.0.0/16 nexthop via 10.1.0.9 weight 2 nexthop via 10.0.0.9",
    "34.0.0.0/8 via inet6 fe80::1 dev t1",
    "blackhole 10.9.0.0/16",
    "default via 10.1.0.9 table default",
]
RULES = ["from all to 10.5.0.0/16 prohibit pref 50"]


def question(dst: str, src: str = "0.0.0.0", iif: str = "", oif: str = "") -> Question:
    return Question(number(dst), number(src), iif, oif)


@pytest.mark.parametrize(
    ("asked", "row"),
    [
        (
            question("10.7.0.1"),
            {"dst": "10.7.0.1", "type": "unicast", "table": "main", "gateway": "10.1.0.9", "dev": "t1",
             "prefsrc": "10.1.0.1", "metric": 5, "metrics": [{"mtu": 1300, "rtt": 12, "features": "ecn"}],
             "prefix": "10.7.0.0/16", "rule": 32766},
        ),
        (
            question("10.0.0.1", "10.0.0.5", "t0"),
            {"dst": "10.0.0.1", "from": "10.0.0.5", "iif": "t0", "type": "local", "table": "local", "dev": "lo",
             "cache": ["local"], "prefix": "10.0.0.1", "rule": 0},
        ),
        (
            question("224.0.0.1", oif="t0"),
            {"dst": "224.0.0.1", "type": "multicast", "dev": "t0", "prefsrc": "10.0.0.1",
             "flags": ["rt_offload_failed"], "cache": ["local", "mc"]},
        ),
        (question("34.0.0.1"), {"dst": "34.0.0.1", "type": "unicast", "table": "main", "gateway": "fe80::1",
                                "dev": "t1", "prefsrc": "10.1.0.1", "prefix": "34.0.0.0/8", "rule": 32766}),
        (question("10.9.0.1"), {"dst": "10.9.0.1", "type": "blackhole", "table": "main", "prefix": "10.9.0.0/16",
                                "rule": 32766, "error": "EINVAL"}),
        (question("10.5.0.1", "10.0.0.5", "t0"), {"dst": "10.5.0.1", "from": "10.0.0.5", "iif": "t0",
                                                  "type": "prohibit", "rule": 50, "error": "EACCES",
                                                  "reason": "NOT_SPECIFIED"}),
        (question("99.1.1.1"), {"dst": "99.1.1.1", "type": "unicast", "table": "default", "gateway": "10.1.0.9",
                                "dev": "t1", "prefsrc": "10.1.0.1", "prefix": "default", "rule": 32767}),
    ],
)  # fmt: skip
def test_a_row(asked: Question, row: dict[str, Any]) -> None:
    routing = two_armed(routes=ROUTES, rules=RULES)
    assert lookup_row(asked, ask(asked, routing)) == row
    assert list(lookup_row(asked, ask(asked, routing))) == list(row)


@pytest.mark.parametrize(("dst", "rule"), [("10.7.0.1", 32766), ("99.1.1.1", 32767)])
def test_without_rules_of_its_own_the_usual_rules_are_named(dst: str, rule: int) -> None:
    asked = question(dst)
    assert lookup_row(asked, ask(asked, two_armed(routes=ROUTES)))["rule"] == rule


@pytest.mark.parametrize(
    ("asked", "row"),
    [
        (
            question("10.7.0.1"),
            {"dst": "10.7.0.0/16", "type": "unicast", "table": "main", "gateway": "10.1.0.9", "dev": "t1",
             "prefsrc": "10.1.0.1", "metric": 5, "metrics": [{"mtu": 1300, "rtt": 12, "features": "ecn"}],
             "flags": ["linkdown"], "prefix": "10.7.0.0/16", "rule": 32766},
        ),
        (
            question("10.8.0.1"),
            {"dst": "10.8.0.0/16", "type": "unicast", "table": "main",
             "nexthops": [{"gateway": "10.1.0.9", "dev": "t1", "weight": 2, "flags": ["linkdown"]},
                          {"gateway": "10.0.0.9", "dev": "t0", "weight": 1, "flags": []}],
             "prefix": "10.8.0.0/16", "rule": 32766},
        ),
        (question("10.1.0.5"), {"dst": "10.1.0.0/24", "type": "unicast", "table": "main", "dev": "t1",
                                "prefsrc": "10.1.0.1", "flags": ["linkdown"], "prefix": "10.1.0.0/24",
                                "rule": 32766}),
        (question("0.0.0.0"), {"dst": "0.0.0.0", "type": "local", "error": "EHOSTUNREACH"}),
        (question("10.9.0.1"), {"dst": "10.9.0.1", "type": "blackhole", "table": "main", "prefix": "10.9.0.0/16",
                                "rule": 32766, "error": "EINVAL"}),
    ],
)  # fmt: skip
def test_a_row_of_the_table(asked: Question, row: dict[str, Any]) -> None:
    routing = two_armed(routes=ROUTES, rules=RULES, link={"t1": {"carrier": False}})
    assert fibmatch_row(asked, ask(asked, routing)) == row


def test_questions_are_counted_by_kind() -> None:
    asker = Asker(two_armed(routes=ROUTES), Manner())
    for dst in ("10.7.0.1", "10.8.0.1", "10.9.0.1", "10.0.0.1"):
        asker.row(question(dst))
    asker.refusal("nonsense")
    assert asker.errors == 2
    counted = {key: value for key, value in asker.summary().items() if value}
    assert counted == {"lookups": 5, "unicast": 2, "local": 1, "blackhole": 1, "none": 1, "kernel": "6.18"}


def test_a_kind_that_is_seldom_is_counted_too() -> None:
    asker = Asker(two_armed(routes=["anycast 10.9.0.0/16 dev t0"]), Manner(Match.FIB, Explain.YES))
    row = asker.row(question("10.9.0.1"))
    assert asker.summary()["anycast"] == 1
    assert [step["func"] for step in row["explain"]] == [  # type: ignore[attr-defined]
        "fib_table_lookup", "ip_route_output_key_hash_rcu",
    ]  # fmt: skip


def test_what_is_no_question_has_a_line_of_its_own() -> None:
    row = Asker(two_armed(), Manner(wording=Wording.LINES)).refusal("1.2.3")
    assert row["iproute2"] == 'Error: any valid prefix is expected rather than "1.2.3".\n'


def frame(src: str, dst: str, tos: int = 0) -> bytes:
    return eth(ip(udp(b"x"), src=src, dst=dst, tos=tos))


def lane(template: Question = Question(0), named: str = "", **parts: Any) -> LookupLane:  # noqa: B008
    return LookupLane(Asker(two_armed(**parts), Manner()), template, RowWish.ALL, named)


def test_a_packet_comes_in_by_the_interface_it_was_captured_on() -> None:
    rows = lane().process(batch_of([frame("10.1.0.5", "10.0.0.5")], interface="t1")).rows
    assert [(row.row["iif"], row.row["dev"], row.row["from"]) for row in rows] == [("t1", "t0", "10.1.0.5")]


def test_a_packet_comes_in_by_the_first_link_where_nothing_says_by_which() -> None:
    looking = lane()
    frames = [frame("10.0.0.5", "10.1.0.5")]
    assert [row.row["iif"] for row in looking.process(batch_of(frames)).rows] == ["t0"]
    assert "notes" not in looking.summary()
    assert [row.row["iif"] for row in looking.process(batch_of(frames, interface="lan0")).rows] == ["t0"]
    assert looking.summary()["notes"] == ["the host has no link lan0: its frames come in by t0"]


def test_an_interface_that_a_given_host_has_not_is_a_mistake() -> None:
    with pytest.raises(HostError, match=r"host\.toml: there is no link lan0"):
        lane(named="host.toml").process(batch_of([frame("10.0.0.5", "10.1.0.5")], interface="lan0"))


def test_the_devices_asked_for_come_before_those_of_the_capture() -> None:
    frames = batch_of([frame("10.0.0.1", "10.1.0.5")], interface="t1")
    by_iif = lane(Question(0, iif="t0")).process(frames).rows[0].row
    by_oif = lane(Question(0, oif="t1")).process(frames).rows[0].row
    assert (by_iif["iif"], by_iif["error"]) == ("t0", "EINVAL")
    assert ("iif" in by_oif, by_oif["dev"]) == (False, "t1")


def test_the_tos_is_the_packets_unless_another_is_asked_for() -> None:
    routes = ["10.7.0.0/16 via 10.1.0.9", "10.7.0.0/16 via 10.1.0.8 tos 0x10"]
    packets = batch_of([frame("10.0.0.5", "10.7.0.5", tos=0x10), frame("10.0.0.5", "10.7.0.5")])
    ways = [row.row["gateway"] for row in lane(routes=routes).process(packets).rows]
    forced = [row.row["gateway"] for row in lane(Question(0, tos=0x10), routes=routes).process(packets).rows]
    assert (ways, forced) == (["10.1.0.8", "10.1.0.9"], ["10.1.0.8", "10.1.0.8"])


@pytest.mark.parametrize(("wish", "shown"), [(RowWish.ALL, 2), (RowWish.LOOK, 1), (RowWish.NONE, 0)])
def test_only_rows_that_are_wanted_are_made(wish: RowWish, shown: int) -> None:
    looking = LookupLane(Asker(two_armed(), Manner()), Question(0), wish)
    packets = [frame("10.0.0.5", "10.1.0.5"), frame("10.0.0.5", "99.1.1.1"), eth(b"", ethertype=0x0806)]
    assert len(looking.process(batch_of(packets)).rows) == shown
    assert looking.has_finding()
    summary = looking.summary()
    assert [summary[key] for key in ("frames", "other", "lookups", "unicast", "none")] == [3, 1, 2, 1, 1]
