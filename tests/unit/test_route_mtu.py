"""How large a packet may be, in both kernels and both directions; literals."""

from __future__ import annotations

import pytest

from ipkit.core.host.fib import Route
from ipkit.core.host.kernel import LINUX_4_14, LINUX_6_18, KernelProfile
from ipkit.core.route import (
    Direction,
    OutputFlow,
    dst_metric_advmss,
    dst_mtu,
    ip4_dst_hoplimit,
    ip_dst_mtu_maybe_forward,
    ip_route_output_key,
)
from ipkit.core.state.routing import Routing
from tests.support.routes import number, two_armed

FORWARDED, OWN = Direction.FORWARDED, Direction.OWN


def route_of(routing: Routing, dst: str = "10.7.0.5") -> Route:
    route = ip_route_output_key(OutputFlow(number(dst)), routing)
    assert isinstance(route, Route)
    return route


@pytest.mark.parametrize(
    ("line", "kernel", "forwarded", "own"),
    [
        ("10.7.0.0/16 via 10.0.0.9", LINUX_4_14, 1400, 1400),
        ("10.7.0.0/16 via 10.0.0.9", LINUX_6_18, 1400, 1400),
        ("10.7.0.0/16 via 10.0.0.9 mtu 1000", LINUX_4_14, 1400, 1000),
        ("10.7.0.0/16 via 10.0.0.9 mtu 1000", LINUX_6_18, 1000, 1000),
        ("10.7.0.0/16 via 10.0.0.9 mtu 9000", LINUX_4_14, 1400, 9000),
        ("10.7.0.0/16 via 10.0.0.9 mtu 9000", LINUX_6_18, 9000, 9000),
        ("10.7.0.0/16 via 10.0.0.9 mtu lock 1200", LINUX_4_14, 1200, 1200),
        ("10.7.0.0/16 via 10.0.0.9 mtu lock 1200", LINUX_6_18, 1200, 1200),
        ("10.7.0.0/16 via 10.0.0.9 mtu lock 0", LINUX_4_14, 576, 576),
        ("10.7.0.0/16 via 10.0.0.9 mtu lock 0", LINUX_6_18, 576, 576),
        ("10.7.0.0/16 dev t0 mtu lock 0", LINUX_6_18, 1400, 1400),
    ],
)
def test_the_mtu_of_a_route(line: str, kernel: KernelProfile, forwarded: int, own: int) -> None:
    routing = two_armed(kernel, routes=[line], link={"t0": {"mtu": 1400}})
    route = route_of(routing)
    mtus = [ip_dst_mtu_maybe_forward(route, routing.host, way, 0) for way in (FORWARDED, OWN)]
    assert mtus == [forwarded, own]


def test_no_mtu_is_larger_than_a_datagram() -> None:
    routing = two_armed(link={"t0": {"mtu": 65536}})
    assert dst_mtu(route_of(routing, "10.0.0.5"), routing.host, 0) == 65535
    assert ip_dst_mtu_maybe_forward(route_of(routing, "127.0.0.1"), routing.host, FORWARDED, 0) == 65535


@pytest.mark.parametrize(
    ("use_pmtu", "locked", "now", "forwarded", "own"),
    [
        (0, False, 10, 1400, 800),
        (1, False, 10, 800, 800),
        (0, True, 10, 800, 800),
        (0, False, 100, 1400, 1400),
        (1, False, 100, 1400, 1400),
    ],
)
def test_a_learnt_mtu(use_pmtu: int, locked: bool, now: int, forwarded: int, own: int) -> None:
    routing = two_armed(sysctl={"ip_forward_use_pmtu": use_pmtu}, link={"t0": {"mtu": 1400}})
    route = route_of(routing, "10.0.0.5")
    route.pmtu, route.pmtu_locked, route.expires_ns = 800, locked, 100
    mtus = [ip_dst_mtu_maybe_forward(route, routing.host, way, now) for way in (FORWARDED, OWN)]
    assert mtus == [forwarded, own]


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [("", 1460), ("mtu 1000", 960), ("advmss 700", 700), ("mtu 200", 256), ("mtu 1000 advmss 1200", 1200)],
)
def test_the_segment_to_announce(metrics: str, expected: int) -> None:
    routing = two_armed(routes=[f"10.7.0.0/16 via 10.0.0.9 {metrics}"])
    assert dst_metric_advmss(route_of(routing), routing.host, 0) == expected


def test_the_largest_segment_to_announce() -> None:
    routing = two_armed()
    assert dst_metric_advmss(route_of(routing, "127.0.0.1"), routing.host, 0) == 65495


@pytest.mark.parametrize(("metrics", "expected"), [("", 61), ("hoplimit 33", 33)])
def test_the_ttl_of_our_own_packets(metrics: str, expected: int) -> None:
    routing = two_armed(routes=[f"10.7.0.0/16 via 10.0.0.9 {metrics}"], sysctl={"ip_default_ttl": 61})
    assert ip4_dst_hoplimit(route_of(routing), routing.host) == expected
