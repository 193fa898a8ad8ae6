"""Which of several next hops: seeded packets and answers through the model and the running kernel."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Final

import pytest

from tests.kernel.journey_model import Model
from tests.kernel.machines import Kernel
from tests.kernel.normalise import differences
from tests.kernel.recordings import Inject, Observed, Scenario, Step
from tests.support.packets import ICMP, TCP, eth, icmp, ip, tcp, udp

pytestmark = pytest.mark.kernel

MACS: Final = {"t0": "02:00:00:00:01:01", "t1": "02:00:00:00:01:02", "t2": "02:00:00:00:01:03"}
IPIP: Final = 4
HOST: Final = """
routes = [
    "10.8.0.0/16 nexthop via 10.1.0.2 dev t1 nexthop via 10.2.0.2 dev t2 weight 3 nexthop via 10.1.0.3 dev t1 weight 2",
    "10.9.0.0/16 nexthop via 10.1.0.2 dev t1 nexthop via 10.2.0.3 dev t2",
]
neigh = [{neighbours}]
[sysctl]
"net.ipv4.ip_forward" = 1
"net.ipv4.fib_multipath_hash_policy" = {policy}
"net.ipv4.fib_multipath_hash_fields" = {fields}
"net.ipv4.fib_multipath_hash_seed" = 12345
[link.t0]
address = "02:00:00:00:01:01"
addr = ["10.0.0.1/16"]
[link.t1]
address = "02:00:00:00:01:02"
addr = ["10.1.0.1/24"]
mtu = 600
[link.t2]
address = "02:00:00:00:01:03"
addr = ["10.2.0.1/24"]
"""


def host(policy: int, fields: int) -> str:
    known = ["10.1.0.2 dev t1", "10.1.0.3 dev t1", "10.2.0.2 dev t2", "10.2.0.3 dev t2"]
    known += [f"10.0.1.{last} dev t0" for last in range(1, 255)]
    neighbours = ", ".join(f'"{one} lladdr 02:00:00:00:00:77"' for one in known)
    return HOST.format(neighbours=neighbours, policy=policy, fields=fields)


def far(random: Random) -> str:
    return f"10.{random.choice((8, 9))}.{random.randrange(256)}.{random.randrange(1, 255)}"


def near(random: Random) -> str:
    return f"10.0.1.{random.randrange(1, 255)}"


def ports(random: Random) -> dict[str, Any]:
    return {"sport": random.randrange(1, 65536), "dport": random.randrange(1, 65536)}


def transit(random: Random, content: Callable[[Random, dict[str, Any]], tuple[int, bytes]]) -> tuple[str, bytes]:
    pair: dict[str, Any] = {"src": near(random), "dst": far(random)}
    proto, payload = content(random, pair)
    return "t0", ip(payload, proto=proto, ident=random.randrange(1, 65536), **pair)


def for_us(random: Random, content: Callable[[Random, dict[str, Any]], tuple[int, bytes]]) -> tuple[str, bytes]:
    pair: dict[str, Any] = {"src": far(random), "dst": "10.0.0.1"}
    proto, payload = content(random, pair)
    return random.choice(("t1", "t2")), ip(payload, proto=proto, ident=random.randrange(1, 65536), **pair)


def a_datagram(random: Random, pair: dict[str, Any]) -> tuple[int, bytes]:
    return 17, udp(bytes(random.choice((0, 10, 900))), **ports(random), **pair)


def a_segment(random: Random, pair: dict[str, Any]) -> tuple[int, bytes]:
    return TCP, tcp(flags=2, **ports(random), **pair)


def an_echo(_random: Random, _pair: dict[str, Any]) -> tuple[int, bytes]:
    return ICMP, icmp(b"abc")


def an_error(random: Random, pair: dict[str, Any]) -> tuple[int, bytes]:
    quoted = ip(udp(b"12345678"), src=pair["dst"], dst=far(random))
    return ICMP, icmp(quoted, kind=random.choice((3, 4, 5, 11, 12)), code=1)


def a_tunnel(random: Random, _pair: dict[str, Any]) -> tuple[int, bytes]:
    return IPIP, ip(udp(b"y", **ports(random)), src=near(random), dst=far(random))


def a_piece(random: Random) -> tuple[str, bytes]:
    place: dict[str, Any] = {"mf": random.random() < 0.5, "offset": random.choice((0, 16, 160))}
    return "t0", ip(random.randbytes(16), src=near(random), dst=far(random), ident=random.randrange(1, 65536), **place)


def an_offender(random: Random) -> tuple[str, bytes]:
    pair: dict[str, Any] = {"src": far(random), "dst": near(random)}
    packet = ip(udp(b"x", **ports(random), **pair), ttl=1, ident=random.randrange(1, 65536), **pair)
    return random.choice(("t1", "t2")), packet


KINDS: Final[tuple[Callable[[Random], tuple[str, bytes]], ...]] = (
    *(lambda random, one=one: transit(random, one) for one in (a_datagram, a_segment, an_error, a_tunnel)),
    *(lambda random, one=one: for_us(random, one) for one in (a_datagram, a_segment, an_echo)),
    a_piece,
    an_offender,
)


def scenario(policy: int, fields: int, count: int) -> Scenario:
    random = Random(policy << 12 | fields)
    came = [random.choice(KINDS)(random) for _ in range(count)]
    steps = [Step(number, Inject(dev, eth(data, dst=MACS[dev])), Observed()) for number, (dev, data) in enumerate(came)]
    return Scenario("ways", host(policy, fields), tuple(steps))


def disagreements(played: Scenario) -> list[str]:
    found = []
    for step, kernel, model in zip(played.steps, Kernel().play(played), Model().play(played), strict=True):
        found += differences(step, kernel, model, ("out",))
    return found


@pytest.mark.parametrize(
    ("policy", "fields"), [(0, 7), (1, 7), (2, 7), (3, 7), (3, 0x37), (3, 0x3F), (3, 0xC0), (3, 0xFFF)]
)
def test_packets_take_the_way_that_the_kernel_chooses(policy: int, fields: int) -> None:
    """A difference must show twice: one ID in 65,536 is by chance that of the packet that came in."""
    assert not disagreements(scenario(policy, fields, 100)) or disagreements(scenario(policy, fields, 100)) == []
