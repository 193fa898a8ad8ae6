"""Laws of the capture edge: any bytes end in frames or a named error, and what goes through unchanged is unchanged."""

from __future__ import annotations

import gzip
import io
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from ipkit.core.frames import Frame
from ipkit.edge.capture_reader import CaptureStream
from ipkit.edge.capture_writer import CaptureWriter
from ipkit.errors import CaptureError, WriteError
from tests.support.captures import Blocks, Captured, Interface, pcap_bytes, pcap_header

BEGINNINGS = [
    b"",
    b"\x1f\x8b",
    b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03",
    *(pcap_header(big_endian=big, nano=nano) for big in (False, True) for nano in (False, True)),
    *(Blocks(big_endian=big).section() + Blocks(big_endian=big).interface(Interface()) for big in (False, True)),
]


class Trickle(io.BytesIO):
    """Bytes that come in pieces."""

    def __init__(self, content: bytes, piece: int) -> None:
        super().__init__(content)
        self.piece = piece

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(self.piece)


@contextmanager
def stdin(content: bytes, piece: int = 1 << 20) -> Iterator[None]:
    with patch.object(sys, "stdin", io.TextIOWrapper(Trickle(content, piece))):
        yield


def read(content: bytes, piece: int = 1 << 20) -> tuple[list[Frame], str]:
    """Return the frames of a capture, and what was said of the rest."""
    frames: list[Frame] = []
    try:
        with stdin(content, piece):
            for batch in CaptureStream(["-"]):
                frames += [batch.frame(row) for row in range(len(batch))]
    except CaptureError as damage:
        return frames, str(damage)
    return frames, ""


def passed(content: bytes, changes: Mapping[int, Sequence[Mapping[str, bytes]]], piece: int = 1 << 20) -> bytes:
    """Send a capture through reader and writer; per frame, the fields that differ of each frame in its place."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "out"
        with stdin(content, piece), CaptureWriter(target) as writer:
            try:
                for batch in CaptureStream(["-"]):
                    first = batch.first_number
                    here = {
                        row: [batch.frame(row)._replace(data=each["data"]) for each in changes[first + row]]
                        for row in range(len(batch))
                        if first + row in changes
                    }
                    writer.write_batch(batch, here)
            except CaptureError:
                pass
            writer.commit()
        return target.read_bytes() if target.exists() else b""


def told(frames: Sequence[Frame]) -> list[tuple[bytes, int, int, int, str | None]]:
    return [(f.data, f.tstamp_ns, f.on_wire, f.link_type, f.interface) for f in frames]


@given(st.sampled_from(BEGINNINGS), st.binary(max_size=200), st.integers(1, 64))
def test_any_bytes_end_in_frames_or_a_named_error(beginning: bytes, rest: bytes, piece: int) -> None:
    frames, error = read(beginning + rest, piece)
    assert error.startswith("-: ") or not error
    assert sum(len(frame.data) for frame in frames) <= len(beginning + rest)


numbers16 = st.integers(0, 2**16 - 1)
numbers32 = st.one_of(st.integers(0, 100), st.integers(0, 2**32 - 1))


@st.composite
def pcaps(draw: st.DrawFn) -> bytes:
    """Pcap files with odd values, whole or not."""
    big = draw(st.booleans())
    blocks = Blocks(big_endian=big)
    header = pcap_header(big_endian=big, nano=draw(st.booleans()), snaplen=draw(numbers32))
    records = [
        blocks.pack("IIII", draw(numbers32), draw(numbers32), len(data), draw(numbers32)) + data
        for data in draw(st.lists(st.binary(max_size=40), max_size=6))
    ]
    return header + b"".join(records)


@st.composite
def sections(draw: st.DrawFn) -> bytes:
    """Pcapng sections of every kind of block, some of them empty, with odd values."""
    blocks = Blocks(big_endian=draw(st.booleans()))
    options = st.lists(st.tuples(st.integers(1, 2**16 - 1), st.binary(max_size=9)), max_size=3)
    parts = [blocks.section(options=draw(options))]
    interfaces: list[Interface] = []
    for _ in range(draw(st.integers(0, 8))):
        kind = draw(st.sampled_from(["interface", "other", "packet", "packet", "simple", "obsolete"]))
        data = draw(st.binary(max_size=40))
        if kind == "interface" or not interfaces:
            interfaces.append(
                Interface(
                    link_type=draw(st.sampled_from([0, 1, 101])),
                    name=draw(st.none() | st.sampled_from(["a", "b"])),
                    snaplen=draw(st.sampled_from([0, 20, 65535])),
                    tsresol=draw(st.none() | st.integers(0, 255)),
                    tsoffset=draw(st.none() | st.integers(-(2**63), 2**63 - 1)),
                )
            )
            parts.append(blocks.interface(interfaces[-1]))
        elif kind == "other":
            parts.append(blocks.block(draw(st.sampled_from([4, 5, 10, 0xBAD, 0x0BAD0BAD])), data))
        elif kind == "simple":
            room = interfaces[0].snaplen or 40
            parts.append(blocks.simple_packet(data[:room], None if len(data) < room else draw(st.integers(room, 99))))
        else:
            number = draw(st.integers(0, len(interfaces) - 1))
            ticks = draw(st.integers(0, 2**64 - 1))
            if kind == "obsolete":
                parts.append(blocks.obsolete_packet(data, ticks, interface=number, drops=draw(numbers16)))
            else:
                wire = draw(st.none() | numbers32)
                parts.append(blocks.packet(data, ticks, interface=number, on_wire=wire, options=draw(options)))
    return b"".join(parts)


pcapngs = st.lists(sections(), min_size=1, max_size=3).map(b"".join)
captures = st.one_of(pcaps(), pcapngs)


@given(captures, st.integers(1, 50), st.booleans())
def test_untouched_means_untouched(capture: bytes, piece: int, packed: bool) -> None:
    assert passed(gzip.compress(capture) if packed else capture, {}, piece) == capture


@given(captures, st.integers(1, 50))
def test_frames_do_not_depend_on_how_the_bytes_arrive(capture: bytes, piece: int) -> None:
    assert told(read(capture, piece)[0]) == told(read(capture)[0])


@given(captures, st.data())
def test_what_is_changed_is_changed_and_the_rest_is_not(capture: bytes, data: st.DataObject) -> None:
    frames, _ = read(capture)
    pieces = st.lists(st.fixed_dictionaries({"data": st.binary(max_size=50)}), max_size=3)
    changes = data.draw(st.dictionaries(st.integers(1, max(1, len(frames))), pieces, max_size=4))
    expected = [
        frame._replace(data=each)
        for number, frame in enumerate(frames, 1)
        for each in ([piece["data"] for piece in changes[number]] if number in changes else [frame.data])
    ]
    again, error = read(passed(capture, changes))
    assert (told(again), error) == (told(expected), "")


@given(captures, st.data())
def test_damage_anywhere_loses_nothing_before_it(capture: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(capture) - 1))
    damaged = capture[:at] + bytes([data.draw(st.integers(0, 255))]) + capture[at + 1 :]
    frames, error = read(damaged)
    assert error.startswith("-: ") or not error
    try:
        again = read(passed(damaged, {}))
    except WriteError:
        return
    assert told(again[0]) == told(frames)


@settings(max_examples=20)
@given(st.lists(st.binary(max_size=30), min_size=1, max_size=5), st.integers(0, 4))
def test_a_limit_is_a_prefix(frames: list[bytes], limit: int) -> None:
    with stdin(pcap_bytes([Captured(data) for data in frames])):
        read_frames = [batch.bytes_of(row) for batch in CaptureStream(["-"], limit) for row in range(len(batch))]
    assert read_frames == (frames[:limit] if limit else frames)
