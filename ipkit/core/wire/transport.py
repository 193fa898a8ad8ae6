"""TCP, UDP, UDP-Lite and IGMP headers: where the fields lie.

Law: reading never judges.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

UDP_HEADER_BYTES: Final = 8
UDP_CHECK_AT: Final = 6

TCP_HEADER_BYTES: Final = 20
TCP_CHECK_AT: Final = 16

IGMP_HEADER_BYTES: Final = 8
IGMP_CHECK_AT: Final = 2

PORTS_BYTES: Final = 4
PORT_PROTOCOLS: Final = frozenset({6, 17, 33, 132, 136})
"""TCP, UDP, DCCP, SCTP and UDP-Lite begin with two ports."""

_PORTS = Struct("!HH")
_UDP = Struct("!HHHH")
_TCP = Struct("!HHIIBBHHH")

udp_fields = _UDP.unpack_from
"""The four fields in a tuple, for loops that cannot afford a name for each."""


class UdpHeader(NamedTuple):
    """The header of UDP, and of UDP-Lite, where the length field says what is covered."""

    source: int
    dest: int
    len: int
    check: int


class TcpHeader(NamedTuple):
    """The fixed header, field by field as the wire has it."""

    source: int
    dest: int
    seq: int
    ack_seq: int
    doff_reserved: int  # data offset in the upper half
    flags: int
    window: int
    check: int
    urg_ptr: int

    @property
    def header_bytes(self) -> int:
        """Data offset in bytes, 0..60."""
        return (self.doff_reserved >> 4) << 2


def read_ports(data: bytes, at: int = 0) -> tuple[int, int]:
    """Return source and destination port; the caller has made sure of four bytes."""
    source, dest = _PORTS.unpack_from(data, at)
    return source, dest


def read_udp(data: bytes, at: int = 0) -> UdpHeader:
    """Return the header at an offset; the caller has made sure of eight bytes."""
    return UdpHeader._make(_UDP.unpack_from(data, at))


def build_udp(header: UdpHeader) -> bytes:
    """Return the eight bytes of a header, its checksum field as given."""
    return _UDP.pack(*header)


def read_tcp(data: bytes, at: int = 0) -> TcpHeader:
    """Return the fixed header at an offset; the caller has made sure of twenty bytes."""
    return TcpHeader._make(_TCP.unpack_from(data, at))


def build_tcp(header: TcpHeader) -> bytes:
    """Return the twenty bytes of a header, its checksum field as given."""
    return _TCP.pack(*header)


def tcp_header_bytes(segment: bytes) -> int:
    """Return the data offset in bytes; the caller has made sure of twenty."""
    return segment[12] >> 2 & 0x3C
