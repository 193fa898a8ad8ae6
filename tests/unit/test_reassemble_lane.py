"""What `ipkit reassemble` decides of captured frames: rows, what stands in the output, counts."""

from __future__ import annotations

from typing import Any

import pytest

from ipkit.core.host.kernel import LINUX_4_14, LINUX_6_18, KernelProfile
from ipkit.core.host.sysctl import NetConf
from ipkit.core.lanes import RowWish
from tests.support.packets import eth, ip, rfc1071, udp
from tests.support.reassembled import SECOND, Capture, frag

BOTH = pytest.mark.parametrize("kernel", [LINUX_4_14, LINUX_6_18], ids=lambda kernel: kernel.name)


WHOLE = [frag("A", 0), frag("B", 16), frag("C", 32, last=True)]
DATAGRAM = ip(b"A" * 16 + b"B" * 16 + b"C" * 16, proto=253, ident=1)


@BOTH
@pytest.mark.parametrize("apart", [False, True], ids=["one batch", "many"])
def test_a_datagram_stands_where_its_last_fragment_came(kernel: KernelProfile, apart: bool) -> None:
    other, plain = eth(b"\0" * 40, ethertype=0x0806), eth(ip(udp(b"x")))
    done = Capture(
        [WHOLE[2], other, WHOLE[0], plain, WHOLE[1], plain], kernel=kernel, apart=apart, batch={"interface": "eth7"}
    )
    link = WHOLE[0][:14]
    assert done.out == [other, plain, link + DATAGRAM, plain]
    assert done.times == [1 * SECOND, 3 * SECOND, 4 * SECOND, 5 * SECOND]
    assert done.rows == [
        {
            "file": "test.pcap",
            "frame": 5,
            "time": "4.000000000",
            "iface": "eth7",
            "src": "192.0.2.1",
            "dst": "198.51.100.2",
            "proto": 253,
            "id": "0x0001",
            "frames": [1, 3, 5],
            "fragments": 3,
            "length": 68,
            "status": "complete",
            "mib": ["IpReasmOKs"],
            "overlap": 0,
            "duplicates": 0,
        }
    ]
    assert done.looks == [False]
    assert done.counts() == {
        "frames": 6, "ipv4": 5, "other": 1, "fragments": 3, "datagrams": 1, "complete": 1,
        "ReasmReqds": 3, "ReasmOKs": 1,
    }  # fmt: skip
    assert done.summary["kernel"] == kernel.name
    assert not done.lane.has_finding()


def test_the_link_header_is_the_completing_frames() -> None:
    tagged = eth(WHOLE[2][14:], tags=[(0x8100, 7), (0x88A8, 9)], src="02:00:00:00:00:55")
    done = Capture([WHOLE[0], WHOLE[1], tagged])
    assert done.out == [tagged[:22] + DATAGRAM]


@pytest.mark.parametrize(("link_type", "before"), [(101, b""), (113, bytes(14) + b"\x08\0"), (0, b"\x02\0\0\0")])
def test_other_links(link_type: int, before: bytes) -> None:
    done = Capture([before + frame[14:] for frame in WHOLE], batch={"link_type": link_type})
    assert done.out == [before + DATAGRAM]


def test_padding_is_no_data() -> None:
    short = [eth(frame[14:], pad_to=120) for frame in WHOLE]
    assert Capture(short).out == [short[0][:14] + DATAGRAM]


def test_copies_go_with_their_datagram() -> None:
    done = Capture([WHOLE[0], WHOLE[0], WHOLE[1], WHOLE[1], WHOLE[2]], kernel=LINUX_6_18)
    assert len(done.out) == 1
    assert (done.rows[0]["fragments"], done.rows[0]["duplicates"], done.rows[0]["overlap"]) == (5, 2, 0)
    assert done.rows[0]["frames"] == [1, 3, 5]
    assert done.looks == [False]


def test_of_a_replaced_copy_the_later_one_counts() -> None:
    done = Capture([WHOLE[0], WHOLE[0], WHOLE[1], WHOLE[2]], kernel=LINUX_4_14)
    assert done.rows[0]["frames"] == [2, 3, 4]


def test_an_overlap_needs_a_look() -> None:
    done = Capture([WHOLE[0], frag("X", 8), WHOLE[1], WHOLE[2]], kernel=LINUX_4_14, wish=RowWish.LOOK)
    assert done.looks == [True]
    assert (done.rows[0]["overlap"], done.rows[0]["notes"]) == (16, ["bytes-differ"])
    assert done.counts()["overlaps"] == 2


def test_fragments_that_fail_together_come_out_where_they_failed_in_their_order() -> None:
    plain = eth(ip(udp(b"x")))
    frames = [WHOLE[0], plain, frag("X", 8), WHOLE[1], plain]
    done = Capture(frames, kernel=LINUX_6_18)
    assert done.out == [plain, WHOLE[0], frames[2], plain, WHOLE[1]]
    assert done.times == [1 * SECOND, 0, 2 * SECOND, 4 * SECOND, 3 * SECOND]
    assert [(row["status"], row["frames"], row["missing"]) for row in done.rows] == [
        ("dropped", [1, 3], [[16, None]]),
        ("incomplete", [4], [[0, 16], [32, None]]),
    ]
    assert (done.rows[0]["reason"], done.rows[0]["func"]) == ("NOT_SPECIFIED", "ip_frag_queue")
    assert done.rows[0]["mib"] == ["IpReasmFails", "IpExtReasmOverlaps"]
    assert done.lane.has_finding()


@BOTH
def test_failed_fragments_are_left_out_on_request(kernel: KernelProfile) -> None:
    bad = bytearray(frag("Z", 0, ident=5))
    bad[24] ^= 1
    done = Capture([WHOLE[0], eth(ip(b"plain")), bytes(bad)], kernel=kernel, drops_incomplete=True)
    assert done.out == [eth(ip(b"plain"))]


def test_what_still_waits_at_the_end_comes_out_in_the_order_of_arrival() -> None:
    frames = [frag("A", 0, ident=ident) for ident in (1, 2, 1, 3)]
    frames[2] = frag("B", 16, ident=1)
    done = Capture(frames, apart=True)
    assert done.out == frames
    assert [(row["status"], row["id"]) for row in done.rows] == [
        ("incomplete", "0x0001"), ("incomplete", "0x0002"), ("incomplete", "0x0003"),
    ]  # fmt: skip
    assert "reason" not in done.rows[0]
    assert "mib" not in done.rows[0]


@BOTH
def test_timers_fire_between_packets_in_the_order_of_time(kernel: KernelProfile) -> None:
    plain = eth(ip(udp(b"x")))
    frames = [frag("A", 0, ident=1), frag("A", 0, ident=2), frag("B", 16, ident=1), plain, frag("C", 32, ident=1)]
    done = Capture(frames, kernel=kernel, seconds=[0, 1, 2, 30, 30.5])
    assert [(row["status"], row["id"], row["time"]) for row in done.rows] == [
        ("timeout", "0x0001", "2.000000000"),
        ("incomplete", "0x0002", "1.000000000"),
        ("incomplete", "0x0001", "30.500000000"),
    ]
    assert done.rows[0]["reason"] == "FRAG_REASM_TIMEOUT"
    assert done.rows[0]["func"] == "ip_expire"
    assert done.rows[0]["mib"] == ["IpReasmFails", "IpReasmTimeout"]
    assert done.out == [frames[0], frames[2], plain, frames[1], frames[4]]


@BOTH
def test_an_earlier_time_does_not_turn_the_clock_back(kernel: KernelProfile) -> None:
    frames = [frag("A", 0), frag("B", 16, ident=2), frag("C", 16, last=True)]
    done = Capture(frames, kernel=kernel, seconds=[0, 40, 1])
    assert [row["status"] for row in done.rows] == ["timeout", "incomplete", "incomplete"]


@BOTH
def test_the_clock_runs_on_where_it_is_told_to(kernel: KernelProfile) -> None:
    frames = [frag("A", 0, ident=2), frag("A", 0, ident=1)]
    done = Capture(frames, kernel=kernel, drains=True)
    assert [(row["status"], row["id"]) for row in done.rows] == [("timeout", "0x0002"), ("timeout", "0x0001")]
    assert done.out == frames


BROKEN = {
    "IP_CSUM": (frag("A", 0, checksum=0x1111), ["IpExtInCsumErrors", "IpInHdrErrors"]),
    "IP_INHDR": (frag("A", 0, version=6), ["IpInHdrErrors"]),
    "PKT_TOO_SMALL": (frag("A", 0, tot_len=400), ["IpExtInTruncatedPkts"]),
}


@pytest.mark.parametrize("reason", BROKEN)
def test_what_ip_rcv_would_not_let_in(reason: str) -> None:
    frame, mibs = BROKEN[reason]
    done = Capture([frame, WHOLE[1]])
    row = done.rows[0]
    assert (row["status"], row["reason"], row["func"], row["mib"]) == ("dropped", reason, "ip_rcv_core", mibs)
    assert (row["frames"], row["fragments"]) == ([1], 1)
    assert done.out == [frame, WHOLE[1]]
    assert done.counts()["ReasmReqds"] == 1


@pytest.mark.parametrize("header", [{"ihl": 3}, {"ihl": 15}, {"tot_len": 19}, {"tot_len": 0}])
def test_headers_that_contradict_themselves(header: dict[str, Any]) -> None:
    done = Capture([frag("A", 0, **header)])
    assert (done.rows[0]["status"], done.rows[0]["reason"]) in (("dropped", "IP_INHDR"), ("dropped", "IP_CSUM"))


def test_a_fragment_that_the_capture_cut_loses_its_datagram_and_nothing_else_changes() -> None:
    cut = WHOLE[1][:40]
    done = Capture([WHOLE[0], cut, WHOLE[2]], batch={"on_wire": [len(frame) for frame in WHOLE]})
    assert done.out == [WHOLE[0], cut, WHOLE[2]]
    assert [(row["status"], row["reason"], row["frames"]) for row in done.rows] == [("dropped", "truncated", [1, 2, 3])]
    assert "length" not in done.rows[0]
    assert done.rows[0]["notes"] == ["truncated"]


def test_a_cut_fragment_whose_datagram_never_came_together_is_cut_all_the_same() -> None:
    done = Capture([WHOLE[1][:40]], batch={"on_wire": [len(WHOLE[1])]})
    assert [(row["status"], row["reason"]) for row in done.rows] == [("dropped", "truncated")]


def test_a_header_that_the_capture_cut_is_no_fragment_yet() -> None:
    done = Capture([WHOLE[0][:30]], batch={"on_wire": [len(WHOLE[0])]})
    assert done.rows == []
    assert done.counts() == {"frames": 1, "ipv4": 1}


def test_a_refused_fragment_is_a_row_of_its_own() -> None:
    limits = NetConf(ipfrag_high_thresh=1032, ipfrag_low_thresh=0)
    done = Capture([frag("A", 0, ident=ident) for ident in (1, 2, 3)], kernel=LINUX_6_18, limits=limits)
    assert [(row["status"], row["frames"]) for row in done.rows] == [
        ("dropped", [3]), ("incomplete", [1]), ("incomplete", [2]),
    ]  # fmt: skip
    assert (done.rows[0]["reason"], done.rows[0]["func"]) == ("NOT_SPECIFIED", "ip_defrag")
    assert len(done.out) == 3


def test_an_evicted_datagram_says_so() -> None:
    limits = NetConf(ipfrag_high_thresh=4000, ipfrag_low_thresh=3000)
    frames = [frag("A", 0, ident=ident) for ident in range(20)]
    done = Capture(frames, kernel=LINUX_4_14, limits=limits)
    assert {row["status"] for row in done.rows} == {"evicted", "incomplete", "dropped"}
    assert sorted(done.out) == sorted(frames)
    assert done.counts()["ReasmFails"] == done.counts()["evicted"] + done.counts()["dropped"]


@BOTH
def test_a_datagram_given_up_for_distance_is_one_and_its_new_start_another(kernel: KernelProfile) -> None:
    frames = [WHOLE[0], frag("X", 0, ident=2), frag("X", 0, ident=3), WHOLE[1], WHOLE[2], WHOLE[0]]
    done = Capture(frames, kernel=kernel, limits=NetConf(ipfrag_max_dist=2), apart=True)
    assert [(row["status"], row.get("reason"), row["frames"]) for row in done.rows][:2] == [
        ("dropped", "FRAG_TOO_FAR", [1]),
        ("complete", None, [4, 5, 6]),
    ]
    assert done.out[0] == frames[0]


NOTED = {
    "tiny-first": [frag("A", 0, size=8), frag("B", 8, last=True)],
    "ttl-differs": [frag("A", 0), frag("B", 16, last=True, ttl=9)],
    "options-differ": [frag("A", 0, options=b"\x94\x04\0\0"), frag("B", 16, last=True)],
    "ragged": [frag("A", 0, size=19), frag("B", 16, last=True)],
    "zero-length": [frag("A", 0), frag("Z", 16, size=0), frag("B", 16, last=True)],
}


@pytest.mark.parametrize("note", NOTED)
def test_what_is_odd_is_said_though_the_datagram_is_whole(note: str) -> None:
    done = Capture(NOTED[note], wish=RowWish.LOOK)
    assert [(row["status"], row["notes"]) for row in done.rows] == [("complete", [note])]


def test_options_that_are_not_copied_need_not_be_repeated() -> None:
    done = Capture([frag("A", 0, options=b"\x07\x07\x04\0\0\0\0\0"), frag("B", 16, last=True, options=b"\x01" * 8)])
    assert "notes" not in done.rows[0]


def test_df_is_noted_and_needs_no_look() -> None:
    done = Capture([frag("A", 0, df=True), frag("B", 16, last=True, df=True)])
    assert (done.rows[0]["notes"], done.looks) == (["df"], [False])


def test_no_row_is_made_that_nobody_wants() -> None:
    frames = [*WHOLE, frag("A", 0, ident=2)]
    assert Capture(frames, wish=RowWish.NONE).rows == []
    assert [row["status"] for row in Capture(frames, wish=RowWish.LOOK).rows] == ["incomplete"]


@BOTH
def test_the_receiver_says_time_exceeded_about_the_first_fragment(kernel: KernelProfile) -> None:
    done = Capture([frag("B", 16), frag("A", 0), eth(ip(b"x"))], kernel=kernel, seconds=[5, 6, 50], icmp=True)
    [(time, error)] = done.errors
    assert time == 35 * SECOND
    packet = error[14:]
    assert (packet[12:16], packet[16:20]) == (b"\xc6\x33\x64\x02", b"\xc0\0\x02\x01")
    assert (packet[20], packet[21]) == (11, 1)
    assert packet[28:] == frag("A", 0)[14:]
    assert rfc1071(packet[20:]) == 0


@BOTH
@pytest.mark.parametrize(
    "frames",
    [
        [frag("B", 16)],
        [frag("A", 0, dst="224.0.0.5")],
        [frag("A", 0, dst="255.255.255.255")],
        [frag("A", 0, src="127.0.0.1")],
    ],
    ids=["no first fragment", "multicast", "broadcast", "martian"],
)
def test_who_is_told_nothing(frames: list[bytes], kernel: KernelProfile) -> None:
    assert not Capture(frames, kernel=kernel, drains=True, icmp=True).errors


def test_errors_are_limited_as_everywhere() -> None:
    frames = [frag("A", 0, ident=ident) for ident in range(20)]
    done = Capture(frames, seconds=[0] * 20, drains=True, icmp=True)
    assert len(done.errors) == 6


@BOTH
def test_a_flood_of_copies_is_not_held_without_end(kernel: KernelProfile) -> None:
    limits = NetConf(ipfrag_high_thresh=20000, ipfrag_low_thresh=20000)
    done = Capture([WHOLE[0]] * 2000, kernel=kernel, limits=limits, seconds=[0] * 2000)
    assert done.lane.held_bytes == 0
    assert len(done.out) == 2000
    [row] = done.rows
    assert (row["fragments"], row["duplicates"], row["frames"]) == (
        2000, 1999, [2000 if kernel is LINUX_4_14 else 1],
    )  # fmt: skip


def test_every_policy_is_asked_and_disagreement_needs_a_look() -> None:
    done = Capture([WHOLE[0], frag("X", 0), WHOLE[1], WHOLE[2]], wish=RowWish.LOOK, compares=True)
    [row] = done.rows
    assert row["differ"] is True
    groups: dict[str, set[str]] = {}
    for policy, reading in row["policies"].items():
        groups.setdefault(reading, set()).add(policy)
    assert sorted(map(sorted, groups.values())) == [
        ["bsd", "first", "linux-modern", "rfc5722", "solaris", "windows"],
        ["bsd-right", "last", "linux", "linux-trim"],
    ]
    assert done.counts()["differ"] == 1


def test_policies_go_on_where_the_one_in_charge_has_lost_the_datagram() -> None:
    frames = [WHOLE[0], frag("X", 8), WHOLE[1], WHOLE[2]]
    done = Capture(frames, kernel=LINUX_6_18, compares=True)
    assert [row["status"] for row in done.rows] == ["dropped", "incomplete"]
    assert done.rows[0]["policies"]["first"] == "incomplete"
    assert done.rows[1]["policies"]["linux-modern"] == "dropped"
    assert len(done.rows[1]["policies"]["first"]) == 16
    assert done.rows[1]["policies"]["first"] != done.rows[1]["policies"]["last"]


def test_policies_agree_on_what_is_plain() -> None:
    done = Capture([WHOLE[2], WHOLE[1], WHOLE[0]], compares=True)
    assert done.rows[0]["differ"] is False
    assert len(set(done.rows[0]["policies"].values())) == 1


def test_a_drawing_has_every_fragment_as_it_came() -> None:
    done = Capture([WHOLE[1], frag("X", 8), WHOLE[2], WHOLE[0]], draws=True)
    assert done.rows[0]["map"] == [
        {"frame": 1, "offset": 16, "length": 16, "mf": True, "won": [[24, 32]]},
        {"frame": 2, "offset": 8, "length": 16, "mf": True, "won": [[16, 24]]},
        {"frame": 3, "offset": 32, "length": 16, "mf": False, "won": [[32, 48]]},
        {"frame": 4, "offset": 0, "length": 16, "mf": True, "won": [[0, 16]]},
    ]
    assert done.lane.drawn == done.rows
