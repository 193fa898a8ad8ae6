"""Frames into a pcap file.

Law: what the same kind of pcap stored goes out as it stood; anything else is encoded, and what pcap cannot hold (a
second link type, a finer time, interfaces, comments) is an error and never lost in silence.
"""

from __future__ import annotations

import struct
from typing import Final

from ipkit.core.frames import Frame, FrameBatch
from ipkit.core.wire.link import LINK_TYPES
from ipkit.edge.packet_output import PacketOutput
from ipkit.edge.pcap_records import RECORD_HEADER_BYTES, RECORD_HEADERS, SECOND_NS, PcapOrigin
from ipkit.edge.pcapng_blocks import PcapngOrigin, packet_block, stored_packet
from ipkit.edge.scapy_raw import PcapHeader, pcap_header
from ipkit.errors import WriteError

SNAPLEN: Final = 262144
SNAPLEN_AT: Final = 16
NETWORK_AT: Final = 20


class PcapSink:
    """One pcap file in the making; its header is written with the first frame, whose link type it names."""

    def __init__(self, output: PacketOutput, model: PcapOrigin | None, link_type: int) -> None:
        self._output = output
        self._model = model
        self._link_type = link_type if model is None else model.link_type
        self._header = PcapHeader("<", True, SNAPLEN, link_type) if model is None else model.header  # noqa: FBT003
        self._layout = RECORD_HEADERS[self._header.byte_order]
        self._tick_ns = 1 if self._header.nano else 1000
        self._begun = False
        self.data_offset = 0
        self._longest = 0  # of the frames that the header does not know of

    def rows(self, batch: FrameBatch, first: int, last: int) -> None:
        """Write rows as they were stored."""
        if first < last and self._stores_like(batch.origin):
            self._begin(batch.link_type)
            if batch.origin is not self._model:
                self._longest = max(self._longest, *batch.captured[first:last])
            self._output.add(batch.data[batch.record[first] : batch.record[last]])
            self.data_offset = self._output.offset - batch.captured[last - 1]
            return
        for row in range(first, last):
            self.frame(batch.frame(row))

    def between(self, batch: FrameBatch, row: int | None) -> None:
        """Write what stood before a row that has gone, or all of a batch without rows: nothing, in a pcap."""

    def frame(self, frame: Frame) -> None:
        """Write a frame as it was stored, or anew where it has changed."""
        if not self._begun or frame.link_type != self._link_type:
            self._begin(frame.link_type)
        if frame.origin is None:
            self._made_by_us(frame)
            return
        origin, stored = frame.origin if isinstance(frame.origin, tuple) else (None, b"")
        if origin is not self._model or len(frame.data) > len(stored) - RECORD_HEADER_BYTES:
            self._longest = max(self._longest, len(frame.data))
        if self._stores_like(origin):
            seconds, ticks, _, _ = self._layout.unpack_from(stored)
            if seconds * SECOND_NS + ticks * self._tick_ns == frame.tstamp_ns:
                self._add(seconds, ticks, frame)
                return
        if isinstance(origin, PcapngOrigin):
            self._refuse_loss(frame, origin, stored)
        seconds, rest = divmod(frame.tstamp_ns, SECOND_NS)
        if origin is not None and rest % self._tick_ns:
            raise self._cannot(f"microseconds cannot hold the time stamps of {frame.file}")
        self._add(seconds, rest // self._tick_ns, frame)

    def _made_by_us(self, frame: Frame) -> None:
        size = len(frame.data)
        self._longest = max(self._longest, size)
        seconds, rest = divmod(frame.tstamp_ns, SECOND_NS)
        self._add(seconds, rest // self._tick_ns, frame)

    def finish(self) -> None:
        """Complete the file: one without frames is a header, and no frame may be longer than that says."""
        self._begin(self._link_type)
        if 0 < self._header.snaplen < self._longest:
            self._output.rewrite(SNAPLEN_AT, struct.pack(f"{self._header.byte_order}I", self._longest))

    def _begin(self, link_type: int) -> None:
        if self._begun:
            if link_type != self._link_type:
                names = " and ".join(LINK_TYPES.get(link, str(link)) for link in (self._link_type, link_type))
                raise self._cannot(f"a pcap file holds one link type, not {names}")
            return
        self._begun = True
        self._link_type = link_type
        if self._model is None:
            self._output.add(pcap_header(self._header._replace(network=link_type)))
        elif link_type == self._model.link_type:
            self._output.add(self._model.raw)
        else:
            network = struct.pack(f"{self._header.byte_order}I", link_type)
            self._output.add(self._model.raw[:NETWORK_AT] + network)

    def _stores_like(self, origin: object) -> bool:
        return isinstance(origin, PcapOrigin) and origin.header[:2] == self._header[:2]

    def _add(self, seconds: int, ticks: int, frame: Frame) -> None:
        try:
            header = self._layout.pack(seconds, ticks, len(frame.data), frame.on_wire)
        except struct.error:
            time = f"time {frame.tstamp_ns} ns or length {frame.on_wire}"
            raise WriteError(f"{self._output.name}: a pcap record cannot hold {time}") from None
        self._output.add(header + frame.data)
        self.data_offset = self._output.offset - len(frame.data)

    def _refuse_loss(self, frame: Frame, origin: PcapngOrigin, stored: bytes) -> None:
        options = stored_packet(origin.section, packet_block(origin.section, stored)).options
        if frame.interface is not None or options:
            raise self._cannot(f"pcap cannot hold the interfaces and comments of {frame.file}")

    def _cannot(self, why: str) -> WriteError:
        return WriteError(f"{self._output.name}: {why}; a name ending in .pcapng can")
