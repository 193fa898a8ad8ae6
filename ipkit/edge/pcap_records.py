"""How pcap stores frames: a file header, then records of sixteen bytes and a frame.

Law: scapy reads the file header. Records are found by whole blocks, into columns, because scapy reads them one by one,
cuts long ones and takes a broken one for the end. What a record says is taken as it stands, however odd.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from typing import Final, NamedTuple

from ipkit.core.frames import FrameBatch
from ipkit.edge.capture_limits import BATCH_ROWS, RECORD_BYTES, require_link_type
from ipkit.edge.capture_window import Window
from ipkit.edge.scapy_raw import PCAP_HEADER_BYTES, PcapHeader, read_pcap_header
from ipkit.errors import CaptureError, CaptureTruncated

RECORD_HEADER_BYTES: Final = 16
LINK_TYPE_BITS: Final = 0xFFFF  # above them are bits about the frame check sequence
SECOND_NS: Final = 1_000_000_000

RECORD_HEADERS: Final = {order: Struct(f"{order}IIII") for order in "<>"}
"""Seconds, fraction, captured length, length on the wire."""

VERSIONS: Final = {order: Struct(f"{order}HH") for order in "<>"}


@dataclass(frozen=True, slots=True)
class PcapOrigin:
    """How one pcap file stores its frames."""

    raw: bytes  # the file header as it stands
    header: PcapHeader

    @property
    def link_type(self) -> int:
        """The link type of all frames."""
        return self.header.network & LINK_TYPE_BITS

    @property
    def tick_ns(self) -> int:
        """The unit of the fraction field."""
        return 1 if self.header.nano else 1000


class _Rows(NamedTuple):
    record: list[int]
    times: list[int]
    lengths: list[int]
    wires: list[int]


class PcapReader:
    """The records of one pcap file, as batches."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self.origin = _read_origin(window)

    def batches(self, limit: int) -> Iterator[FrameBatch]:
        """Yield the good records, at most `limit` of them; damage is raised after them."""
        window = self._window
        number = 1
        while number <= limit:
            batch = self._scan(number, min(BATCH_ROWS, limit + 1 - number))
            if len(batch):
                window.position = batch.record[-1]
                number += len(batch)
                yield batch
            elif not window.fill(self._record_bytes()):
                break
        else:
            return
        if window.position < len(window.data):
            raise CaptureTruncated(window.name, window.offset(window.position))

    def rest(self, number: int) -> FrameBatch:
        """Return a batch without rows: only the format."""
        return self._batch(b"", number, _Rows([0], [], [], []))

    def _scan(self, number: int, most: int) -> FrameBatch:
        """Find the whole records in the window."""
        data = self._window.data
        unpack = RECORD_HEADERS[self.origin.header.byte_order].unpack_from
        tick_ns = self.origin.tick_ns
        at = self._window.position
        end = len(data)
        last = end - RECORD_HEADER_BYTES
        record = [at]
        times: list[int] = []
        lengths: list[int] = []
        wires: list[int] = []
        while at <= last and len(times) < most:
            seconds, ticks, captured, wire = unpack(data, at)
            at += RECORD_HEADER_BYTES + captured
            if at > end:
                break
            record.append(at)
            times.append(seconds * SECOND_NS + ticks * tick_ns)
            lengths.append(captured)
            wires.append(wire)
        return self._batch(data, number, _Rows(record, times, lengths, wires))

    def _batch(self, data: bytes, number: int, rows: _Rows) -> FrameBatch:
        return FrameBatch(
            data=data,
            start=array("q", [at + RECORD_HEADER_BYTES for at in rows.record[:-1]]),
            captured=array("q", rows.lengths),
            on_wire=array("q", rows.wires),
            tstamp_ns=array("q", rows.times),
            record=array("q", rows.record),
            interface=array("q", bytes(8 * len(rows.lengths))),
            interfaces=(None,),
            link_type=self.origin.link_type,
            first_number=number,
            file=self._window.name,
            origin=self.origin,
        )

    def _record_bytes(self) -> int:
        """Return what the record at the window's front needs to be whole, as far as that can be told."""
        window = self._window
        if len(window.data) - window.position < RECORD_HEADER_BYTES:
            return RECORD_HEADER_BYTES
        captured = RECORD_HEADERS[self.origin.header.byte_order].unpack_from(window.data, window.position)[2]
        if captured > RECORD_BYTES:
            offset = window.offset(window.position)
            raise CaptureError(f"{window.name}: captured length {captured} is absurd (record at byte {offset})")
        return RECORD_HEADER_BYTES + int(captured)


def _read_origin(window: Window) -> PcapOrigin:
    name = window.name
    whole = window.fill(PCAP_HEADER_BYTES)
    raw = window.data[:PCAP_HEADER_BYTES]
    header = read_pcap_header(raw.ljust(PCAP_HEADER_BYTES, b"\0"))
    if header is None:
        raise CaptureError(f"{name}: not a pcap or pcapng capture (it begins with {raw[:4].hex(' ')})")
    if not whole:
        raise CaptureError(f"{name}: file header cut short (byte {len(raw)})")
    version = VERSIONS[header.byte_order].unpack_from(raw, 4)
    if version not in {(2, 3), (2, 4)}:
        raise CaptureError(f"{name}: pcap version {version[0]}.{version[1]} is not supported (byte 4)")
    origin = PcapOrigin(raw, header)
    require_link_type(origin.link_type, name, "file header")
    window.position = PCAP_HEADER_BYTES
    return origin
