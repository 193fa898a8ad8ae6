"""Packets with options of any kind, well formed and not, through the model and through the running kernel."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from random import Random
from typing import Any, Final

import pytest

from tests.kernel.agreement import disagreements
from tests.kernel.journey_model import Model
from tests.kernel.machines import Kernel
from tests.kernel.normalise import without_own_id
from tests.kernel.recordings import Inject, Observed, Scenario, Step, Wait
from tests.support.packets import ICMP, TCP, UDP, address, eth, icmp, ip, tcp, udp

pytestmark = pytest.mark.kernel

HOP_MAC: Final = "02:00:00:00:00:77"
TO_ALL: Final = "ff:ff:ff:ff:ff:ff"
MACS: Final = {"t0": "02:00:00:00:01:01", "t1": "02:00:00:00:01:02", "t2": "02:00:00:00:01:03"}
OWN: Final = ("10.0.0.1", "10.1.0.1", "10.1.0.2", "10.2.0.1")
HOPS: Final = ("10.1.0.5", "10.1.0.7", "10.2.0.5", "10.0.255.9", "10.8.0.5", "10.6.0.5", "10.5.0.5")
NO_HOPS: Final = ("224.0.0.1", "239.1.1.1", "10.1.0.255", "127.0.0.1", "0.0.0.0", "255.255.255.255", "10.66.0.1",
                  "10.67.0.1", "10.68.0.1", "99.0.0.1")  # fmt: skip
NEIGHBOURS: Final = ("10.1.0.5 dev t1", "10.1.0.7 dev t1", "10.1.0.9 dev t1", "10.0.255.9 dev t0", "10.2.0.5 dev t2")
ROUTES: Final = (
    "10.6.0.0/16 via 10.1.0.9 dev t1 mtu 600", "10.8.0.0/16 via 10.1.0.9 dev t1",
    "10.5.0.0/16 dev t1 via 10.1.0.5 src 10.2.0.1", "10.5.0.0/16 via 10.2.0.5 dev t2 tos 0x10",
    "unreachable 10.66.0.0/16", "prohibit 10.67.0.0/16", "blackhole 10.68.0.0/16",
)  # fmt: skip

HOSTS: Final[dict[str, dict[str, int]]] = {
    "router": {"accept_source_route": 1},
    "router that takes no source routes": {},
    "host": {"accept_source_route": 1, "forwarding": 0},
    "strict": {"accept_source_route": 1, "rp_filter": 1, "drop_unicast_in_l2_multicast": 1},
    "lenient": {"accept_source_route": 1, "accept_local": 1, "route_localnet": 1, "bc_forwarding": 1},
}
"""Some machines: what they have set for all devices, besides forwarding."""

RULES: Final = {"strict": ("from 10.0.1.0/24 tos 0x10 table 100", "to 10.6.0.0/16 lookup main")}


def host(name: str, count: int) -> str:
    """Return a host; every packet has a source of its own, so no limit by source is met."""
    neighbours = [*NEIGHBOURS, *(f"{source(number)} dev t0" for number in range(count))]
    knobs = {"forwarding": 1, "send_redirects": 0} | HOSTS[name]
    devices = ("all", *MACS) if "bc_forwarding" in knobs else ("all",)
    lines = [f'"net.ipv4.conf.{dev}.{knob}" = {value}' for knob, value in knobs.items() for dev in devices]
    lines += [f'"net.ipv4.conf.{dev}.send_redirects" = 0' for dev in MACS if "bc_forwarding" not in knobs]
    lines += [f'"net.ipv4.neigh.{dev}.retrans_time_ms" = 60000' for dev in MACS]  # nobody is asked for twice
    return "\n".join((
        f"routes = {_listed(ROUTES)}",
        f"rules = {_listed(RULES.get(name, ()))}",
        f"neigh = {_listed(f'{one} lladdr {HOP_MAC}' for one in neighbours)}",
        "[sysctl]",
        *lines,
        '"net.ipv4.icmp_echo_ignore_broadcasts" = 0',
        '[link.t0]\naddr = ["10.0.0.1/16"]',
        f'address = "{MACS["t0"]}"',
        '[link.t1]\naddr = ["10.1.0.1/24", "10.1.0.2/24"]',
        f'address = "{MACS["t1"]}"',
        '[link.t2]\naddr = ["10.2.0.1/24"]\nmtu = 200',
        f'address = "{MACS["t2"]}"',
    ))  # fmt: skip


def _listed(texts: Iterable[str]) -> str:
    return "[" + ", ".join(f'"{text}"' for text in texts) + "]"


def source(number: int) -> str:
    return f"10.0.{1 + number // 250}.{1 + number % 250}"


def scenario(seed: int, name: str, count: int) -> Scenario:
    random = Random(seed)
    came = [packet for number in range(count) for packet in packets(random, source(number))]
    steps = [Step(number, Inject(*each), Observed()) for number, each in enumerate(came)]
    return Scenario("options", host(name, count), tuple(steps))


def packets(random: Random, src: str) -> Iterator[tuple[str, bytes]]:
    """Yield a datagram, or the fragments of one: each brings options of its own."""
    dev = random.choice(("t0", "t0", "t0", "t1", "t2"))
    mac = random.choice((MACS[dev],) * 9 + (TO_ALL,))
    dst = random.choice(random.choice((OWN, OWN, HOPS, HOPS, NO_HOPS)))
    proto, payload = content(random, src, dst)
    common: dict[str, Any] = {"src": src, "dst": dst, "proto": proto, "tos": random.choice((0, 0x10, 0xFF)),
              "ttl": random.choice((0, 1, 2, 64, 64, 64)), "df": random.random() < 0.3,
              "ident": random.randrange(1, 65536)}  # fmt: skip
    if random.random() < 0.1 and len(payload) > 8:
        cut = random.randrange(8, len(payload), 8)
        places: tuple[dict[str, Any], ...] = ({"mf": True}, {"offset": cut})
        pieces = list(zip((payload[:cut], payload[cut:]), places, strict=True))
        random.shuffle(pieces)
        for piece, place in pieces[: random.choice((1, 2, 2, 2))]:
            yield dev, eth(ip(piece, options=any_options(random), **{**common, **place}), dst=mac)
    else:
        yield dev, eth(ip(payload, options=any_options(random), **common), dst=mac)


def content(random: Random, src: str, dst: str) -> tuple[int, bytes]:
    data = bytes(random.choice((0, 8, 40, 200, 700, 1400)))
    return random.choice((
        (UDP, udp(data, src=src, dst=dst)), (ICMP, icmp(data)), (ICMP, icmp(data)), (ICMP, icmp(bytes(12), kind=13)),
        (ICMP, icmp(data, kind=3)), (TCP, tcp(src=src, dst=dst)), (200, data),
    ))  # fmt: skip


def any_options(random: Random) -> bytes:
    """Return up to forty bytes: options one after the other, some of them spoilt; now and then any bytes."""
    if random.random() < 0.1:
        return random.randbytes(4 * random.randint(1, 10))
    options = random.choice(ONE_OPTION)(random)
    while len(options) < 36 and random.random() < 0.75:
        options += random.choice(ONE_OPTION)(random)
    if random.random() < 0.2:
        at = random.randrange(len(options))
        options = options[:at] + random.randbytes(1) + options[at + 1 :]
    return options[:40]


def route_option(random: Random) -> bytes:
    hops = [hop(random) for _ in range(random.choice((0, 1, 1, 2, 2, 3)))]
    length = 3 + 4 * len(hops)
    pointer = random.choice((4, 4, 4, 8, 12, length + 1, random.randrange(256)))
    return bytes((random.choice((7, 7, 131, 131, 137)), length, pointer)) + b"".join(hops)


def timestamp_option(random: Random) -> bytes:
    flag = random.choice((0, 1, 3, 3, random.randrange(16)))
    slots = [hop(random) for _ in range(random.choice((0, 1, 2, 2, 4, 4, 6)))]
    length = 4 + 4 * len(slots)
    pointer = random.choice((5, 5, 5, 9, 13, length + 1, random.randrange(256)))
    overflow = random.choice((0, 0, 7, 14, 15))
    return bytes((68, length, pointer, overflow << 4 | flag)) + b"".join(slots)


def hop(random: Random) -> bytes:
    return address(random.choice(random.choice((OWN, HOPS, HOPS, NO_HOPS))))


def other_option(random: Random) -> bytes:
    kind = random.choice((25, 30, 130, 134, 136, 148, 148, 158))
    length = random.choice((2, 3, 4, 4, 8, 10))
    return bytes((kind, length)) + random.choice((bytes(length - 2), random.randbytes(length - 2)))


def filler(random: Random) -> bytes:
    return random.choice((b"\1", b"\1", b"\1\1\1", b"\0"))


ONE_OPTION: Final = (route_option, route_option, route_option, timestamp_option, timestamp_option, other_option, filler)


@pytest.mark.parametrize("name", HOSTS)
def test_options_fare_alike(name: str) -> None:
    """A difference must show twice: one ID in 65,536 is by chance that of the packet that came in."""
    seed = sum(name.encode())
    assert not disagreements(scenario(seed, name, 300)) or disagreements(scenario(seed, name, 300)) == []


UNREACHED: Final = ("070f04000000000000000000000000", "8307040a01004e", "070704000000008307040a01004e",
                    "07070400000000", "440405e0", "94040000", "01010000")  # fmt: skip
"""Options of packets to hosts that do not answer; none holds a time."""


def test_options_are_compiled_once_more_for_a_host_that_does_not_answer() -> None:
    text = f"""
        neigh = ["10.0.0.9 lladdr {HOP_MAC} dev t0"]
        [sysctl]
        "net.ipv4.ip_forward" = 1
        "net.ipv4.conf.all.accept_source_route" = 1
        "net.ipv4.neigh.t1.retrans_time_ms" = 100
        [link.t0]
        addr = ["10.0.0.1/16"]
        address = "{MACS["t0"]}"
        [link.t1]
        addr = ["10.1.0.1/24"]
        address = "{MACS["t1"]}"
    """
    steps = []
    for number, options in enumerate(UNREACHED):
        dst = "10.0.0.1" if "83" in options else f"10.1.0.{80 + number}"
        data = ip(bytes(8), src="10.0.0.9", dst=dst, proto=200, options=bytes.fromhex(options))
        steps.append(Step(number, Inject("t0", eth(data, dst=MACS["t0"])), Observed()))
    played = Scenario("unreached", text, (*steps, Step(99, Wait(600), Observed())))
    *_, kernel = Kernel().play(played)
    *_, model = Model().play(played)
    assert reports(model) == reports(kernel)
    assert len(reports(model)) == 4


def reports(seen: Observed) -> list[bytes]:
    """Return the errors in any order: several timers go off in one moment."""
    return sorted(without_own_id(frame.data[14:]) for frame in seen.out if frame.data[12:14] == b"\x08\x00")
