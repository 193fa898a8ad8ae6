"""What one packet brings about, from the wire to the wire, as a running kernel showed it.

The sender is 10.0.0.5 behind t0, 10.1.0.0/24 is behind t1, and somebody listens on UDP port 53.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from ipkit.core.forward_report import ending_of
from ipkit.core.host.kernel import LINUX_4_14, KernelProfile
from ipkit.core.outcome.journal import Journal
from tests.support.journeys import KERNELS, TWO_ARMS, came, counted, out, two_arms
from tests.support.packets import icmp as message
from tests.support.packets import ip, udp

both = pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
OF_SENDING = ("Icmp", "IpOut", "IpExtOut")


def packet(dst: str, src: str = "10.0.0.5", size: int = 8, **more: Any) -> bytes:
    return ip(udp(bytes(size), src=src, dst=dst), src=src, dst=dst, **more)


def through(datagram: bytes, kernel: KernelProfile, forwarding: int = 1) -> Journal:
    listen = [{"proto": "udp", "port": 53}]
    knobs = {"net.ipv4.ip_forward": forwarding}
    routes = [line for line in TWO_ARMS["routes"] if line.startswith("10.")]
    return came(datagram, two_arms(kernel, sysctl=knobs, routes=routes, listen=listen))


def moved(journal: Journal) -> dict[str, int]:
    """Return what was counted beside what sending counts."""
    return {mib: n for mib, n in counted(journal).items() if not mib.startswith(OF_SENDING)}


class Example(NamedTuple):
    """A packet, and what is seen of its end."""

    packet: bytes
    verdict: str
    reason: str = ""
    moved: Mapping[str, int] = MappingProxyType({})
    error: bytes = b""  # type and code
    forwarding: int = 1


BROADCAST = {"IpExtInBcastPkts": 1, "IpInDelivers": 1, "UdpInDatagrams": 1}

EXAMPLES = {
    "no route": Example(packet("99.1.0.5"), "dropped", "IP_INNOROUTES", {"IpExtInNoRoutes": 1}, b"\3\0"),
    "no router": Example(packet("99.1.0.5"), "dropped", "IP_INADDRERRORS", {"IpInAddrErrors": 1}, forwarding=0),
    "a broadcast of the far side": Example(packet("10.1.0.255"), "delivered", "udp", BROADCAST),
    "nobody to everybody": Example(packet("0.0.0.0", "0.0.0.0"), "delivered", "udp", BROADCAST),
    "nobody to us": Example(packet("10.0.0.1", "0.0.0.0"), "dropped", "IP_INVALID_SOURCE"),
    "from loopback": Example(packet("10.0.0.1", "127.0.0.1"), "dropped", "IP_LOCALNET"),
    "to loopback": Example(packet("127.0.0.1"), "dropped", "IP_LOCALNET"),
    "no protocol": Example(
        ip(b"", src="10.0.0.5", dst="10.0.0.1", proto=200), "dropped", "IP_NOPROTO", {"IpInUnknownProtos": 1}, b"\3\2"
    ),
}


@both
@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
def test_how_a_packet_ends(example: Example, kernel: KernelProfile) -> None:
    journal = through(example.packet, kernel, example.forwarding)
    ending = ending_of(journal)
    assert (ending.verdict, ending.reason) == (example.verdict, example.reason)
    assert {mib: n for mib, n in moved(journal).items() if not mib.endswith("Octets")} == example.moved
    assert [data[20:22] for _, data in out(journal)] == ([example.error] if example.error else [])


@both
def test_a_forwarded_packet_keeps_its_whole_tos(kernel: KernelProfile) -> None:
    ((dev, data),) = out(through(packet("10.1.0.5", tos=0xFF), kernel))
    assert (dev, data[1], data[8]) == ("t1", 0xFF, 63)


@both
def test_time_exceeded_names_us_and_quotes_what_came(kernel: KernelProfile) -> None:
    came_in = packet("10.1.0.5", ttl=1, tos=0xFF, df=True)
    ((dev, data),) = out(through(came_in, kernel))
    assert (dev, data[12:20].hex(), data[20:22]) == ("t0", "0a0000010a000005", b"\x0b\0")
    assert (data[1], data[8], data[6:8].hex()) == (0xDE, 64, "0000")
    assert data[28:] == came_in


@both
def test_the_mtu_of_a_route(kernel: KernelProfile) -> None:
    large = packet("10.6.0.5", size=1172, df=True)
    journal = through(large, kernel)
    if kernel is LINUX_4_14:
        assert [(dev, len(data)) for dev, data in out(journal)] == [("t1", 1200)]
        return
    ((dev, data),) = out(journal)
    assert (dev, data[20:22].hex(), data[26:28].hex()) == ("t0", "0304", "03e8")
    assert moved(journal) == {"IpForwDatagrams": 1, "IpFragFails": 1}
    pieces = out(through(packet("10.6.0.5", size=1172), kernel))
    assert [(dev, len(data)) for dev, data in pieces] == [("t1", 996), ("t1", 224)]


@both
def test_an_echo_is_answered_with_its_tos_and_our_ttl(kernel: KernelProfile) -> None:
    ask = ip(message(b"hello"), src="10.0.0.5", dst="10.0.0.1", proto=1, tos=0xFF, ttl=7, df=True)
    ((dev, data),) = out(through(ask, kernel))
    assert (dev, data[1], data[8], data[6:8].hex(), data[20:22]) == ("t0", 0xFF, 64, "0000", b"\0\0")
