"""Frames through the lane of `ipkit forward`: links, clocks, cut and oversized frames, rows and frames out."""

from __future__ import annotations

from typing import Any

import pytest

from ipkit.core.forward_lane import AtEnd, Detail, ForwardLane, ForwardOptions
from ipkit.core.frames import Frame, FrameBatch
from ipkit.core.host.build import build_host, builtin_host
from ipkit.core.host.kernel import LINUX_4_14, LINUX_6_18
from ipkit.core.lanes import Row, RowWish
from ipkit.errors import HostError
from tests.support.batches import batch_of
from tests.support.packets import eth, icmp, ip, tcp, udp

SECOND = 1_000_000_000
TRANSIT = ip(udp(b"x", src="192.0.2.9", dst="198.51.100.9"), src="192.0.2.9", dst="198.51.100.9")
ADDRESSED: dict[str, Any] = {
    "sysctl": {"net.ipv4.ip_forward": 1},
    "link": {
        "eth0": {"address": "02:00:00:00:01:01", "addr": ["192.0.2.1/24"]},
        "eth1": {"address": "02:00:00:00:02:01", "addr": ["198.51.100.1/24"]},
        "eth0.5": {"kind": "vlan", "link": "eth0", "id": 5, "addr": ["203.0.113.1/24"]},
    },
}


def lane(wish: RowWish = RowWish.ALL, host: dict[str, Any] | None = None, **more: Any) -> ForwardLane:
    config = builtin_host(LINUX_4_14) if host is None else build_host(host, file="host.toml", kernel=LINUX_4_14)
    return ForwardLane(ForwardOptions(config, named="host.toml" if host else "", **more), wish)


def through(which: ForwardLane, batch: FrameBatch) -> tuple[list[Row], list[Frame]]:
    result = which.process(batch)
    return [row.row for row in result.rows], [frame for row in sorted(result.changes) for frame in result.changes[row]]


def test_a_row_says_what_became_of_a_packet() -> None:
    (row,), (frame,) = through(lane(), batch_of([eth(TRANSIT, pad_to=60)]))
    assert row == {
        "file": "test.pcap", "frame": 1, "time": "0.000000000", "src": "192.0.2.9", "dst": "198.51.100.9", "proto": 17,
        "id": "0x1234", "length": 29, "verdict": "forwarded", "func": "ip_forward", "mib": ["IpForwDatagrams"],
        "iif": "eth0", "dev": "eth1", "ttl": 63, "emitted": [{"dev": "eth1", "kind": "packet", "length": 29}],
    }  # fmt: skip
    assert frame.interface == "eth1"
    assert frame.link_type == 1
    assert len(frame.data) == frame.on_wire == 43
    assert frame.data[:14].hex() == "0200c63364090200000000030800"


def test_the_frames_of_all_rows_are_those_that_are_written() -> None:
    datagrams = [TRANSIT, ip(bytes(3000), src="192.0.2.9", dst="198.51.100.9"), ip(b"", src="192.0.2.9", ttl=1), b"E"]
    rows, frames = through(lane(), batch_of([eth(data) for data in datagrams]))
    said = [(one["dev"], one["length"]) for row in rows for one in row.get("emitted", ())]  # type: ignore[attr-defined]
    assert said == [(frame.interface, len(frame.data) - 14) for frame in frames]
    assert [length for _, length in said] == [29, 1500, 1500, 60, 48]


@pytest.mark.parametrize(
    ("mac", "verdict"),
    [
        ("02:00:00:00:01:01", "forwarded"),
        ("02:00:00:00:02:01", "dropped"),
        ("ff:ff:ff:ff:ff:ff", "dropped"),
        ("01:00:5e:00:00:01", "dropped"),
    ],
)
def test_a_frame_is_for_the_address_of_its_link(mac: str, verdict: str) -> None:
    (row,), _ = through(lane(host=ADDRESSED), batch_of([eth(TRANSIT, dst=mac)]))
    assert row["verdict"] == verdict


@pytest.mark.parametrize(("tag", "iif"), [(0, "eth0"), (0xE000, "eth0"), (5, "eth0.5"), (6, "")])
def test_a_vlan_tag_chooses_the_link(tag: int, iif: str) -> None:
    frame = eth(TRANSIT, dst="02:00:00:00:01:01", tags=[(0x8100, tag)])
    (row,), _ = through(lane(host=ADDRESSED), batch_of([frame]))
    assert row.get("iif", "") == iif
    assert (row.get("reason") == "OTHERHOST") is (not iif)


def test_each_frame_comes_in_by_the_link_that_the_capture_names() -> None:
    echo = eth(ip(b"12345678", src="198.51.100.9", dst="192.0.2.9"))
    (row,), _ = through(lane(), batch_of([echo], interface="eth1"))
    assert (row["iif"], row["dev"]) == ("eth1", "eth0")
    (row,), _ = through(lane(iif="eth0"), batch_of([eth(TRANSIT)], interface="eth1"))
    assert row["iif"] == "eth0"


def test_a_link_that_the_host_lacks_is_a_mistake_unless_the_host_is_ours() -> None:
    with pytest.raises(HostError, match="no link wlan0"):
        lane(host=ADDRESSED).process(batch_of([eth(TRANSIT)], interface="wlan0"))
    with pytest.raises(HostError, match="no link wlan0"):
        lane(host=ADDRESSED, iif="wlan0")
    builtin = lane()
    (row,), _ = through(builtin, batch_of([eth(TRANSIT)] * 1, interface="wlan0"))
    assert row["iif"] == "eth0"
    assert "wlan0" in str(builtin.summary()["notes"])


def test_what_is_not_ipv4_does_not_pass() -> None:
    which = lane()
    rows, frames = through(which, batch_of([eth(b"x", ethertype=0x0806), eth(b"x", ethertype=0x86DD), b""]))
    assert (rows, frames) == ([], [])
    assert which.summary()["other"] == 3


def test_cooked_frames_that_went_out_are_left_out() -> None:
    def cooked(kind: int) -> bytes:
        return kind.to_bytes(2, "big") + bytes(12) + b"\x08\x00" + TRANSIT

    which = lane()
    rows, frames = through(which, batch_of([cooked(0), cooked(4), cooked(3)], link_type=113))
    assert [row["verdict"] for row in rows] == ["forwarded", "dropped"]
    assert [frame.link_type for frame in frames] == [1]
    assert which.summary()["outgoing"] == 1


def test_what_came_without_a_link_header_leaves_without_one() -> None:
    rows, frames = through(lane(), batch_of([TRANSIT], link_type=101))
    assert rows[0]["verdict"] == "forwarded"
    assert (frames[0].link_type, frames[0].data[:2], len(frames[0].data)) == (101, b"\x45\x00", 29)


def test_a_cut_packet_is_judged_by_its_header_and_leaves_as_short() -> None:
    whole = ip(udp(bytes(500), src="192.0.2.9", dst="198.51.100.9"), src="192.0.2.9", dst="198.51.100.9")
    (row,), (frame,) = through(lane(), batch_of([eth(whole)[:60]], on_wire=[14 + len(whole)]))
    assert (row["verdict"], row["length"]) == ("forwarded", len(whole))
    assert (len(frame.data), frame.on_wire) == (60, 14 + len(whole))


def test_a_packet_of_which_not_even_the_header_is_there_is_not_judged() -> None:
    which = lane(counters=True)
    rows, _ = through(which, batch_of([eth(TRANSIT)[:30], eth(TRANSIT)[:30]], on_wire=[60, 30]))
    assert [row["reason"] for row in rows] == ["truncated", "IP_INHDR"]
    assert which.summary()["counters"] == {"IpExtInOctets": 16, "IpInHdrErrors": 1, "IpInReceives": 1}


def test_a_segment_from_offload_leaves_as_one_frame() -> None:
    large = ip(tcp(bytes(5000)), proto=6, src="192.0.2.9", dst="198.51.100.9", df=True)
    endless = ip(tcp(bytes(5000)), proto=6, src="192.0.2.9", dst="198.51.100.9", tot_len=0)
    which = lane()
    rows, frames = through(which, batch_of([eth(large), eth(endless)]))
    assert [row["verdict"] for row in rows] == ["forwarded", "forwarded"]
    assert [len(frame.data) for frame in frames] == [14 + 5040, 14 + 5040]
    assert which.summary()["gso"] == 2


def fragment(**more: Any) -> bytes:
    return eth(ip(bytes(16), src="192.0.2.9", dst="192.0.2.1", mf=True, **more))


def test_a_timer_has_a_row_of_its_own_before_the_frame_that_brought_the_time() -> None:
    times = [0, 31 * SECOND]
    rows, frames = through(lane(), batch_of([fragment(), eth(TRANSIT)], tstamp_ns=times))
    assert [row["verdict"] for row in rows] == ["queued", "timer", "dropped", "forwarded"]
    assert "frame" not in rows[1]
    assert (rows[1]["time"], rows[1]["reason"]) == ("30.000000000", "FRAG_REASM_TIMEOUT")
    assert [frame.data[14 + 9] for frame in frames] == [1, 17]
    assert frames[0].tstamp_ns == 30 * SECOND


@pytest.mark.parametrize(("at_end", "verdicts"), [(AtEnd.STOP, []), (AtEnd.DRAIN, ["timer", "dropped"])])
def test_at_the_end_the_clock_stops_or_runs_on(at_end: AtEnd, verdicts: list[str]) -> None:
    which = lane(at_end=at_end)
    which.process(batch_of([fragment()]))
    result = which.finish()
    assert [row.row["verdict"] for row in result.rows] == verdicts
    assert len(result.late) == len(verdicts) // 2


def test_the_clock_never_turns_back() -> None:
    _, frames = through(lane(), batch_of([eth(TRANSIT), eth(TRANSIT)], tstamp_ns=[5 * SECOND, SECOND]))
    assert [frame.tstamp_ns for frame in frames] == [5 * SECOND, 5 * SECOND]


def test_only_limits_rows_and_nothing_else() -> None:
    which = lane(RowWish.LOOK, only=frozenset({"forwarded"}))
    rows, frames = through(which, batch_of([eth(TRANSIT), eth(TRANSIT)[:30]]))
    assert [row["verdict"] for row in rows] == ["forwarded"]
    assert len(frames) == 1
    assert which.has_finding()


def test_a_table_shows_what_was_dropped() -> None:
    rows, _ = through(lane(RowWish.LOOK), batch_of([eth(TRANSIT), eth(TRANSIT)[:30]]))
    assert [row["reason"] for row in rows] == ["IP_INHDR"]


def test_the_summary_counts_by_verdict_and_reason_with_an_example() -> None:
    which = lane(RowWish.NONE)
    which.process(batch_of([eth(TRANSIT), eth(b"E"), eth(TRANSIT), eth(b"E")], first_number=7))
    summary = which.summary()
    assert (summary["frames"], summary["forwarded"], summary["dropped"], summary["emitted"]) == (4, 2, 2, 2)
    assert summary["verdicts"] == [
        {"verdict": "forwarded", "func": "ip_forward", "mib": ["IpForwDatagrams"], "count": 2, "share": 0.5,
         "file": "test.pcap", "first": 7},
        {"verdict": "dropped", "reason": "IP_INHDR", "func": "ip_rcv_core", "mib": ["IpInHdrErrors"], "count": 2,
         "share": 0.5, "file": "test.pcap", "first": 8},
    ]  # fmt: skip


def test_a_trace_names_the_room_of_each_function() -> None:
    (row,), _ = through(lane(detail=Detail.TRACE), batch_of([eth(TRANSIT)]))
    steps: Any = row["trace"]
    assert {"func", "say", "values", "depth", "room"} == set(steps[0])
    assert ("ip_forward", "forward.py") in [(step["func"], step["room"]) for step in steps]


def test_every_function_of_a_trace_is_told_with_its_room() -> None:
    local: dict[str, Any] = {"src": "192.0.2.9", "dst": "192.0.2.1"}
    datagrams = [
        TRANSIT, ip(bytes(3000), src="192.0.2.9"), ip(b"", src="192.0.2.9", ttl=1), ip(udp(b"x", **local), **local),
        ip(tcp(b"", **local), proto=6, **local), ip(icmp(b""), proto=1, **local), ip(b"", proto=200, **local),
        ip(bytes(16), mf=True, **local),
    ]  # fmt: skip
    rows, _ = through(lane(detail=Detail.TRACE), batch_of([eth(data) for data in datagrams]))
    steps: list[Any] = [step for row in rows for step in row["trace"]]  # type: ignore[attr-defined]
    assert {"ip_forward_finish", "icmp_send", "udp_rcv", "tcp_v4_rcv", "icmp_rcv"} <= {step["func"] for step in steps}
    assert {step["func"] for step in steps if not step["room"]} == set()


def test_a_counter_that_moved_often_for_one_packet_is_named_once() -> None:
    small = {
        "net.ipv4.ip_forward": 1, "net.ipv4.ipfrag_high_thresh": 12000, "net.ipv4.ipfrag_low_thresh": 2000,
    }  # fmt: skip
    which = lane(host={"sysctl": small, "link": {"eth0": {"addr": ["192.0.2.1/24"]}}}, counters=True)
    rows, _ = through(which, batch_of([fragment(ident=number) for number in range(40)]))
    assert which.summary()["counters"]["IpReasmFails"] > 20  # type: ignore[index]
    moved: set[Any] = {tuple(row["mib"]) for row in rows if row["func"] != "ip_expire"}  # type: ignore[arg-type]
    assert moved == {("IpReasmReqds",), ("IpReasmReqds", "IpReasmFails")}
    assert len(which.summary()["verdicts"]) == 3  # type: ignore[arg-type]
    thrown_out = [row["frame"] for row in rows if row["func"] == "ip_expire"]
    assert len(set(thrown_out)) == len(thrown_out) > 20


def test_a_summary_says_of_what_kind_the_frames_are() -> None:
    datagrams = [TRANSIT, ip(bytes(3000), src="192.0.2.9", dst="198.51.100.9"), ip(b"", src="192.0.2.9", ttl=1)]
    which = lane()
    through(which, batch_of([eth(data) for data in datagrams]))
    assert which.summary()["emitted"] == 5
    assert which.summary()["emitted_kinds"] == {"packet": 1, "fragment": 3, "icmp": 1}
    plain = lane()
    through(plain, batch_of([eth(TRANSIT)]))
    assert "emitted_kinds" not in plain.summary()


def test_what_waits_at_the_end_is_said() -> None:
    links = {"eth0": {"addr": ["192.0.2.1/24"]}, "eth1": {"addr": ["198.51.100.1/24"]}}
    which = lane(host={"sysctl": {"net.ipv4.ip_forward": 1}, "link": links, "neigh_default": "resolve"})
    pieces = [ip(bytes(8), src="192.0.2.9", dst="192.0.2.1", ident=number, mf=True) for number in (1, 2)]
    through(which, batch_of([eth(data) for data in (*pieces, TRANSIT)]))
    assert which.summary()["notes"] == [
        "still waiting at the end: 2 datagrams for fragments and 1 packet for a neighbour"
    ]


def test_fragments_of_what_the_capture_cut_count_with_their_whole_length() -> None:
    config = builtin_host(LINUX_6_18)
    which = ForwardLane(ForwardOptions(config, counters=True), RowWish.ALL)
    data = ip(bytes(1980), src="192.0.2.9", dst="198.51.100.9")
    through(which, batch_of([eth(data)[:60]], on_wire=[14 + 2000]))
    counters = which.summary()["counters"]
    assert isinstance(counters, dict)
    assert counters["IpExtOutOctets"] == 2020


def piece(offset: int, *, ident: int = 1, mf: bool = True, size: int = 16) -> bytes:
    return eth(ip(bytes(size), src="192.0.2.9", dst="192.0.2.1", ident=ident, mf=mf, offset=offset))


END_OF_FRAGMENTS = {
    "time is over": (["4.14", "6.18"], {}, [piece(0), piece(32)], [0, 1], AtEnd.DRAIN,
                     [(1, 30, "FRAG_REASM_TIMEOUT", "ip_expire"), (2, 30, "FRAG_REASM_TIMEOUT", "ip_expire")]),
    "overlap": (["6.18"], {}, [piece(0), piece(8)], [0, 1], AtEnd.STOP,
                [(2, 1, "NOT_SPECIFIED", "ip_frag_queue"), (1, 1, "NOT_SPECIFIED", "ip_frag_queue")]),
    "two ends": (["6.18"], {}, [piece(32, mf=False), piece(64, mf=False)], [0, 2], AtEnd.STOP,
                 [(2, 2, "NOT_SPECIFIED", "ip_frag_queue"), (1, 2, "NOT_SPECIFIED", "ip_frag_queue")]),
    "too far": (["4.14", "6.18"], {"ipfrag_max_dist": 1}, [piece(0), piece(0, ident=2), piece(0, ident=3), piece(32)],
                [0, 1, 2, 3], AtEnd.STOP, [(1, 3, "FRAG_TOO_FAR", "ip_frag_reinit")]),
}  # fmt: skip


@pytest.mark.parametrize("case", END_OF_FRAGMENTS.values(), ids=END_OF_FRAGMENTS)
def test_fragments_that_waited_in_vain_have_a_second_row(case: tuple[Any, ...]) -> None:
    kernels, knobs, frames, seconds, at_end, gone = case
    links = {"eth0": {"addr": ["192.0.2.1/24"]}}
    sysctl = {f"net.ipv4.{name}": value for name, value in knobs.items()}
    for kernel in (one for one in (LINUX_4_14, LINUX_6_18) if one.name in kernels):
        host = build_host({"link": links, "sysctl": sysctl}, file="host.toml", kernel=kernel)
        which = ForwardLane(ForwardOptions(host, at_end=at_end), RowWish.ALL)
        rows, _ = through(which, batch_of(frames, tstamp_ns=[SECOND * number for number in seconds]))
        rows += [row.row for row in which.finish().rows]
        ended = [row for row in rows if row["verdict"] == "dropped"]
        assert [(row["frame"], row["time"], row["reason"], row["func"]) for row in ended] == [
            (frame, f"{second}.000000000", reason, func) for frame, second, reason, func in gone
        ]
        assert which.summary()["dropped"] == len(gone)
        assert which.has_finding()


def test_fragments_that_became_whole_have_one_row() -> None:
    which = lane(at_end=AtEnd.DRAIN)
    rows, _ = through(which, batch_of([piece(0), piece(16, mf=False)]))
    rows += [row.row for row in which.finish().rows]
    assert [row["frame"] for row in rows] == [1, 2]


def test_an_interface_that_the_host_lacks_is_named_with_a_way_out() -> None:
    which = lane(host=ADDRESSED)
    with pytest.raises(HostError, match=r"there is no link lan0 \(--iif names one\)"):
        which.process(batch_of([eth(TRANSIT)], interface="lan0"))
    with pytest.raises(HostError, match=r"there is no link lan0$"):
        lane(host=ADDRESSED, iif="lan0")
