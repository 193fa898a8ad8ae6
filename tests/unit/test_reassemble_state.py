"""What waits at the end of one capture goes on with the next, as if they were one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from copy import deepcopy
from random import Random
from typing import Any

import pytest

from ipkit.core.compare_policies import Panels
from ipkit.core.frames import Frame
from ipkit.core.host.kernel import LINUX_4_14, LINUX_6_18, KernelProfile
from ipkit.core.host.sysctl import NetConf
from ipkit.core.lanes import LaneResult, RowWish
from ipkit.core.overlap import POLICIES
from ipkit.core.reassemble_lane import ReassembleLane, ReassembleOptions
from ipkit.core.reassemble_state import lane_document, restore_lane
from ipkit.core.state_fields import StateError
from tests.support.batches import batch_of
from tests.support.packets import eth, ip

SECOND = 1_000_000_000


def traffic(seed: int, frames: int) -> list[tuple[int, bytes]]:
    """Return frames with their times: tidy fragments, odd ones, copies, gaps in time, other packets."""
    rng = Random(seed)
    now, out = 1_600_000_000 * SECOND, list[tuple[int, bytes]]()
    tidy = [frame for ident in range(100, 100 + frames // 6) for frame in _tidy(rng, ident)]
    while len(out) < frames:
        now += rng.choice((0, 0, 0, 1_000, 1_000, SECOND, 2 * SECOND, 9 * SECOND))
        kind = rng.random()
        if kind < 0.1:
            frame = eth(ip(b"whole", ident=rng.randrange(9)))
        elif kind < 0.6 and tidy:
            frame = tidy.pop(rng.randrange(min(4, len(tidy))))
        else:
            frame = _odd(rng)
        out.append((now, frame))
    return out


def _tidy(rng: Random, ident: int) -> list[bytes]:
    data = rng.randbytes(24)
    return [eth(ip(data[at : at + 8], proto=253, ident=ident, offset=at, mf=at < 16)) for at in (0, 8, 16)]


def _odd(rng: Random) -> bytes:
    start, size = 8 * rng.randrange(4), rng.choice((8, 8, 16, 24, 5))
    fragment = ip(
        rng.randbytes(size),
        ident=rng.randrange(3),
        proto=253,
        offset=start,
        mf=start == 0 or rng.random() < 0.6,
        src=rng.choice(("192.0.2.1", "192.0.2.2")),
        ttl=rng.choice((64, 63)),
        df=rng.random() < 0.2,
        options=rng.choice((b"", b"", b"\x94\x04\0\0")),
    )
    return eth(fragment)


class Run:
    """What came out of one run, or of several in a row."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.frames: list[tuple[int, bytes]] = []
        self.counts: dict[str, int] = {}

    def take(self, lane: ReassembleLane, frames: Sequence[tuple[int, bytes]], state: object) -> object:
        """Let a lane go through some frames; return its state as a file would hold it."""
        if state is not None:
            restore_lane(lane, json.loads(json.dumps(state)))
        if frames:
            times, data = [time for time, _ in frames], [frame for _, frame in frames]
            batch = batch_of(data, tstamp_ns=times, interface="eth0")
            result = lane.process(batch)
            self._add(result)
            for row, frame in enumerate(data):
                stands = result.changes.get(row)
                self.frames += [(times[row], frame)] if stands is None else [_plain(each) for each in stands]
        last = lane.finish()
        self._add(last)
        self.frames += [_plain(frame) for frame in last.late]
        for key, value in lane.summary().items():
            if isinstance(value, int):
                self.counts[key] = self.counts.get(key, 0) + value
        return lane_document(lane)

    def _add(self, result: LaneResult) -> None:
        for row in result.rows:
            values = {key: value for key, value in row.row.items() if key not in ("file", "frame", "frames", "map")}
            fragments: Any = row.row.get("map", ())
            values["map"] = [{key: value for key, value in each.items() if key != "frame"} for each in fragments]
            self.rows.append(values)


def _plain(frame: Frame) -> tuple[int, bytes]:
    return frame.tstamp_ns, frame.data


def lane_for(kernel: KernelProfile, *, compares: bool = False, **more: Any) -> ReassembleLane:
    options = ReassembleOptions(kernel, **{"keeps_frames": True, "saves": True, **more})
    return ReassembleLane(options, RowWish.ALL, panels=Panels(options.limits) if compares else None)


@pytest.mark.parametrize("kernel", [LINUX_4_14, LINUX_6_18], ids=lambda kernel: kernel.name)
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"policy": POLICIES["windows"]},
        {"compares": True, "draws": True},
        {"limits": NetConf(ipfrag_max_dist=6, ipfrag_high_thresh=7000, ipfrag_low_thresh=5000)},
    ],
    ids=["plain", "windows", "compared", "scarce"],
)
def test_captures_in_a_row_equal_the_joined_one_wherever_they_were_split(
    kernel: KernelProfile, more: dict[str, Any]
) -> None:
    frames = traffic(seed=11, frames=72)
    joined = Run()
    state = joined.take(lane_for(kernel, **more), frames, None)
    assert joined.counts["complete"]
    for split in range(len(frames) + 1):
        apart = Run()
        first = apart.take(lane_for(kernel, **more), frames[:split], None)
        second = apart.take(lane_for(kernel, **more), frames[split:], first)
        assert apart.rows == joined.rows
        assert apart.frames == joined.frames
        assert apart.counts == joined.counts
        assert without_numbers(second) == without_numbers(state)


def without_numbers(state: Any) -> Any:
    """Return a state without frame numbers, which are per file."""
    state = json.loads(json.dumps(state))
    for datagram in state["datagrams"]:
        frames = datagram["frames"]
        del frames["last"]["frame"]
        frames["numbers"] = [arrival for arrival, _ in frames["numbers"]]
        frames["arrivals"] = [[tag, *rest] for tag, _, *rest in frames["arrivals"]]
        for held in frames["held"]:
            del held["number"]
    return state


def test_the_end_without_a_later_run_lets_everything_go() -> None:
    frames = traffic(seed=3, frames=60)
    first = Run()
    state = first.take(lane_for(LINUX_4_14), frames[:30], None)
    rest = Run()
    rest.take(lane_for(LINUX_4_14, saves=False), frames[30:], state)
    plain = Run()
    plain.take(lane_for(LINUX_4_14, saves=False), frames, None)
    assert first.rows + rest.rows == plain.rows
    assert first.frames + rest.frames == plain.frames


def saved() -> Any:
    run = Run()
    lane = lane_for(LINUX_4_14, compares=True, draws=True)
    return json.loads(json.dumps(run.take(lane, traffic(seed=5, frames=16), None)))


def load(document: object) -> None:
    restore_lane(lane_for(LINUX_4_14, compares=True, draws=True), document)


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("format", "pcap", "not a state of ipkit reassemble"),
        ("version", 2, "version 2, where this program knows version 1"),
        ("kernel", "6.18", "saved with kernel 6.18, not 4.14"),
        ("policy", "last", "saved with policy last, not kernel"),
        ("ipfrag_time", 5, "saved with ipfrag_time 5, not 30"),
        ("compare", False, "saved with compare False, not True"),
        ("arrivals", "many", "arrivals: not a whole number"),
        ("datagrams", {}, "datagrams: not a list"),
        ("store", None, "store: not an object"),
    ],
)
def test_what_does_not_fit_is_refused(key: str, value: object, complaint: str) -> None:
    with pytest.raises(StateError, match=complaint):
        load({**saved(), key: value})


@pytest.mark.parametrize("document", [None, [], 7, "x", {}, {"format": 3}, {"format": "ipkit reassemble state"}])
def test_what_is_no_state_is_refused(document: object) -> None:
    with pytest.raises(StateError):
        load(document)


WRONG: Sequence[object] = (None, -1, 1 << 70, 1.5, True, "", "AAAA", "\x00", [], [[]], [-1], {}, "x" * 100)


def spots(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from spots(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value[:1]):
            yield from spots(inner, (*path, index))


def with_value(document: Any, path: tuple[Any, ...], value: object) -> Any:
    changed = deepcopy(document)
    at = changed
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return changed


def test_no_value_anywhere_leads_to_more_than_a_complaint() -> None:
    good = saved()
    rng = Random(1)
    for path in spots(good):
        for value in rng.sample(WRONG, 3):
            lane = lane_for(LINUX_4_14, compares=True, draws=True)
            try:
                restore_lane(lane, with_value(good, path, value))
            except StateError:
                continue
            # What was accepted must be possible to go on with.
            frames = traffic(seed=5, frames=16)
            lane.process(batch_of([frame for _, frame in frames], tstamp_ns=[time for time, _ in frames]))
            lane.finish()
            lane_document(lane)
