"""The harness is right: the running kernel, asked through it, does what the recorded kernel did, bit for bit."""

from __future__ import annotations

import pytest

from tests.kernel.machines import Kernel
from tests.kernel.normalise import differences
from tests.kernel.recordings import load, names

pytestmark = pytest.mark.kernel

STABLE = [name for name in names() if not load(name).unstable and name not in ("error_bucket", "redirect_load")]
"""All but those in which real time passes or decides."""

PARTS = ("out", "counters", "sock", "calls", "answer", "icmp_send")


def disagreements(name: str, parts: tuple[str, ...]) -> list[str]:
    scenario = load(name)
    steps = zip(scenario.steps, Kernel().play(scenario), strict=True)
    return [line for step, seen in steps for line in differences(step, step.seen, seen, parts)]


@pytest.mark.parametrize("name", STABLE)
def test_the_running_kernel_repeats_the_recording(name: str) -> None:
    assert disagreements(name, PARTS) == []


@pytest.mark.parametrize("name", STABLE)
def test_the_running_kernel_repeats_the_drops(name: str) -> None:
    """An interrupt in our context may drop something from elsewhere: a difference must show twice."""
    assert not disagreements(name, ("drops",)) or disagreements(name, ("drops",)) == []
