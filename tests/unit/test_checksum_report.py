"""What csum says of packets: every status of every check, the repairs, the counts."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import NamedTuple

import pytest

from ipkit.core.checksum_report import CHECKS, ChecksumLane, Repair
from ipkit.core.checksum_rules import STATUSES
from ipkit.core.lanes import Explain, LaneResult, ReportRow, RowWish
from tests.support.batches import batch_of
from tests.support.packets import (
    DST,
    ICMP,
    IGMP,
    SRC,
    TCP,
    UDP,
    UDPLITE,
    eth,
    icmp,
    igmp,
    ip,
    patched,
    tcp,
    udp,
    udplite,
)

IPV4_LINK = 228
ALL = frozenset(CHECKS)

TCP_SYN = bytes.fromhex("4500002c1234000040067c61c0000201c633640204000050000000010000000060022000879e0000020405b4")
UDP_HELLO = bytes.fromhex("450000211234000040117c61c0000201c633640204000035000dcb9568656c6c6f")
ICMP_HELLO = bytes.fromhex("450000211234000040017c71c0000201c63364020800b42b0001000168656c6c6f")
IGMP_REPORT = bytes.fromhex("46c000201234000001025fe0c0000201ef010101940400001600f9fcef010101")


class Case(NamedTuple):
    """A datagram, how much of it was captured and was on the wire, and what is said of it."""

    name: str
    datagram: bytes
    said: dict[str, str]
    captured: int | None = None
    on_wire: int | None = None


# The checksum of the same segment with zeros for its payload, put there: the words now sum to ffff.
TCP_ZERO = ip(tcp(tcp(b"\0\0")[16:18]), proto=TCP)

# c000 + 0201 + c633 + 6402 = 1.ec36, the two addresses. With TCP and its length 0x14: 1.ec50, folded ec51;
# with TCP alone: 1.ec3c, folded ec3d. With UDP twice its length 0x0d: ec55; with UDP alone: ec48.
CASES = [
    Case("scapy's SYN", TCP_SYN, {"ip": "ok", "tcp": "ok"}),
    Case("scapy's UDP", UDP_HELLO, {"ip": "ok", "udp": "ok"}),
    Case("scapy's echo", ICMP_HELLO, {"ip": "ok", "icmp": "ok"}),
    Case("scapy's IGMP report", IGMP_REPORT, {"ip": "ok", "igmp": "ok"}),
    Case("UDP-Lite, all covered", ip(udplite(b"hello"), proto=UDPLITE), {"ip": "ok", "udplite": "ok"}),
    Case("UDP-Lite, 10 covered", ip(udplite(b"hello", coverage=10), proto=UDPLITE), {"ip": "ok", "udplite": "ok"}),
    Case("UDP-Lite, header covered", ip(udplite(b"hello", coverage=8), proto=UDPLITE), {"ip": "ok", "udplite": "ok"}),
    Case("a protocol without a check", ip(b"what", proto=50), {"ip": "ok"}),
    Case("a tunnel: the outermost alone", ip(patched(TCP_SYN, 10, b"\0\0"), proto=4), {"ip": "ok"}),
    Case("options", ip(udp(b"x"), options=b"\x94\4\0\0"), {"ip": "ok", "udp": "ok"}),
    Case("no payload", ip(b"", proto=50), {"ip": "ok"}),
    # bad
    Case("header bad, segment judged all the same", patched(TCP_SYN, 10, b"\x7c\x62"), {"ip": "bad", "tcp": "ok"}),
    Case("both bad", patched(patched(TCP_SYN, 10, b"\0\0"), 36, b"\0\0"), {"ip": "bad", "tcp": "bad"}),
    Case("tcp bad", patched(TCP_SYN, 43, b"\xb5"), {"ip": "ok", "tcp": "bad"}),
    Case("tcp zero is a sum", ip(tcp(b"x", checksum=0), proto=TCP), {"ip": "ok", "tcp": "bad"}),
    Case("udp bad", patched(UDP_HELLO, 32, b"p"), {"ip": "ok", "udp": "bad"}),
    Case("udplite bad", patched(ip(udplite(b"hello"), proto=UDPLITE), 32, b"p"), {"ip": "ok", "udplite": "bad"}),
    Case("udplite zero", ip(udplite(b"hello", checksum=0), proto=UDPLITE), {"ip": "ok", "udplite": "bad"}),
    Case("icmp bad", patched(ICMP_HELLO, 32, b"p"), {"ip": "ok", "icmp": "bad"}),
    Case("icmp all zero", ip(bytes(8), proto=ICMP), {"ip": "ok", "icmp": "bad"}),
    Case("igmp bad", patched(IGMP_REPORT, 31, b"\2"), {"ip": "ok", "igmp": "bad"}),
    Case("igmp all zero", ip(bytes(8), proto=IGMP), {"ip": "ok", "igmp": "bad"}),
    # the two zeros
    Case(
        "header sum zero stored", bytes.fromhex("450000147ada000040110000" + "00" * 8), {"ip": "ok", "udp": "malformed"}
    ),
    Case(
        "header sum ffff stored", bytes.fromhex("450000147ada00004011ffff" + "00" * 8), {"ip": "ok", "udp": "malformed"}
    ),
    Case("tcp computes to zero", TCP_ZERO, {"ip": "ok", "tcp": "ok"}),
    Case("tcp ffff for zero", patched(TCP_ZERO, 36, b"\xff\xff"), {"ip": "ok", "tcp": "ok"}),
    Case("icmp ffff for all zero", ip(b"\0\0\xff\xff\0\0\0\0", proto=ICMP), {"ip": "ok", "icmp": "ok"}),
    # left to the card
    Case("tcp partial", ip(tcp(checksum=0xEC51), proto=TCP), {"ip": "ok", "tcp": "partial"}),
    Case("tcp partial without length", ip(tcp(checksum=0xEC3D), proto=TCP), {"ip": "ok", "tcp": "partial"}),
    Case("udp partial", ip(udp(b"hello", checksum=0xEC55)), {"ip": "ok", "udp": "partial"}),
    Case("udp partial without length", ip(udp(b"hello", checksum=0xEC48)), {"ip": "ok", "udp": "partial"}),
    Case("complemented it is bad", ip(tcp(checksum=0xFFFF - 0xEC51), proto=TCP), {"ip": "ok", "tcp": "bad"}),
    Case("udplite has none", ip(udplite(b"hello", checksum=0xECCC), proto=UDPLITE), {"ip": "ok", "udplite": "bad"}),
    # UDP without one
    Case("udp none", ip(udp(b"hello", checksum=0)), {"ip": "ok", "udp": "none"}),
    Case("udp none, cut", ip(udp(b"hello", checksum=0)), {"ip": "ok", "udp": "none"}, captured=28, on_wire=33),
    Case("udp none, length wrong", ip(udp(b"hello", length=14, checksum=0)), {"ip": "ok", "udp": "malformed"}),
    # lengths of the transports
    Case("udp shorter than its datagram", ip(udp(b"hello") + b"rest"), {"ip": "ok", "udp": "ok"}),
    Case("udp length 7", ip(udp(b"hello", length=7)), {"ip": "ok", "udp": "malformed"}),
    Case("udp length 0", ip(udp(b"hello", length=0)), {"ip": "ok", "udp": "malformed"}),
    Case("udp length too large", ip(udp(b"hello", length=14)), {"ip": "ok", "udp": "malformed"}),
    Case("udp header cut on the wire", ip(udp()[:7]), {"ip": "ok", "udp": "malformed"}),
    Case("udplite coverage 7", ip(udplite(b"hello", coverage=7), proto=UDPLITE), {"ip": "ok", "udplite": "malformed"}),
    Case("udplite coverage 1", ip(udplite(b"hello", coverage=1), proto=UDPLITE), {"ip": "ok", "udplite": "malformed"}),
    Case(
        "udplite coverage 14", ip(udplite(b"hello", coverage=14), proto=UDPLITE), {"ip": "ok", "udplite": "malformed"}
    ),
    Case("udplite header cut", ip(udplite()[:7], proto=UDPLITE), {"ip": "ok", "udplite": "malformed"}),
    Case("tcp of 19 bytes", ip(tcp()[:19], proto=TCP), {"ip": "ok", "tcp": "malformed"}),
    Case("tcp data offset 4", ip(tcp(data_offset=4), proto=TCP), {"ip": "ok", "tcp": "malformed"}),
    Case("tcp data offset past its end", ip(tcp(data_offset=6), proto=TCP), {"ip": "ok", "tcp": "malformed"}),
    Case("tcp nothing at all", ip(b"", proto=TCP), {"ip": "ok", "tcp": "malformed"}),
    Case("icmp of 7 bytes", ip(icmp()[:7], proto=ICMP), {"ip": "ok", "icmp": "malformed"}),
    Case("igmp of 7 bytes", ip(igmp()[:7], proto=IGMP), {"ip": "ok", "igmp": "malformed"}),
    Case("shorter on the wire than it says", TCP_SYN[:-1], {"ip": "ok", "tcp": "malformed"}),
    # fragments
    Case("first fragment", ip(udp(b"x" * 100)[:64], mf=True), {"ip": "ok", "udp": "fragment"}),
    Case("middle fragment", ip(b"x" * 64, mf=True, offset=64), {"ip": "ok", "udp": "fragment"}),
    Case("last fragment", ip(b"x" * 3, offset=128), {"ip": "ok", "udp": "fragment"}),
    Case("tcp fragment", ip(b"x" * 8, mf=True, proto=TCP), {"ip": "ok", "tcp": "fragment"}),
    Case("icmp fragment", ip(b"x" * 8, mf=True, proto=ICMP), {"ip": "ok", "icmp": "fragment"}),
    Case("igmp fragment", ip(b"x" * 8, offset=8, proto=IGMP), {"ip": "ok", "igmp": "fragment"}),
    Case("udplite fragment", ip(b"x" * 8, offset=8, proto=UDPLITE), {"ip": "ok", "udplite": "fragment"}),
    Case("fragment with a bad header", ip(b"x" * 8, offset=8, checksum=1), {"ip": "bad", "udp": "fragment"}),
    Case("DF and the reserved bit are no fragment", ip(udp(), df=True, reserved=True), {"ip": "ok", "udp": "ok"}),
    # cut by the snap length
    Case("tcp cut", TCP_SYN, {"ip": "ok", "tcp": "truncated"}, captured=43, on_wire=44),
    Case("udp cut", UDP_HELLO, {"ip": "ok", "udp": "truncated"}, captured=28, on_wire=33),
    Case("udp header cut", UDP_HELLO, {"ip": "ok", "udp": "truncated"}, captured=27, on_wire=33),
    Case("icmp cut", ICMP_HELLO, {"ip": "ok", "icmp": "truncated"}, captured=20, on_wire=33),
    Case("igmp cut", IGMP_REPORT, {"ip": "ok", "igmp": "truncated"}, captured=31, on_wire=32),
    Case(
        "udplite cut", ip(udplite(b"ab"), proto=UDPLITE), {"ip": "ok", "udplite": "truncated"}, captured=29, on_wire=30
    ),
    Case("options cut", IGMP_REPORT, {"ip": "truncated", "igmp": "truncated"}, captured=23, on_wire=32),
    Case("header cut", UDP_HELLO, {"ip": "truncated"}, captured=19, on_wire=33),
    Case("nothing captured", UDP_HELLO, {"ip": "truncated"}, captured=0, on_wire=33),
    Case("cut behind what UDP covers", ip(udp(b"hi") + b"rest"), {"ip": "ok", "udp": "ok"}, captured=30, on_wire=34),
    Case("cut, and malformed on the wire", UDP_HELLO, {"ip": "ok", "udp": "malformed"}, captured=30, on_wire=32),
    # headers that contradict themselves
    Case("version 5", patched(UDP_HELLO, 0, b"\x55"), {"ip": "malformed"}),
    Case("version 6", patched(UDP_HELLO, 0, b"\x65"), {"ip": "malformed"}),
    Case("version wrong, cut", patched(UDP_HELLO, 0, b"\x65"), {"ip": "malformed"}, captured=1, on_wire=33),
    Case("IHL 4", patched(UDP_HELLO, 0, b"\x44"), {"ip": "malformed"}),
    Case("IHL past the end of the wire", patched(UDP_HELLO, 0, b"\x4f"), {"ip": "malformed"}),
    Case("total length below the header", ip(udp(), tot_len=19), {"ip": "malformed"}),
    Case("total length below the options", ip(udp(), options=b"\1\1\1\1", tot_len=23), {"ip": "malformed"}),
    Case("19 bytes on the wire", UDP_HELLO[:19], {"ip": "malformed"}),
    Case("nothing on the wire", b"", {"ip": "malformed"}),
    Case("total length is the header", ip(udp(), tot_len=20), {"ip": "ok", "udp": "malformed"}),
    # trailers
    Case("padding", UDP_HELLO + bytes(13), {"ip": "ok", "udp": "ok"}),
    Case("a trailer of noise", TCP_SYN + b"\xde\xad\xbe\xef\x01", {"ip": "ok", "tcp": "ok"}),
    Case("cut in the trailer", TCP_SYN + b"noise", {"ip": "ok", "tcp": "ok"}, captured=46, on_wire=49),
    # total length left to the card
    Case("offloaded", ip(tcp(b"x" * 30), proto=TCP, tot_len=0), {"ip": "ok", "tcp": "ok"}),
    # its pseudo header with 0x32 for the length: 1.ec36 + 6 + 32 = 1.ec6e, folded ec6f
    Case(
        "offloaded, partial", ip(tcp(b"x" * 30, checksum=0xEC6F), proto=TCP, tot_len=0), {"ip": "ok", "tcp": "partial"}
    ),
    Case("offloaded, bad", ip(tcp(b"x" * 30, checksum=1), proto=TCP, tot_len=0), {"ip": "ok", "tcp": "bad"}),
    Case("offloaded, cut", ip(tcp(), proto=TCP, tot_len=0), {"ip": "ok", "tcp": "truncated"}, captured=40, on_wire=64),
    Case("offloaded, beyond 65535", ip(tcp(bytes(70000)), proto=TCP, tot_len=0), {"ip": "ok", "tcp": "bad"}),
]


def run(case: Case, *, checks: frozenset[str] = ALL, wish: RowWish = RowWish.ALL) -> tuple[ChecksumLane, LaneResult]:
    lane = ChecksumLane(checks, wish)
    captured = case.datagram[: case.captured]
    on_wire = len(case.datagram) if case.on_wire is None else case.on_wire
    return lane, lane.process(batch_of([captured], link_type=IPV4_LINK, on_wire=[on_wire]))


def said(result: LaneResult) -> dict[object, object]:
    return {row.row["check"]: row.row["status"] for row in result.rows}


def field(rows: Iterable[ReportRow], key: str) -> list[object]:
    return [row.row.get(key) for row in rows]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_what_is_said(case: Case) -> None:
    lane, result = run(case)
    assert said(result) == case.said
    assert not result.changes
    summary = lane.summary()
    for check, status in case.said.items():
        counts = summary[check]
        assert isinstance(counts, dict)
        assert {kind: times for kind, times in counts.items() if times} == {status: 1}
        assert tuple(counts) == STATUSES[check]
    assert lane.has_finding() == bool({"bad", "malformed"} & set(case.said.values()))
    assert [row.needs_look for row in result.rows] == [status in {"bad", "malformed"} for status in case.said.values()]


def test_every_status_of_every_check_is_in_the_cases() -> None:
    seen = {pair for case in CASES for pair in case.said.items()}
    assert seen == {(check, status.value) for check, statuses in STATUSES.items() for status in statuses}


@pytest.mark.parametrize(
    ("datagram", "stored", "computed"),
    [
        (UDP_HELLO, ["0x7c61", "0xcb95"], ["0x7c61", "0xcb95"]),
        (patched(patched(UDP_HELLO, 10, b"\0\1"), 26, b"\0\2"), ["0x0001", "0x0002"], ["0x7c61", "0xcb95"]),
        (ip(tcp(checksum=0xEC51), proto=TCP), ["0x7c65", "0xec51"], ["0x7c65", "0xbf5a"]),
        (ip(udp(b"hello", checksum=0)), ["0x7c61", "0x0000"], ["0x7c61", None]),
        (ip(bytes(8), proto=ICMP), ["0x7c76", "0x0000"], ["0x7c76", "0xffff"]),
        (patched(TCP_ZERO, 36, b"\xff\xff"), ["0x7c63", "0xffff"], ["0x7c63", "0x0000"]),
        (ip(b"x" * 16, offset=8), ["0x7c5d", None], ["0x7c5d", None]),
        (patched(UDP_HELLO, 0, b"\x55"), ["0x7c61"], [None]),
        (UDP_HELLO[:11], [None], [None]),
    ],
)
def test_what_stands_there_and_what_should(
    datagram: bytes, stored: list[str | None], computed: list[str | None]
) -> None:
    _, result = run(Case("", datagram, {}))
    assert field(result.rows, "stored")[: len(stored)] == stored
    assert field(result.rows, "computed")[: len(computed)] == computed


BAD_TCP = eth(patched(patched(TCP_SYN, 10, b"\0\0"), 36, b"\0\0"), tags=[(0x8100, 5)]) + b"trailer"
MENDED = [
    ("nothing wrong", eth(UDP_HELLO), None),
    ("header", eth(patched(UDP_HELLO, 10, b"\0\0")), eth(UDP_HELLO)),
    ("segment", eth(patched(UDP_HELLO, 26, b"\1\1")), eth(UDP_HELLO)),
    ("both, tagged, with a trailer", BAD_TCP, eth(TCP_SYN, tags=[(0x8100, 5)]) + b"trailer"),
    ("icmp", eth(patched(ICMP_HELLO, 22, b"\0\0")), eth(ICMP_HELLO)),
    ("igmp", eth(patched(IGMP_REPORT, 26, b"\0\0")), eth(IGMP_REPORT)),
    ("icmp all zero", eth(ip(bytes(8), proto=ICMP)), eth(ip(b"\0\0\xff\xff\0\0\0\0", proto=ICMP))),
    ("tcp partial", eth(ip(tcp(checksum=0xEC51), proto=TCP)), eth(ip(tcp(), proto=TCP))),
    ("udp partial", eth(ip(udp(b"hello", checksum=0xEC48))), eth(UDP_HELLO)),
    ("udp of length shorter", eth(ip(udp(b"hi", checksum=1) + b"rest")), eth(ip(udp(b"hi") + b"rest"))),
    ("udplite zero", eth(ip(udplite(b"hi", checksum=0), proto=UDPLITE)), eth(ip(udplite(b"hi"), proto=UDPLITE))),
    (
        "udplite, part covered",
        eth(ip(udplite(b"hi", coverage=8, checksum=9), proto=UDPLITE)),
        eth(ip(udplite(b"hi", coverage=8), proto=UDPLITE)),
    ),
    ("other zero left", eth(patched(TCP_ZERO, 36, b"\xff\xff")), None),
    ("tcp to zero", eth(patched(TCP_ZERO, 36, b"\0\1")), eth(patched(TCP_ZERO, 36, b"\0\0"))),
    ("udp none stays", eth(ip(udp(b"hello", checksum=0))), None),
    ("fragment, header alone", eth(ip(b"x" * 8, offset=8, checksum=1)), eth(ip(b"x" * 8, offset=8))),
    ("malformed stays", eth(patched(patched(UDP_HELLO, 0, b"\x44"), 10, b"\0\0")), None),
    ("malformed segment stays", eth(ip(udp(length=7, checksum=1))), None),
    ("offloaded", eth(ip(tcp(checksum=0xEC51), proto=TCP, tot_len=0)), eth(ip(tcp(), proto=TCP, tot_len=0))),
    ("not IPv4", eth(patched(UDP_HELLO, 10, b"\0\0"), ethertype=0x86DD), None),
]


@pytest.mark.parametrize(("frame", "mended"), [case[1:] for case in MENDED], ids=[case[0] for case in MENDED])
@pytest.mark.parametrize("wish", RowWish)
def test_what_is_put_right(wish: RowWish, frame: bytes, mended: bytes | None) -> None:
    batch = batch_of([eth(UDP_HELLO), frame], interface="eth7")
    lane = ChecksumLane(ALL, wish, Repair.FIX)
    changes = lane.process(batch).changes
    if mended is None:
        assert changes == {}
        assert lane.summary()["fixed"] == 0
        return
    (changed,) = changes[1]
    assert list(changes) == [1]
    assert changed == batch.frame(1)._replace(data=mended)
    assert lane.summary()["fixed"] == (2 if frame == BAD_TCP else 1)
    assert not lane.has_finding()


def test_a_udp_sum_of_zero_is_written_as_its_other_form() -> None:
    filler = udp(b"\0\0")[6:8]  # with its own checksum in the payload, the words sum to ffff
    right = ip(udp(filler))
    assert right[26:28] == b"\xff\xff"
    lane = ChecksumLane(ALL, RowWish.ALL, Repair.FIX)
    result = lane.process(batch_of([right, patched(right, 26, b"\0\1")], link_type=IPV4_LINK))
    assert field(result.rows, "computed")[1::2] == ["0xffff", "0xffff"]
    assert [frame.data for frame in result.changes[1]] == [right]


def test_a_segment_cut_by_the_snap_length_keeps_its_checksum() -> None:
    cut = patched(TCP_SYN, 36, b"\0\0")[:42]
    lane = ChecksumLane(ALL, RowWish.ALL, Repair.FIX)
    result = lane.process(batch_of([cut], link_type=IPV4_LINK, on_wire=[44]))
    assert result.changes == {}
    assert not lane.has_finding()


def test_rows_of_a_repair_say_what_was_fixed() -> None:
    partial = ip(tcp(checksum=0xEC51), proto=TCP)
    lane = ChecksumLane(ALL, RowWish.ALL, Repair.FIX)
    result = lane.process(batch_of([partial, patched(UDP_HELLO, 0, b"\x44")], link_type=IPV4_LINK))
    assert field(result.rows, "status") == ["ok", "partial", "malformed"]
    assert field(result.rows, "fixed") == [False, True, False]
    assert [row.needs_look for row in result.rows] == [False, True, True]
    assert lane.has_finding()
    assert lane.summary()["fixed"] == 1


def test_a_row_says_which_packet_and_what_of_it() -> None:
    frame = eth(patched(UDP_HELLO, 26, b"\0\1"))
    batch = batch_of([frame], first_number=7, file="a.pcap", interface="eth0", tstamp_ns=[1_500_000_000_000_000_001])
    (row,) = ChecksumLane(ALL, RowWish.LOOK).process(batch).rows
    assert row.needs_look
    assert list(row.row.items()) == [
        ("file", "a.pcap"),
        ("frame", 7),
        ("time", "1500000000.000000001"),
        ("iface", "eth0"),
        ("src", SRC),
        ("dst", DST),
        ("proto", UDP),
        ("id", "0x1234"),
        ("check", "udp"),
        ("stored", "0x0001"),
        ("computed", "0xcb95"),
        ("status", "bad"),
    ]


@pytest.mark.parametrize(("wish", "rows"), [(RowWish.NONE, 0), (RowWish.LOOK, 2), (RowWish.ALL, 5)])
def test_only_wanted_rows_are_made(wish: RowWish, rows: int) -> None:
    frames = [UDP_HELLO, patched(TCP_SYN, 36, b"\0\0"), patched(UDP_HELLO, 0, b"\x44")]
    assert len(ChecksumLane(ALL, wish).process(batch_of(frames, link_type=IPV4_LINK)).rows) == rows


def test_checks_that_were_not_asked_for_are_not_there() -> None:
    both = patched(patched(TCP_SYN, 10, b"\0\0"), 36, b"\0\0")
    batch = batch_of([both, patched(UDP_HELLO, 0, b"\x44"), patched(UDP_HELLO, 26, b"\0\1")], link_type=IPV4_LINK)
    lane = ChecksumLane(frozenset({"tcp"}), RowWish.ALL, Repair.FIX)
    result = lane.process(batch)
    assert field(result.rows, "check") == ["tcp"]
    assert [frame.data for frame in result.changes[0]] == [patched(TCP_SYN, 10, b"\0\0")]
    assert list(result.changes) == [0]
    assert not lane.has_finding()
    assert lane.summary() == {
        "frames": 3,
        "ipv4": 3,
        "other": 0,
        "fixed": 1,
        "offloaded": 0,
        "tcp": {"ok": 0, "bad": 1, "partial": 0, "fragment": 0, "truncated": 0, "malformed": 0},
    }


def test_the_summary_counts_over_batches() -> None:
    lane = ChecksumLane(frozenset({"ip", "udp"}), RowWish.NONE)
    frames = [eth(UDP_HELLO), eth(bytes(28), ethertype=0x0806), eth(ip(udp(), tot_len=0)), b"short"]
    lane.process(batch_of(frames))
    lane.process(batch_of(frames[:2]))
    assert lane.finish() == LaneResult()
    assert json.loads(json.dumps(lane.summary())) == {
        "frames": 6,
        "ipv4": 3,
        "other": 3,
        "fixed": 0,
        "offloaded": 1,
        "ip": {"ok": 3, "bad": 0, "truncated": 0, "malformed": 0},
        "udp": {"ok": 3, "bad": 0, "partial": 0, "none": 0, "fragment": 0, "truncated": 0, "malformed": 0},
    }


def test_padding_on_an_offloaded_frame_is_not_told_apart() -> None:
    # Nothing says where such a datagram ends but the frame itself.
    lane = ChecksumLane(ALL, RowWish.ALL)
    result = lane.process(batch_of([eth(ip(tcp(), proto=TCP, tot_len=0), pad_to=60)]))
    assert said(result) == {"ip": "ok", "tcp": "bad"}


TYPED = [
    ("the example in textbooks", "450000730000400040 11b861c0a80001c0a800c7", {"ip": "ok"}),
    ("a header with options alone", IGMP_REPORT[:24].hex(), {"ip": "ok"}),
    ("a whole packet", TCP_SYN.hex(), {"ip": "ok", "tcp": "ok"}),
    ("a packet with a trailer", TCP_SYN.hex() + "0000", {"ip": "ok", "tcp": "ok"}),
    ("the front of a packet", TCP_SYN[:42].hex(), {"ip": "ok", "tcp": "truncated"}),
    ("a header that ends in its options", IGMP_REPORT[:22].hex(), {"ip": "truncated", "igmp": "truncated"}),
    ("a header cut short", TCP_SYN[:19].hex(), {"ip": "malformed"}),
    ("no header at all", "ff" * 20, {"ip": "malformed"}),
    ("nothing", "", {"ip": "malformed"}),
]


@pytest.mark.parametrize(("typed", "expected"), [case[1:] for case in TYPED], ids=[case[0] for case in TYPED])
def test_a_datagram_that_was_typed(typed: str, expected: dict[str, str]) -> None:
    lane = ChecksumLane(ALL, RowWish.ALL)
    result = lane.check_datagram(bytes.fromhex(typed), 3)
    assert said(result) == expected
    assert {row.row["frame"] for row in result.rows} == {3}
    assert "time" not in result.rows[0].row
    assert lane.has_finding() == ("malformed" in expected.values())
    assert lane.summary()["ipv4"] == 1


def test_explanations_come_with_the_rows_that_have_a_sum() -> None:
    frames = [UDP_HELLO, ip(b"x" * 8, offset=8), patched(UDP_HELLO, 0, b"\x44")]
    batch = batch_of(frames, link_type=IPV4_LINK)
    plain = ChecksumLane(ALL, RowWish.ALL).process(batch).rows
    explained = ChecksumLane(ALL, RowWish.ALL, Repair.LEAVE, Explain.YES).process(batch).rows
    assert len(explained) == len(plain) == 5
    for before, after in zip(plain, explained, strict=True):
        assert after.needs_look == before.needs_look
        assert {key: value for key, value in after.row.items() if key != "explain"} == before.row
    assert ["explain" in row.row for row in explained] == [True, True, True, False, False]
    assert [row.row["status"] for row in explained[1:3]] == ["ok", "ok"]
    json.dumps([row.row for row in explained])


@pytest.mark.parametrize("ihl", range(16))
def test_a_header_of_any_length_cut_at_any_byte(ihl: int) -> None:
    datagram = ip(bytes(40), proto=50, options=b"\1" * max(0, ihl * 4 - 20), ihl=ihl)
    for captured in range(len(datagram) + 1):
        cut = Case("", datagram, {}, captured=captured, on_wire=len(datagram))
        whole = captured >= max(20, ihl * 4)
        expected = "malformed" if ihl < 5 and captured else "ok" if whole else "truncated"
        assert said(run(cut)[1]) == {"ip": expected}
        short = Case("", datagram, {}, captured=captured, on_wire=captured)
        assert said(run(short)[1]) == {"ip": "ok" if whole and ihl >= 5 else "malformed"}


def test_every_total_length_against_what_was_captured() -> None:
    segment = udp(b"x" * 20)
    for tot_len in [*range(101), *range(101, 65536, 997), 65534, 65535]:
        datagram = ip(segment, tot_len=tot_len) + b"trailer"
        expected = {"ip": "ok", "udp": "ok"}
        if 0 < tot_len < 20:
            expected = {"ip": "malformed"}
        elif 0 < tot_len < 48 or tot_len > len(datagram):
            expected = {"ip": "ok", "udp": "malformed"}
        assert said(run(Case("", datagram, {}))[1]) == expected
        if tot_len > len(datagram):
            assert said(run(Case("", datagram[:30], {}, on_wire=tot_len))[1]) == {"ip": "ok", "udp": "truncated"}
