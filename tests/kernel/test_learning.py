"""What routes learn, against the running kernel: seeded hosts, path MTUs and redirects at random, and what follows.

`IPKIT_KERNEL_HOSTS` says how many hosts are tried (default 12).
"""

from __future__ import annotations

import os
import re
from typing import Any, Final

import pytest

from ipkit.core.host.build import build_host
from ipkit.core.host.kernel import LINUX_6_18
from ipkit.core.state.netns import NetNamespace, namespace_of
from tests.kernel import model
from tests.kernel.hostfile import to_toml
from tests.kernel.journey_model import BETWEEN_FRAMES_NS, UNLIMITED, drops_of, received
from tests.kernel.learning_cases import RAW, UDP_PORT, Said, learning_host, sayings
from tests.kernel.lookups import Lookup
from tests.kernel.machines import observe
from tests.kernel.namespace import Namespace
from tests.kernel.normalise import differences
from tests.kernel.recordings import Inject, Observed, Step
from tests.kernel.sockets import Listeners

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
