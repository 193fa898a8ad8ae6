"""Addresses of a link: their words, the order in which the kernel keeps them, and what they bring to the tables."""

from __future__ import annotations

from typing import Any

import pytest

from ipkit.core.host.build import build_host
from ipkit.core.host.config import HostConfig
from ipkit.core.host.kernel import LINUX_4_14, LINUX_6_18, KernelProfile
from ipkit.errors import HostError
from tests.support.listings import dotted, listed


def host(kernel: KernelProfile = LINUX_6_18, **links: Any) -> HostConfig:
    return build_host({"link": links}, file="h.toml", kernel=kernel)


def brought(*addr: str, kernel: KernelProfile = LINUX_6_18, **link: Any) -> list[str]:
    """Return what the addresses of a link brought; of the loopback device nothing."""
    return [line for line in listed(host(kernel, t0={"addr": list(addr), **link})) if "dev lo" not in line]


CONNECTED = "192.0.2.0/24 dev t0 proto kernel scope link src 192.0.2.1"
LOCAL = "local 192.0.2.1 dev t0 table local proto kernel scope host src 192.0.2.1"
BROADCAST = "broadcast 192.0.2.255 dev t0 table local proto kernel scope link src 192.0.2.1"
NETWORK = "broadcast 192.0.2.0 dev t0 table local proto kernel scope link src 192.0.2.1"

# What `ip route show table all` listed on a 6.18 kernel after `ip addr add` of each.
LISTED = [
    (["192.0.2.1/24"], [CONNECTED, LOCAL, BROADCAST]),
    (["192.0.2.1/24 brd +"], [CONNECTED, LOCAL, BROADCAST]),
    (["192.0.2.1/24 brd -"], [CONNECTED, NETWORK, LOCAL, BROADCAST]),
    (
        ["192.0.2.1/24 broadcast 192.0.2.77"],
        [CONNECTED, LOCAL, BROADCAST.replace("192.0.2.255", "192.0.2.77"), BROADCAST],
    ),
    (["192.0.2.1/24 brd 255.255.255.255"], [CONNECTED, LOCAL, BROADCAST]),
    (["192.0.2.1/24 noprefixroute"], [LOCAL, BROADCAST]),
    (["192.0.2.1/24 metric 7"], [f"{CONNECTED} metric 7", LOCAL, BROADCAST]),
    (["192.0.2.1/24 scope link"], [CONNECTED, LOCAL, BROADCAST]),
    (["192.0.2.1"], [LOCAL]),
    (["192.0.2.1/32"], [LOCAL]),
    (["192.0.2.1/31"], ["192.0.2.0/31 dev t0 proto kernel scope link src 192.0.2.1", LOCAL]),
    (["192.0.2.1/31 brd +"], ["192.0.2.0/31 dev t0 proto kernel scope link src 192.0.2.1", LOCAL]),
    (
        ["192.0.2.1/31 brd 10.9.9.9"],
        [
            "192.0.2.0/31 dev t0 proto kernel scope link src 192.0.2.1",
            BROADCAST.replace("192.0.2.255", "10.9.9.9"),
            LOCAL,
        ],
    ),
    (
        ["192.0.2.1/24", "192.0.2.9/24"],
        [CONNECTED, LOCAL, "local 192.0.2.9 dev t0 table local proto kernel scope host src 192.0.2.1", BROADCAST],
    ),
    (["10.0.0.1 peer 10.0.0.2/32"], [
        "10.0.0.2 dev t0 proto kernel scope link src 10.0.0.1",
        "local 10.0.0.1 dev t0 table local proto kernel scope host src 10.0.0.1",
    ]),
    (["10.0.0.1 peer 10.0.0.2"], [
        "10.0.0.2 dev t0 proto kernel scope link src 10.0.0.1",
        "local 10.0.0.1 dev t0 table local proto kernel scope host src 10.0.0.1",
    ]),
    (["10.9.0.1 peer 10.8.0.2/24"], [
        "10.8.0.0/24 dev t0 proto kernel scope link src 10.9.0.1",
        "broadcast 10.8.0.255 dev t0 table local proto kernel scope link src 10.9.0.1",
        "local 10.9.0.1 dev t0 table local proto kernel scope host src 10.9.0.1",
    ]),
    (["192.0.2.1/24", "192.0.2.129/25"], [
        CONNECTED,
        "192.0.2.128/25 dev t0 proto kernel scope link src 192.0.2.129",
        LOCAL,
        "local 192.0.2.129 dev t0 table local proto kernel scope host src 192.0.2.129",
        BROADCAST,
        BROADCAST.replace("src 192.0.2.1", "src 192.0.2.129"),
    ]),
    (["127.5.0.1/16"], [
        "127.5.0.0/16 dev t0 proto kernel scope link src 127.5.0.1",
        "local 127.5.0.1 dev t0 table local proto kernel scope host src 127.5.0.1",
        "broadcast 127.5.255.255 dev t0 table local proto kernel scope link src 127.5.0.1",
    ]),
    (["0.1.2.3/24"], [
        "0.1.2.0/24 dev t0 proto kernel scope link src 0.1.2.3",
        "local 0.1.2.3 dev t0 table local proto kernel scope host src 0.1.2.3",
        "broadcast 0.1.2.255 dev t0 table local proto kernel scope link src 0.1.2.3",
    ]),
    ([], []),
]  # fmt: skip


@pytest.mark.parametrize(("addr", "lines"), LISTED, ids=[" + ".join(addr) for addr, _ in LISTED])
def test_an_address_brings_what_the_kernel_listed(addr: list[str], lines: list[str]) -> None:
    assert brought(*addr) == lines


def test_an_older_kernel_takes_the_network_address_for_a_broadcast_one() -> None:
    assert brought("192.0.2.1/24", kernel=LINUX_4_14) == [CONNECTED, NETWORK, LOCAL, BROADCAST]
    assert brought("192.0.2.1/31", kernel=LINUX_4_14) == brought("192.0.2.1/31")


def test_an_older_kernel_connects_nothing_in_0_8() -> None:
    local = "local 0.1.2.3 dev t0 table local proto kernel scope host src 0.1.2.3"
    assert brought("0.1.2.3/24", kernel=LINUX_4_14) == [local]


def test_the_loopback_device_has_its_address_always() -> None:
    lines = [
        "local 127.0.0.0/8 dev lo table local proto kernel scope host src 127.0.0.1",
        "local 127.0.0.1 dev lo table local proto kernel scope host src 127.0.0.1",
        "broadcast 127.255.255.255 dev lo table local proto kernel scope link src 127.0.0.1",
    ]
    assert listed(host()) == lines
    network = "broadcast 127.0.0.0 dev lo table local proto kernel scope link src 127.0.0.1"
    assert sorted(listed(host(LINUX_4_14))) == sorted([*lines, network])
    more = "local 10.9.9.9 dev lo table local proto kernel scope host src 10.9.9.9"
    assert listed(host(lo={"addr": ["10.9.9.9/32"]})) == [more, *lines]
    assert listed(host(lo={"addr": ["127.0.0.1/8"]})) == lines
    assert listed(host(lo={"up": False})) == []


def test_a_link_that_is_down_has_its_local_entries_alone() -> None:
    assert brought("192.0.2.1/24", "192.0.2.9/24", up=False) == [
        LOCAL,
        "local 192.0.2.9 dev t0 table local proto kernel scope host src 192.0.2.1",
    ]


def test_without_a_carrier_all_but_local_entries_are_linkdown() -> None:
    assert brought("192.0.2.1/24", carrier=False) == [f"{CONNECTED} linkdown", LOCAL, f"{BROADCAST} linkdown"]


def test_the_links_of_a_vrf_fill_its_table() -> None:
    blue = {"kind": "vrf", "table": 10, "addr": ["10.9.9.9/32"]}
    found = host(blue=blue, t0={"master": "blue", "addr": ["192.0.2.1/24"]})
    assert [line for line in listed(found) if "dev lo" not in line] == [
        "local 10.9.9.9 dev blue table 10 proto kernel scope host src 10.9.9.9",
        "192.0.2.0/24 dev t0 table 10 proto kernel scope link src 192.0.2.1",
        "local 192.0.2.1 dev t0 table 10 proto kernel scope host src 192.0.2.1",
        "broadcast 192.0.2.255 dev t0 table 10 proto kernel scope link src 192.0.2.1",
    ]


def test_an_address_that_is_another_links_broadcast_address_brings_itself_only() -> None:
    """As a 6.18 kernel listed it: as a source it is refused, since the table says broadcast first."""
    found = host(t0={"addr": ["192.0.2.1/24"]}, t1={"addr": ["192.0.2.255/25"]})
    assert [line for line in listed(found) if "dev t1" in line] == [
        "local 192.0.2.255 dev t1 table local proto kernel scope host src 192.0.2.255"
    ]


# The order in which the kernel keeps a link's addresses.

KEPT = [
    (["10.0.0.1/24", "10.1.0.1/24", "10.0.0.2/24"], ["10.0.0.1", "10.1.0.1", "10.0.0.2 secondary"]),
    (["10.0.0.2/24", "10.0.0.1/24"], ["10.0.0.2", "10.0.0.1 secondary"]),
    (["10.0.0.1/24", "10.55.0.1/24 scope link", "10.66.0.1/24"], ["10.55.0.1", "10.0.0.1", "10.66.0.1"]),
    (["10.0.0.1/24", "10.5.0.1/24 scope site", "10.6.0.1/24 scope host"], ["10.6.0.1", "10.5.0.1", "10.0.0.1"]),
    (["10.0.0.1/24", "10.0.0.1/25"], ["10.0.0.1", "10.0.0.1"]),
    (["10.9.0.1 peer 10.9.0.2/24", "10.9.0.3/24"], ["10.9.0.1", "10.9.0.3 secondary"]),
]


@pytest.mark.parametrize(("addr", "kept"), KEPT, ids=[" + ".join(addr) for addr, _ in KEPT])
def test_addresses_are_kept_in_the_kernels_order(addr: list[str], kept: list[str]) -> None:
    addresses = host(t0={"addr": addr}).links["t0"].addresses
    assert [f"{dotted(one.local)}{' secondary' if one.secondary else ''}" for one in addresses] == kept


def test_a_line_as_ip_addr_prints_it_is_read() -> None:
    printed = "inet 192.0.2.9/24 brd 192.0.2.255 scope global secondary dynamic noprefixroute t0:x valid_lft 100sec"
    found = host(t0={"addr": [f"{printed} preferred_lft 50sec proto dhcp"]}).links["t0"].addresses[0]
    assert (dotted(found.local), dotted(found.broadcast or 0), found.scope) == ("192.0.2.9", "192.0.2.255", 0)
    assert (found.secondary, found.noprefixroute) == (False, True)


def test_a_point_to_point_link_lends_its_addresses_its_peer() -> None:
    links = host(t0={"pointopoint": "198.51.100.2", "addr": ["198.51.100.1/32", "10.0.0.1 peer 10.0.0.2/32"]}).links
    assert [(dotted(one.local), dotted(one.peer)) for one in links["t0"].addresses] == [
        ("198.51.100.1", "198.51.100.2"),
        ("10.0.0.1", "10.0.0.2"),
    ]
    assert (links["t0"].arp, links["t0"].kind.value) == (False, "pointopoint")


REFUSED = [
    (["192.0.2.1/24", "192.0.2.1/24"], "the link has the address 192.0.2.1 already"),
    (["192.0.2.1/24", "192.0.2.2/24 scope link"], "another scope than that of 192.0.2.1, which is of the same subnet"),
    (["192.0.2.1/24", "192.0.2.0/40"], "40 is not between 0 and 32"),
    (["192.0.2.1/24", "house"], "`house` is not an IPv4 address"),
    (["192.0.2.1/24", "10.0.0.1/24 peer 10.0.0.2/32"], "the prefix length belongs to the peer"),
    (["192.0.2.1/24", "10.0.0.1/24 metric lots"], "`lots` is not a number"),
    (["192.0.2.1/24", "10.0.0.1/24 scope 300"], "300 is not between 0 and 255"),
    (["192.0.2.1/24", "10.0.0.1/24 dev t1"], "unknown word `t1`"),
    (["192.0.2.1/24", "10.0.0.1/24 anycast 10.0.0.9"], "unknown word `anycast`"),
    (["192.0.2.1/24", "10.0.0.1/24 brd"], "nothing stands after `brd`"),
    (["192.0.2.1/24", "noprefixroute"], "no address"),
]


@pytest.mark.parametrize(("addr", "why"), REFUSED, ids=[" + ".join(addr) for addr, _ in REFUSED])
def test_an_address_that_cannot_be_added_is_refused(addr: list[str], why: str) -> None:
    with pytest.raises(HostError) as refused:
        host(t0={"addr": addr})
    assert str(refused.value) == f"h.toml: link.t0.addr[1]: {why}"
