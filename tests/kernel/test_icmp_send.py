"""icmp_send against the running kernel: seeded datagrams that must not be fragmented, the errors frame by frame."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest

from ipkit.core.frames import Frame
from ipkit.core.host.build import build_host
from ipkit.core.host.kernel import LINUX_6_18
from ipkit.core.icmp_frames import IcmpFrames
from ipkit.core.outcome.verdict import IcmpDue
from ipkit.core.skbuff import PacketType, SkBuff
from tests.kernel.namespace import Namespace
from tests.support.packets import eth, icmp, ip, patched, udp

pytestmark = pytest.mark.kernel

MTUS = (68, 100, 576, 1280)
SOURCES = ("192.0.2.9", "192.0.2.10", "198.51.100.77", "198.51.101.1", "203.0.113.5")
HOST = {
    "sysctl": {"net.ipv4.ip_forward": 1},
    "routes": [
        *(f"198.18.{number}.0/24 dev out{number}" for number in range(len(MTUS))),
        "198.51.100.0/24 via 192.0.2.254 dev eth0 mtu 400",
        "198.51.101.0/24 via 192.0.2.254 dev eth0 src 192.0.2.2 mtu lock 90 hoplimit 7",
        "203.0.113.0/24 via 198.19.3.2 dev out3",
    ],
    "neigh": [
        "192.0.2.9 lladdr 02:00:00:00:01:09 dev eth0",
        "192.0.2.254 lladdr 02:00:00:00:01:fe dev eth0",
        "192.0.2.10 lladdr 02:00:00:00:01:0a dev eth0",
        "198.19.3.2 lladdr 02:00:00:00:05:02 dev out3",
    ],
    "link": {
        "eth0": {"address": "02:00:00:00:01:01", "addr": ["192.0.2.1/24", "192.0.2.2/24"]},
        **{
            f"out{number}": {"mtu": mtu, "address": f"02:00:00:00:02:0{number}", "addr": [f"198.19.{number}.1/24"]}
            for number, mtu in enumerate(MTUS)
        },
    },
}
OPTIONS = (
    b"",
    b"",
    b"\x01\x01\x01\x01",
    b"\x88\x04\x12\x34",  # stream id: not echoed
    b"\x07\x0b\x0c" + bytes(range(8)) + b"\x00",  # a full record route: echoed
    b"\x07\x23\x24" + bytes(range(32)) + b"\x00",
    b"\x44\x0c\x0d\x03" + bytes(range(8)),  # a full time stamp, for addresses given before
    b"\x44\x0c\x0d\x03" + bytes(range(8)) + b"\x07\x07\x08\xc0\x00\x02\x63\x01",  # both: the record comes first
)


def datagrams(seed: int, count: int) -> Iterator[tuple[int, bytes]]:
    """Yield numbers of ways out, and datagrams too long for them; some are of a kind that no error is sent about."""
    rng = Random(seed)
    for _ in range(count):
        number = rng.randrange(len(MTUS))
        source = rng.choice(SOURCES)
        size = rng.choice((MTUS[number], MTUS[number] + rng.randint(1, 60), 1400))
        proto, payload = rng.choice(
            (
                (17, udp(rng.randbytes(size))),
                (253, rng.randbytes(size)),
                (1, icmp(rng.randbytes(size), kind=rng.choice((0, 3, 5, 8, 13, 42)))),
            )
        )
        yield (
            number,
            ip(
                payload,
                proto=proto,
                src=source,
                dst=f"198.18.{number}.1",
                df=True,
                tos=rng.randrange(256),
                ttl=rng.choice((2, 64)),
                ident=rng.randrange(65536),
                mf=rng.random() < 0.2,
                offset=rng.choice((0, 0, 0, 8)),
                options=rng.choice(OPTIONS),
            ),
        )


def comparable(frame: bytes) -> bytes:
    """Return a frame without the identification that the host draws, and without the sum that covers it."""
    return patched(patched(frame, 18, b"\0\0"), 24, b"\0\0")


@pytest.mark.parametrize("seed", range(4))
def test_errors_are_the_kernels(seed: int) -> None:
    errors = 0
    model = IcmpFrames(build_host(HOST, file="host.toml", kernel=LINUX_6_18), seed)
    with Namespace(HOST) as namespace:
        for number, datagram in datagrams(seed, 150):
            frame = eth(datagram, dst="02:00:00:00:01:01")
            namespace.inject("eth0", frame)
            out = [(one.dev, comparable(one.data)) for one in namespace.collect()]
            skb = SkBuff(datagram, "eth0", PacketType.HOST, 0)
            error = model.frame_for(IcmpDue(3, 4, MTUS[number], skb), Frame("", 1, 0, frame, len(frame), 1, "eth0"))
            modelled = [] if error is None else [(error.interface, comparable(error.data))]
            assert out == modelled, f"mtu {MTUS[number]}, datagram {datagram.hex()}"
            errors += len(out)
    assert errors > 50
