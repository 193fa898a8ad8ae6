"""What csum says of a datagram is what the running kernel does with it.

The datagrams are for the host itself, so the kernel judges every checksum in software; its counters tell what it found.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest

from ipkit.core.checksum_report import CHECKS, ChecksumLane
from ipkit.core.lanes import RowWish
from tests.kernel.counters import moved
from tests.kernel.namespace import Namespace
from tests.support.batches import batch_of
from tests.support.packets import ICMP, TCP, UDP, UDPLITE, eth, icmp, ip, patched, rfc1071, tcp, u16, udp, udplite

pytestmark = pytest.mark.kernel

HOST = """
routes = ["default via 198.51.100.254 dev eth0"]
[link.eth0]
address = "02:00:00:00:00:01"
addr = ["198.51.100.2/24"]
"""

TAKEN = {TCP: "TcpOutRsts", UDP: "UdpNoPorts", UDPLITE: "UdpLiteNoPorts", ICMP: "IcmpInMsgs"}
"""What moves when a transport has taken a datagram that nobody waits for."""

HEADER_ZERO = rfc1071(patched(ip(udp(b"x"), ident=0), 10, b"\0\0")[:20])  # as identification, the same for the header
WHOLE_SUM = udp(b"\0\0")[6:8]  # as payload, it makes the words sum to ffff
DATAGRAMS = {
    "tcp": ip(tcp(b"x"), proto=TCP),
    "tcp bad": ip(tcp(b"x", checksum=1), proto=TCP),
    "tcp zero": ip(tcp(b"x", checksum=0), proto=TCP),
    "tcp short": ip(tcp()[:19], proto=TCP),
    "tcp data offset 4": ip(tcp(data_offset=4), proto=TCP),
    "tcp data offset past the end": ip(tcp(data_offset=6), proto=TCP),
    "tcp the other zero": ip(patched(tcp(tcp(b"\0\0")[16:18]), 16, b"\xff\xff"), proto=TCP),
    "udp": ip(udp(b"x")),
    "udp bad": ip(udp(b"x", checksum=1)),
    "udp none": ip(udp(b"x", checksum=0)),
    "udp none, but it would verify": ip(udp(WHOLE_SUM, checksum=0)),
    "udp length short": ip(udp(b"x") + b"rest"),
    "udp length long": ip(udp(b"x", length=10)),
    "udp length 7": ip(udp(b"x", length=7)),
    "udp length 0": ip(udp(b"x", length=0)),
    "udp cut": ip(udp()[:7]),
    "udplite": ip(udplite(b"x"), proto=UDPLITE),
    "udplite bad": ip(udplite(b"x", checksum=1), proto=UDPLITE),
    "udplite zero": ip(udplite(b"x", checksum=0), proto=UDPLITE),
    "udplite coverage 8": ip(udplite(b"x", coverage=8), proto=UDPLITE),
    "udplite coverage 8, payload wrong": ip(udplite(b"x", coverage=8)[:-1] + b"y", proto=UDPLITE),
    "udplite coverage 7": ip(udplite(b"x", coverage=7), proto=UDPLITE),
    "udplite coverage 10": ip(udplite(b"x", coverage=10), proto=UDPLITE),
    "icmp": ip(icmp(b"x"), proto=ICMP),
    "icmp bad": ip(icmp(b"x", checksum=1), proto=ICMP),
    "icmp all zero": ip(bytes(8), proto=ICMP),
    "icmp all zero, summed": ip(b"\0\0\xff\xff\0\0\0\0", proto=ICMP),
    "icmp of 7 bytes, wrong": ip(icmp()[:7], proto=ICMP),
    "icmp of 7 bytes, right": ip(b"\x08\0" + u16(rfc1071(b"\x08\0\0\0\1\2\3")) + b"\1\2\3", proto=ICMP),
    "header bad": ip(udp(b"x"), checksum=1),
    "header the other zero": patched(ip(udp(b"x"), ident=HEADER_ZERO), 10, b"\xff\xff"),
    "version 5": ip(udp(), version=5),
    "ihl 4": ip(udp(), ihl=4),
    "ihl 15, too short": ip(udp(), ihl=15),
    "options": ip(udp(), options=b"\1\1\1\1"),
    "total length 19": ip(udp(), tot_len=19),
    "total length too long": ip(udp(), tot_len=29),
    "padding": ip(udp()) + b"\xde\xad\xbe",
}


SUMMED_ALL_THE_SAME = {"icmp of 7 bytes, wrong", "udplite coverage 7"}
"""Too short to hold or to cover what it must: the kernel counts a wrong sum, we say malformed."""


@pytest.fixture(scope="module")
def host() -> Iterator[Namespace]:
    with Namespace(HOST) as namespace:
        yield namespace


def kernel_says(host: Namespace, datagram: bytes) -> dict[str, str]:
    """Return what the counters tell; nothing of a transport that the header kept it from."""
    before = host.counters()
    host.inject("eth0", eth(datagram))
    counters = moved(before, host.counters())
    if "IpExtInCsumErrors" in counters:
        return {"ip": "bad"}
    if "IpInHdrErrors" in counters:
        return {"ip": "malformed"}
    if any(name.endswith("InCsumErrors") for name in counters):
        return {"ip": "ok", "transport": "bad"}
    taken = TAKEN[datagram[9]] in counters and "IcmpInErrors" not in counters
    return {"ip": "ok", "transport": "ok" if taken else "malformed"}


def csum_says(datagram: bytes) -> dict[str, str]:
    """Return what csum says, in words for what the kernel does: it takes what has no checksum."""
    rows = ChecksumLane(frozenset(CHECKS), RowWish.ALL).process(batch_of([eth(datagram)])).rows
    ip_status, *transport = (str(row.row["status"]).replace("none", "ok") for row in rows)
    return {"ip": ip_status, "transport": transport[0]} if ip_status == "ok" else {"ip": ip_status}


@pytest.mark.parametrize("name", DATAGRAMS)
def test_csum_and_the_kernel_agree(host: Namespace, name: str) -> None:
    ours, theirs = csum_says(DATAGRAMS[name]), kernel_says(host, DATAGRAMS[name])
    if name in SUMMED_ALL_THE_SAME:
        assert (ours["transport"], theirs["transport"]) == ("malformed", "bad")
    else:
        assert ours == theirs


def test_random_damage(host: Namespace) -> None:
    draw = Random(4)
    whole = [DATAGRAMS[name] for name in ("tcp", "udp", "udplite", "icmp", "udp none", "udplite coverage 8", "options")]
    for _ in range(1500):
        datagram = draw.choice(whole)
        at = draw.choice([10, 11, *range(20, len(datagram))])
        damaged = patched(datagram, at, bytes((draw.choice([0, 1, 0xFF, draw.randrange(256)]),)))
        ours, theirs = csum_says(damaged), kernel_says(host, damaged)
        if (ours.get("transport"), theirs.get("transport")) != ("malformed", "bad"):
            assert ours == theirs, damaged.hex()
