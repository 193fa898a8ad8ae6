"""ip_fragment against the running kernel: seeded datagrams through a router, the fragments byte for byte."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any, Final

import pytest

from ipkit.core.fragment import ip_fragment, must_fragment
from ipkit.core.host.fib import Route, RouteFlag, RouteType
from ipkit.core.host.kernel import LINUX_6_18
from ipkit.core.icmp_send import IcmpSent, icmp_send
from ipkit.core.ip_options_compile import ip_options_compile
from ipkit.core.outcome.counters import Mib
from ipkit.core.outcome.verdict import IcmpDue
from ipkit.core.skbuff import IpControlBlock, IpOptions, PacketType, SkBuff
from ipkit.core.state.icmp_tokens import IcmpTokens
from ipkit.core.state.ip_ident import IpIdents
from ipkit.core.state.routing import Routing
from ipkit.core.wire.icmp import DEST_UNREACH, FRAG_NEEDED
from tests.kernel import model
from tests.kernel.counters import moved
from tests.kernel.namespace import UNLIMITED_ICMP, Namespace
from tests.kernel.normalise import without_own_id
from tests.support.packets import eth, ip

pytestmark = pytest.mark.kernel

MTUS = (68, 69, 75, 76, 84, 100, 128, 296, 552, 576, 577, 1000, 1280, 1400, 1492, 1500)
OPTIONS = (
    b"", b"", b"", b"",
    b"\x01\x01\x01\x01",
    b"\x82\x0b" + bytes(9) + b"\x00",  # security: copied
    b"\x88\x04\x12\x34",  # stream id: copied
    b"\x07\x0b\x0c" + bytes(range(8)) + b"\x00",  # a full record route: not copied
    b"\x44\x0c\x0d\x03" + bytes(range(8)),  # a full time stamp, for addresses given before
    b"\x1e\x06abcd\x01\x00",  # unknown, not copied
    b"\x9e\x06abcd\x01\x01",  # unknown, copied
    b"\x83\x07\x08\x0a\x00\x00\x01\x00",  # an exhausted source route: copied
    b"\x01\x1e\x03x\x9e\x03y\x07\x07\x08\x0a\x01\x02\x03\x88\x04\x12\x34" + bytes(2),
    b"\x1e\x28" + bytes(38),
    b"\x9e\x28" + bytes(38),
)  # fmt: skip
HOST: Final[dict[str, Any]] = {
    "sysctl": {"net.ipv4.ip_forward": 1, "net.ipv4.conf.all.accept_source_route": 1},
    "routes": [f"198.18.{number}.0/24 dev out{number}" for number in range(len(MTUS))],
    "neigh": [f"198.18.{number}.1 lladdr 02:00:00:00:05:01 dev out{number}" for number in range(len(MTUS))],
    "link": {
        "eth0": {"address": "02:00:00:00:01:01", "mtu": 65521, "addr": ["192.0.2.1/24"]},
        **{
            f"out{number}": {"mtu": mtu, "address": "02:00:00:00:02:01", "addr": [f"198.19.{number}.1/32"]}
            for number, mtu in enumerate(MTUS)
        },
    },
}


def datagrams(seed: int, count: int, *, df: bool = False) -> Iterator[tuple[int, bytes]]:
    """Yield numbers of ways out, and datagrams for them."""
    rng = Random(seed)
    for _ in range(count):
        number = rng.randrange(len(MTUS))
        mtu = MTUS[number]
        options = rng.choice(OPTIONS)
        room = mtu - 20 - len(options)
        near = room * rng.randint(1, 4) + rng.choice((-9, -8, -7, -1, 0, 1, 7, 8, 9))
        size = max(0, rng.choice((near, near, rng.randint(0, 4000), rng.randint(0, 40 * room), room)))
        is_fragment = rng.random() < 0.4
        yield (
            number,
            ip(
                rng.randbytes(min(size, 65515 - len(options))),
                src="192.0.2.9",
                dst=f"198.18.{number}.1",
                proto=rng.choice((1, 6, 17, 253)),
                ttl=rng.choice((2, 3, 64, 255)),
                tos=rng.randrange(256),
                ident=rng.randrange(65536),
                df=df,
                mf=is_fragment and rng.random() < 0.6,
                reserved=rng.random() < 0.1,
                offset=rng.choice((8, 1480, 8 * rng.randrange(8192), 65528)) if is_fragment else 0,
                options=options,
            ),
        )


def one_hop_on(datagram: bytes) -> bytes:
    """Return a datagram as a router sends it on: TTL less one, the checksum by RFC 1624."""
    check = int.from_bytes(datagram[10:12]) + 0x0100
    check = check - 0xFFFF if check >= 0xFFFF else check
    return datagram[:8] + bytes((datagram[8] - 1,)) + datagram[9:10] + check.to_bytes(2) + datagram[12:]


def modelled(datagram: bytes, mtu: int) -> tuple[list[bytes], dict[str, int]]:
    """Return what the model makes of a datagram on its way out, and the counters."""
    options = IpOptions(optlen=(datagram[0] & 15) * 4 - 20)
    skb = SkBuff(datagram, "out", PacketType.HOST, 0, cb=IpControlBlock(options=options))
    if not must_fragment(skb, mtu, LINUX_6_18):
        return [datagram], {}
    fragments: list[bytes] = []
    result = ip_fragment(skb, mtu, LINUX_6_18, fragments.append)
    counters: dict[str, int] = {}
    for mib in result.mibs:
        counters[mib.value] = counters.get(mib.value, 0) + 1
    return fragments, counters


@pytest.mark.parametrize("seed", range(4))
def test_fragments_are_the_kernels(seed: int) -> None:
    with Namespace(HOST) as namespace:
        for number, datagram in datagrams(seed, 300):
            before = namespace.counters()
            namespace.inject("eth0", eth(datagram, dst="02:00:00:00:01:01"))
            out = [(frame.dev, frame.data[14:]) for frame in namespace.collect()]
            counted = moved(before, namespace.counters())
            fragments, counters = modelled(one_hop_on(datagram), MTUS[number])
            told = f"mtu {MTUS[number]}, datagram {datagram.hex()}"
            assert out == [(f"out{number}", fragment) for fragment in fragments], told
            frag_mibs = (Mib.FRAG_OKS, Mib.FRAG_FAILS, Mib.FRAG_CREATES)
            assert {mib.value: counted[mib.value] for mib in frag_mibs if mib.value in counted} == counters, told


def owed(number: int, datagram: bytes, routing: Routing) -> list[bytes]:
    """Return the error that the model sends about a datagram that does not fit."""
    route = Route(RouteType.UNICAST, RouteFlag.NONE, f"out{number}", iif="eth0")
    about = SkBuff(datagram, "eth0", PacketType.HOST, 0, route=route)
    assert not ip_options_compile(about, routing)
    due = IcmpDue(DEST_UNREACH, FRAG_NEEDED, MTUS[number], about)
    sent = icmp_send(due, routing, IcmpTokens(), IpIdents(0))
    return [sent.datagram] if isinstance(sent, IcmpSent) else []


@pytest.mark.parametrize("seed", range(2))
def test_frag_needed_is_the_kernels(seed: int) -> None:
    """What is sent about DF datagrams that are too long: which of them, how much is quoted, which options come back."""
    host = {**HOST, "sysctl": {**HOST["sysctl"], **{name: int(value) for name, value in UNLIMITED_ICMP.items()}}}
    routing = model.routing(host)
    with Namespace(host) as namespace:
        for number, datagram in datagrams(seed, 300, df=True):
            if len(datagram) <= MTUS[number]:
                continue
            namespace.inject("eth0", eth(datagram, dst="02:00:00:00:01:01"))
            out = [(frame.dev, without_own_id(frame.data[14:])) for frame in namespace.collect()]
            errors = [("eth0", without_own_id(error)) for error in owed(number, datagram, routing)]
            assert out == errors, f"mtu {MTUS[number]}, datagram {datagram.hex()}"
