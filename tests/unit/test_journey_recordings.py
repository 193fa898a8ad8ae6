"""Whole packets through the model against what a 6.18 kernel did with them: frames out, counters, drops.

Only what the recordings say can differ is left out of the comparison (tests/kernel/normalise.py).
"""

from __future__ import annotations

import re

import pytest

from tests.kernel.journey_model import Model
from tests.kernel.normalise import differences
from tests.kernel.recordings import Inject, Observed, Step, Wait, load, names

PARTS = ("out", "counters", "icmp_send")

OPTIONS = "options are not compiled yet"
LEARNING = "redirects are not sent, path MTUs and neighbours not learnt yet"
NOT_YET = {
    "arp": LEARNING, "neigh": LEARNING, "pmtu_fwd": LEARNING, "pmtu_fwd_use": LEARNING, "redirect": LEARNING,
    "redirect_load": LEARNING, "redirect_off": LEARNING, "opt_echo": OPTIONS, "options": OPTIONS, "srcroute": OPTIONS,
    "srcroute_fwdoff": OPTIONS,
}  # fmt: skip
NOT_YET_STEPS = {
    "df": (50,),
    "frag_mtu100": range(12, 27),
    "frag_mtu576": range(12, 28),
    "frag_mtu68": range(12, 27),
    "fwd_noroute": (6,),
    "fwd_off_out": (6,),
    "icmp_ratelimit": (14,),
    "local": (32,),
    "martians_rp0": (44,),
    "martians_rp1": (44,),
    "sources": (52,),
    "ttl": (41, 42, 43, 44),
}
"""Steps in scenarios of this part that need options or redirects."""

BY_CHANCE = {"reasm_thresh": (8,), "reasm_timer": (15,)}
"""What the driver's buffers are charged with decides; two timers go off in one moment."""

SCENARIOS = [
    name
    for name in names()
    if name not in NOT_YET and any(isinstance(step.action, Inject) for step in load(name).steps)
]

OTHER_STACKS = re.compile("arp_rcv|llc_rcv|ip6_rcv_core|__netif_receive_skb_core|inet_frag_rbtree_purge")
"""Functions that drop what is not IPv4, or fragments that came before."""

INLINED = {"ip_rcv_finish": "ip_rcv_finish_core", "ip_mr_input": "ip_rcv_finish_core", "ip_frag_queue": "ip_defrag",
           "icmp_unreach": "icmp_rcv"}  # fmt: skip
"""Where a drop event names the function that another was compiled into."""

WITHOUT_EVENT = frozenset({"ip_frag_reasm"})


def played(name: str) -> list[tuple[Step, Observed]]:
    scenario = load(name)
    skipped = {*NOT_YET_STEPS.get(name, ()), *BY_CHANCE.get(name, ())}
    steps = zip(scenario.steps, Model().play(scenario), strict=True)
    compared = [(step, seen) for step, seen in steps if isinstance(step.action, Inject | Wait)]
    return [(step, seen) for step, seen in compared if step.number not in skipped]


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_model_puts_out_and_counts_what_the_kernel_did(name: str) -> None:
    assert [line for step, seen in played(name) for line in differences(step, step.seen, seen, PARTS)] == []


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_model_drops_for_the_reasons_of_the_kernel(name: str) -> None:
    for step, seen in played(name):
        if isinstance(step.action, Inject):
            recorded = [drop for drop in step.seen.drops if not OTHER_STACKS.match(drop[1])]
            ours = [(reason, INLINED.get(func, func)) for reason, func in seen.drops if func not in WITHOUT_EVENT]
            assert ours == recorded, f"step {step.number} ({step.note})"
