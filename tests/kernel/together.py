"""A scenario on the running kernel and on the model at once, by one clock."""

from __future__ import annotations

import time
from typing import Final

from ipkit.core.host.build import build_host
from ipkit.core.host.kernel import LINUX_6_18
from ipkit.core.outcome.journal import Journal
from ipkit.core.state.netns import NetNamespace, namespace_of
from ipkit.core.timers import let_timers_fire
from tests.kernel.agreement import in_any_order
from tests.kernel.counters import moved
from tests.kernel.events import watcher
from tests.kernel.journey_model import PARTS, described, drops_of, received, seen_in
from tests.kernel.machines import observe
from tests.kernel.namespace import Namespace
from tests.kernel.normalise import differences
from tests.kernel.recordings import Inject, Observed, Scenario, Step, Wait
from tests.kernel.sockets import Listeners

NEAR_NS: Final = 40_000_000
"""How close to a timer nothing is done: each of the kernel's goes off a tick or two late, and starts the next."""


def first_difference(which: Scenario) -> tuple[int, str] | None:
    """Return the first step in which the two part ways, and how; None: they agree."""
    net = namespace_of(build_host(described(which), file=which.name, kernel=LINUX_6_18))
    parts = PARTS if watcher() else ("out", "counters")
    with Namespace(which.host) as namespace:
        for dev in namespace.taps:
            namespace.sysctl(f"net.ipv4.neigh.{dev}.proxy_delay", "0")
        listeners = Listeners(namespace, which.raw, which.udp)
        began = time.monotonic_ns()
        for step in which.steps:
            milliseconds = step.action.milliseconds if isinstance(step.action, Wait) else 0
            found = _waited(net, namespace, began, milliseconds)
            if not found and isinstance(step.action, Inject):
                now_ns = time.monotonic_ns() - began
                kernel = observe(namespace, listeners, step)
                model = received(net, net.host, (step.action.dev, step.action.frame), now_ns)
                found = differences(step, kernel, model, parts)
                ours, theirs = drops_of(step, model), drops_of(step, kernel)
                if watcher() and ours != theirs:
                    found.append(f"step {step.number} drops:\n  {theirs}\n  {ours}")
            if found:
                return step.number, "\n".join(found)
    return None


def _waited(net: NetNamespace, namespace: Namespace, began: int, milliseconds: int) -> list[str]:
    """Let the clock run, and on until no timer is near, and compare what timers did."""
    now = time.monotonic_ns() - began
    until = now + milliseconds * 1_000_000
    if not milliseconds and net.timers.due_ns > now + NEAR_NS and not net.neighbours.unstarted:
        return []
    before = namespace.counters()
    journal, kernel = Journal(steps=[]), Observed()
    while True:
        kernel.out += namespace.collect_for(max(0.0, (until - now) / 1e9))
        now = time.monotonic_ns() - began
        for _ in let_timers_fire(net, now - NEAR_NS // 2, lambda: journal):
            pass
        if (due := net.timers.due_ns) > now + NEAR_NS:
            break
        until = due + NEAR_NS
    kernel.counters = moved(before, namespace.counters())
    step = Step(-1, Wait(milliseconds), Observed())
    return differences(step, in_any_order(step, kernel), in_any_order(step, seen_in(journal)), ("out", "counters"))
