"""Segments that come ready: connected ones, SYN-ACKs, and the answers of nobody's socket."""

from __future__ import annotations

from errno import EHOSTUNREACH
from ipaddress import IPv4Address

import pytest

from ipkit.core.host.build import build_host
from ipkit.core.host.kernel import LINUX_4_14, LINUX_6_18, KernelProfile
from ipkit.core.inet_sock import InetSock, PmtuDisc, SockKind
from ipkit.core.options_get import ip_options_get
from ipkit.core.outcome.counters import Mib
from ipkit.core.queue_xmit import (
    Answer,
    Reply,
    Segment,
    ip_build_and_send_pkt,
    ip_queue_xmit,
    ip_send_unicast_reply,
)
from ipkit.core.route import OutputFlow, Refused, ip_route_output_key
from ipkit.core.skbuff import PacketType, SkBuff
from ipkit.core.state.netns import NetNamespace, namespace_of
from tests.support.packets import ip, rfc1071, tcp

TCP = 6
HERE, THERE = int(IPv4Address("192.0.2.1")), int(IPv4Address("192.0.2.9"))


def network(kernel: KernelProfile = LINUX_6_18) -> NetNamespace:
    described = {"routes": ["198.18.0.0/15 via 192.0.2.254"], "link": {"eth0": {"addr": ["192.0.2.1/24"]}}}
    return namespace_of(build_host(described, file="host.toml", kernel=kernel))


def connected(daddr: int = THERE) -> InetSock:
    return InetSock(SockKind.TCP, TCP, saddr=HERE, sport=1, daddr=daddr, dport=2, ident=7)


def test_a_segment_of_a_connection() -> None:
    sock = connected()
    result = ip_queue_xmit(Segment(b"x" * 40), sock, network())
    assert result.output is not None
    (frame,) = result.output.frames
    assert frame.datagram[:12].hex() == "4500003c0007400040060000"[:20] + frame.datagram[10:12].hex()
    assert rfc1071(frame.datagram[:20]) == 0
    assert sock.ident == 8


def test_without_a_route_the_host_is_unreachable() -> None:
    result = ip_queue_xmit(Segment(b"x"), connected(int(IPv4Address("9.9.9.9"))), network())
    assert (result.errno, result.mibs) == (EHOSTUNREACH, {Mib.OUT_NO_ROUTES: 1})


@pytest.mark.parametrize(("dst", "error"), [("192.0.2.9", 0), ("198.18.0.1", EHOSTUNREACH)])
def test_a_strict_source_route_takes_no_gateway(dst: str, error: int) -> None:
    sock = connected()
    made = ip_options_get(b"\x89\x07\x04" + IPv4Address(dst).packed, lambda _: False)
    assert made is not None
    sock.options = made
    assert ip_queue_xmit(Segment(b"x"), sock, network()).errno == error


@pytest.mark.parametrize(
    ("kernel", "size", "frag_off", "has_id"),
    [(LINUX_4_14, 40, 0, True), (LINUX_6_18, 40, 0x4000, False), (LINUX_6_18, 49, 0, True)],
)
def test_an_answer_before_the_connection(kernel: KernelProfile, size: int, frag_off: int, has_id: bool) -> None:
    net = network(kernel)
    route = ip_route_output_key(OutputFlow(THERE), net.routing)
    assert not isinstance(route, Refused)
    sock = InetSock(SockKind.TCP, TCP, PmtuDisc.DONT)
    output = ip_build_and_send_pkt(Answer(Segment(bytes(size)), route, HERE, THERE, tos=16), sock, net)
    (frame,) = output.frames
    assert int.from_bytes(frame.datagram[6:8]) == frag_off
    assert (frame.datagram[4:6] != b"\0\0") is has_id
    assert (frame.datagram[1], frame.datagram[12:20]) == (16, IPv4Address(HERE).packed + IPv4Address(THERE).packed)


def received() -> SkBuff:
    return SkBuff(ip(tcp(), src="192.0.2.9", dst="192.0.2.1", proto=TCP), "eth0", PacketType.HOST, 0)


def test_a_reset_says_df_and_has_no_identification() -> None:
    output = ip_send_unicast_reply(received(), Reply(bytes(20), HERE, THERE, tos=8), network())
    assert output is not None
    (frame,) = output.frames
    assert frame.datagram[:10].hex() == "45080028000040004006"
    assert rfc1071(frame.datagram[:20]) == 0


def test_a_reset_that_finds_no_way_is_silence() -> None:
    nowhere = Reply(bytes(20), HERE, int(IPv4Address("9.9.9.9")))
    assert ip_send_unicast_reply(received(), nowhere, network()) is None
