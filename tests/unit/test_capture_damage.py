"""Captures that are none, or not any further: every good frame first, then one error that says what and where."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from ipkit.core.frames import Frame
from ipkit.edge.capture_reader import CaptureStream
from ipkit.errors import CaptureError, CaptureTruncated, UnknownLinkType
from tests.support.captures import (
    Blocks,
    Interface,
    gzip_bytes,
    pcap_bytes,
    pcap_header,
    pcapng_bytes,
)


def good_frames(name: str | Path) -> tuple[list[Frame], CaptureError | None]:
    """Read until the end or the damage, and return both."""
    frames: list[Frame] = []
    try:
        for batch in CaptureStream([str(name)]):
            frames += [batch.frame(row) for row in range(len(batch))]
    except CaptureError as damage:
        return frames, damage
    return frames, None


def saved(folder: Path, capture: bytes, name: str = "a.pcap") -> Path:
    path = folder / name
    path.write_bytes(capture)
    return path


BLOCKS = Blocks()
SECTION = BLOCKS.section() + BLOCKS.interface(Interface(name="eth0"))
GOOD = BLOCKS.packet(b"good", 1)

DAMAGED_PCAP = {
    "absurd length": (BLOCKS.pack("IIII", 0, 0, 2**31, 60), "captured length 2147483648 is absurd (record at byte 44)"),
    "negative length": (
        BLOCKS.pack("IIII", 0, 0, 2**32 - 1, 60),
        "captured length 4294967295 is absurd (record at byte 44)",
    ),
    "cut": (BLOCKS.pack("IIII", 0, 0, 60, 60) + bytes(59), "record cut short (byte 44)"),
    "longer than the file": (BLOCKS.pack("IIII", 0, 0, 200 << 20, 60) + bytes(59), "record cut short (byte 44)"),
    "cut header": (bytes(15), "record cut short (byte 44)"),
}
DAMAGED_PCAPNG = {
    "absurd block": (BLOCKS.pack("III", 6, 2**31, 0), "block length 2147483648 is absurd (block at byte 96)"),
    "short block": (BLOCKS.pack("III", 6, 8, 8), "block length 8 is absurd (block at byte 96)"),
    "ragged block": (
        BLOCKS.pack("IIB", 6, 13, 0) + BLOCKS.pack("I", 13),
        "block length 13 is absurd (block at byte 96)",
    ),
    "lengths differ": (BLOCKS.pack("III", 4, 12, 16), "the two lengths of a block differ (block at byte 96)"),
    "lengths of a packet differ": (GOOD[:-4] + bytes(4), "the two lengths of a block differ (block at byte 96)"),
    "no such interface": (BLOCKS.packet(b"x", 1, interface=1), "interface 1 is not described (block at byte 96)"),
    "packet beyond its block": (
        BLOCKS.block(6, BLOCKS.pack("IIIII", 0, 0, 0, 5, 5) + b"1234"),
        "packet is longer than its block (block at byte 96)",
    ),
    "packet without header": (BLOCKS.block(6, bytes(16)), "packet is longer than its block (block at byte 96)"),
    "simple packet beyond its block": (
        BLOCKS.block(3, BLOCKS.pack("I", 5) + b"1234"),
        "packet is longer than its block (block at byte 96)",
    ),
    "simple packet without header": (BLOCKS.block(3, b""), "packet is longer than its block (block at byte 96)"),
    "obsolete packet without header": (BLOCKS.block(2, b""), "packet is longer than its block (block at byte 96)"),
    "interface without fields": (BLOCKS.block(1, b"1234"), "interface description is too short (block at byte 96)"),
    "byte order": (BLOCKS.block(0x0A0D0D0A, bytes(16)), "byte order mark 00 00 00 00 is unknown (block at byte 96)"),
    "short section": (
        BLOCKS.block(0x0A0D0D0A, BLOCKS.pack("I", 0x1A2B3C4D)),
        "section header is too short (block at byte 96)",
    ),
    "version": (
        BLOCKS.block(0x0A0D0D0A, BLOCKS.pack("IHHq", 0x1A2B3C4D, 2, 0, -1)),
        "pcapng version 2.0 is not supported (block at byte 96)",
    ),
    "cut": (GOOD[:-1], "record cut short (byte 96)"),
    "cut after the length": (GOOD[:11], "record cut short (byte 96)"),
}


class TestDamage:
    @pytest.mark.parametrize("case", DAMAGED_PCAP)
    @pytest.mark.parametrize("pack", [bytes, gzip_bytes], ids=["plain", "gzip"])
    def test_pcap(self, tmp_path: Path, case: str, pack: Callable[[bytes], bytes]) -> None:
        damage, text = DAMAGED_PCAP[case]
        path = saved(tmp_path, pack(pcap_bytes([b"good"]) + damage))
        frames, error = good_frames(path)
        assert [frame.data for frame in frames] == [b"good"]
        assert str(error) == f"{path}: {text}"

    @pytest.mark.parametrize("case", DAMAGED_PCAPNG)
    def test_pcapng(self, tmp_path: Path, case: str) -> None:
        damage, text = DAMAGED_PCAPNG[case]
        assert len(SECTION + GOOD) == 96
        path = saved(tmp_path, SECTION + GOOD + damage + GOOD)
        if case.startswith("cut"):
            path = saved(tmp_path, SECTION + GOOD + damage)
        frames, error = good_frames(path)
        assert [frame.data for frame in frames] == [b"good"]
        assert str(error) == f"{path}: {text}"


class TestNoCapture:
    @pytest.mark.parametrize(
        ("content", "text"),
        [
            (b"", "empty file, not a capture"),
            (b"\xd4", "not a pcap or pcapng capture (it begins with d4)"),
            (b"\xd4\xc3\xb2", "not a pcap or pcapng capture (it begins with d4 c3 b2)"),
            (b"GET / HTTP/1.1\r\n\r\n", "not a pcap or pcapng capture (it begins with 47 45 54 20)"),
            (b"\x34\xcd\xb2\xa1" + bytes(20), "not a pcap or pcapng capture (it begins with 34 cd b2 a1)"),
            (bytes(4096), "not a pcap or pcapng capture (it begins with 00 00 00 00)"),
            (pcap_header()[:4], "file header cut short (byte 4)"),
            (pcap_header()[:23], "file header cut short (byte 23)"),
            (pcapng_bytes([])[:4], "file header cut short (byte 4)"),
            (pcapng_bytes([])[:27], "file header cut short (byte 27)"),
            (pcap_header()[:4] + b"\3\0\0\0" + pcap_header()[8:], "pcap version 3.0 is not supported (byte 4)"),
            (b"\x0a\x0d\x0d\x0a" + bytes(24), "byte order mark 00 00 00 00 is unknown (block at byte 0)"),
            (gzip_bytes(b""), "empty file, not a capture"),
            (gzip_bytes(b"junk"), "not a pcap or pcapng capture (it begins with 6a 75 6e 6b)"),
            (
                gzip_bytes(gzip_bytes(pcap_bytes([b"1"]))),
                "not a pcap or pcapng capture (it begins with 1f 8b 08 00)",
            ),
            (b"\x1f\x8b", "gzip data cut short (byte 2)"),
            (b"\x1f\x8bjunk", "damaged gzip data: unknown compression method (before byte 6)"),
        ],
    )
    def test_content(self, tmp_path: Path, content: bytes, text: str) -> None:
        path = saved(tmp_path, content)
        with pytest.raises(CaptureError) as caught:
            list(CaptureStream([str(path)]))
        assert str(caught.value) == f"{path}: {text}"

    def test_a_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(CaptureError, match=r"/none: no such file or directory$"):
            list(CaptureStream([str(tmp_path / "none")]))

    def test_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(CaptureError, match=r": is a directory$"):
            list(CaptureStream([str(tmp_path)]))

    def test_a_file_that_cannot_be_read(self) -> None:
        with pytest.raises(CaptureError, match=r"^/proc/self/mem: input/output error$"):
            list(CaptureStream(["/proc/self/mem"]))

    def test_frames_of_earlier_files_come_first(self, tmp_path: Path) -> None:
        stream = iter(CaptureStream([str(saved(tmp_path, pcap_bytes([b"1"]))), "/nonexistent"]))
        assert len(next(stream)) == 1
        with pytest.raises(CaptureError):
            next(stream)


class TestLinkTypes:
    @pytest.mark.parametrize(
        ("link_type", "text"),
        [
            (105, "link type 105 (IEEE 802.11) is not supported (file header)"),
            (0xFFFF, "link type 65535 is not supported (file header)"),
            (0x24000000 | 127, "link type 127 (IEEE 802.11 with radiotap header) is not supported (file header)"),
        ],
    )
    def test_pcap(self, tmp_path: Path, link_type: int, text: str) -> None:
        path = saved(tmp_path, pcap_bytes([b"x"], link_type=link_type))
        with pytest.raises(UnknownLinkType) as caught:
            list(CaptureStream([str(path)]))
        assert str(caught.value) == f"{path}: {text}"

    def test_pcapng_is_refused_where_the_interface_is_used(self, tmp_path: Path) -> None:
        foreign = BLOCKS.interface(Interface(link_type=189))
        path = saved(tmp_path, SECTION + foreign + GOOD + BLOCKS.packet(b"x", 1, interface=1) + GOOD)
        frames, error = good_frames(path)
        assert [frame.data for frame in frames] == [b"good"]
        assert isinstance(error, UnknownLinkType)
        assert str(error) == f"{path}: link type 189 (Linux USB) is not supported (interface 1, packet at byte 116)"


class TestGzip:
    def test_several_members_and_padding(self, tmp_path: Path) -> None:
        capture = pcap_bytes([b"1" * 100, b"2" * 100])
        path = saved(tmp_path, gzip_bytes(capture[:70]) + gzip_bytes(b"") + gzip_bytes(capture[70:]) + bytes(512))
        frames, error = good_frames(path)
        assert ([frame.data[:1] for frame in frames], error) == ([b"1", b"2"], None)

    def test_a_wrong_check_sum_costs_no_frame(self, tmp_path: Path) -> None:
        packed = gzip_bytes(pcap_bytes([bytes([n]) * 500 for n in range(200)]))
        path = saved(tmp_path, packed[:-8] + bytes(8))
        frames, error = good_frames(path)
        assert len(frames) == 200
        assert str(error) == f"{path}: damaged gzip data: incorrect data check (before byte {len(packed)})"

    def test_what_stands_before_the_damage_is_read(self, tmp_path: Path) -> None:
        capture = pcap_bytes([b"x" * 100] * 100)
        stored = zlib.compressobj(0, wbits=31)
        packed = stored.compress(capture[:6000]) + stored.flush(zlib.Z_FULL_FLUSH)
        frames, error = good_frames(saved(tmp_path, packed + b"\xff" * 20))
        assert len(frames) == (6000 - 24) // 116
        assert "damaged gzip data: invalid block type" in str(error)

    def test_junk_behind_the_capture(self, tmp_path: Path) -> None:
        frames, error = good_frames(saved(tmp_path, gzip_bytes(pcap_bytes([b"1"])) + b"junk"))
        assert len(frames) == 1
        assert "damaged gzip data: incorrect header check" in str(error)

    def test_cut_at_every_byte(self, tmp_path: Path) -> None:
        packed = gzip_bytes(pcap_bytes([b"1", b"2"]))
        for size in range(2, len(packed)):
            frames, error = good_frames(saved(tmp_path, packed[:size]))
            assert len(frames) <= 2
            assert "gzip data cut short" in str(error)

    def test_a_bomb_is_read_in_constant_memory(self, tmp_path: Path) -> None:
        packer = zlib.compressobj(9, wbits=31)
        packed = packer.compress(pcap_header()) + b"".join(packer.compress(bytes(1 << 20)) for _ in range(64))
        batches = CaptureStream([str(saved(tmp_path, packed + packer.flush()))])
        rows, widest = 0, 0
        for batch in batches:
            rows += len(batch)
            widest = max(widest, len(batch.data))
        assert rows == 4 << 20
        assert widest < 5 << 20


class TestCutAnywhere:
    def test_pcap(self, tmp_path: Path) -> None:
        frames = [b"", b"1", b"x" * 60]
        capture = pcap_bytes(frames)
        ends = [24, 40, 57, 133]
        assert len(capture) == ends[-1]
        for size in range(len(capture)):
            read, error = good_frames(saved(tmp_path, capture[:size]))
            whole = sum(end <= size for end in ends[1:])
            assert [frame.data for frame in read] == frames[:whole]
            if size in ends:
                assert error is None
            elif size < 24:
                assert isinstance(error, CaptureError)
            else:
                assert isinstance(error, CaptureTruncated)
                assert str(error).endswith(f"record cut short (byte {max(end for end in ends if end <= size)})")

    def test_pcapng(self, tmp_path: Path) -> None:
        parts = [SECTION[:28], SECTION[28:], GOOD, BLOCKS.block(4, b"names"), BLOCKS.simple_packet(b"xyz"), GOOD]
        capture = b"".join(parts)
        ends = [sum(map(len, parts[: n + 1])) for n in range(len(parts))]
        for size in range(len(capture)):
            read, error = good_frames(saved(tmp_path, capture[:size]))
            assert len(read) == sum(end <= size for end in (ends[2], ends[4], ends[5]))
            if size in ends:
                assert error is None
            elif size < 28:
                assert isinstance(error, CaptureError)
            else:
                assert isinstance(error, CaptureTruncated)
                assert str(error).endswith(f"record cut short (byte {max(end for end in ends if end <= size)})")
