"""VLAN links: which tags lead to which link, for whom a frame is then, and the tags of what leaves."""

from __future__ import annotations

from tomllib import loads
from typing import Any

import pytest

from ipkit.core.forward_lane import ForwardLane, ForwardOptions
from ipkit.core.host.build import build_host
from ipkit.core.host.describe import describe_host
from ipkit.core.host.kernel import LINUX_4_14
from ipkit.core.lanes import RowWish
from tests.support.batches import batch_of
from tests.support.packets import eth, ip, mac

ETH0, ETH1, OWN = "02:00:00:00:01:01", "02:00:00:00:02:01", "02:00:00:00:03:01"
Q, AD = 0x8100, 0x88A8
HOST: dict[str, Any] = {
    "sysctl": {"net.ipv4.ip_forward": 1, "net.ipv4.conf.all.send_redirects": 0},
    "link": {
        "eth0": {"address": ETH0, "addr": ["192.0.2.1/24"]},
        "eth0.5": {"kind": "vlan", "link": "eth0", "id": 5, "addr": ["10.5.0.1/24"]},
        "eth0.5.7": {"kind": "vlan", "link": "eth0.5", "id": 7, "addr": ["10.57.0.1/24"], "mtu": 576},
        "eth0.own": {"kind": "vlan", "link": "eth0", "id": 9, "address": OWN, "addr": ["10.9.0.1/24"]},
        "eth1": {"address": ETH1, "addr": ["198.51.100.1/24"]},
        "eth1.0": {"kind": "vlan", "link": "eth1", "id": 0, "addr": ["10.10.0.1/24"]},
        "eth1.ad": {"kind": "vlan", "link": "eth1", "id": 5, "protocol": "802.1ad", "addr": ["10.88.0.1/24"]},
        "eth1.ad.5": {"kind": "vlan", "link": "eth1.ad", "id": 5, "addr": ["10.85.0.1/24"]},
    },
}


def lane(host: dict[str, Any] = HOST) -> ForwardLane:
    config = build_host(host, file="host.toml", kernel=LINUX_4_14)
    return ForwardLane(ForwardOptions(config, named="host.toml"), RowWish.ALL)


def came_in(tags: list[tuple[int, int]], dev: str = "eth0", dst: str = ETH0) -> tuple[str, str]:
    """Return the link that a frame with these tags came in by, and its reason where it was dropped."""
    frame = eth(ip(b"12345678", src="192.0.2.9", dst="192.0.2.1", proto=253), dst=dst, tags=tags)
    (row,) = [row.row for row in lane().process(batch_of([frame], interface=dev)).rows]
    return str(row.get("iif", "")), str(row.get("reason", ""))


@pytest.mark.parametrize(
    ("dev", "tags", "iif"),
    [
        ("eth0", [], "eth0"),
        ("eth0", [(Q, 0)], "eth0"),
        ("eth0", [(Q, 0xE005)], "eth0.5"),
        ("eth0", [(Q, 0), (Q, 5)], "eth0.5"),
        ("eth0", [(Q, 5), (Q, 0)], "eth0.5"),
        ("eth0", [(Q, 5), (Q, 7)], "eth0.5.7"),
        ("eth0", [(Q, 5), (Q, 8)], ""),
        ("eth0", [(Q, 6)], ""),
        ("eth0", [(Q, 7)], ""),
        ("eth0", [(AD, 5)], ""),
        ("eth0", [(AD, 0), (Q, 5)], "eth0.5"),
        ("eth0", [(0x9100, 5)], ""),
        ("eth0", [(0x9100, 0)], ""),
        ("eth1", [(Q, 0)], "eth1.0"),
        ("eth1", [(AD, 5)], "eth1.ad"),
        ("eth1", [(AD, 5), (Q, 5)], "eth1.ad.5"),
        ("eth1", [(Q, 5)], ""),
        ("eth0.5", [], "eth0.5"),
        ("eth0.5", [(Q, 7)], "eth0.5.7"),
    ],
)
def test_tags_lead_to_a_link(dev: str, tags: list[tuple[int, int]], iif: str) -> None:
    seen, reason = came_in(tags, dev, ETH1 if dev == "eth1" else ETH0)
    assert seen == iif
    assert (reason == "OTHERHOST") is (not iif)


@pytest.mark.parametrize(
    ("tags", "dst", "ours"),
    [
        ([(Q, 9)], OWN, True),
        ([(Q, 9)], ETH0, True),
        ([(Q, 9)], ETH1, False),
        ([(Q, 5)], OWN, False),
        ([], OWN, False),
        ([(Q, 5), (Q, 7)], ETH0, True),
    ],
)
def test_a_frame_may_be_for_the_link_or_for_what_it_stands_on(
    tags: list[tuple[int, int]], dst: str, ours: bool
) -> None:
    assert (came_in(tags, dst=dst)[1] != "OTHERHOST") is ours


@pytest.mark.parametrize(
    ("dst", "source", "tags", "wire"),
    [
        ("10.5.0.9", ETH0, "81000005", "eth0"),
        ("10.57.0.9", ETH0, "8100000581000007", "eth0"),
        ("10.9.0.9", OWN, "81000009", "eth0"),
        ("10.10.0.9", ETH1, "81000000", "eth1"),
        ("10.88.0.9", ETH1, "88a80005", "eth1"),
        ("10.85.0.9", ETH1, "88a8000581000005", "eth1"),
        ("198.51.100.9", ETH1, "", "eth1"),
    ],
)
def test_what_leaves_bears_the_tags_of_its_link(dst: str, source: str, tags: str, wire: str) -> None:
    which = lane()
    packet = ip(b"12345678", src="192.0.2.9", dst=dst)
    result = which.process(batch_of([eth(packet, dst=ETH0)], interface="eth0"))
    (frame,) = result.changes[0]
    assert frame.interface == wire
    assert frame.data[6:12] == mac(source)
    assert frame.data[12 : 12 + len(tags) // 2 + 2].hex() == tags + "0800"
    assert len(frame.data) == 14 + len(tags) // 2 + len(packet)


def test_the_mtu_of_a_vlan_link_binds() -> None:
    packet = ip(bytes(1000), src="192.0.2.9", dst="10.57.0.9")
    frames = lane().process(batch_of([eth(packet, dst=ETH0)], interface="eth0")).changes[0]
    assert [len(frame.data) - 22 for frame in frames] == [572, 468]


def test_a_tag_in_a_cooked_frame_counts() -> None:
    def cooked(vlan_id: int) -> bytes:
        packet = ip(b"12345678", src="192.0.2.9", dst="10.5.0.1", proto=253)
        return (
            bytes((0, 0, 0, 1, 0, 6)) + mac(ETH1) + b"\0\0" + b"\x81\x00" + bytes((0, vlan_id)) + b"\x08\x00" + packet
        )

    rows = [row.row for row in lane().process(batch_of([cooked(5), cooked(6)], link_type=113, interface="eth0")).rows]
    assert [row.get("iif", "") for row in rows] == ["eth0.5", ""]


def test_the_kind_of_tag_is_written_where_it_is_not_the_usual_one() -> None:
    text = describe_host(build_host(HOST, file="host.toml", kernel=LINUX_4_14))
    links = loads(text)["link"]
    assert links["eth1.ad"]["protocol"] == "802.1ad"
    assert "protocol" not in links["eth0.5"]
