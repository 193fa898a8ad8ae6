"""Attacks on reassembly by the names they go by: no crash, bounded cost, nothing silent."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from random import Random
from time import process_time
from typing import Any

import pytest

from ipkit.core.host.kernel import LINUX_4_14, LINUX_6_18, KernelProfile
from ipkit.core.host.sysctl import NetConf
from ipkit.core.overlap import POLICIES
from tests.support.fragments import PLENTY, Bench
from tests.support.packets import eth, ip, tcp
from tests.support.reassembled import Capture, frag

BOTH = pytest.mark.parametrize("kernel", [LINUX_4_14, LINUX_6_18], ids=lambda kernel: kernel.name)


def row_of(frames: list[bytes], kernel: KernelProfile, **options: Any) -> dict[str, Any]:
    """Return the first row that a host's answer makes; every row but a clean one asks to be looked at."""
    done = Capture(frames, kernel=kernel, drains=True, seconds=[0] * len(frames), **options)
    assert all(done.looks)
    return done.rows[0]


ENDS_INSIDE = {
    "teardrop": [frag("A", 0, size=36), frag("B", 24, size=4, last=True)],
    "newtear": [frag("A", 0, size=28), frag("B", 16, size=4, last=True)],
    "syndrop": [frag("A", 0, size=48), frag("B", 24, size=8, last=True)],
    "nestea": [frag("A", 0, size=116), frag("B", 48, size=8, last=True), frag("C", 0, size=88)],
}


@pytest.mark.parametrize("attack", ENDS_INSIDE)
def test_a_last_piece_that_ends_inside_an_earlier_one(attack: str) -> None:
    trimmed, modern = row_of(ENDS_INSIDE[attack], LINUX_4_14), row_of(ENDS_INSIDE[attack], LINUX_6_18)
    assert "short-end" in trimmed["notes"]
    assert "short-end" in modern["notes"]
    assert (trimmed["status"], modern["status"]) == ("timeout", "dropped")
    assert 2 not in trimmed["frames"]


@BOTH
def test_bonk_and_its_odd_length(kernel: KernelProfile) -> None:
    row = row_of([frag("A", 0, size=28), frag("B", 24, size=8, last=True)], kernel)
    assert (row["status"], row["length"], row["notes"]) == ("complete", 52, ["ragged"])


@BOTH
def test_boink_and_its_offset_beyond_the_end(kernel: KernelProfile) -> None:
    row = row_of([frag("A", 8, size=8, last=True), frag("B", 800, size=8), frag("C", 0, size=8)], kernel)
    assert "past-end" in row["notes"]


@BOTH
@pytest.mark.parametrize("attack", ["ping of death", "jolt"])
def test_a_datagram_of_more_than_65535_bytes(attack: str, kernel: KernelProfile) -> None:
    size = {"ping of death": 1480, "jolt": 376}[attack]
    starts = range(0, 65536 - size, size)
    frames = [frag("P", start, size=size) for start in starts]
    frames.append(frag("L", starts[-1] + size, size=size, last=True))
    row = row_of(frames, kernel)
    assert (row["status"], row["func"], "oversize" in row["notes"]) == ("dropped", "ip_frag_reasm", True)
    lenient = row_of(frames, kernel, policy=POLICIES["last"])
    assert (lenient["status"], "oversize" in lenient["notes"]) == ("timeout", True)


@BOTH
def test_jolt2_costs_the_same_each_time(kernel: KernelProfile) -> None:
    bench = Bench(kernel)
    for _ in range(5000):
        bench.send(b"J" * 9, offset=65520, ident=1109)
    [queue] = bench.queues.queues.values()
    assert len(queue.pieces) == 1
    assert bench.queues.memory < 2000


@BOTH
def test_rose_gets_no_memory_for_its_gap(kernel: KernelProfile) -> None:
    bench = Bench(kernel)
    for ident in range(300):
        bench.send(b"R" * 8, mf=True, ident=ident)
        bench.send(b"R" * 8, offset=65400, ident=ident)
    held = sum(len(piece.payload) for queue in bench.queues.queues.values() for piece in queue.pieces)
    assert held == 300 * 16
    assert bench.queues.memory < 300 * 2000


def new_dawn(count: int, order: str) -> list[bytes]:
    """Return tiny fragments whose first is missing."""
    blocks = list(range(1, count + 1))
    if order == "random":
        Random(1).shuffle(blocks)
    elif order == "reverse":
        blocks.reverse()
    elif order == "every second first":
        blocks = blocks[::2] + blocks[1::2]
    return [ip(b"F" * 8, proto=253, offset=8 * block, mf=True) for block in blocks]


def cost(frames: list[bytes], make: Callable[[], Bench]) -> float:
    """Return the time a fragment takes, the best of three."""
    times = []
    for _ in range(3):
        bench = make()
        before = process_time()
        for frame in frames:
            bench.hand_in(frame)
        times.append(process_time() - before)
    return min(times) / len(frames)


@pytest.mark.parametrize("policy", ["first", "last", "linux-trim", "linux-modern", "rfc5722"])
@pytest.mark.parametrize("order", ["forward", "reverse", "random", "every second first"])
def test_fragmentsmack_has_no_quadratic_cost(order: str, policy: str) -> None:
    def make() -> Bench:
        return Bench(LINUX_4_14, POLICIES[policy])

    few, many = cost(new_dawn(1000, order), make), cost(new_dawn(8000, order), make)
    assert many < 4 * few  # eight times as many: quadratic would be eight times the cost of each


@BOTH
@pytest.mark.parametrize("policy", [None, "first", "last", "windows"])
def test_large_pieces_over_many_tiny_ones_cost_what_their_bytes_do(policy: str | None, kernel: KernelProfile) -> None:
    bench = Bench(kernel, POLICIES[policy] if policy else None)
    before = process_time()
    for block in range(0, 8000, 2):
        bench.send(b"t" * 8, offset=8 * block, mf=True)
    for _ in range(40):
        bench.send(b"L" * 64000, mf=True)
    assert process_time() - before < 5


def test_fragmentsmack_is_bounded_by_the_threshold() -> None:
    for kernel in (LINUX_4_14, LINUX_6_18):
        bench = Bench(kernel, ipfrag_high_thresh=262144, ipfrag_low_thresh=196608)
        for ident in range(3):
            for frame in new_dawn(400, "random"):
                bench.hand_in(frame[:4] + ident.to_bytes(2, "big") + frame[6:])
                assert bench.queues.memory <= 262144 + 2000


def test_keys_that_collide_cve_2003_0364() -> None:
    bench = Bench(LINUX_4_14)
    for vif in range(1000):  # neither VRF nor user is hashed: one chain
        bench.send(b"C" * 8, mf=True, vif=vif)
    assert len(bench.queues.queues) == 129


def test_the_dictionary_is_not_to_be_foreseen() -> None:
    program = "print(hash((b'\\xc0\\0\\2\\1\\xc6\\x33\\x64\\2', 1, 17, 0, 0)))"
    hashes = {
        subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in "123"
    }
    assert len(hashes) == 3
    bench = Bench(LINUX_4_14)
    bench.send(b"A" * 8, mf=True)
    [key] = bench.queues.queues
    assert isinstance(key[0], bytes)


@BOTH
def test_a_tiny_first_fragment_rfc_1858(kernel: KernelProfile) -> None:
    segment = tcp(b"GET / HTTP/1.0")
    frames = [eth(ip(segment[:8], proto=6, mf=True)), eth(ip(segment[8:], proto=6, offset=8))]
    row = row_of(frames, kernel)
    assert (row["status"], row["notes"]) == ("complete", ["tiny-first"])


def test_flags_that_a_second_fragment_rewrites_rfc_1858() -> None:
    frames = [frag("A", 0, size=24), frag("X", 8, size=24, last=True)]
    trimmed, modern = row_of(frames, LINUX_4_14), row_of(frames, LINUX_6_18)
    assert (trimmed["status"], trimmed["overlap"], trimmed["notes"]) == ("complete", 16, ["bytes-differ"])
    assert (modern["status"], modern["mib"]) == ("dropped", ["IpReasmFails", "IpExtReasmOverlaps"])


def test_a_second_first_fragment_rfc_3128() -> None:
    frames = [frag("A", 0), frag("X", 0), frag("C", 16, size=8, last=True)]
    trimmed, modern = row_of(frames, LINUX_4_14), row_of(frames, LINUX_6_18)
    assert (trimmed["frames"], modern["frames"]) == ([2, 3], [1, 3])
    assert trimmed["notes"] == modern["notes"] == ["bytes-differ"]
    assert trimmed["overlap"] == modern["overlap"] == 16


def test_a_fragment_of_nothing() -> None:
    frames = [frag("A", 0), frag("Z", 16, size=0), frag("C", 16, last=True)]
    trimmed, modern = row_of(frames, LINUX_4_14), row_of(frames, LINUX_6_18)
    assert (trimmed["status"], trimmed["notes"]) == ("complete", ["zero-length"])
    assert (modern["status"], modern["notes"]) == ("dropped", ["zero-length"])


def test_two_ends() -> None:
    frames = [frag("A", 16, last=True), frag("B", 16, size=24, last=True), frag("C", 0)]
    trimmed, modern = row_of(frames, LINUX_4_14), row_of(frames, LINUX_6_18)
    assert (trimmed["status"], trimmed["length"], trimmed["notes"]) == ("complete", 52, ["conflict-end"])
    assert (modern["status"], modern["notes"]) == ("dropped", ["conflict-end"])
    assert row_of(frames, LINUX_4_14, policy=POLICIES["first"])["length"] == 52


OLD_WINDOWS = {
    "fawx": [frag("F", 24, size=9), frag("F", 48, size=9), frag("G", 8, size=8)],
    "pimp": [frag("P", 8, size=40), frag("P", 48, size=8)],
    "IGMP nuke": [frag("I", 1480, size=1480), frag("I", 2960, size=1480)],
    "kod": [frag("K", 1480, size=1480), frag("K", 5920, size=600, last=True)],
}


@BOTH
@pytest.mark.parametrize("attack", OLD_WINDOWS)
def test_missing_starts_stay_incomplete_and_age_out(attack: str, kernel: KernelProfile) -> None:
    done = Capture(OLD_WINDOWS[attack], kernel=kernel)
    assert [row["status"] for row in done.rows] == ["incomplete"]
    aged = Capture(OLD_WINDOWS[attack], kernel=kernel, drains=True, icmp=True)
    assert [row["status"] for row in aged.rows] == ["timeout"]
    assert not aged.errors


@BOTH
def test_df_on_fragments_is_accepted_and_said(kernel: KernelProfile) -> None:
    done = Capture([frag("A", 0, df=True), frag("B", 16, df=True, last=True)], kernel=kernel)
    assert [(row["status"], row["notes"]) for row in done.rows] == [("complete", ["df"])]


@BOTH
def test_options_and_ttl_that_differ_are_said_and_the_first_fragments_count(kernel: KernelProfile) -> None:
    frames = [frag("B", 16, last=True, ttl=1), frag("A", 0, ttl=64, options=b"\x94\x04\0\0")]
    done = Capture(frames, kernel=kernel)
    assert done.rows[0]["notes"] == ["ttl-differs", "options-differ"]
    assert done.out[0][14:] == ip(b"A" * 16 + b"B" * 16, proto=253, ident=1, ttl=64, options=b"\x94\x04\0\0")


@BOTH
def test_a_stale_identification_ages_out(kernel: KernelProfile) -> None:
    frames = [frag("O", 16, last=True), frag("A", 0, size=8), frag("B", 8, size=8, last=True)]
    done = Capture(frames, kernel=kernel, seconds=[0, 31, 32])
    assert [row["status"] for row in done.rows] == ["timeout", "complete"]


@BOTH
def test_a_million_datagrams_that_never_finish_stay_below_the_threshold(kernel: KernelProfile) -> None:
    """Fifty thousand of them here: the rate and the memory of the last are those of the first."""
    limits = NetConf(ipfrag_high_thresh=400_000, ipfrag_low_thresh=300_000)
    bench = Bench(kernel, ipfrag_high_thresh=limits.ipfrag_high_thresh, ipfrag_low_thresh=limits.ipfrag_low_thresh)
    template = ip(b"F" * 8, proto=253, mf=True)
    rates = []
    for part in range(5):
        before = process_time()
        for ident in range(10_000):
            source = (part << 16 | ident).to_bytes(4, "big")
            bench.hand_in(template[:12] + source + template[16:])
        rates.append(process_time() - before)
        assert bench.queues.memory <= 400_000 + 2000
        assert len(bench.queues.queues) < 500
        bench.exits.clear()
        bench.fallen.clear()
    assert min(rates[3:]) < 4 * min(rates[:2])  # a busy machine slows one of them, a growing cost all that come late


@BOTH
def test_ten_thousand_datagrams_in_flight_with_the_threshold_raised(kernel: KernelProfile) -> None:
    bench = Bench(kernel, ipfrag_high_thresh=PLENTY, ipfrag_low_thresh=PLENTY, ipfrag_max_dist=0)
    for part, letter in enumerate(b"ABC"):
        for ident in range(10_000):
            bench.send(bytes([letter]) * 8, offset=8 * part, mf=part < 2, ident=ident)
    assert bench.counters == {"Reqds": 30_000, "OKs": 10_000}
    assert bench.queues.memory == 0
