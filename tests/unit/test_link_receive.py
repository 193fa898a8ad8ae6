"""Where the IPv4 header of a frame begins, for every link type and everything that can be in the way."""

from __future__ import annotations

import pytest
from scapy.layers.inet import IP
from scapy.layers.l2 import GRE, CookedLinux, CookedLinuxV2, Dot1AD, Dot1Q, Ether, Loopback
from scapy.layers.ppp import HDLC, PPP

from ipkit.core.link_receive import NOT_IPV4, ipv4_at
from ipkit.core.wire.link import LINK_TYPES
from tests.support.packets import eth, ip, udp

ETHERNET, SLL, SLL2, NULL, LOOP, PPP_TYPE, PPP_HDLC, RAW, IPV4 = 1, 113, 276, 0, 108, 9, 50, 101, 228
DATAGRAM = ip(udp(b"payload"))
SIX = bytes.fromhex("6000000000003b40") + bytes(32)


def tagged(*kinds: int) -> bytes:
    return eth(DATAGRAM, tags=[(kind, 0x2005) for kind in kinds])


FRAMES: list[tuple[str, int, bytes, int]] = [
    ("plain", ETHERNET, eth(DATAGRAM), 14),
    ("one 802.1Q tag", ETHERNET, tagged(0x8100), 18),
    ("802.1ad with 802.1Q", ETHERNET, tagged(0x88A8, 0x8100), 22),
    ("old double tag", ETHERNET, tagged(0x9100, 0x8100), 22),
    ("three tags", ETHERNET, tagged(0x8100, 0x8100, 0x8100), 26),
    ("forty tags", ETHERNET, tagged(*[0x88A8] * 40), 174),
    ("ARP", ETHERNET, eth(bytes(28), ethertype=0x0806), NOT_IPV4),
    ("IPv6", ETHERNET, eth(SIX, ethertype=0x86DD), NOT_IPV4),
    ("ARP in a tag", ETHERNET, eth(bytes(28), ethertype=0x0806, tags=[(0x8100, 5)]), NOT_IPV4),
    ("PPPoE", ETHERNET, eth(b"\x11\0\0\1\0\x1d\0\x21" + DATAGRAM, ethertype=0x8864), NOT_IPV4),
    ("MPLS", ETHERNET, eth(b"\0\0\1\xff" + DATAGRAM, ethertype=0x8847), NOT_IPV4),
    ("802.3 with SNAP", ETHERNET, eth(b"\xaa\xaa\x03\0\0\0\x08\0" + DATAGRAM, ethertype=60), NOT_IPV4),
    ("nothing of the datagram", ETHERNET, eth(b""), 14),
    ("nonsense behind the type", ETHERNET, eth(b"\xff"), 14),
    ("cooked", SLL, bytes.fromhex("0000 0001 0006 020000000099 0000 0800") + DATAGRAM, 16),
    ("cooked, tag kept", SLL, bytes.fromhex("0000 0001 0006 020000000099 0000 8100 0005 0800") + DATAGRAM, 20),
    ("cooked ARP", SLL, bytes.fromhex("0000 0001 0006 020000000099 0000 0806") + bytes(28), NOT_IPV4),
    ("cooked v2", SLL2, bytes.fromhex("0800 0000 00000003 0001 00 06 0200000000990000") + DATAGRAM, 20),
    (
        "cooked v2, tag kept",
        SLL2,
        bytes.fromhex("8100 0000 00000003 0001 00 06 0200000000990000 0005 0800") + DATAGRAM,
        24,
    ),
    ("cooked v2 IPv6", SLL2, bytes.fromhex("86dd 0000 00000003 0001 00 06 0200000000990000") + SIX, NOT_IPV4),
    ("null, little end", NULL, b"\2\0\0\0" + DATAGRAM, 4),
    ("null, big end", NULL, b"\0\0\0\2" + DATAGRAM, 4),
    ("null IPv6", NULL, b"\x1e\0\0\0" + SIX, NOT_IPV4),
    ("null, a two elsewhere", NULL, b"\0\2\0\0" + DATAGRAM, NOT_IPV4),
    ("loop", LOOP, b"\0\0\0\2" + DATAGRAM, 4),
    ("loop in the wrong order", LOOP, b"\2\0\0\0" + DATAGRAM, NOT_IPV4),
    ("PPP", PPP_TYPE, b"\xff\x03\0\x21" + DATAGRAM, 4),
    ("PPP without framing", PPP_TYPE, b"\0\x21" + DATAGRAM, 2),
    ("PPP, protocol compressed", PPP_TYPE, b"\xff\x03\x21" + DATAGRAM, 3),
    ("PPP, all compressed", PPP_TYPE, b"\x21" + DATAGRAM, 1),
    ("PPP IPv6", PPP_TYPE, b"\xff\x03\0\x57" + SIX, NOT_IPV4),
    ("PPP LCP", PPP_TYPE, b"\xff\x03\xc0\x21\1\1\0\4", NOT_IPV4),
    ("PPP van Jacobson", PPP_TYPE, b"\xff\x03\0\x2d" + DATAGRAM, NOT_IPV4),
    ("HDLC", PPP_HDLC, b"\xff\x03\0\x21" + DATAGRAM, 4),
    ("HDLC without framing", PPP_HDLC, b"\0\x21" + DATAGRAM, 2),
    ("Cisco HDLC", PPP_HDLC, b"\x0f\0\x08\0" + DATAGRAM, 4),
    ("Cisco HDLC broadcast", PPP_HDLC, b"\x8f\0\x08\0" + DATAGRAM, 4),
    ("Cisco keepalive", PPP_HDLC, b"\x8f\0\x80\x35" + bytes(18), NOT_IPV4),
    ("Cisco's framing is not plain PPP", PPP_TYPE, b"\x0f\0\x08\0" + DATAGRAM, NOT_IPV4),
    ("raw", RAW, DATAGRAM, 0),
    ("raw as on BSD", 12, DATAGRAM, 0),
    ("raw as on OpenBSD", 14, DATAGRAM, 0),
    ("raw IPv6", RAW, SIX, NOT_IPV4),
    ("raw version 5", RAW, b"\x55" + DATAGRAM[1:], NOT_IPV4),
    ("raw, empty", RAW, b"", NOT_IPV4),
    ("IPv4", IPV4, DATAGRAM, 0),
    ("IPv4 by its link type's word", IPV4, SIX, 0),
    ("IPv4, empty", IPV4, b"", 0),
]


@pytest.mark.parametrize(("link_type", "frame", "at"), [case[1:] for case in FRAMES], ids=[case[0] for case in FRAMES])
def test_where_the_header_begins(link_type: int, frame: bytes, at: int) -> None:
    assert ipv4_at(link_type, frame, 0, len(frame)) == at
    # In a buffer, with other things around it, and more captured than the frame's own link needs.
    data = b"\x08\0\x45\x21" * 4 + frame + DATAGRAM
    assert ipv4_at(link_type, data, 16, len(frame)) == (NOT_IPV4 if at == NOT_IPV4 else at + 16)


@pytest.mark.parametrize(("link_type", "frame", "at"), [case[1:] for case in FRAMES], ids=[case[0] for case in FRAMES])
def test_a_frame_cut_anywhere_in_its_link_header_tells_nothing(link_type: int, frame: bytes, at: int) -> None:
    needed = at + (link_type in {RAW, 12, 14})  # raw frames are told by their first byte
    for captured in range(min(len(frame), 200)):
        # What follows in the buffer would complete the header; it belongs to the next frame.
        found = ipv4_at(link_type, frame, 0, captured)
        assert found == (at if at != NOT_IPV4 and captured >= needed else NOT_IPV4)


SCAPY_FRAMES = {
    "Ether": (ETHERNET, Ether() / IP()),
    "Dot1Q": (ETHERNET, Ether() / Dot1Q(vlan=7) / IP()),
    "Dot1AD": (ETHERNET, Ether() / Dot1AD(vlan=7) / Dot1Q(vlan=8) / IP()),
    "CookedLinux": (SLL, CookedLinux() / IP()),
    "CookedLinux, tag": (SLL, CookedLinux() / Dot1Q(vlan=3) / IP()),
    "CookedLinuxV2": (SLL2, CookedLinuxV2(proto=0x0800) / IP()),
    "Loopback": (NULL, Loopback(type=2) / IP()),
    "PPP": (PPP_TYPE, HDLC() / PPP() / IP()),
    "PPP, compressed": (PPP_TYPE, HDLC() / PPP(proto=0x21) / IP()),
    "GRE is carried, not taken off": (ETHERNET, Ether() / IP() / GRE() / IP()),
}


@pytest.mark.parametrize("name", SCAPY_FRAMES)
def test_as_scapy_builds_them(name: str) -> None:
    link_type, frame = SCAPY_FRAMES[name]
    data = bytes(frame)
    assert ipv4_at(link_type, data, 0, len(data)) == data.index(bytes(frame[IP]))


@pytest.mark.parametrize("link_type", LINK_TYPES)
def test_every_link_type_named_is_read(link_type: int) -> None:
    for size in range(40):
        assert ipv4_at(link_type, bytes(40), 0, size) in {NOT_IPV4, 0}
