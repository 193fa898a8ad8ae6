"""Packets into pcapng blocks, and the section that holds what no input described.

Law: what has not changed is returned as it was stored. Packets are encoded here, because scapy's RawPcapNgWriter knows
microseconds only, drops options and adds an interface of its own; it frames the other blocks.
"""

from __future__ import annotations

from typing import Final

from ipkit.core.frames import Frame
from ipkit.edge.pcapng_blocks import (
    FRAME_BYTES,
    IF_NAME,
    IF_TSRESOL,
    INTERFACE_DESCRIPTION,
    LAYOUTS,
    SIMPLE_PACKET,
    Layout,
    Section,
    StoredPacket,
    interface_of,
    options,
)
from ipkit.edge.scapy_raw import pcapng_block, pcapng_section

NANOSECONDS: Final = b"\x09"
VALUE_BYTES: Final = 0xFFFF
PACKET_HASH: Final = 3

NUMBER_BYTES: Final = {2: 4, 4: 8, 5: 8, 6: 4, 2988: 4, 2989: 4, 19372: 4, 19373: 4}
"""Packet options that begin with a number in the section's byte order, and how long it is."""


def packet(layout: Layout, head: bytes, ticks: int, frame: Frame, options: bytes) -> bytes:
    """Return a frame as a packet block; `head` is its kind, and what names the interface."""
    data = frame.data
    padding = bytes(-len(data) & 3)
    fields = layout.times.pack(ticks >> 32, ticks & 0xFFFFFFFF, len(data), frame.on_wire)
    length = layout.word.pack(FRAME_BYTES + 4 + len(fields) + len(data) + len(padding) + len(options))
    return b"".join((head[:4], length, head[4:], fields, data, padding, options, length))


def encoded(section: Section, stored: StoredPacket, frame: Frame) -> bytes | None:
    """Return the block of a frame that came from a section; None: its interface is another, or cannot say its time."""
    interface = section.interfaces[stored.packet.interface]
    if (frame.interface, frame.link_type) != (interface.name, interface.link_type):
        return None
    ticks: int | None = stored.packet.ticks
    same_time = frame.tstamp_ns == (0 if ticks is None else interface.time_ns(ticks))
    if same_time and _is_as_stored(stored, frame):
        return stored.block
    if same_time and stored.kind == SIMPLE_PACKET and len(frame.data) == _cut(frame.on_wire, interface.snaplen):
        return _simple(section.layout, frame)
    if ticks is None or not same_time:
        ticks = interface.ticks(frame.tstamp_ns)
    if ticks is None:
        return None
    return packet(section.layout, stored.head, ticks, frame, options_of(section, stored, frame, section.order))


def options_of(section: Section, stored: StoredPacket, frame: Frame, order: str) -> bytes:
    """Return the options that a frame keeps, in a byte order; a hash of other bytes is not kept."""
    if not frame.keeps_options or not stored.options:
        return b""
    said = list(options(section.layout, stored.options))
    stale = frame.data != stored.data and any(code == PACKET_HASH for code, _ in said)
    if section.order == order and not stale:
        return stored.options
    kept = [(code, value) for code, value in said if not (stale and code == PACKET_HASH)]
    if section.order != order:
        kept = [(code, _turned(code, value)) for code, value in kept]
    return option_list(LAYOUTS[order], kept)


def option_list(layout: Layout, said: list[tuple[int, bytes]]) -> bytes:
    """Return options as they stand in a block, with their end mark; nothing for none."""
    parts = [layout.option.pack(code, len(value)) + value + bytes(-len(value) & 3) for code, value in said]
    return b"".join(parts) + bytes(4) if parts else b""


class MadeSection:
    """A section of our own: one interface, in nanoseconds, for each name and link type.

    Byte order and snap length are those of the input: libpcap refuses a file that changes them half-way.
    """

    def __init__(self, order: str, snaplen: int) -> None:
        self._order = order
        self._snaplen = snaplen
        self._section: Section | None = None
        self._numbers: dict[tuple[str | None, int], int] = {}

    @property
    def section(self) -> Section:
        """The section as far as it is described."""
        if self._section is None:
            self._section = Section(pcapng_section(self._order), self._order)
        return self._section

    def __bool__(self) -> bool:
        return bool(self._numbers)

    def interface(self, name: str | None, link_type: int) -> tuple[int, bytes]:
        """Return the number of an interface, and its description where it is a new one."""
        number = self._numbers.get((name, link_type))
        if number is not None:
            return number, b""
        layout = self.section.layout
        said = [(IF_TSRESOL, NANOSECONDS)]
        if name is not None:
            said.insert(0, (IF_NAME, name.encode("utf-8", "replace")[:VALUE_BYTES]))
        body = layout.interface.pack(link_type, self._snaplen)
        raw = pcapng_block(self._order, layout.word.pack(INTERFACE_DESCRIPTION), body, option_list(layout, said))
        number = self._numbers[name, link_type] = len(self._numbers)
        self.section.interfaces.append(interface_of(layout, raw))
        return number, raw


def _is_as_stored(stored: StoredPacket, frame: Frame) -> bool:
    return frame.keeps_options and frame.on_wire == stored.packet.on_wire and frame.data == stored.data


def _cut(on_wire: int, snaplen: int) -> int:
    return min(on_wire, snaplen) if snaplen else on_wire


def _simple(layout: Layout, frame: Frame) -> bytes:
    padding = bytes(-len(frame.data) & 3)
    length = FRAME_BYTES + 4 + len(frame.data) + len(padding)
    head = layout.block.pack(SIMPLE_PACKET, length) + layout.word.pack(frame.on_wire)
    return head + frame.data + padding + layout.word.pack(length)


def _turned(code: int, value: bytes) -> bytes:
    """Return an option's value in the other byte order."""
    number = NUMBER_BYTES.get(code, 0)
    return value[:number][::-1] + value[number:]
