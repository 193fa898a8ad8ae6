"""One process, measured from outside: how long, how much memory, how it ended."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from statistics import median
from typing import NamedTuple


class Measured(NamedTuple):
    """What a whole process cost."""

    seconds: float
    peak_mib: float


class ProgramFailedError(RuntimeError):
    """A program that ended as it should not; its figures would mean nothing."""


def run(command: Sequence[str], fine: Sequence[int] = (0,)) -> Measured:
    """Run a process to its end, its output thrown away."""
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in fine:
        raise ProgramFailedError(f"exit status {process.returncode}: {' '.join(command)}")
    return Measured(seconds, usage.ru_maxrss / 1024)


def in_turn(commands: Mapping[str, Sequence[str]], rounds: int, fine: Sequence[int] = (0, 1)) -> dict[str, Measured]:
    """Run the processes one after the other, round by round; return the medians."""
    seen: dict[str, list[Measured]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            seen[name].append(run(command, fine))
    return {
        name: Measured(median(m.seconds for m in runs), median(m.peak_mib for m in runs)) for name, runs in seen.items()
    }
