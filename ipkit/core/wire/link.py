"""Link headers: the only place that knows where their fields lie.

Law: reading never judges. What a frame carries is told as an EtherType, whatever the link calls it;
what is too short to tell carries nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

NULL: Final = 0
EN10MB: Final = 1
PPP: Final = 9
PPP_HDLC: Final = 50
RAW: Final = 101
LOOP: Final = 108
LINUX_SLL: Final = 113
IPV4: Final = 228
LINUX_SLL2: Final = 276

LINK_TYPES: Final[Mapping[int, str]] = MappingProxyType(
    {
        NULL: "NULL",
        EN10MB: "EN10MB",
        PPP: "PPP",
        12: "RAW",  # what DLT_RAW is on most systems; files should say 101
        14: "RAW",  # the same on OpenBSD
        PPP_HDLC: "PPP_HDLC",
        RAW: "RAW",
        LOOP: "LOOP",
        LINUX_SLL: "LINUX_SLL",
        IPV4: "IPV4",
        LINUX_SLL2: "LINUX_SLL2",
    }
)
"""The link types whose frames can be read, and their names (tcpdump's, without LINKTYPE_)."""

ETH_P_IP: Final = 0x0800
ETH_P_IPV6: Final = 0x86DD
ETH_P_8021Q: Final = 0x8100
ETH_P_8021AD: Final = 0x88A8
TAG_PROTOCOLS: Final[Mapping[int, str]] = MappingProxyType({ETH_P_8021Q: "802.1Q", ETH_P_8021AD: "802.1ad"})
"""The VLAN tags that a link can have, and their names."""
NOTHING: Final = 0
"""In place of an EtherType: none that has one, or too short to tell."""

VLAN_TAGS: Final = frozenset({0x8100, 0x88A8, 0x9100})
VLAN_TAG_BYTES: Final = 4
HARDWARE_ADDRESS_BYTES: Final = 6
SLL2_PACKET_TYPE_AT: Final = 10

TYPED_LINKS: Final[Mapping[int, tuple[int, int]]] = MappingProxyType(
    {
        EN10MB: (12, 14),
        LINUX_SLL: (14, 16),
        LINUX_SLL2: (0, 20),
    }
)
"""Links with an EtherType: where it stands, and the length of the header."""

_AF_INET: Final = (b"\0\0\0\2", b"\2\0\0\0")
_PPP_FRAMING: Final = b"\xff\x03"
_PPP_PROTOCOLS: Final = {0x0021: ETH_P_IP, 0x0057: ETH_P_IPV6}
_IP_VERSIONS: Final = {4: ETH_P_IP, 6: ETH_P_IPV6}
_CISCO_HDLC: Final = frozenset({0x0F, 0x8F})


def network_layer(link_type: int, data: bytes, begin: int, end: int) -> tuple[int, int]:
    """Return the EtherType of what a frame carries, and where it begins: behind all tags."""
    typed = TYPED_LINKS.get(link_type)
    if typed is None:
        return _UNTYPED_LINKS[link_type](data, begin, end)
    type_at, header_bytes = typed
    at = begin + header_bytes
    if at > end:
        return NOTHING, end
    return _behind_tags(_u16(data, begin + type_at), data, at, end)


def destination_of(data: bytes, begin: int) -> bytes:
    """Return the hardware address that an Ethernet frame is sent to."""
    return data[begin : begin + HARDWARE_ADDRESS_BYTES]


def vlan_tags(link_type: int, data: bytes, begin: int, end: int) -> list[tuple[int, int]]:
    """Return EtherType and number of each VLAN tag of a frame, the outermost first."""
    tags: list[tuple[int, int]] = []
    if link_type not in TYPED_LINKS:
        return tags
    type_at, at = (begin + place for place in TYPED_LINKS[link_type])
    while at + VLAN_TAG_BYTES <= end and (protocol := _u16(data, type_at)) in VLAN_TAGS:
        tags.append((protocol, _u16(data, at) & 0x0FFF))
        type_at, at = at + 2, at + VLAN_TAG_BYTES
    return tags


def cooked_packet_type(link_type: int, data: bytes, begin: int) -> int:
    """Return whom a frame of a cooked capture was for, as the kernel numbers it; the header is there."""
    return _u16(data, begin) if link_type == LINUX_SLL else data[begin + SLL2_PACKET_TYPE_AT]


def ethernet_header(destination: bytes, source: bytes, protocol: int) -> bytes:
    """Return the header of an Ethernet frame."""
    return destination + source + protocol.to_bytes(2, "big")


def _u16(data: bytes, at: int) -> int:
    return data[at] << 8 | data[at + 1]


def _behind_tags(protocol: int, data: bytes, at: int, end: int) -> tuple[int, int]:
    while protocol in VLAN_TAGS:
        if at + VLAN_TAG_BYTES > end:
            return NOTHING, end
        protocol = _u16(data, at + 2)
        at += VLAN_TAG_BYTES
    return protocol, at


def _null(data: bytes, begin: int, end: int) -> tuple[int, int]:
    """Read the address family, in the byte order of whichever machine captured."""
    known = begin + 4 <= end and data[begin : begin + 4] in _AF_INET
    return (ETH_P_IP, begin + 4) if known else (NOTHING, end)


def _loop(data: bytes, begin: int, end: int) -> tuple[int, int]:
    """Read the address family, in network byte order."""
    known = begin + 4 <= end and data[begin : begin + 4] == _AF_INET[0]
    return (ETH_P_IP, begin + 4) if known else (NOTHING, end)


def _raw(data: bytes, begin: int, end: int) -> tuple[int, int]:
    return (_IP_VERSIONS.get(data[begin] >> 4, NOTHING), begin) if begin < end else (NOTHING, end)


def _ipv4(data: bytes, begin: int, end: int) -> tuple[int, int]:
    """Take the link type's word for it."""
    return ETH_P_IP, begin


def _ppp(data: bytes, begin: int, end: int) -> tuple[int, int]:
    """Read the protocol, compressed to one odd byte or not; address and control may be left out."""
    at = begin + 2 if data[begin : min(begin + 2, end)] == _PPP_FRAMING else begin
    if at < end and data[at] & 1:
        return _PPP_PROTOCOLS.get(data[at], NOTHING), at + 1
    if at + 2 <= end:
        return _PPP_PROTOCOLS.get(_u16(data, at), NOTHING), at + 2
    return NOTHING, end


def _ppp_hdlc(data: bytes, begin: int, end: int) -> tuple[int, int]:
    """Read PPP, or the framing of Cisco's that shares its link type: address, control, EtherType."""
    if begin + 4 <= end and data[begin] in _CISCO_HDLC:
        return _u16(data, begin + 2), begin + 4
    return _ppp(data, begin, end)


_UNTYPED_LINKS: Final[Mapping[int, Callable[[bytes, int, int], tuple[int, int]]]] = MappingProxyType(
    {
        NULL: _null,
        LOOP: _loop,
        12: _raw,
        14: _raw,
        RAW: _raw,
        IPV4: _ipv4,
        PPP: _ppp,
        PPP_HDLC: _ppp_hdlc,
    }
)
