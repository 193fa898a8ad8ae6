"""One work, this program and its peers: who is measured, on what, and the table that comes of it.

A peer that needs more than twenty times our time runs on a slice of the input and is compared per packet, its start-up
taken off; the table names the slice. A peer that is not installed is left out and named.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from tabulate import tabulate

from bench.captures import CACHE, first
from bench.process import in_turn, run

SLICE: Final = 10_000
SLOW: Final = 20
MEGA: Final = 1_000_000
FINE: Final = (0, 1)  # ipkit's finding is no failure
HEADINGS: Final = ("program", "packets", "seconds", "packets/s", "peer / ours", "peak MiB")

Command = Callable[[Path], Sequence[str]]


@dataclass(frozen=True)
class Peer:
    """Another program that does the same work; `needs` is a program, or a Python module behind `python:`."""

    name: str
    needs: str
    command: Command

    def is_here(self) -> bool:
        """Tell whether it can be measured on this machine."""
        kind, _, module = self.needs.partition(":")
        return importlib.util.find_spec(module) is not None if module else shutil.which(kind) is not None


@dataclass(frozen=True)
class Work:
    """What is to be done with a capture of so many packets, and by whom."""

    name: str
    capture: Path
    packets: int
    ours: Command
    peers: Sequence[Peer]
    part: Callable[[int, Path], Path] = first  # how the first of them become an input of their own


class Line(NamedTuple):
    """One program's figures."""

    name: str
    packets: int
    seconds: float
    peak_mib: float
    note: str = ""


def peer_script(name: str) -> tuple[str, str]:
    """Return how a script in bench/peers is called."""
    return sys.executable, str(Path(__file__).parent / "peers" / name)


def output(name: str) -> str:
    """Return where a program may write its packets."""
    return str(CACHE / f"out-{name}.pcap")


def compare(work: Work, rounds: int) -> str:
    """Measure a work; return its table."""
    here = [peer for peer in work.peers if peer.is_here()]
    slow = list(_slow_ones(work, here))
    commands = {"ipkit": work.ours(work.capture)}
    commands |= {
        peer.name: peer.command(work.capture) for peer in here if peer.name not in {line.name for line in slow}
    }
    lines = [Line(name, work.packets, *measured) for name, measured in in_turn(commands, rounds, FINE).items()]
    missing = [peer.name for peer in work.peers if not peer.is_here()]
    return _table(work, [*lines, *slow]) + (f"left out, not installed: {', '.join(missing)}\n" if missing else "")


def _slow_ones(work: Work, peers: Sequence[Peer]) -> Iterator[Line]:
    """Yield the figures of the peers that are not made to do all of the work."""
    ours = run(work.ours(work.capture), FINE).seconds / work.packets
    for peer in peers:
        start_up = run(peer.command(work.part(1, work.capture)), FINE)
        part = run(peer.command(work.part(SLICE, work.capture)), FINE)
        seconds = part.seconds - start_up.seconds
        if seconds / SLICE > SLOW * ours:
            yield Line(peer.name, SLICE, seconds, part.peak_mib, " (slice, without start-up)")


def _table(work: Work, lines: Sequence[Line]) -> str:
    ours = lines[0].seconds / lines[0].packets
    rows = [
        (
            line.name,
            f"{line.packets:,}{line.note}",
            f"{line.seconds:.2f}",
            f"{line.packets / line.seconds:,.0f}",
            f"{line.seconds / line.packets / ours:.2f}",
            f"{line.peak_mib:.0f}",
        )
        for line in lines
    ]
    align = ("left", *["right"] * (len(HEADINGS) - 1))
    drawn = tabulate(rows, HEADINGS, disable_numparse=True, colalign=align)
    return f"\n{work.name}: {work.capture.name}, {work.capture.stat().st_size / MEGA:.0f} MB\n\n{drawn}\n"
