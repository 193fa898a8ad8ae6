"""The capture reader: every flavour of pcap, and everything that can be wrong with one."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipkit.core.frames import Frame
from ipkit.edge.capture_reader import CaptureStream
from tests.support.captures import FIRST_NS, Captured, pcap_bytes

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


@pytest.mark.parametrize("big_endian", [False, True], ids=["little", "big"])
@pytest.mark.parametrize("nano", [False, True], ids=["micro", "nano"])
def test_pcap_of_every_flavour(tmp_path: Path, big_endian: bool, nano: bool) -> None:
    path = tmp_path / "a.pcap"
    path.write_bytes(pcap_bytes(FRAMES, big_endian=big_endian, nano=nano, snaplen=65535))
    frames = frames_of(path)
    unit = 1 if nano else 1000
    assert [frame.data for frame in frames] == [frame.data for frame in FRAMES]
    assert [frame.tstamp_ns for frame in frames] == [frame.time_ns // unit * unit for frame in FRAMES]
    assert [frame.on_wire for frame in frames] == [60, 0, 1514, 70_000, 15]
    assert [frame.number for frame in frames] == [1, 2, 3, 4, 5]
    assert {(frame.file, frame.link_type, frame.interface) for frame in frames} == {(str(path), 1, None)}
