"""Captured frames through ip_fragment: results, rows, what is written, what is counted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ipkit.core.fragment import FragPath
from ipkit.core.fragment_lane import DfRule, FragmentLane, FragmentOptions
from ipkit.core.fragment_shaper import Order, Shape, parse_choice
from ipkit.core.frames import Frame
from ipkit.core.host.kernel import LINUX_4_14, LINUX_6_18, KernelProfile
from ipkit.core.lanes import LaneResult, Row, RowWish
from ipkit.core.outcome.verdict import IcmpDue
from tests.support.batches import batch_of
from tests.support.cut import is_sound, payload, shapes
from tests.support.packets import eth, ip, patched, tcp, udp

PLAIN = FragmentOptions(mtu=600, kernel=LINUX_4_14)
DATA = bytes((7 * i + 13 * (i >> 8)) & 255 for i in range(70000))
ARP = eth(bytes(28), ethertype=0x0806)


def run(
    frame: bytes,
    options: FragmentOptions = PLAIN,
    *,
    wish: RowWish = RowWish.ALL,
    on_wire: int | None = None,
    link_type: int = 1,
    number: int = 7,
) -> tuple[LaneResult, FragmentLane]:
    lane = FragmentLane(options, wish)
    batch = batch_of(
        [frame],
        on_wire=None if on_wire is None else [on_wire],
        link_type=link_type,
        first_number=number,
        interface="eth9",
    )
    return lane.process(batch), lane


def row_of(frame: bytes, options: FragmentOptions = PLAIN, *, on_wire: int | None = None) -> Row:
    result, _ = run(frame, options, on_wire=on_wire)
    return result.rows[0].row


def written(result: LaneResult) -> list[bytes]:
    return [frame.data for frame in result.changes[0]]


def test_a_long_datagram_is_cut_behind_its_link_header() -> None:
    frame = eth(ip(DATA[:1000]), tags=[(0x8100, 5)])
    result, lane = run(frame)
    frames = list(result.changes[0])
    assert [f.data[:18] for f in frames] == [frame[:18]] * 2
    assert shapes([f.data[18:] for f in frames]) == "576@0+ 424@576"
    assert all(is_sound(f.data[18:]) for f in frames)
    assert [(f.number, f.interface, f.link_type, f.on_wire, f.keeps_options) for f in frames] == [
        (7, "eth9", 1, 614, True),
        (7, "eth9", 1, 462, False),
    ]
    assert result.rows[0].row == {
        "file": "test.pcap",
        "frame": 7,
        "time": "0.000000000",
        "iface": "eth9",
        "src": "192.0.2.1",
        "dst": "198.51.100.2",
        "proto": 17,
        "id": "0x1234",
        "length": 1020,
        "mtu": 600,
        "df": False,
        "result": "fragmented",
        "path": "slow",
        "fragments": [{"offset": 0, "length": 596, "mf": True}, {"offset": 576, "length": 444, "mf": False}],
    }
    assert not result.rows[0].needs_look
    assert not lane.has_finding()


def test_the_summary_counts_what_happened() -> None:
    lane = FragmentLane(PLAIN, RowWish.NONE)
    frames = [
        eth(ip(DATA[:1000])),
        eth(ip(b"x")),
        ARP,
        eth(ip(DATA[:1000], df=True)),
        eth(ip(ihl=3)),
        eth(ip(DATA[:600])),
    ]
    result = lane.process(batch_of(frames))
    assert result.rows == []
    assert sorted(result.changes) == [0, 3, 5]
    assert lane.finish() == LaneResult()
    assert dict(lane.summary()) == {
        "frames": 6,
        "ipv4": 5,
        "other": 1,
        "passed": 1,
        "fragmented": 2,
        "too_big": 1,
        "failed": 1,
        "fragments": 4,
        "FragOKs": 2,
        "FragFails": 1,
        "FragCreates": 4,
        "kernel": "4.14",
    }
    assert lane.has_finding()


@pytest.mark.parametrize("wish", RowWish)
@pytest.mark.parametrize(
    "frame",
    [
        eth(ip(DATA[:580])),
        eth(ip(DATA[:580], df=True)),
        eth(ip(DATA[:20]), pad_to=60),
        eth(ip(DATA[:20]) + b"trailer" * 100),
        eth(ip(DATA[:20], mf=True, reserved=True)),
        eth(ip(DATA[:20], options=bytes(40), checksum=0)),
    ],
)
def test_what_fits_stays_as_it_is(frame: bytes, wish: RowWish) -> None:
    result, lane = run(frame, wish=wish)
    assert result.changes == {}
    assert lane.summary()["passed"] == 1
    assert [row.row["result"] for row in result.rows] == ["passed"] * (wish is RowWish.ALL)


def test_what_is_not_ipv4_stays_and_has_no_row() -> None:
    result, lane = run(ARP + DATA[:1000])
    assert (result.rows, result.changes) == ([], {})
    assert (lane.summary()["other"], lane.summary()["ipv4"]) == (1, 0)


def test_padding_and_trailers_never_become_data() -> None:
    result, _ = run(eth(ip(DATA[:585])) + b"\xff" * 900)
    assert shapes([data[14:] for data in written(result)]) == "576@0+ 9@576"
    assert b"".join(payload(data[14:]) for data in written(result)) == DATA[:585]


def test_df_is_taken_out_and_the_error_is_asked_for() -> None:
    asked: list[tuple[IcmpDue, Frame]] = []

    class Host:
        def frame_for(self, due: IcmpDue, frame: Frame) -> Frame | None:
            asked.append((due, frame))
            return frame._replace(data=b"error") if len(asked) == 1 else None

    lane = FragmentLane(PLAIN, RowWish.LOOK, Host())
    result = lane.process(batch_of([eth(ip(DATA[:1000], df=True))] * 2))
    assert result.changes == {0: [], 1: []}
    assert [frame.data for frame in result.icmp] == [b"error"]
    assert [(due.type, due.code, due.info, due.about.data) for due, _ in asked] == [
        (3, 4, 600, ip(DATA[:1000], df=True))
    ] * 2
    row = result.rows[0]
    assert row.needs_look
    assert (row.row["result"], row.row["reason"], row.row["df"]) == ("too_big", "PKT_TOO_BIG", True)
    assert not {"path", "fragments"} & row.row.keys()


@pytest.mark.parametrize("rule", [DfRule.IGNORE, DfRule.CLEAR])
def test_df_can_be_overruled(rule: DfRule) -> None:
    result, _ = run(eth(ip(DATA[:1000], df=True)), replace(PLAIN, df=rule))
    assert shapes([data[14:] for data in written(result)]) == "576@0+ 424@576"
    assert all(is_sound(data[14:]) for data in written(result))
    assert result.rows[0].row["df"] is True


def test_a_reassembled_datagram_goes_out_in_pieces_no_larger_than_it_came() -> None:
    options = replace(PLAIN, frag_max_size=300)
    result, _ = run(eth(ip(DATA[:1000])), options)
    assert shapes([data[14:] for data in written(result)]) == "280@0+ 280@280+ 280@560+ 160@840"


def test_ignored_df_comes_back_on_pieces_of_what_came_with_df() -> None:
    frame = eth(ip(DATA[:1000], df=True))
    result, _ = run(frame, replace(PLAIN, frag_max_size=600, df=DfRule.IGNORE))
    assert shapes([data[14:] for data in written(result)]) == "576@0+! 424@576!"
    result, _ = run(frame, replace(PLAIN, frag_max_size=600, df=DfRule.CLEAR))
    assert shapes([data[14:] for data in written(result)]) == "576@0+ 424@576"


def test_df_larger_fragments_than_the_mtu_are_refused_though_df_is_ignored() -> None:
    row = row_of(eth(ip(DATA[:3000], df=True)), replace(PLAIN, frag_max_size=700, df=DfRule.IGNORE))
    assert row["result"] == "too_big"


def test_only_the_later_kernel_cuts_a_reassembled_datagram_that_fits() -> None:
    frame = eth(ip(DATA[:500]))
    assert row_of(frame, replace(PLAIN, frag_max_size=300))["result"] == "passed"
    row = row_of(frame, replace(PLAIN, frag_max_size=300, kernel=LINUX_6_18))
    assert row["fragments"] == [{"offset": 0, "length": 300, "mf": True}, {"offset": 280, "length": 240, "mf": False}]


def test_what_is_no_longer_than_a_fragment_was_never_reassembled() -> None:
    options = replace(PLAIN, frag_max_size=300, kernel=LINUX_6_18)
    result, lane = run(eth(ip(DATA[:280], df=True)), options)
    assert (result.changes, lane.summary()["FragOKs"]) == ({}, 0)


@pytest.mark.parametrize("size", [1, 20, 27])
def test_no_room_for_data_fails(size: int) -> None:
    result, lane = run(eth(ip(DATA[:1000])), replace(PLAIN, frag_max_size=size))
    assert (result.rows[0].row["result"], result.rows[0].row["reason"]) == ("failed", "EMSGSIZE")
    assert (result.changes, lane.summary()["FragFails"], lane.has_finding()) == ({0: []}, 1, True)


def test_the_fast_path_takes_the_queue_that_append_data_built() -> None:
    row = row_of(eth(ip(DATA[:1200])), replace(PLAIN, path=FragPath.FAST))
    assert (row["path"], row.get("reason")) == ("fast", None)


@pytest.mark.parametrize("size", [581, 999, 1000, 1161, 5000, 65515])
@pytest.mark.parametrize("mtu", [68, 575, 576, 577, 580])
def test_both_paths_write_the_same(size: int, mtu: int) -> None:
    frame = eth(ip(DATA[:size], reserved=True))
    slow, _ = run(frame, replace(PLAIN, mtu=mtu))
    fast, _ = run(frame, replace(PLAIN, mtu=mtu, path=FragPath.FAST))
    assert written(fast) == written(slow)
    assert fast.rows[0].row["path"] == "fast"


@pytest.mark.parametrize("size", [0, 4, 300])
def test_what_fits_was_built_in_one_piece(size: int) -> None:
    options = replace(PLAIN, path=FragPath.FAST, frag_max_size=25, kernel=LINUX_6_18)
    row = row_of(eth(ip(DATA[:size], options=bytes(12))), options)
    assert (row["result"], row["reason"]) == ("failed", "EMSGSIZE")
    row = row_of(eth(ip(DATA[:500])), replace(options, frag_max_size=300))
    assert (row["path"], row.get("reason")) == ("slow", None)


def test_the_fast_path_is_refused_to_a_fragment() -> None:
    row = row_of(eth(ip(DATA[:1000], mf=True)), replace(PLAIN, path=FragPath.FAST))
    assert (row["path"], row["reason"]) == ("slow", "is_fragment")


def test_the_fast_path_is_refused_where_fragments_were_smaller() -> None:
    row = row_of(eth(ip(DATA[:1000])), replace(PLAIN, path=FragPath.FAST, frag_max_size=300))
    assert (row["path"], row["reason"]) == ("slow", "head_too_long")


@pytest.mark.parametrize(
    ("kernel", "later"), [(LINUX_4_14, bytes((7, 7, 4, 0, 0, 0, 0, 0))), (LINUX_6_18, b"\x01" * 7 + b"\0")]
)
def test_options_on_the_fast_path_are_the_kernels(kernel: KernelProfile, later: bytes) -> None:
    frame = eth(ip(DATA[:1000], options=bytes((7, 7, 4, 0, 0, 0, 0))))
    result, _ = run(frame, replace(PLAIN, path=FragPath.FAST, kernel=kernel))
    assert written(result)[1][34:42] == later


@pytest.mark.parametrize(
    ("frame", "on_wire", "reason"),
    [
        (eth(ip(DATA[:1000]))[:100], 1034, "truncated"),
        (eth(ip(DATA[:1000], options=bytes(40)))[:40], 1074, "truncated"),
        (eth(ip(DATA[:1000]))[:30], 1034, "truncated"),
        (eth(ip(DATA[:1000]))[:14], 1034, "truncated"),
        (eth(ip(DATA[:1000]))[:33], 33, "IP_INHDR"),
        (eth(b""), None, "IP_INHDR"),
        (eth(ip(DATA[:1000], version=6)), None, "IP_INHDR"),
        (eth(ip(DATA[:1000], ihl=4)), None, "IP_INHDR"),
        (eth(ip(b"", ihl=15, tot_len=20)), None, "IP_INHDR"),
        (eth(ip(DATA[:1000], options=bytes(8), tot_len=27)), None, "IP_INHDR"),
        (eth(ip(DATA[:100], tot_len=1000)), None, "PKT_TOO_SMALL"),
        (eth(ip(DATA[:100], tot_len=121)), None, "PKT_TOO_SMALL"),
        (eth(ip(DATA[:66000], proto=6, tot_len=0)), None, "gso"),
    ],
)
def test_what_cannot_be_judged_fails_and_stays(frame: bytes, on_wire: int | None, reason: str) -> None:
    result, lane = run(frame, wish=RowWish.LOOK, on_wire=on_wire)
    assert result.changes == {}
    assert [(row.needs_look, row.row["result"], row.row["reason"]) for row in result.rows] == [(True, "failed", reason)]
    assert lane.has_finding()
    assert (lane.summary()["FragFails"], lane.summary()["FragOKs"]) == (0, 0)


def test_a_datagram_cut_by_the_snap_length_that_fits_passes() -> None:
    assert row_of(eth(ip(DATA[:500]))[:60], on_wire=534)["result"] == "passed"


def test_a_datagram_cut_by_the_snap_length_can_be_too_big() -> None:
    result, _ = run(eth(ip(DATA[:1000], df=True))[:60], on_wire=1034)
    assert result.rows[0].row["result"] == "too_big"
    assert result.changes == {0: []}


def test_total_length_zero_stands_for_what_is_there() -> None:
    result, _ = run(eth(ip(tcp(DATA[:980]), proto=6, tot_len=0)))
    assert result.rows[0].row["length"] == 1020
    assert shapes([data[14:] for data in written(result)]) == "576@0+ 424@576"
    assert all(is_sound(data[14:]) for data in written(result))


def test_a_wrong_checksum_does_not_get_into_the_fragments() -> None:
    result, _ = run(eth(ip(DATA[:1000], checksum=0x1234)))
    assert all(is_sound(data[14:]) for data in written(result))


@pytest.mark.parametrize(
    ("link_type", "header"),
    [
        (0, b"\2\0\0\0"),
        (12, b""),
        (101, b""),
        (113, bytes(14) + b"\x08\0"),
        (228, b""),
        (276, b"\x08\0" + bytes(18)),
        (9, b"\xff\x03\0\x21"),
    ],
)
def test_every_link_type_keeps_its_header(link_type: int, header: bytes) -> None:
    result, _ = run(header + ip(DATA[:1000]), link_type=link_type)
    assert [data[: len(header)] for data in written(result)] == [header] * 2
    assert shapes([data[len(header) :] for data in written(result)]) == "576@0+ 424@576"


def test_the_largest_datagram_at_the_smallest_mtu() -> None:
    result, lane = run(eth(ip(DATA[:65515])), replace(PLAIN, mtu=68))
    assert lane.summary()["fragments"] == 1365
    assert b"".join(payload(data[14:]) for data in written(result)) == DATA[:65515]


def test_every_fragment_tiny() -> None:
    options = replace(PLAIN, mtu=68, frag_max_size=28)
    result, _ = run(eth(ip(udp(DATA[:192]))), options)
    assert shapes([data[14:] for data in written(result)]) == " ".join(
        [f"8@{at}+" for at in range(0, 192, 8)] + ["8@192"]
    )


def test_dropping_everything_writes_nothing() -> None:
    result, _ = run(eth(ip(DATA[:1000])), replace(PLAIN, shape=Shape(drop=parse_choice("9"))))
    assert result.changes == {0: []}
    assert "fragments" not in result.rows[0].row


def test_the_frame_number_chooses_with_the_seed() -> None:
    shape = Shape(order=Order.RANDOM, seed=3)
    frame = eth(ip(DATA[:5000]))
    first, _ = run(frame, replace(PLAIN, shape=shape), number=1)
    again, _ = run(frame, replace(PLAIN, shape=shape), number=1)
    other, _ = run(frame, replace(PLAIN, shape=shape), number=2)
    assert written(first) == written(again)
    assert written(first) != written(other)


def test_a_header_cut_at_any_byte_is_a_row() -> None:
    frame = eth(ip(DATA[:1000], options=bytes(8)))
    for length in range(len(frame) + 1):
        for on_wire in (length, len(frame)):
            result, lane = run(frame[:length], on_wire=on_wire)
            assert len(result.rows) == 1 - lane.summary()["other"]  # type: ignore[operator]


def test_any_first_byte_and_total_length_is_a_row() -> None:
    datagram = ip(DATA[:700])
    for first in range(256):
        for tot_len in (0, 1, 19, 20, 59, 60, 599, 600, 601, 719, 720, 721, 65535):
            frame = eth(patched(patched(datagram, 0, bytes([first])), 2, tot_len.to_bytes(2, "big")))
            result, _ = run(frame)
            assert result.rows[0].row["result"] in ("passed", "fragmented", "failed")
