"""Captures built byte by byte from the format descriptions, without the program and without scapy.

`pcap_bytes` and `pcapng_bytes` make a whole file of some frames; `Blocks` makes single pcapng blocks of one byte
order, for captures that need odd ones. `gzip_bytes` packs any of them.
"""

from __future__ import annotations

import gzip
import struct
from collections.abc import Iterable, Sequence
from typing import NamedTuple

FIRST_NS = 1_700_000_000_000_000_000
STEP_NS = 1_000_000


class Captured(NamedTuple):
    """A frame with what a capture says of it."""

    data: bytes
    time_ns: int = FIRST_NS
    on_wire: int | None = None
    interface: int = 0
    comment: str | None = None


def captured(frames: Iterable[bytes | Captured]) -> list[Captured]:
    """Give bare frames a time, one millisecond apart."""
    return [
        frame if isinstance(frame, Captured) else Captured(frame, FIRST_NS + number * STEP_NS)
        for number, frame in enumerate(frames)
    ]


def _wire(frame: Captured) -> int:
    return len(frame.data) if frame.on_wire is None else frame.on_wire


def pcap_header(*, big_endian: bool = False, nano: bool = False, link_type: int = 1, snaplen: int = 262144) -> bytes:
    """Return the 24 bytes that begin a pcap file; link_type is the whole 32-bit field."""
    magic = 0xA1B23C4D if nano else 0xA1B2C3D4
    return struct.pack(">IHHiIII" if big_endian else "<IHHiIII", magic, 2, 4, 0, 0, snaplen, link_type)


def pcap_record(frame: Captured, *, big_endian: bool = False, nano: bool = False) -> bytes:
    """Return one record: header and frame."""
    seconds, rest = divmod(frame.time_ns, 1_000_000_000)
    fields = (seconds, rest if nano else rest // 1000, len(frame.data), _wire(frame))
    return struct.pack(">IIII" if big_endian else "<IIII", *fields) + frame.data


def pcap_bytes(
    frames: Iterable[bytes | Captured],
    *,
    big_endian: bool = False,
    nano: bool = False,
    link_type: int = 1,
    snaplen: int = 262144,
) -> bytes:
    """Return a whole pcap file."""
    header = pcap_header(big_endian=big_endian, nano=nano, link_type=link_type, snaplen=snaplen)
    return header + b"".join(pcap_record(frame, big_endian=big_endian, nano=nano) for frame in captured(frames))


class Interface(NamedTuple):
    """What an interface description block says."""

    link_type: int = 1
    name: str | None = None
    snaplen: int = 262144
    tsresol: int | None = None  # the option's byte: 9 is 10^-9, 0x80 | 10 is 2^-10
    tsoffset: int | None = None  # seconds
    comment: str | None = None


class Blocks:
    """pcapng blocks of one byte order."""

    def __init__(self, *, big_endian: bool = False) -> None:
        self.order = ">" if big_endian else "<"

    def pack(self, layout: str, *values: int) -> bytes:
        """Pack numbers in the section's byte order."""
        return struct.pack(self.order + layout, *values)

    def block(self, kind: int, body: bytes) -> bytes:
        """Return a block of any kind."""
        body += bytes(-len(body) % 4)
        length = 12 + len(body)
        return self.pack("II", kind, length) + body + self.pack("I", length)

    def options(self, options: Sequence[tuple[int, bytes]]) -> bytes:
        """Return an option list with its end mark; nothing for no options."""
        if not options:
            return b""
        packed = [self.pack("HH", code, len(value)) + value + bytes(-len(value) % 4) for code, value in options]
        return b"".join(packed) + bytes(4)

    def section(self, *, length: int = -1, options: Sequence[tuple[int, bytes]] = ()) -> bytes:
        """Return a section header block."""
        return self.block(0x0A0D0D0A, self.pack("IHHq", 0x1A2B3C4D, 1, 0, length) + self.options(options))

    def interface(self, interface: Interface) -> bytes:
        """Return an interface description block."""
        options: list[tuple[int, bytes]] = []
        if interface.comment is not None:
            options.append((1, interface.comment.encode()))
        if interface.name is not None:
            options.append((2, interface.name.encode()))
        if interface.tsresol is not None:
            options.append((9, bytes([interface.tsresol])))
        if interface.tsoffset is not None:
            options.append((14, self.pack("q", interface.tsoffset)))
        body = self.pack("HHI", interface.link_type, 0, interface.snaplen) + self.options(options)
        return self.block(1, body)

    def packet(
        self,
        data: bytes,
        ticks: int,
        *,
        interface: int = 0,
        on_wire: int | None = None,
        options: Sequence[tuple[int, bytes]] = (),
    ) -> bytes:
        """Return an enhanced packet block; ticks are in the interface's resolution."""
        wire = len(data) if on_wire is None else on_wire
        head = self.pack("IIIII", interface, ticks >> 32, ticks & 0xFFFFFFFF, len(data), wire)
        return self.block(6, head + data + bytes(-len(data) % 4) + self.options(options))

    def obsolete_packet(self, data: bytes, ticks: int, *, interface: int = 0, drops: int = 0xFFFF) -> bytes:
        """Return a packet block of the kind that the enhanced one replaced."""
        head = self.pack("HHIIII", interface, drops, ticks >> 32, ticks & 0xFFFFFFFF, len(data), len(data))
        return self.block(2, head + data)

    def simple_packet(self, data: bytes, on_wire: int | None = None) -> bytes:
        """Return a simple packet block: a length on the wire, and the frame."""
        return self.block(3, self.pack("I", len(data) if on_wire is None else on_wire) + data)


def ticks_of(time_ns: int, interface: Interface) -> int:
    """Return a time in the units of an interface, rounded down."""
    resol = 6 if interface.tsresol is None else interface.tsresol
    per_second: int = 2 ** (resol & 0x7F) if resol & 0x80 else 10**resol
    return (time_ns - (interface.tsoffset or 0) * 1_000_000_000) * per_second // 1_000_000_000


def pcapng_bytes(
    frames: Iterable[bytes | Captured],
    *,
    big_endian: bool = False,
    interfaces: Sequence[Interface] = (Interface(),),
) -> bytes:
    """Return a whole pcapng file of one section: its interfaces, then the frames as enhanced packet blocks."""
    blocks = Blocks(big_endian=big_endian)
    parts = [blocks.section(), *(blocks.interface(interface) for interface in interfaces)]
    for frame in captured(frames):
        options = [] if frame.comment is None else [(1, frame.comment.encode())]
        ticks = ticks_of(frame.time_ns, interfaces[frame.interface])
        parts.append(
            blocks.packet(frame.data, ticks, interface=frame.interface, on_wire=frame.on_wire, options=options)
        )
    return b"".join(parts)


def gzip_bytes(capture: bytes) -> bytes:
    """Return a capture as gzip would store it."""
    return gzip.compress(capture, 6, mtime=0)
