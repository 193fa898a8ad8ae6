"""The IPv4 header: the only place that knows where its fields lie.

Law: reading never judges. Twenty bytes are asked for; whether IHL 3 or a total length of 7 is acceptable
is decided by ip_rcv, which has a name and a counter for it.
"""

from __future__ import annotations

from ipaddress import IPv4Address
from struct import Struct
from typing import Final, NamedTuple

from ipkit.core.wire.checksum import csum_fold, csum_partial

HEADER_BYTES: Final = 20
MAX_HEADER_BYTES: Final = 60
CHECK_AT: Final = 10
DADDR_AT: Final = 16
PLAIN_FIRST_BYTE: Final = 0x45  # version 4, no options
MAX_TOTAL_BYTES: Final = 65535

FLAG_RESERVED: Final = 0x8000
FLAG_DF: Final = 0x4000
FLAG_MF: Final = 0x2000
OFFSET_MASK: Final = 0x1FFF

PROTO_ICMP: Final = 1
PROTO_IGMP: Final = 2
PROTO_TCP: Final = 6
PROTO_UDP: Final = 17
PROTO_PIM: Final = 103
PROTO_UDPLITE: Final = 136
PROTO_RAW: Final = 255

PROTOCOL_NAMES: Final = {
    PROTO_ICMP: "icmp",
    PROTO_IGMP: "igmp",
    PROTO_TCP: "tcp",
    PROTO_UDP: "udp",
    PROTO_UDPLITE: "udplite",
}

_HEADER = Struct("!BBHHHBBHII")
_CHANGING = Struct("!2sH2sH2sH")
unpack_from = _HEADER.unpack_from
"""The ten fields in a tuple, for loops that cannot afford a name for each."""

unpack_keyed_from = Struct("!BBHHHBBH8s").unpack_from
"""The same with both addresses as one piece of bytes, which tells flows apart as it is."""


class Ipv4Header(NamedTuple):
    """The fixed header, field by field as the wire has it."""

    version_ihl: int
    tos: int
    tot_len: int
    id: int
    frag_off: int  # flags and offset, as stored
    ttl: int
    protocol: int
    check: int
    saddr: int
    daddr: int

    @property
    def version(self) -> int:
        """IP version."""
        return self.version_ihl >> 4

    @property
    def header_bytes(self) -> int:
        """IHL in bytes, 0..60."""
        return (self.version_ihl & 0x0F) << 2

    @property
    def offset_bytes(self) -> int:
        """Fragment offset in bytes."""
        return (self.frag_off & OFFSET_MASK) << 3

    @property
    def is_fragment(self) -> bool:
        """More fragments to come, or not the first: ip_is_fragment."""
        return bool(self.frag_off & (FLAG_MF | OFFSET_MASK))


def read(data: bytes, at: int = 0) -> Ipv4Header:
    """Return the fixed header at an offset; the caller has made sure of twenty bytes."""
    return Ipv4Header._make(unpack_from(data, at))


def build(header: Ipv4Header) -> bytes:
    """Return the twenty bytes of a header, its checksum field as given."""
    return _HEADER.pack(*header)


class HeaderTemplate:
    """A header to be written many times over, with another length, other flags and a right checksum each time.

    The words that stay are summed once: a fragment costs two additions.
    """

    __slots__ = ("_front", "_id", "_rest", "_sum", "_ttl_protocol")

    def __init__(self, header: bytes) -> None:
        self._front = header[:2]
        self._id = header[4:6]
        self._ttl_protocol = header[8:10]
        self._rest = header[12:]
        self._sum = csum_partial(self._front + self._id + self._ttl_protocol + self._rest)

    def filled(self, tot_len: int, frag_off: int) -> bytes:
        """Return the header with this total length and these flags and offset."""
        check = csum_fold(self._sum + tot_len + frag_off)
        return _CHANGING.pack(self._front, tot_len, self._id, frag_off, self._ttl_protocol, check) + self._rest


def with_tos(header: bytes, tos: int) -> bytes:
    """Return the header with another TOS, its checksum field as it was."""
    return header[:1] + bytes((tos,)) + header[2:]


def address_text(address: int) -> str:
    """Return the dotted form."""
    return f"{address >> 24}.{address >> 16 & 255}.{address >> 8 & 255}.{address & 255}"


def address_number(text: str) -> int:
    """Return the number of a dotted address; ValueError where it is none."""
    return int(IPv4Address(text))
