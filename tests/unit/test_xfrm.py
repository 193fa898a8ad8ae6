"""IPsec policy: who asks it, what is counted where it forbids, which links are exempt; in both kernels."""

from __future__ import annotations

from typing import Any

import pytest

from ipkit.core.host.kernel import KernelProfile
from ipkit.core.outcome.verdict import Delivered, Drop, Transmitted
from ipkit.core.skbuff import PacketType
from tests.support.journeys import KERNELS, came, counted, icmp, two_arms
from tests.support.packets import icmp as message
from tests.support.packets import igmp, ip, tcp, udp, udplite

both = pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
PAIR: dict[str, Any] = {"src": "10.0.0.5", "dst": "10.0.0.1"}


def local(payload: bytes, proto: int) -> bytes:
    return ip(payload, proto=proto, **PAIR)


def block(direction: str, match: str = "src 10.0.0.5", action: str = "block") -> list[dict[str, str]]:
    return [{"dir": direction, "match": match, "action": action}]


BLOCKED_IN: dict[str, tuple[bytes, str, str, dict[str, int]]] = {
    "udp, listening": (
        local(udp(b"x", dport=53, **PAIR), 17), "XFRM_POLICY", "udp_queue_rcv_one_skb",
        {"UdpInErrors": 1, "XfrmInPolBlock": 1, "IpInDelivers": 1},
    ),
    "udp, nobody": (
        local(udp(b"x", dport=99, **PAIR), 17), "NOT_SPECIFIED", "__udp4_lib_rcv",
        {"UdpInErrors": 1, "XfrmInPolBlock": 1, "IpInDelivers": 1},
    ),
    "udp, bad checksum": (
        local(udp(b"x", dport=53, checksum=1, **PAIR), 17), "UDP_CSUM", "__udp4_lib_rcv",
        {"UdpInErrors": 1, "UdpInCsumErrors": 1, "IpInDelivers": 1},
    ),
    "udp, long and bad": (
        local(udp(bytes(69), dport=53, checksum=1, **PAIR), 17), "XFRM_POLICY", "udp_queue_rcv_one_skb",
        {"UdpInErrors": 1, "XfrmInPolBlock": 1, "IpInDelivers": 1},
    ),
    "udplite": (
        local(udplite(b"x", **PAIR), 136), "NOT_SPECIFIED", "__udp4_lib_rcv", {"XfrmInPolBlock": 1, "IpInDelivers": 1},
    ),
    "tcp, listening": (
        local(tcp(dport=80, **PAIR), 6), "XFRM_POLICY", "tcp_v4_rcv", {"XfrmInPolBlock": 1, "IpInDelivers": 1},
    ),
    "tcp, nobody": (
        local(tcp(dport=81, **PAIR), 6), "NO_SOCKET", "tcp_v4_rcv", {"XfrmInPolBlock": 1, "IpInDelivers": 1},
    ),
    "icmp": (local(message(), 1), "XFRM_POLICY", "icmp_rcv", {"XfrmInPolBlock": 1, "IpInDelivers": 1}),
    "icmp, bad checksum": (
        local(message(checksum=1), 1), "XFRM_POLICY", "icmp_rcv", {"XfrmInPolBlock": 1, "IpInDelivers": 1},
    ),
    "igmp": (local(igmp(), 2), "XFRM_POLICY", "ip_local_deliver_finish", {"XfrmInPolBlock": 1}),
    "raw, two sockets": (local(b"x", 253), "XFRM_POLICY", "raw_rcv", {"XfrmInPolBlock": 2, "IpInDelivers": 1}),
    "no protocol": (local(b"x", 200), "IP_NOPROTO", "ip_local_deliver_finish", {"XfrmInPolBlock": 1}),
}  # fmt: skip
"""What a 6.18 kernel with `ip xfrm policy add ... dir in action block` was seen to do."""

LISTENING = [
    {"proto": "udp", "port": 53}, {"proto": "tcp", "port": 80},
    {"proto": "raw", "number": 253}, {"proto": "raw", "number": 253},
]  # fmt: skip


@both
@pytest.mark.parametrize("name", BLOCKED_IN)
def test_each_protocol_asks_in_its_own_place(name: str, kernel: KernelProfile) -> None:
    packet, reason, func, counters = BLOCKED_IN[name]
    journal = came(packet, two_arms(kernel, xfrm=block("in"), listen=LISTENING))
    (end,) = journal.ends
    assert isinstance(end, Drop)
    assert (end.reason.value, end.func) == (reason, func)
    assert counted(journal) == counters
    assert journal.emitted == []


@both
def test_the_first_policy_that_matches_decides(kernel: KernelProfile) -> None:
    policies = [*block("in", action="allow"), *block("in")]
    assert came(local(message(), 1), two_arms(kernel, xfrm=policies)).ends == [Delivered("icmp", "icmp_reply")]


@both
@pytest.mark.parametrize(("direction", "counter"), [("fwd", "XfrmInPolBlock"), ("out", "XfrmOutPolBlock")])
def test_transit_is_asked_about_twice(direction: str, counter: str, kernel: KernelProfile) -> None:
    journal = came(ip(b"x", src="10.0.0.5", dst="10.1.0.5"), two_arms(kernel, xfrm=block(direction)))
    (end,) = journal.ends
    assert isinstance(end, Drop)
    assert (end.reason.value, end.func) == ("XFRM_POLICY", "ip_forward")
    assert counted(journal) == {counter: 1}


@both
@pytest.mark.parametrize(
    ("direction", "knob", "passes"),
    [
        ("fwd", "t0.disable_policy", True), ("fwd", "t1.disable_policy", False),
        ("out", "t1.disable_xfrm", True), ("out", "t0.disable_xfrm", False),
    ],
)  # fmt: skip
def test_links_may_be_exempt(direction: str, knob: str, passes: bool, kernel: KernelProfile) -> None:
    net = two_arms(kernel, xfrm=block(direction), sysctl={f"net.ipv4.conf.{knob}": 1})
    (end,) = came(ip(b"x", src="10.0.0.5", dst="10.1.0.5"), net).ends
    assert isinstance(end, Transmitted) is passes


@both
def test_an_exempt_link_delivers(kernel: KernelProfile) -> None:
    net = two_arms(kernel, xfrm=block("in"), sysctl={"net.ipv4.conf.t0.disable_policy": 1})
    assert came(local(message(), 1), net).ends == [Delivered("icmp", "icmp_reply")]


@both
def test_a_reply_that_must_not_leave_is_not_counted_as_one(kernel: KernelProfile) -> None:
    net = two_arms(kernel, xfrm=block("out", "dst 10.0.0.5"))
    journal = came(local(message(), 1), net)
    assert journal.ends == [Delivered("icmp", "icmp_reply")]
    assert journal.emitted == []
    moved = counted(journal)
    assert moved["XfrmOutPolBlock"] == 1
    assert "IcmpOutMsgs" not in moved


@both
def test_a_reset_that_must_not_leave(kernel: KernelProfile) -> None:
    journal = came(local(tcp(dport=81, **PAIR), 6), two_arms(kernel, xfrm=block("out", "dst 10.0.0.5")))
    assert journal.emitted == []
    assert counted(journal) == {"XfrmOutPolBlock": 1, "IpInDelivers": 1}


@both
@pytest.mark.parametrize(("match", "told"), [("icmp-type 3", False), ("icmp-type 11", True), ("src 10.0.0.1", False)])
def test_an_error_that_must_not_leave(match: str, told: bool, kernel: KernelProfile) -> None:
    journal = came(ip(b"x", src="10.0.0.5", dst="10.66.0.1"), two_arms(kernel, xfrm=block("out", match)))
    assert icmp(journal) == ([(3, 1)] if told else [])
    assert counted(journal).get("XfrmOutPolBlock", 0) == (not told)


@both
def test_a_broadcast_without_a_socket_is_not_asked_about(kernel: KernelProfile) -> None:
    pair: dict[str, Any] = {"src": "10.0.0.5", "dst": "10.0.0.255"}
    packet = ip(udp(b"x", dport=54, **pair), **pair)
    journal = came(packet, two_arms(kernel, xfrm=block("in")), kind=PacketType.BROADCAST)
    moved = counted(journal)
    assert moved["UdpIgnoredMulti"] == 1
    assert "XfrmInPolBlock" not in moved
