"""Neighbours that are asked, answer late or never: frames, times and ends, through the lane; in both kernels."""

from __future__ import annotations

from typing import Any

import pytest

from ipkit.core.forward_lane import AtEnd, Detail, ForwardLane, ForwardOptions
from ipkit.core.frames import Frame
from ipkit.core.host.build import build_host
from ipkit.core.host.kernel import LINUX_4_14, LINUX_6_18, KernelProfile
from ipkit.core.lanes import Row, RowWish
from tests.support.batches import batch_of
from tests.support.journeys import KERNELS
from tests.support.packets import address, eth, icmp, ip, mac, tcp, udp

both = pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)

MS = 1_000_000
SECOND = 1000 * MS
HERE, THERE = "02:00:00:00:01:01", "02:00:00:00:02:01"
NEXT, STATION = "198.51.100.77", "02:00:00:00:02:4d"
QUESTION = "ffffffffffff02000000020108060001080006040001020000000201c6336401000000000000c633644d"
FOUND = "02000000024d0200000002010800"


def config(kernel: KernelProfile, **more: Any) -> Any:
    return build_host(
        {
            "neigh_default": "resolve",
            "sysctl": {"net.ipv4.ip_forward": 1, **more.pop("sysctl", {})},
            "neigh": ["192.0.2.9 lladdr 02:00:00:00:01:09 dev eth0", *more.pop("neigh", ())],
            "link": {
                "eth0": {"address": HERE, "addr": ["192.0.2.1/24"]},
                "eth1": {"address": THERE, "addr": ["198.51.100.1/24"]},
            },
            **more,
        },
        file="host.toml",
        kernel=kernel,
    )


class Run:
    """Frames through a lane, each by its link at its time."""

    def __init__(
        self, kernel: KernelProfile = LINUX_6_18, *, trace: bool = False, drain: bool = False, **more: Any
    ) -> None:
        options = ForwardOptions(
            config(kernel, **more),
            named="host.toml",
            detail=Detail.TRACE if trace else Detail.VERDICT,
            at_end=AtEnd.DRAIN if drain else AtEnd.STOP,
            counters=True,
        )
        self.lane = ForwardLane(options, RowWish.ALL)
        self.rows: list[Row] = []
        self.frames: list[Frame] = []
        self.number = 0

    def come(self, frame: bytes, now_ns: int = 0, dev: str = "eth0") -> Run:
        self.number += 1
        batch = batch_of([frame], tstamp_ns=[now_ns], interface=dev, first_number=self.number)
        result = self.lane.process(batch)
        self.rows += [row.row for row in result.rows]
        self.frames += [frame for row in sorted(result.changes) for frame in result.changes[row]]
        return self

    def end(self) -> Run:
        result = self.lane.finish()
        self.rows += [row.row for row in result.rows]
        self.frames += result.late
        emitted = [(one["dev"], one["length"]) for row in self.rows for one in row.get("emitted", ())]  # type: ignore[attr-defined]
        assert emitted == [(frame.interface, len(frame.data) - 14) for frame in self.frames]
        return self

    @property
    def said(self) -> list[tuple[Any, ...]]:
        """Time in milliseconds, frame, verdict and reason of each row."""
        return [
            (round(float(str(row["time"])) * 1000), row.get("frame"), row["verdict"], row.get("reason"))
            for row in self.rows
        ]

    @property
    def sent(self) -> list[tuple[int, str]]:
        """Time in milliseconds and bytes of each frame."""
        return [(frame.tstamp_ns // MS, frame.data.hex()) for frame in self.frames]


def transit(
    dst: str = NEXT, src: str = "192.0.2.9", ident: int = 1, size: int = 8, ttl: int = 64, **more: Any
) -> bytes:
    return ip(udp(bytes(size), src=src, dst=dst), src=src, dst=dst, ident=ident, ttl=ttl, **more)


def inwards(datagram: bytes) -> bytes:
    return eth(datagram, dst=HERE)


def reply(who: str = NEXT, station: str = STATION, to: str = THERE) -> bytes:
    body = bytes.fromhex("0001080006040002") + mac(station) + address(who) + mac(THERE) + address("198.51.100.1")
    return eth(body, dst=to, src=station, ethertype=0x0806)


@both
def test_packets_wait_in_order_and_leave_when_the_answer_comes(kernel: KernelProfile) -> None:
    run = Run(kernel).come(inwards(transit(ident=1))).come(inwards(transit(ident=2)), 5 * MS)
    run.come(reply(), 9 * MS, "eth1").come(inwards(transit(ident=3)), 10 * MS).end()
    assert run.sent == [
        (0, QUESTION),
        *((9, FOUND + transit(ident=number, ttl=63).hex()) for number in (1, 2)),
        (10, FOUND + transit(ident=3, ttl=63).hex()),
    ]
    assert run.said == [
        (0, 1, "queued", "neighbour"),
        (5, 2, "queued", "neighbour"),
        (9, 3, "delivered", "arp"),
        (10, 4, "forwarded", None),
    ]
    assert run.rows[2]["emitted"] == [{"dev": "eth1", "kind": "packet", "length": 36}] * 2
    assert (run.rows[2]["src"], run.rows[2]["dst"], run.rows[2]["length"]) == (NEXT, "198.51.100.1", 28)
    summary = run.lane.summary()
    assert (summary["ipv4"], summary["arp"], summary["other"], summary["emitted"]) == (3, 1, 0, 4)


@both
def test_who_never_answers_is_asked_three_times_and_given_up_with_host_unreachable(kernel: KernelProfile) -> None:
    run = Run(kernel, drain=True).come(inwards(transit(ident=1))).come(inwards(transit(ident=2)), 5 * MS).end()
    assert [(when, data) for when, data in run.sent if data == QUESTION] == [
        (0, QUESTION),
        (1000, QUESTION),
        (2000, QUESTION),
    ]
    errors = [(when, bytes.fromhex(data)) for when, data in run.sent[3:]]
    assert [(when, data[:14].hex()) for when, data in errors] == [(3000, "0200000001090200000001010800")] * 2
    assert [data[34:42].hex()[:4] + data[38:42].hex() for _, data in errors] == ["030100000000"] * 2
    assert [data[42:] for _, data in errors] == [transit(ident=number, ttl=63) for number in (1, 2)]
    assert run.said == [
        (0, 1, "queued", "neighbour"),
        (5, 2, "queued", "neighbour"),
        (1000, None, "timer", None),
        (2000, None, "timer", None),
        (3000, None, "timer", "NEIGH_FAILED"),
        (3000, 1, "dropped", "NEIGH_FAILED"),
        (3000, 2, "dropped", "NEIGH_FAILED"),
    ]
    assert [row["func"] for row in run.rows[2:]] == ["neigh_timer_handler"] * 2 + ["neigh_invalidate"] * 3
    assert (run.rows[2]["dst"], run.rows[2]["dev"]) == (NEXT, "eth1")
    assert run.rows[5]["iface"] == "eth0"
    assert run.lane.has_finding()
    counters: Any = run.lane.summary()["counters"]
    assert (counters["IpForwDatagrams"], counters["IcmpOutDestUnreachs"], counters["IcmpMsgOutType3"]) == (2, 2, 2)


def test_without_drain_the_clock_stops_at_the_last_packet() -> None:
    run = Run().come(inwards(transit())).come(inwards(transit(dst="192.0.2.9")), 1500 * MS).end()
    assert [when for when, data in run.sent if data == QUESTION] == [0, 1000]
    assert not run.lane.has_finding()


@both
def test_the_next_packet_after_a_failure_starts_over(kernel: KernelProfile) -> None:
    run = Run(kernel).come(inwards(transit())).come(inwards(transit(ident=2)), 4 * SECOND).end()
    assert [when for when, data in run.sent if data == QUESTION] == [0, 1000, 2000, 4000]
    assert run.said[-1] == (4000, 2, "queued", "neighbour")


@pytest.mark.parametrize(("kernel", "times"), [(LINUX_4_14, [0, 500, 1000]), (LINUX_6_18, [0, 100, 200])])
def test_questions_are_half_a_second_apart_at_least_where_the_kernel_is_old(
    kernel: KernelProfile, times: list[int]
) -> None:
    run = Run(kernel, drain=True, sysctl={"net.ipv4.neigh.eth1.retrans_time_ms": 100}).come(inwards(transit())).end()
    assert [when for when, data in run.sent if data == QUESTION] == times


@both
def test_one_who_was_not_heard_of_for_a_while_is_asked_himself_first(kernel: KernelProfile) -> None:
    """STALE: used at once, asked after delay_first_probe_time, three times; then he has failed."""
    run = Run(kernel, drain=True, neigh=[f"{NEXT} lladdr {STATION} dev eth1 nud stale"])
    run.come(inwards(transit())).end()
    asked = "02000000024d" + QUESTION[12:]
    assert run.sent == [(0, FOUND + transit(ttl=63).hex()), (5000, asked), (6000, asked), (7000, asked)]
    assert run.said == [(0, 1, "forwarded", None), *((when, None, "timer", None) for when in (5000, 6000, 7000))]
    assert run.lane._net.neighbours.state_of("eth1", int.from_bytes(address(NEXT), "big")) == "failed"


@both
def test_an_answer_to_a_doubt_confirms(kernel: KernelProfile) -> None:
    run = Run(kernel, neigh=[f"{NEXT} lladdr {STATION} dev eth1 nud stale"])
    run.come(inwards(transit())).come(inwards(transit(dst="192.0.2.9")), 5500 * MS).come(reply(), 5600 * MS, "eth1")
    run.come(inwards(transit(ident=4)), 20 * SECOND).end()
    assert [when for when, data in run.sent if "0806" in data[24:28]] == [5000]
    assert run.said[-1] == (20_000, 4, "forwarded", None)


@pytest.mark.parametrize(("kernel", "pause_ms"), [(LINUX_4_14, 500), (LINUX_6_18, 10)])
def test_who_is_reachable_is_so_for_a_time_and_is_then_doubted_if_he_is_needed(
    kernel: KernelProfile, pause_ms: int
) -> None:
    """The described state is true as of the first packet; it lasts one shortest pause longer than the knob says."""
    run = Run(kernel, neigh=[f"{NEXT} lladdr {STATION} dev eth1 nud reachable"])
    number, table = int.from_bytes(address(NEXT), "big"), run.lane._net.neighbours
    lasts_ms = 30_000 + pause_ms
    beside = inwards(transit(dst="192.0.2.9"))
    run.come(beside, 100 * SECOND).come(beside, 100 * SECOND + lasts_ms * MS - 1)
    assert table.state_of("eth1", number) == "reachable"
    run.come(beside, 100 * SECOND + lasts_ms * MS)
    assert table.state_of("eth1", number) == "stale"


@both
def test_a_fragmented_datagram_waits_leaves_and_dies_in_pieces_but_is_one_packet(kernel: KernelProfile) -> None:
    large = inwards(transit(size=3000))
    run = Run(kernel, drain=True).come(large).come(reply(), MS, "eth1").end()
    assert [one["kind"] for one in run.rows[1]["emitted"]] == ["fragment"] * 3  # type: ignore[attr-defined]
    run = Run(kernel, drain=True).come(large).end()
    assert [said[2:] for said in run.said].count(("dropped", "NEIGH_FAILED")) == 1
    assert [len(data) // 2 - 14 for when, data in run.sent if when == 3000] == [576]


@both
def test_no_error_is_sent_about_later_fragments_or_errors(kernel: KernelProfile) -> None:
    later = ip(bytes(40), src="192.0.2.9", dst=NEXT, offset=80)
    error = ip(icmp(bytes(28), kind=3), proto=1, src="192.0.2.9", dst=NEXT)
    run = Run(kernel, drain=True).come(inwards(later)).come(inwards(error)).end()
    assert {data for _, data in run.sent} == {QUESTION}
    assert [said[2:] for said in run.said][-2:] == [("dropped", "NEIGH_FAILED")] * 2


@both
def test_the_oldest_packet_makes_room_and_is_told_of_by_its_own_number(kernel: KernelProfile) -> None:
    run = Run(kernel, sysctl={"net.ipv4.neigh.eth1.unres_qlen_bytes": 2000})
    for number in range(1, 5):
        run.come(inwards(transit(ident=number)), number * MS)
    run.end()
    assert run.said == [
        (1, 1, "queued", "neighbour"),
        (2, 2, "queued", "neighbour"),
        (3, 3, "queued", "neighbour"),
        (3, 1, "dropped", "NEIGH_QUEUEFULL"),
        (4, 4, "queued", "neighbour"),
        (4, 2, "dropped", "NEIGH_QUEUEFULL"),
    ]
    assert run.rows[3]["func"] == "__neigh_event_send"
    assert (run.rows[3]["id"], run.rows[5]["id"]) == ("0x0001", "0x0002")


@both
def test_our_own_answer_that_cannot_leave_is_reported_to_ourselves(kernel: KernelProfile) -> None:
    echo = ip(icmp(bytes(8), kind=8), proto=1, src="192.0.2.50", dst="192.0.2.1")
    run = Run(kernel, drain=True).come(inwards(echo)).end()
    assert [said[2:] for said in run.said] == [
        ("delivered", "icmp"),
        ("timer", None),
        ("timer", None),
        ("timer", "NEIGH_FAILED"),
    ]
    assert "emitted" not in run.rows[-1]
    counters: Any = run.lane.summary()["counters"]
    assert (counters["IcmpOutDestUnreachs"], counters["IcmpInDestUnreachs"]) == (1, 1)


@both
def test_an_error_about_one_neighbour_that_must_go_by_the_same_one_is_thrown_away(kernel: KernelProfile) -> None:
    """The sources are behind the very gateway that fails: the first report asks for it anew, all else is lost."""
    run = Run(kernel, drain=True, routes=["default via 198.51.100.77 dev eth1"])
    for number in (1, 2):
        run.come(eth(transit(dst="9.9.9.9", src="8.8.8.8", ident=number), dst=HERE), number * MS)
    run.end()
    assert [said[2:] for said in run.said if said[2] == "dropped"] == [
        ("dropped", "NEIGH_FAILED"),
        ("dropped", "QUEUE_PURGE"),
    ]
    assert {data for _, data in run.sent} == {QUESTION}
    assert len(run.sent) == 6


@pytest.mark.parametrize(
    ("kernel", "quoted"), [(LINUX_4_14, "070b08c63364010000000000"), (LINUX_6_18, "070b0cc6336401c000020100")]
)
def test_a_new_kernel_looks_at_the_options_again_and_fills_them_once_more(kernel: KernelProfile, quoted: str) -> None:
    """Record route with two slots: the first is filled when the packet goes on, the second when it is given up."""
    run = Run(kernel, drain=True).come(inwards(transit(options=bytes.fromhex("070b04" + "00" * 9)))).end()
    (error,) = [data for when, data in run.sent if when == 3000]
    assert error[68:92] == "070b0cc6336401c000020100"
    assert error[148:172] == quoted


@pytest.mark.parametrize(("kernel", "errors"), [(LINUX_4_14, 1), (LINUX_6_18, 0)])
def test_a_new_kernel_reports_nothing_where_the_options_have_become_wrong(kernel: KernelProfile, errors: int) -> None:
    """Full time stamps count who found no room, up to fifteen: one when the packet came, one too many now."""
    run = Run(kernel, drain=True).come(inwards(transit(options=bytes.fromhex("440809e0" + "00000000")))).end()
    assert len([data for when, data in run.sent if when == 3000]) == errors
    assert run.said[-1] == (3000, 1, "dropped", "NEIGH_FAILED")


def test_where_everybody_is_assumed_nobody_is_asked_and_answers_are_learned() -> None:
    run = Run(neigh_default="assume", drain=True, neigh=[f"{NEXT} lladdr {STATION} dev eth1 nud stale"])
    other = "198.51.100.80"
    run.come(inwards(transit())).come(inwards(transit(dst=other)), MS)
    asks = bytes.fromhex("0001080006040001020000000250c6336450000000000000c6336401")
    run.come(eth(asks, dst="ff:ff:ff:ff:ff:ff", ethertype=0x0806), 2 * MS, "eth1").come(
        inwards(transit(dst=other)), 3 * MS
    ).end()
    assert [data[:12] for _, data in run.sent] == ["02000000024d", "0200c6336450", "020000000250", "020000000250"]
    assert "198.51.100.80 dev eth1" in str(run.lane.summary()["notes"])


def test_timers_of_all_kinds_go_off_in_the_order_of_time() -> None:
    piece = ip(bytes(40), src="192.0.2.9", dst="192.0.2.1", mf=True)
    run = (
        Run(drain=True, sysctl={"net.ipv4.ipfrag_time": 1})
        .come(inwards(transit()))
        .come(inwards(piece), 500 * MS)
        .end()
    )
    assert [(said[0], said[3], row["func"]) for said, row in zip(run.said[2:], run.rows[2:], strict=True)] == [
        (1000, None, "neigh_timer_handler"),
        (1500, "FRAG_REASM_TIMEOUT", "ip_expire"),
        (1500, "FRAG_REASM_TIMEOUT", "ip_expire"),
        (2000, None, "neigh_timer_handler"),
        (3000, "NEIGH_FAILED", "neigh_invalidate"),
        (3000, "NEIGH_FAILED", "neigh_invalidate"),
    ]


def test_the_trace_tells_who_is_asked_and_what_waits() -> None:
    run = (
        Run(trace=True, drain=True)
        .come(inwards(transit()))
        .come(inwards(transit(ident=2)), MS)
        .come(reply(), 2 * MS, "eth1")
    )
    steps: Any = [{step["func"]: step["say"] for step in row["trace"]} for row in run.rows]  # type: ignore[attr-defined]
    assert steps[0]["neigh_event_send"] == "waits for 198.51.100.77 dev eth1, incomplete: 1 packet, 832 of 212992 bytes"
    assert steps[0]["arp_solicit"] == "asks everybody for 198.51.100.77 from 198.51.100.1 dev eth1"
    assert steps[1]["neigh_event_send"].endswith("2 packets, 1664 of 212992 bytes")
    assert steps[2]["neigh_update"] == "incomplete -> reachable; another one is not believed"
    assert steps[2]["neigh_resolve_output"].startswith(
        "36 bytes that waited leave to 198.51.100.77 (02:00:00:00:02:4d)"
    )


def test_the_trace_tells_what_a_timer_did_and_what_was_lost() -> None:
    run = Run(trace=True, drain=True, sysctl={"net.ipv4.neigh.eth1.unres_qlen_bytes": 1000})
    run.come(inwards(transit())).come(inwards(transit(ident=2)), MS).end()
    told: Any = [[(step["func"], step["say"]) for step in row.get("trace", ())] for row in run.rows]  # type: ignore[attr-defined]
    assert ("__neigh_event_send", "drop NEIGH_QUEUEFULL: 36 bytes that waited, to 198.51.100.77") in told[1]
    assert told[3][0] == ("neigh_timer_handler", "198.51.100.77 dev eth1 is incomplete")
    assert told[5][0] == ("neigh_timer_handler", "198.51.100.77 dev eth1 does not answer")
    assert told[5][1] == ("neigh_invalidate", "drop NEIGH_FAILED: 36 bytes that waited, to 198.51.100.77")


@both
def test_an_answer_that_is_not_believed_confirms_all_the_same(kernel: KernelProfile) -> None:
    """Within the locktime another address is not taken, but somebody has spoken: the doubt ends without a question."""
    run = Run(kernel)
    body = bytes.fromhex("0001080006040001") + mac(STATION) + address(NEXT) + bytes(6) + address("198.51.100.1")
    run.come(eth(body, dst="ff:ff:ff:ff:ff:ff", ethertype=0x0806), 0, "eth1").come(inwards(transit()), 100 * MS)
    run.come(reply(station="02:00:00:00:02:88"), 500 * MS, "eth1")
    run.come(inwards(transit(ident=4)), 6 * SECOND)
    assert [(when, data[:12], data[24:28]) for when, data in run.sent] == [
        (0, FOUND[:12], "0806"),
        (100, FOUND[:12], "0800"),
        (6000, FOUND[:12], "0800"),
    ]
    assert run.lane._net.neighbours.state_of("eth1", int.from_bytes(address(NEXT), "big")) == "reachable"


def test_many_neighbours_that_never_answer_are_bounded() -> None:
    run = Run(sysctl={"net.ipv4.neigh.default.gc_thresh3": 8})
    for number in range(20):
        run.come(inwards(transit(dst=f"198.51.100.{100 + number}")))
    assert [said[2:] for said in run.said] == [("queued", "neighbour")] * 8 + [("dropped", "NEIGH_CREATEFAIL")] * 12


def test_an_application_is_to_ask_where_app_solicit_says_so() -> None:
    knobs = {"net.ipv4.neigh.eth1.app_solicit": 2, "net.ipv4.neigh.eth1.mcast_solicit": 1}
    run = Run(drain=True, sysctl=knobs).come(inwards(transit())).end()
    assert [when for when, data in run.sent if data == QUESTION] == [2000]
    assert run.said[-1] == (3000, 1, "dropped", "NEIGH_FAILED")


def test_a_stopped_timer_leaves_nothing_behind() -> None:
    """One who is confirmed again and again has one timer."""
    run = Run(neigh=[f"{NEXT} lladdr {STATION} dev eth1 nud stale"], sysctl={"net.ipv4.neigh.eth1.locktime": 0})
    for number in range(400):
        run.come(reply(station=f"02:00:00:00:{number >> 8:02x}:{number & 255:02x}", to=THERE), number * MS, "eth1")
        run.come(reply(to="ff:ff:ff:ff:ff:ff"), number * MS + 1, "eth1")
    assert len(run.lane._net.neighbours.timers) < 80


@both
def test_one_who_is_described_as_asked_for_is_asked_twice_more(kernel: KernelProfile) -> None:
    run = Run(kernel, drain=True, neigh=[f"{NEXT} dev eth1 nud incomplete"]).come(inwards(transit()), SECOND).end()
    assert [(when, data) for when, data in run.sent if data == QUESTION] == [(2000, QUESTION), (3000, QUESTION)]
    assert run.said[-1] == (4000, 1, "dropped", "NEIGH_FAILED")


@both
def test_a_cut_packet_waits_and_leaves_as_short(kernel: KernelProfile) -> None:
    whole = inwards(transit(size=500))
    run = Run(kernel)
    batch = batch_of([whole[:60]], on_wire=[len(whole)], interface="eth0")
    run.frames += [frame for frames in run.lane.process(batch).changes.values() for frame in frames]
    run.come(reply(), MS, "eth1")
    assert [(len(frame.data), frame.on_wire) for frame in run.frames] == [(42, 42), (60, len(whole))]
    assert run.rows[-1]["emitted"] == [{"dev": "eth1", "kind": "packet", "length": len(whole) - 14}]


@both
def test_a_segment_from_offload_waits_and_leaves_as_one_frame(kernel: KernelProfile) -> None:
    large = ip(tcp(bytes(5000)), proto=6, src="192.0.2.9", dst=NEXT, df=True)
    run = Run(kernel).come(inwards(large)).come(reply(), MS, "eth1").end()
    assert run.rows[-1]["emitted"] == [{"dev": "eth1", "kind": "packet", "length": len(large)}]


@both
@pytest.mark.parametrize(
    ("fill", "confirmed", "asked"), [(2, False, FOUND[:12]), (130, False, "ffffffffffff"), (130, True, FOUND[:12])]
)
def test_one_whom_nobody_used_for_a_minute_is_forgotten_where_many_are_known(
    fill: int, confirmed: bool, asked: str, kernel: KernelProfile
) -> None:
    """Two are few: the one who asked is still known, and used at once. Of 130 only one who spoke since is left."""
    run = Run(kernel)
    for number in [*range(100, 100 + fill - 1), 77]:
        who = "198.51.100.77" if number == 77 else f"198.51.{100 + number // 250}.{number % 250}"
        sha = mac(f"02:00:00:00:02:{77 if number == 77 else 1:02x}")
        body = bytes.fromhex("0001080006040001") + sha + address(who) + bytes(6) + address("198.51.100.1")
        run.come(eth(body, dst="ff:ff:ff:ff:ff:ff", ethertype=0x0806), 0, "eth1")
    if confirmed:
        run.come(reply(), 30 * SECOND, "eth1")
    run.come(inwards(transit()), 61 * SECOND)
    assert run.sent[-1][1][:12] == asked


@both
@pytest.mark.parametrize("link_type", [101, 0, 9])
def test_nobody_is_asked_where_the_capture_has_no_link_addresses(link_type: int, kernel: KernelProfile) -> None:
    datagram = ip(udp(b"x", src="192.0.2.9", dst=NEXT), src="192.0.2.9", dst=NEXT)
    header = {101: b"", 0: b"\2\0\0\0", 9: b"\xff\x03\0\x21"}[link_type]
    options = ForwardOptions(config(kernel), named="host.toml", at_end=AtEnd.DRAIN)
    lane = ForwardLane(options, RowWish.ALL)
    result = lane.process(batch_of([header + datagram], link_type=link_type, interface="eth0"))
    (row,) = [row.row for row in result.rows]
    assert row["verdict"] == "forwarded"
    ((frame,),) = result.changes.values()
    assert frame.data[16:20] == address(NEXT)
    assert lane.finish().rows == []
