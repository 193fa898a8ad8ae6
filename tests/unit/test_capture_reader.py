"""The capture reader: every flavour of capture, from files and pipes, and everything that can be wrong with one."""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from ipkit.core.frames import Frame, FrameBatch
from ipkit.edge.capture_reader import CaptureStream
from ipkit.errors import CaptureError
from tests.support.captures import (
    FIRST_NS,
    Blocks,
    Captured,
    Interface,
    gzip_bytes,
    pcap_bytes,
    pcap_header,
    pcapng_bytes,
)

Pack = Callable[[bytes], bytes]
Make = Callable[[list[bytes | Captured]], bytes]

FRAMES = [
    Captured(b"\x01" * 60, FIRST_NS + 123_456_789),
    Captured(b"", FIRST_NS + 1_000_000_000),
    Captured(b"\x02" * 90, FIRST_NS + 999_999_999, on_wire=1514),
    Captured(b"\x03" * 70_000, 0),
    Captured(b"\x04" * 15, (2**32 - 1) * 1_000_000_000 + 999_999_999),
]


def frames_of(*names: str | Path, limit: int = 0) -> list[Frame]:
    stream = CaptureStream([str(name) for name in names], limit)
    return [batch.frame(row) for batch in stream for row in range(len(batch))]


def saved(folder: Path, capture: bytes, name: str = "a.pcap") -> Path:
    path = folder / name
    path.write_bytes(capture)
    return path


class TestPcap:
    @pytest.mark.parametrize("big_endian", [False, True], ids=["little", "big"])
    @pytest.mark.parametrize("nano", [False, True], ids=["micro", "nano"])
    @pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
    def test_every_flavour(self, tmp_path: Path, big_endian: bool, nano: bool, packed: bool) -> None:
        capture = pcap_bytes(FRAMES, big_endian=big_endian, nano=nano, snaplen=65535)
        path = saved(tmp_path, gzip_bytes(capture) if packed else capture)
        frames = frames_of(path)
        unit = 1 if nano else 1000
        assert [frame.data for frame in frames] == [frame.data for frame in FRAMES]
        assert [frame.tstamp_ns for frame in frames] == [frame.time_ns // unit * unit for frame in FRAMES]
        assert [frame.on_wire for frame in frames] == [60, 0, 1514, 70_000, 15]
        assert [frame.number for frame in frames] == [1, 2, 3, 4, 5]
        assert {(frame.file, frame.link_type, frame.interface) for frame in frames} == {(str(path), 1, None)}

    def test_odd_values_are_taken_as_they_stand(self, tmp_path: Path) -> None:
        header = pcap_header(snaplen=10)
        odd = Blocks().pack("IIII", 5, 0xFFFFFFFF, 20, 3) + bytes(20)
        frames = frames_of(saved(tmp_path, header + odd))
        assert [(frame.tstamp_ns, frame.on_wire, len(frame.data)) for frame in frames] == [
            (5_000_000_000 + 0xFFFFFFFF * 1000, 3, 20)
        ]

    def test_fcs_bits_are_no_part_of_the_link_type(self, tmp_path: Path) -> None:
        assert frames_of(saved(tmp_path, pcap_bytes([b"x"], link_type=0x24000001)))[0].link_type == 1

    @pytest.mark.parametrize("link_type", [0, 1, 9, 12, 14, 50, 101, 108, 113, 228, 276])
    def test_link_types(self, tmp_path: Path, link_type: int) -> None:
        assert frames_of(saved(tmp_path, pcap_bytes([b"x"], link_type=link_type)))[0].link_type == link_type

    def test_more_frames_than_a_batch_holds(self, tmp_path: Path) -> None:
        path = saved(tmp_path, pcap_bytes([Captured(b"")] * 200_000))
        batches = list(CaptureStream([str(path)]))
        assert sum(len(batch) for batch in batches) == 200_000
        assert max(len(batch) for batch in batches) == 1 << 16
        numbers = [batch.first_number for batch in batches]
        assert numbers == [1 + sum(len(batch) for batch in batches[:i]) for i in range(len(batches))]


class TestPcapng:
    @pytest.mark.parametrize("big_endian", [False, True], ids=["little", "big"])
    @pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
    def test_interfaces_and_times(self, tmp_path: Path, big_endian: bool, packed: bool) -> None:
        interfaces = [
            Interface(name="eth0", tsresol=9),
            Interface(name="eth1"),
            Interface(tsresol=0x80 | 20),
            Interface(name="späte", tsresol=0, tsoffset=1_600_000_000),
            Interface(name="early", tsresol=12, tsoffset=-5),
        ]
        frames = [
            Captured(b"a" * 60, FIRST_NS + 123_456_789, interface=0),
            Captured(b"b" * 61, FIRST_NS + 123_456_789, interface=1, on_wire=1514),
            Captured(b"c" * 70_000, 2**20 * 1_000_000_000, interface=2),
            Captured(b"", FIRST_NS + 5, interface=3),
            Captured(b"e", 1_500_000_007, interface=4),
        ]
        capture = pcapng_bytes(frames, big_endian=big_endian, interfaces=interfaces)
        read = frames_of(saved(tmp_path, gzip_bytes(capture) if packed else capture))
        assert [frame.data for frame in read] == [frame.data for frame in frames]
        assert [frame.on_wire for frame in read] == [60, 1514, 70_000, 0, 1]
        assert [frame.interface for frame in read] == ["eth0", "eth1", None, "späte", "early"]
        assert [frame.tstamp_ns for frame in read] == [
            FIRST_NS + 123_456_789,
            FIRST_NS + 123_456_000,
            2**20 * 1_000_000_000,
            FIRST_NS,
            1_500_000_007,
        ]

    @pytest.mark.parametrize(
        ("tsresol", "tsoffset", "ticks", "time_ns"),
        [
            (6, None, 2**64 - 1, 2**63 - 1),
            (0, None, 2**64 - 1, 2**63 - 1),
            (9, None, 2**63 - 1, 2**63 - 1),
            (9, -1, 0, -1_000_000_000),
            (9, -(2**63), 0, -(2**63) + 1),
            (9, 2**63 - 1, 1, 2**63 - 1),
            (127, None, 2**64 - 1, 0),
            (0xFF, None, 2**64 - 1, 0),
            (0x80, None, 7, 7_000_000_000),
            (0x80 | 10, None, 1, 976_562),
            (6, None, 2**33 * 1_000_000, 2**33 * 1_000_000_000),
        ],
    )
    def test_odd_times_have_a_row(
        self, tmp_path: Path, tsresol: int, tsoffset: int | None, ticks: int, time_ns: int
    ) -> None:
        blocks = Blocks()
        interface = blocks.interface(Interface(tsresol=tsresol, tsoffset=tsoffset))
        twice = blocks.packet(b"x", ticks) * 2
        frames = frames_of(saved(tmp_path, blocks.section() + interface + twice))
        assert [frame.tstamp_ns for frame in frames] == [time_ns, time_ns]

    def test_sections_have_their_own_interfaces_and_byte_order(self, tmp_path: Path) -> None:
        little, big = Blocks(), Blocks(big_endian=True)
        capture = (
            little.section()
            + little.interface(Interface(name="one", tsresol=9))
            + little.packet(b"a", 5)
            + big.section()
            + big.interface(Interface(name="two", link_type=101))
            + big.packet(b"b", 6)
            + little.section()
            + little.section()
            + little.interface(Interface(name="three"))
            + little.packet(b"c", 7)
        )
        frames = frames_of(saved(tmp_path, capture))
        assert [(f.data, f.interface, f.link_type, f.tstamp_ns, f.number) for f in frames] == [
            (b"a", "one", 1, 5, 1),
            (b"b", "two", 101, 6000, 2),
            (b"c", "three", 1, 7000, 3),
        ]

    def test_simple_packets(self, tmp_path: Path) -> None:
        blocks = Blocks()
        cut = (
            blocks.section() + blocks.interface(Interface(name="eth0", snaplen=5)) + blocks.simple_packet(b"12345", 60)
        )
        unlimited = blocks.section() + blocks.interface(Interface(snaplen=0)) + blocks.simple_packet(b"1234567")
        frames = frames_of(saved(tmp_path, cut + unlimited))
        assert [(f.data, f.on_wire, f.tstamp_ns, f.interface) for f in frames] == [
            (b"12345", 60, 0, "eth0"),
            (b"1234567", 7, 0, None),
        ]

    def test_obsolete_packets(self, tmp_path: Path) -> None:
        blocks = Blocks(big_endian=True)
        interfaces = blocks.interface(Interface()) + blocks.interface(Interface(name="x"))
        capture = blocks.section() + interfaces + blocks.obsolete_packet(b"abc", 2**33, interface=1)
        frames = frames_of(saved(tmp_path, capture))
        assert [(f.data, f.tstamp_ns, f.interface) for f in frames] == [(b"abc", 2**33 * 1000, "x")]

    def test_a_row_keeps_what_stood_before_it(self, tmp_path: Path) -> None:
        blocks = Blocks()
        interface = blocks.interface(Interface())
        names = blocks.block(4, b"names")
        first, second = blocks.packet(b"a", 1, options=[(1, b"said")]), blocks.packet(b"b", 2)
        capture = blocks.section() + interface + first + names + second + names
        batches = list(CaptureStream([str(saved(tmp_path, capture))]))
        assert [len(batch) for batch in batches] == [2, 0]
        assert stored(batches[0], 0) == blocks.section() + interface + first
        assert stored(batches[0], 1) == names + second
        assert batches[1].data == names

    def test_a_flood_of_blocks_without_packets_is_not_hoarded(self, tmp_path: Path) -> None:
        blocks = Blocks()
        capture = blocks.section() + blocks.block(4, bytes(1 << 16)) * 200
        batches = list(CaptureStream([str(saved(tmp_path, capture))]))
        assert b"".join(batch.data for batch in batches) == capture
        assert max(len(batch.data) for batch in batches) < 5 << 20

    def test_an_interface_before_every_packet(self, tmp_path: Path) -> None:
        blocks = Blocks()
        one = [blocks.interface(Interface(name=str(n))) + blocks.packet(b"x", n, interface=n) for n in range(2000)]
        frames = frames_of(saved(tmp_path, blocks.section() + b"".join(one)))
        assert [frame.interface for frame in frames] == [str(n) for n in range(2000)]


def stored(batch: FrameBatch, row: int) -> bytes:
    return batch.data[batch.record[row] : batch.record[row + 1]]


class TestStream:
    def test_several_files_are_one_stream(self, tmp_path: Path) -> None:
        first = saved(tmp_path, pcap_bytes([b"1", b"2"]), "1")
        second = saved(tmp_path, gzip_bytes(pcapng_bytes([b"3"])), "2")
        frames = frames_of(first, second, first)
        assert [(f.data, f.number, Path(f.file).name) for f in frames] == [
            (b"1", 1, "1"),
            (b"2", 2, "1"),
            (b"3", 1, "2"),
            (b"1", 1, "1"),
            (b"2", 2, "1"),
        ]

    @pytest.mark.parametrize("limit", [1, 2, 3, 4])
    def test_a_limit_counts_over_all_files(self, tmp_path: Path, limit: int) -> None:
        first = saved(tmp_path, pcap_bytes([b"1", b"2"]), "1")
        second = saved(tmp_path, pcapng_bytes([b"3", b"4"]), "2")
        frames = frames_of(first, second, limit=limit)
        assert [frame.data for frame in frames] == [b"1", b"2", b"3", b"4"][:limit]

    def test_what_lies_beyond_the_limit_is_not_judged(self, tmp_path: Path) -> None:
        path = saved(tmp_path, pcap_bytes([b"1"]) + b"cut")
        assert len(frames_of(path, "/nonexistent", limit=1)) == 1

    @pytest.mark.parametrize("capture", [pcap_bytes([]), pcapng_bytes([])], ids=["pcap", "pcapng"])
    def test_a_capture_without_frames_still_has_a_format(self, tmp_path: Path, capture: bytes) -> None:
        batches = list(CaptureStream([str(saved(tmp_path, capture))]))
        assert [len(batch) for batch in batches] == [0]
        assert batches[0].origin is not None

    def test_position_and_total(self, tmp_path: Path) -> None:
        capture = gzip_bytes(pcap_bytes([b"1"] * 10))
        path = saved(tmp_path, capture)
        stream = CaptureStream([str(path), str(path)])
        assert (stream.position, stream.total) == (0, 2 * len(capture))
        assert sum(len(batch) for batch in stream) == 20
        assert stream.position == 2 * len(capture)
        assert CaptureStream([str(path), "-"]).total is None
        assert CaptureStream([str(path), "/nonexistent"]).total is None
        assert CaptureStream(["/dev/null"]).total is None


class TestPipes:
    @pytest.mark.parametrize("pack", [bytes, gzip_bytes], ids=["plain", "gzip"])
    @pytest.mark.parametrize("make", [pcap_bytes, pcapng_bytes])
    def test_stdin_byte_by_byte(self, monkeypatch: pytest.MonkeyPatch, pack: Pack, make: Make) -> None:
        frames = [b"x" * n for n in (0, 1, 60, 90)]
        capture = pack(make([*frames]))
        reading, writing = os.pipe()

        def trickle() -> None:
            for at in range(len(capture)):
                os.write(writing, capture[at : at + 1])
            os.close(writing)

        thread = threading.Thread(target=trickle)
        with os.fdopen(reading, "rb") as stdin:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(stdin))
            thread.start()
            read = frames_of("-")
            assert not stdin.closed
        thread.join()
        assert [(frame.data, frame.file) for frame in read] == [(frame, "-") for frame in frames]

    @pytest.mark.parametrize("make", [pcap_bytes, pcapng_bytes])
    def test_a_live_pipe_is_not_held_back(self, tmp_path: Path, make: Make) -> None:
        first, both = make([b"1"]), make([b"1", b"2"])
        path = tmp_path / "live"
        os.mkfifo(path)
        go_on = threading.Event()

        def capture() -> None:
            with path.open("wb", buffering=0) as pipe:
                pipe.write(first)
                go_on.wait(10)
                pipe.write(both[len(first) :])

        thread = threading.Thread(target=capture)
        thread.start()
        batches = iter(CaptureStream([str(path)]))
        assert next(batches).frame(0).data == b"1"
        go_on.set()
        assert next(batches).frame(0).data == b"2"
        assert next(batches, None) is None
        thread.join()

    def test_a_non_blocking_pipe_is_waited_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        reading, writing = os.pipe()
        os.set_blocking(reading, False)

        def write_and_close() -> None:
            with os.fdopen(writing, "wb") as pipe:
                pipe.write(pcap_bytes([b"1"]))

        timer = threading.Timer(0.05, write_and_close)
        with os.fdopen(reading, "rb") as stdin:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(stdin))
            timer.start()
            assert [frame.data for frame in frames_of("-")] == [b"1"]
        timer.join()

    def test_stdin_in_memory(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(pcap_bytes([b"1"]))))
        assert [frame.data for frame in frames_of("-")] == [b"1"]

    def test_closed_stdin(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stdin", None)
        with pytest.raises(CaptureError, match=r"^-: stdin is closed$"):
            frames_of("-")
