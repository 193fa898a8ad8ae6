"""The hosts that datagrams were for, as their sources hear of them."""

from __future__ import annotations

import pytest

from ipkit.core.frames import Frame
from ipkit.core.host.kernel import LINUX_4_14, LINUX_6_18, KernelProfile
from ipkit.core.outcome.verdict import IcmpDue
from ipkit.core.receiving_hosts import MOST_HOSTS, ReceivingHosts
from ipkit.core.skbuff import PacketType, SkBuff
from tests.support.packets import eth, ip, rfc1071

BOTH = pytest.mark.parametrize("kernel", [LINUX_4_14, LINUX_6_18], ids=lambda kernel: kernel.name)


def answer(hosts: ReceivingHosts, datagram: bytes, *, second: int = 0, link_type: int = 1) -> Frame | None:
    data = eth(datagram) if link_type == 1 else datagram
    frame = Frame("a.pcap", 7, second * 10**9, data, len(data), link_type, "wlan0")
    due = IcmpDue(11, 1, 0, SkBuff(datagram, "wlan0", PacketType.HOST, second * 10**9))
    return hosts.frame_for(due, frame)


@BOTH
def test_the_receiver_answers_the_source(kernel: KernelProfile) -> None:
    frame = answer(ReceivingHosts(kernel), ip(b"12345678", mf=True), link_type=101)
    assert frame is not None
    assert (frame.link_type, frame.interface, frame.number) == (101, "wlan0", 0)
    assert frame.data[12:20] == b"\xc6\x33\x64\x02\xc0\x00\x02\x01"
    assert rfc1071(frame.data[:20]) == rfc1071(frame.data[20:]) == 0
    assert frame.data[28:] == ip(b"12345678", mf=True)


@BOTH
@pytest.mark.parametrize("dst", ["224.0.0.1", "255.255.255.255", "0.0.0.0", "0.1.2.3", "127.0.0.1"])
def test_no_host_has_such_an_address(dst: str, kernel: KernelProfile) -> None:
    assert answer(ReceivingHosts(kernel), ip(b"12345678", mf=True, dst=dst)) is None


@BOTH
def test_a_host_does_not_answer_itself_about_errors(kernel: KernelProfile) -> None:
    assert answer(ReceivingHosts(kernel), ip(b"\x03\x01" + bytes(6), mf=True, proto=1)) is None


def test_each_host_has_its_own_limits() -> None:
    hosts = ReceivingHosts(LINUX_4_14)
    for dst in ("10.0.0.1", "10.0.0.2"):
        said = [answer(hosts, ip(b"12345678", mf=True, dst=dst)) is not None for _ in range(8)]
        assert said == [True] * 6 + [False] * 2


def test_a_thousand_are_remembered() -> None:
    hosts = ReceivingHosts(LINUX_4_14)
    for number in range(MOST_HOSTS + 5):
        answer(hosts, ip(b"12345678", mf=True, dst=f"10.1.{number // 250}.{number % 250 + 1}"))
    assert len(hosts._hosts) == MOST_HOSTS
