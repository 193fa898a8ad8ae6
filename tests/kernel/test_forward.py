"""Every frame of the recorded scenarios through the model and through the running kernel: what came out, and why."""

from __future__ import annotations

import pytest

from tests.kernel.events import watcher
from tests.kernel.journey_model import PARTS, SCENARIOS, Model, drops_of, judged
from tests.kernel.machines import Kernel
from tests.kernel.normalise import differences
from tests.kernel.recordings import load

pytestmark = pytest.mark.kernel

REAL_TIME = frozenset({"error_bucket"})
"""Here the speed of the test decides."""

LIVE = [name for name in SCENARIOS if name not in REAL_TIME and not load(name).unstable]


def disagreements(name: str) -> list[str]:
    """Return where the model and the kernel part ways; drops and ICMP errors where they can be watched."""
    found = []
    for step, kernel, model in judged(name, Kernel(), Model()):
        found += differences(step, kernel, model, PARTS if watcher() else ("out", "counters"))
        ours, theirs = drops_of(step, model), drops_of(step, kernel)
        if watcher() and ours != theirs:
            found.append(f"step {step.number} ({step.note}) drops:\n  {theirs}\n  {ours}")
    return found


@pytest.mark.parametrize("name", LIVE)
def test_the_model_does_what_the_running_kernel_does(name: str) -> None:
    """A difference must show twice: an interrupt in our context may drop something from elsewhere."""
    assert not disagreements(name) or disagreements(name) == []
