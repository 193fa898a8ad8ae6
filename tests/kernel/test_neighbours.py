"""Neighbours against the running kernel: seeded ARP, packets for those who answer, late or never, and timers."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from ipaddress import IPv4Address
from random import Random
from typing import Any, Final

import pytest

from ipkit.core.eth_type_trans import eth_type_trans
from ipkit.core.host.build import build_host
from ipkit.core.host.kernel import LINUX_6_18
from ipkit.core.journey import run, run_arp
from ipkit.core.outcome.journal import Journal
from ipkit.core.skbuff import IpControlBlock, SkBuff
from ipkit.core.state.neighbour_table import VALID, NeighbourEntry, state_text
from ipkit.core.state.netns import namespace_of
from ipkit.core.timers import let_timers_fire
from tests.kernel.counters import moved
from tests.kernel.namespace import Frame, Namespace
from tests.kernel.normalise import IdLabels, normalise
from tests.support.packets import address, eth, icmp, ip, mac, patched, u16, udp

pytestmark = pytest.mark.kernel

MACS: Final = {"eth0": "02:00:00:00:01:01", "eth1": "02:00:00:00:02:01"}
EVERYBODY: Final = "ff:ff:ff:ff:ff:ff"
NEAR_NS: Final = 40_000_000
"""How close to a timer nothing is done: the kernel's are not that exact."""

LINKS: Final = {
    "eth0": {
        "address": MACS["eth0"],
        "addr": ["192.0.2.1/24", "192.0.2.2/24", "10.5.0.1/16", "10.6.0.1/32 scope link"],
    },
    "eth1": {"address": MACS["eth1"], "addr": ["198.51.100.1/24"]},
}
ROUTES: Final = [
    "203.0.113.0/24 via 198.51.100.254 dev eth1",
    "10.9.0.0/24 via 192.0.2.77 dev eth0",
    "unreachable 10.66.0.0/16",
]
NEIGH: Final = [
    "192.0.2.200 lladdr 02:aa:00:00:00:c8 dev eth0",
    "proxy 198.51.100.33 dev eth0",
    "proxy 192.0.2.44 dev eth0",
]
KNOBS: Final[Mapping[str, tuple[int, ...]]] = {
    "arp_ignore": (0, 0, 1, 2, 3, 4, 8),
    "arp_filter": (0, 0, 1),
    "arp_announce": (0, 1, 2, 3),
    "arp_accept": (0, 1, 2),
    "drop_gratuitous_arp": (0, 0, 1),
    "proxy_arp": (0, 1),
    "proxy_arp_pvlan": (0, 0, 1),
    "medium_id": (0, 0, 1, 2, -1),
    "rp_filter": (0, 0, 1, 2),
    "route_localnet": (0, 0, 0, 1),
    "forwarding": (0, 1, 1),
    "send_redirects": (0,),
}
ADDRESSES: Final = (
    "192.0.2.1", "192.0.2.2", "10.5.0.1", "10.6.0.1", "198.51.100.1", "127.0.0.1", "0.0.0.0", "255.255.255.255",
    "224.0.0.5", "192.0.2.255", "192.0.2.9", "192.0.2.10", "192.0.2.11", "192.0.2.44", "192.0.2.77", "192.0.2.200",
    "198.51.100.9", "198.51.100.10", "198.51.100.33", "198.51.100.254", "203.0.113.7", "10.5.9.9",
    "10.9.0.5", "10.66.0.1", "8.8.8.8",
)  # fmt: skip
STATIONS: Final = tuple(f"02:bb:00:00:00:{number:02x}" for number in range(4))


class Both:
    """One host twice: in the kernel, and as the model of it; and one clock."""

    def __init__(self, host: Mapping[str, Any], namespace: Namespace) -> None:
        self.namespace = namespace
        self.net = namespace_of(build_host(host, file="host.toml", kernel=LINUX_6_18))
        self.began = time.monotonic_ns()
        self.model: list[Frame] = []
        self.kernel: list[Frame] = []
        self.journal = Journal()
        self.before = namespace.counters()

    @property
    def now_ns(self) -> int:
        return time.monotonic_ns() - self.began

    def pass_time(self, seconds: float = 0) -> None:
        """Let the clock run, and then on until no timer is near; the order of what timers did is left to chance."""
        until = self.now_ns + int(seconds * 1e9)
        theirs: list[Frame] = []
        while True:
            theirs += self.namespace.collect_for(max(0.0, (until - self.now_ns) / 1e9))
            now = self.now_ns
            for _ in let_timers_fire(self.net, now - NEAR_NS, lambda: self.journal):
                pass
            if (due := self.net.timers.due_ns) > now + NEAR_NS:
                break
            until = due + NEAR_NS + 1_000_000
        self.model += sorted(self._emitted())
        self.kernel += sorted(theirs)

    def _emitted(self) -> list[Frame]:
        frames = [Frame(one.dev, one.header + one.payload) for one in self.journal.emitted]
        self.journal.emitted = []
        return frames

    def come(self, dev: str, frame: bytes) -> None:
        """Let a frame come in by a link, at least two ticks of the kernel after the last one."""
        self.pass_time(0.01)
        now = self.now_ns
        link = self.net.host.links[dev]
        skb = SkBuff(frame[14:], dev, eth_type_trans(1, frame, 0, link, self.net.host), now, cb=IpControlBlock(iif=dev))
        if frame[12:14] == b"\x08\x06":
            run_arp(skb, self.net, self.journal)
        else:
            run(skb, self.net, self.journal)
        self.model += self._emitted()
        self.namespace.inject(dev, frame)
        self.kernel += self.namespace.collect()

    def states(self) -> tuple[list[str], list[str]]:
        """Return both neighbour tables."""
        theirs = []
        for line in self.namespace.ip("-4", "neigh", "show", "nud", "all").splitlines():
            words = line.split()
            if words[2] != "lo" and not words[0].startswith("224."):
                lladdr = words[words.index("lladdr") + 1] if "lladdr" in words else ""
                theirs.append(f"{words[0]} {words[2]} {lladdr} {words[-1].lower()}")
        ours = [
            f"{IPv4Address(entry.address)} {entry.dev} {self._lladdr(entry)} {state_text(entry.state)}"
            for entry in self.net.neighbours.entries.values()
            if entry.dev != "lo"
        ]
        return sorted(ours), sorted(theirs)

    @staticmethod
    def _lladdr(entry: NeighbourEntry) -> str:
        return entry.lladdr.hex(":") if entry.lladdr is not None and entry.state & VALID else ""

    def differences(self) -> list[str]:
        """Return what differs: frames on each link, counters, tables."""
        self.pass_time()
        found = []
        for dev in MACS:
            ours, theirs = (_normalised(frames, dev) for frames in (self.model, self.kernel))
            if ours != theirs:
                found.append(f"{dev}:\n  {ours}\n  {theirs}")
        counted = {mib.value: amount for mib, amount in self.journal.counters.items() if amount}
        theirs_counted = moved(self.before, self.namespace.counters())
        if counted != theirs_counted:
            found.append(f"counters {dict(counted.items() ^ theirs_counted.items())} {counted} {theirs_counted}")
        mine, other = self.states()
        if mine != other:
            found.append(f"tables {sorted(set(mine) - set(other))} {sorted(set(other) - set(mine))}")
        return found


def _normalised(frames: list[Frame], dev: str) -> list[str]:
    labels = IdLabels()
    return [normalise(frame.data, labels).hex() for frame in frames if frame.dev == dev]


def described(rng: Random, **sysctl: int) -> dict[str, Any]:
    knobs = {f"net.ipv4.conf.{dev}.{name}": rng.choice(values) for dev in MACS for name, values in KNOBS.items()}
    every = {
        "net.ipv4.icmp_ratelimit": 0,
        "net.ipv4.icmp_msgs_per_sec": 1_000_000,
        "net.ipv4.icmp_msgs_burst": 1_000_000,
    }
    timing = {f"net.ipv4.neigh.{dev}.{name}": value for dev in MACS for name, value in sysctl.items()}
    return {
        "neigh_default": "resolve",
        "routes": ROUTES,
        "neigh": NEIGH,
        "link": LINKS,
        "sysctl": {"net.ipv4.ip_forward": 1, "net.ipv4.conf.all.send_redirects": 0, **every, **knobs, **timing},
    }


def arp(rng: Random, dev: str) -> bytes:
    """Return a frame of ARP: mostly one that somebody might send."""
    sender, target = rng.choice(ADDRESSES), rng.choice(ADDRESSES)
    if rng.random() < 0.15:
        target = sender
    sha = rng.choice(STATIONS)
    tha = rng.choice(("00:00:00:00:00:00", MACS[dev], sha))
    kind = rng.choice((1, 1, 1, 2, 2, rng.randrange(5)))
    head = u16(rng.choice((1, 1, 1, 1, 6, 7))) + u16(rng.choice((0x0800,) * 6 + (0x86DD,))) + b"\x06\x04"
    if rng.random() < 0.05:
        head = patched(head, rng.randrange(4, 6), rng.randbytes(1))
    body = head + u16(kind) + mac(sha) + address(sender) + mac(tha) + address(target)
    if rng.random() < 0.05:
        body = body[: rng.randrange(28)]
    to = rng.choice((MACS[dev], MACS[dev], EVERYBODY, EVERYBODY, "01:00:5e:00:00:01", "02:99:99:99:99:99"))
    return eth(body, dst=to, src=sha, ethertype=0x0806, pad_to=rng.choice((0, 60)))


def reply(dev: str, who: str, station: str, to: str = "") -> bytes:
    body = u16(1) + u16(0x0800) + b"\x06\x04" + u16(2) + mac(station) + address(who)
    own = LINKS[dev]["addr"][0].split("/")[0]
    return eth(body + mac(MACS[dev]) + address(own), dst=to or MACS[dev], src=station, ethertype=0x0806)


def datagram(rng: Random, dev: str, number: int) -> bytes:
    """Return a frame with a packet that makes the host look for somebody."""
    source = rng.choice(
        ("192.0.2.9", "192.0.2.10", "192.0.2.11", "10.5.9.9", "10.9.0.5")
        if dev == "eth0"
        else ("198.51.100.9", "203.0.113.7")
    )
    target = rng.choice(
        ("192.0.2.9", "192.0.2.10", "198.51.100.9", "198.51.100.10", "203.0.113.7", "10.9.0.5", "192.0.2.1")
    )
    payload, proto = rng.choice(
        (
            (udp(rng.randbytes(rng.randrange(40, 1600)), src=source, dst=target), 17),
            (icmp(rng.randbytes(30), kind=8), 1),
        )
    )
    options = rng.choice((b"", b"", b"", b"\x07\x0b\x04" + bytes(9), b"\x94\x04\0\0"))
    whole = ip(payload, proto=proto, src=source, dst=target, ttl=rng.choice((64, 64, 1)), ident=number, options=options)
    return eth(whole, dst=MACS[dev], src=rng.choice(STATIONS))


def steps(rng: Random, both: Both, count: int) -> Iterator[str]:
    for number in range(1, count + 1):
        dev = rng.choice(("eth0", "eth0", "eth1"))
        frame = arp(rng, dev) if rng.random() < 0.7 else datagram(rng, dev, number)
        both.come(dev, frame)
        yield f"{number} {dev} {frame.hex()}"


def disagreement(seed: int) -> str:
    """Return where model and kernel part ways over ARP packets and packets that need somebody, and over what."""
    rng = Random(seed)
    host = described(rng, locktime=0)
    with playing(host) as both:
        for step in steps(rng, both, 60):
            if found := both.differences():
                return f"{step} {host['sysctl']} {found}"
    return ""


def disagreement_in_time(seed: int) -> str:
    """Return where model and kernel part ways while timers run fast."""
    rng = Random(seed)
    solicit = {name: rng.randrange(4) for name in ("ucast_solicit", "mcast_solicit")}
    timing = {"retrans_time_ms": 100, "delay_first_probe_time": 1, "mcast_resolicit": rng.randrange(2)}
    host = described(rng, locktime=rng.choice((0, 20)), **solicit, **timing)
    with playing(host) as both:
        for number in range(1, 46):
            if number <= 40:
                play(rng, both, number)
            else:
                both.pass_time(0.5)
            if found := both.differences():
                return f"{number} {host['sysctl']} {found}"
    return ""


@contextmanager
def playing(host: Mapping[str, Any]) -> Iterator[Both]:
    """Make the host in the kernel; chance is taken out of its answers for others."""
    with Namespace(host) as namespace:
        for dev in MACS:
            namespace.sysctl(f"net.ipv4.neigh.{dev}.proxy_delay", "0")
        yield Both(host, namespace)


def play(rng: Random, both: Both, number: int) -> None:
    """Do one thing: send a packet on its way, answer for somebody, ask, or wait."""
    dev = rng.choice(("eth0", "eth0", "eth1"))
    match rng.randrange(8):
        case 0 | 1 | 2:
            both.come(dev, datagram(rng, dev, number))
        case 3 | 4:
            asked = [entry for entry in both.net.neighbours.entries.values() if entry.timer]
            if asked:
                who = rng.choice(asked)
                to = rng.choice((MACS[who.dev], MACS[who.dev], EVERYBODY))
                both.come(who.dev, reply(who.dev, str(IPv4Address(who.address)), rng.choice(STATIONS[:2]), to))
        case 5:
            both.come(dev, arp(rng, dev))
        case _:
            both.pass_time(rng.choice((0.01, 0.1, 0.25, 0.6)))


@pytest.mark.parametrize("seed", range(5))
def test_arp_is_answered_and_learned_as_the_kernel_does(seed: int) -> None:
    """A difference must show three times: on a busy machine the kernel's clock and ours are not one."""
    assert not disagreement(seed) or not disagreement(seed) or disagreement(seed) == ""


@pytest.mark.parametrize("seed", range(3))
def test_who_is_asked_when_and_given_up_as_the_kernel_does(seed: int) -> None:
    assert not disagreement_in_time(seed) or not disagreement_in_time(seed) or disagreement_in_time(seed) == ""
