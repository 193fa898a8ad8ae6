"""ip_route_output_key: every rule in both kernels; the expectations are literals."""

from __future__ import annotations

from errno import EACCES, EHOSTUNREACH, EINVAL, ENETUNREACH, ENODEV
from typing import Any

import pytest

from ipkit.core.host.fib import Route, RouteFlag
from ipkit.core.host.fib_explain import Trace
from ipkit.core.host.kernel import LINUX_4_14, LINUX_6_18, KernelProfile
from ipkit.core.route import OutputFlow, Refused, ip_route_output_key
from ipkit.core.state.routing import Routing
from ipkit.core.wire.ipv4 import address_text
from tests.support.routes import number, two_armed

KERNELS = (LINUX_4_14, LINUX_6_18)
BOTH = pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
DEFAULT = ["default via 10.1.0.9"]


def said(routing: Routing, dst: str, src: str = "0.0.0.0", **more: Any) -> Route | Refused:
    return ip_route_output_key(OutputFlow(number(dst), number(src), **more), routing)


def word(answer: Route | Refused) -> str:
    """Put an answer into a few words: errno, or type, flags, gateway, device and source."""
    if isinstance(answer, Refused):
        return f"error {answer.errno}"
    flags = "".join(f"+{flag.name}" for flag in RouteFlag if flag and answer.flags & flag)
    via = f" via {address_text(answer.gateway)}" if answer.uses_gateway else ""
    return f"{answer.type.name.lower()}{flags}{via} dev {answer.dev} src {address_text(answer.prefsrc)}"


UNREACHABLE, INVALID = f"error {ENETUNREACH}", f"error {EINVAL}"


@pytest.mark.parametrize(
    ("dst", "expected"),
    [
        ("10.1.0.5", "unicast dev t1 src 10.1.0.1"),
        ("99.1.1.1", "unicast via 10.1.0.9 dev t1 src 10.1.0.1"),
        ("10.0.0.1", "local+LOCAL dev lo src 10.0.0.1"),
        ("127.0.0.5", "local+LOCAL dev lo src 127.0.0.1"),
        ("0.0.0.0", "local+LOCAL dev lo src 127.0.0.1"),
        ("10.0.0.255", "broadcast+LOCAL+BROADCAST dev t0 src 10.0.0.1"),
        ("255.255.255.255", "broadcast+LOCAL+BROADCAST dev t1 src 10.1.0.1"),
        ("239.1.1.1", "multicast+MULTICAST dev t1 src 10.1.0.1"),
        ("224.0.0.1", "multicast+LOCAL+MULTICAST dev t1 src 10.1.0.1"),
        ("240.0.0.1", "unicast via 10.1.0.9 dev t1 src 10.1.0.1"),
    ],
)
@BOTH
def test_where_a_packet_goes_with_a_default_route(dst: str, expected: str, kernel: KernelProfile) -> None:
    assert word(said(two_armed(kernel, routes=DEFAULT), dst)) == expected


@pytest.mark.parametrize("dst", ["99.1.1.1", "255.255.255.255", "239.1.1.1", "224.0.0.1"])
@BOTH
def test_without_any_route(dst: str, kernel: KernelProfile) -> None:
    assert word(said(two_armed(kernel), dst)) == UNREACHABLE


@pytest.mark.parametrize(
    ("dst", "documented", "modern"),
    [
        ("10.0.0.0", "broadcast+LOCAL+BROADCAST dev t0 src 10.0.0.1", "unicast dev t0 src 10.0.0.1"),
        ("0.1.2.3", INVALID, "unicast via 10.1.0.9 dev t1 src 10.1.0.1"),
    ],
)
def test_where_the_kernels_differ(dst: str, documented: str, modern: str) -> None:
    assert [word(said(two_armed(kernel, routes=DEFAULT), dst)) for kernel in KERNELS] == [documented, modern]


@pytest.mark.parametrize(
    ("src", "dst", "documented", "modern"),
    [
        ("10.0.0.1", "10.1.0.5", "unicast dev t1 src 10.0.0.1", "unicast dev t1 src 10.0.0.1"),
        ("127.9.9.9", "127.0.0.1", "local+LOCAL dev lo src 127.9.9.9", "local+LOCAL dev lo src 127.9.9.9"),
        ("10.0.0.9", "10.1.0.5", INVALID, UNREACHABLE),
        ("10.0.0.255", "10.1.0.5", INVALID, UNREACHABLE),
        ("224.0.0.1", "10.1.0.5", INVALID, INVALID),
        ("255.255.255.255", "10.1.0.5", INVALID, INVALID),
        ("0.1.2.3", "10.1.0.5", INVALID, UNREACHABLE),
        ("127.0.0.1", "10.1.0.5", INVALID, INVALID),
        ("10.0.0.1", "239.1.1.1", "multicast+MULTICAST dev t0 src 10.0.0.1", "multicast+MULTICAST dev t0 src 10.0.0.1"),
        ("10.0.0.1", "255.255.255.255", "broadcast+LOCAL+BROADCAST dev t0 src 10.0.0.1",
         "broadcast+LOCAL+BROADCAST dev t0 src 10.0.0.1"),
        ("10.0.0.9", "239.1.1.1", INVALID, UNREACHABLE),
        ("10.0.0.1", "0.0.0.0", "local+LOCAL dev lo src 10.0.0.1", "local+LOCAL dev lo src 10.0.0.1"),
    ],
)  # fmt: skip
def test_a_source_that_was_asked_for(src: str, dst: str, documented: str, modern: str) -> None:
    assert [word(said(two_armed(kernel, routes=DEFAULT), dst, src)) for kernel in KERNELS] == [documented, modern]


@BOTH
def test_some_may_use_a_source_that_is_not_ours(kernel: KernelProfile) -> None:
    routing = two_armed(kernel)
    assert word(said(routing, "10.1.0.5", "9.9.9.9", any_source=True)) == "unicast dev t1 src 9.9.9.9"
    assert isinstance(said(routing, "239.1.1.1", "9.9.9.9", any_source=True), Refused)


@pytest.mark.parametrize(
    ("dst", "oif", "expected"),
    [
        ("10.1.0.5", "t1", "unicast dev t1 src 10.1.0.1"),
        ("10.1.0.5", "t0", "unicast dev t0 src 10.0.0.1"),  # no route by it: taken to be on its link
        ("99.1.1.1", "t0", "unicast dev t0 src 10.0.0.1"),
        ("10.9.0.1", "t0", "unicast dev t0 src 10.0.0.1"),  # even an unreachable route is not asked
        ("10.0.0.1", "t1", "unicast dev t1 src 10.1.0.1"),
        ("127.0.0.1", "t0", "unicast dev t0 src 10.0.0.1"),
        ("224.0.0.5", "t0", "multicast+MULTICAST dev t0 src 10.0.0.1"),
        ("239.1.1.1", "t0", "multicast+MULTICAST dev t0 src 10.0.0.1"),
        ("255.255.255.255", "t0", "broadcast+LOCAL+BROADCAST dev t0 src 10.0.0.1"),
        ("0.0.0.0", "t0", "local+LOCAL dev lo src 10.0.0.1"),
        ("10.1.0.5", "lo", "unicast+LOCAL dev lo src 10.0.0.1"),
        ("10.1.0.5", "t9", f"error {ENODEV}"),
        ("10.1.0.5", "down", UNREACHABLE),
    ],
)
@BOTH
def test_a_device_that_was_asked_for(dst: str, oif: str, expected: str, kernel: KernelProfile) -> None:
    routing = two_armed(kernel, routes=["unreachable 10.9.0.0/16"], link={"down": {"up": False}})
    assert word(said(routing, dst, oif=oif)) == expected


@BOTH
def test_igmp_stays_on_its_link(kernel: KernelProfile) -> None:
    routing = two_armed(kernel, routes=["10.9.0.0/16 via 10.0.0.9"])
    assert word(said(routing, "10.9.0.1", oif="t0", protocol=2)) == "unicast dev t0 src 10.0.0.1"


@pytest.mark.parametrize(
    ("line", "errno"),
    [("blackhole 10.9.0.0/16", EINVAL), ("unreachable 10.9.0.0/16", EHOSTUNREACH), ("prohibit 10.9.0.0/16", EACCES),
     ("throw 10.9.0.0/16", ENETUNREACH)],
)  # fmt: skip
@BOTH
def test_refusing_routes(line: str, errno: int, kernel: KernelProfile) -> None:
    answer = said(two_armed(kernel, routes=[line]), "10.9.0.1")
    assert isinstance(answer, Refused)
    assert answer.errno == errno
    assert answer.found is not None
    assert answer.found.length == 16


@BOTH
def test_rules_see_what_is_sent_as_coming_from_lo(kernel: KernelProfile) -> None:
    rules = ["iif lo lookup 100 pref 100"]
    routing = two_armed(kernel, routes=["99.0.0.0/8 via 10.0.0.9 table 100"], rules=rules)
    assert word(said(routing, "99.1.1.1")) == "unicast via 10.0.0.9 dev t0 src 10.0.0.1"


@pytest.mark.parametrize(
    ("more", "expected"),
    [({"mark": 5}, True), ({}, False), ({"sport": 53}, False), ({"uid": 1000}, True)],
)
def test_rules_see_the_senders_mark_and_user(more: dict[str, Any], expected: bool) -> None:
    rules = ["fwmark 5 lookup 100 pref 100", "uidrange 1000-1001 lookup 100 pref 101"]
    routing = two_armed(routes=["99.0.0.0/8 via 10.0.0.9 table 100"], rules=rules)
    assert isinstance(said(routing, "99.1.1.1", **more), Route) is expected


def test_the_scope_asked_for_keeps_gateways_out() -> None:
    routing = two_armed(routes=["10.1.0.0/25 via 10.0.0.9"])
    assert word(said(routing, "10.1.0.5")) == "unicast via 10.0.0.9 dev t0 src 10.0.0.1"
    assert word(said(routing, "10.1.0.5", scope=253)) == "unicast dev t1 src 10.1.0.1"


@pytest.mark.parametrize(("kernel", "expected"), [(LINUX_4_14, 0), (LINUX_6_18, 1000)])
def test_metrics_of_a_broadcast_route(kernel: KernelProfile, expected: int) -> None:
    answer = said(two_armed(kernel, routes=["broadcast 10.7.0.255 dev t0 mtu 1000"]), "10.7.0.255")
    assert isinstance(answer, Route)
    assert answer.metrics.mtu == expected


def test_a_route_for_a_group_has_a_gateway_a_default_route_has_none_for_it() -> None:
    routing = two_armed(routes=[*DEFAULT, "239.0.0.0/8 via 10.0.0.9"])
    assert word(said(routing, "239.1.1.1")) == "multicast+MULTICAST via 10.0.0.9 dev t0 src 10.0.0.1"
    assert word(said(routing, "238.1.1.1")) == "multicast+MULTICAST dev t1 src 10.1.0.1"


@BOTH
def test_a_local_route_gives_its_own_source(kernel: KernelProfile) -> None:
    routing = two_armed(kernel, routes=["local 10.66.0.0/16 dev lo", "local 10.67.0.0/16 dev lo src 10.0.0.1"])
    assert word(said(routing, "10.66.0.5")) == "local+LOCAL dev lo src 10.66.0.5"
    assert word(said(routing, "10.67.0.5")) == "local+LOCAL dev lo src 10.0.0.1"


ALIKE = ["default via 10.0.0.9", "append default via 10.1.0.9"]


@pytest.mark.parametrize(
    ("neigh", "expected"),
    [
        ([], "t0"),
        (["10.0.0.9 nud failed dev t0"], "t1"),
        (["10.0.0.9 nud failed dev t0", "10.1.0.9 nud failed dev t1"], "t0"),
        (["10.0.0.9 lladdr 02:00:00:00:00:09 dev t0"], "t0"),
    ],
)
def test_of_equal_default_routes_one_whose_gateway_is_not_gone(neigh: list[str], expected: str) -> None:
    answer = said(two_armed(routes=ALIKE, neigh=neigh), "99.1.1.1")
    assert isinstance(answer, Route)
    assert answer.dev == expected


def test_a_worse_default_route_does_not_stand_in() -> None:
    routes = ["default via 10.0.0.9", "default via 10.1.0.9 metric 5"]
    answer = said(two_armed(routes=routes, neigh=["10.0.0.9 nud failed dev t0"]), "99.1.1.1")
    assert isinstance(answer, Route)
    assert answer.dev == "t0"


SEVERAL = ["99.0.0.0/8 nexthop via 10.0.0.9 nexthop via 10.1.0.9"]
SEED = {"fib_multipath_hash_seed": 12345}


@pytest.mark.parametrize("last", range(1, 9))
def test_a_source_of_ones_own_chooses_its_next_hop(last: int) -> None:
    routing = two_armed(routes=SEVERAL, sysctl=SEED)
    for source, dev in (("10.0.0.1", "t0"), ("10.1.0.1", "t1")):
        assert word(said(routing, f"99.0.0.{last}", source)).split(" dev ")[1] == f"{dev} src {source}"


def test_the_older_kernel_goes_by_the_hash_alone() -> None:
    routing = two_armed(LINUX_4_14, routes=SEVERAL)
    ways = {word(said(routing, f"99.0.0.{last}", "10.0.0.1")).split()[4] for last in range(1, 40)}
    assert ways == {"t0", "t1"}


def test_with_a_device_the_first_next_hop_by_it() -> None:
    routing = two_armed(routes=SEVERAL, sysctl=SEED)
    assert word(said(routing, "99.0.0.1", oif="t1")) == "unicast via 10.1.0.9 dev t1 src 10.1.0.1"


VRF: dict[str, dict[str, Any]] = {
    "blue": {"kind": "vrf", "table": 10, "addr": ["10.9.9.9/32"]},
    "t2": {"addr": ["10.2.0.1/24"], "master": "blue"},
}


@pytest.mark.parametrize(
    ("dst", "oif", "expected"),
    [
        ("10.2.0.5", "blue", "unicast dev t2 src 10.2.0.1"),
        ("10.2.0.5", "t2", "unicast dev t2 src 10.2.0.1"),
        ("10.2.0.5", "", "unicast via 10.1.0.9 dev t1 src 10.1.0.1"),
        ("10.2.0.1", "blue", "local+LOCAL dev blue src 10.2.0.1"),
        ("10.1.0.5", "t2", "unicast dev t1 src 10.9.9.9"),
    ],
)
def test_the_table_of_a_vrf(dst: str, oif: str, expected: str) -> None:
    routing = two_armed(link=VRF, routes=[*DEFAULT, "10.1.0.0/24 dev t1 table 10"])
    answer = said(routing, dst, oif=oif)
    if (dst, oif) == ("10.1.0.5", "t2"):  # the route leaves by another device than the one asked for
        assert word(answer) == UNREACHABLE
        assert word(said(routing, dst, oif="blue")) == expected
    else:
        assert word(answer) == expected


def test_what_decided_is_told() -> None:
    trace: Trace = []
    ip_route_output_key(OutputFlow(number("99.1.1.1"), oif="t0"), two_armed(), trace)
    assert [say for _, say, _ in trace] == [
        "table main: nothing fits",
        "taken to be on link t0",
        "source 10.0.0.1, by t0",
    ]
