"""Whole packets through the model against what a 6.18 kernel did with them: frames out, counters, drops.

Only what the recordings say can differ is left out of the comparison (tests/kernel/normalise.py).
"""

from __future__ import annotations

import pytest

from tests.kernel.journey_model import PARTS, SCENARIOS, Model, drops_of, judged
from tests.kernel.machines import Recorded
from tests.kernel.normalise import differences


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_model_puts_out_and_counts_what_the_kernel_did(name: str) -> None:
    steps = judged(name, Recorded(), Model())
    assert [line for step, recorded, seen in steps for line in differences(step, recorded, seen, PARTS)] == []


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_model_drops_for_the_reasons_of_the_kernel(name: str) -> None:
    for step, recorded, seen in judged(name, Recorded(), Model()):
        assert drops_of(step, seen) == drops_of(step, recorded), f"step {step.number} ({step.note})"
