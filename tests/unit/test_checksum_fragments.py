"""Checksums of fragmented datagrams: judged where they become whole, put right where they stand."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ipkit.core.checksum_report import CHECKS, ChecksumLane, Repair
from ipkit.core.lanes import LaneResult, RowWish
from ipkit.edge.capture_reader import CaptureStream
from ipkit.edge.capture_writer import CaptureWriter
from tests.support.batches import batch_of
from tests.support.captures import Captured, pcap_bytes, pcapng_bytes
from tests.support.packets import ICMP, TCP, UDP, eth, icmp, ip, patched, tcp, udp

CHECK_AT = {TCP: 16, UDP: 6, ICMP: 2}


def cut(segment: bytes, *sizes: int, proto: int = UDP, **header: Any) -> list[bytes]:
    """Return a datagram in fragments of these sizes, the last one as long as it takes."""
    frames, at = [], 0
    for size in (*sizes, len(segment)):
        piece = segment[at : at + size]
        frames.append(eth(ip(piece, proto=proto, offset=at, mf=at + size < len(segment), **header)))
        at += size
    return frames


UDP_SEGMENT = udp(bytes(range(60)))
TCP_SEGMENT = tcp(bytes(range(60)))
BAD_UDP = patched(UDP_SEGMENT, 6, b"\x12\x34")


def lane(repair: Repair = Repair.LEAVE, checks: frozenset[str] = frozenset(CHECKS)) -> ChecksumLane:
    return ChecksumLane(checks, RowWish.ALL, repair)


def transport_rows(results: Sequence[LaneResult]) -> list[tuple[Any, ...]]:
    rows = [row.row for result in results for row in result.rows]
    return [(row["frame"], row["check"], row["status"]) for row in rows if row["check"] != "ip"]


SEGMENTS = {
    "udp": (UDP_SEGMENT, UDP, "udp", "ok"),
    "udp bad": (BAD_UDP, UDP, "udp", "bad"),
    "udp none": (udp(bytes(60), checksum=0), UDP, "udp", "none"),
    "udp partial": (udp(bytes(60), checksum=0xEC8C), UDP, "udp", "partial"),
    "tcp": (TCP_SEGMENT, TCP, "tcp", "ok"),
    "icmp": (icmp(bytes(60)), ICMP, "icmp", "ok"),
    "icmp bad": (patched(icmp(bytes(60)), 20, b"x"), ICMP, "icmp", "bad"),
}


@pytest.mark.parametrize("name", SEGMENTS)
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_the_frame_that_completes_a_datagram_tells_of_all_of_it(name: str, order: tuple[int, ...]) -> None:
    segment, proto, check, status = SEGMENTS[name]
    frames = cut(segment, 24, 24, proto=proto)
    judge = lane()
    result = judge.process(batch_of([frames[place] for place in order]))
    assert transport_rows([result]) == [(1, check, "fragment"), (2, check, "fragment"), (3, check, status)]
    [last] = [row.row for row in result.rows if row.row["frame"] == 3 and row.row["check"] == check]
    at = CHECK_AT[proto]
    assert last["stored"] == f"0x{segment[at : at + 2].hex()}"
    assert judge.has_finding() is (status == "bad")
    summary: Any = judge.summary()
    assert {key: value for key, value in summary[check].items() if value} == {"fragment": 2, status: 1}


def test_batches_make_no_difference() -> None:
    frames = [*cut(BAD_UDP, 8, 8, ident=1), *cut(UDP_SEGMENT, 16, ident=2)]
    together, apart = lane(), lane()
    joined = transport_rows([together.process(batch_of(frames))])
    single = [apart.process(batch_of([frame], first_number=n)) for n, frame in enumerate(frames, 1)]
    assert transport_rows(single) == joined
    assert apart.summary() == together.summary()


def test_a_datagram_that_is_not_all_there_stays_a_fragment() -> None:
    frames = cut(UDP_SEGMENT, 24, 24)
    short = [frames[0], frames[1][:40], frames[2]]
    result = lane().process(batch_of(short, on_wire=[len(frame) for frame in frames]))
    assert {status for _, _, status in transport_rows([result])} == {"fragment"}
    assert transport_rows([lane().process(batch_of([frames[0], frames[2]]))]) == [
        (1, "udp", "fragment"),
        (2, "udp", "fragment"),
    ]


def test_time_parts_what_time_parted() -> None:
    first, last = cut(UDP_SEGMENT, 24)
    judge = lane()
    late = batch_of([first, last], tstamp_ns=[0, 31_000_000_000])
    assert transport_rows([judge.process(late)]) == [(1, "udp", "fragment"), (2, "udp", "fragment")]


def test_checks_that_are_not_asked_for_put_nothing_together() -> None:
    judge = lane(checks=frozenset({"ip", "tcp"}))
    assert transport_rows([judge.process(batch_of(cut(UDP_SEGMENT, 24)))]) == []


def test_hundreds_may_be_on_the_way_from_one_source() -> None:
    datagrams = [cut(UDP_SEGMENT, 24, ident=ident) for ident in range(200)]
    frames = [first for first, _ in datagrams] + [last for _, last in datagrams]
    judge = lane()
    judge.process(batch_of(frames, tstamp_ns=[0] * len(frames)))
    summary: Any = judge.summary()
    assert (summary["udp"]["ok"], summary["udp"]["fragment"]) == (200, 200)


def repaired(capture: bytes, folder: Path, repair: Repair = Repair.FIX) -> tuple[bytes, list[LaneResult], ChecksumLane]:
    """Send a capture through the lane and the writer as the command does."""
    source, target = folder / "in.pcap", folder / "out.pcap"
    source.write_bytes(capture)
    judge, results = lane(repair), []
    with CaptureWriter(target) as writer:
        for batch in CaptureStream([str(source)]):
            result = judge.process(batch)
            results.append(result)
            writer.write_batch(batch, result.changes, result.marks)
            for patch in result.patches:
                writer.patch(patch)
        writer.commit()
    return target.read_bytes(), results, judge


WAYS = {
    "in order": (cut(BAD_UDP, 24, 24), 0, 14 + 20 + 6),
    "the first comes last": (cut(BAD_UDP, 24, 24)[::-1], 2, 14 + 20 + 6),
    "the first has options": (cut(BAD_UDP, 24, options=b"\x94\x04\0\0"), 0, 14 + 24 + 6),
    "the second holds it": (cut(patched(TCP_SEGMENT, 16, b"\0\1"), 8, 16, proto=TCP), 2 - 1, 14 + 20 + 8),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("form", [pcap_bytes, pcapng_bytes], ids=["pcap", "pcapng"])
def test_two_bytes_change_where_the_checksum_stands(form: Any, way: str, tmp_path: Path) -> None:
    frames, holder, at = WAYS[way]
    plain = eth(ip(udp(b"between")))
    traffic = [plain, *frames, plain]
    right = UDP_SEGMENT[6:8] if "second" not in way else TCP_SEGMENT[16:18]
    expected = list(traffic)
    expected[holder + 1] = patched(expected[holder + 1], at, right)
    out, results, judge = repaired(form(traffic), tmp_path)
    assert out == form(expected)
    [row] = [row.row for result in results for row in result.rows if row.row["status"] == "bad"]
    assert row["fixed"] is True
    assert not judge.has_finding()
    assert judge.summary()["fixed"] == 1


@pytest.mark.parametrize("form", [pcap_bytes, pcapng_bytes], ids=["pcap", "pcapng"])
def test_a_checksum_that_went_out_batches_ago_is_put_right(form: Any, tmp_path: Path) -> None:
    first, *rest = cut(BAD_UDP, 24, 24)
    filler = [eth(ip(udp(bytes(1400), sport=n), ident=n)) for n in range(12_000)]
    traffic = [Captured(frame, 10**18 + n) for n, frame in enumerate([first, *filler, *rest])]
    out, results, _ = repaired(form(traffic, **({"nano": True} if form is pcap_bytes else {})), tmp_path)
    assert len(results) > 1
    assert out.count(UDP_SEGMENT[:8]) == 1
    assert BAD_UDP[:8] not in out


def test_a_header_and_a_segment_in_one_frame_are_both_put_right(tmp_path: Path) -> None:
    first, last = cut(BAD_UDP, 24)
    bad_header = patched(first, 14 + 10, b"\0\0")
    out, _, _ = repaired(pcap_bytes([bad_header, last]), tmp_path)
    assert out == pcap_bytes([patched(first, 14 + 20 + 6, UDP_SEGMENT[6:8]), last])


def test_what_left_for_a_pipe_stays_and_is_a_finding() -> None:
    judge = lane(Repair.FIX_IN_PASSING)
    result = judge.process(batch_of([*cut(BAD_UDP, 24), eth(ip(BAD_UDP, ident=7))]))
    assert [row.row["fixed"] for row in result.rows if row.row["status"] == "bad"] == [False, True]
    assert not result.marks
    assert list(result.changes) == [2]
    assert judge.has_finding()
    assert judge.summary()["fixed"] == 1


def test_marks_are_forgotten_with_their_datagrams(tmp_path: Path) -> None:
    lonely = [Captured(cut(UDP_SEGMENT, 24, ident=n)[0], n * 40_000_000_000) for n in range(50)]
    source = tmp_path / "in.pcap"
    source.write_bytes(gzip.compress(pcap_bytes(lonely)))
    judge, writer = lane(Repair.FIX), CaptureWriter(tmp_path / "out.pcap")
    for batch in CaptureStream([str(source)]):
        result = judge.process(batch)
        writer.write_batch(batch, result.changes, result.marks)
        for patch in result.patches:
            writer.patch(patch)
    assert len(writer._places) == 1
    writer.abandon()
