"""What bounds reassembly: memory, hash chains, distance, timers; both kernels."""

from __future__ import annotations

import pytest

from ipkit.core.host.kernel import LINUX_4_14, LINUX_6_18, KernelProfile
from ipkit.core.host.sysctl import NetConf
from ipkit.core.outcome.defrag_exits import Fate
from ipkit.core.outcome.drop_reasons import DropReason
from ipkit.core.state.frag_chains import FragChains
from ipkit.core.state.frag_queue import FragQueue
from ipkit.core.state.frag_queues import FragQueues
from tests.support.fragments import Bench

BOTH = pytest.mark.parametrize("kernel", [LINUX_4_14, LINUX_6_18], ids=lambda kernel: kernel.name)

SMALL = {LINUX_4_14: 768, LINUX_6_18: 832}
"""What a small fragment's buffer is charged with; a queue is charged with 200."""


@pytest.mark.parametrize(
    ("total", "trimmed", "modern"),
    [
        (20, 768, 832),
        (161, 768, 832),
        (162, 1280, 832),
        (225, 1280, 832),
        (226, 1280, 1280),
        (673, 1280, 1280),
        (674, 2304, 2304),
        (1697, 2304, 2304),
        (1698, 4352, 4352),
        (3745, 4352, 4352),
        (3746, 8448, 8448),
        (7841, 8448, 8448),
        (7842, 16640, 16640),
        (65535, 131328, 131328),
    ],
)
def test_what_a_buffer_is_charged(total: int, trimmed: int, modern: int) -> None:
    assert FragQueues(LINUX_4_14, NetConf()).truesize(total) == trimmed
    assert FragQueues(LINUX_6_18, NetConf()).truesize(total) == modern


@BOTH
def test_memory_is_given_back(kernel: KernelProfile) -> None:
    bench = Bench(kernel)
    bench.send(b"A" * 8, mf=True)
    assert bench.queues.memory == 200 + SMALL[kernel]
    bench.send(b"A" * 8, mf=True, ident=2)
    bench.send(b"C" * 8, offset=16, mf=True)
    assert bench.queues.memory == 2 * 200 + 3 * SMALL[kernel]
    bench.send(b"B" * 16, offset=8, ident=2)
    bench.at(31)
    assert bench.queues.memory == 0


def test_what_an_overlap_frees_is_given_back_and_trimming_frees_nothing() -> None:
    bench = Bench(LINUX_4_14)
    bench.send(b"A" * 16, offset=8, mf=True)
    bench.send(b"B" * 16, mf=True)  # A is cut
    assert bench.queues.memory == 200 + 2 * 768
    bench.send(b"C" * 24, mf=True)  # B and what was left of A go
    assert bench.queues.memory == 200 + 768


def test_a_duplicate_is_not_charged() -> None:
    bench = Bench(LINUX_6_18)
    bench.send(b"A" * 16, mf=True)
    bench.send(b"A" * 16, mf=True)
    assert bench.queues.memory == 200 + 832


def test_6_18_refuses_every_fragment_above_the_threshold() -> None:
    bench = Bench(LINUX_6_18, ipfrag_high_thresh=3000, ipfrag_low_thresh=0)
    for ident in (1, 2, 3):
        bench.send(b"A" * 8, mf=True, ident=ident)
    assert bench.queues.memory == 3096
    completing = bench.send(b"B" * 8, offset=8, ident=1)
    assert completing is not None
    assert (completing.exit.fate, completing.queue) == (Fate.REFUSED, None)
    assert bench.counters == {"Reqds": 4, "Fails": 1}
    assert not bench.delivered


def test_4_14_refuses_new_queues_only_and_evicts() -> None:
    bench = Bench(LINUX_4_14, ipfrag_high_thresh=3000, ipfrag_low_thresh=3000)
    for ident in (1, 2, 3, 4):
        bench.send(b"A" * 8, mf=True, ident=ident)
    assert bench.queues.memory == 4 * 968
    bench.send(b"B" * 8, offset=8, ident=1)
    assert bench.payloads == [b"A" * 8 + b"B" * 8]
    assert not bench.fallen  # the worker ran, and found memory below the mark again
    bench.send(b"A" * 8, mf=True, ident=5)
    bench.send(b"A" * 8, mf=True, ident=6)
    refused = 0
    while not bench.fallen:  # an eighth of the chains is visited each time
        assert bench.exits[-1].fate is Fate.REFUSED
        refused += 1
        bench.send(b"A" * 8, mf=True, ident=6)
    assert {fallen.exit.func for fallen in bench.fallen} == {"ip_expire"}
    assert bench.queues.memory < 3000
    assert bench.counters == {"Reqds": 7 + refused, "OKs": 1, "Fails": 1 + refused + len(bench.fallen)}


@BOTH
def test_threshold_zero_lets_nothing_begin(kernel: KernelProfile) -> None:
    bench = Bench(kernel, ipfrag_high_thresh=0, ipfrag_low_thresh=0)
    bench.send(b"A" * 8, mf=True)
    assert bench.counters == {"Reqds": 1, "Fails": 1}
    assert bench.exits[0].reason is DropReason.NOT_SPECIFIED


def chains_of(bench: Bench) -> FragChains:
    chains = bench.queues.chains
    assert chains is not None
    return chains


def colliding_idents(count: int) -> list[int]:
    """Return identifications between the two usual addresses that share a hash chain to begin with."""
    chains = FragChains()
    by_chain: dict[int, list[int]] = {}
    for ident in range(65536):
        key = (b"\xc0\0\x02\x01\xc6\x33\x64\x02", ident, 253, 0, 0)
        same = by_chain.setdefault(id(chains.chain_of(key)), [])
        same.append(ident)
        if len(same) == count:
            return same
    raise AssertionError("a hash that spreads too well")


def test_a_chain_of_129_and_no_more() -> None:
    bench = Bench(LINUX_4_14)
    # User and VRF are not hashed: they make as many colliding keys as are needed.
    for vif in range(129):
        bench.send(b"A" * 8, mf=True, vif=vif)
    assert {end.fate for end in bench.exits} == {Fate.QUEUED}
    bench.send(b"A" * 8, mf=True, vif=129)
    assert bench.exits[-1].fate is Fate.REFUSED
    assert bench.counters == {"Reqds": 130, "Fails": 1}
    bench.send(b"B" * 8, offset=8, vif=5)
    assert len(bench.delivered) == 1


def test_a_later_kernel_has_no_chains() -> None:
    bench = Bench(LINUX_6_18)
    for vif in range(200):
        bench.send(b"A" * 8, mf=True, vif=vif)
    assert {end.fate for end in bench.exits} == {Fate.QUEUED}


def test_after_a_refusal_for_depth_keys_are_hashed_anew_at_most_every_five_seconds() -> None:
    bench = Bench(LINUX_4_14)
    bench.at(100)
    idents = colliding_idents(64)
    for vif in range(2):
        for ident in idents:
            bench.send(b"A" * 8, mf=True, ident=ident, vif=vif)
    deep = [len(chain) for chain in chains_of(bench)._chains if chain]
    bench.send(b"A" * 8, mf=True, ident=idents[0], vif=2)
    bench.send(b"A" * 8, mf=True, ident=idents[0], vif=3)
    assert [end.fate for end in bench.exits[-2:]] == [Fate.QUEUED, Fate.REFUSED]
    assert deep == [128]
    assert max(len(chain) for chain in chains_of(bench)._chains) < 40
    bench.send(b"A" * 8, mf=True, ident=idents[0], vif=3)
    assert [end.fate for end in bench.exits[-1:]] == [Fate.QUEUED]


def test_a_chain_that_the_worker_begins_goes_entirely_oldest_first() -> None:
    bench = Bench(LINUX_4_14, ipfrag_low_thresh=10 * 968)
    for vif in range(11):
        bench.send(b"A" * 8, mf=True, vif=vif)
    while not bench.fallen:  # an eighth of the chains is visited with each fragment that comes while memory is scarce
        bench.send(b"A" * 8, mf=True, vif=4)
    assert [fallen.queue.key[4] for fallen in bench.fallen] == list(range(11))


def charged(queue: FragQueue) -> FragQueue:
    queue.memory = 1000
    return queue


def test_the_worker_stops_at_the_chain_that_made_room() -> None:
    chains = FragChains()
    queues = [charged(FragQueue((bytes(8), ident, 253, 0, 0))) for ident in range(2000)]
    for queue in queues:
        chains.add(queue)
    gone = chains.victims(2_000_000, 1_990_001)
    assert 10 <= len(gone) < 30  # two thousand queues in a thousand chains
    assert not chains.victims(1_990_000, 1_990_001)


def test_one_run_of_the_worker_ends_above_512() -> None:
    chains = FragChains()
    for ident in range(20000):
        chains.add(FragQueue((bytes(8), ident, 253, 0, 0)))
    assert 512 < len(chains.victims(1, 0)) < 560


def test_one_run_of_the_worker_visits_an_eighth_of_the_chains() -> None:
    chains = FragChains()
    queues = [FragQueue((bytes(8), ident, 253, 0, 0)) for ident in range(1000)]
    for queue in queues:
        chains.add(queue)
    runs = [chains.victims(1, 0) for _ in range(8)]
    assert all(runs)
    assert sorted(queue.key for run in runs for queue in run) == [queue.key for queue in queues]


def test_an_evicted_queue_counts_as_failed_and_no_more() -> None:
    bench = Bench(LINUX_4_14, ipfrag_low_thresh=0)
    bench.send(b"A" * 8, mf=True)
    for _ in range(8):
        bench.send(b"A" * 8, mf=True)
    assert len(bench.fallen) == 1
    assert bench.counters["Fails"] == 1
    assert "Timeout" not in bench.counters


def distance_between(bench: Bench, others: int) -> None:
    bench.send(b"A" * 8, mf=True)
    for ident in range(others):
        bench.send(b"X" * 8, mf=True, ident=100 + ident)
    bench.send(b"B" * 8, offset=8)


@BOTH
@pytest.mark.parametrize(
    ("max_dist", "others", "whole"), [(64, 63, True), (64, 64, False), (2, 1, True), (2, 2, False)]
)
def test_too_many_others_in_between(max_dist: int, others: int, whole: bool, kernel: KernelProfile) -> None:
    bench = Bench(kernel, ipfrag_max_dist=max_dist)
    distance_between(bench, others)
    assert bool(bench.delivered) is whole
    if not whole:
        assert [fallen.exit.reason for fallen in bench.fallen] == [DropReason.FRAG_TOO_FAR]
        assert bench.counters == {"Reqds": others + 2, "Fails": 1}
        assert bench.exits[-1].fate is Fate.QUEUED


@BOTH
def test_distance_zero_is_no_limit(kernel: KernelProfile) -> None:
    bench = Bench(kernel, ipfrag_max_dist=0)
    distance_between(bench, 200)
    assert bench.delivered


@BOTH
def test_other_sources_are_no_distance(kernel: KernelProfile) -> None:
    bench = Bench(kernel)
    bench.send(b"A" * 8, mf=True)
    for ident in range(100):
        bench.send(b"X" * 8, mf=True, ident=ident, src="192.0.2.77")
    bench.send(b"B" * 8, offset=8)
    assert bench.delivered


@BOTH
def test_fragments_that_are_refused_count_for_the_distance(kernel: KernelProfile) -> None:
    bench = Bench(kernel, ipfrag_max_dist=2)
    bench.send(b"A" * 8, mf=True)
    bench.send(b"", offset=8, mf=True, ident=2)
    bench.send(b"", offset=8, mf=True, ident=2)
    bench.send(b"B" * 8, offset=8)
    assert not bench.delivered


@BOTH
def test_a_restart_begins_the_timer_anew_and_remembers_sizes(kernel: KernelProfile) -> None:
    bench = Bench(kernel, ipfrag_max_dist=1)
    bench.at(0)
    bench.send(b"A" * 80, mf=True, df=True)
    bench.at(20)
    bench.send(b"X" * 8, mf=True, ident=2)
    bench.send(b"B" * 8, offset=8)  # too far: all that was held goes, this is the first of a new start
    assert not bench.at(49)[1:]
    bench.send(b"A" * 8, mf=True)
    assert bench.payloads == [b"A" * 8 + b"B" * 8]
    assert bench.delivered[0][6:8] == b"\x40\0"  # the largest that was ever seen had DF


@BOTH
def test_the_timer_runs_from_the_first_arrival(kernel: KernelProfile) -> None:
    bench = Bench(kernel, ipfrag_time=2)
    bench.at(10)
    bench.send(b"A" * 8, mf=True)
    bench.at(11.9)
    bench.send(b"B" * 8, offset=8, mf=True)
    assert [fallen.queue.holes() for fallen in bench.at(12)] == [[(16, None)]]


@BOTH
def test_timers_fire_in_the_order_of_their_start(kernel: KernelProfile) -> None:
    bench = Bench(kernel)
    for second, ident in enumerate((5, 3, 9, 1)):
        bench.at(second)
        bench.send(b"A" * 8, mf=True, ident=ident)
    bench.send(b"B" * 8, offset=8, ident=3)
    assert [fallen.queue.key[1] for fallen in bench.at(31)] == [5]
    assert [fallen.queue.key[1] for fallen in bench.at(100)] == [9, 1]


@BOTH
def test_the_clock_is_never_turned_back(kernel: KernelProfile) -> None:
    bench = Bench(kernel)
    bench.at(100)
    bench.at(50)
    bench.send(b"A" * 8, mf=True)
    assert not bench.at(129)
    assert len(bench.at(130)) == 1


@BOTH
def test_a_flood_of_sources_leaves_nothing_behind(kernel: KernelProfile) -> None:
    bench = Bench(kernel)
    for source in range(500):
        bench.send(b"A" * 8, mf=True, src=f"10.0.{source // 250}.{source % 250}")
    assert len(bench.queues.peers) == 500
    bench.at(40)
    assert (bench.queues.memory, len(bench.queues.queues)) == (0, 0)
    for source in range(500):
        bench.send(b"A" * 8, mf=True, src=f"10.9.{source // 250}.{source % 250}")
        bench.send(b"B" * 8, offset=8, src=f"10.9.{source // 250}.{source % 250}")
    assert len(bench.queues.peers) < 100
