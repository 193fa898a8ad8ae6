"""ip_fragment against the running kernel: seeded datagrams through a router, the fragments byte for byte."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest

from ipkit.core.fragment import ip_fragment, must_fragment
from ipkit.core.host.kernel import LINUX_6_18
from ipkit.core.outcome.counters import Mib
from ipkit.core.skbuff import IpControlBlock, IpOptions, PacketType, SkBuff
from tests.kernel.counters import moved
from tests.kernel.namespace import Namespace
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
HOST = {
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


def datagrams(seed: int, count: int) -> Iterator[tuple[int, bytes]]:
    """Yield numbers of ways out, and datagrams with DF off; a tenth does not fit the offset field."""
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
