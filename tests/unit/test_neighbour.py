"""The link header of every kind of next hop, and what a neighbour's state does to a packet."""

from __future__ import annotations

from errno import EINVAL, ENOBUFS
from ipaddress import IPv4Address
from typing import Any

import pytest

from ipkit.core.host.build import build_host
from ipkit.core.host.kernel import LINUX_4_14, LINUX_6_18, KernelProfile
from ipkit.core.link_header import wire_of
from ipkit.core.neighbour import NeighbourResult, neigh_output
from ipkit.core.outcome.drop_reasons import DropReason
from ipkit.core.skbuff import PacketType, SkBuff
from ipkit.core.state.neighbour_table import MOST_ASSUMED, Nud
from ipkit.core.state.netns import NetNamespace, namespace_of
from tests.support.packets import ip

OURS = "020000000101"


def network(kernel: KernelProfile = LINUX_6_18, **more: Any) -> NetNamespace:
    eth0 = {"address": "02:00:00:00:01:01", "addr": ["192.0.2.1/24"]}
    described = {
        "neigh": ["192.0.2.5 lladdr 02:00:00:00:00:05 dev eth0 nud stale"],
        "link": {
            "eth0": eth0,
            "quiet": {"arp": False, "addr": ["198.51.100.1/24"]},
            "tun": {"addr": ["203.0.113.1/24"], "pointopoint": "203.0.113.2"},
            "eth0.7": {"kind": "vlan", "link": "eth0", "id": 7, "addr": ["198.18.0.1/24"]},
        },
        **more,
    }
    return namespace_of(build_host(described, file="host.toml", kernel=kernel))


def asked(net: NetNamespace, nexthop: str, dev: str = "eth0", size: int = 10, now_ns: int = 0) -> NeighbourResult:
    skb = SkBuff(ip(bytes(size), src="192.0.2.1", dst=nexthop), dev, PacketType.OUTGOING, now_ns)
    return neigh_output(net, skb, int(IPv4Address(nexthop)))


@pytest.mark.parametrize(
    ("nexthop", "dev", "header"),
    [
        ("192.0.2.5", "eth0", "020000000005" + OURS + "0800"),
        ("192.0.2.9", "eth0", "0200c0000209" + OURS + "0800"),
        ("192.0.2.255", "eth0", "ffffffffffff" + OURS + "0800"),
        ("224.129.2.3", "eth0", "01005e010203" + OURS + "0800"),
        ("198.18.0.9", "eth0.7", "0200c6120009" + OURS + "81000007" + "0800"),
        ("127.0.0.1", "lo", "000000000000" + "000000000000" + "0800"),
        ("203.0.113.2", "tun", ""),
    ],
)
def test_the_header_of_a_next_hop(nexthop: str, dev: str, header: str) -> None:
    for _ in range(2):
        result = asked(net := network(), nexthop, dev)
        assert result.header is not None
        assert result.header.hex() == header
        assert result == asked(net, nexthop, dev)


def test_no_more_than_so_many_assumed_ones_are_kept_and_all_are_answered() -> None:
    net = network()
    for number in range(MOST_ASSUMED + 10):
        nexthop = f"10.0.{number >> 8}.{number & 255}"
        header = asked(net, nexthop).header
        assert header == b"\x02\x00" + IPv4Address(nexthop).packed + bytes.fromhex(OURS + "0800")
    assert len(net.neighbours.assumed) == MOST_ASSUMED


def test_a_vlan_leaves_by_the_device_below() -> None:
    assert wire_of(network().host, "eth0.7") == ("eth0", 1)
    assert wire_of(network().host, "tun") == ("tun", 101)


def test_a_stale_neighbour_is_used_and_will_be_asked() -> None:
    net = network(neigh_default="resolve")
    assert asked(net, "192.0.2.5", now_ns=3).header is not None
    entry = net.neighbours.entries["eth0", int(IPv4Address("192.0.2.5"))]
    assert (entry.state, entry.expires_ns) == (Nud.DELAY, 5_000_000_003)


def test_an_unknown_one_is_asked_once_while_packets_wait() -> None:
    net = network(neigh_default="resolve")
    assert asked(net, "192.0.2.9").request is not None
    again = asked(net, "192.0.2.9")
    assert again == NeighbourResult(queued=again.queued)
    entry = net.neighbours.entries["eth0", int(IPv4Address("192.0.2.9"))]
    assert (entry.state, len(entry.waiting), entry.probes) == (Nud.INCOMPLETE, 2, 4)
    assert entry.waiting_bytes == 2 * 832
    assert net.neighbours.state_of("eth0", entry.address) == "incomplete"


def test_the_oldest_packet_makes_room() -> None:
    knobs = {"net.ipv4.neigh.eth0.unres_qlen_bytes": 1664}
    net = network(neigh_default="resolve", sysctl=knobs)
    assert [len(asked(net, "192.0.2.9").discarded) for _ in range(4)] == [0, 0, 1, 1]


def test_where_nobody_is_asked_the_packet_is_dropped() -> None:
    net = network(neigh_default="resolve", sysctl={"net.ipv4.neigh.eth0.mcast_solicit": 0})
    drop = asked(net, "192.0.2.9").drop
    assert drop is not None
    assert (drop.reason, drop.errno) == (DropReason.NEIGH_FAILED, 0)


@pytest.mark.parametrize(("kernel", "error"), [(LINUX_4_14, EINVAL), (LINUX_6_18, ENOBUFS)])
def test_a_full_table(kernel: KernelProfile, error: int) -> None:
    net = network(kernel, neigh_default="resolve", sysctl={"net.ipv4.neigh.default.gc_thresh3": 1})
    assert asked(net, "192.0.2.8").drop is None
    drop = asked(net, "192.0.2.9").drop
    assert drop is not None
    assert (drop.reason, drop.errno) == (DropReason.NEIGH_CREATEFAIL, error)
