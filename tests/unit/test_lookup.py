"""Questions and answers in iproute2's words; every expected line was printed by iproute2 6.1 on a 6.18 kernel."""

from __future__ import annotations

from typing import Any

import pytest

from ipkit.core.host.build import build_host
from ipkit.core.host.kernel import LINUX_4_14, LINUX_6_18
from ipkit.core.lookup import Question, ask, fibmatch_lines, iproute2_lines
from ipkit.core.outcome.drop_reasons import DropReason
from ipkit.core.route import OutputFlow, ipv4_update_pmtu
from ipkit.core.state.routing import Routing, routing_of
from tests.support.routes import number, two_armed

ROUTES = [
    "10.8.0.0/16 via 10.1.0.9 mtu 1400 advmss 1300 hoplimit 33",
    "10.10.0.0/16 tos 0x10 via 10.1.0.9",
    "10.11.0.0/16 metric 5 nexthop via 10.1.0.9 weight 1 nexthop via 10.0.0.9 weight 3",
    "30.0.0.0/8 nhid 5",
    "33.0.0.0/8 via 10.9.9.9 dev t1 onlink proto static metric 7 src 10.1.0.1 mtu lock 1300 rtt 12ms window 5000"
    " initcwnd 3 advmss 1200 hoplimit 9 quickack 1 features ecn congctl reno rto_min 200ms",
    "34.0.0.0/8 via inet6 fe80::1 dev t1",
    "35.0.0.0/8 nexthop via 10.1.0.9 dev t1 onlink weight 4 nexthop via inet6 fe80::2 dev t0",
    "blackhole 10.9.0.0/16",
    "unreachable 10.12.0.0/16",
    "prohibit 10.13.0.0/16",
]
PARTS: dict[str, Any] = {"routes": ROUTES, "nexthops": ["id 5 via 10.1.0.9 dev t1"]}
ALL_METRICS = (
    "mtu lock 1300 window 5000 rtt 12ms advmss 1200 hoplimit 9 initcwnd 3 features ecn rto_min lock 200ms quickack 1"
    " congctl reno"
)


def question(text: str) -> Question:
    """Read a question as it is given to `ip route get`."""
    words = text.split()
    given: dict[str, Any] = dict(zip(words[1::2], words[2::2], strict=True))
    source = number(given["from"]) if "from" in given else 0
    return Question(
        number(words[0]), source, given.get("iif", ""), given.get("oif", ""), int(given.get("tos", "0"), 16),
        int(given.get("mark", "0")),
    )  # fmt: skip


def lines(routing: Routing, text: str) -> str:
    printed = iproute2_lines(question(text), ask(question(text), routing))
    return printed.out or printed.err


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("10.1.0.5", "10.1.0.5 dev t1 src 10.1.0.1 uid 0 \n    cache \n"),
        (
            "10.8.0.5",
            "10.8.0.5 via 10.1.0.9 dev t1 src 10.1.0.1 uid 0 \n    cache mtu 1400 advmss 1300 hoplimit 33 \n",
        ),
        ("10.9.0.1", "RTNETLINK answers: Invalid argument\n"),
        ("10.12.0.1", "RTNETLINK answers: No route to host\n"),
        ("10.13.0.1", "RTNETLINK answers: Permission denied\n"),
        ("99.1.1.1", "RTNETLINK answers: Network is unreachable\n"),
        ("10.0.0.1", "local 10.0.0.1 dev lo src 10.0.0.1 uid 0 \n    cache <local> \n"),
        ("10.0.0.255", "broadcast 10.0.0.255 dev t0 src 10.0.0.1 uid 0 \n    cache <local,brd> \n"),
        ("0.0.0.0", "local 0.0.0.0 dev lo src 127.0.0.1 uid 0 \n    cache <local> \n"),
        ("127.0.0.5", "local 127.0.0.5 dev lo src 127.0.0.1 uid 0 \n    cache <local> \n"),
        ("10.10.1.1 tos 0x10", "10.10.1.1 tos 0x10 via 10.1.0.9 dev t1 src 10.1.0.1 uid 0 \n    cache \n"),
        ("10.1.0.5 tos 0x28", "10.1.0.5 dev t1 src 10.1.0.1 uid 0 \n    cache \n"),
        ("10.1.0.5 from 10.0.0.5 iif t0", "10.1.0.5 from 10.0.0.5 dev t1 \n    cache iif t0 \n"),
        ("10.0.0.1 from 10.0.0.5 iif t0", "local 10.0.0.1 from 10.0.0.5 dev lo \n    cache <local> iif t0 \n"),
        (
            "10.0.0.255 from 10.0.0.5 iif t0",
            "broadcast 10.0.0.255 from 10.0.0.5 dev lo \n    cache <local,brd> iif t0 \n",
        ),
        (
            "224.0.0.1 from 10.0.0.5 iif t0",
            "multicast 224.0.0.1 from 10.0.0.5 dev lo rt_offload_failed \n    cache <local,mc> iif t0 \n",
        ),
        ("10.0.0.7 from 10.0.0.5 iif t0", "10.0.0.7 from 10.0.0.5 dev t0 \n    cache <redirect> iif t0 \n"),
        ("10.1.0.5 mark 7", "10.1.0.5 dev t1 src 10.1.0.1 mark 7 uid 0 \n    cache \n"),
        ("10.1.0.5 mark 15", "10.1.0.5 dev t1 src 10.1.0.1 mark 15 uid 0 \n    cache \n"),
        ("10.1.0.5 mark 16", "10.1.0.5 dev t1 src 10.1.0.1 mark 0x10 uid 0 \n    cache \n"),
        ("10.1.0.5 from 10.0.0.1", "10.1.0.5 from 10.0.0.1 dev t1 uid 0 \n    cache \n"),
        ("99.9.9.9 oif t0", "99.9.9.9 dev t0 src 10.0.0.1 uid 0 \n    cache \n"),
        (
            "224.0.0.1 oif t0",
            "multicast 224.0.0.1 dev t0 src 10.0.0.1 rt_offload_failed uid 0 \n    cache <local,mc> \n",
        ),
        ("255.255.255.255 oif t0", "broadcast 255.255.255.255 dev t0 src 10.0.0.1 uid 0 \n    cache <local,brd> \n"),
        ("10.1.0.5 iif t0", "RTNETLINK answers: Invalid argument\n"),
        ("34.1.1.1", "34.1.1.1 via inet6 fe80::1 dev t1 src 10.1.0.1 uid 0 \n    cache \n"),
        ("33.1.1.1", f"33.1.1.1 via 10.9.9.9 dev t1 src 10.1.0.1 uid 0 \n    cache {ALL_METRICS} \n"),
    ],
)
def test_the_lines_of_ip_route_get(asked: str, expected: str) -> None:
    assert lines(two_armed(**PARTS), asked) == expected


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("10.1.0.5", "10.1.0.0/24 dev t1 proto kernel scope link src 10.1.0.1 \n"),
        ("10.8.0.5", "10.8.0.0/16 via 10.1.0.9 dev t1 mtu 1400 advmss 1300 hoplimit 33 \n"),
        ("10.0.0.1", "local 10.0.0.1 dev t0 proto kernel scope host src 10.0.0.1 \n"),
        ("127.0.0.5", "local 127.0.0.0/8 dev lo proto kernel scope host src 127.0.0.1 \n"),
        ("10.10.1.1 tos 0x10", "10.10.0.0/16 tos 0x10 via 10.1.0.9 dev t1 \n"),
        (
            "10.11.1.1",
            "10.11.0.0/16 metric 5 \n\tnexthop via 10.1.0.9 dev t1 weight 1 \n"
            "\tnexthop via 10.0.0.9 dev t0 weight 3 \n",
        ),
        ("30.1.1.1", "30.0.0.0/8 nhid 5 via 10.1.0.9 dev t1 \n"),
        (
            "33.1.1.1",
            f"33.0.0.0/8 via 10.9.9.9 dev t1 proto static src 10.1.0.1 metric 7 onlink {ALL_METRICS} \n",
        ),
        ("34.1.1.1", "34.0.0.0/8 via inet6 fe80::1 dev t1 \n"),
        (
            "35.1.1.1",
            "35.0.0.0/8 \n\tnexthop via 10.1.0.9 dev t1 weight 4 onlink \n"
            "\tnexthop via inet6 fe80::2 dev t0 weight 1 \n",
        ),
        ("10.1.0.5 from 10.0.0.5 iif t0", "10.1.0.0/24 dev t1 proto kernel scope link src 10.1.0.1 \n"),
        ("0.0.0.0", "RTNETLINK answers: No route to host\n"),
        ("224.0.0.1 from 10.0.0.5 iif t0", "RTNETLINK answers: No route to host\n"),
        ("99.9.9.9 oif t0", "RTNETLINK answers: No route to host\n"),
        ("10.9.0.1", "RTNETLINK answers: Invalid argument\n"),
    ],
)
def test_the_lines_of_fibmatch(asked: str, expected: str) -> None:
    printed = fibmatch_lines(ask(question(asked), two_armed(**PARTS)))
    assert (printed.out or printed.err) == expected


def test_links_without_carrier_are_marked() -> None:
    down = {"t0": {"carrier": False}, "t1": {"carrier": False}}
    routing = two_armed(routes=ROUTES[2:3], link=down)
    assert fibmatch_lines(ask(question("10.1.0.5"), routing)).out == (
        "10.1.0.0/24 dev t1 proto kernel scope link src 10.1.0.1 linkdown \n"
    )
    assert fibmatch_lines(ask(question("10.11.0.5"), routing)).out == (
        "10.11.0.0/16 metric 5 linkdown \n\tnexthop via 10.1.0.9 dev t1 weight 1 linkdown \n"
        "\tnexthop via 10.0.0.9 dev t0 weight 3 linkdown \n"
    )


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("36.1.1.1", "36.1.1.1 dev t1 table 100 src 10.1.0.1 uid 0 \n    cache \n"),
        ("10.0.0.1", "local 10.0.0.1 dev lo table local src 10.0.0.1 uid 0 \n    cache <local> \n"),
        ("10.1.0.5", "10.1.0.5 dev t1 src 10.1.0.1 uid 0 \n    cache \n"),
        (
            "10.0.0.1 from 10.0.0.5 iif t0",
            "local 10.0.0.1 from 10.0.0.5 dev lo table local \n    cache <local> iif t0 \n",
        ),
    ],
)
def test_tables_are_named_once_there_are_rules(asked: str, expected: str) -> None:
    parts: dict[str, Any] = {"routes": ["36.0.0.0/8 dev t1 table 100"], "rules": ["to 36.0.0.0/8 lookup 100"]}
    assert lines(two_armed(**parts), asked) == expected


@pytest.mark.parametrize(("told", "expected"), [(800, "mtu 800"), (500, "mtu lock 552")])
def test_a_learnt_mtu_is_shown_with_its_end(told: int, expected: str) -> None:
    routing = two_armed(**PARTS)
    ipv4_update_pmtu(routing, OutputFlow(number("10.8.0.5")), told)
    ask_now = question("10.8.0.5")._replace(now_ns=900_000_000)
    printed = iproute2_lines(ask_now, ask(ask_now, routing)).out
    assert printed.splitlines()[1] == f"    cache expires 599sec {expected} advmss 1300 hoplimit 33 "


@pytest.mark.parametrize(
    ("asked", "kind", "reason"),
    [
        ("10.9.0.1 from 10.0.0.5 iif t0", "blackhole", DropReason.NOT_SPECIFIED),
        ("10.12.0.1 from 10.0.0.5 iif t0", "unreachable", DropReason.NOT_SPECIFIED),
        ("10.13.0.1 from 10.0.0.5 iif t0", "prohibit", DropReason.NOT_SPECIFIED),
        ("99.1.1.1 from 10.0.0.5 iif t0", "none", DropReason.IP_INNOROUTES),
        ("10.1.0.5 from 10.0.0.1 iif t0", "martian", DropReason.IP_LOCAL_SOURCE),
        ("10.1.0.5 from 224.0.0.1 iif t0", "martian", DropReason.IP_INVALID_SOURCE),
        ("239.1.1.1 from 10.0.0.5 iif t0", "multicast", DropReason.NOT_SPECIFIED),
        ("10.9.0.1", "blackhole", None),
        ("99.1.1.1", "none", None),
        ("10.1.0.5 from 9.9.9.9", "none", None),
    ],
)
def test_what_kind_of_refusal_it_is(asked: str, kind: str, reason: DropReason | None) -> None:
    answer = ask(question(asked), two_armed(**PARTS))
    assert (answer.type, answer.reason, answer.route) == (kind, reason, None)


@pytest.mark.parametrize(
    ("rule", "kind"), [("prohibit", "prohibit"), ("unreachable", "unreachable"), ("blackhole", "blackhole")]
)
def test_a_rule_can_refuse(rule: str, kind: str) -> None:
    answer = ask(question("99.1.1.1"), two_armed(rules=[f"to 99.0.0.0/8 {rule} pref 100"]))
    assert answer.type == kind
    assert answer.found is not None
    assert answer.found.rule is not None
    assert answer.found.rule.pref == 100


def test_without_forwarding_the_reason_is_the_address() -> None:
    answer = ask(question("10.1.0.5 from 10.0.0.5 iif t0"), two_armed(sysctl={"ip_forward": 0}))
    assert (answer.errno, answer.type, answer.reason) == (113, "unreachable", DropReason.IP_INADDRERRORS)


def test_what_a_failed_reverse_path_check_is_called() -> None:
    for kernel, complaint in ((LINUX_4_14, "Invalid cross-device link"), (LINUX_6_18, "Invalid argument")):
        routing = two_armed(kernel, sysctl={"conf.t0.rp_filter": 1})
        assert lines(routing, "10.0.0.1 from 10.1.0.5 iif t0") == f"RTNETLINK answers: {complaint}\n"
        assert ask(question("10.0.0.1 from 10.1.0.5 iif t0"), routing).reason is DropReason.IP_RPFILTER


MINDED = {"conf.all.ignore_routes_with_linkdown": 1}


def test_a_way_without_carrier_is_dead_where_that_is_minded() -> None:
    routing = two_armed(
        routes=["default nexthop via 10.0.0.9 weight 2 nexthop via 10.1.0.9 weight 2"],
        link={"t0": {"carrier": False}},
        sysctl=MINDED,
    )
    assert fibmatch_lines(ask(question("9.9.9.9"), routing)).out == (
        "default \n\tnexthop via 10.0.0.9 dev t0 weight 2 dead linkdown \n\tnexthop via 10.1.0.9 dev t1 weight 2 \n"
    )


@pytest.mark.parametrize(
    ("way", "addresses", "expected"),
    [
        ("via 10.1.0.9 dev t1", ["10.1.0.1/24 scope site"], "via 10.1.0.9 dev t1 src 10.1.0.1"),
        ("via 10.1.0.9 dev t1", ["10.1.0.1/24 scope link"], "via 10.1.0.9 dev t1 src 10.0.0.1"),
        ("dev t1", ["10.1.0.1/24 scope link"], "dev t1 src 10.1.0.1"),
        ("dev t1", [], "dev t1 src 10.255.0.1"),
    ],
)
def test_a_nexthop_object_chose_its_source_by_its_own_scope(way: str, addresses: list[str], expected: str) -> None:
    parts: dict[str, Any] = {"routes": ["30.0.0.0/8 nhid 5"], "nexthops": [f"id 5 {way}"]}
    own = {"t1": {"addr": addresses}, **({} if addresses else {"lo": {"addr": ["10.255.0.1/32"]}})}
    assert lines(two_armed(link=own, **parts), "30.1.1.1") == f"30.1.1.1 {expected} uid 0 \n    cache \n"


GROUP = {
    "routes": ["10.1.2.202/31 metric 50 nhid 4"],
    "nexthops": [
        "id 1 via 10.1.2.254 dev eth3",
        "id 2 via 10.1.2.192 dev eth3",
        "id 3 via 10.1.2.191 dev eth1",
        "id 4 group 3,3/2,3/1,1",
    ],
    "sysctl": {"net.ipv4.fib_multipath_hash_seed": 3684193676},
    "link": {"eth1": {"addr": ["10.1.2.191/32"]}, "eth3": {"addr": ["10.1.2.130/25"]}},
}


def test_a_group_of_nexthop_objects_does_not_look_at_the_source() -> None:
    routing = routing_of(build_host(GROUP, file="test", kernel=LINUX_6_18))
    printed = lines(routing, "10.1.2.202 from 10.1.2.191")
    assert printed == "10.1.2.202 from 10.1.2.191 via 10.1.2.192 dev eth3 uid 0 \n    cache \n"


def test_policy_three_hashes_the_packet_that_ip_route_get_asks_with() -> None:
    routing = two_armed(
        routes=["10.1.2.128/26 nexthop via 203.0.113.126 weight 3 nexthop via 203.0.113.1 weight 3"],
        link={"t0": {"addr": ["203.0.113.1/25"]}},
        sysctl={"fib_multipath_hash_seed": 854427093, "fib_multipath_hash_policy": 3},
    )
    printed = lines(routing, "10.1.2.191")
    assert printed == "10.1.2.191 via 203.0.113.126 dev t0 src 203.0.113.1 uid 0 \n    cache \n"
