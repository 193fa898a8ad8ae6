"""Source addresses: inet_select_addr, inet_addr_onlink, fib_compute_spec_dst."""

from __future__ import annotations

from typing import Any

import pytest

from ipkit.core.host.fib import SCOPE_HOST, SCOPE_LINK, SCOPE_UNIVERSE, Route
from ipkit.core.host.kernel import LINUX_4_14, LINUX_6_18, KernelProfile
from ipkit.core.route import InputFlow, fib_compute_spec_dst, inet_addr_onlink, inet_select_addr, ip_route_input_noref
from ipkit.core.wire.ipv4 import address_text
from tests.support.routes import number, two_armed

LINKS: dict[str, dict[str, Any]] = {
    "t0": {"addr": ["10.0.0.1/24", "10.0.0.2/24", "10.0.7.1/24", "10.0.8.1/24 scope link", "10.0.9.1/24 scope host"]},
    "t2": {"addr": ["10.2.0.1/24 scope link"]},
    "t3": {},
    "t4": {"addr": ["10.4.0.1 peer 10.5.0.0/24"]},
}


@pytest.mark.parametrize(
    ("dev", "dst", "scope", "expected"),
    [
        ("t0", "0.0.0.0", SCOPE_UNIVERSE, "10.0.0.1"),
        ("t0", "10.0.7.9", SCOPE_UNIVERSE, "10.0.7.1"),
        ("t0", "10.0.0.2", SCOPE_UNIVERSE, "10.0.0.1"),  # secondaries are never chosen
        ("t0", "99.1.1.1", SCOPE_UNIVERSE, "10.0.0.1"),
        ("t0", "10.0.8.9", SCOPE_UNIVERSE, "10.0.0.1"),  # too narrow a scope
        ("t0", "10.0.8.9", SCOPE_LINK, "10.0.8.1"),
        ("t0", "10.0.9.9", SCOPE_LINK, "10.0.8.1"),  # the list begins with the narrowest scope
        ("t0", "10.0.9.9", SCOPE_HOST, "10.0.9.1"),
        ("t2", "0.0.0.0", SCOPE_LINK, "10.2.0.1"),
        ("t2", "0.0.0.0", SCOPE_UNIVERSE, "10.0.0.1"),  # another link's
        ("t3", "10.1.0.9", SCOPE_UNIVERSE, "10.0.0.1"),
        ("t3", "10.1.0.9", SCOPE_HOST, "127.0.0.1"),  # lo comes first, if its scope will do
        ("t4", "10.5.0.9", SCOPE_UNIVERSE, "10.4.0.1"),  # the peer's subnet is the link's
        ("nowhere", "0.0.0.0", SCOPE_UNIVERSE, "10.0.0.1"),
    ],
)
def test_which_address_a_link_gives(dev: str, dst: str, scope: int, expected: str) -> None:
    tables = two_armed(link=LINKS).tables
    assert address_text(inet_select_addr(tables, dev, number(dst), scope)) == expected


@pytest.mark.parametrize(("kernel", "expected"), [(LINUX_4_14, "10.0.0.1"), (LINUX_6_18, "127.0.0.9")])
def test_a_loopback_address_as_a_source_on_the_wire(kernel: KernelProfile, expected: str) -> None:
    link = {"t1": {"addr": ["127.0.0.9/24 scope host"]}}
    tables = two_armed(kernel, link=link, sysctl={"conf.t1.route_localnet": 1}).tables
    assert address_text(inet_select_addr(tables, "t1", 0, SCOPE_LINK)) == expected


def test_a_host_without_an_address_that_fits_gives_none() -> None:
    routing = two_armed(link={"t0": {"addr": []}, "t1": {"addr": []}})
    assert inet_select_addr(routing.tables, "t0", 0, SCOPE_LINK) == 0


def test_links_of_another_vrf_give_nothing() -> None:
    link: dict[str, dict[str, Any]] = {
        "blue": {"kind": "vrf", "table": 10},
        "t2": {"addr": [], "master": "blue"},
        "t3": {"addr": ["10.3.0.1/24"], "master": "blue"},
    }
    routing = two_armed(link=link)
    assert address_text(inet_select_addr(routing.tables, "t2", 0, SCOPE_UNIVERSE)) == "10.3.0.1"
    link["blue"]["addr"] = ["10.9.9.9/32"]
    assert address_text(inet_select_addr(two_armed(link=link).tables, "t2", 0, SCOPE_UNIVERSE)) == "10.9.9.9"


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [("10.0.0.9", "10.0.0.77", True), ("10.0.0.9", "10.0.7.77", False), ("10.0.7.9", "0.0.0.0", True),
     ("10.1.0.9", "0.0.0.0", False)],
)  # fmt: skip
def test_one_subnet_covers_both(one: str, other: str, expected: bool) -> None:
    link = two_armed(link=LINKS).host.links["t0"]
    assert inet_addr_onlink(link, number(one), number(other)) is expected


@pytest.mark.parametrize("kernel", [LINUX_4_14, LINUX_6_18], ids=lambda kernel: kernel.name)
@pytest.mark.parametrize(
    ("src", "dst", "expected"),
    [
        ("10.0.0.5", "10.1.0.1", "10.1.0.1"),  # it was for this address
        ("10.0.0.5", "10.0.0.255", "10.0.0.1"),  # a broadcast: what we would answer from
        ("10.1.0.5", "255.255.255.255", "10.1.0.1"),
        ("0.0.0.0", "255.255.255.255", "10.0.0.1"),
        ("10.0.0.5", "224.0.0.1", "10.0.0.1"),
        ("10.0.0.5", "10.1.0.5", "10.0.0.1"),  # in transit
        ("99.1.1.1", "10.1.0.5", "10.0.0.1"),  # no way back: the link it came by
    ],
)
def test_which_of_our_addresses_a_packet_was_for(src: str, dst: str, expected: str, kernel: KernelProfile) -> None:
    routing = two_armed(kernel)
    flow = InputFlow(number(dst), number(src), 0, "t0")
    route = ip_route_input_noref(flow, routing)
    assert isinstance(route, Route)
    assert address_text(fib_compute_spec_dst(routing, flow, route)) == expected
