"""The literal packets of the input path: what is written down of 6.18 is what the running kernel does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest

from ipkit.core.skbuff import PacketType
from tests.kernel.agreement import disagreements
from tests.kernel.hostfile import to_toml
from tests.kernel.recordings import Inject, Observed, Scenario, Step
from tests.support.journey_cases import MACS, RAW_PROTOCOL, UDP_PORT, VARIANTS, Case, cases, described
from tests.support.packets import eth

pytestmark = pytest.mark.kernel

A_FEW: Final = 4
"""So many in one namespace: a source is told of few packets without a route at once."""

TO: Final = {
    PacketType.HOST: MACS["t0"],
    PacketType.OTHERHOST: "02:00:00:00:00:99",
    PacketType.BROADCAST: "ff:ff:ff:ff:ff:ff",
    PacketType.MULTICAST: "01:00:5e:00:00:01",
}


def scenarios(variant: str) -> Iterator[Scenario]:
    """Yield the cases of one host, a few at a time."""
    ours = [case for case in cases() if case.variant == variant]
    for at in range(0, len(ours), A_FEW):
        steps = [_step(number, case) for number, case in enumerate(ours[at : at + A_FEW])]
        yield Scenario(variant, to_toml(described(variant)), tuple(steps), raw=(RAW_PROTOCOL,), udp=(UDP_PORT,))


def _step(number: int, case: Case) -> Step:
    return Step(number, Inject("t0", eth(case.data, dst=TO[case.to])), Observed(), case.name)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_running_kernel_agrees(variant: str) -> None:
    for scenario in scenarios(variant):
        assert not disagreements(scenario) or disagreements(scenario) == []
