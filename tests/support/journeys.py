"""One packet through a host that a few words describe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ipkit.core.host.build import build_host
from ipkit.core.host.kernel import LINUX_4_14, LINUX_6_18, KernelProfile
from ipkit.core.journey import run
from ipkit.core.outcome.journal import Journal
from ipkit.core.skbuff import IpControlBlock, PacketType, SkBuff
from ipkit.core.state.netns import NetNamespace, namespace_of

KERNELS: Final = (LINUX_4_14, LINUX_6_18)

TWO_ARMS: Final[Mapping[str, Any]] = {
    "sysctl": {"net.ipv4.ip_forward": 1},
    "routes": [
        "10.6.0.0/16 via 10.1.0.9 dev t1 mtu 1000",
        "10.8.0.0/16 via 10.1.0.9 dev t1",
        "unreachable 10.66.0.0/16",
        "prohibit 10.67.0.0/16",
        "blackhole 10.68.0.0/16",
        "throw 10.69.0.0/16",
    ],
    "link": {"t0": {"addr": ["10.0.0.1/24"]}, "t1": {"addr": ["10.1.0.1/24"]}},
}
"""The sender is 10.0.0.5 behind t0."""

AMBIENT: Final = ("IpInReceives", "IpExtInOctets", "IpExtInNoECTPkts")


def two_arms(kernel: KernelProfile, **more: Any) -> NetNamespace:
    """Return the host; `sysctl` adds to its knobs, every other key replaces one of its own."""
    sysctl = {**TWO_ARMS["sysctl"], **more.pop("sysctl", {})}
    return namespace_of(build_host({**TWO_ARMS, "sysctl": sysctl, **more}, file="host.toml", kernel=kernel))


def came(
    datagram: bytes,
    net: NetNamespace,
    *,
    dev: str = "t0",
    kind: PacketType = PacketType.HOST,
    now_ns: int = 0,
    on_wire: int = 0,
    gso: int = 0,
    trace: bool = False,
) -> Journal:
    """Let a datagram come in and return what became of it."""
    skb = SkBuff(datagram, dev, kind, now_ns, cb=IpControlBlock(iif=dev), on_wire=on_wire, gso_size=gso)
    return run(skb, net, Journal(steps=[] if trace else None))


def counted(journal: Journal) -> dict[str, int]:
    """Return what moved, without what moves for every packet."""
    return {mib.value: n for mib, n in journal.counters.items() if n and mib.value not in AMBIENT}


def out(journal: Journal) -> list[tuple[str, bytes]]:
    """Return device and datagram of what was put on wires."""
    return [(one.dev, one.payload) for one in journal.emitted]


def icmp(journal: Journal) -> list[tuple[int, int]]:
    """Return type and code of the ICMP messages put on wires."""
    return [(data[20], data[21]) for _, data in out(journal) if data[9] == 1]
