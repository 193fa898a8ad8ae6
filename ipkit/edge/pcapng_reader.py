"""The frames of a pcapng file, as batches.

Law: what is no packet is kept with the row after it, so that nothing of the file is lost. A batch has one section, one
link type and one set of interfaces: a block that changes any of them begins a new batch.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator

from ipkit.core.frames import FrameBatch
from ipkit.edge.capture_limits import BATCH_ROWS, RECORD_BYTES, require_link_type
from ipkit.edge.capture_source import BLOCK_BYTES
from ipkit.edge.capture_window import Window
from ipkit.edge.pcapng_blocks import (
    BYTE_ORDERS,
    ENHANCED_PACKET,
    FRAME_BYTES,
    INTERFACE_BYTES,
    INTERFACE_DESCRIPTION,
    LAYOUTS,
    MAJOR_VERSION,
    PACKET_BYTES,
    PACKET_DATA_AT,
    PACKET_READERS,
    SECTION_BYTES,
    SECTION_HEADER,
    UTMOST_NS,
    Packet,
    PcapngOrigin,
    Section,
    interface_of,
)
from ipkit.errors import CaptureError, CaptureTruncated


class _Rows:
    """Columns that grow."""

    def __init__(self, begin: int) -> None:
        self.record = [begin]
        self.start: list[int] = []
        self.captured: list[int] = []
        self.on_wire: list[int] = []
        self.tstamp_ns: list[int] = []
        self.interface: list[int] = []
        self.link_type = 0


class PcapngReader:
    """The blocks of one pcapng file; it begins with a section header."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._section = Section(b"", "<")
        self._layout = self._section.layout
        self._passed = 0  # bytes at the window's front that hold whole blocks, none of them a packet
        self._described_before = 0  # interfaces of the section described before those
        self._need = FRAME_BYTES  # bytes that the block behind those needs to be whole, as far as can be told
        while not (end := self._block_end(0)):
            if not window.fill(self._need):
                raise CaptureError(f"{window.name}: file header cut short (byte {len(window.data)})")
        self._begin_section(0, end)
        self._passed = end

    def batches(self, limit: int) -> Iterator[FrameBatch]:
        """Yield the good packets, at most `limit` of them; damage is raised after them."""
        window = self._window
        number = 1
        while number <= limit:
            batch = self._scan(number, min(BATCH_ROWS, limit + 1 - number))
            if batch is not None:
                number += len(batch)
                yield batch
            elif not window.fill(self._passed + self._need):
                break
        else:
            return
        if window.position + self._passed < len(window.data):
            raise CaptureTruncated(window.name, window.offset(window.position + self._passed))

    def rest(self, number: int) -> FrameBatch:
        """Return a batch without rows, of the blocks that have been passed."""
        window = self._window
        blocks = window.data[window.position : window.position + self._passed]
        window.position += self._passed
        self._passed = 0
        return self._batch(number, blocks, _Rows(len(blocks)))

    def _scan(self, number: int, most: int) -> FrameBatch | None:
        """Collect a batch from the window; None: more bytes are needed first."""
        window = self._window
        rows = _Rows(window.position)
        dry = False
        try:
            dry = self._collect(rows, most)
        except CaptureError:
            if not rows.start:
                raise
        if rows.start:
            self._passed -= rows.record[-1] - window.position
            window.position = rows.record[-1]
            return self._batch(number, window.data, rows)
        return None if dry and self._passed < BLOCK_BYTES else self.rest(number)

    def _collect(self, rows: _Rows, most: int) -> bool:
        """Go through whole blocks until the batch must end; tell whether it was for want of bytes."""
        data, base = self._window.data, self._window.position
        at = base + self._passed
        while len(rows.start) < most:
            end = self._block_end(at)
            if not end:
                return True
            kind = self._layout.word.unpack_from(data, at)[0]
            read = PACKET_READERS.get(kind)
            if read is not None:
                if not self._add(rows, read(self._section, data, at, end), at, end):
                    return False
            elif kind == SECTION_HEADER:
                if at > base:
                    return False
                self._begin_section(at, end)
            elif kind == INTERFACE_DESCRIPTION:
                if rows.start:
                    return False
                self._describe(at, end)
            at = self._run(rows, end, most) if read is not None else end
            self._passed = at - base
        return False

    def _run(self, rows: _Rows, at: int, most: int) -> int:
        """Add the plain enhanced packets that follow a packet, and stop at whatever needs a closer look."""
        data = self._window.data
        size = len(data)
        unpack = self._layout.enhanced.unpack_from
        interfaces, count = self._section.interfaces, len(self._section.interfaces)
        record, start, captured, on_wire = rows.record, rows.start, rows.captured, rows.on_wire
        tstamp_ns, interface, link_type = rows.tstamp_ns, rows.interface, rows.link_type
        while len(start) < most and at + PACKET_BYTES <= size:
            kind, length, number, high, low, taken, wire = unpack(data, at)
            end = at + length
            if kind != ENHANCED_PACKET or end > size or length < taken + PACKET_BYTES or length & 3 or number >= count:
                break
            _, link, _, _, numerator, denominator, offset_ns = interfaces[number]
            time_ns = (high << 32 | low) * numerator // denominator + offset_ns
            if link != link_type or data[at + 4 : at + 8] != data[end - 4 : end] or abs(time_ns) > UTMOST_NS:
                break
            record.append(end)
            start.append(at + PACKET_DATA_AT)
            captured.append(taken)
            on_wire.append(wire)
            tstamp_ns.append(time_ns)
            interface.append(number)
            at = end
        return at

    def _block_end(self, at: int) -> int:
        """Return where a block ends; 0: it is not whole yet."""
        data = self._window.data
        here = len(data) - at
        self._need = FRAME_BYTES
        if here < FRAME_BYTES:
            return 0
        kind, length = self._layout.block.unpack_from(data, at)
        if kind == SECTION_HEADER:
            length = self._section_length(at)
        if length < FRAME_BYTES or length & 3 or length > RECORD_BYTES:
            raise self._damage(f"block length {length} is absurd", at)
        if length > here:
            self._need = length
            return 0
        end = at + length
        if data[at + 4 : at + 8] != data[end - 4 : end]:
            raise self._damage("the two lengths of a block differ", at)
        return int(end)

    def _section_length(self, at: int) -> int:
        """Return the length of a section header block, which comes before the byte order that it is written in."""
        data = self._window.data
        order = BYTE_ORDERS.get(data[at + 8 : at + 12])
        if order is None:
            raise self._damage(f"byte order mark {data[at + 8 : at + 12].hex(' ')} is unknown", at)
        length = LAYOUTS[order].word.unpack_from(data, at + 4)[0]
        return int(length)

    def _begin_section(self, at: int, end: int) -> None:
        raw = self._window.data[at:end]
        if len(raw) < SECTION_BYTES:
            raise self._damage("section header is too short", at)
        section = Section(raw, BYTE_ORDERS[raw[8:12]])
        major, minor = section.layout.version.unpack_from(raw, 12)
        if major != MAJOR_VERSION:
            raise self._damage(f"pcapng version {major}.{minor} is not supported", at)
        self._section = section
        self._layout = section.layout
        self._described_before = 0

    def _describe(self, at: int, end: int) -> None:
        if end - at < INTERFACE_BYTES:
            raise self._damage("interface description is too short", at)
        self._section.interfaces.append(interface_of(self._layout, self._window.data[at:end]))

    def _add(self, rows: _Rows, packet: Packet | None, at: int, end: int) -> bool:
        """Add a packet to the columns; False: it begins a batch of its own, for its link type is another."""
        if packet is None or packet.captured > end - 4 - packet.start:
            raise self._damage("packet is longer than its block", at)
        number, ticks, captured, on_wire, start = packet
        if number >= len(self._section.interfaces):
            raise self._damage(f"interface {number} is not described", at)
        interface = self._section.interfaces[number]
        if interface.link_type != rows.link_type or not rows.start:
            if rows.start:
                return False
            where = f"interface {number}, packet at byte {self._window.offset(at)}"
            require_link_type(interface.link_type, self._window.name, where)
            rows.link_type = interface.link_type
        rows.record.append(end)
        rows.start.append(start)
        rows.captured.append(captured)
        rows.on_wire.append(on_wire)
        rows.tstamp_ns.append(0 if ticks is None else interface.time_ns(ticks))
        rows.interface.append(number)
        return True

    def _batch(self, number: int, data: bytes, rows: _Rows) -> FrameBatch:
        used = sorted(set(rows.interface))
        local = {interface: index for index, interface in enumerate(used)}
        described = len(self._section.interfaces)
        origin = PcapngOrigin(self._section, self._described_before, described)
        self._described_before = described
        return FrameBatch(
            data=data,
            start=array("q", rows.start),
            captured=array("q", rows.captured),
            on_wire=array("q", rows.on_wire),
            tstamp_ns=array("q", rows.tstamp_ns),
            record=array("q", rows.record),
            interface=array("q", [local[interface] for interface in rows.interface]),
            interfaces=tuple(self._section.interfaces[interface].name for interface in used),
            link_type=rows.link_type,
            first_number=number,
            file=self._window.name,
            origin=origin,
        )

    def _damage(self, what: str, at: int) -> CaptureError:
        return CaptureError(f"{self._window.name}: {what} (block at byte {self._window.offset(at)})")
