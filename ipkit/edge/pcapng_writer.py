"""Frames into a pcapng file.

Law: the sections of the input go out as they stood, block for block, and a frame that changed stands in its section
with its interface, comments and options. Frames of another origin share a section made here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ipkit.core.frames import Frame, FrameBatch
from ipkit.edge.packet_output import PacketOutput
from ipkit.edge.pcapng_blocks import (
    ENHANCED_PACKET,
    INTERFACE_DESCRIPTION,
    INTERFACE_SNAPLEN_AT,
    PACKET_DATA_AT,
    SECTION_HEADER,
    SECTION_LENGTH_AT,
    SECTION_MAGIC,
    SIMPLE_PACKET,
    SIMPLE_PACKET_DATA_AT,
    Layout,
    PcapngOrigin,
    Section,
    blocks_in,
    packet_block,
    stored_packet,
)
from ipkit.edge.pcapng_encoding import MadeSection, encoded, options_of, packet
from ipkit.errors import WriteError

WAITING_BYTES: Final = 16 << 20
UNKNOWN_LENGTH: Final = b"\xff" * 8


class PcapngSink:
    """One pcapng file in the making."""

    def __init__(self, output: PacketOutput, model: Section | None, snaplen: int, link_type: int) -> None:
        self._output = output
        self._model = model
        self.data_offset = 0
        self._open: Section | None = None  # the section that the output is in
        self._described = 0  # interfaces of it that the output has described
        self._waiting: list[tuple[Section, int, bytes]] = []  # blocks of sections that no packet has gone into yet
        self._waiting_bytes = 0
        self._entered = False  # a packet has gone into a section of the input
        self._made = MadeSection("<" if model is None else model.order, snaplen)
        self._link_type = link_type
        self._notes = _Notes()

    def rows(self, batch: FrameBatch, first: int, last: int) -> None:
        """Write rows as they were stored."""
        origin = batch.origin
        if not isinstance(origin, PcapngOrigin):
            for row in range(first, last):
                self.frame(batch.frame(row))
        elif first < last:
            begin = batch.record[first]
            if first == 0:
                begin += self._blocks_before(batch, origin, 0)
            self._enter(origin)
            self._output.add(batch.data[begin : batch.record[last]])
            self.data_offset = self._output.offset - (batch.record[last] - batch.start[last - 1])

    def between(self, batch: FrameBatch, row: int | None) -> None:
        """Write what stood before a row that has gone, or all of a batch without rows."""
        origin = batch.origin
        if not isinstance(origin, PcapngOrigin):
            return
        if row is None:
            self._pass(origin.section, origin.described_before, batch.data)
        else:
            self._notes.changed = True
            self._blocks_before(batch, origin, row)

    def frame(self, frame: Frame) -> None:
        """Write a frame as it was stored, or anew where it has changed."""
        self._notes.changed = True
        origin, record = frame.origin if isinstance(frame.origin, tuple) else (None, b"")
        if not isinstance(origin, PcapngOrigin):
            self._add_made(frame, b"")
            return
        section = origin.section
        stored = stored_packet(section, packet_block(section, record))
        if len(frame.data) > len(stored.data):
            self._notes.longest = max(self._notes.longest, len(frame.data))
        block = encoded(section, stored, frame)
        if block is None:
            self._add_made(frame, options_of(section, stored, frame, self._made.section.order))
            return
        if not self._could_stay(section, stored.packet.interface):
            self._enter(origin)
        is_simple = section.layout.word.unpack_from(block)[0] == SIMPLE_PACKET
        self.data_offset = self._output.offset + (SIMPLE_PACKET_DATA_AT if is_simple else PACKET_DATA_AT)
        self._output.add(block)

    def finish(self) -> None:
        """Complete the file: one without packets still says where it comes from."""
        if self._entered or not self._made:
            self._release()
        if not self._output.offset:
            self._open_empty()
        for offset, right in self._notes.corrections():
            self._output.rewrite(offset, right)

    def _open_empty(self) -> None:
        section = self._model
        if section is None:
            self._made.interface(None, self._link_type)
            section = self._made.section
        self._emit(section, 0, section.opening(len(section.interfaces)))

    def _blocks_before(self, batch: FrameBatch, origin: PcapngOrigin, row: int) -> int:
        """Let the blocks before the packet of a row follow, and return their length."""
        record = batch.data[batch.record[row] : batch.record[row + 1]]
        length = len(record) - len(packet_block(origin.section, record))
        known = origin.described if row else origin.described_before
        self._pass(origin.section, known, record[:length])
        return length

    def _pass(self, section: Section, known: int, blocks: bytes) -> None:
        """Write blocks that are no packets, as soon as a packet has gone into their section."""
        if not blocks:
            return
        if self._open is section:
            self._emit(section, known, blocks)
            return
        self._waiting.append((section, known, blocks))
        self._waiting_bytes += len(blocks)
        if self._waiting_bytes > WAITING_BYTES:
            self._release()

    def _release(self) -> None:
        waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
        for section, known, blocks in waiting:
            self._emit(section, known, blocks)

    def _enter(self, origin: PcapngOrigin) -> None:
        """Let the output be in a section of the input."""
        if self._waiting:
            self._release()
        if self._open is not origin.section:
            self._emit(origin.section, 0, origin.section.opening(origin.described))
        self._entered = True

    def _could_stay(self, section: Section, number: int) -> bool:
        """Tell whether a late packet fits the section that the output is in: it describes the same interface."""
        here = self._open
        return (
            here is not None
            and here.order == section.order
            and number < self._described
            and here.interfaces[number].raw == section.interfaces[number].raw
            and not (self._waiting and self._waiting[-1][0] is section)
        )

    def _emit(self, section: Section, known: int, blocks: bytes) -> None:
        """Write blocks into their section, which is opened again where the output has left it."""
        if blocks.startswith(SECTION_MAGIC):
            self._open = section
            self._described = 0
        elif self._open is not section:
            self._emit(section, 0, section.opening(known))
        self._described += self._notes.take(self._output.offset, section.layout, blocks)
        self._output.add(blocks)

    def _add_made(self, frame: Frame, options: bytes) -> None:
        number, description = self._made.interface(frame.interface, frame.link_type)
        section = self._made.section
        if self._open is not section:
            self._emit(section, 0, section.opening(len(section.interfaces)))
        elif description:
            self._emit(section, number, description)
        if not 0 <= frame.tstamp_ns < 1 << 64:
            raise WriteError(f"{self._output.name}: a pcapng block cannot hold the time {frame.tstamp_ns} ns")
        self._notes.longest = max(self._notes.longest, len(frame.data))
        head = section.layout.block.pack(ENHANCED_PACKET, number)
        self.data_offset = self._output.offset + PACKET_DATA_AT
        self._output.add(packet(section.layout, head, frame.tstamp_ns, frame, options))


class _Notes:
    """What the output says in advance and may turn out wrong: the lengths of sections, the longest frame."""

    def __init__(self) -> None:
        self.changed = False
        self.longest = 0  # of the frames that are longer than they were, or new
        self._sections: list[int] = []  # where a section's length is
        self._snaplens: list[tuple[int, Layout, int]] = []  # where a snap length is, and which

    def take(self, offset: int, layout: Layout, blocks: bytes) -> int:
        """Note what some blocks say; return how many interfaces they describe."""
        interfaces = 0
        for kind, begin, _ in blocks_in(layout, blocks):
            if kind == INTERFACE_DESCRIPTION:
                interfaces += 1
                _, snaplen = layout.interface.unpack_from(blocks, begin + 8)
                self._snaplens.append((offset + begin + INTERFACE_SNAPLEN_AT, layout, snaplen))
            elif kind == SECTION_HEADER and blocks[begin + SECTION_LENGTH_AT :][:8] != UNKNOWN_LENGTH:
                self._sections.append(offset + begin + SECTION_LENGTH_AT)
        return interfaces

    def corrections(self) -> Iterator[tuple[int, bytes]]:
        """Yield what has to be set right, and where."""
        for offset in self._sections if self.changed else ():
            yield offset, UNKNOWN_LENGTH
        for offset, layout, snaplen in self._snaplens:
            if 0 < snaplen < self.longest:
                yield offset, layout.word.pack(self.longest)
