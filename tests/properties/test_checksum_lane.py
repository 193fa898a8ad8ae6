"""Laws of the csum lane: every byte string ends in rows, and only wrong checksums ever change."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers import inet
from scapy.packet import Packet, Raw

from ipkit.core.checksum_report import CHECKS, ChecksumLane, Repair
from ipkit.core.checksum_rules import STATUSES
from ipkit.core.lanes import Explain, LaneResult, RowWish
from ipkit.core.wire.link import LINK_TYPES
from tests.support.batches import batch_of
from tests.support.packets import ICMP, IGMP, TCP, UDP, UDPLITE, icmp, igmp, ip, patched, tcp, udp, udplite

IPV4_LINK = 228
ALL = frozenset(CHECKS)
PROTOCOLS = st.sampled_from([ICMP, IGMP, TCP, UDP, UDPLITE, 50])

Wire = tuple[bytes, int]
"""The captured bytes, and the length on the wire."""


@st.composite
def hostile(draw: st.DrawFn) -> Wire:
    """Draw a datagram with any IHL, any total length, any cut."""
    payload = draw(st.binary(max_size=80))
    tot_len = draw(st.integers(0, 65535) | st.integers(0, 110))
    offset = draw(st.sampled_from([0, 0, 0, 8]))
    ihl = draw(st.integers(0, 15) | st.just(5))
    data = ip(payload, proto=draw(PROTOCOLS), ihl=ihl, tot_len=tot_len, offset=offset, mf=draw(st.booleans()))
    captured = data[: draw(st.integers(0, len(data)) | st.just(len(data)))]
    return captured, draw(st.sampled_from([len(captured), len(data), tot_len, 0, 262144]))


@st.composite
def right(draw: st.DrawFn) -> bytes:
    """Draw a datagram in which everything is right."""
    payload = draw(st.binary(max_size=60))
    options = draw(st.sampled_from([b"", b"\x94\4\0\0", b"\1" * 40]))
    segment, proto = draw(
        st.sampled_from(
            [
                (tcp(payload, options=options), TCP),
                (udp(payload), UDP),
                (udp(payload, checksum=0), UDP),
                (udp(payload) + b"\xaa\xbb\xcc", UDP),
                (udplite(payload), UDPLITE),
                (udplite(payload, coverage=8), UDPLITE),
                (icmp(payload), ICMP),
                (igmp(), IGMP),
            ]
        )
    )
    return ip(segment, proto=proto, options=options)


def judged(*frames: Wire, link_type: int = IPV4_LINK, repair: Repair = Repair.LEAVE) -> tuple[ChecksumLane, LaneResult]:
    lane = ChecksumLane(ALL, RowWish.ALL, repair)
    batch = batch_of([data for data, _ in frames], link_type=link_type, on_wire=[length for _, length in frames])
    return lane, lane.process(batch)


def statuses(data: bytes, on_wire: int | None = None) -> list[object]:
    _, result = judged((data, len(data) if on_wire is None else on_wire))
    return [row.row["status"] for row in result.rows]


def assert_sensible(lane: ChecksumLane, result: LaneResult, frames: int) -> None:
    summary = lane.summary()
    assert summary["frames"] == frames
    rows = [row.row for row in result.rows]
    json.dumps(rows)
    assert [row["check"] for row in rows].count("ip") == summary["ipv4"]
    for before, row in zip([None, *rows], rows, strict=False):
        check, status = row["check"], row["status"]
        assert status in STATUSES[str(check)]
        if check != "ip":
            assert before is not None
            assert (before["frame"], before["check"]) == (row["frame"], "ip")
        assert ("computed" in row) == (status in {"ok", "bad", "partial"})


@pytest.mark.parametrize("link_type", LINK_TYPES)
@settings(max_examples=60)
@given(frames=st.lists(st.tuples(st.binary(max_size=90), st.integers(0, 1 << 40)), max_size=5))
def test_random_bytes_end_in_rows(link_type: int, frames: list[Wire]) -> None:
    for repair in Repair:
        lane, result = judged(*frames, link_type=link_type, repair=repair)
        assert_sensible(lane, result, len(frames))


@settings(max_examples=400)
@given(st.lists(hostile(), min_size=1, max_size=4))
def test_hostile_headers_end_in_rows(frames: list[Wire]) -> None:
    lane, result = judged(*frames)
    assert_sensible(lane, result, len(frames))
    assert result.changes == {}


@settings(max_examples=300)
@given(hostile() | right().map(lambda data: (data, len(data))), st.integers(0, 99), st.integers(0, 255))
def test_a_repair_changes_checksums_and_nothing_else(frame: Wire, at: int, value: int) -> None:
    data, on_wire = frame
    data = patched(data, at, bytes((value,))) if at < len(data) else data
    _, before = judged((data, on_wire))
    lane, result = judged((data, on_wire), repair=Repair.FIX)
    wrong = [row.row["status"] in {"bad", "partial"} for row in before.rows]
    assert [row.row["fixed"] for row in result.rows] == wrong
    assert bool(result.changes) == any(wrong)
    assert lane.has_finding() == any(row.row["status"] == "malformed" for row in before.rows)
    for (mended,) in result.changes.values():
        assert (len(mended.data), mended.on_wire) == (len(data), on_wire)
        changed = [i for i, (old, new) in enumerate(zip(data, mended.data, strict=True)) if old != new]
        header = (data[0] & 15) * 4
        assert set(changed) <= {10, 11, *(header + i for i in (2, 3, 6, 7, 16, 17))}
        _, after = judged((mended.data, on_wire))
        for old, new in zip(before.rows, after.rows, strict=True):
            was = old.row["status"]
            assert new.row["status"] == ("ok" if was in {"bad", "partial"} else was)


@given(right(), st.binary(max_size=30))
def test_what_is_right_is_right_with_any_trailer(data: bytes, trailer: bytes) -> None:
    assert set(statuses(data + trailer)) <= {"ok", "none"}
    assert statuses(data + trailer) == statuses(data)


@given(right())
def test_a_snap_length_makes_nothing_bad(data: bytes) -> None:
    for captured in range(len(data)):
        assert set(statuses(data[:captured], len(data))) <= {"ok", "none", "truncated"}


@given(right())
def test_a_datagram_cut_on_the_wire_is_malformed(data: bytes) -> None:
    header = (data[0] & 15) * 4
    for length in range(len(data)):
        assert statuses(data[:length]) == (["malformed"] if length < header else ["ok", "malformed"])


@given(
    st.sampled_from([(tcp, TCP), (udp, UDP), (udplite, UDPLITE), (icmp, ICMP)]),
    st.binary(min_size=1, max_size=60),
    st.integers(0, 479),
)
def test_a_flipped_bit_in_the_payload_is_noticed(
    transport: tuple[Callable[[bytes], bytes], int], payload: bytes, bit: int
) -> None:
    build, proto = transport
    data = ip(build(payload), proto=proto)
    at = len(data) - 1 - bit // 8 % len(payload)
    assert statuses(data) == ["ok", "ok"]
    assert statuses(patched(data, at, bytes((data[at] ^ 1 << bit % 8,)))) == ["ok", "bad"]


@settings(max_examples=80)
@given(
    st.binary(max_size=100),
    st.sampled_from([inet.TCP(), inet.UDP(), inet.ICMP(), inet.TCP(options=[("MSS", 1460), ("NOP", None)])]),
    st.integers(0, 2**32 - 1),
    st.integers(0, 0xFFFF),
)
def test_scapy_computes_the_same(payload: bytes, transport: Packet, address: int, stored: int) -> None:
    dotted = ".".join(str(byte) for byte in address.to_bytes(4, "big"))
    data = bytes(inet.IP(src=dotted, dst="192.0.2.7") / transport / Raw(payload))
    _, result = judged((data, len(data)))
    assert [row.row["status"] for row in result.rows] == ["ok", "ok"]
    header_sum, segment_sum = (str(row.row["computed"]) for row in result.rows)
    at = 20 + {TCP: 16, UDP: 6, ICMP: 2}[data[9]]
    assert data[10:12].hex() == header_sum[2:]
    assert data[at : at + 2].hex() == segment_sum[2:]
    spoilt = patched(patched(data, 10, stored.to_bytes(2, "big")), at, stored.to_bytes(2, "big"))
    _, again = judged((spoilt, len(spoilt)))
    assert [row.row.get("computed", segment_sum) for row in again.rows] == [header_sum, segment_sum]


@settings(max_examples=60)
@given(right() | hostile().map(lambda wire: wire[0]))
def test_an_explanation_ends_in_what_was_computed(data: bytes) -> None:
    lane = ChecksumLane(ALL, RowWish.ALL, Repair.LEAVE, Explain.YES)
    for _, row in lane.check_datagram(data).rows:
        steps = row.get("explain")
        assert (steps is None) == ("computed" not in row)
        if steps is None:
            continue
        assert isinstance(steps, list)
        assert steps[-1]["sum"] == row["computed"]
        total = 0
        for step in steps:
            if step["step"] == "add":
                total += int(step["word"], 16)
                assert int(step["sum"], 16) == total
