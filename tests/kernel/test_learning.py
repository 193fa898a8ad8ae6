"""What routes learn, against the running kernel: seeded hosts, path MTUs and redirects at random, and what follows.

`IPKIT_KERNEL_HOSTS` says how many hosts are tried (default 12).
"""

from __future__ import annotations

import os
import re
from time import monotonic_ns, sleep
from typing import Any, Final

import pytest

from ipkit.core.host.build import build_host
from ipkit.core.host.kernel import LINUX_6_18
from ipkit.core.state.netns import NetNamespace, namespace_of
from tests.kernel import model
from tests.kernel.hostfile import to_toml
from tests.kernel.journey_model import BETWEEN_FRAMES_NS, UNLIMITED, drops_of, received
from tests.kernel.learning_cases import MACS, RAW, UDP_PORT, Said, learning_host, sayings
from tests.kernel.lookups import Lookup
from tests.kernel.machines import observe
from tests.kernel.namespace import Namespace
from tests.kernel.normalise import differences
from tests.kernel.recordings import Inject, Observed, Step
from tests.kernel.sockets import Listeners
from tests.support.packets import eth, icmp, ip, u32

pytestmark = pytest.mark.kernel

HOSTS: Final = int(os.environ.get("IPKIT_KERNEL_HOSTS", "12"))
SAYINGS: Final = 60
LEFT: Final = re.compile(r" expires \d+sec")


def namespace_for(host: dict[str, Any]) -> NetNamespace:
    """Return the model of a host, with the sockets that listen in the kernel's."""
    listen = [{"proto": "raw", "number": RAW}, {"proto": "udp", "port": UDP_PORT}]
    knobs = {**UNLIMITED, **host["sysctl"]}
    given = {"neigh_default": "resolve", **host, "listen": listen, "sysctl": knobs}
    return namespace_of(build_host(given, file="host.toml", kernel=LINUX_6_18))


def line_of(net: NetNamespace, lookup: Lookup, now_ns: int) -> str:
    """Return the model's line of `ip route get`."""
    return LEFT.sub(" expires", model.answer_line(net.routing, lookup, now_ns))


def disagreement(host: dict[str, Any], said: list[Said]) -> str:
    """Return the first thing on which kernel and model part ways; empty: nothing."""
    net, now_ns = namespace_for(host), 0
    with Namespace({"neigh_default": "resolve", **host}) as namespace:
        listeners = Listeners(namespace, (RAW,), (UDP_PORT,))
        for place, (dev, frame, lookups) in enumerate(said):
            now_ns += BETWEEN_FRAMES_NS
            step = Step(place, Inject(dev, frame), Observed(), frame[14:].hex())
            kernel = observe(namespace, listeners, step)
            seen = received(net, net.host, (dev, frame), now_ns)
            found = differences(step, kernel, seen, ("out", "counters"))
            found += [f"drops {kernel.drops} {seen.drops}"] if drops_of(step, kernel) != drops_of(step, seen) else []
            lines = [LEFT.sub(" expires", line) for line in namespace.route_get_learnt(*lookups)]
            for lookup, line in zip(lookups, lines, strict=True):
                ours = line_of(net, lookup, now_ns)
                found += [f"{lookup.words()}\n  {line}\n  {ours}"] if line != ours else []
            if found:
                return f"{dev} {frame.hex()}\n" + "\n".join(found)
    return ""


@pytest.mark.parametrize("seed", range(HOSTS))
def test_routes_learn_what_the_kernels_do(seed: int) -> None:
    """A difference must show twice: an interrupt in our context may drop something from elsewhere."""
    host = learning_host(seed)
    said = sayings(seed, host, SAYINGS)
    found = disagreement(host, said) and disagreement(host, said)
    assert not found, f"{found}\n\n{to_toml(host)}"


def test_a_path_mtu_lives_as_long_as_the_kernels() -> None:
    """Told again in the first half of its life it ends as it would have, in the second half it begins anew."""
    host = learning_host(0)
    host |= {"sysctl": {"net.ipv4.ip_forward": 1, "net.ipv4.route.mtu_expires": 1}, "rules": []}
    host["routes"] = ["203.0.113.0/24 via 192.0.2.2 dev eth0"]
    host["link"]["eth0"]["mtu"] = 1500
    asked = Lookup("203.0.113.5")
    quoted = ip(b"\0\0\0\0\0\1\0\1", proto=1, src="192.0.2.1", dst=asked.dst)
    told = ip(icmp(quoted, kind=3, code=4, rest=u32(1000)), proto=1, src="192.0.2.2", dst="192.0.2.1")
    frame = eth(told, dst=MACS["eth0"])
    net = namespace_for(host)
    with Namespace({"neigh_default": "resolve", **host}) as namespace:
        begun = monotonic_ns()
        for at_ms, tells in ((0, True), (200, True), (750, True), (1100, False), (1600, False), (1900, False)):
            sleep(max(0, begun + at_ms * 1_000_000 - monotonic_ns()) / 1e9)
            now_ns = monotonic_ns() - begun
            if tells:
                namespace.inject("eth0", frame)
                received(net, net.host, ("eth0", frame), now_ns)
            (line,) = namespace.route_get_learnt(asked)
            assert LEFT.sub(" expires", line) == line_of(net, asked, now_ns), f"after {at_ms} ms"
        assert "mtu" not in line
