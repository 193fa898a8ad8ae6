"""ip_route_input: every check in its order, in both kernels; the expectations are literals."""

from __future__ import annotations

from dataclasses import replace
from errno import EACCES, EHOSTUNREACH, EINVAL, ENETUNREACH, EXDEV
from typing import Any

import pytest

from ipkit.core.host.fib import Route, RouteFlag, RouteType
from ipkit.core.host.fib_explain import Trace
from ipkit.core.host.kernel import LINUX_4_14, LINUX_6_18, KernelProfile
from ipkit.core.outcome.drop_reasons import DropReason
from ipkit.core.route import InputFlow, Martian, Refused, ip_route_input_noref
from ipkit.core.state.routing import Routing, routing_of
from tests.support.routes import number
from tests.support.routes import two_armed as host

KERNELS = (LINUX_4_14, LINUX_6_18)
BOTH = pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)


def said(routing: Routing, src: str, dst: str, iif: str = "t0", **more: Any) -> Route | Refused:
    return ip_route_input_noref(InputFlow(number(dst), number(src), more.pop("tos", 0), iif, **more), routing)


def word(answer: Route | Refused) -> str:
    """Put an answer into a few words: reason, errno, or type, flags and device."""
    if isinstance(answer, Refused):
        return f"{answer.reason.value} {answer.errno}"
    if answer.errno:
        return f"error {answer.errno}"
    flags = "".join(f" {flag.name}" for flag in RouteFlag if flag and answer.flags & flag)
    return f"{answer.type.name}{flags} {answer.dev}"


LOCAL, BRD, GROUP = "LOCAL LOCAL lo", "BROADCAST LOCAL BROADCAST lo", "MULTICAST LOCAL MULTICAST lo"
BAD_SOURCE, BAD_DEST = f"IP_INVALID_SOURCE {EINVAL}", f"IP_INVALID_DEST {EINVAL}"
LOCALNET, OWN, OTHER_WAY = f"IP_LOCALNET {EINVAL}", f"IP_LOCAL_SOURCE {EINVAL}", f"IP_RPFILTER {EXDEV}"
SILENT = f"NOT_SPECIFIED {EINVAL}"


@pytest.mark.parametrize(
    ("src", "dst", "documented", "modern"),
    [
        ("10.0.0.5", "10.1.0.5", "UNICAST t1", "UNICAST t1"),
        ("10.0.0.5", "10.0.0.1", LOCAL, LOCAL),
        ("10.0.0.5", "10.1.0.1", LOCAL, LOCAL),  # any own address, whichever the link
        ("10.0.0.5", "10.0.0.255", BRD, BRD),
        ("10.0.0.5", "10.1.0.255", BRD, BRD),  # another link's broadcast is ours, too
        ("10.0.0.5", "10.1.0.0", BRD, "UNICAST t1"),  # the network address
        ("10.0.0.5", "255.255.255.255", BRD, BRD),
        ("10.0.0.5", "99.1.0.5", f"error {ENETUNREACH}", f"error {ENETUNREACH}"),
        ("224.0.0.1", "10.1.0.5", BAD_SOURCE, BAD_SOURCE),
        ("255.255.255.255", "10.1.0.5", BAD_SOURCE, BAD_SOURCE),
        ("224.0.0.1", "255.255.255.255", BAD_SOURCE, BAD_SOURCE),
        ("0.0.0.0", "255.255.255.255", BRD, BRD),
        ("0.0.0.0", "0.0.0.0", BRD, BRD),
        ("0.1.2.3", "255.255.255.255", BRD, BRD),
        ("0.0.0.0", "10.0.0.1", BAD_SOURCE, BAD_SOURCE),
        ("0.0.0.0", "10.0.0.255", BAD_SOURCE, BAD_SOURCE),
        ("0.1.2.3", "10.1.0.5", BAD_SOURCE, "UNICAST t1"),
        ("10.0.0.5", "0.0.0.0", BAD_DEST, BAD_DEST),
        ("10.0.0.5", "0.1.2.3", BAD_DEST, f"error {ENETUNREACH}"),
        ("10.0.0.5", "127.0.0.1", LOCALNET, LOCALNET),
        ("127.0.0.1", "10.1.0.5", LOCALNET, LOCALNET),
        ("127.0.0.1", "127.0.0.1", LOCALNET, LOCALNET),
        ("127.0.0.1", "0.0.0.0", BAD_DEST, BAD_DEST),
        ("127.0.0.1", "255.255.255.255", OWN, OWN),
        ("10.0.0.1", "10.1.0.5", OWN, OWN),
        ("10.1.0.1", "10.0.0.1", OWN, OWN),
        ("10.1.0.5", "10.0.0.1", LOCAL, LOCAL),  # from the wrong side, but nobody filters
        ("99.1.1.1", "10.0.0.1", LOCAL, LOCAL),  # nobody knows the way back, either
        ("10.0.0.255", "10.1.0.5", BAD_SOURCE, "UNICAST t1"),
        ("240.0.0.1", "10.1.0.5", "UNICAST t1", "UNICAST t1"),
        ("10.0.0.5", "10.0.0.7", "UNICAST DOREDIRECT t0", "UNICAST DOREDIRECT t0"),
        ("10.0.0.5", "224.0.0.1", GROUP, GROUP),
        ("10.0.0.5", "224.0.0.9", SILENT, SILENT),
        ("0.0.0.0", "224.0.0.1", GROUP, GROUP),
        ("224.0.0.5", "224.0.0.1", BAD_SOURCE, BAD_SOURCE),
        ("127.0.0.1", "224.0.0.1", LOCALNET, LOCALNET),
        ("10.0.0.1", "224.0.0.1", OWN, OWN),
    ],
)
def test_where_a_packet_goes(src: str, dst: str, documented: str, modern: str) -> None:
    assert [word(said(host(kernel), src, dst)) for kernel in KERNELS] == [documented, modern]


@pytest.mark.parametrize(
    ("src", "dst", "which"),
    [("224.0.0.1", "10.1.0.5", Martian.SOURCE), ("10.0.0.5", "0.0.0.0", Martian.DESTINATION),
     ("10.0.0.5", "127.0.0.1", Martian.DESTINATION), ("127.0.0.1", "10.1.0.5", Martian.SOURCE)],
)  # fmt: skip
def test_which_end_of_a_martian_is_impossible(src: str, dst: str, which: Martian) -> None:
    answer = said(host(), src, dst)
    assert isinstance(answer, Refused)
    assert answer.martian is which


@BOTH
@pytest.mark.parametrize(
    ("line", "errno"),
    [("blackhole 10.9.0.0/16", EINVAL), ("unreachable 10.9.0.0/16", EHOSTUNREACH), ("prohibit 10.9.0.0/16", EACCES),
     ("throw 10.9.0.0/16", ENETUNREACH)],
)  # fmt: skip
def test_refusing_routes_come_before_the_source_is_judged(line: str, errno: int, kernel: KernelProfile) -> None:
    routing = host(kernel, routes=[line], sysctl={"conf.all.rp_filter": 1})
    assert word(said(routing, "99.1.1.1", "10.9.0.1")) == f"error {errno}"
    route = said(routing, "10.0.0.1", "10.9.0.1")
    assert isinstance(route, Route)
    assert (route.type, route.flags) == (RouteType.UNREACHABLE, RouteFlag.NONE)


@BOTH
@pytest.mark.parametrize("dst", ["10.1.0.5", "99.1.1.1", "10.9.0.1", "10.0.0.7"])
def test_without_forwarding_every_way_out_is_the_same_error(dst: str, kernel: KernelProfile) -> None:
    routing = host(kernel, routes=["blackhole 10.9.0.0/16"], sysctl={"conf.t0.forwarding": 0})
    assert word(said(routing, "10.0.0.5", dst)) == f"error {EHOSTUNREACH}"
    assert word(said(routing, "10.0.0.5", "10.1.0.1")) == LOCAL
    assert word(said(routing, "10.1.0.5", "10.0.0.5", "t1")) == "UNICAST t0"


@BOTH
def test_a_route_of_another_kind_is_no_destination(kernel: KernelProfile) -> None:
    routing = host(kernel, routes=["anycast 10.9.0.0/16 dev t1"])
    assert word(said(routing, "10.0.0.5", "10.9.0.1")) == BAD_DEST


@BOTH
def test_a_loopback_address_passes_where_route_localnet_lets_it(kernel: KernelProfile) -> None:
    routing = host(kernel, sysctl={"conf.t0.route_localnet": 1, "conf.t0.accept_local": 1})
    assert word(said(routing, "10.0.0.5", "127.0.0.1")) == LOCAL
    assert word(said(routing, "127.0.0.1", "10.1.0.5")) == "UNICAST t1"
    assert word(said(routing, "127.0.0.1", "224.0.0.1")) == GROUP


@BOTH
def test_own_addresses_pass_as_sources_where_accept_local_lets_them(kernel: KernelProfile) -> None:
    routing = host(kernel, sysctl={"conf.all.accept_local": 1})
    assert word(said(routing, "10.1.0.1", "10.0.0.1")) == LOCAL
    assert word(said(routing, "10.0.0.1", "10.1.0.5")) == "UNICAST t1"


@pytest.mark.parametrize(
    ("src", "rp_filter", "expected"),
    [
        ("10.0.0.5", 1, "UNICAST t1"),
        ("10.0.0.5", 2, "UNICAST t1"),
        ("10.7.0.5", 1, "UNICAST t1"),
        ("10.1.0.9", 0, "UNICAST t1"),
        ("10.1.0.9", 1, OTHER_WAY),
        ("10.1.0.9", 2, "UNICAST t1"),
        ("99.1.1.1", 0, "UNICAST t1"),
        ("99.1.1.1", 1, OTHER_WAY),
        ("99.1.1.1", 2, OTHER_WAY),
        ("10.8.0.5", 1, OTHER_WAY),  # a blackhole on the way back
        ("10.8.0.5", 2, OTHER_WAY),
        ("10.0.0.1", 1, OWN),
        ("10.0.0.1", 2, OWN),
        ("10.0.0.255", 1, BAD_SOURCE),
        ("10.0.0.255", 2, BAD_SOURCE),
    ],
)
@BOTH
def test_the_reverse_path(src: str, rp_filter: int, expected: str, kernel: KernelProfile) -> None:
    routes = ["10.7.0.0/16 via 10.0.0.9", "blackhole 10.8.0.0/16"]
    routing = host(kernel, routes=routes, sysctl={"conf.t0.rp_filter": rp_filter})
    assert word(said(routing, src, "10.1.0.77")) == expected


@pytest.mark.parametrize(("every", "one", "expected"), [(0, 2, LOCAL), (2, 1, LOCAL), (1, 0, OTHER_WAY)])
def test_the_stricter_number_of_rp_filter_counts_for_all_destinations(every: int, one: int, expected: str) -> None:
    knobs = {"conf.all.rp_filter": every, "conf.t0.rp_filter": one}
    routing = host(sysctl=knobs)
    assert word(said(routing, "10.1.0.9", "10.0.0.1")) == expected
    assert word(said(routing, "10.1.0.9", "255.255.255.255")) == (BRD if expected == LOCAL else OTHER_WAY)
    assert word(said(routing, "10.1.0.9", "224.0.0.1")) == (GROUP if expected == LOCAL else OTHER_WAY)


@pytest.mark.parametrize(("rp_filter", "expected"), [(1, OTHER_WAY), (2, OTHER_WAY), (0, LOCAL)])
@BOTH
def test_a_link_without_addresses_is_a_last_resort(rp_filter: int, expected: str, kernel: KernelProfile) -> None:
    routing = host(kernel, link={"t2": {}}, sysctl={"conf.t2.rp_filter": rp_filter})
    assert word(said(routing, "10.0.0.5", "10.1.0.1", "t2")) == expected


@BOTH
def test_a_way_back_by_any_next_hop_will_do(kernel: KernelProfile) -> None:
    routes = ["10.7.0.0/16 nexthop via 10.1.0.9 nexthop via 10.0.0.9"]
    routing = host(kernel, routes=routes, sysctl={"conf.all.rp_filter": 1})
    assert word(said(routing, "10.7.0.5", "10.0.0.1", "t0")) == LOCAL
    assert word(said(routing, "10.7.0.5", "10.0.0.1", "t1")) == LOCAL


@pytest.mark.parametrize(("kernel", "expected"), [(LINUX_4_14, BAD_SOURCE), (LINUX_6_18, "UNICAST t1")])
def test_a_broadcast_source_is_judged_fully_only_by_some(kernel: KernelProfile, expected: str) -> None:
    assert word(said(host(kernel), "10.0.0.255", "10.1.0.5")) == expected
    ruled = host(kernel, rules=["from 9.9.9.9 lookup 100 pref 100"])
    assert word(said(ruled, "10.0.0.255", "10.1.0.5")) == BAD_SOURCE
    own_local = host(kernel, routes=["local 10.66.0.0/16 dev lo"])
    assert word(said(own_local, "10.0.0.255", "10.1.0.5")) == BAD_SOURCE
    back_out = host(kernel)
    assert word(said(back_out, "10.0.0.255", "10.0.0.7")) == BAD_SOURCE  # in == out, redirects on


def test_the_way_back_is_looked_up_with_the_packets_destination_as_source() -> None:
    rules = ["to 10.0.0.0/24 from 10.1.0.0/24 prohibit pref 100"]
    routing = host(rules=rules, sysctl={"conf.t0.rp_filter": 1})
    assert word(said(routing, "10.0.0.5", "10.1.0.5")) == OTHER_WAY
    assert word(said(routing, "10.0.0.5", "255.255.255.255")) == BRD


@pytest.mark.parametrize(("valid_mark", "expected"), [(0, OTHER_WAY), (1, LOCAL)])
def test_the_mark_counts_on_the_way_back_only_with_src_valid_mark(valid_mark: int, expected: str) -> None:
    routes = ["99.0.0.0/8 via 10.0.0.9 table 100"]
    knobs = {"conf.t0.rp_filter": 1, "conf.t0.src_valid_mark": valid_mark}
    routing = host(routes=routes, rules=["fwmark 5 lookup 100 pref 100"], sysctl=knobs)
    assert word(said(routing, "99.1.1.1", "10.0.0.1", mark=5)) == expected


def test_ports_are_turned_round_on_the_way_back() -> None:
    rules = ["ipproto udp sport 53 dport 1000 lookup 100 pref 100"]
    routing = host(routes=["99.0.0.0/8 via 10.0.0.9 table 100"], rules=rules, sysctl={"conf.t0.rp_filter": 1})
    assert word(said(routing, "99.1.1.1", "10.0.0.1", sport=1000, dport=53)) == LOCAL
    assert word(said(routing, "99.1.1.1", "10.0.0.1", sport=53, dport=1000)) == OTHER_WAY


UDP = bytes.fromhex("45000020 0001 0000 4011 0000 0a000005 0a010005 03e8 0035 000c 0000 00000000")


@pytest.mark.parametrize(
    ("frag_off", "expected"), [("0000", "error 13"), ("2000", "UNICAST t1"), ("2001", "UNICAST t1")]
)
def test_no_fragment_matches_a_rule_for_ports(frag_off: str, expected: str) -> None:
    routing = host(rules=["ipproto udp dport 53 prohibit pref 100"])
    data = UDP[:6] + bytes.fromhex(frag_off) + UDP[8:]
    assert word(said(routing, "10.0.0.5", "10.1.0.5", data=data)) == expected


@pytest.mark.parametrize(
    ("knobs", "gateway", "expected"),
    [
        ({}, "10.0.0.9", True),
        ({"conf.all.send_redirects": 0, "conf.t0.send_redirects": 0}, "10.0.0.9", False),
        ({"conf.all.send_redirects": 0}, "10.0.0.9", True),
        ({"conf.all.shared_media": 0, "conf.t0.shared_media": 0}, "10.0.0.9", True),
        ({"conf.all.shared_media": 0, "conf.t0.shared_media": 0}, "10.2.0.9", False),
        ({}, "10.2.0.9", True),
    ],
)
def test_who_is_told_of_a_better_way(knobs: dict[str, int], gateway: str, expected: bool) -> None:
    link = {"t0": {"addr": ["10.0.0.1/24", "10.2.0.1/24"]}}
    route = said(host(link=link, routes=[f"10.7.0.0/16 via {gateway}"], sysctl=knobs), "10.0.0.5", "10.7.0.5")
    assert isinstance(route, Route)
    assert bool(route.flags & RouteFlag.DOREDIRECT) is expected
    assert (route.dev, route.gateway, route.uses_gateway) == ("t0", number(gateway), True)


def test_a_sender_behind_a_gateway_is_not_told() -> None:
    routes = ["10.7.0.0/16 via 10.0.0.9", "10.8.0.0/16 via 10.0.0.8"]
    assert word(said(host(routes=routes), "10.8.0.5", "10.7.0.5")) == "UNICAST t0"


@pytest.mark.parametrize(
    ("kernel", "knobs", "expected"),
    [
        (LINUX_6_18, {"conf.all.bc_forwarding": 1, "conf.t0.bc_forwarding": 1}, "BROADCAST t1"),
        (LINUX_6_18, {"conf.all.bc_forwarding": 1}, BRD),
        (LINUX_6_18, {"conf.t0.bc_forwarding": 1}, BRD),
    ],
)
def test_broadcasts_are_forwarded_where_both_knobs_say_so(
    kernel: KernelProfile, knobs: dict[str, int], expected: str
) -> None:
    assert word(said(host(kernel, sysctl=knobs), "10.0.0.5", "10.1.0.255")) == expected


@BOTH
def test_groups_that_were_joined(kernel: KernelProfile) -> None:
    routing = host(kernel, link={"t0": {"groups": ["224.0.0.251", "239.1.1.1"]}})
    assert word(said(routing, "10.0.0.5", "239.1.1.1")) == GROUP
    assert word(said(routing, "10.0.0.5", "239.1.1.1", "t1")) == SILENT
    assert word(said(routing, "0.0.0.0", "224.0.0.251")) == GROUP


@pytest.mark.parametrize(
    ("kernel", "protocol", "expected"),
    [(LINUX_4_14, 2, BAD_SOURCE), (LINUX_6_18, 2, GROUP), (LINUX_4_14, 17, BAD_SOURCE), (LINUX_6_18, 17, BAD_SOURCE)],
)
def test_a_sender_without_address_to_a_group_from_afar(kernel: KernelProfile, protocol: int, expected: str) -> None:
    routing = host(kernel, link={"t0": {"groups": ["239.1.1.1"]}})
    assert word(said(routing, "0.0.0.0", "239.1.1.1", protocol=protocol)) == expected


@BOTH
def test_a_multicast_router_takes_groups_that_nobody_joined(kernel: KernelProfile) -> None:
    routing = host(kernel, sysctl={"conf.all.mc_forwarding": 1, "conf.t0.mc_forwarding": 1})
    assert word(said(routing, "10.0.0.5", "239.1.1.1")) == "MULTICAST MULTICAST lo"
    assert word(said(routing, "10.0.0.5", "224.0.0.9")) == SILENT


@BOTH
@pytest.mark.parametrize("dst", ["10.1.0.5", "224.0.0.1"])
def test_a_link_too_small_for_ipv4_has_no_ipv4(dst: str, kernel: KernelProfile) -> None:
    whole = host(kernel).host
    small = {**whole.links, "t0": replace(whole.links["t0"], mtu=67)}
    assert word(said(routing_of(replace(whole, links=small)), "10.0.0.5", dst)) == SILENT
    assert word(said(routing_of(replace(whole, links=small)), "10.1.0.5", "10.0.0.5", "t1")) == SILENT


@BOTH
def test_a_gateway_that_is_ourselves_is_no_gateway(kernel: KernelProfile) -> None:
    route = said(host(kernel, routes=["10.7.0.0/16 via 10.1.0.1 dev t1"]), "10.0.0.5", "10.7.0.5")
    assert isinstance(route, Route)
    assert (route.dev, route.gateway, route.uses_gateway) == ("t1", 0, False)


VRF: dict[str, dict[str, Any]] = {
    "blue": {"kind": "vrf", "table": 10},
    "t2": {"addr": ["10.2.0.1/24"], "master": "blue"},
    "t3": {"addr": ["10.3.0.1/24"], "master": "blue"},
}


@BOTH
def test_inside_a_vrf_only_its_own_table_is_asked(kernel: KernelProfile) -> None:
    routing = host(kernel, link=VRF, routes=["default via 10.1.0.9"])
    assert word(said(routing, "10.2.0.5", "10.3.0.5", "t2")) == "UNICAST t3"
    assert word(said(routing, "10.2.0.5", "10.3.0.1", "t2")) == "LOCAL LOCAL blue"
    assert word(said(routing, "10.0.0.5", "10.3.0.5", "t0")) == "UNICAST t1"


@BOTH
def test_a_group_may_be_joined_on_the_vrf_itself(kernel: KernelProfile) -> None:
    link = {**VRF, "blue": {**VRF["blue"], "groups": ["239.1.1.1"]}}
    assert word(said(host(kernel, link=link), "10.2.0.5", "239.1.1.1", "t2")) == GROUP


@BOTH
def test_the_reverse_path_of_a_vrf_is_in_the_vrf(kernel: KernelProfile) -> None:
    routing = host(kernel, link=VRF, sysctl={"conf.all.rp_filter": 1})
    assert word(said(routing, "10.2.0.5", "10.3.0.5", "t2")) == "UNICAST t3"
    assert word(said(routing, "10.0.0.5", "10.3.0.5", "t2")) == OTHER_WAY


def test_what_decided_is_told() -> None:
    trace: Trace = []
    routing = host(routes=["10.7.0.0/16 nexthop via 10.1.0.9 nexthop via 10.1.0.8"], sysctl={"conf.t0.rp_filter": 1})
    ip_route_input_noref(InputFlow(number("10.7.0.1"), number("10.0.0.5"), 0, "t0"), routing, trace)
    assert [func for func, _, _ in trace] == [
        "fib_table_lookup", "fib_select_multipath", "__fib_validate_source", "fib_table_lookup", "fib_validate_source",
    ]  # fmt: skip
    assert trace[-1][1] == "source 10.0.0.5: accepted, and on this link"
    trace.clear()
    ip_route_input_noref(InputFlow(number("239.9.9.9"), number("10.0.0.5"), 0, "t0"), routing, trace)
    assert [say for _, say, _ in trace] == ["group 239.9.9.9 not joined on t0"]


def test_the_reasons_are_those_of_the_table() -> None:
    answer = said(host(sysctl={"conf.t0.rp_filter": 1}), "10.1.0.5", "10.0.0.1")
    assert isinstance(answer, Refused)
    assert (answer.reason, answer.errno, answer.martian) == (DropReason.IP_RPFILTER, EXDEV, Martian.SOURCE)
