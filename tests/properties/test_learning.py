"""What routes learn is the same whether routes are remembered or not, and whether the way is told or not."""

from __future__ import annotations

from typing import Any

import pytest

from ipkit.core.host.build import build_host
from ipkit.core.host.kernel import LINUX_4_14, KernelProfile
from ipkit.core.journey import run
from ipkit.core.outcome.journal import Journal
from ipkit.core.skbuff import IpControlBlock, PacketType, SkBuff
from ipkit.core.state.netns import NetNamespace, namespace_of
from tests.kernel.learning_cases import learning_host, sayings
from tests.support.journeys import KERNELS

TODAY_ONLY = ("fib_multipath_hash_seed", "fib_multipath_hash_policy")


def namespaces(host: dict[str, Any], kernel: KernelProfile) -> tuple[NetNamespace, NetNamespace]:
    if kernel is LINUX_4_14:
        knobs = {name: value for name, value in host["sysctl"].items() if not name.endswith(TODAY_ONLY)}
        host = {**host, "rules": [], "sysctl": knobs}
    built = build_host({**host, "listen": [{"proto": "raw", "number": 253}]}, file="host.toml", kernel=kernel)
    return namespace_of(built), namespace_of(built)


def came(net: NetNamespace, dev: str, datagram: bytes, journal: Journal) -> tuple[object, ...]:
    skb = SkBuff(datagram, dev, PacketType.HOST, 0, cb=IpControlBlock(iif=dev))
    run(skb, net, journal)
    return journal.ends, journal.emitted, journal.counters


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
@pytest.mark.parametrize("seed", range(15))
def test_a_host_with_a_memory_learns_as_one_without(seed: int, kernel: KernelProfile) -> None:
    host = learning_host(seed)
    remembers, forgets = namespaces(host, kernel)
    for dev, frame, _ in sayings(seed, host, 60):
        forgets.routing.cached.clear()
        one = came(remembers, dev, frame[14:], Journal())
        assert one == came(forgets, dev, frame[14:], Journal(steps=[]))
    assert remembers.routing.exceptions.by_destination.keys() == forgets.routing.exceptions.by_destination.keys()
