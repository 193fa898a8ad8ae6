"""Seeded packets without options, sound and damaged, through the model and through the running kernel."""

from __future__ import annotations

from random import Random
from typing import Any, Final

import pytest

from ipkit.core.skbuff import PacketType
from tests.kernel.agreement import disagreements
from tests.kernel.hostfile import to_toml
from tests.kernel.recordings import Inject, Observed, Scenario, Step
from tests.kernel.test_journey_cases import TO
from tests.support.journey_cases import RAW_PROTOCOL, UDP_PORT, VARIANTS, described
from tests.support.packets import eth, ip, patched, rfc1071, tcp, u16, udp, udplite
from tests.support.packets import icmp as message

pytestmark = pytest.mark.kernel

SOURCES: Final = (
    *("10.0.0.5",) * 6, "10.0.0.7", "10.1.0.7", "10.1.0.5", "10.0.0.1", "10.0.0.255", "10.0.0.0", "0.0.0.0",
    "127.0.0.1", "224.0.0.5", "255.255.255.255", "99.1.1.1", "10.8.0.3", "10.68.0.1", "240.0.0.1", "0.1.2.3",
)  # fmt: skip
DESTINATIONS: Final = (
    *("10.1.0.5", "10.8.0.1", "10.0.0.1") * 3, "10.9.0.1", "10.1.0.1", "10.0.0.255", "10.1.0.255", "10.1.0.0",
    "255.255.255.255", "0.0.0.0", "127.0.0.1", "10.68.0.1", "10.70.0.1", "10.74.0.1", "10.75.0.1", "240.0.0.9",
    "224.0.0.1", "239.1.1.1",
)  # fmt: skip
"""None that a source is told of by ip_error, nor redirected: the moments of what was sent before would decide."""
SIZES: Final = (0, 1, 4, 8, 12, 20, 28, 60, 100, 400)
ERRORS: Final = (3, 4, 11, 12)
OTHER_TYPES: Final = (0, 8, 8, 8, 13, 9, 10, 15, 17, 42, 200)
A_FEW: Final = 8


def datagram(rng: Random) -> bytes:
    """Return a packet that some stack might send, or nearly."""
    src, dst = rng.choice(SOURCES), rng.choice(DESTINATIONS)
    protocol, payload = carried(rng, src, dst)
    data = ip(
        payload,
        src=src,
        dst=dst,
        proto=protocol,
        ttl=rng.choice((64, 64, 64, 2, 1, 0, 255)),
        tos=rng.choice((0, 0, 0x10, 0xFF, 0x03, 0x1E, 0xB8, rng.randrange(256))),
        df=rng.random() < 0.3,
        mf=rng.random() < 0.1,
        reserved=rng.random() < 0.05,
        offset=rng.choice((0,) * 9 + (8, 1480, 65528)),
        ident=0xA000 + rng.randrange(0x1000),
    )
    return damaged(rng, data) if rng.random() < 0.2 else data


def carried(rng: Random, src: str, dst: str) -> tuple[int, bytes]:
    """Return a protocol and what it brings, its checksum wrong now and then."""
    body = rng.randbytes(rng.choice(SIZES))
    wrong: dict[str, Any] = {} if rng.random() < 0.8 else {"checksum": rng.choice((0, 1, 0xFFFF))}
    match rng.choice(("udp", "udp", "udplite", "tcp", "icmp", "error", "none")):
        case "udp":
            length = None if rng.random() < 0.9 else rng.choice((0, 7, len(body) + 7, len(body) + 9))
            return 17, udp(body, src=src, dst=dst, dport=rng.choice((UDP_PORT, 9)), length=length, **wrong)
        case "udplite":
            return 136, udplite(body, src=src, dst=dst)
        case "tcp":
            flags = rng.choice((1, 2, 4, 0x10, 0x12, 0, 0x18))
            return 6, tcp(
                body, src=src, dst=dst, seq=rng.getrandbits(32), ack=rng.getrandbits(32), flags=flags, **wrong
            )
        case "icmp":
            return 1, message(body, kind=rng.choice(OTHER_TYPES), code=rng.choice((0, 0, 5)), **wrong)
        case "error":
            quoted = ip(udp(b"xx", src=dst, dst=src, sport=rng.choice((UDP_PORT, 9))), src=dst, dst=src)
            cut = quoted[: rng.choice((0, 19, 20, 27, 28, 40))]
            return 1, message(cut, kind=rng.choice(ERRORS), code=rng.choice((0, 1, 3, 13, 16)), **wrong)
        case _:
            return rng.choice((0, 1, 2, 4, 6, 17, 132, 136, 253, RAW_PROTOCOL, 255)), body


def damaged(rng: Random, data: bytes) -> bytes:
    """Return it cut, longer than it says, with a byte of its header changed, or with another length."""
    match rng.randrange(4):
        case 0:
            return data[: rng.randrange(len(data) + 1)]
        case 1:
            return data + rng.randbytes(rng.choice((1, 4, 18)))
        case 2:
            return patched(data, rng.randrange(20), bytes([rng.randrange(256)]))
        case _:
            header = patched(data[:20], 2, u16(rng.choice((0, 19, 20, len(data) + 1))))
            return patched(header, 10, u16(rfc1071(patched(header, 10, b"\0\0")))) + data[20:]


def scenario(seed: int) -> Scenario:
    """Return a few packets for one of the hosts."""
    rng = Random(seed)
    variant = list(VARIANTS)[seed % len(VARIANTS)]
    steps = []
    for number in range(A_FEW):
        data = datagram(rng)
        to = rng.choice((*[PacketType.HOST] * 8, PacketType.BROADCAST, PacketType.MULTICAST, PacketType.OTHERHOST))
        steps.append(Step(number, Inject("t0", eth(data, dst=TO[to])), Observed(), f"{to.name} {data.hex()}"))
    return Scenario(variant, to_toml(described(variant)), tuple(steps), raw=(RAW_PROTOCOL,), udp=(UDP_PORT,))


@pytest.mark.parametrize("seed", range(2 * len(VARIANTS)))
def test_the_running_kernel_agrees_on_any_packet(seed: int) -> None:
    """A difference must show twice: an interrupt in our context may drop something from elsewhere."""
    which = scenario(seed)
    assert not disagreements(which) or disagreements(which) == []
