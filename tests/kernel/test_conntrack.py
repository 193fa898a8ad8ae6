"""A host that tracks connections, against the running kernel: seeded fragments in transit and for the host itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address
from random import Random
from typing import Final

import pytest

from tests.kernel import conntrack
from tests.kernel.agreement import disagreements
from tests.kernel.machines import Kernel
from tests.kernel.normalise import differences
from tests.kernel.recordings import Inject, Observed, Scenario, Send, Step, Wait
from tests.support.packets import ICMP, eth, ip, udp
from tests.support.sending import namespace, played

pytestmark = pytest.mark.kernel


@pytest.fixture(autouse=True)
def _tracking() -> None:
    if lacks := conntrack.missing():
        pytest.skip(lacks)


HOST: Final = """
conntrack = true
routes = [
    "203.0.113.0/24 via 198.51.100.2 dev eth1 mtu 900",
    "198.18.1.0/24 via 192.0.2.9 dev eth0",
    "blackhole 198.18.3.0/24",
]
neigh = [
    "192.0.2.9 lladdr 02:00:00:00:01:09 dev eth0",
    "192.0.2.10 lladdr 02:00:00:00:01:0a dev eth0",
    "198.51.100.2 lladdr 02:00:00:00:02:02 dev eth1",
    "100.64.0.2 lladdr 02:00:00:00:03:02 dev eth2",
]
[sysctl]
"net.ipv4.ip_forward" = 1
"net.ipv4.conf.all.send_redirects" = 0
"net.ipv4.conf.eth0.send_redirects" = 0
[link.eth0]
address = "02:00:00:00:01:01"
addr = ["192.0.2.1/24"]
mtu = 9000
[link.eth1]
address = "02:00:00:00:02:01"
addr = ["198.51.100.1/24"]
[link.eth2]
address = "02:00:00:00:03:01"
addr = ["100.64.0.1/24"]
mtu = 576
"""

TARGETS: Final = (
    *("198.51.100.2",) * 4, *("100.64.0.2",) * 3, "203.0.113.5", "192.0.2.1", "192.0.2.255", "198.18.1.1", "198.18.3.1",
    "127.0.0.1", "224.0.0.1", "239.1.1.1",
)  # fmt: skip
ELSEWHERE: Final = ("198.51.100.2", "100.64.0.2", "203.0.113.5", "198.18.1.1")
OPTIONS: Final = (b"",) * 6 + (b"\x01\x01\x01\x01", b"\x88\x04\x12\x34")


def fragments(rng: Random, ident: int, targets: Sequence[str] = TARGETS) -> Iterator[bytes]:
    """Yield the fragments of one datagram, mostly tidy."""
    dst, src = rng.choice(targets), rng.choice(("192.0.2.9", "192.0.2.10"))
    size = rng.choice((17, 40, 600, 1500, 3000, 8000))
    payload = udp(rng.randbytes(size), src=src, dst=dst, dport=rng.choice((53, 9)))
    step = rng.choice((8, 16, 552, 880, 1480, 4000)) if size < 600 else rng.choice((552, 880, 1480, 4000))
    ecn = rng.choice(((0,), (0,), (0,), (2,), (2, 3), (0, 2)))
    df = rng.choice(((False,), (False,), (True,), (False, True)))
    ttl = rng.choice((64, 64, 64, 64, 2, 1))
    starts = list(range(0, len(payload), step))
    if rng.random() < 0.25:
        starts = sorted({0, *(8 * rng.randrange(len(payload) // 8 + 1) for _ in range(len(starts)))})
    spans = list(zip(starts, [*starts[1:], len(payload)], strict=True))
    spans = [(start, end) for start, end in spans if end > start or rng.random() < 0.1]
    for _ in range(rng.choice((0, 0, 0, 0, 1, 2))):
        start, end = rng.choice(spans)
        change = 8 * rng.randint(-2, 2)
        spans.append(rng.choice(((start, end), (max(0, start + change), end), (start, max(start + 8, end + change)))))
    order = rng.choice((list, list, reversed, lambda given: rng.sample(given, len(given))))
    for start, end in order(spans):
        if rng.random() < 0.03:
            continue
        yield ip(
            payload[start:end],
            src=src,
            dst=dst,
            ident=ident,
            ttl=rng.choice((ttl, ttl, 33)) if start else ttl,
            tos=0xB8 | rng.choice(ecn),
            df=rng.choice(df),
            mf=end < len(payload),
            offset=start,
            options=rng.choice(OPTIONS),
        )


def traffic(seed: int, datagrams: int) -> Iterator[tuple[str, bytes]]:
    """Yield datagrams in pieces, up to three at a time, and what is whole in between."""
    rng = Random(seed)
    waiting = [list(fragments(rng, ident)) for ident in range(1, datagrams + 1)]
    together = rng.choice((1, 2, 3))
    while waiting:
        pieces = rng.choice(waiting[:together])
        dev = rng.choice(("eth0",) * 9 + ("eth1",))
        if not pieces:
            waiting.remove(pieces)
        elif rng.random() < 0.9:
            yield dev, pieces.pop(0)
        else:
            yield dev, ip(udp(rng.randbytes(rng.choice((8, 1000))), dst="198.51.100.2"), src="192.0.2.9")


def scenario(frames: Iterable[tuple[str, bytes]], *, waits_ms: int = 0, **knobs: int) -> Scenario:
    """Return the frames as steps on the host."""
    macs = {"eth0": "02:00:00:00:01:01", "eth1": "02:00:00:00:02:01"}
    given = [(Inject(dev, eth(data, dst=macs[dev])), f"{dev} {said(data)}") for dev, data in frames]
    steps = [Step(at, action, Observed(), note) for at, (action, note) in enumerate(given)]
    if waits_ms:
        steps.append(Step(len(steps), Wait(waits_ms), Observed()))
    more = "".join(f'"net.ipv4.{name}" = {value}\n' for name, value in knobs.items())
    return Scenario("conntrack", HOST.replace("[sysctl]\n", "[sysctl]\n" + more), tuple(steps), udp=(53,))


def said(data: bytes) -> str:
    """Return a fragment in a line."""
    flags = int.from_bytes(data[6:8])
    letters = "".join(letter for letter, bit in (("D", 0x4000), ("M", 0x2000)) if flags & bit)
    place = f"{(flags & 0x1FFF) * 8}+{len(data) - (data[0] & 15) * 4}"
    return f"id {data[4] << 8 | data[5]} to {IPv4Address(data[16:20])} ttl {data[8]} tos {data[1]:#x} {place} {letters}"


def written(seed: int, datagrams: int) -> Iterator[Send]:
    """Yield what a program writes to raw sockets: fragments with their headers, some to pass as they are."""
    rng = Random(seed)
    for ident in range(1, datagrams + 1):
        options = [("SOL_IP", "IP_NODEFRAG", 1)] if rng.random() < 0.2 else []
        if rng.random() < 0.2:
            options.append(("SOL_IP", "IP_MTU_DISCOVER", rng.choice((0, 2, 3))))
        for data in fragments(rng, ident, ELSEWHERE):
            call = {"data": data.hex(), "to": f"{IPv4Address(data[16:20])}:0"}
            yield Send("raw", 255, hdrincl=True, sockopts=tuple(options), calls=(call,))


@pytest.mark.parametrize("seed", range(3))
def test_what_a_program_cut_is_put_together_on_its_way_out(seed: int) -> None:
    steps = [Step(at, send, Observed(), str(send)) for at, send in enumerate(written(seed, 40))]
    net = namespace('neigh_default = "resolve"\n' + HOST)
    found = []
    for step, kernel in zip(steps, Kernel().play(Scenario("conntrack", HOST, tuple(steps))), strict=True):
        assert isinstance(step.action, Send)
        answered = [frame for frame in kernel.out if frame.data[23] == ICMP]  # errors that a cut forbidden earns
        kernel.out = [frame for frame in kernel.out if frame not in answered]
        parts = ("out", "calls") if answered else ("out", "calls", "counters")
        found += differences(step, kernel, played(net, step.action), parts)
    assert found == []


@pytest.mark.parametrize("seed", range(8))
def test_datagrams_are_put_together_and_cut_again_as_by_the_kernel(seed: int) -> None:
    """A difference must show twice: the kernel's counter of identifications may meet one of ours."""
    which = scenario(traffic(seed, 60), ipfrag_max_dist=(64, 2)[seed % 2])
    assert not disagreements(which) or disagreements(which) == []


def test_only_what_was_for_this_host_is_told_of_when_it_never_becomes_whole() -> None:
    which = scenario(traffic(100, 60), waits_ms=1500, ipfrag_time=1, **{"conf.eth1.rp_filter": 1})
    assert disagreements(which) == []
