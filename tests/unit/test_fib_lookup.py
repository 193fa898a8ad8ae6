"""fib_lookup: rules, tables, prefixes, TOS, metric, scope, next hops; the expectations are literals."""

from __future__ import annotations

from errno import EACCES, EHOSTUNREACH, EINVAL, ENETUNREACH
from typing import Any

import pytest

from ipkit.core.host.config import LinkKind
from ipkit.core.host.fib import (
    TABLE_DEFAULT,
    TABLE_LOCAL,
    TABLE_MAIN,
    FibEntry,
    FibResult,
    NextHopFlag,
    RouteType,
    Rule,
    RuleAction,
)
from ipkit.core.host.fib_explain import Trace
from ipkit.core.host.fib_lookup import fib_lookup, fib_table_lookup, inet_addr_type, ip_dev_find
from ipkit.core.host.fib_rules import FibKey
from ipkit.core.host.fib_tables import FibTables
from ipkit.core.host.kernel import LINUX_4_14, LINUX_6_18, KernelProfile
from ipkit.core.host.words import prefix_text
from tests.support.routes import address, hop, host, link, number, route

BOTH = pytest.mark.parametrize("kernel", [LINUX_4_14, LINUX_6_18], ids=lambda kernel: kernel.name)

A = hop("eth0", "10.0.0.9")
B = hop("eth1", "10.1.0.9")
UNREACHABLE = RouteType.UNREACHABLE
LOOKED = RuleAction.LOOKUP


def asked(
    entries: list[FibEntry], daddr: str, *rules: Rule, kernel: KernelProfile = LINUX_6_18, **key: Any
) -> FibResult:
    links = [link("eth0", 2, address("10.0.0.1/24")), link("eth1", 3, address("10.1.0.1/24"), group=7)]
    tables = FibTables(host(entries, *rules, links=links, kernel=kernel))
    if "saddr" in key:
        key["saddr"] = number(key["saddr"])
    return fib_lookup(tables, FibKey(number(daddr), **key))


def way(result: FibResult) -> str:
    if result.errno:
        return {101: "ENETUNREACH", 113: "EHOSTUNREACH", 13: "EACCES", 22: "EINVAL"}[result.errno]
    assert result.nexthop is not None
    return f"{prefix_text(result.prefix, result.length)} {result.nexthop.dev}"


@BOTH
@pytest.mark.parametrize(
    ("daddr", "expected"),
    [
        ("10.2.3.4", "10.2.3.0/24 eth1"),
        ("10.2.9.9", "10.2.0.0/16 eth0"),
        ("10.2.3.255", "10.2.3.255 eth0"),
        ("11.0.0.0", "default eth1"),
    ],
)
def test_the_longest_prefix_wins(daddr: str, expected: str, kernel: KernelProfile) -> None:
    entries = [route("0.0.0.0/0", B), route("10.2.0.0/16", A), route("10.2.3.0/24", B), route("10.2.3.255/32", A)]
    assert way(asked(entries, daddr, kernel=kernel)) == expected


@BOTH
@pytest.mark.parametrize(
    ("kind", "errno"),
    [
        (RouteType.UNREACHABLE, EHOSTUNREACH),
        (RouteType.PROHIBIT, EACCES),
        (RouteType.BLACKHOLE, EINVAL),
        (RouteType.NAT, EINVAL),
        (RouteType.THROW, ENETUNREACH),
    ],
)
def test_what_a_route_of_a_refusing_kind_answers(kind: RouteType, errno: int, kernel: KernelProfile) -> None:
    result = asked([route("10.2.0.0/16", type=kind), route("0.0.0.0/0", A)], "10.2.0.1", kernel=kernel)
    assert (result.errno, result.entry and result.entry.type) == (errno, kind)


@pytest.mark.parametrize(
    ("action", "errno"),
    [(RuleAction.UNREACHABLE, ENETUNREACH), (RuleAction.PROHIBIT, EACCES), (RuleAction.BLACKHOLE, EINVAL)],
)
def test_what_a_refusing_rule_answers(action: RuleAction, errno: int) -> None:
    result = asked([route("0.0.0.0/0", A)], "10.2.0.1", Rule(100, action))
    assert (result.errno, result.entry, result.rule and result.rule.pref) == (errno, None, 100)


def test_nothing_covers_the_address() -> None:
    assert asked([route("10.2.0.0/16", A)], "10.3.0.1") == FibResult(ENETUNREACH)


@pytest.mark.parametrize(
    ("tos", "expected"),
    [(0x10, "eth1"), (0x30, "eth1"), (0xB0, "eth1"), (0x13, "eth1"), (0, "eth0"), (0x08, "eth0"), (0x14, "eth0")],
)
def test_a_route_with_a_tos_is_for_its_three_bits_alone(tos: int, expected: str) -> None:
    entries = [route("10.2.0.0/16", B, tos=0x10), route("10.2.0.0/16", A)]
    result = asked(entries, "10.2.0.1", tos=tos)
    assert result.nexthop is not None
    assert result.nexthop.dev == expected


def test_a_longer_prefix_beats_a_fitting_tos() -> None:
    entries = [route("10.2.0.0/16", B, tos=0x10), route("10.2.3.0/24", A, priority=900)]
    assert way(asked(entries, "10.2.3.4", tos=0x10)) == "10.2.3.0/24 eth0"


def test_what_comes_first_of_equals_is_taken_and_the_rest_are_there_when_it_fails() -> None:
    dead = hop("eth0", "10.0.0.9", flags=NextHopFlag.DEAD)
    entries = [route("10.2.0.0/16", dead, priority=1), route("10.2.0.0/16", B, priority=2)]
    assert way(asked(entries, "10.2.0.1")) == "10.2.0.0/16 eth1"
    assert way(asked([*entries[:1], route("0.0.0.0/0", B)], "10.2.0.1")) == "default eth1"


def test_a_scope_narrower_than_asked_for_is_no_obstacle_a_wider_one_is() -> None:
    entries = [route("10.2.0.0/16", A), route("10.0.0.0/8", hop("eth0"))]
    assert way(asked(entries, "10.2.0.1", scope=0)) == "10.2.0.0/16 eth0"
    assert way(asked(entries, "10.2.0.1", scope=253)) == "10.0.0.0/8 eth0"


@pytest.mark.parametrize(("oif", "expected"), [("eth0", "10.2.0.0/16 eth0"), ("eth1", "default eth1")])
def test_a_device_asked_for_sends_the_walk_to_shorter_prefixes(oif: str, expected: str) -> None:
    assert way(asked([route("10.2.0.0/16", A), route("0.0.0.0/0", B)], "10.2.0.1", oif=oif)) == expected


def test_of_several_next_hops_the_one_by_the_device_asked_for() -> None:
    assert way(asked([route("10.2.0.0/16", A, B)], "10.2.0.1", oif="eth1")) == "10.2.0.0/16 eth1"


@pytest.mark.parametrize(("conf", "expected"), [(0, "10.2.0.0/16 eth0"), (1, "default eth1")])
def test_a_link_without_carrier_counts_only_where_it_is_minded(conf: int, expected: str) -> None:
    down = hop("eth0", "10.0.0.9", flags=NextHopFlag.LINKDOWN)
    links = [link("eth0", 2, conf={"ignore_routes_with_linkdown": conf}), link("eth1", 3)]
    tables = FibTables(host([route("10.2.0.0/16", down), route("0.0.0.0/0", B)], links=links))
    key = FibKey(number("10.2.0.1"))
    assert way(fib_lookup(tables, key)) == expected
    assert way(fib_lookup(tables, key._replace(ignore_linkstate=True))) == "10.2.0.0/16 eth0"


def test_a_nexthop_object_that_cannot_be_used_takes_its_whole_leaf_with_it() -> None:
    entries = [route("10.0.0.0/16", A, nhid=5), route("10.0.0.0/8", B), route("0.0.0.0/0", B)]
    assert way(asked(entries, "10.0.0.1", oif="eth1")) == "default eth1"
    plain = [route("10.0.0.0/16", A), *entries[1:]]
    assert way(asked(plain, "10.0.0.1", oif="eth1")) == "10.0.0.0/8 eth1"


LOCAL = route("10.60.0.0/16", hop("lo"), table=TABLE_LOCAL, type=RouteType.LOCAL)


def test_local_and_main_are_one_trie_until_a_rule_comes() -> None:
    entries = [LOCAL, route("10.60.1.0/24", A), route("10.60.0.0/16", B)]
    longer, equal = asked(entries, "10.60.1.5"), asked(entries, "10.60.2.5")
    assert (way(longer), longer.table) == ("10.60.1.0/24 eth0", TABLE_MAIN)
    assert (way(equal), equal.table) == ("10.60.0.0/16 lo", TABLE_MAIN)
    split = asked(entries, "10.60.1.5", Rule(100, table=100))
    assert (way(split), split.table) == ("10.60.0.0/16 lo", TABLE_LOCAL)


@pytest.mark.parametrize(("kernel", "expected"), [(LINUX_4_14, "default eth1"), (LINUX_6_18, "EHOSTUNREACH")])
def test_when_table_default_is_asked_after_main(kernel: KernelProfile, expected: str) -> None:
    entries = [route("10.2.0.0/16", type=UNREACHABLE), route("0.0.0.0/0", B, table=TABLE_DEFAULT)]
    assert way(asked(entries, "10.2.0.1", kernel=kernel)) == expected
    assert way(asked(entries, "10.3.0.1", kernel=kernel)) == "default eth1"
    assert way(asked(entries[:1], "10.2.0.1", kernel=kernel)) == "EHOSTUNREACH"


def test_an_answer_from_table_default_wipes_out_the_error_from_main_in_the_older_kernel() -> None:
    entries = [route("10.2.0.0/16", type=UNREACHABLE), route("10.3.0.0/16", B, table=TABLE_DEFAULT)]
    assert way(asked(entries, "10.2.0.1", kernel=LINUX_4_14)) == "ENETUNREACH"


TABLES = [
    route("0.0.0.0/0", A),
    route("0.0.0.0/0", B, table=100),
    route("10.2.0.0/16", table=100, type=RouteType.THROW),
    route("10.4.0.0/16", table=100, type=UNREACHABLE),
]


@pytest.mark.parametrize(
    ("rule", "key", "selected"),
    [
        (Rule(100, table=100), {}, True),
        (Rule(100, table=100, src=number("9.9.0.0"), src_len=16), {"saddr": "9.9.1.1"}, True),
        (Rule(100, table=100, src=number("9.9.0.0"), src_len=16), {"saddr": "9.8.1.1"}, False),
        (Rule(100, table=100, src=number("9.9.0.0"), src_len=16), {}, False),
        (Rule(100, table=100, dst=number("10.3.0.0"), dst_len=16), {}, True),
        (Rule(100, table=100, dst=number("10.3.0.2"), dst_len=32), {}, False),
        (Rule(100, table=100, iif="eth0"), {"iif": "eth0"}, True),
        (Rule(100, table=100, iif="eth0"), {"iif": "lo"}, False),
        (Rule(100, table=100, iif="lo"), {"iif": "lo"}, True),
        (Rule(100, table=100, iif="nowhere"), {"iif": "eth0"}, False),
        (Rule(100, table=100, iif="nowhere", invert=True), {"iif": "eth0"}, True),
        (Rule(100, table=100, oif="eth1"), {"oif": "eth1"}, True),
        (Rule(100, table=100, oif="eth1"), {}, False),
        (Rule(100, table=100, tos=0x10), {"tos": 0x10}, True),
        (Rule(100, table=100, tos=0x10), {"tos": 0xD0}, True),
        (Rule(100, table=100, tos=0x10), {"tos": 0x18}, False),
        (Rule(100, table=100, dscp=46), {"tos": 0xB8}, True),
        (Rule(100, table=100, dscp=46), {"tos": 0xBB}, True),
        (Rule(100, table=100, dscp=6), {"tos": 0xB8}, False),
        (Rule(100, table=100, dscp=0), {"tos": 0}, True),
        (Rule(100, table=100, mark=5, mark_mask=0xFFFFFFFF), {"mark": 5}, True),
        (Rule(100, table=100, mark=5, mark_mask=0xFFFFFFFF), {"mark": 6}, False),
        (Rule(100, table=100, mark=1, mark_mask=1), {"mark": 7}, True),
        (Rule(100, table=100, mark=0, mark_mask=2), {"mark": 7}, False),
        (Rule(100, table=100, ipproto=17), {"ipproto": 17}, True),
        (Rule(100, table=100, ipproto=17), {"ipproto": 6}, False),
        (Rule(100, table=100, sport=(10, 20)), {"sport": 20}, True),
        (Rule(100, table=100, sport=(10, 20)), {"sport": 21}, False),
        (Rule(100, table=100, dport=(53, 53)), {"dport": 53}, True),
        (Rule(100, table=100, dport=(53, 53)), {"dport": 0}, False),
        (Rule(100, table=100, uidrange=(0, 0)), {}, True),
        (Rule(100, table=100, uidrange=(1000, 2000)), {}, False),
        (Rule(100, table=100, uidrange=(1000, 2000)), {"uid": 2000}, True),
        (Rule(100, table=100, tun_id=4), {}, False),
        (Rule(100, table=100, src=number("9.9.0.0"), src_len=16, invert=True), {"saddr": "9.9.1.1"}, False),
        (Rule(100, table=100, src=number("9.9.0.0"), src_len=16, invert=True), {"saddr": "9.8.1.1"}, True),
    ],
)
def test_whom_a_rule_selects(rule: Rule, key: dict[str, Any], selected: bool) -> None:
    result = asked(TABLES, "10.3.0.1", rule, **key)
    assert way(result) == ("default eth1" if selected else "default eth0")
    assert result.rule is not None
    assert (result.rule.pref, result.table) == ((100, 100) if selected else (32766, TABLE_MAIN))


@pytest.mark.parametrize(
    ("daddr", "rules", "expected"),
    [
        ("10.2.0.1", [Rule(100, table=100)], "default eth0"),  # throw
        ("10.4.0.1", [Rule(100, table=100)], "EHOSTUNREACH"),
        ("10.3.0.1", [Rule(100, table=77)], "default eth0"),  # an empty table
        ("10.3.0.1", [Rule(100, RuleAction.NOP), Rule(200, table=100)], "default eth1"),
        ("10.3.0.1", [Rule(100, RuleAction.GOTO, target=300), Rule(200, RuleAction.PROHIBIT), Rule(300, table=100)],
         "default eth1"),
        ("10.3.0.1", [Rule(100, RuleAction.GOTO, target=250), Rule(200, table=100)], "default eth1"),
        ("10.3.0.1", [Rule(100, RuleAction.GOTO, target=300), Rule(200, table=100), Rule(300, table=77, iif="eth1"),
                      Rule(400, RuleAction.PROHIBIT)], "EACCES"),
        ("10.3.0.1", [Rule(100, RuleAction.GOTO, target=50), Rule(200, table=100)], "default eth1"),
        ("10.3.0.1", [Rule(100, RuleAction.GOTO, target=100), Rule(200, table=100)], "default eth1"),
        ("10.3.0.1", [Rule(100, table=100, suppress_prefixlength=0)], "default eth0"),
        ("10.3.0.1", [Rule(100, table=100, suppress_ifgroup=7)], "default eth0"),
        ("10.3.0.1", [Rule(100, table=100, suppress_ifgroup=0)], "default eth1"),
        ("10.4.0.1", [Rule(100, table=100, suppress_prefixlength=24)], "EHOSTUNREACH"),
        ("10.3.0.1", [Rule(100, table=100), Rule(100, RuleAction.PROHIBIT)], "default eth1"),
    ],
)  # fmt: skip
def test_how_rules_are_walked(daddr: str, rules: list[Rule], expected: str) -> None:
    assert way(asked(TABLES, daddr, *rules)) == expected


def test_a_throw_with_nothing_behind_it_is_remembered() -> None:
    entries = [route("10.2.0.0/16", table=100, type=RouteType.THROW)]
    result = asked(entries, "10.2.0.1", Rule(100, table=100))
    assert result.errno == ENETUNREACH
    assert result.entry is not None
    assert result.entry.type is RouteType.THROW


OWN = [
    route("10.0.0.1/32", hop("eth0"), table=TABLE_LOCAL, type=RouteType.LOCAL, protocol="kernel"),
    route("10.0.0.255/32", hop("eth0"), table=TABLE_LOCAL, type=RouteType.BROADCAST, protocol="kernel"),
    LOCAL,
    route("10.60.1.0/24", A),
    route("10.9.0.0/16", type=RouteType.BLACKHOLE),
]


@pytest.mark.parametrize(
    ("daddr", "documented", "modern"),
    [
        ("10.0.0.1", "LOCAL", "LOCAL"),
        ("10.0.0.255", "BROADCAST", "BROADCAST"),
        ("10.0.0.7", "UNICAST", "UNICAST"),
        ("255.255.255.255", "BROADCAST", "BROADCAST"),
        ("224.0.0.9", "MULTICAST", "MULTICAST"),
        ("0.0.0.0", "BROADCAST", "BROADCAST"),
        ("0.1.2.3", "BROADCAST", "UNICAST"),
        ("10.9.0.1", "UNICAST", "UNICAST"),
        ("10.60.2.5", "LOCAL", "LOCAL"),
        ("10.60.1.5", "UNICAST", "UNICAST"),  # the trie is shared: main's longer prefix hides the local one
    ],
)
def test_what_kind_of_address_it_is(daddr: str, documented: str, modern: str) -> None:
    for kernel, expected in ((LINUX_4_14, documented), (LINUX_6_18, modern)):
        assert inet_addr_type(FibTables(host(OWN, kernel=kernel)), number(daddr)).name == expected


def test_whose_address_it_is() -> None:
    tables = FibTables(host(OWN, links=[link("eth0", 2, address("10.0.0.1/24"), address("10.7.0.1/24"))]))
    owners = [ip_dev_find(tables, number(a)) for a in ("10.0.0.1", "10.7.0.1", "127.0.0.1", "10.60.2.5", "10.60.1.5")]
    assert owners == ["eth0", "eth0", "lo", "lo", None]


def test_a_table_that_is_not_there_has_no_answer() -> None:
    assert fib_table_lookup(FibTables(host()), 5, FibKey(1)).entry is None


def test_the_walk_is_told() -> None:
    links = [link("eth0", 2), link("eth1", 3)]
    entries = [
        *TABLES,
        route("10.3.0.0/16", B, tos=0x10, table=100),
        route("10.3.0.0/24", B, tos=0x08, table=100),
        route("10.3.0.0/24", A, table=100),
        route("10.3.0.0/24", B, table=100, priority=9),
    ]
    rules = [Rule(90, iif="eth1", table=7), Rule(100, table=100)]
    trace: Trace = []
    fib_lookup(FibTables(host(entries, *rules, links=links)), FibKey(number("10.3.0.1")), trace)
    assert [say for _, say, _ in trace] == [
        "rule 0: from all lookup local",
        "table local: nothing fits",
        "rule 90: from all iif eth1 lookup 7: passed by, iif differs",
        "rule 100: from all lookup 100",
        "table 100: 10.3.0.0/24 via 10.0.0.9 dev eth0",
        "10.3.0.0/24 tos 0x08 via 10.1.0.9 dev eth1: other TOS",
        "10.3.0.0/24 via 10.1.0.9 dev eth1 metric 9: comes later",
        "10.3.0.0/16 tos 0x10 via 10.1.0.9 dev eth1: shorter prefix",
        "default via 10.1.0.9 dev eth1: shorter prefix",
    ]


def told(entries: list[FibEntry], daddr: str, *rules: Rule) -> list[str]:
    links = [link("eth0", 2), link("eth1", 3, group=7)]
    trace: Trace = []
    fib_lookup(FibTables(host(entries, *rules, links=links)), FibKey(number(daddr)), trace)
    return [say for _, say, _ in trace]


def test_what_rules_do_is_told() -> None:
    rules = [
        Rule(90, RuleAction.GOTO, target=95),
        Rule(91, RuleAction.GOTO, target=100),
        Rule(92, RuleAction.PROHIBIT),
        Rule(100, table=100, suppress_prefixlength=0),
        Rule(110, table=100, invert=True),
    ]
    assert told(TABLES, "10.3.0.1", *rules) == [
        "rule 0: from all lookup local",
        "table local: nothing fits",
        "rule 90: from all goto 95: nothing is there",
        "rule 91: from all goto 100",
        "rule 100: from all lookup 100 suppress_prefixlength 0",
        "table 100: default via 10.1.0.9 dev eth1",
        "rule 100: default suppressed",
        "rule 110: not from all lookup 100: passed by, everything fits",
        "rule 32766: from all lookup main",
        "table main: default via 10.0.0.9 dev eth0",
    ]


def test_refusals_of_routes_are_told() -> None:
    entries = [
        route("10.2.0.0/16", type=RouteType.THROW),
        route("10.3.0.0/16", type=UNREACHABLE),
        route("10.4.0.0/16", A, B, scope=0),
        route("0.0.0.0/0", B, table=TABLE_DEFAULT),
    ]
    assert told(entries, "10.2.0.1") == [
        "table main: throw 10.2.0.0/16, on to the next rule",
        "table default: default via 10.1.0.9 dev eth1",
    ]
    assert told(entries, "10.3.0.1") == ["table main: unreachable 10.3.0.0/16, EHOSTUNREACH"]
    assert told(entries, "10.4.0.1") == ["table main: 10.4.0.0/16 2 next hops"]


@pytest.mark.parametrize("key", [FibKey(0x0A020001, oif="eth1"), FibKey(0x0A020001, iif="eth1")])
def test_the_older_kernel_puts_the_vrf_in_place_of_its_links(key: FibKey) -> None:
    links = [
        link("blue", 5, kind=LinkKind.VRF, vrf_table=10),
        link("eth0", 2, master="blue"),
        link("eth1", 3, master="blue"),
    ]
    entries = [route("10.2.0.0/16", A, table=10), route("10.2.0.0/16", B, table=20)]
    rules = [Rule(50, table=20, oif="eth1"), Rule(60, table=20, iif="eth1"), Rule(1000, l3mdev=True)]
    for kernel, expected in ((LINUX_4_14, "10.2.0.0/16 eth0"), (LINUX_6_18, "10.2.0.0/16 eth1")):
        tables = FibTables(host(entries, *rules, links=links, kernel=kernel))
        assert way(fib_lookup(tables, key)) == expected


def test_a_vrf_as_output_device_only_names_its_table() -> None:
    links = [link("blue", 5, kind=LinkKind.VRF, vrf_table=10), link("eth0", 2, master="blue")]
    entries = [route("10.2.0.0/16", A, table=10)]
    for kernel in (LINUX_4_14, LINUX_6_18):
        tables = FibTables(host(entries, Rule(1000, l3mdev=True), links=links, kernel=kernel))
        assert way(fib_lookup(tables, FibKey(number("10.2.0.1"), oif="blue"))) == "10.2.0.0/16 eth0"
        assert fib_lookup(tables, FibKey(number("10.2.0.1"))).errno == ENETUNREACH
