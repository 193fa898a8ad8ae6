"""A host from nothing but routes: the four forms, told by content, and what they bring with them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ipkit.core.host.build import build_host, host_from_routes
from ipkit.core.host.config import HostConfig
from ipkit.core.host.fib import FibEntry, NextHop, RouteType
from ipkit.core.host.kernel import LINUX_4_14, LINUX_6_18
from ipkit.core.host.routes import BULK_FROM
from ipkit.errors import HostError
from tests.support.listings import dotted, line_of, listed


def host(text: str) -> HostConfig:
    return host_from_routes(text.splitlines(keepends=True), file="routes", kernel=LINUX_6_18)


def routes(text: str) -> list[str]:
    return [line for line in listed(host(text)) if "dev lo" not in line]


PRINTED = """\
default via 192.0.2.2 dev eth0 proto dhcp metric 100
10.0.0.0/8 dev tun0 scope link
10.2.0.0/16 proto bird metric 32
	nexthop via 198.51.100.2 dev eth1 weight 1
	nexthop via 192.0.2.2 dev eth0 weight 3
blackhole 10.3.0.0/16 proto bird
192.0.2.0/24 dev eth0 proto kernel scope link src 192.0.2.1
local 192.0.2.1 dev eth0 table local proto kernel scope host src 192.0.2.1
"""


def test_what_ip_route_prints_is_read() -> None:
    assert [line for line in routes(PRINTED) if "table local" not in line] == [
        "default via 192.0.2.2 dev eth0 proto dhcp metric 100",
        "10.0.0.0/8 dev tun0 scope link",
        "10.2.0.0/16 proto bird metric 32"
        " nexthop via 198.51.100.2 dev eth1 weight 1 nexthop via 192.0.2.2 dev eth0 weight 3",
        "blackhole 10.3.0.0/16 proto bird",
        "192.0.2.0/24 dev eth0 proto kernel scope link src 192.0.2.1",
    ]


def test_links_and_their_addresses_come_from_the_routes() -> None:
    found = host(PRINTED)
    assert list(found.links) == ["lo", "eth0", "tun0", "eth1"]
    assert [dotted(one.local) for one in found.links["eth0"].addresses] == ["192.0.2.1"]
    assert "broadcast 192.0.2.255 dev eth0 table local proto kernel scope link src 192.0.2.1" in listed(found)
    assert found.net.ip_forward == 1
    peers = host("10.9.0.2 dev tun0 proto kernel scope link src 10.9.0.1\n").links["tun0"].addresses
    assert [(dotted(one.local), dotted(one.peer), one.prefix_len) for one in peers] == [("10.9.0.1", "10.9.0.2", 32)]


def test_json_is_read() -> None:
    text = (
        '[{"dst":"default","gateway":"192.0.2.2","dev":"eth0","flags":[]},\n'
        '{"type":"blackhole","dst":"10.3.0.0/16","flags":[]},{"dst":"fe80::/64","dev":"eth0","pref":"medium"}]\n'
    )
    assert routes(text) == ["default via 192.0.2.2 dev eth0", "blackhole 10.3.0.0/16"]


def test_proc_net_route_is_read() -> None:
    text = (
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
        "eth0\t00000000\t020200C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"
        "eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t1440\t0\t0\n"
        "*\t0000030A\t00000000\t0200\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
    )
    assert routes(text) == [
        "default via 192.0.2.2 dev eth0 metric 100",
        "unreachable 10.3.0.0/16",
        "192.0.2.0/24 dev eth0 advmss 1400",
    ]


def test_lists_of_prefixes_and_next_hops_are_read() -> None:
    text = """
    # from somewhere
    10.0.0.0/8    192.0.2.2
    10.1.0.0/16\t192.0.2.3 eth7
    10.2/16 192.0.2.2

    """
    assert routes(text) == [
        "10.0.0.0/8 via 192.0.2.2 dev eth7",
        "10.1.0.0/16 via 192.0.2.3 dev eth7",
        "10.2.0.0/16 via 192.0.2.2 dev eth7",
    ]
    assert routes("10.0.0.0/8 192.0.2.2\n") == ["10.0.0.0/8 via 192.0.2.2 dev eth0"]


def test_a_list_may_hold_routes_as_they_were_appended() -> None:
    assert routes("default via 192.0.2.2 dev eth0\ndefault via 192.0.2.3 dev eth0\n") == [
        "default via 192.0.2.2 dev eth0",
        "default via 192.0.2.3 dev eth0",
    ]


def test_nothing_is_a_host_without_routes() -> None:
    assert routes("") == []
    assert list(host("").links) == ["lo", "eth0"]


REFUSED = [
    ("10.0.0.0/8 dev eth0\n10.1.0.0/ dev eth0\n", "line 2: `10.1.0.0/` is not a prefix"),
    ("10.0.0.0/8 dev eth0\n10.01.0.0/16 dev eth0\n", "line 2: `10.01.0.0` is not an IPv4 address"),
    ("10.0.0.0/8 dev eth0\n10.1.0.0/+6 dev eth0\n", "line 2: `10.1.0.0/+6` is not a prefix"),
    ("10.0.0.0/8 dev eth0\n10.1.0/16 dev eth0\n10.1.0.256/32 dev eth0", "line 3: `10.1.0.256` is not an IPv4"),
    ("10.0.0.0/8 dev eth0\n10.0.0.1/8 dev eth0\n", "line 2: 10.0.0.1/8 has bits set behind its prefix length"),
    ("10.0.0.0/8 dev eth0\n\n10.1.0.0/16 dev eth0 odd\n", "line 3: unknown word `odd`"),
    ("10.0.0.0/8 dev eth0\n10.1.0.0/16\n10.2.0.0/16 dev eth0", "line 2: neither gateway nor device"),
    ("10.0.0.0/8 dev eth0\n10.0.0.0/8 dev eth0\n", "line 2: the same route as in line 1"),
    ("10.0.0.0/8 192.0.2.2 eth0 eth1\n", "line 1: unknown word `eth1`"),
    ("10.0.0.0/8 192.0.2.256\n", "line 1: `192.0.2.256` is not an IPv4 address"),
    ("10.0.0.0/8 dev eth0\nnexthop via 192.0.2.2\n", "line 2: a `nexthop` that belongs to no route"),
    ("10.0.0.0/8 dev a/b\n", "dev a/b: not a name for a link"),
    ("\0\0\0\n", "line 1: `\0\0\0` is not an IPv4 address"),
    ('[{"dst":"default","dev":"eth0"},{"dst":"x"}]', "route 2: `x` is not an IPv4 address"),
    ('[{"dst":"default","dev":"eth0"},{"dst":"10.0.0.0/8","speed":1}]', "route 2: unknown key `speed`"),
    ('[{"dst":"default","dev":"eth0"},\n', "route 2: not JSON (byte 33)"),
    ("Iface Destination Gateway\neth0 0 0 1 0 0 0 0\n", "line 2: not a line of /proc/net/route"),
    ("Iface Destination Gateway\neth0 0 0 1 0 0 0 FF00FF00 0 0 0\n", "line 2: `0.0.0.0/-1` is not a prefix"),
    ("Iface Destination Gateway\neth0 FFFFFFFFFF 0 1 0 0 0 0 0 0 0\n", "line 2: not a line of /proc/net/route"),
]


@pytest.mark.parametrize(("text", "why"), REFUSED, ids=[why for _, why in REFUSED])
def test_a_bad_line_is_named_by_its_number(text: str, why: str) -> None:
    with pytest.raises(HostError) as refused:
        host(text)
    assert str(refused.value).startswith(f"routes: {why}")


# Many routes.

MANY = BULK_FROM + 1000


def many() -> Iterator[str]:
    """Yield more lines than are kept as entries: /24s from 11.0.0.0 on, by two gateways in turn, last ones first."""
    for number in reversed(range(MANY)):
        gateway = 2 + number % 2
        yield f"11.{number >> 8}.{number & 255}.0/24 via 192.0.2.{gateway} dev eth0 proto bird\n"


def test_many_routes_stay_columns_in_order() -> None:
    found = host_from_routes([PRINTED.splitlines()[-2] + "\n", *many()], file="routes", kernel=LINUX_4_14)
    assert [line_of(entry) for entry in found.fib.tables[254]] == [
        "192.0.2.0/24 dev eth0 proto kernel scope link src 192.0.2.1"
    ]
    bulk = found.fib.bulk[254]
    assert len(bulk.prefixes) == len(bulk.lengths) == len(bulk.kinds) == MANY
    assert list(bulk.prefixes[:3]) == [0x0B000000, 0x0B000100, 0x0B000200]
    assert set(bulk.lengths) == {24}
    assert bulk.entry(1) == FibEntry(
        0x0B000100, 24, 254, RouteType.UNICAST, (NextHop("eth0", 0xC0000203, scope=253),), protocol="bird"
    )


def test_routes_that_share_a_prefix_or_have_a_tos_are_entries_beside_the_columns() -> None:
    odd = [
        "11.0.5.0/24 via 192.0.2.9 dev eth0 metric 7\n",
        "11.0.6.0/24 tos 0x10 via 192.0.2.9 dev eth0\n",
        "192.0.2.0/24 via 192.0.2.9 dev eth0 metric 9\n",
        "192.0.2.0/24 dev eth0 proto kernel scope link src 192.0.2.1\n",
        "11.9.9.0/24 via 192.0.2.9 dev eth0 table 7\n",
        "blackhole 11.99.0.0/24\n",
    ]
    found = host_from_routes([*many(), *odd], file="routes", kernel=LINUX_4_14)
    assert [line_of(entry) for entry in found.fib.tables[254]] == [
        "11.0.5.0/24 via 192.0.2.3 dev eth0 proto bird",
        "11.0.5.0/24 via 192.0.2.9 dev eth0 metric 7",
        "11.0.6.0/24 tos 0x10 via 192.0.2.9 dev eth0",
        "11.0.6.0/24 via 192.0.2.2 dev eth0 proto bird",
        "192.0.2.0/24 dev eth0 proto kernel scope link src 192.0.2.1",
        "192.0.2.0/24 via 192.0.2.9 dev eth0 metric 9",
    ]
    assert len(found.fib.bulk[254].prefixes) == MANY - 1  # two gone, the black hole come
    assert len(found.fib.bulk[7].prefixes) == 1


def test_one_bad_line_among_many_is_named() -> None:
    lines = [*many()]
    lines[7000] = lines[7001]
    with pytest.raises(HostError, match=r"^routes: line 7002: the same route as in line 7001$"):
        host_from_routes(lines, file="routes", kernel=LINUX_4_14)
    lines[7000] = "11.0.0.0/24 via 192.0.2.2 dev eth0 proto bird x\n"
    with pytest.raises(HostError, match=r"^routes: line 7001: unknown word `x`$"):
        host_from_routes(lines, file="routes", kernel=LINUX_4_14)


def test_many_routes_in_a_host_file_are_columns_too_and_are_judged() -> None:
    description = {"routes": [*many()], "link": {"eth0": {"addr": ["192.0.2.1/24"]}}}
    assert len(build_host(description, file="h.toml", kernel=LINUX_4_14).fib.bulk[254].prefixes) == MANY
    description["routes"][9] = "11.0.0.0/24 via 203.0.113.2 dev eth0\n"  # type: ignore[index]
    with pytest.raises(HostError, match=r"^h\.toml: routes\[9\]: no link that is up reaches the gateway"):
        build_host(description, file="h.toml", kernel=LINUX_4_14)
