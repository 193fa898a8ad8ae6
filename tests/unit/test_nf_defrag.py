"""Fragments at a host that tracks connections: literal bytes in, literal bytes out, in both kernels."""

from __future__ import annotations

from errno import EPERM
from typing import Any

import pytest

from ipkit.core.defrag import DefragUser, ip_defrag, ip_expire
from ipkit.core.forward_lane import AtEnd, ForwardLane, ForwardOptions
from ipkit.core.frag_timeout import owed_for_timeout
from ipkit.core.host.kernel import LINUX_4_14, LINUX_6_18, KernelProfile
from ipkit.core.inet_sock import SockKind
from ipkit.core.lanes import RowWish
from ipkit.core.make_skb import Message, SendResult
from ipkit.core.outcome.counters import Mib
from ipkit.core.outcome.drop_reasons import DropReason
from ipkit.core.outcome.journal import Journal
from ipkit.core.outcome.verdict import Delivered, Drop, Queued, Stolen, Transmitted
from ipkit.core.raw_send import raw_sendmsg
from ipkit.core.sender import open_socket, set_option
from ipkit.core.skbuff import PacketType, SkBuff
from ipkit.core.state.netns import NetNamespace
from ipkit.core.wire.cmsg import int_bytes
from tests.support.batches import batch_of
from tests.support.journeys import KERNELS, came, counted, icmp, out, two_arms
from tests.support.packets import eth, ip, rfc1071

both = pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
SECOND = 1_000_000_000
WAITS = Queued("reassembly", "ip_defrag")

# 10.0.0.5 > 10.1.0.5, protocol 253: 16 bytes at 0, 8 bytes at 16
FIRST = "4500 0024 1234 2000 40fd 339f 0a000005 0a010005" + "41" * 16
LAST = "4500 001c 1234 0002 40fd 53a5 0a000005 0a010005" + "42" * 8
WHOLE = "4500 002c 1234 0000 3ffd 5497 0a000005 0a010005" + "41" * 16 + "42" * 8
FIRST_OUT = "4500 0024 1234 2000 3ffd 349f 0a000005 0a010005" + "41" * 16
LAST_OUT = "4500 001c 1234 0002 3ffd 54a5 0a000005 0a010005" + "42" * 8
# the same with DF
FIRST_DF = "4500 0024 1234 6000 40fd f39e 0a000005 0a010005" + "41" * 16
LAST_DF = "4500 001c 1234 4002 40fd 13a5 0a000005 0a010005" + "42" * 8


def tracking(kernel: KernelProfile, mtu: int = 1500, **more: Any) -> NetNamespace:
    links = {"t0": {"addr": ["10.0.0.1/24"]}, "t1": {"addr": ["10.1.0.1/24"], "mtu": mtu}}
    return two_arms(kernel, conntrack=True, **{"link": links, **more})


def all_came(net: NetNamespace, *datagrams: str | bytes, **more: Any) -> list[Journal]:
    return [came(bytes.fromhex(one) if isinstance(one, str) else one, net, **more) for one in datagrams]


def piece(payload: bytes, offset: int, *, dst: str = "10.1.0.5", last: bool = False, **more: Any) -> bytes:
    return ip(payload, src="10.0.0.5", dst=dst, proto=253, mf=not last, offset=offset, **more)


def left(journal: Journal) -> list[str]:
    return [data.hex() for _, data in out(journal)]


def hexed(*spelled: str) -> list[str]:
    return [bytes.fromhex(one).hex() for one in spelled]


@pytest.mark.parametrize(
    ("kernel", "leaves", "counters"),
    [
        (LINUX_4_14, [WHOLE], {"IpOutRequests": 1, "IpExtOutOctets": 88}),
        (
            LINUX_6_18,
            [FIRST_OUT, LAST_OUT],
            {"IpFragOKs": 1, "IpFragCreates": 2, "IpOutTransmits": 2, "IpExtOutOctets": 64},
        ),
    ],
)
@pytest.mark.parametrize("order", [(FIRST, LAST), (LAST, FIRST)])
def test_what_is_put_together_is_cut_again_by_the_later_kernel_even_where_it_would_fit(
    kernel: KernelProfile, leaves: list[str], counters: dict[str, int], order: tuple[str, str]
) -> None:
    waits, goes = all_came(tracking(kernel), *order)
    assert (waits.ends, out(waits), counted(waits)) == ([WAITS], [], {"IpReasmReqds": 1})
    assert (goes.ends, left(goes)) == ([Transmitted("t1", len(leaves))], hexed(*leaves))
    assert counted(goes) == {"IpReasmReqds": 1, "IpReasmOKs": 1, "IpForwDatagrams": 1, **counters}


@both
def test_without_connection_tracking_nothing_in_transit_waits(kernel: KernelProfile) -> None:
    first, last = all_came(two_arms(kernel), FIRST, LAST)
    assert (left(first), left(last)) == (hexed(FIRST_OUT), hexed(LAST_OUT))


@both
@pytest.mark.parametrize("order", [(FIRST_DF, LAST_DF), (FIRST_DF, LAST), (LAST, FIRST_DF)])
def test_df_of_the_largest_has_the_datagram_cut_as_it_was_but_is_lost_on_the_way(
    kernel: KernelProfile, order: tuple[str, str]
) -> None:
    """FRAG_PMTU forces the fragments in both kernels; the fast path writes flags of its own."""
    _, goes = all_came(tracking(kernel), *order)
    assert left(goes) == hexed(FIRST_OUT, LAST_OUT)


@both
def test_df_of_a_smaller_one_says_nothing(kernel: KernelProfile) -> None:
    _, goes = all_came(tracking(kernel, 68), FIRST, LAST_DF)
    assert left(goes) == hexed(*((WHOLE,) if kernel is LINUX_4_14 else (FIRST_OUT, LAST_OUT)))


@both
def test_pieces_cut_anew_keep_the_df_of_the_largest(kernel: KernelProfile) -> None:
    """The first fragment's options leave no room for the second in the size seen: 20 bytes of 44 - 24."""
    options_first = "4600 0020 1234 6000 40fd 5e9e 0a000005 0a010005 94040000" + "41" * 8
    larger_last = "4500 002c 1234 4001 40fd 1396 0a000005 0a010005" + "42" * 24
    _, goes = all_came(tracking(kernel), options_first, larger_last)
    assert left(goes) == hexed(
        "4600 0028 1234 6000 3ffd 5f96 0a000005 0a010005 94040000" + "41" * 8 + "42" * 8,
        "4600 0028 1234 4002 3ffd 7f94 0a000005 0a010005 94040000" + "42" * 16,
    )


@both
@pytest.mark.parametrize(
    ("size", "df", "sizes"),
    [
        (600, True, [620, 620, 220]),  # no fragment was larger than the way out allows: df does not bind
        (704, True, [724, 716]),
        (760, False, [764, 676]),  # too large as they came: cut to what the way out has room for
    ],
)
def test_a_whole_that_is_too_large_is_cut(kernel: KernelProfile, size: int, df: bool, sizes: list[int]) -> None:
    net = tracking(kernel, 724 if size == 704 else 764)
    data = bytes(1400)
    starts = range(0, 1400, size)
    *_, goes = all_came(net, *(piece(data[at : at + size], at, last=at + size >= 1400, df=df) for at in starts))
    assert [len(datagram) for _, datagram in out(goes)] == sizes


@pytest.mark.parametrize(
    ("kernel", "counters"),
    [(LINUX_4_14, {"IpFragFails": 1}), (LINUX_6_18, {"IpFragFails": 1, "IpForwDatagrams": 1})],
)
def test_df_binds_where_a_fragment_was_larger_than_the_way_out(kernel: KernelProfile, counters: dict[str, int]) -> None:
    net = tracking(kernel, 619)
    _, told = all_came(net, piece(bytes(600), 0, df=True), piece(bytes(96), 600, df=True, last=True))
    assert [end.reason.value for end in told.ends if isinstance(end, Drop)] == ["PKT_TOO_BIG"]
    assert icmp(told) == [(3, 4)]
    ((dev, error),) = out(told)
    assert (dev, error[24:28].hex()) == ("t0", "0000026b")
    quoted = error[28:]
    assert (len(quoted), quoted[2:4].hex(), quoted[6:8].hex()) == (548, "02cc", "4000")
    assert rfc1071(error[20:]) == 0
    assert {name: n for name, n in counted(told).items() if name in ("IpFragFails", "IpForwDatagrams")} == counters


@both
def test_a_used_up_ttl_is_found_in_the_whole(kernel: KernelProfile) -> None:
    first, told = all_came(tracking(kernel), piece(b"A" * 16, 0, ttl=1), piece(b"B" * 8, 16, ttl=64, last=True))
    assert first.ends == [WAITS]
    assert icmp(told) == [(11, 0)]
    assert out(told)[0][1][28:] == ip(b"A" * 16 + b"B" * 8, src="10.0.0.5", dst="10.1.0.5", proto=253, ttl=1)


@both
def test_no_route_is_found_by_the_whole_alone(kernel: KernelProfile) -> None:
    parts = (piece(b"A" * 8, 0, dst="10.66.0.1"), piece(b"B" * 8, 8, dst="10.66.0.1", last=True))
    first, told = all_came(tracking(kernel), *parts)
    assert (first.ends, icmp(told)) == ([WAITS], [(3, 1)])


@both
@pytest.mark.parametrize(
    ("at", "match", "verdict", "ends"),
    [
        ("PRE_ROUTING", "fragment", "drop", Transmitted),
        ("FORWARD", "fragment", "drop", Transmitted),
        ("PRE_ROUTING", "length 44", "drop", Drop),
        ("PRE_ROUTING", "length 44", "stolen", Stolen),
        ("FORWARD", "length 44", "drop", Drop),
        ("POST_ROUTING", "length 44", "drop", Drop),
    ],
)
def test_hooks_see_the_whole_and_see_it_once(
    at: str, match: str, verdict: str, ends: type, kernel: KernelProfile
) -> None:
    net = tracking(kernel, hook=[{"at": at, "match": match, "verdict": verdict}])
    first, goes = all_came(net, FIRST, LAST)
    assert first.ends == [WAITS]
    assert [type(end) for end in goes.ends] == [ends]


@both
def test_a_datagram_for_this_host_is_whole_before_it_is_routed(kernel: KernelProfile) -> None:
    net = tracking(kernel, listen=[{"proto": "raw", "number": 253}])
    first, taken = all_came(net, piece(b"A" * 16, 0, dst="10.0.0.1"), piece(b"B" * 8, 16, dst="10.0.0.1", last=True))
    assert counted(first) == {"IpReasmReqds": 1}
    assert taken.ends == [Delivered("raw", "raw_rcv")]
    assert counted(taken) == {"IpReasmReqds": 1, "IpReasmOKs": 1, "IpInDelivers": 1}


@both
def test_an_echo_in_pieces_is_answered(kernel: KernelProfile) -> None:
    ping = bytes.fromhex("0800 0000 0001 0001") + bytes(3000)
    ping = ping[:2] + rfc1071(ping).to_bytes(2) + ping[4:]
    parts = [ip(ping[at : at + 1000], src="10.0.0.5", dst="10.0.0.1", proto=1, mf=at < 3000, offset=at)
             for at in range(0, 3008, 1000)]  # fmt: skip
    *_, answered = all_came(tracking(kernel), *parts)
    assert [len(data) for _, data in out(answered)] == [1500, 1500, 68]
    assert counted(answered)["IcmpInEchos"] == 1


@both
def test_a_broadcast_datagram_counts_its_whole_length(kernel: KernelProfile) -> None:
    parts = (piece(b"A" * 16, 0, dst="10.0.0.255"), piece(b"B" * 8, 16, dst="10.0.0.255", last=True))
    _, taken = all_came(tracking(kernel), *parts, kind=PacketType.BROADCAST)
    assert (counted(taken)["IpExtInBcastPkts"], counted(taken)["IpExtInBcastOctets"]) == (1, 44)


@both
def test_ecn_that_cannot_stand_together_loses_the_datagram_in_transit(kernel: KernelProfile) -> None:
    _, lost = all_came(tracking(kernel), piece(b"A" * 8, 0, tos=0), piece(b"B" * 8, 8, tos=2, last=True))
    assert lost.ends == [Drop(DropReason.NOT_SPECIFIED, "ip_frag_reasm", 22)]
    assert counted(lost) == {"IpReasmReqds": 1, "IpReasmFails": 1, "IpExtInECT0Pkts": 1}


ATTACKS: list[tuple[str, list[bytes], list[list[str]]]] = [
    (
        "teardrop: the second lies inside the first",
        [piece(b"A" * 32, 0), piece(b"B" * 4, 24, last=True), piece(b"C" * 8, 32, last=True)],
        # 4.14 refuses what sets an end before known data; the datagram completes with the third
        [["Queued", "Drop", "Transmitted"], ["Queued", "Drop", "Queued"]],
    ),
    (
        "overlap: the second begins inside the first",
        [piece(b"A" * 16, 0), piece(b"B" * 16, 8), piece(b"C" * 8, 24, last=True)],
        [["Queued", "Queued", "Transmitted"], ["Queued", "Drop", "Queued"]],
    ),
    (
        "tiny: eight bytes of header, then the rest over them",
        [piece(b"A" * 8, 0), piece(b"B" * 24, 8, last=True)],
        [["Queued", "Transmitted"], ["Queued", "Transmitted"]],
    ),
    (
        "nothing: more to come of no data",
        [piece(b"", 8), piece(b"A" * 8, 0), piece(b"B" * 8, 8, last=True)],
        [["Drop", "Queued", "Transmitted"], ["Drop", "Queued", "Transmitted"]],
    ),
    (
        "ping of death: beyond 65535 bytes",
        [*(piece(bytes(8000), at) for at in range(0, 64000, 8000)), piece(bytes(1600), 64000, last=True)],
        [["Queued"] * 8 + ["Drop"], ["Queued"] * 8 + ["Drop"]],
    ),
]


@pytest.mark.parametrize(("fragments", "ends"), [case[1:] for case in ATTACKS], ids=[case[0] for case in ATTACKS])
def test_attacks_end_in_transit(fragments: list[bytes], ends: list[list[str]]) -> None:
    for kernel, expected in zip(KERNELS, ends, strict=True):
        journals = all_came(tracking(kernel), *fragments)
        assert [type(journal.ends[0]).__name__ for journal in journals] == expected


def test_older_data_wins_over_what_overlaps_it_in_transit() -> None:
    *_, goes = all_came(tracking(LINUX_4_14), *ATTACKS[1][1])
    assert b"".join(data[20:] for _, data in out(goes)) == b"A" * 16 + b"B" * 8 + b"C" * 8


@both
def test_all_users_share_one_memory(kernel: KernelProfile) -> None:
    net = tracking(kernel, sysctl={"net.ipv4.ipfrag_low_thresh": 900, "net.ipv4.ipfrag_high_thresh": 900})
    local = SkBuff(piece(b"A" * 8, 0, dst="10.0.0.1"), "t0", PacketType.HOST, 0)
    assert ip_defrag(local, DefragUser.LOCAL_DELIVER, 0, net.frags).outcome == WAITS
    (refused,) = all_came(net, FIRST)
    assert [(end.func, end.errno) for end in refused.ends if isinstance(end, Drop)] == [("ip_defrag", 12)]
    assert counted(refused)["IpReasmFails"] >= 1  # 4.14 may throw the old one out, too


@both
def test_too_many_others_in_between(kernel: KernelProfile) -> None:
    net = tracking(kernel, sysctl={"net.ipv4.ipfrag_max_dist": 1})
    *_, far = all_came(net, FIRST, piece(b"X" * 8, 0, ident=2), LAST)
    assert (far.ends, counted(far)) == ([WAITS], {"IpReasmReqds": 1, "IpReasmFails": 1})


@both
@pytest.mark.parametrize(
    ("dst", "first", "dev", "told"),
    [
        ("10.0.0.1", 0, "t0", True),
        ("10.0.0.1", 8, "t0", False),  # the first fragment is not there
        ("10.0.0.1", 0, "t1", False),  # the way back to the source is not that of the last fragment
        ("10.1.0.5", 0, "t0", False),  # in transit
        ("10.66.0.1", 0, "t0", False),
        ("10.0.0.255", 0, "t0", False),
    ],
)
def test_only_who_sent_to_this_host_is_told_that_time_is_up(
    dst: str, first: int, dev: str, told: bool, kernel: KernelProfile
) -> None:
    net = tracking(kernel, sysctl={"net.ipv4.conf.t1.rp_filter": 1})
    came(piece(b"A" * 8, first, dst=dst), net)
    came(piece(b"B" * 8, 24, dst=dst), net, dev=dev)
    (fallen,) = ip_expire(net.frags, 30 * SECOND)
    assert [mib.value for mib in fallen.exit.mibs] == ["IpReasmFails", "IpReasmTimeout"]
    due = owed_for_timeout(fallen.queue, net)
    assert (due is not None) is told
    if due is not None:
        assert (due.type, due.code, due.info, due.about.tstamp_ns) == (11, 1, 0, 30 * SECOND)
        assert due.about.data == piece(b"A" * 8, 0, dst=dst)


@both
def test_what_the_capture_cut_off_is_not_made_up_on_the_way_out(kernel: KernelProfile) -> None:
    net = tracking(kernel, 600)
    came(piece(bytes(range(256)) * 2 + bytes(48), 0)[:100], net, on_wire=580)
    goes = came(piece(b"B" * 200, 560, last=True), net)
    assert [one.length for one in goes.emitted] == [580, 220] if kernel is LINUX_6_18 else [596, 204]
    assert goes.emitted[0].payload[20:] == bytes(range(80))
    assert goes.emitted[1].payload[20:] == b""


@both
def test_what_this_host_sent_to_itself_was_seen_on_its_way_out(kernel: KernelProfile) -> None:
    """An answer to itself by a loopback device of 100 bytes: PRE_ROUTING sees pieces, delivery the whole."""
    net = two_arms(
        kernel,
        conntrack=True,
        sysctl={"net.ipv4.conf.all.accept_local": 1},
        link={"lo": {"mtu": 100}, "t0": {"addr": ["10.0.0.1/24"]}, "t1": {"addr": ["10.1.0.1/24"]}},
        hook=[{"at": "PRE_ROUTING", "match": "iif lo and not fragment", "verdict": "drop"}],
    )
    ping = bytes.fromhex("0800 0000 0001 0001") + bytes(300)
    ping = ping[:2] + rfc1071(ping).to_bytes(2) + ping[4:]
    journal = came(ip(ping, src="10.0.0.1", dst="10.0.0.1", proto=1), net)
    assert journal.looped == (WAITS, WAITS, WAITS, Drop(DropReason.NO_SOCKET, "ping_rcv"))
    assert counted(journal)["IpReasmOKs"] == 1


def wrote(net: NetNamespace, *datagrams: str, **options: int) -> list[SendResult]:
    """Let a program write datagrams with their headers to a raw socket."""
    sock = open_socket(SockKind.RAW, 255, net.host)
    for name, value in options.items():
        assert not set_option(sock, name, int_bytes(value), net).errno
    destination = (int.from_bytes(bytes.fromhex(datagrams[0])[16:20]), 0)
    return [raw_sendmsg(sock, Message(bytes.fromhex(one), destination), net) for one in datagrams]


def sent(result: SendResult) -> list[str]:
    return [frame.datagram.hex() for frame in result.output.frames] if result.output is not None else []


@both
def test_what_a_program_cut_goes_out_as_the_host_cuts_it(kernel: KernelProfile) -> None:
    waits, goes = wrote(tracking(kernel), FIRST_DF, LAST_DF)
    assert (waits.errno, sent(waits), goes.errno) == (0, [], 0)
    assert {mib.value: n for mib, n in waits.mibs.items() if n} == {"IpReasmReqds": 1}
    first, last = (bytes.fromhex(one) for one in (FIRST_DF, LAST_DF))
    cleared = [first[:6] + b"\x20\0" + first[8:10] + b"\x33\x9f" + first[12:],
               last[:6] + b"\0\x02" + last[8:10] + b"\x53\xa5" + last[12:]]  # fmt: skip
    assert sent(goes) == [one.hex() for one in cleared]


@both
def test_a_longer_first_header_leaves_a_later_buffer_without_room_for_it(kernel: KernelProfile) -> None:
    """16 bytes and its own 20 of header lie in front of its data, 24 and 16 are wanted: cut anew, which keeps DF."""
    first = "4600 0028 1234 6000 40fd 5e96 0a000005 0a010005 94040000" + "41" * 16
    last = "4500 001c 1234 4002 40fd 13a5 0a000005 0a010005" + "42" * 8
    _, goes = wrote(tracking(kernel), first, last)
    assert sent(goes) == hexed(first, "4600 0020 1234 4002 40fd 7e9c 0a000005 0a010005 94040000" + "42" * 8)


@both
def test_a_socket_can_have_its_fragments_left_alone(kernel: KernelProfile) -> None:
    alone = wrote(tracking(kernel), FIRST, LAST, IP_NODEFRAG=1)
    assert [sent(one) for one in alone] == [hexed(FIRST), hexed(LAST)]


@both
def test_ways_in_and_out_do_not_meet(kernel: KernelProfile) -> None:
    net = tracking(kernel)
    came(bytes.fromhex(FIRST), net)
    (waits,) = wrote(net, LAST)
    assert (waits.errno, sent(waits), len(net.frags.queues)) == (0, [], 2)


@both
def test_a_vrf_puts_together_its_own_fragments(kernel: KernelProfile) -> None:
    links = {"blue": {"kind": "vrf", "table": 10}, "t0": {"addr": ["10.0.0.1/24"], "master": "blue"},
             "t1": {"addr": ["10.1.0.1/24"], "master": "blue"}, "t2": {"addr": ["10.2.0.1/24"]}}  # fmt: skip
    net = tracking(kernel, link=links, routes=[])
    came(bytes.fromhex(FIRST), net)
    (apart,) = all_came(net, LAST, dev="t2")
    assert apart.ends == [WAITS]
    (goes,) = all_came(net, LAST, dev="t1")
    assert goes.ends == [Transmitted("t1", 1 if kernel is LINUX_4_14 else 2)]


@both
def test_a_refused_fragment_is_no_error_to_its_program(kernel: KernelProfile) -> None:
    _, again = wrote(tracking(kernel), FIRST, FIRST)
    assert (again.errno, sent(again)) == (0, [])


@both
def test_local_out_sees_the_whole(kernel: KernelProfile) -> None:
    net = tracking(kernel, hook=[{"at": "LOCAL_OUT", "match": "length 44", "verdict": "drop"}])
    waits, refused = wrote(net, FIRST, LAST)
    assert (waits.errno, refused.errno, refused.mibs[Mib.OUT_DISCARDS]) == (0, EPERM, 1)


@both
def test_rows_of_a_capture(kernel: KernelProfile) -> None:
    lane = ForwardLane(ForwardOptions(tracking(kernel).host, at_end=AtEnd.DRAIN), RowWish.ALL)
    other = piece(b"X" * 8, 0, ident=9)
    done = lane.process(batch_of([eth(bytes.fromhex(one)) for one in (LAST, FIRST)] + [eth(other)]))
    first, second, third = (row.row for row in done.rows)
    assert (first["verdict"], first["reason"], first["func"], first["length"]) == (
        "queued", "reassembly", "ip_defrag", 28,
    )  # fmt: skip
    sizes = [44] if kernel is LINUX_4_14 else [36, 28]
    assert [one["length"] for one in second["emitted"]] == sizes  # type: ignore[attr-defined]
    assert (second["verdict"], second["length"], second["dev"], second["ttl"]) == ("forwarded", 36, "t1", 63)
    assert "emitted" not in third
    timer, lost = (row.row for row in lane.finish().rows)
    assert (lost["frame"], lost["verdict"], lost["reason"]) == (3, "dropped", "FRAG_REASM_TIMEOUT")
    assert (timer["verdict"], timer["reason"], timer["id"]) == ("timer", "FRAG_REASM_TIMEOUT", "0x0009")
    assert "emitted" not in timer
