"""Which packets bring their senders a redirect, against the running kernel: seeded hosts, senders and detours.

Every packet has a sender of its own, so that no pause between redirects plays a part. `IPKIT_KERNEL_HOSTS` says how
many hosts are tried (default 12).
"""

from __future__ import annotations

import os
from random import Random
from typing import Any, Final

import pytest

from ipkit.core.host.build import build_host
from ipkit.core.host.kernel import LINUX_6_18
from ipkit.core.state.netns import namespace_of
from tests.kernel.hostfile import to_toml
from tests.kernel.journey_model import BETWEEN_FRAMES_NS, UNLIMITED, drops_of, received
from tests.kernel.machines import observe
from tests.kernel.namespace import Namespace
from tests.kernel.normalise import differences
from tests.kernel.recordings import Inject, Observed, Step
from tests.kernel.sockets import Listeners
from tests.support.packets import address, eth, icmp, ip, udp

pytestmark = pytest.mark.kernel

HOSTS: Final = int(os.environ.get("IPKIT_KERNEL_HOSTS", "12"))
PACKETS: Final = 60
MAC: Final = "02:00:00:00:01:01"
ROUTES: Final = (
    "10.1.0.0/16 via 192.0.2.254 dev eth0",
    "10.2.0.0/16 via 198.51.100.2 dev eth0",
    "10.3.0.0/16 via 172.16.0.1 dev eth0 onlink",
    "10.4.0.0/16 dev eth0",
    "10.5.0.0/16 via 203.0.113.2 dev eth1",
    "10.6.0.0/16 nexthop via 192.0.2.254 dev eth0 nexthop via 203.0.113.2 dev eth1",
    "10.7.0.0/16 via 192.0.2.254 dev eth0 mtu 600",
    "10.8.0.0/16 via 192.0.2.253 dev eth0 metric 7",
    "unreachable 10.9.0.0/16",
)
PLACES: Final = ("192.0.2.{}", "192.0.2.{}", "198.51.100.{}", "203.0.113.{}", "172.16.0.{}", "10.4.0.{}", "10.8.0.{}",
                 "10.1.0.{}", "10.2.0.{}", "10.3.0.{}", "10.5.0.{}", "10.6.0.{}", "10.7.0.{}", "10.9.0.{}")  # fmt: skip
OPTIONS: Final = (
    b"", b"", b"", b"\x07\x07\x04" + bytes(4), b"\x01" * 4, b"\x94\x04\0\0", b"\x44\x08\x05\x00" + bytes(4),
    b"\x83\x07\x04" + address("10.1.0.9"), b"\x89\x07\x04" + address("192.0.2.77"),
)  # fmt: skip


def redirecting_host(rng: Random) -> dict[str, Any]:
    """Return a router with detours; no link asks for neighbours."""
    knobs = {"net.ipv4.ip_forward": 1, "net.ipv4.fib_multipath_hash_seed": 1 + rng.randrange(1 << 31)}
    for name in ("send_redirects", "shared_media", "rp_filter", "accept_source_route"):
        for dev in ("all", "eth0", "eth1"):
            if rng.random() < 0.4:
                knobs[f"net.ipv4.conf.{dev}.{name}"] = rng.randint(0, 2 if name == "rp_filter" else 1)
    addresses = ["192.0.2.1/24", *rng.choice(([], ["198.51.100.1/25"], ["192.0.2.129/25"], ["198.51.100.1/31"]))]
    taken = [line for line in ROUTES if "198.51.100" not in line or "198.51.100.1/25" in addresses]
    links: dict[str, Any] = {
        "eth0": {"address": MAC, "arp": False, "addr": addresses},
        "eth1": {"address": "02:00:00:00:02:01", "arp": False, "addr": ["203.0.113.1/24"]},
    }
    rules = rng.choice(([], [], ["from 192.0.2.0/26 lookup 100"]))
    if rules:
        taken.append("10.1.0.0/16 via 192.0.2.250 dev eth0 table 100")
    return {"routes": taken, "rules": rules, "sysctl": knobs, "link": links}


def frames(rng: Random) -> list[bytes]:
    """Return frames for eth0, each of a sender of its own."""
    made = []
    for last in rng.sample(range(3, 250), PACKETS):
        src = rng.choice(PLACES).format(last)
        dst = rng.choice(
            (rng.choice(PLACES).format(rng.randrange(256)), "192.0.2.1" if rng.random() < 0.1 else "10.1.0.1")
        )
        options = rng.choice(OPTIONS)
        proto, payload = rng.choice(
            ((17, udp(bytes(8))), (17, udp(bytes(700))), (1, icmp()), (1, icmp(kind=3)), (6, bytes(4)), (253, b""))
        )
        datagram = ip(
            payload,
            proto=proto,
            src=src,
            dst="192.0.2.1" if options[:1] in (b"\x83", b"\x89") and rng.random() < 0.8 else dst,
            ttl=rng.choice((64, 64, 64, 2, 1)),
            tos=rng.choice((0, 0, 0xFF)),
            df=rng.random() < 0.4,
            mf=rng.random() < 0.1,
            offset=rng.choice((0, 0, 0, 0, 8)),
            options=options,
        )
        made.append(eth(datagram, dst="ff:ff:ff:ff:ff:ff" if rng.random() < 0.05 else MAC))
    return made


def disagreement(host: dict[str, Any], said: list[bytes]) -> str:
    """Return the first packet on which kernel and model part ways; empty: none."""
    knobs = {**UNLIMITED, **host["sysctl"]}
    net, now_ns = namespace_of(build_host({**host, "sysctl": knobs}, file="host.toml", kernel=LINUX_6_18)), 0
    with Namespace(host) as namespace:
        listeners = Listeners(namespace)
        for place, frame in enumerate(said):
            now_ns += BETWEEN_FRAMES_NS
            step = Step(place, Inject("eth0", frame), Observed(), frame[14:].hex())
            kernel = observe(namespace, listeners, step)
            seen = received(net, net.host, ("eth0", frame), now_ns)
            found = differences(step, kernel, seen, ("out", "counters"))
            found += [f"drops {kernel.drops} {seen.drops}"] if drops_of(step, kernel) != drops_of(step, seen) else []
            if found:
                return "\n".join(found)
    return ""


@pytest.mark.parametrize("seed", range(HOSTS))
def test_the_senders_that_the_kernel_redirects_are_redirected(seed: int) -> None:
    """A difference must show twice: an interrupt in our context may drop something from elsewhere."""
    rng = Random(seed)
    host = redirecting_host(rng)
    said = frames(rng)
    found = disagreement(host, said) and disagreement(host, said)
    assert not found, f"{found}\n\n{to_toml(host)}"
