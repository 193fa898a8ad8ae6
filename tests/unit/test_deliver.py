"""Local delivery: sockets, ports, replies, errors and fragments, in both kernels."""

from __future__ import annotations

from typing import Any

import pytest

from ipkit.core.host.kernel import LINUX_4_14, LINUX_6_18, KernelProfile
from ipkit.core.outcome.drop_reasons import DropReason
from ipkit.core.outcome.verdict import Delivered, Drop, Queued
from ipkit.core.skbuff import PacketType
from tests.support.journeys import KERNELS, came, counted, icmp, out, two_arms
from tests.support.packets import icmp as message
from tests.support.packets import igmp, ip, patched, rfc1071, tcp, u16, udp, udplite

both = pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
PAIR: dict[str, Any] = {"src": "10.0.0.5", "dst": "10.0.0.1"}


def local(payload: bytes = b"", **more: Any) -> bytes:
    return ip(payload, **{**PAIR, **more})


def to_udp(payload: bytes = b"x", **more: Any) -> bytes:
    return local(udp(payload, **PAIR, **more))


def to_tcp(payload: bytes = b"", **more: Any) -> bytes:
    return local(tcp(payload, **PAIR, **more), proto=6)


ENDS: dict[str, tuple[bytes, str, dict[str, int], list[tuple[int, int]]]] = {
    "PIM, which a host has no use for": (local(bytes(8), proto=103), "NOT_SPECIFIED", {"IpInDelivers": 1}, []),
    "no protocol": (local(b"12345678", proto=200), "IP_NOPROTO", {"IpInUnknownProtos": 1}, [(3, 2)]),
    "udp no port": (to_udp(), "NO_SOCKET", {"UdpNoPorts": 1, "IpInDelivers": 1}, [(3, 3)]),
    "udp no port, no checksum": (to_udp(checksum=0), "NO_SOCKET", {"UdpNoPorts": 1, "IpInDelivers": 1}, [(3, 3)]),
    "udp bad checksum": (
        to_udp(checksum=1), "UDP_CSUM", {"UdpInCsumErrors": 1, "UdpInErrors": 1, "IpInDelivers": 1}, [],
    ),
    "udp long": (to_udp(length=10), "PKT_TOO_SMALL", {"UdpInErrors": 1, "IpInDelivers": 1}, []),
    "udp length 7": (to_udp(length=7), "PKT_TOO_SMALL", {"UdpInErrors": 1, "IpInDelivers": 1}, []),
    "udp nothing": (local(b"1234567"), "NOT_SPECIFIED", {"UdpInErrors": 1, "IpInDelivers": 1}, []),
    "udplite": (local(udplite(b"x", **PAIR), proto=136), "NO_SOCKET", {"IpInDelivers": 1}, [(3, 3)]),
    "tcp short": (local(bytes(19), proto=6), "NOT_SPECIFIED", {"IpInDelivers": 1}, []),
    "tcp bad checksum": (to_tcp(checksum=1), "TCP_CSUM", {"IpInDelivers": 1}, []),
    "icmp bad checksum": (
        local(message(checksum=1), proto=1), "ICMP_CSUM",
        {"IcmpInMsgs": 1, "IcmpInErrors": 1, "IcmpInCsumErrors": 1, "IpInDelivers": 1}, [],
    ),
    "icmp short": (
        local(u16(rfc1071(b"")) + b"\0\0", proto=1), "NOT_SPECIFIED",
        {"IcmpInMsgs": 1, "IcmpInErrors": 1, "IpInDelivers": 1}, [],
    ),
    "icmp type 19": (
        local(message(kind=19), proto=1), "UNHANDLED_PROTO",
        {"IcmpInMsgs": 1, "IcmpInErrors": 1, "IcmpMsgInType19": 1, "IpInDelivers": 1}, [],
    ),
    "icmp echo reply": (
        local(message(kind=0), proto=1), "NO_SOCKET",
        {"IcmpInMsgs": 1, "IcmpInEchoReps": 1, "IcmpMsgInType0": 1, "IpInDelivers": 1}, [],
    ),
}  # fmt: skip

SENT = ("IpOutRequests", "IpOutTransmits", "IpExtOutOctets", "IcmpOutMsgs", "IcmpOutDestUnreachs", "IcmpMsgOutType3")


@both
@pytest.mark.parametrize("name", ENDS)
def test_what_nobody_takes(name: str, kernel: KernelProfile) -> None:
    packet, reason, counters, errors = ENDS[name]
    journal = came(packet, two_arms(kernel))
    (end,) = journal.ends
    assert isinstance(end, Drop)
    assert end.reason.value == reason
    assert {mib: n for mib, n in counted(journal).items() if mib not in SENT} == counters
    assert icmp(journal) == errors


@both
def test_a_port_unreachable_says_who_was_asked(kernel: KernelProfile) -> None:
    error = out(came(to_udp(), two_arms(kernel)))[0][1]
    assert error[12:20].hex() == "0a0000010a000005"
    assert error[28:] == to_udp()


@both
@pytest.mark.parametrize(
    ("packet", "listener", "to"),
    [
        (to_udp(dport=53), {"proto": "udp", "port": 53}, "udp"),
        (to_tcp(dport=80), {"proto": "tcp", "port": 80}, "tcp"),
        (local(b"12345678", proto=253), {"proto": "raw", "number": 253}, "raw"),
    ],
)
def test_a_listener_takes_and_says_nothing(
    packet: bytes, listener: dict[str, Any], to: str, kernel: KernelProfile
) -> None:
    journal = came(packet, two_arms(kernel, listen=[listener]))
    (end,) = journal.ends
    assert isinstance(end, Delivered)
    assert end.to == to
    assert counted(journal)["IpInDelivers"] == 1
    assert journal.emitted == []


@both
def test_ttl_0_is_good_enough_for_us(kernel: KernelProfile) -> None:
    assert icmp(came(local(message(), proto=1, ttl=0), two_arms(kernel))) == [(0, 0)]


@both
def test_an_echo_comes_back_with_its_whole_tos(kernel: KernelProfile) -> None:
    asked = local(message(b"data", code=5, rest=b"\1\2\3\4"), proto=1, tos=0xFF, ttl=7, df=True)
    journal = came(asked, two_arms(kernel))
    (reply,) = [data for _, data in out(journal)]
    assert reply[1] == 0xFF
    assert reply[6:10].hex() == "00004001"
    assert reply[12:20].hex() == "0a0000010a000005"
    assert reply[20:] == message(b"data", kind=0, code=5, rest=b"\1\2\3\4")
    assert rfc1071(reply[:20]) == 0
    assert counted(journal)["IcmpOutEchoReps"] == 1
    assert journal.ends == [Delivered("icmp", "icmp_reply")]


@both
def test_a_large_echo_comes_back_in_pieces(kernel: KernelProfile) -> None:
    net = two_arms(kernel, link={"t0": {"addr": ["10.0.0.1/24"], "mtu": 1500}, "t1": {"addr": ["10.1.0.1/24"]}})
    journal = came(local(message(bytes(3000)), proto=1), net)
    assert [len(data) for _, data in out(journal)] == [1500, 1500, 68]
    assert counted(journal)["IpFragCreates"] == 3


@pytest.mark.parametrize(
    ("kernel", "as_what"),
    [(LINUX_4_14, ("IcmpOutTimestampReps", "IcmpMsgOutType14")), (LINUX_6_18, ("IcmpOutEchoReps", "IcmpMsgOutType0"))],
)
def test_a_timestamp_is_answered_and_counted(kernel: KernelProfile, as_what: tuple[str, ...]) -> None:
    asked = local(message(b"\1\2\3\4" + bytes(8), kind=13), proto=1)
    journal = came(asked, two_arms(kernel), now_ns=86_400_000_000_000 + 1_000_000_000)
    reply = out(journal)[0][1]
    assert reply[20] == 14
    assert reply[28:40].hex() == "01020304000003e8000003e8"
    assert all(counted(journal)[name] == 1 for name in as_what)


@both
def test_a_ping_to_everybody_is_ignored_unless_told(kernel: KernelProfile) -> None:
    ping = local(message(), proto=1, dst="10.0.0.255")
    (end,) = came(ping, two_arms(kernel), kind=PacketType.BROADCAST).ends
    assert isinstance(end, Drop)
    assert end.reason.value == "INVALID_PROTO"
    told = two_arms(kernel, sysctl={"net.ipv4.icmp_echo_ignore_broadcasts": 0})
    reply = out(came(ping, told, kind=PacketType.BROADCAST))[0][1]
    assert reply[12:20].hex() == "0a0000010a000005"


@both
def test_echo_may_be_off(kernel: KernelProfile) -> None:
    journal = came(local(message(), proto=1), two_arms(kernel, sysctl={"net.ipv4.icmp_echo_ignore_all": 1}))
    assert journal.emitted == []


@both
@pytest.mark.parametrize("kind", [1, 2, 6, 7, 9, 10, 14, 15, 16, 17, 18])
def test_other_messages_are_taken_in_silence(kind: int, kernel: KernelProfile) -> None:
    journal = came(local(message(kind=kind), proto=1), two_arms(kernel))
    assert isinstance(journal.ends[0], Delivered)
    assert journal.emitted == []


@both
def test_an_error_about_no_socket_of_ours_is_counted(kernel: KernelProfile) -> None:
    quoted = ip(udp(b"", src="10.0.0.1", dst="10.0.0.5"), src="10.0.0.1", dst="10.0.0.5")
    about = local(message(quoted, kind=3, code=3), proto=1)
    assert counted(came(about, two_arms(kernel)))["IcmpInErrors"] == 1
    listening = two_arms(kernel, listen=[{"proto": "udp", "port": 1024}])
    assert "IcmpInErrors" not in counted(came(about, listening))


RESETS: dict[str, tuple[dict[str, Any], bytes, int, int, int]] = {
    "syn": ({"seq": 7, "flags": 0x02}, b"", 0, 8, 0x14),
    "syn with data": ({"seq": 7, "flags": 0x02}, b"abc", 0, 11, 0x14),
    "fin": ({"seq": 0xFFFFFFFF, "flags": 0x01}, b"", 0, 0, 0x14),
    "ack": ({"seq": 7, "ack": 99, "flags": 0x10}, b"abc", 99, 0, 0x04),
}


@both
@pytest.mark.parametrize("name", RESETS)
def test_a_segment_nobody_expects_is_reset(name: str, kernel: KernelProfile) -> None:
    fields, payload, seq, ack, flags = RESETS[name]
    journal = came(to_tcp(payload, sport=4000, dport=80, **fields), two_arms(kernel))
    (end,) = journal.ends
    assert isinstance(end, Drop)
    assert (end.reason.value, end.func) == ("NO_SOCKET", "tcp_v4_rcv")
    reset = out(journal)[0][1]
    back: dict[str, Any] = {"src": "10.0.0.1", "dst": "10.0.0.5"}
    assert reset[20:] == tcp(sport=80, dport=4000, seq=seq, ack=ack, flags=flags, window=0, **back)
    assert reset[4:9].hex() == "0000400040"


@both
def test_a_reset_is_not_answered(kernel: KernelProfile) -> None:
    assert came(to_tcp(flags=0x04), two_arms(kernel)).emitted == []


ABOUT_GROUPS: dict[str, tuple[bytes, PacketType, bool]] = {
    "query": (igmp(kind=0x11), PacketType.MULTICAST, True),
    "query in a unicast frame": (igmp(kind=0x11), PacketType.HOST, True),
    "query, longer but not of version 3": (
        bytes((0x11, 0)) + u16(rfc1071(bytes((0x11, 0)))) + bytes(6),
        PacketType.MULTICAST,
        False,
    ),
    "report 1": (igmp(kind=0x12), PacketType.MULTICAST, True),
    "report 2": (igmp(kind=0x16), PacketType.BROADCAST, True),
    "report in a unicast frame": (igmp(kind=0x16), PacketType.HOST, False),
    "leave": (igmp(kind=0x17), PacketType.MULTICAST, False),
    "report 3": (igmp(kind=0x22), PacketType.MULTICAST, False),
    "bad checksum": (igmp(kind=0x11, checksum=1), PacketType.MULTICAST, False),
    "short": (igmp(kind=0x11)[:7], PacketType.MULTICAST, False),
}
"""Messages, their frames, and whether anybody listens: seen on 6.18."""


@both
@pytest.mark.parametrize("name", ABOUT_GROUPS)
def test_what_a_member_of_groups_listens_to(name: str, kernel: KernelProfile) -> None:
    payload, kind, taken = ABOUT_GROUPS[name]
    journal = came(local(payload, proto=2, dst="224.0.0.1"), two_arms(kernel), kind=kind)
    (end,) = journal.ends
    assert end == (Delivered("igmp", "igmp_rcv") if taken else Drop(DropReason.NOT_SPECIFIED, "igmp_rcv"))
    assert counted(journal)["IpInDelivers"] == 1


def test_types_to_many_are_judged_before_they_are_known() -> None:
    ends = {}
    for dst, kind in (("10.0.0.1", PacketType.HOST), ("10.0.0.255", PacketType.BROADCAST)):
        for number in (19, 42, 43):
            (end,) = came(local(message(kind=number), proto=1, dst=dst), two_arms(LINUX_6_18), kind=kind).ends
            ends[dst, number] = end.reason.value if isinstance(end, Drop) else "taken"
    assert list(ends.values()) == ["UNHANDLED_PROTO", "taken", "NO_SOCKET", "INVALID_PROTO", "taken", "INVALID_PROTO"]


@both
@pytest.mark.parametrize(
    ("length", "reason", "counter"), [(68, "UDP_CSUM", "UdpInCsumErrors"), (69, "NOT_SPECIFIED", "UdpIgnoredMulti")]
)
def test_only_short_broadcasts_are_verified_before_anybody_wants_them(
    length: int, reason: str, counter: str, kernel: KernelProfile
) -> None:
    pair: dict[str, Any] = {"src": "10.0.0.5", "dst": "10.0.0.255"}
    packet = ip(udp(bytes(length), dport=54, checksum=1, **pair), **pair)
    journal = came(packet, two_arms(kernel), kind=PacketType.BROADCAST)
    (end,) = journal.ends
    assert isinstance(end, Drop)
    assert end.reason.value == reason
    assert counter in counted(journal)


@both
def test_fragments_for_us_are_put_together(kernel: KernelProfile) -> None:
    net = two_arms(kernel, listen=[{"proto": "udp", "port": 53}])
    whole = udp(bytes(100), **PAIR)
    first = came(local(whole[:56], mf=True), net)
    assert isinstance(first.ends[0], Queued)
    second = came(local(whole[56:], offset=56), net)
    assert second.ends == [Delivered("udp", "udp_queue_rcv_skb")]
    assert counted(second) == {"IpReasmReqds": 1, "IpReasmOKs": 1, "IpInDelivers": 1, "UdpInDatagrams": 1}


@both
def test_a_raw_socket_quiets_the_protocol_unreachable(kernel: KernelProfile) -> None:
    net = two_arms(kernel, listen=[{"proto": "raw", "number": 200}])
    journal = came(local(b"12345678", proto=200), net)
    assert journal.ends == [Delivered("raw", "raw_rcv")]
    assert counted(journal) == {"IpInDelivers": 1}


@both
def test_errors_are_not_answered_with_errors(kernel: KernelProfile) -> None:
    for packet in (
        local(b"12345678", proto=200, mf=True, offset=8),
        patched(local(b"12345678", proto=200, dst="10.0.0.255"), 0, b"\x45"),
    ):
        assert icmp(came(packet, two_arms(kernel))) == []


@both
def test_the_policy_of_the_way_in_forbids(kernel: KernelProfile) -> None:
    policy = [{"dir": "in", "match": "src 10.0.0.5", "action": "block"}]
    net = two_arms(kernel, xfrm=policy, listen=[{"proto": "udp", "port": 53}])
    for packet, reason in (
        (to_udp(dport=53), "XFRM_POLICY"),
        (local(message(), proto=1), "XFRM_POLICY"),
        (local(b"12345678", proto=200), "IP_NOPROTO"),
    ):
        (end,) = came(packet, net).ends
        assert isinstance(end, Drop)
        assert end.reason.value == reason
    assert came(local(b"12345678", proto=200), net).emitted == []


@both
def test_local_in_may_drop(kernel: KernelProfile) -> None:
    hook = [{"at": "LOCAL_IN", "match": "udp and dport 53", "verdict": "drop"}]
    journal = came(to_udp(dport=53), two_arms(kernel, hook=hook))
    (end,) = journal.ends
    assert isinstance(end, Drop)
    assert end.reason.value == "NETFILTER_DROP"
    assert counted(journal) == {}


@both
@pytest.mark.parametrize(("dst", "listens"), [("10.0.0.1", True), ("10.0.0.255", False)])
def test_connection_tracking_finds_a_bad_checksum_before_any_socket_is_looked_for(
    dst: str, listens: bool, kernel: KernelProfile
) -> None:
    """Seen on 6.18; without it a reader or the lack of one is found first."""
    data = local(udp(bytes(100), src="10.0.0.5", dst=dst, dport=53, checksum=1), dst=dst)
    listen = [{"proto": "udp", "port": 53}] if listens else []
    ends = [came(data, two_arms(kernel, listen=listen, conntrack=tracked)).ends[0] for tracked in (True, False)]
    assert ends[0] == Drop(DropReason.UDP_CSUM, "__udp4_lib_rcv")
    assert ends[1] == (
        Drop(DropReason.UDP_CSUM, "udp_recvmsg") if listens else Drop(DropReason.NOT_SPECIFIED, "__udp4_lib_rcv")
    )
