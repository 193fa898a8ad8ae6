"""The bench measures with right packets: lengths as IMIX has them, checksums that scapy agrees with."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.utils import PcapReader

from bench import captures, odd_packets

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


def test_odd_packets_are_sound_and_of_ten_kinds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(odd_packets, "CACHE", tmp_path)
    with PcapReader(str(odd_packets.odd_packets(40))) as reader:
        packets = list(reader)
    kinds: Counter[object] = Counter()
    for packet in packets:
        if IP not in packet:
            kinds["arp"] += 1
            continue
        again = packet.copy()
        del again[IP].chksum
        assert bytes(again) == bytes(packet)
        kinds[(packet[IP].ihl, packet[IP].proto, packet[IP].ttl, packet[IP].dst[:3], int(packet[IP].frag))] += 1
    assert sorted(kinds.values()) == [4, 4, 4, 4, 4, 8, 12]  # those to 192.0.2.0/24 look alike
