"""The harness is right: the running kernel, asked through it, does what the recorded kernel did, bit for bit."""

from __future__ import annotations

import pytest

from tests.kernel.events import watcher
from tests.kernel.machines import Kernel
from tests.kernel.normalise import differences
from tests.kernel.recordings import load, names

pytestmark = pytest.mark.kernel

STABLE = [name for name in names() if not load(name).unstable and name not in ("error_bucket", "redirect_load")]
"""All but those in which real time passes or decides."""

PARTS = ("out", "counters", "sock", "calls", "answer")
TRACED = ("icmp_send", "drops")


def disagreements(name: str) -> list[str]:
    scenario = load(name)
    steps = zip(scenario.steps, Kernel().play(scenario), strict=True)
    parts = PARTS + TRACED if watcher() else PARTS
    return [line for step, seen in steps for line in differences(step, step.seen, seen, parts)]


@pytest.mark.parametrize("name", STABLE)
def test_the_running_kernel_repeats_the_recording(name: str) -> None:
    """A difference must show twice.

    One ID in 65,536 is by chance that of the packet that came in, and an interrupt in our context may drop something
    from elsewhere.
    """
    assert not disagreements(name) or disagreements(name) == []
