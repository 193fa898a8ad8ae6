"""Laws of reassembly that hold for all fragments: orders, owners of bytes, memory, and frames that must not vanish."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipkit.core.compare_policies import Panels
from ipkit.core.host.kernel import LINUX_4_14, LINUX_6_18, KernelProfile
from ipkit.core.host.sysctl import NetConf
from ipkit.core.lanes import RowWish
from ipkit.core.overlap import POLICIES, Policy
from ipkit.core.reassemble_lane import ReassembleLane, ReassembleOptions
from tests.support.batches import batch_of
from tests.support.fragments import Bench
from tests.support.packets import eth, ip

KERNELS = pytest.mark.parametrize("kernel", [LINUX_4_14, LINUX_6_18], ids=lambda kernel: kernel.name)
QUICK = settings(max_examples=60, deadline=None)

Piece = tuple[int, int]
"""First block and how many."""


@st.composite
def cut_datagrams(draw: st.DrawFn) -> tuple[bytes, list[tuple[int, bytes]]]:
    """Return a payload and its fragments, without overlap, in any order."""
    sizes = draw(st.lists(st.integers(1, 6), min_size=2, max_size=12))
    payload = draw(st.binary(min_size=8 * sum(sizes) - 7, max_size=8 * sum(sizes)))
    starts = [8 * sum(sizes[:place]) for place in range(len(sizes))]
    ends = [*starts[1:], len(payload)]
    pieces = [(start, payload[start:end]) for start, end in zip(starts, ends, strict=True)]
    return payload, draw(st.permutations(pieces))


@QUICK
@given(cut_datagrams(), st.sampled_from(list(POLICIES.values())))
def test_any_order_gives_the_same_datagram(cut: tuple[bytes, list[tuple[int, bytes]]], policy: Policy) -> None:
    payload, pieces = cut
    for kernel in (LINUX_4_14, LINUX_6_18):
        bench = Bench(kernel, policy)
        for start, data in pieces:
            bench.send(data, offset=start, mf=start + len(data) < len(payload))
        assert bench.delivered == [ip(payload, proto=253, ident=1)]


arrivals = st.lists(st.tuples(st.integers(0, 9), st.integers(1, 5)), min_size=1, max_size=8)

Wins = Callable[[Piece, Piece], bool]
"""Whether a newcomer gets what it shares with an older range; both as start and end."""

IN_WORDS: dict[str, Wins] = {
    "first": lambda _new, _old: False,
    "last": lambda _new, _old: True,
    "linux": lambda new, old: new[0] <= old[0],
    "linux-trim": lambda new, old: new[0] <= old[0],
    "bsd": lambda new, old: new[0] < old[0],
    "solaris": lambda new, old: new[0] < old[0] and new[1] >= old[1],
    "windows": lambda new, old: new[0] < old[0] and new[1] > old[1],
    "bsd-right": lambda new, old: new[1] > old[1] or (new[1] == old[1] and new[0] <= old[0]),
}


class Painting:
    """Blocks, each with the arrival that owns it and the range it belongs to."""

    def __init__(self, wins: Wins) -> None:
        self._wins = wins
        self._owner: dict[int, int] = {}
        self._range: dict[int, int] = {}
        self._ranges = 0

    def arrive(self, number: int, piece: Piece) -> None:
        new = (piece[0], piece[0] + piece[1])
        held = {}
        for name, blocks in groupby(sorted(self._range), key=lambda block: self._range[block]):
            members = list(blocks)
            held[name] = (members[0], members[-1] + 1)
        taken = [
            block for block in range(*new) if block not in self._range or self._wins(new, held[self._range[block]])
        ]
        for block in taken:
            self._owner[block] = number
            self._range[block] = -1
        self._name_ranges()

    def _name_ranges(self) -> None:
        """Give every stretch of one range a name of its own: what was cut in two is two ranges."""
        named: dict[int, int] = {}
        before: tuple[int, int] | None = None
        for block in sorted(self._range):
            name = self._range[block]
            if before != (block - 1, name):
                self._ranges += 1
            named[block] = self._ranges
            before = (block, name)
        self._range = named

    def blocks(self) -> dict[int, int]:
        return dict(self._owner)


def held_blocks(bench: Bench) -> dict[int, int]:
    """Return which arrival the engine has each block from, by the byte it was filled with."""
    [queue] = bench.queues.queues.values()
    return {
        piece.start // 8 + block: piece.payload[8 * block]
        for piece in queue.pieces
        for block in range(len(piece.payload) // 8)
    }


@pytest.mark.parametrize("policy", IN_WORDS)
@QUICK
@given(arrivals)
def test_every_byte_belongs_to_whom_the_words_give_it(policy: str, pieces: list[Piece]) -> None:
    bench, painting = Bench(LINUX_4_14, POLICIES[policy]), Painting(IN_WORDS[policy])
    for number, (start, size) in enumerate(pieces):
        bench.send(bytes([number]) * 8 * size, offset=8 * start, mf=True)
        painting.arrive(number, (start, size))
        assert held_blocks(bench) == painting.blocks()


@pytest.mark.parametrize("policy", [name for name in IN_WORDS if name != "linux-trim"])
@QUICK
@given(arrivals, st.integers(1, 15))
def test_a_datagram_is_whole_with_its_last_block_and_ends_where_the_first_last_one_did(
    policy: str, pieces: list[Piece], end: int
) -> None:
    bench, painting = Bench(LINUX_4_14, POLICIES[policy]), Painting(IN_WORDS[policy])
    bench.send(b"\xff" * 8, offset=8 * end)
    painting.arrive(255, (end, 1))
    for number, (start, size) in enumerate(pieces):
        bench.send(bytes([number]) * 8 * size, offset=8 * start, mf=True)
        painting.arrive(number, (start, size))
        owners = painting.blocks()
        is_whole = all(block in owners for block in range(end + 1))
        assert bool(bench.delivered) is is_whole
        if is_whole:
            assert bench.payloads == [b"".join(bytes([owners[block]]) * 8 for block in range(end + 1))]
            return


class Runs:
    """Runs of blocks, one behind the other only where they grew at the top: what Linux since 4.20 keeps."""

    def __init__(self) -> None:
        self.runs: list[list[int]] = []

    def arrive(self, piece: Piece) -> str:
        new = set(range(piece[0], piece[0] + piece[1]))
        if any(new <= set(run) for run in self.runs):
            return "ignored"
        if any(new & set(run) for run in self.runs):
            self.runs = []
            return "lost"
        top = max(self.runs, key=max, default=None)
        if top is not None and piece[0] == max(top) + 1:
            top += sorted(new)
        else:
            self.runs.append(sorted(new))
        return "queued"


@QUICK
@given(arrivals)
def test_runs_grow_at_the_top_alone(pieces: list[Piece]) -> None:
    bench, runs = Bench(LINUX_6_18), Runs()
    said = {"ignored": {"Reqds": 1}, "queued": {"Reqds": 1}, "lost": {"Reqds": 1, "Fails": 1, "Overlaps": 1}}
    for start, size in pieces:
        bench.counters = {}
        bench.send(b"x" * 8 * size, offset=8 * start, mf=True)
        assert bench.counters == said[runs.arrive((start, size))]
        held = sorted(block for run in runs.runs for block in run)
        assert sorted(held_blocks(bench) if bench.queues.queues else []) == held


@QUICK
@given(arrivals)
def test_the_strict_rule_bears_exact_repetitions_only(pieces: list[Piece]) -> None:
    bench, held = Bench(LINUX_6_18, POLICIES["rfc5722"]), list[Piece]()
    for start, size in pieces:
        bench.send(b"x" * 8 * size, offset=8 * start, mf=True)
        if (start, size) in held:
            continue
        blocks = set(range(start, start + size))
        if any(blocks & set(range(other, other + length)) for other, length in held):
            held = []
            assert not bench.queues.queues
        else:
            held.append((start, size))


odd_fragments = st.lists(
    st.tuples(
        st.integers(0, 12).map(lambda block: 8 * block) | st.sampled_from([65504, 65528]),
        st.integers(0, 40) | st.just(1480),
        st.booleans(),
        st.integers(1, 3),
        st.integers(0, 3),
    ),
    max_size=30,
)


@pytest.mark.parametrize("policy", POLICIES)
@settings(max_examples=25, deadline=None)
@given(odd_fragments)
def test_what_a_queue_holds_is_in_order_and_accounted_for(
    policy: str, fragments: Sequence[tuple[int, int, bool, int, int]]
) -> None:
    bench = Bench(LINUX_4_14, POLICIES[policy])
    for offset, size, last, ident, mark in fragments:
        bench.send(bytes([ident]) * size, offset=offset, mf=not last, ident=ident, tos=mark)
        total = 0
        for queue in bench.queues.queues.values():
            ends = [piece.end for piece in queue.pieces]
            starts = [piece.start for piece in queue.pieces]
            assert queue.starts == starts
            assert all(start < end for start, end in zip(starts, ends, strict=True))
            assert all(end <= start for end, start in zip(ends, starts[1:], strict=False))
            assert all(len(piece.payload) == piece.end - piece.start for piece in queue.pieces)
            assert queue.memory == 200 + sum(piece.truesize for piece in queue.pieces)
            total += queue.memory
        assert bench.queues.memory == total
    bench.at(10**6)
    assert (bench.queues.memory, len(bench.queues.queues)) == (0, 0)


def hostile_frames(rng: Random, count: int) -> list[bytes]:
    """Return frames with absurd headers, many of them fragments of few datagrams."""
    frames = []
    for _ in range(count):
        header: dict[str, Any] = {}
        if rng.random() < 0.2:
            header[rng.choice(("version", "ihl"))] = rng.randrange(16)
        if rng.random() < 0.1:
            header["tot_len"] = rng.choice((0, 19, 20, 21, 40, 65535))
        if rng.random() < 0.05:
            header["checksum"] = rng.randrange(65536)
        frame = eth(
            ip(
                rng.randbytes(rng.choice((0, 1, 7, 8, 9, 16, 24, 1400))),
                ident=rng.randrange(3),
                proto=rng.choice((1, 6, 17)),
                offset=8 * rng.choice((0, 0, 1, 2, 3, 8190, 8191)),
                mf=rng.random() < 0.7,
                tos=rng.randrange(4),
                options=rng.choice((b"", b"", b"\x07\xff", b"\x94\x04\0\0", rng.randbytes(8))),
                **header,
            )
        )
        frames.append(frame[: rng.randrange(len(frame) + 1)] if rng.random() < 0.1 else frame)
    return frames


@KERNELS
@pytest.mark.parametrize("policy", [None, "last", "rfc5722"])
@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1 << 32))
def test_no_frame_ends_in_anything_but_a_row_or_the_output(
    kernel: KernelProfile, policy: str | None, seed: int
) -> None:
    rng = Random(seed)
    frames = hostile_frames(rng, 60)
    on_wire = [len(frame) + rng.choice((0, 0, 0, 30)) for frame in frames]
    times = [rng.randrange(100) * 1_000_000_000 for _ in frames]
    limits = NetConf(ipfrag_high_thresh=8000, ipfrag_low_thresh=6000, ipfrag_max_dist=rng.choice((0, 2, 64)))
    rule = POLICIES[policy] if policy else None
    options = ReassembleOptions(kernel, limits, rule, keeps_frames=True, draws=seed % 3 == 0)
    lane = ReassembleLane(options, RowWish.ALL, panels=Panels(limits) if seed % 2 else None)
    out, rows = [], []
    for at in range(0, len(frames), 7):
        part = slice(at, at + 7)
        batch = batch_of(frames[part], on_wire=on_wire[part], tstamp_ns=times[part], first_number=at + 1)
        result = lane.process(batch)
        rows += [row.row for row in result.rows]
        for row in range(len(batch)):
            out += [frame.data for frame in result.changes.get(row, [batch.frame(row)])]
    last = lane.finish()
    rows += [row.row for row in last.rows]
    out += [frame.data for frame in last.late]
    counts = lane.summary()
    statuses = ("complete", "incomplete", "timeout", "dropped", "evicted")
    assert counts["datagrams"] == len(rows) == sum(row["status"] in statuses for row in rows)
    # What comes out is what went in, but for the fragments that became datagrams.
    made = [frame for frame in out if frame not in frames]
    kept = sorted(frame for frame in out if frame in frames)
    assert len(made) <= sum(row["status"] == "complete" for row in rows)
    if not any(row["status"] == "complete" for row in rows):
        assert kept == sorted(frames)
