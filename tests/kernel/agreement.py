"""A scenario on the running kernel and on the model, side by side."""

from __future__ import annotations

from tests.kernel.events import watcher
from tests.kernel.journey_model import PARTS, Model, drops_of
from tests.kernel.machines import Kernel
from tests.kernel.namespace import Frame
from tests.kernel.normalise import differences, without_own_id
from tests.kernel.recordings import Observed, Scenario, Step, Wait


def disagreements(which: Scenario) -> list[str]:
    """Return where the two part ways; drops and ICMP errors where they can be watched."""
    found = []
    parts = PARTS if watcher() else ("out", "counters")
    for step, kernel, model in zip(which.steps, Kernel().play(which), Model().play(which), strict=True):
        found += differences(step, in_any_order(step, kernel), in_any_order(step, model), parts)
        ours, theirs = drops_of(step, model), drops_of(step, kernel)
        if watcher() and ours != theirs:
            found.append(f"step {step.number} ({step.note}) drops:\n  {theirs}\n  {ours}")
    return found


def in_any_order(step: Step, seen: Observed) -> Observed:
    """Return what was seen; timers of one moment go off in any order."""
    if isinstance(step.action, Wait):
        seen.out = sorted(Frame(dev, data[:14] + without_own_id(data[14:])) for dev, data in seen.out)
    return seen
