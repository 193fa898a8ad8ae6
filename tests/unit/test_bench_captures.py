"""The bench measures with right packets: lengths as IMIX has them, checksums that scapy agrees with."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.utils import PcapReader

from bench import captures

PACKETS = 1200


@pytest.fixture
def capture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(captures, "CACHE", tmp_path)
    return captures.imix(PACKETS)


def test_the_mix(capture: Path) -> None:
    with PcapReader(str(capture)) as packets:
        lengths = Counter(packet[IP].len for packet in packets)
    assert lengths == {40: 700, 576: 400, 1500: 100}


def test_the_checksums(capture: Path) -> None:
    wrong = 0
    with PcapReader(str(captures.first(300, capture))) as packets:
        for packet in packets:
            transport = TCP if TCP in packet else UDP
            again = packet.copy()
            del again[IP].chksum
            del again[transport].chksum
            wrong += bytes(again) != bytes(packet)
    assert wrong <= 1


def test_the_same_every_time(capture: Path) -> None:
    before = capture.read_bytes()
    capture.unlink()
    assert captures.imix(PACKETS).read_bytes() == before
