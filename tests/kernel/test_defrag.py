"""ip_defrag against the running kernel: seeded fragments to a raw socket, one by one, all verdicts compared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, Final

import pytest

from ipkit.core.defrag import DefragUser, Fallen, ip_defrag, ip_expire, owed_about
from ipkit.core.host.fib import Route, RouteFlag, RouteType
from ipkit.core.host.kernel import LINUX_6_18
from ipkit.core.host.sysctl import NetConf
from ipkit.core.icmp_send import IcmpSent, icmp_send
from ipkit.core.ip_options_compile import ip_options_compile
from ipkit.core.outcome.counters import Mib
from ipkit.core.outcome.verdict import Drop, IcmpDue
from ipkit.core.skbuff import PacketType, SkBuff
from ipkit.core.state.frag_queues import FragQueues
from ipkit.core.state.icmp_tokens import IcmpTokens
from ipkit.core.state.ip_ident import IpIdents
from ipkit.core.state.routing import Routing
from ipkit.core.wire.icmp import TIME_EXCEEDED
from tests.kernel import model
from tests.kernel.counters import moved
from tests.kernel.events import watcher
from tests.kernel.namespace import UNLIMITED_ICMP, Namespace
from tests.kernel.normalise import without_own_id
from tests.kernel.sockets import Listeners
from tests.support.packets import eth, ip

pytestmark = pytest.mark.kernel

REASM_MIBS = frozenset(
    mib.value for mib in (Mib.REASM_REQDS, Mib.REASM_OKS, Mib.REASM_FAILS, Mib.REASM_TIMEOUT, Mib.REASM_OVERLAPS)
)
FRAG_TIME_EXCEEDED: Final = 1
DISTANCES = (0, 1, 2, 5, 64)
PROTOCOLS = (253, 254)
OPTIONS = (b"", b"", b"", b"\x01\x01\x01\x01", b"\x88\x04\x12\x34", b"\x07\x07\x08\x01\x02\x03\x04\x00")


@dataclass(frozen=True)
class Piece:
    """One fragment to come."""

    start: int
    size: int
    is_last: bool


class Sender:
    """One datagram on its way in pieces, tidy or not."""

    def __init__(self, rng: Random, ident: int) -> None:
        self._rng = rng
        self._ident = ident
        self._src = f"192.0.2.{rng.randint(9, 11)}"
        self._proto = rng.choice(PROTOCOLS)
        self._ecn = rng.choice(((0,), (1,), (2,), (3,), (1, 2), (1, 3), (2, 3), (0, 0, 0, 1), (0, 1, 2, 3)))
        self._df = rng.choice(((False,), (True,), (False, True)))
        self._base = rng.choice((0,) * 12 + (60000, 65000, 65480))
        self._pieces = list(self._order(self._mutated(self._cut())))

    def __bool__(self) -> bool:
        return bool(self._pieces)

    def next(self) -> bytes:
        """Return the next fragment."""
        rng, piece = self._rng, self._pieces.pop(0)
        return ip(
            rng.randbytes(piece.size),
            src=self._src,
            dst="192.0.2.1",
            proto=self._proto,
            ident=self._ident,
            ttl=rng.choice((1, 64, 255)),
            tos=rng.choice((0, 0x10, 0xB8)) | rng.choice(self._ecn),
            df=rng.choice(self._df),
            mf=not piece.is_last,
            offset=piece.start,
            options=rng.choice(OPTIONS),
        )

    def _cut(self) -> list[Piece]:
        rng = self._rng
        step = rng.choice((8, 8, 16, 80, 1400))
        count = rng.randint(1, 6)
        sizes = [rng.choice((step, step, 8 * rng.randint(1, 5))) for _ in range(count)]
        starts = [sum(sizes[:at]) for at in range(count)]
        if self._base:  # so far out that the datagram may not fit 65535 bytes
            starts = [0, *(self._base + start for start in starts)]
            sizes = [self._base, *sizes]
        sizes[-1] += rng.choice((0, 0, 1, 4, 7))
        return [
            Piece(start, size, at == len(sizes) - 1) for at, (start, size) in enumerate(zip(starts, sizes, strict=True))
        ]

    def _mutated(self, pieces: list[Piece]) -> list[Piece]:
        rng = self._rng
        end = pieces[-1].start + pieces[-1].size
        added = []
        for _ in range(rng.choice((0, 0, 0, 1, 1, 2, 4))):
            old = rng.choice(pieces)
            start = max(0, old.start + 8 * rng.randint(-2, 2))
            change = rng.choice((
                old,
                Piece(start, old.size, old.is_last),
                Piece(start, rng.choice((0, 3, 8, 13, 16, 24)), rng.random() < 0.3),
                Piece(old.start, old.size, not old.is_last),
                Piece(old.start, max(0, old.size + rng.choice((-8, -1, 1, 8))), old.is_last),
                Piece(end & ~7, 8, rng.random() < 0.5),
                Piece(0, old.start + old.size, rng.random() < 0.2),
            ))  # fmt: skip
            added.append(change)
        if rng.random() < 0.15:
            pieces = pieces[:-1] if rng.random() < 0.5 else pieces[1:]
        return [piece for piece in (*pieces, *added) if self._can_be_sent(piece)]

    @staticmethod
    def _can_be_sent(piece: Piece) -> bool:
        """Tell whether the header can say it, and whether it is a fragment at all."""
        return piece.start <= 65528 and piece.size <= 65480 and not (piece.start == 0 and piece.is_last)

    def _order(self, pieces: list[Piece]) -> list[Piece]:
        match self._rng.randrange(4):
            case 0:
                return sorted(pieces, key=lambda piece: piece.start)
            case 1:
                return sorted(pieces, key=lambda piece: -piece.start)
            case _:
                return self._rng.sample(pieces, len(pieces))


def traffic(seed: int, datagrams: int) -> Iterator[bytes]:
    """Yield the fragments of many datagrams, some of them on the way at the same time."""
    rng = Random(seed)
    waiting = [Sender(rng, rng.randint(1, 12)) for _ in range(datagrams)]
    together = rng.choice((1, 2, 5))
    while waiting:
        sender = rng.choice(waiting[:together])
        if sender:
            yield sender.next()
        else:
            waiting.remove(sender)


@pytest.mark.parametrize("seed", range(10))
def test_reassembly_is_the_kernels(seed: int) -> None:
    distance = DISTANCES[seed % len(DISTANCES)]
    host = {
        "sysctl": {"net.ipv4.ipfrag_max_dist": distance},
        "link": {"eth0": {"address": "02:00:00:00:01:01", "addr": ["192.0.2.1/24"], "mtu": 65521}},
    }
    queues = FragQueues(LINUX_6_18, NetConf(ipfrag_max_dist=distance))
    with Namespace(host) as namespace:
        listeners = Listeners(namespace, raw=PROTOCOLS)
        told: list[str] = [f"max_dist {distance}"]
        for datagram in traffic(seed, 60):
            told.append(summary(datagram))
            expected = asked_kernel(namespace, listeners, datagram)
            assert modelled(queues, datagram) == expected, "\n".join(told[-40:])


def summary(datagram: bytes) -> str:
    """Return a fragment in a line: ID, protocol, source, where it lies, flags, header bytes, TOS."""
    flags_offset = int.from_bytes(datagram[6:8])
    header_bytes = (datagram[0] & 15) * 4
    flags = "".join(letter for letter, bit in (("D", 0x4000), ("M", 0x2000)) if flags_offset & bit)
    return (
        f"id {int.from_bytes(datagram[4:6])} proto {datagram[9]} src {datagram[15]} "
        f"{(flags_offset & 0x1FFF) * 8}+{len(datagram) - header_bytes} {flags} hl {header_bytes} tos {datagram[1]:#x}"
    )


def asked_kernel(namespace: Namespace, listeners: Listeners, datagram: bytes) -> tuple[object, ...]:
    """Return what the kernel delivers, counts and gives as reason for dropping this fragment."""
    watching = watcher()
    if watching:
        watching.drain()
    before = namespace.counters()
    namespace.inject("eth0", eth(datagram, dst="02:00:00:00:01:01"))
    reasons = [drop.reason for drop in watching.drain().drops if drop.at == "ip_defrag"] if watching else []
    delivered = [row["data"] for row in listeners.received()]
    counted = {name: by for name, by in moved(before, namespace.counters()).items() if name in REASM_MIBS}
    return delivered, counted, "DUP_FRAG" in reasons


def modelled(queues: FragQueues, datagram: bytes) -> tuple[object, ...]:
    """Return the same of the model."""
    got = ip_defrag(SkBuff(datagram, "eth0", PacketType.HOST, 0), DefragUser.LOCAL_DELIVER, 0, queues)
    counted: dict[str, int] = {}
    for mib in got.mibs:
        counted[mib.value] = counted.get(mib.value, 0) + 1
    delivered = [got.outcome.data.hex()] if isinstance(got.outcome, SkBuff) else []
    is_duplicate = watcher() is not None and isinstance(got.outcome, Drop) and got.outcome.reason.value == "DUP_FRAG"
    return delivered, counted, is_duplicate


def test_what_never_came_is_told_of() -> None:
    """Queues that time out: the counters, and an error about each whose first fragment is there."""
    told, counted, errors, fallen = timed_out(traffic(1, 80))
    assert told == errors
    assert counted["IpReasmTimeout"] == fallen > len(errors) > 0


def test_a_ragged_first_fragment_is_quoted_without_its_surplus() -> None:
    told, _, errors, _ = timed_out([ip(b"123456789", src="192.0.2.9", dst="192.0.2.1", proto=253, mf=True)])
    assert told == errors


def timed_out(datagrams: Iterable[bytes]) -> tuple[list[bytes], dict[str, int], list[bytes], int]:
    """Return what the kernel said and counted after a second and a half, what the model says, how many queues fell."""
    host: dict[str, Any] = {
        "sysctl": {"net.ipv4.ipfrag_time": 1, **{name: int(value) for name, value in UNLIMITED_ICMP.items()}},
        "link": {"eth0": {"address": "02:00:00:00:01:01", "addr": ["192.0.2.1/24"], "mtu": 65521}},
    }
    routing = model.routing(host)
    queues = FragQueues(LINUX_6_18, routing.host.net)
    with Namespace(host) as namespace:
        listeners = Listeners(namespace, raw=PROTOCOLS)
        before = namespace.counters()
        for datagram in datagrams:
            assert modelled(queues, datagram) == asked_kernel(namespace, listeners, datagram)
        told = [frame.data[14:] for frame in namespace.collect_for(1.5)]
        counted = moved(before, namespace.counters())
    fallen = list(ip_expire(queues, 2_000_000_000))
    errors = [error for each in fallen for error in time_exceeded(each, routing)]
    return _in_any_order(told), counted, _in_any_order(errors), len(fallen)


def _in_any_order(errors: list[bytes]) -> list[bytes]:
    return sorted(without_own_id(error) for error in errors)


def time_exceeded(fallen: Fallen, routing: Routing) -> list[bytes]:
    """Return the error that the model sends about a queue whose time is over."""
    first = owed_about(fallen.queue)
    if first is None:
        return []
    route = Route(RouteType.LOCAL, RouteFlag.LOCAL, "lo", iif="eth0")
    about = SkBuff(first.head, "eth0", PacketType.HOST, 0, route=route)
    assert not ip_options_compile(about, routing)
    sent = icmp_send(IcmpDue(TIME_EXCEEDED, FRAG_TIME_EXCEEDED, 0, about), routing, IcmpTokens(), IpIdents(0))
    return [sent.datagram] if isinstance(sent, IcmpSent) else []
