"""Reassembly as the two kernels do it: ends, places, counters, headers, sizes; expectations are literals."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import pytest

from ipkit.core.host.kernel import LINUX_4_14, LINUX_6_18, KernelProfile
from ipkit.core.outcome.defrag_exits import Fate, FragNote
from ipkit.core.outcome.drop_reasons import DropReason
from tests.support.fragments import Bench
from tests.support.packets import ip, rfc1071

BOTH = pytest.mark.parametrize("kernel", [LINUX_4_14, LINUX_6_18], ids=lambda kernel: kernel.name)

Piece = tuple[int, int] | tuple[int, int, str]
"""Offset, length, and "L" for the last; the pieces of a datagram are filled with A, B, C in the order they come."""


def sent(kernel: KernelProfile, pieces: Sequence[Piece]) -> Bench:
    bench = Bench(kernel)
    for letter, (offset, length, *last) in zip(b"ABCDEFGH", pieces, strict=False):
        bench.send(bytes([letter]) * length, offset=offset, mf=not last)
    return bench


def outcome(bench: Bench) -> str:
    """Say what was delivered, or what became of it: lost, or waiting."""
    if bench.delivered:
        return " ".join(f"{chr(letter)}{len(list(run))}" for letter, run in groupby(bench.payloads[0]))
    return "lost" if bench.lost else "waits"


OVERLAPS: dict[str, tuple[list[Piece], str, str]] = {
    "O1": ([(0, 16), (8, 16), (24, 8, "L")], "A16 B8 C8", "lost"),
    "O2": ([(8, 16), (0, 16), (24, 8, "L")], "B16 A8 C8", "lost"),
    "O3": ([(8, 8), (0, 24), (24, 8, "L")], "B24 C8", "lost"),
    "O4": ([(0, 24), (8, 8), (24, 8, "L")], "A24 C8", "A24 C8"),
    "O5": ([(0, 16), (0, 16), (16, 8, "L")], "B16 C8", "A16 C8"),
    "O6": ([(0, 8), (16, 8), (8, 16), (24, 8, "L")], "A8 C16 D8", "lost"),
    "O7": ([(16, 8, "L"), (24, 8), (0, 16)], "C16 A8", "lost"),
    "O8": ([(0, 32), (16, 8, "L")], "waits", "lost"),
    "O9": ([(8, 8, "L"), (8, 16, "L"), (0, 8)], "C8 A8", "lost"),
    "O10": ([(0, 13), (8, 8, "L")], "A8 B8", "A8 B8"),
    "O11": ([(0, 16), (16, 0, "L"), (16, 8, "L")], "waits", "lost"),
    "O12": ([(0, 16), (8, 24, "L")], "A16 B16", "lost"),
    "O13": ([(0, 7)], "waits", "lost"),
    "O14": ([(0, 8), (16, 8), (8, 8), (32, 8, "L"), (8, 16), (24, 8)], "A8 E16 F8 D8", "lost"),
}


@pytest.mark.parametrize("name", OVERLAPS)
def test_worked_overlap(name: str) -> None:
    pieces, trimmed, modern = OVERLAPS[name]
    assert outcome(sent(LINUX_4_14, pieces)) == trimmed
    assert outcome(sent(LINUX_6_18, pieces)) == modern


def test_a_zero_length_last_one_sets_the_end_before_it_is_refused() -> None:
    pieces: list[Piece] = [(16, 0, "L"), (0, 16)]
    assert outcome(sent(LINUX_4_14, pieces)) == "B16"
    assert outcome(sent(LINUX_6_18, pieces)) == "lost"


def test_a_last_one_that_is_a_duplicate_sets_the_end_yet_only_an_accepted_piece_finishes() -> None:
    waiting = sent(LINUX_6_18, [(0, 8), (16, 8), (16, 8, "L")])
    assert outcome(waiting) == "waits"
    waiting.send(b"D" * 8, offset=8, mf=True)
    assert outcome(waiting) == "A8 D8 B8"


def test_after_a_loss_the_key_is_free_and_the_rest_can_only_time_out() -> None:
    bench = sent(LINUX_6_18, [(0, 16), (8, 16), (24, 8, "L")])
    bench.at(31)
    assert bench.counters == {"Reqds": 3, "Fails": 2, "Overlaps": 1, "Timeout": 1}


def test_runs_that_touch_are_not_merged() -> None:
    in_order = sent(LINUX_6_18, [(0, 8), (8, 8), (0, 16)])
    swapped = sent(LINUX_6_18, [(8, 8), (0, 8), (0, 16)])
    assert [end.reason for end in in_order.exits] == [None, None, DropReason.DUP_FRAG]
    assert in_order.counters == {"Reqds": 3}
    assert [end.fate for end in swapped.exits] == [Fate.QUEUED, Fate.QUEUED, Fate.LOST]
    assert swapped.counters == {"Reqds": 3, "Fails": 1, "Overlaps": 1}


COUNTERS: dict[str, tuple[list[Piece], dict[str, int], dict[str, int]]] = {
    "queued": ([(0, 8)], {"Reqds": 1}, {"Reqds": 1}),
    "completed": ([(0, 8), (8, 8, "L")], {"Reqds": 2, "OKs": 1}, {"Reqds": 2, "OKs": 1}),
    "end below the known end": ([(0, 16), (8, 4, "L")], {"Reqds": 2}, {"Reqds": 2, "Fails": 1}),
    "another end": ([(8, 8, "L"), (8, 16, "L")], {"Reqds": 2}, {"Reqds": 2, "Fails": 1}),
    "behind the end": ([(8, 8, "L"), (16, 8)], {"Reqds": 2}, {"Reqds": 2, "Fails": 1}),
    "nothing left": ([(0, 8), (8, 7)], {"Reqds": 2}, {"Reqds": 2, "Fails": 1}),
    "overlap": ([(0, 16), (8, 16)], {"Reqds": 2}, {"Reqds": 2, "Fails": 1, "Overlaps": 1}),
    "duplicate": ([(0, 16), (0, 16)], {"Reqds": 2}, {"Reqds": 2}),
}


@pytest.mark.parametrize("exit_", COUNTERS)
def test_what_an_exit_counts(exit_: str) -> None:
    pieces, trimmed, modern = COUNTERS[exit_]
    assert sent(LINUX_4_14, pieces).counters == trimmed
    assert sent(LINUX_6_18, pieces).counters == modern


@BOTH
def test_what_a_timer_counts(kernel: KernelProfile) -> None:
    bench = sent(kernel, [(0, 8)])
    assert not bench.at(29.9)
    assert [fallen.exit.reason for fallen in bench.at(30)] == [DropReason.FRAG_REASM_TIMEOUT]
    assert bench.counters == {"Reqds": 1, "Fails": 1, "Timeout": 1}


ECN_RESULTS = {
    **dict.fromkeys((3, 5, 7, 9, 11, 13, 15), "lost"),
    **dict.fromkeys((1, 2, 4, 6, 8), "kept"),
    **dict.fromkeys((10, 12, 14), "ce"),
}
"""By the set of marks: bit 0 not-ECT, 1 ECT(1), 2 ECT(0), 3 CE."""


@BOTH
@pytest.mark.parametrize("mask", ECN_RESULTS)
def test_congestion_marks(mask: int, kernel: KernelProfile) -> None:
    marks = [mark for mark in range(4) if mask >> mark & 1]
    marks *= 1 + (len(marks) == 1)
    bench = Bench(kernel)
    for place, mark in enumerate(marks):
        bench.send(b"x" * 8, offset=8 * place, mf=place < len(marks) - 1, tos=0xB8 | mark)
    if ECN_RESULTS[mask] == "lost":
        assert not bench.delivered
        assert bench.counters == {"Reqds": len(marks), "Fails": 1}
    else:
        assert bench.delivered[0][1] == 0xB8 | (3 if ECN_RESULTS[mask] == "ce" else marks[0])


def test_the_mark_of_a_refused_fragment_does_not_count() -> None:
    bench = Bench(LINUX_6_18)
    bench.send(b"A" * 16, mf=True, tos=2)
    bench.send(b"A" * 16, mf=True, tos=0)
    bench.send(b"B" * 8, offset=16, tos=2)
    assert bench.delivered[0][1] == 2


DF_RULE = {
    "all": ([(16, True), (8, True)], True),
    "none": ([(16, False), (8, False)], False),
    "only the largest": ([(16, True), (8, False)], True),
    "only a smaller one": ([(16, False), (8, True)], False),
    "a tie of the largest, one with it": ([(16, False), (16, True)], True),
}


@BOTH
@pytest.mark.parametrize("case", DF_RULE)
def test_df_is_kept_where_the_largest_had_it(case: str, kernel: KernelProfile) -> None:
    fragments, kept = DF_RULE[case]
    bench = Bench(kernel)
    offset = 0
    for place, (size, df) in enumerate(fragments):
        bench.send(b"x" * size, offset=offset, mf=place < len(fragments) - 1, df=df)
        offset += size
    assert bench.delivered[0][6:8] == (b"\x40\0" if kept else b"\0\0")


def test_df_goes_by_the_size_after_trimming() -> None:
    bench = Bench(LINUX_4_14)
    bench.send(b"A" * 24, mf=True)
    bench.send(b"B" * 32, offset=8, df=True, mf=True)  # 16 of it are left
    bench.send(b"C" * 8, offset=40)
    assert bench.delivered[0][6:8] == b"\0\0"


def test_the_own_header_counts_for_the_size() -> None:
    bench = Bench(LINUX_6_18)
    bench.send(b"A" * 16, mf=True)
    bench.send(b"B" * 14, offset=16, df=True, options=b"\1\1\1\1")
    assert bench.delivered[0][6:8] == b"\x40\0"


@BOTH
def test_the_header_is_the_first_fragments(kernel: KernelProfile) -> None:
    bench = Bench(kernel)
    bench.send(b"B" * 8, offset=16, ttl=9, tos=0x10, reserved=True)
    bench.send(b"A" * 16, mf=True, ttl=40, tos=0x28, ident=1, options=b"\x94\x04\0\0")
    expected = ip(b"A" * 16 + b"B" * 8, proto=253, ident=1, ttl=40, tos=0x28, options=b"\x94\x04\0\0")
    assert bench.delivered == [expected]
    assert rfc1071(bench.delivered[0][:24]) == 0


@BOTH
@pytest.mark.parametrize(("payload", "fits"), [(65515, True), (65516, False)])
def test_the_largest_datagram(payload: int, fits: bool, kernel: KernelProfile) -> None:
    bench = Bench(kernel)
    for offset in range(0, 65000, 13000):
        bench.send(b"x" * 13000, offset=offset, mf=True)
    bench.send(b"x" * (payload - 65000), offset=65000)
    assert [len(datagram) for datagram in bench.delivered] == [65535] * fits
    assert bench.counters == {"Reqds": 6, "OKs" if fits else "Fails": 1}


@BOTH
def test_a_piece_beyond_all_sizes_is_queued_as_any_other(kernel: KernelProfile) -> None:
    assert sent(kernel, [(65528, 16)]).exits[0].fate is Fate.QUEUED


@BOTH
@pytest.mark.parametrize("differing", [{"src": "192.0.2.9"}, {"dst": "192.0.2.9"}, {"ident": 2}, {"proto": 254}])
def test_what_tells_datagrams_apart(differing: dict[str, Any], kernel: KernelProfile) -> None:
    bench = Bench(kernel)
    bench.send(b"A" * 8, mf=True)
    bench.send(b"B" * 8, offset=8, **differing)
    assert not bench.delivered


@BOTH
@pytest.mark.parametrize("differing", [{"tos": 0x20}, {"ttl": 1}, {"options": b"\1\1\1\1"}])
def test_what_does_not(differing: dict[str, Any], kernel: KernelProfile) -> None:
    bench = Bench(kernel)
    bench.send(b"A" * 8, mf=True)
    bench.send(b"B" * 8, offset=8, **differing)
    assert bench.payloads == [b"A" * 8 + b"B" * 8]


@BOTH
def test_users_and_vrfs_share_no_queue(kernel: KernelProfile) -> None:
    bench = Bench(kernel)
    bench.send(b"A" * 8, mf=True)
    bench.send(b"B" * 8, offset=8, user=2)
    bench.send(b"B" * 8, offset=8, vif=7)
    assert not bench.delivered
    bench.send(b"A" * 8, mf=True, user=2)
    bench.send(b"A" * 8, mf=True, vif=7)
    assert len(bench.delivered) == 2


@BOTH
def test_a_late_copy_opens_a_new_queue(kernel: KernelProfile) -> None:
    bench = sent(kernel, [(0, 8), (8, 8, "L"), (8, 8, "L")])
    assert len(bench.delivered) == 1
    assert bench.holds_something


def test_what_is_noted_of_repetitions() -> None:
    bench = Bench(LINUX_4_14)
    bench.send(b"A" * 16, mf=True)
    bench.send(b"A" * 16, mf=True)
    bench.send(b"A" * 8, offset=8, mf=True)
    taken = bench.send(b"AAAAAAAABBBBBBBB", offset=8, mf=True)
    assert taken is not None
    assert taken.queue is not None
    assert (taken.queue.duplicates, taken.queue.overlaps, taken.queue.overlap) == (2, 1, 8)
    assert taken.queue.notes is None
    bench.send(b"C" * 8, offset=16, mf=True)
    assert taken.queue.notes == {FragNote.BYTES_DIFFER}
    assert (taken.queue.duplicates, taken.queue.overlaps, taken.queue.overlap) == (2, 2, 16)


@pytest.mark.parametrize(
    ("pieces", "holes"),
    [
        ([(8, 8)], [(0, 8), (16, None)]),
        ([(0, 8), (24, 8, "L")], [(8, 24)]),
        ([(0, 8), (16, 8)], [(8, 16), (24, None)]),
        ([(16, 0, "L")], [(0, 16)]),
        ([(0, 16), (24, 0, "L")], [(16, 24)]),
        ([(0, 7)], [(0, None)]),
    ],
)
def test_what_is_missing(pieces: list[Piece], holes: list[tuple[int, int | None]]) -> None:
    bench = sent(LINUX_4_14, pieces)
    assert [queue.holes() for queue in bench.queues.queues.values()] == [holes]
