"""Routes of a host: every word of iproute2, what the `ip` tool and the kernel add to it, and what they refuse."""

from __future__ import annotations

from typing import Any

import pytest

from ipkit.core.host.build import build_host
from ipkit.core.host.config import HostConfig
from ipkit.core.host.kernel import LINUX_4_14, LINUX_6_18, KernelProfile
from ipkit.errors import HostError
from tests.support.listings import listed

LINKS: dict[str, Any] = {
    "eth0": {"addr": ["192.0.2.1/24", "192.0.2.9/24"]},
    "eth1": {"addr": ["198.51.100.1/24"]},
    "tun0": {"pointopoint": "10.9.0.2", "addr": ["10.9.0.1/32"]},
}


def host(
    *routes: str, kernel: KernelProfile = LINUX_6_18, links: dict[str, Any] | None = None, **more: Any
) -> HostConfig:
    return build_host({"routes": list(routes), "link": links or LINKS, **more}, file="h.toml", kernel=kernel)


def added(*routes: str, kernel: KernelProfile = LINUX_6_18, **more: Any) -> list[str]:
    """Return what the routes made, as `ip route show table all` lists it."""
    before = set(listed(host(kernel=kernel, **{key: more[key] for key in more if key == "links"})))
    return [line for line in listed(host(*routes, kernel=kernel, **more)) if line not in before]


# What was typed, and what `ip route show table all` printed after `ip route add` of it on a 6.18 kernel.
TAKEN = [
    ("default via 198.51.100.2 dev eth1", "default via 198.51.100.2 dev eth1"),
    ("default via 198.51.100.2", "default via 198.51.100.2 dev eth1"),
    ("0/0 via 198.51.100.2", "default via 198.51.100.2 dev eth1"),
    ("any via 198.51.100.2", "default via 198.51.100.2 dev eth1"),
    ("10/8 dev eth0", "10.0.0.0/8 dev eth0 scope link"),
    ("10/8 via 0.0.0.0 dev eth0", "10.0.0.0/8 dev eth0"),
    ("10.43/16 dev eth0", "10.43.0.0/16 dev eth0 scope link"),
    ("10.48.0.0/255.255.0.0 dev eth0", "10.48.0.0/16 dev eth0 scope link"),
    ("to 10.70.0.0/16 dev eth0", "10.70.0.0/16 dev eth0 scope link"),
    ("unicast 10.69.0.0/16 dev eth0", "10.69.0.0/16 dev eth0 scope link"),
    ("10.12.0.0/16 dev eth0 scope 100", "10.12.0.0/16 dev eth0 scope 100"),
    ("10.74.0.0/16 dev eth0 scope site", "10.74.0.0/16 dev eth0 scope site"),
    ("10.54.0.0/16 dev eth0 scope host", "10.54.0.0/16 dev eth0 scope host"),
    ("10.11.0.0/16 dev eth0 scope global", "10.11.0.0/16 dev eth0"),
    ("10.82.0.0/16 dev eth0 protocol static preference 5", "10.82.0.0/16 dev eth0 proto static scope link metric 5"),
    ("10.82.0.0/16 dev eth0 proto 4 priority 6", "10.82.0.0/16 dev eth0 proto static scope link metric 6"),
    ("10.82.0.0/16 dev eth0 proto 77", "10.82.0.0/16 dev eth0 proto 77 scope link"),
    ("10.82.0.0/16 dev eth0 proto frr-made", "10.82.0.0/16 dev eth0 proto frr-made scope link"),
    ("10.10.0.0/16 dev eth1 src 192.0.2.9 table 300", "10.10.0.0/16 dev eth1 table 300 scope link src 192.0.2.9"),
    ("10.40.0.0/16 tos 10 dev eth0", "10.40.0.0/16 tos 0x10 dev eth0 scope link"),
    ("10.40.0.0/16 dsfield 0x1c dev eth0", "10.40.0.0/16 tos 0x1c dev eth0 scope link"),
    ("10.42.0.0/16 tos AF11 dev eth0", "10.42.0.0/16 tos 0x28 dev eth0 scope link"),
    ("10.52.0.0/16 via 192.0.2.1", "10.52.0.0/16 via 192.0.2.1 dev eth0"),
    ("10.79.0.0/16 via 127.0.0.1", "10.79.0.0/16 via 127.0.0.1 dev lo"),
    ("10.80.0.0/16 dev lo", "10.80.0.0/16 dev lo scope link"),
    ("10.8.0.0/16 via 10.9.0.2", "10.8.0.0/16 via 10.9.0.2 dev tun0"),
    ("10.55.0.0/16 via 203.0.113.1 dev eth0 onlink", "10.55.0.0/16 via 203.0.113.1 dev eth0 onlink"),
    ("10.57.0.0/16 dev eth0 src 127.0.0.1", "10.57.0.0/16 dev eth0 scope link src 127.0.0.1"),
    ("10.62.0.0/16 nexthop via 192.0.2.5", "10.62.0.0/16 via 192.0.2.5 dev eth0"),
    (
        "10.61.0.0/16 nexthop dev eth0 weight 256 nexthop dev eth1",
        "10.61.0.0/16 nexthop dev eth0 weight 256 nexthop dev eth1 weight 1",
    ),
    (
        "198.18.10.0/24\n\tnexthop via 198.51.100.2 dev eth1 weight 1 \n"
        "\tnexthop via 203.0.113.2 dev eth0 weight 2 onlink ",
        "198.18.10.0/24 nexthop via 198.51.100.2 dev eth1 weight 1 nexthop via 203.0.113.2 dev eth0 weight 2 onlink",
    ),
    (
        "10.4.0.0/16 via 198.51.100.2 mtu lock 1300 advmss 1200 hoplimit 33 window 1000 rtt 1ms features ecn",
        "10.4.0.0/16 via 198.51.100.2 dev eth1 mtu lock 1300 advmss 1200 hoplimit 33 window 1000 rtt 1ms features ecn",
    ),
    ("10.4.0.0/16 dev eth0 mtu 70000 advmss 70000", "10.4.0.0/16 dev eth0 scope link mtu 65520 advmss 65495"),
    ("10.4.0.0/16 dev eth0 rto_min lock 5ms", "10.4.0.0/16 dev eth0 scope link rto_min lock 5ms"),
    ("10.59.0.0/16 dev eth0 mtu 0", "10.59.0.0/16 dev eth0 scope link"),
    ("10.65.0.0/16 dev eth0 table 4294967295", "10.65.0.0/16 dev eth0 table 4294967295 scope link"),
    ("10.65.0.0/16 dev eth0 table default", "10.65.0.0/16 dev eth0 table default scope link"),
    ("blackhole 10.7.0.0/16 metric 4294967295 proto 17", "blackhole 10.7.0.0/16 proto mrouted metric 4294967295"),
    ("unreachable 10.8.0.0/16 proto zebra tos 0x10", "unreachable 10.8.0.0/16 tos 0x10 proto zebra"),
    ("prohibit 10.8.0.0/16", "prohibit 10.8.0.0/16"),
    ("throw 10.15.0.0/16 table 7", "throw 10.15.0.0/16 table 7"),
    ("local 10.60.0.0/16 dev lo", "local 10.60.0.0/16 dev lo table local scope host"),
    ("local 10.77.0.2 dev eth0 src 10.77.0.2", "local 10.77.0.2 dev eth0 table local scope host src 10.77.0.2"),
    ("broadcast 10.13.0.255 dev eth0", "broadcast 10.13.0.255 dev eth0 table local scope link"),
    ("anycast 10.13.0.1 dev eth0", "anycast 10.13.0.1 dev eth0 table local scope link"),
    ("multicast 239.1.1.0/24 dev eth0", "multicast 239.1.1.0/24 dev eth0 scope link"),
    ("broadcast 10.76.0.0/16 dev eth0 scope host", "broadcast 10.76.0.0/16 dev eth0 table local scope host"),
    ("224.0.0.0/4 dev eth0", "224.0.0.0/4 dev eth0 scope link"),
    ("255.255.255.255 dev eth0", "255.255.255.255 dev eth0 scope link"),
    ("10.6.0.0/16 via inet6 FE80::1 dev eth0", "10.6.0.0/16 via inet6 fe80::1 dev eth0"),
    ("10.6.0.0/16 via inet 192.0.2.7 dev eth0", "10.6.0.0/16 via 192.0.2.7 dev eth0"),
    ("10.3.0.0/16 via 192.0.2.7 dev eth0 linkdown", "10.3.0.0/16 via 192.0.2.7 dev eth0 linkdown"),
    ("10.3.0.0/16 via 192.0.2.7 dev eth0 rt_offload rt_trap", "10.3.0.0/16 via 192.0.2.7 dev eth0"),
    ("nat 10.14.0.0/16 via 192.0.2.7", "nat 10.14.0.0/16 via 192.0.2.7 dev lo table local scope host"),
]


@pytest.mark.parametrize(("typed", "line"), TAKEN, ids=[typed for typed, _ in TAKEN])
def test_a_route_is_taken_as_the_kernel_lists_it(typed: str, line: str) -> None:
    assert added(typed) == [line]


REFUSED = [
    ("10.45.0.1/16 dev eth0", "10.45.0.1/16 has bits set behind its prefix length: 10.45.0.0/16?"),
    ("10.48.0.0/33 dev eth0", "33 is not between 0 and 32"),
    ("10.48.0.0/255.0.255.0 dev eth0", "`10.48.0.0/255.0.255.0` is not a prefix"),
    ("10.48.0/x dev eth0", "`10.48.0/x` is not a prefix"),
    ("010.46.0.0/16 dev eth0", "`010.46.0.0` is not an IPv4 address"),
    ("10.256.0.0/16 dev eth0", "`10.256.0.0` is not an IPv4 address"),
    ("10.1.2.3.4/16 dev eth0", "`10.1.2.3.4` is not an IPv4 address"),
    ("10.1.2 dev eth0", "`10.1.2` is not an IPv4 address"),
    ("dev eth0", "`dev` is not an IPv4 address"),
    ("blackhole", "no prefix"),
    ("10.49.0.0/16", "neither gateway nor device"),
    ("local 10.50.0.0/16", "neither gateway nor device"),
    ("10.49.0.0/16 via", "nothing stands after `via`"),
    ("10.49.0.0/16 dev eth7", "there is no link eth7"),
    ("10.49.0.0/16 via 192.0.2.7 dev eth7", "there is no link eth7"),
    ("blackhole 10.51.0.0/16 dev eth0", "a blackhole route has neither gateway nor device"),
    ("throw 10.51.0.0/16 via 192.0.2.7", "a throw route has neither gateway nor device"),
    ("10.52.0.0/16 via 192.0.2.255", "the gateway 192.0.2.255 is a broadcast address"),
    ("10.53.0.0/16 via 203.0.113.1", "no link that is up reaches the gateway 203.0.113.1"),
    ("10.53.0.0/16 via 192.0.2.3 dev eth1", "no link that is up reaches the gateway 192.0.2.3 through eth1"),
    ("10.53.0.0/16 via 192.0.2.3 scope link", "no link that is up reaches the gateway 192.0.2.3"),
    ("10.54.0.0/16 via 192.0.2.3 scope host", "a route of scope host cannot have a gateway"),
    ("10.54.0.0/16 scope host nexthop dev eth0 nexthop dev eth1", "a route of scope host has only one way"),
    ("10.55.0.0/16 dev eth0 scope nowhere", "scope nowhere cannot be that of a unicast route"),
    ("local 10.77.0.1 dev eth0 scope link", "scope link cannot be that of a local route"),
    ("broadcast 10.77.0.1 dev eth0 scope 252", "scope 252 cannot be that of a broadcast route"),
    ("10.55.0.0/16 via 203.0.113.1 onlink", "onlink needs a device"),
    ("10.55.0.0/16 via 192.0.2.1 dev eth0 onlink", "the gateway 192.0.2.1 is of type local"),
    ("10.55.0.0/16 via 198.51.100.1 dev eth0 onlink", "the gateway 198.51.100.1 is of type local"),
    ("10.55.0.0/16 via 192.0.2.255 dev eth0 onlink", "the gateway 192.0.2.255 is of type broadcast"),
    ("10.55.0.0/16 via 224.0.0.1 dev eth0 onlink", "the gateway 224.0.0.1 is of type multicast"),
    ("10.55.0.0/16 via 255.255.255.255 dev eth0 onlink", "the gateway 255.255.255.255 is of type broadcast"),
    ("10.55.0.0/16 via 192.0.2.4 dev eth0 onlink scope link", "a gateway and scope link"),
    ("10.56.0.0/16 dev eth0 onlink", "onlink and pervasive need a gateway"),
    ("10.56.0.0/16 nhid 5 onlink", "`onlink` without a gateway and a device"),
    ("10.57.0.0/16 dev eth0 src 203.0.113.4", "src 203.0.113.4 is not an address of this host"),
    ("10.57.0.0/16 dev eth0 src 192.0.2.255", "src 192.0.2.255 is not an address of this host"),
    ("local 10.57.0.0/16 dev eth0 src 10.57.0.1", "src 10.57.0.1 is not an address of this host"),
    ("10.58.0.0/16 dev eth0 hoplimit 300", "300 is not between 0 and 255"),
    ("10.58.0.0/16 dev eth0 mtu 99999999999", "99999999999 is not between 0 and 4294967295"),
    ("10.58.0.0/16 dev eth0 mtu -1", "-1 is not between 0 and 4294967295"),
    ("10.58.0.0/16 dev eth0 mtu lots", "`lots` is not a number"),
    ("10.58.0.0/16 dev eth0 mtu 5 mtu 6", "`mtu` is said twice"),
    ("10.60.0.0/16 dev eth0 weight 5", "unknown word `weight`"),
    ("10.61.0.0/16 nexthop dev eth0 weight 257", "257 is not between 1 and 256"),
    ("10.61.0.0/16 nexthop dev eth0 weight 0", "0 is not between 1 and 256"),
    ("10.61.0.0/16 nexthop weight 1", "a `nexthop` without `via` and `dev`"),
    ("10.61.0.0/16 nexthop dev eth0 mtu 5", "`mtu` cannot stand behind `nexthop`"),
    ("10.63.0.0/16 dev eth0 nexthop via 192.0.2.5", "`nexthop` and a gateway or device of its own at once"),
    ("10.65.0.0/16 dev eth0 table all", "`all` is neither a number nor one of default, main, local"),
    ("10.65.0.0/16 dev eth0 table 0", "0 is not between 1 and 4294967295"),
    ("10.65.0.0/16 dev eth0 table 4294967296", "4294967296 is not between 1 and 4294967295"),
    ("10.66.0.0/16 dev eth0 proto 256", "256 is not between 0 and 255"),
    ("10.66.0.0/16 dev eth0 proto ?", "`?` is not a routing protocol"),
    ("10.66.0.0/16 dev eth0 metric -1", "-1 is not between 0 and 4294967295"),
    ("10.67.0.0/16 dev eth0 bogus", "unknown word `bogus`"),
    ("10.67.0.0/16 dev eth0 dev eth1", "`dev` is said twice"),
    ("10.67.0.0/16 via 192.0.2.5 via 192.0.2.6", "`via` is said twice"),
    ("10.42.0.0/16 tos 0x3 dev eth0", "the two ECN bits of a TOS must be 0"),
    ("10.42.0.0/16 tos 0x100 dev eth0", "0x100 is not between 0 and 255"),
    ("10.42.0.0/16 tos 0xzz dev eth0", "`0xzz` is not a number"),
    ("10.1.0.0/16 dev eth0 realms 1/2", "`realms` is not modelled"),
    ("10.1.0.0/16 encap mpls 5 via 192.0.2.3", "`encap` is not modelled"),
    ("10.1.0.0/16 via 192.0.2.3 expires 300", "`expires` is not modelled"),
    ("10.1.0.0/16 via 192.0.2.3 uid 0", "`uid` is not modelled"),
    ("10.1.0.0/16 via inet6 192.0.2.3 dev eth0", "`192.0.2.3` is not an IPv6 address"),
    ("10.1.0.0/16 via inet6 fe80::1", "no device"),
    ("10.1.0.0/16 nhid 5", "there is no nexthop 5"),
    ("192.0.2.0/24 dev eth0", "an address has a route to 192.0.2.0/24"),
    ("192.0.2.0/24 dev eth0 proto kernel scope link", "an address has a route to 192.0.2.0/24"),
]


@pytest.mark.parametrize(("typed", "why"), REFUSED, ids=[typed for typed, _ in REFUSED])
def test_what_the_kernel_or_the_tool_refuses_is_refused(typed: str, why: str) -> None:
    with pytest.raises(HostError) as refused:
        host("blackhole 240.0.0.0/8", typed)
    assert str(refused.value).startswith(f"h.toml: routes[1]: {why}")


def test_an_older_kernel_has_no_ipv6_gateway_and_takes_any_tos() -> None:
    with pytest.raises(HostError, match=r"routes\[0\]: via inet6: kernel 4\.14 does not have it"):
        host("10.6.0.0/16 via inet6 fe80::1 dev eth0", kernel=LINUX_4_14)
    assert added("10.4.0.0/16 tos 0x13 dev eth0", kernel=LINUX_4_14) == ["10.4.0.0/16 tos 0x13 dev eth0 scope link"]


def test_a_route_may_stand_before_the_one_that_reaches_its_gateway() -> None:
    assert added("default via 203.0.113.1 dev eth0", "203.0.113.1 dev eth0 scope link") == [
        "default via 203.0.113.1 dev eth0",
        "203.0.113.1 dev eth0 scope link",
    ]


def test_a_gateway_is_looked_up_as_it_is_when_its_route_is_added() -> None:
    routes = ("10.1.0.0/16 via 192.0.2.3", "192.0.2.3 dev eth1", "10.2.0.0/16 via 192.0.2.3")
    assert added(*routes) == [
        "10.1.0.0/16 via 192.0.2.3 dev eth0",
        "10.2.0.0/16 via 192.0.2.3 dev eth1",
        "192.0.2.3 dev eth1 scope link",
    ]


def test_a_gateway_may_be_reached_in_the_routes_own_table() -> None:
    assert added("203.0.113.0/24 dev eth0 table 7", "default via 203.0.113.1 table 7") == [
        "default via 203.0.113.1 dev eth0 table 7",
        "203.0.113.0/24 dev eth0 table 7 scope link",
    ]


def test_of_equal_prefixes_tos_stands_first_then_the_smaller_metric_then_the_earlier() -> None:
    routes = (
        "10.0.0.0/8 dev eth0 metric 9",
        "10.0.0.0/8 via 192.0.2.5",
        "append 10.0.0.0/8 via 192.0.2.4",
        "10.0.0.0/8 tos 0x10 dev eth1",
        "10.0.0.0/16 dev eth0",
    )
    assert added(*routes) == [
        "10.0.0.0/16 dev eth0 scope link",
        "10.0.0.0/8 tos 0x10 dev eth1 scope link",
        "10.0.0.0/8 via 192.0.2.5 dev eth0",
        "10.0.0.0/8 via 192.0.2.4 dev eth0",
        "10.0.0.0/8 dev eth0 scope link metric 9",
    ]


SECOND = [
    (["10.0.0.0/8 via 192.0.2.5", "10.0.0.0/8 via 192.0.2.5"], "the same route as in routes[0]"),
    (["10.0.0.0/8 via 192.0.2.5", "10.0.0.0/8 via 192.0.2.5 dev eth0"], "the same route as in routes[0]"),
    (["10.0.0.0/8 via 192.0.2.5", "append 10.0.0.0/8 via 192.0.2.5"], "the same route as in routes[0]"),
    (["10.0.0.0/8 via 192.0.2.5", "10.0.0.0/8 via 192.0.2.6"], "routes[0] has a route to 10.0.0.0/8 with this tos and"),
    (["blackhole 10.0.0.0/8", "10.0.0.0/8 dev eth0"], "routes[0] has a route to 10.0.0.0/8 with this tos and metric"),
]


@pytest.mark.parametrize(("routes", "why"), SECOND, ids=[why for _, why in SECOND])
def test_a_second_route_of_one_prefix_tos_and_metric_is_refused(routes: list[str], why: str) -> None:
    with pytest.raises(HostError) as refused:
        host(*routes)
    assert str(refused.value).startswith(f"h.toml: routes[1]: {why}")


PASTED = [
    "192.0.2.0/24 dev eth0 proto kernel scope link src 192.0.2.1",
    "local 192.0.2.1 dev eth0 table local proto kernel scope host src 192.0.2.1",
    "local 192.0.2.9 dev eth0 table local proto kernel scope host src 192.0.2.1",
    "broadcast 192.0.2.255 dev eth0 table local proto kernel scope link src 192.0.2.1",
    "broadcast 192.0.2.0 dev eth0 table local proto kernel scope link src 192.0.2.1",
    "local 127.0.0.1 dev lo table local proto kernel scope host src 127.0.0.1",
]


@pytest.mark.parametrize("kernel", [LINUX_4_14, LINUX_6_18], ids=lambda kernel: kernel.name)
def test_pasted_routes_of_the_kernels_own_merge_silently(kernel: KernelProfile) -> None:
    assert listed(host(*PASTED, *PASTED[:2], kernel=kernel)) == listed(host(kernel=kernel))


def test_a_route_said_to_be_the_kernels_that_no_address_brings_is_a_route() -> None:
    line = "10.5.0.0/16 dev eth0 proto kernel scope link src 192.0.2.1 metric 100"
    assert added(line) == [line]


def test_pasted_lines_decide_the_order_of_equal_routes() -> None:
    links = {"eth0": {"addr": ["10.0.0.1/24"]}, "eth1": {"addr": ["10.0.0.2/24"]}}
    first, second = (line for line in listed(host(links=links), 254))
    assert (first, second) == (
        "10.0.0.0/24 dev eth0 proto kernel scope link src 10.0.0.1",
        "10.0.0.0/24 dev eth1 proto kernel scope link src 10.0.0.2",
    )
    assert listed(host(second, first, links=links), 254) == [second, first]


def test_routes_may_be_pasted_as_one_text() -> None:
    pasted = """
        default via 198.51.100.2 dev eth1
        10.2.0.0/16 proto bird metric 32
            nexthop via 198.51.100.2 dev eth1 weight 1
            nexthop via 192.0.2.2 dev eth0 weight 3
        10.3.0.0/16 proto bird \\	nexthop via 198.51.100.2 dev eth1 weight 1 \\	nexthop dev eth0 weight 3
    """
    found = build_host({"routes": pasted, "link": LINKS}, file="h.toml", kernel=LINUX_6_18)
    assert [line for line in listed(found, 254) if "kernel" not in line and "tun0" not in line] == [
        "default via 198.51.100.2 dev eth1",
        "10.2.0.0/16 proto bird metric 32"
        " nexthop via 198.51.100.2 dev eth1 weight 1 nexthop via 192.0.2.2 dev eth0 weight 3",
        "10.3.0.0/16 proto bird nexthop via 198.51.100.2 dev eth1 weight 1 nexthop dev eth0 weight 3",
    ]


def test_a_nexthop_line_needs_a_route_above_it() -> None:
    with pytest.raises(HostError, match=r"routes\[1\]: a `nexthop` that belongs to no route"):
        host("default via 198.51.100.2", "nexthop via 192.0.2.2")


def test_an_ipv6_line_of_a_dump_is_passed_over() -> None:
    assert added("fe80::/64 dev eth0 proto kernel metric 256 pref medium", "2001:db8::/32 via fe80::1 dev eth0") == []


# Nexthop objects: what a 6.18 kernel listed, and what it refused.

OBJECTS = [
    "id 5 via 198.51.100.2 dev eth1",
    "id 6 via 192.0.2.2 dev eth0 scope link proto zebra",
    "id 7 blackhole",
    "id 8 dev eth0",
    "id 10 group 5/6,3 type mpath",
    "id 12 via 203.0.113.7 dev eth0 onlink",
]
BY_OBJECT = [
    ("10.1.0.0/16 nhid 5", "10.1.0.0/16 nhid 5 via 198.51.100.2 dev eth1"),
    ("10.1.0.0/16 nhid 5 via 198.51.100.2 dev eth1", "10.1.0.0/16 nhid 5 via 198.51.100.2 dev eth1"),
    ("10.9.0.0/16 nhid 8 dev eth0", "10.9.0.0/16 nhid 8 dev eth0"),
    ("10.31.0.0/16 nhid 12", "10.31.0.0/16 nhid 12 via 203.0.113.7 dev eth0 onlink"),
    (
        "10.34.0.0/16 nhid 10 src 192.0.2.9 metric 7 \n nexthop via 198.51.100.2 dev eth1 weight 1",
        "10.34.0.0/16 nhid 10 src 192.0.2.9 metric 7"
        " nexthop via 198.51.100.2 dev eth1 weight 1 nexthop via 192.0.2.2 dev eth0 weight 3",
    ),
    ("10.3.0.0/16 nhid 7", "blackhole 10.3.0.0/16 nhid 7"),
    ("blackhole 10.3.0.0/16 nhid 7 dev lo", "blackhole 10.3.0.0/16 nhid 7"),
    ("239.0.0.0/8 scope link nhid 5", "239.0.0.0/8 nhid 5 via 198.51.100.2 dev eth1 scope link"),
    ("10.2.0.0/16 nhid 99 via 192.0.2.2 dev eth0", "10.2.0.0/16 nhid 99 via 192.0.2.2 dev eth0"),
    ("blackhole 10.3.0.0/16 nhid 99 dev lo", "blackhole 10.3.0.0/16 nhid 99"),
]


@pytest.mark.parametrize(("typed", "line"), BY_OBJECT, ids=[typed for typed, _ in BY_OBJECT])
def test_a_route_by_a_nexthop_object_has_its_ways(typed: str, line: str) -> None:
    assert added(typed, nexthops=OBJECTS) == [line]


BAD_OBJECTS = [
    ("via 192.0.2.2 dev eth0", "no `id`"),
    ("id 13 via 192.0.2.2", "no `dev`"),
    ("id 13", "one of `dev`, `group` and `blackhole` is needed"),
    ("id 13 blackhole dev eth0", "one of `dev`, `group` and `blackhole` is needed"),
    ("id 13 via 203.0.113.2 dev eth0", "no link that is up reaches the gateway 203.0.113.2 through eth0"),
    ("id 13 dev eth9", "there is no link eth9"),
    ("id 15 group 10", "nexthop 10 is a group itself"),
    ("id 17 group 7/5", "nexthop 7 is a blackhole: it can only be alone"),
    ("id 18 group 5/5", "the group 5/5 names a nexthop twice"),
    ("id 18 group 5/99", "there is no nexthop 99"),
    ("id 18 group 5,0", "0 is not between 1 and 256"),
    ("id 11 group 5/6 type resilient buckets 32", "groups of type `resilient` are not modelled"),
    ("id 5 dev eth0", "there is a nexthop 5 already"),
    ("id 13 via 192.0.2.2 dev eth0 fdb", "`fdb` is not modelled"),
    ("id 13 via 192.0.2.2 dev eth0 fast", "unknown word `fast`"),
    ("id 0 dev eth0", "0 is not between 1 and 4294967295"),
]


@pytest.mark.parametrize(("typed", "why"), BAD_OBJECTS, ids=[typed for typed, _ in BAD_OBJECTS])
def test_a_nexthop_object_that_cannot_be_is_refused(typed: str, why: str) -> None:
    with pytest.raises(HostError) as refused:
        host(nexthops=[*OBJECTS, typed])
    assert str(refused.value) == f"h.toml: nexthops[6]: {why}"


BAD_USES = [
    ("10.1.0.0/16 nhid 5 via 192.0.2.7 dev eth0", "nexthop 5 leads elsewhere"),
    ("10.1.0.0/16 nhid 5 scope host", "a route of scope host cannot have a gateway"),
    ("10.1.0.0/16 nhid 12 scope link", "onlink and scope link"),
]


@pytest.mark.parametrize(("typed", "why"), BAD_USES, ids=[typed for typed, _ in BAD_USES])
def test_a_nexthop_object_must_suit_its_route(typed: str, why: str) -> None:
    with pytest.raises(HostError) as refused:
        host(typed, nexthops=OBJECTS)
    assert str(refused.value) == f"h.toml: routes[0]: {why}"


def test_routes_by_one_object_that_name_no_metrics_have_those_of_the_last_that_did() -> None:
    """As a 6.18 kernel listed them: it finds the earlier route's info without looking at metrics."""
    routes = (
        "203.0.113.0/24 nhid 8",
        "10.1.0.0/16 mtu 1300 nhid 8",
        "10.2.0.0/16 nhid 8",
        "10.3.0.0/16 metric 5 nhid 8",
    )
    assert added(*routes, nexthops=OBJECTS) == [
        "10.1.0.0/16 nhid 8 dev eth0 mtu 1300",
        "10.2.0.0/16 nhid 8 dev eth0 mtu 1300",
        "10.3.0.0/16 nhid 8 dev eth0 metric 5",
        "203.0.113.0/24 nhid 8 dev eth0",
    ]


# Links that are down, or without a carrier.


def test_a_route_by_a_link_that_is_down_is_refused_and_its_addresses_stay() -> None:
    links = {**LINKS, "eth1": {**LINKS["eth1"], "up": False}}
    assert [line for line in listed(host(links=links)) if "eth1" in line] == [
        "local 198.51.100.1 dev eth1 table local proto kernel scope host src 198.51.100.1"
    ]
    for line, why in (
        ("10.0.0.0/8 dev eth1", "the link eth1 is down"),
        ("10.0.0.0/8 via 198.51.100.2", "no link that is up reaches the gateway 198.51.100.2"),
        ("10.0.0.0/8 via 198.51.100.1", "the link eth1 is down"),
    ):
        with pytest.raises(HostError) as refused:
            host(line, links=links)
        assert str(refused.value) == f"h.toml: routes[0]: {why}"


def test_what_goes_by_a_link_without_carrier_says_linkdown() -> None:
    links = {**LINKS, "eth1": {**LINKS["eth1"], "carrier": False}}
    lines = listed(host("10.0.0.0/8 via 198.51.100.2", "10.1.0.0/16 dev eth1 scope host", links=links))
    assert [line for line in lines if "eth1" in line] == [
        "10.0.0.0/8 via 198.51.100.2 dev eth1 linkdown",
        "10.1.0.0/16 dev eth1 scope host",
        "198.51.100.0/24 dev eth1 proto kernel scope link src 198.51.100.1 linkdown",
        "local 198.51.100.1 dev eth1 table local proto kernel scope host src 198.51.100.1",
        "broadcast 198.51.100.255 dev eth1 table local proto kernel scope link src 198.51.100.1 linkdown",
    ]
    with pytest.raises(HostError, match=r"nexthops\[0\]: the link eth1 has no carrier"):
        host(links=links, nexthops=["id 1 dev eth1"])
