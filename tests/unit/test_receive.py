"""ip_rcv and input routing: every check with the bytes that fail it, in both kernels."""

from __future__ import annotations

from typing import Any

import pytest

from ipkit.core.host.kernel import LINUX_4_14, LINUX_6_18, KernelProfile
from ipkit.core.outcome.drop_reasons import DropReason
from ipkit.core.outcome.verdict import Delivered, Drop, Transmitted
from ipkit.core.skbuff import PacketType
from tests.support.journeys import KERNELS, came, counted, icmp, out, two_arms
from tests.support.packets import ip, patched, udp

GOOD = ip(udp(b"x", src="10.0.0.5", dst="10.1.0.5"), src="10.0.0.5", dst="10.1.0.5")
both = pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)

MALFORMED: dict[str, tuple[bytes, str, dict[str, int]]] = {
    "nothing": (b"", "IP_INHDR", {"IpInHdrErrors": 1}),
    "nineteen bytes": (GOOD[:19], "IP_INHDR", {"IpInHdrErrors": 1}),
    "version 5": (patched(GOOD, 0, b"\x55"), "IP_INHDR", {"IpInHdrErrors": 1}),
    "version 6": (patched(GOOD, 0, b"\x65"), "IP_INHDR", {"IpInHdrErrors": 1}),
    "ihl 4": (patched(GOOD, 0, b"\x44"), "IP_INHDR", {"IpInHdrErrors": 1}),
    "ihl longer than the packet": (patched(GOOD, 0, b"\x4f")[:40], "IP_INHDR", {"IpInHdrErrors": 1}),
    "checksum": (patched(GOOD, 10, b"\xde\xad"), "IP_CSUM", {"IpInHdrErrors": 1, "IpExtInCsumErrors": 1}),
    "checksum before length": (patched(GOOD, 2, b"\xff\xff"), "IP_CSUM", {"IpInHdrErrors": 1, "IpExtInCsumErrors": 1}),
    "cut by one": (GOOD[:-1], "PKT_TOO_SMALL", {"IpExtInTruncatedPkts": 1}),
    "header alone": (GOOD[:20], "PKT_TOO_SMALL", {"IpExtInTruncatedPkts": 1}),
    "length below header": (ip(b"12345678", tot_len=19), "IP_INHDR", {"IpInHdrErrors": 1}),
    "length 0": (ip(b"12345678", tot_len=0), "IP_INHDR", {"IpInHdrErrors": 1}),
}


@both
@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_no_datagram_ends_in_ip_rcv(name: str, kernel: KernelProfile) -> None:
    data, reason, counters = MALFORMED[name]
    journal = came(data, two_arms(kernel))
    (end,) = journal.ends
    assert isinstance(end, Drop)
    assert (end.reason.value, end.func) == (reason, "ip_rcv_core")
    assert counted(journal) == counters
    assert journal.emitted == []


@both
def test_a_frame_for_another_host_moves_no_counter(kernel: KernelProfile) -> None:
    journal = came(GOOD, two_arms(kernel), kind=PacketType.OTHERHOST)
    assert [end.reason.value for end in journal.ends if isinstance(end, Drop)] == ["OTHERHOST"]
    assert journal.counters == {}


@pytest.mark.parametrize(("tos", "mib"), [(0, "InNoECTPkts"), (1, "InECT1Pkts"), (2, "InECT0Pkts"), (3, "InCEPkts")])
def test_the_ecn_bits_are_counted_before_the_checksum(tos: int, mib: str) -> None:
    good = ip(b"", src="10.0.0.5", dst="10.1.0.5", tos=tos)
    for data in (good, patched(good, 10, b"\xde\xad")):
        counters = {one.value: n for one, n in came(data, two_arms(LINUX_6_18)).counters.items()}
        assert counters[f"IpExt{mib}"] == 1


def test_octets_are_counted_as_received_padding_included() -> None:
    journal = came(GOOD + bytes(15), two_arms(LINUX_6_18))
    assert {mib.value: n for mib, n in journal.counters.items()}["IpExtInOctets"] == len(GOOD) + 15
    assert len(out(journal)[0][1]) == len(GOOD)


def test_the_other_zero_is_a_good_checksum() -> None:
    zero = next(data for ident in range(65536) if (data := ip(b"", ident=ident, dst="10.1.0.5"))[10:12] == b"\0\0")
    journal = came(patched(zero, 10, b"\xff\xff"), two_arms(LINUX_6_18))
    assert isinstance(journal.ends[0], Transmitted)
    assert out(journal)[0][1][10:12] == b"\x01\x00"


ROUTED: dict[str, tuple[dict[str, Any], str, dict[str, int], list[tuple[int, int]]]] = {
    "no route": ({"dst": "99.1.0.5"}, "IP_INNOROUTES", {"IpExtInNoRoutes": 1}, [(3, 0)]),
    "throw": ({"dst": "10.69.0.1"}, "IP_INNOROUTES", {"IpExtInNoRoutes": 1}, [(3, 0)]),
    "unreachable": ({"dst": "10.66.0.1"}, "NOT_SPECIFIED", {}, [(3, 1)]),
    "prohibit": ({"dst": "10.67.0.1"}, "NOT_SPECIFIED", {}, [(3, 13)]),
    "blackhole": ({"dst": "10.68.0.1"}, "NOT_SPECIFIED", {}, []),
    "ttl 1 does not come first": ({"dst": "10.66.0.1", "ttl": 1}, "NOT_SPECIFIED", {}, [(3, 1)]),
}

SENT = {"IpOutRequests", "IpOutTransmits", "IpExtOutOctets", "IcmpOutMsgs", "IcmpOutDestUnreachs", "IcmpMsgOutType3"}


@both
@pytest.mark.parametrize("name", ROUTED)
def test_what_has_no_route_is_answered_by_kind(name: str, kernel: KernelProfile) -> None:
    packet, reason, counters, errors = ROUTED[name]
    journal = came(ip(b"12345678", src="10.0.0.5", **packet), two_arms(kernel))
    (end,) = journal.ends
    assert isinstance(end, Drop)
    assert (end.reason.value, end.func) == (reason, "ip_error")
    assert {mib: n for mib, n in counted(journal).items() if mib not in SENT} == counters
    assert icmp(journal) == errors


@both
@pytest.mark.parametrize("dst", ["99.1.0.5", "10.66.0.1", "10.67.0.1", "10.68.0.1", "10.69.0.1", "10.1.0.5"])
def test_a_host_that_does_not_forward_is_silent(dst: str, kernel: KernelProfile) -> None:
    journal = came(ip(b"", src="10.0.0.5", dst=dst), two_arms(kernel, sysctl={"net.ipv4.ip_forward": 0}))
    (end,) = journal.ends
    assert isinstance(end, Drop)
    assert end.reason.value == "IP_INADDRERRORS"
    assert counted(journal) == {"IpInAddrErrors": 1}


@both
def test_a_source_is_told_twice_and_then_no_more(kernel: KernelProfile) -> None:
    net = two_arms(kernel)
    told = [icmp(came(ip(b"", src="10.0.0.5", dst="10.66.0.1"), net)) for _ in range(4)]
    assert told == [[(3, 1)], [(3, 1)], [], []]
    assert icmp(came(ip(b"", src="10.0.0.5", dst="10.66.0.1"), net, now_ns=3_000_000_000)) == [(3, 1)]


@pytest.mark.parametrize(
    ("ratelimit", "kernel", "times"),
    [(1000, LINUX_4_14, 2), (1000, LINUX_6_18, 2), (100, LINUX_4_14, 1), (100, LINUX_6_18, 4), (0, LINUX_4_14, 1),
     (0, LINUX_6_18, 5)],
)  # fmt: skip
def test_what_icmp_lets_a_source_save_up_cuts_what_routing_does(
    ratelimit: int, kernel: KernelProfile, times: int
) -> None:
    net = two_arms(kernel, sysctl={"net.ipv4.icmp_ratelimit": ratelimit})
    told = [icmp(came(ip(b"", src="10.0.0.5", dst="10.66.0.1"), net)) for _ in range(7)]
    assert told == [[(3, 1)]] * times + [[]] * (7 - times)


@both
def test_after_another_error_without_a_limit_a_source_is_not_told_of_its_route(kernel: KernelProfile) -> None:
    net = two_arms(kernel, sysctl={"net.ipv4.icmp_ratelimit": 0})
    assert icmp(came(ip(b"", src="10.0.0.5", dst="10.1.0.5", ttl=1), net)) == [(11, 0)]
    assert icmp(came(ip(b"", src="10.0.0.5", dst="10.66.0.1"), net)) == []
    assert icmp(came(ip(b"", src="10.0.0.5", dst="10.66.0.1"), net, now_ns=1_000_000_000)) == [(3, 1)]


MARTIANS = [
    ("224.1.1.1", "10.1.0.5", "IP_INVALID_SOURCE"),
    ("255.255.255.255", "10.1.0.5", "IP_INVALID_SOURCE"),
    ("0.0.0.0", "10.0.0.1", "IP_INVALID_SOURCE"),
    ("10.0.0.5", "0.0.0.0", "IP_INVALID_DEST"),
    ("127.0.0.1", "10.0.0.1", "IP_LOCALNET"),
    ("10.0.0.5", "127.0.0.1", "IP_LOCALNET"),
    ("10.0.0.1", "10.1.0.5", "IP_LOCAL_SOURCE"),
    ("10.0.0.5", "224.0.0.9", "NOT_SPECIFIED"),
    ("10.0.0.5", "239.1.1.1", "NOT_SPECIFIED"),
]


@both
@pytest.mark.parametrize(("src", "dst", "reason"), MARTIANS)
def test_a_martian_is_dropped_without_a_counter(src: str, dst: str, reason: str, kernel: KernelProfile) -> None:
    journal = came(ip(b"", src=src, dst=dst), two_arms(kernel))
    (end,) = journal.ends
    assert isinstance(end, Drop)
    assert (end.reason.value, end.func) == (reason, "ip_rcv_finish")
    assert counted(journal) == {}
    assert journal.emitted == []


@both
def test_the_reverse_path_filter_counts(kernel: KernelProfile) -> None:
    journal = came(ip(b"", src="10.1.0.7", dst="10.1.0.5"), two_arms(kernel, sysctl={"net.ipv4.conf.all.rp_filter": 1}))
    (end,) = journal.ends
    assert isinstance(end, Drop)
    assert end.reason.value == "IP_RPFILTER"
    assert counted(journal) == {"TcpExtIPReversePathFilter": 1}


@pytest.mark.parametrize(("kernel", "passes"), [(LINUX_4_14, False), (LINUX_6_18, True)])
def test_zeronet_shrank_to_one_address(kernel: KernelProfile, passes: bool) -> None:
    journal = came(ip(b"", src="0.1.2.3", dst="10.1.0.5"), two_arms(kernel))
    assert isinstance(journal.ends[0], Transmitted) is passes


@both
def test_a_broadcast_of_another_link_is_delivered(kernel: KernelProfile) -> None:
    listening = two_arms(kernel, listen=[{"proto": "udp", "port": 53}])
    journal = came(ip(udp(b"x", src="10.0.0.5", dst="10.1.0.255"), src="10.0.0.5", dst="10.1.0.255"), listening)
    assert journal.ends == [Delivered("udp", "udp_queue_rcv_skb")]
    assert counted(journal) == {
        "IpExtInBcastPkts": 1, "IpExtInBcastOctets": 29, "IpInDelivers": 1, "UdpInDatagrams": 1,
    }  # fmt: skip


@both
def test_a_broadcast_from_nobody_to_nobody_is_delivered(kernel: KernelProfile) -> None:
    journal = came(ip(b"12345678", src="0.0.0.0", dst="0.0.0.0", proto=253), two_arms(kernel))
    assert counted(journal)["IpExtInBcastPkts"] == 1
    assert icmp(journal) == []


@both
def test_all_hosts_is_always_joined(kernel: KernelProfile) -> None:
    journal = came(ip(b"12345678", src="10.0.0.5", dst="224.0.0.1", proto=253), two_arms(kernel))
    assert counted(journal) == {"IpExtInMcastPkts": 1, "IpExtInMcastOctets": 28, "IpInUnknownProtos": 1}
    assert icmp(journal) == []


@both
def test_a_unicast_packet_in_a_frame_for_many(kernel: KernelProfile) -> None:
    local = ip(b"12345678", src="10.0.0.5", dst="10.0.0.1", proto=253)
    assert counted(came(local, two_arms(kernel), kind=PacketType.BROADCAST)) == {"IpInUnknownProtos": 1}
    transit = came(GOOD, two_arms(kernel), kind=PacketType.BROADCAST)
    assert transit.ends == [Drop(DropReason.NOT_SPECIFIED, "ip_forward")]
    strict = two_arms(kernel, sysctl={"net.ipv4.conf.all.drop_unicast_in_l2_multicast": 1})
    (end,) = came(local, strict, kind=PacketType.MULTICAST).ends
    assert isinstance(end, Drop)
    assert end.reason.value == "UNICAST_IN_L2_MULTICAST"


@both
def test_a_source_route_is_not_welcome(kernel: KernelProfile) -> None:
    journal = came(ip(b"", src="10.0.0.5", dst="10.1.0.5", options=b"\x83\x07\x04\x0a\x01\x00\x07"), two_arms(kernel))
    assert isinstance(journal.ends[0], Drop)
    assert counted(journal) == {}
    assert journal.emitted == []


@both
@pytest.mark.parametrize("verdict", ["drop", "stolen"])
def test_pre_routing_is_asked_before_the_route(verdict: str, kernel: KernelProfile) -> None:
    hook = [{"at": "PRE_ROUTING", "match": "dst 99.0.0.0/8", "verdict": verdict}]
    journal = came(ip(b"", src="10.0.0.5", dst="99.1.0.5"), two_arms(kernel, hook=hook))
    assert counted(journal) == {}
    assert journal.emitted == []
    assert isinstance(journal.ends[0], Drop) is (verdict == "drop")
