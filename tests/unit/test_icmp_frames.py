"""Errors as frames: which packets are answered, and behind which link header."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ipkit.core.frames import Frame
from ipkit.core.host.config import HostConfig, Neighbour
from ipkit.core.host.fib import Route, RouteFlag, RouteType
from ipkit.core.icmp_frames import IcmpFrames
from ipkit.core.outcome.verdict import IcmpDue
from ipkit.core.skbuff import PacketType, SkBuff
from tests.support.packets import ip
from tests.support.routes import address, hop, host, link, route

DATA = bytes(1000)


def two_armed(**more: object) -> HostConfig:
    """Return a router between 192.0.2.1/24 on eth0 and 198.51.100.1/24 on eth1, the way to everywhere else."""
    configured = host(
        [
            route("192.0.2.1/32", hop("eth0"), type=RouteType.LOCAL, table=255),
            route("192.0.2.255/32", hop("eth0"), type=RouteType.BROADCAST, table=255),
            route("198.51.100.1/32", hop("eth1"), type=RouteType.LOCAL, table=255),
            route("192.0.2.0/24", hop("eth0"), prefsrc=0xC0000201),
            route("198.51.100.0/24", hop("eth1"), prefsrc=0xC6336401),
            route("0.0.0.0/0", hop("eth1", "198.51.100.254")),
        ],
        links=[
            link("eth0", 2, address("192.0.2.1/24"), address=bytes.fromhex("020000000101")),
            link("eth1", 3, address("198.51.100.1/24")),
        ],
    )
    return replace(configured, **more)  # type: ignore[arg-type]


def answer(
    src: str, dst: str = "203.0.113.7", *, configured: HostConfig | None = None, link_type: int = 1, **more: object
) -> Frame | None:
    datagram = ip(DATA, src=src, dst=dst, df=True)
    skb = replace(SkBuff(datagram, "eth0", PacketType.HOST, 5_000), **more)  # type: ignore[arg-type]
    frame = Frame("in.pcap", 9, 5_000, datagram, len(datagram), link_type, "eth0", (object(), b"stored"))
    return IcmpFrames(configured or two_armed()).frame_for(IcmpDue(3, 4, 600, skb), frame)


def test_an_error_leaves_by_the_way_back() -> None:
    frame = answer("192.0.2.9")
    assert frame is not None
    assert frame.data[:14].hex() == "0200c0000209" + "020000000101" + "0800"
    assert frame.data[14 + 12 : 14 + 20].hex() == "c0000201c0000209"
    assert frame._replace(data=b"") == Frame("in.pcap", 0, 5_000, b"", 590, 1, "eth0", None)


def test_by_the_gateway_where_there_is_one() -> None:
    frame = answer("100.64.0.1")
    assert frame is not None
    assert frame.interface == "eth1"
    assert frame.data[:14].hex() == "0200c63364fe" + "020000000003" + "0800"


def test_to_the_address_that_a_neighbour_has() -> None:
    known = Neighbour(0xC0000209, "eth0", bytes.fromhex("0a0b0c0d0e0f"))
    elsewhere = Neighbour(0xC0000209, "eth1", bytes(6))
    frame = answer("192.0.2.9", configured=two_armed(neighbours=(elsewhere, known)))
    assert frame is not None
    assert frame.data[:6].hex() == "0a0b0c0d0e0f"


@pytest.mark.parametrize(
    ("link_type", "expected"), [(1, 1), (113, 1), (276, 1), (0, 101), (12, 101), (101, 101), (9, 101)]
)
def test_the_link_of_an_answer(link_type: int, expected: int) -> None:
    frame = answer("192.0.2.9", link_type=link_type)
    assert frame is not None
    assert frame.link_type == expected
    assert frame.data[14 * (expected == 1)] == 0x45


def test_to_this_host_itself_there_is_no_hardware_address() -> None:
    frame = answer("192.0.2.1")
    assert frame is not None
    assert (frame.interface, frame.data[:12]) == ("lo", bytes(12))


def test_to_a_broadcast_address_everybody_hears_it() -> None:
    frame = answer("192.0.2.255")
    assert frame is not None
    assert frame.data[:6] == b"\xff" * 6


@pytest.mark.parametrize("src", ["0.0.0.0", "224.0.0.1", "239.1.1.1", "255.255.255.255", "127.0.0.1"])
def test_an_impossible_source_never_got_that_far(src: str) -> None:
    assert answer(src) is None


@pytest.mark.parametrize("dst", ["224.0.0.5", "255.255.255.255", "192.0.2.255"])
def test_what_goes_to_many_is_not_answered(dst: str) -> None:
    assert answer("192.0.2.9", dst) is None


def test_a_packet_for_this_host_is_answered_from_the_address_it_was_sent_to() -> None:
    frame = answer("192.0.2.9", "198.51.100.1")
    assert frame is not None
    assert frame.data[26:30].hex() == "c6336401"


def test_a_route_already_there_counts() -> None:
    delivered = Route(RouteType.LOCAL, RouteFlag.LOCAL, "lo", iif="eth0")
    frame = answer("192.0.2.9", "203.0.113.7", route=delivered)
    assert frame is not None
    assert frame.data[26:30].hex() == "cb007107"


def test_what_waits_for_fragments_is_answered_from_where_it_was_going() -> None:
    skb = SkBuff(ip(DATA, src="192.0.2.9", dst="203.0.113.7", mf=True), "eth0", PacketType.HOST, 0)
    frame = Frame("in.pcap", 9, 0, skb.data, len(skb.data), 1, "eth0")
    error = IcmpFrames(two_armed()).frame_for(IcmpDue(11, 1, 0, skb), frame)
    assert error is not None
    assert error.data[26:34].hex() == "cb007107c0000209"


def answer_about(options: str) -> bytes | None:
    datagram = ip(DATA, src="192.0.2.9", options=bytes.fromhex(options))
    frame = Frame("in.pcap", 9, 0, datagram, len(datagram), 101, None)
    error = IcmpFrames(two_armed()).frame_for(IcmpDue(3, 4, 600, SkBuff(datagram, "", PacketType.HOST, 0)), frame)
    return error and error.data


def test_options_are_filled_quoted_and_echoed() -> None:
    error = answer_about("070b04 0000000000000000 00")
    assert error is not None
    assert error[20:32].hex() == "070b0cc0000201c000020100"
    assert error[60:72].hex() == "070b08c00002010000000000"


def test_malformed_options_were_refused_before() -> None:
    assert answer_about("07070300000000") is None


def test_a_host_without_a_way_back_says_nothing() -> None:
    assert answer("192.0.2.9", configured=host(links=[link("eth0", 2)])) is None


def test_numbers_are_the_seeds() -> None:
    def numbers(seed: int) -> set[bytes]:
        frames = IcmpFrames(two_armed(), seed)
        skb = SkBuff(ip(DATA, src="192.0.2.9"), "eth0", PacketType.HOST, 0)
        frame = Frame("", 1, 0, b"", 0, 101, None)
        made = [frames.frame_for(IcmpDue(3, 4, 600, skb), frame) for _ in range(3)]
        return {one.data[4:6] for one in made if one is not None}

    assert numbers(1) == numbers(1)
    assert len(numbers(1)) == 3
    assert not numbers(1) & numbers(2)
