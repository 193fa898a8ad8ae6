"""Hosts and frames of all kinds mixed: what is told of them is what happened, whoever listens."""

from __future__ import annotations

import tomllib
from typing import Any, NamedTuple

import pytest

from ipkit.core.forward_lane import AtEnd, Detail, ForwardLane, ForwardOptions
from ipkit.core.frames import Frame
from ipkit.core.host.build import build_host
from ipkit.core.host.kernel import LINUX_4_14, LINUX_6_18, KernelProfile
from ipkit.core.lanes import RowWish
from tests.kernel.mixed_cases import scenario
from tests.kernel.recordings import Inject, Scenario, Wait
from tests.support.batches import batch_of

HOSTS = 10
NEWER = ("ip_forward_update_priority", "icmp_echo_enable_probe", "bc_forwarding", "fib_multipath_hash_seed",
         "fib_multipath_hash_policy")  # fmt: skip
"""Knobs, or values of them, that 4.14 lacks."""


class Told(NamedTuple):
    """What a run came to."""

    rows: list[dict[str, Any]]
    frames: list[Frame]
    summary: dict[str, Any]


def played(which: Scenario, kernel: KernelProfile, detail: Detail) -> Told:
    """Take the frames of a scenario through the lane, each in a batch of its own, and let the clock run out."""
    described = tomllib.loads(which.host)
    if kernel is LINUX_4_14:
        described["sysctl"] = {name: value for name, value in described["sysctl"].items() if not name.endswith(NEWER)}
        described["rules"] = [line for line in described["rules"] if "ipproto" not in line]
    host = build_host(described, file=which.name, kernel=kernel)
    options = ForwardOptions(host, at_end=AtEnd.DRAIN, detail=detail, counters=True)
    lane = ForwardLane(options, RowWish.ALL)
    now_ns, told = 0, Told([], [], {})
    for step in which.steps:
        match step.action:
            case Inject(dev, frame):
                now_ns += 1_000_000
                result = lane.process(batch_of([frame], interface=dev, tstamp_ns=[now_ns]))
                told.rows.extend(dict(row.row) for row in result.rows)
                told.frames.extend(frame for row in sorted(result.changes) for frame in result.changes[row])
            case Wait(milliseconds):
                now_ns += milliseconds * 1_000_000
    end = lane.finish()
    told.rows.extend(dict(row.row) for row in end.rows)
    told.frames.extend(end.late)
    return told._replace(summary=dict(lane.summary()))


@pytest.mark.parametrize("kernel", [LINUX_4_14, LINUX_6_18], ids=lambda kernel: kernel.name)
@pytest.mark.parametrize("seed", range(HOSTS))
def test_a_trace_changes_nothing_and_rows_tell_of_every_frame(seed: int, kernel: KernelProfile) -> None:
    which = scenario(seed)
    plain, traced = (played(which, kernel, detail) for detail in (Detail.VERDICT, Detail.TRACE))
    assert [{key: row[key] for key in row if key != "trace"} for row in traced.rows] == plain.rows
    assert traced.frames == plain.frames
    assert traced.summary == plain.summary
    told = [(one["dev"], one["length"]) for row in plain.rows for one in row.get("emitted", ())]
    assert told == [(frame.interface, frame.on_wire - 14) for frame in plain.frames]
    assert plain.summary["emitted"] == len(told)
