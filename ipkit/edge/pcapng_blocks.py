"""How pcapng stores things: blocks of a kind and a length, in the byte order of their section.

Law: this room knows the layout and judges nothing. The blocks are read here and not by scapy's RawPcapNgReader, which
forgets options, unknown blocks and time offsets, and carries the interfaces of one section into the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import gcd
from struct import Struct
from typing import Final, NamedTuple, Self

SECTION_HEADER: Final = 0x0A0D0D0A
INTERFACE_DESCRIPTION: Final = 1
OBSOLETE_PACKET: Final = 2
SIMPLE_PACKET: Final = 3
ENHANCED_PACKET: Final = 6

SECTION_MAGIC: Final = b"\x0a\x0d\x0d\x0a"
BYTE_ORDERS: Final = {b"\x1a\x2b\x3c\x4d": ">", b"\x4d\x3c\x2b\x1a": "<"}
MAJOR_VERSION: Final = 1

FRAME_BYTES: Final = 12  # kind, length, ..., length again
SECTION_BYTES: Final = 28
INTERFACE_BYTES: Final = 20
PACKET_BYTES: Final = 32
SIMPLE_PACKET_BYTES: Final = 16
PACKET_DATA_AT: Final = 28
SIMPLE_PACKET_DATA_AT: Final = 12
INTERFACE_SNAPLEN_AT: Final = 12
SECTION_LENGTH_AT: Final = 16

OPTION_END: Final = 0
IF_NAME: Final = 2
IF_TSRESOL: Final = 9
IF_TSOFFSET: Final = 14
BINARY_RESOLUTION: Final = 0x80

SECOND_NS: Final = 1_000_000_000
UTMOST_NS: Final = (1 << 63) - 1


class Layout(NamedTuple):
    """The numbers of one byte order."""

    block: Struct  # kind, length
    word: Struct
    version: Struct
    interface: Struct  # link type, snap length
    packet: Struct  # interface, time high, time low, captured, on the wire
    times: Struct  # the same without the interface
    obsolete: Struct  # interface, drops, then the same
    enhanced: Struct  # kind, length, then as packet
    option: Struct  # code, length
    seconds: Struct

    @classmethod
    def of(cls, order: str) -> Self:
        """Return the layout of a byte order as struct spells it."""
        formats = ("II", "I", "HH", "HxxI", "IIIII", "IIII", "HHIIII", "IIIIIII", "HH", "q")
        return cls(*(Struct(order + form) for form in formats))


LAYOUTS: Final = {order: Layout.of(order) for order in "<>"}


class Interface(NamedTuple):
    """What an interface description block says."""

    raw: bytes
    link_type: int
    snaplen: int
    name: str | None
    numerator: int  # of nanoseconds in a tick
    denominator: int
    offset_ns: int

    def time_ns(self, ticks: int) -> int:
        """Return a time stamp in nanoseconds, or the utmost that 64 bits can say."""
        time_ns = ticks * self.numerator // self.denominator + self.offset_ns
        return max(-UTMOST_NS, min(UTMOST_NS, time_ns))

    def ticks(self, time_ns: int) -> int | None:
        """Return the time stamp that says a time; None: this interface has none to the nanosecond."""
        ticks = -(-(time_ns - self.offset_ns) * self.denominator // self.numerator)
        return ticks if 0 <= ticks < 1 << 64 and self.time_ns(ticks) == time_ns else None


@dataclass(slots=True)
class Section:
    """A section: its header, and the interfaces described in it so far."""

    raw: bytes
    order: str
    interfaces: list[Interface] = field(default_factory=list)
    layout: Layout = field(init=False)  # the numbers of its byte order

    def __post_init__(self) -> None:
        self.layout = LAYOUTS[self.order]

    def opening(self, described: int) -> bytes:
        """Return the blocks that begin the section again where it was left: header and interfaces."""
        return self.raw + b"".join(interface.raw for interface in self.interfaces[:described])


class PcapngOrigin(NamedTuple):
    """Where in a pcapng file the rows of a batch stood."""

    section: Section
    described_before: int  # interfaces described before what the batch begins with
    described: int  # interfaces that its rows know


def options(layout: Layout, raw: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield code and value of each option, as far as they are whole."""
    at = 0
    while at + 4 <= len(raw):
        code, length = layout.option.unpack_from(raw, at)
        value = raw[at + 4 : at + 4 + length]
        if code == OPTION_END or len(value) < length:
            return
        yield code, value
        at += 4 + length + (-length & 3)


def interface_of(layout: Layout, raw: bytes) -> Interface:
    """Read an interface description block; of an option that is there twice the first counts."""
    link_type, snaplen = layout.interface.unpack_from(raw, 8)
    said: dict[int, bytes] = {}
    for code, value in options(layout, raw[INTERFACE_BYTES - 4 : -4]):
        said.setdefault(code, value)
    resolution = said.get(IF_TSRESOL, b"\x06")[:1] or b"\x06"
    exponent = resolution[0]
    per_second = 1 << (exponent & 0x7F) if exponent & BINARY_RESOLUTION else 10**exponent
    common = gcd(SECOND_NS, per_second)
    offset = said.get(IF_TSOFFSET, b"")
    return Interface(
        raw,
        link_type,
        snaplen,
        said[IF_NAME].decode("utf-8", "replace") if IF_NAME in said else None,
        SECOND_NS // common,
        per_second // common,
        layout.seconds.unpack(offset)[0] * SECOND_NS if len(offset) == 8 else 0,
    )


def blocks_in(layout: Layout, raw: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield kind, begin and end of each of some whole blocks."""
    at = 0
    while at < len(raw):
        kind, length = layout.block.unpack_from(raw, at)
        yield kind, at, at + length
        at += length


class Packet(NamedTuple):
    """Where a packet block has its frame, and what it says of it."""

    interface: int
    ticks: int | None  # None: the block says no time
    captured: int
    on_wire: int
    start: int  # of the frame


def _enhanced(section: Section, data: bytes, at: int, end: int) -> Packet | None:
    if end - at < PACKET_BYTES:
        return None
    interface, high, low, captured, on_wire = section.layout.packet.unpack_from(data, at + 8)
    return Packet(interface, high << 32 | low, captured, on_wire, at + PACKET_DATA_AT)


def _obsolete(section: Section, data: bytes, at: int, end: int) -> Packet | None:
    if end - at < PACKET_BYTES:
        return None
    interface, _, high, low, captured, on_wire = section.layout.obsolete.unpack_from(data, at + 8)
    return Packet(interface, high << 32 | low, captured, on_wire, at + PACKET_DATA_AT)


def _simple(section: Section, data: bytes, at: int, end: int) -> Packet | None:
    """Read a packet of the first interface: it is cut at that one's snap length, and says no time."""
    if end - at < SIMPLE_PACKET_BYTES:
        return None
    on_wire = section.layout.word.unpack_from(data, at + 8)[0]
    snaplen = section.interfaces[0].snaplen if section.interfaces else 0
    return Packet(0, None, min(on_wire, snaplen) if snaplen else on_wire, on_wire, at + SIMPLE_PACKET_DATA_AT)


PACKET_READERS: Final[Mapping[int, Callable[[Section, bytes, int, int], Packet | None]]] = {
    ENHANCED_PACKET: _enhanced,
    OBSOLETE_PACKET: _obsolete,
    SIMPLE_PACKET: _simple,
}
"""How each kind of packet block is read; nothing where the block is too short for its fields."""


class StoredPacket(NamedTuple):
    """A packet block taken apart."""

    block: bytes
    kind: int
    head: bytes  # its kind, and what names the interface, with the drops that an obsolete block counts
    packet: Packet
    data: bytes
    options: bytes


def packet_block(section: Section, record: bytes) -> bytes:
    """Return the packet block that ends the stored form of a row: blocks of other kinds may stand before it."""
    if section.layout.block.unpack_from(record)[1] == len(record):
        return record
    *_, (_, begin, _) = blocks_in(section.layout, record)
    return record[begin:]


def stored_packet(section: Section, block: bytes) -> StoredPacket:
    """Take a packet block apart."""
    kind = section.layout.word.unpack_from(block)[0]
    packet = PACKET_READERS[kind](section, block, 0, len(block))
    assert packet is not None
    end = packet.start + packet.captured
    data = block[packet.start : end]
    if kind == SIMPLE_PACKET:
        return StoredPacket(block, kind, section.layout.block.pack(ENHANCED_PACKET, 0), packet, data, b"")
    return StoredPacket(block, kind, block[:4] + block[8:12], packet, data, block[end + (-end & 3) : -4])
