"""What goes to many, alerts routers or meets a policy: seeded packets through the model and the running kernel."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any, Final

import pytest

from tests.kernel.agreement import disagreements
from tests.kernel.recordings import Inject, Observed, Scenario, Step
from tests.support.packets import (
    ICMP,
    IGMP,
    TCP,
    UDP,
    UDPLITE,
    address,
    eth,
    icmp,
    igmp,
    ip,
    rfc1071,
    tcp,
    u16,
    udp,
    udplite,
)

pytestmark = pytest.mark.kernel

MACS: Final = {"t0": "02:00:00:00:01:01", "t1": "02:00:00:00:01:02"}
TO_ALL: Final = "ff:ff:ff:ff:ff:ff"
TO_GROUP: Final = "01:00:5e:01:01:01"
OWN: Final = ("10.0.0.1", "10.1.0.1")
GROUPS: Final = ("224.0.0.1", "224.0.0.9", "224.0.0.251", "239.1.1.1", "239.2.2.2")
BROADCASTS: Final = ("10.0.255.255", "10.1.0.255", "255.255.255.255", "10.0.0.0", "10.1.0.0", "0.0.0.0")
TRANSIT: Final = ("10.1.0.5", "10.8.0.5", "10.66.0.1", "99.0.0.1", "127.0.0.1")
STRANGE: Final = ("0.0.0.0", "127.0.0.1", "10.0.0.1", "10.0.255.255", "224.0.0.1", "99.9.9.9")
ALERT: Final = b"\x94\x04\0\0"
SOURCES: Final = 500
"""Every packet has a source of its own, so no limit by source is met."""
RAW: Final = 253
ALERTED: Final = 46

BASE: Final = """
routes = ["10.8.0.0/16 via 10.1.0.9 dev t1", "unreachable 10.66.0.0/16"]
neigh = [{neighbours}]
[sysctl]
"net.ipv4.ip_forward" = 1
"net.ipv4.conf.all.send_redirects" = 0
"net.ipv4.conf.t0.send_redirects" = 0
"net.ipv4.conf.t1.send_redirects" = 0
{sysctl}
[link.t0]
address = "02:00:00:00:01:01"
addr = ["10.0.0.1/16"]
groups = ["224.0.0.251", "239.1.1.1"]
[link.t1]
address = "02:00:00:00:01:02"
addr = ["10.1.0.1/24"]
mtu = 600
[[listen]]
proto = "raw"
number = 46
router_alert = true
{more}
"""

BLOCKED: Final = "\n".join(
    f'[[xfrm]]\ndir = "{direction}"\nmatch = "{match}"\naction = "{action}"'
    for direction, match, action in (
        ("in", "src 10.0.1.16/28", "allow"), ("in", "src 10.0.1.0/25 and proto 17", "block"),
        ("in", "dst 10.1.0.1/32", "block"), ("in", "src 10.0.1.128/27", "block"),
        ("fwd", "src 10.0.1.64/26", "block"), ("out", "dst 10.0.1.32/27", "block"), ("out", "dst 10.1.0.0/29", "block"),
    )
)  # fmt: skip

HOSTS: Final[dict[str, tuple[dict[str, int], str]]] = {
    "plain": ({}, ""),
    "answers everybody": ({"icmp_echo_ignore_broadcasts": 0}, ""),
    "directed broadcasts": (
        {"conf.all.bc_forwarding": 1, "conf.t0.bc_forwarding": 1, "conf.t1.bc_forwarding": 1,
         "icmp_echo_ignore_broadcasts": 0}, "",
    ),
    "directed broadcasts by one link": (
        {"conf.all.bc_forwarding": 1, "conf.t0.bc_forwarding": 1, "conf.t0.forwarding": 0}, "",
    ),
    "one link has directed broadcasts": ({"conf.t0.bc_forwarding": 1}, ""),
    "strict": ({"conf.all.rp_filter": 1, "conf.all.drop_unicast_in_l2_multicast": 1}, ""),
    "lenient": ({"conf.all.accept_local": 1, "conf.all.route_localnet": 1, "ip_early_demux": 0}, ""),
    "policies": ({}, BLOCKED),
    "policies with exempt links": (
        {"conf.t1.disable_policy": 1, "conf.t1.disable_xfrm": 1, "icmp_echo_ignore_broadcasts": 0}, BLOCKED,
    ),
}  # fmt: skip
"""Some machines: what they have set under net.ipv4, and what else they have."""


def host(name: str) -> str:
    sysctl, more = HOSTS[name]
    lines = "\n".join(f'"net.ipv4.{knob}" = {value}' for knob, value in sysctl.items())
    near = [f"{source(number)} dev t0" for number in range(SOURCES)] + [f"10.1.0.{last} dev t1" for last in (5, 7, 9)]
    near += ["10.0.0.0 dev t0", "10.1.0.0 dev t1"]
    neighbours = ", ".join(f'"{one} lladdr 02:00:00:00:00:77"' for one in near)
    return BASE.format(neighbours=neighbours, sysctl=lines, more=more)


def scenario(seed: int, name: str, count: int) -> Scenario:
    random = Random(seed)
    came = [packet for number in range(count) for packet in packets(random, source(number % SOURCES))]
    steps = [Step(number, Inject(*each), Observed()) for number, each in enumerate(came)]
    return Scenario("many", host(name), tuple(steps), raw=(RAW,), udp=(53,))


def source(number: int) -> str:
    return f"10.0.{1 + number // 250}.{1 + number % 250}"


def packets(random: Random, src: str) -> Iterator[tuple[str, bytes]]:
    """Yield a datagram, or the fragments of one, mostly to many."""
    dev = random.choice(("t0", "t0", "t0", "t1"))
    dst = random.choice(random.choice((GROUPS, BROADCASTS, BROADCASTS, OWN, TRANSIT)))
    if dst not in TRANSIT and random.random() < 0.15:
        src = random.choice(STRANGE)
    mac = random.choice((MACS[dev], MACS[dev], TO_ALL, TO_GROUP))
    proto, payload = content(random, src, dst)
    fields: dict[str, Any] = {
        "src": src, "dst": dst, "proto": proto, "ttl": random.choice((0, 1, 2, 64, 64)), "df": random.random() < 0.2,
        "tos": random.choice((0, 0x10, 0xFF)), "ident": random.randrange(1, 65536),
        "options": random.choice((b"", b"", b"", ALERT)),
    }  # fmt: skip
    if random.random() < 0.15 and len(payload) > 8:
        cut = random.randrange(8, len(payload), 8)
        pieces = [ip(payload[:cut], **{**fields, "mf": True}), ip(payload[cut:], **{**fields, "offset": cut})]
        for piece in random.sample(pieces, random.choice((1, 2, 2, 2))):
            yield dev, eth(piece, dst=mac)
    else:
        yield dev, eth(ip(payload, **fields), dst=mac)


def content(random: Random, src: str, dst: str) -> tuple[int, bytes]:
    data = bytes(random.choice((0, 8, 40, 100, 700)))
    wrong = random.choice((None, None, None, 1))
    return random.choice((
        (UDP, udp(data, src=src, dst=dst, dport=53)), (UDP, udp(data, src=src, dst=dst, dport=54, checksum=wrong)),
        (UDP, udp(data[:40], src=src, dst=dst, dport=53, checksum=wrong)), (UDP, data[:7]),
        (ICMP, icmp(data)), (ICMP, icmp(bytes(12), kind=13)), (ICMP, icmp(data, kind=random.randrange(20))),
        (ICMP, icmp(data, checksum=wrong)), (TCP, tcp(src=src, dst=dst, checksum=wrong)),
        (IGMP, igmp(kind=0x16, checksum=wrong)), (IGMP, b"\x16\0\0"), (IGMP, about_groups(random)),
        (UDPLITE, udplite(data, src=src, dst=dst)),
        (RAW, data), (ALERTED, data), (ALERTED, data), (200, data),
    ))  # fmt: skip


def about_groups(random: Random) -> bytes:
    kind, group = random.choice((0x11, 0x11, 0x12, 0x13, 0x16, 0x17, 0x22, 0x99)), random.choice((*GROUPS, "0.0.0.0"))
    if kind == 0x11:
        group = "239.2.2.2"  # nobody's: a query about a joined group is answered, some time later
    more = bytes(random.choice((0, 0, 2, 4, 8)))
    message = bytes((kind, random.choice((0, 0, 100)), 0, 0)) + address(group) + more
    return message[:2] + u16(rfc1071(message)) + message[4:]


@pytest.mark.parametrize("name", HOSTS)
def test_what_goes_to_many_fares_alike(name: str) -> None:
    """A difference must show twice: one ID in 65,536 is by chance that of the packet that came in."""
    seed = sum(name.encode())
    assert not disagreements(scenario(seed, name, 250)) or disagreements(scenario(seed, name, 250)) == []
