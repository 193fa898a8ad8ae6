"""One process, measured from outside: how long, how much memory, how it ended."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

SECONDS_BETWEEN: Final = 0.01
PEAK: Final = re.compile(r"VmHWM:\s+(\d+) kB")


class Measured(NamedTuple):
    """What a whole process cost."""

    seconds: float
    peak_mib: float


class ProgramFailedError(RuntimeError):
    """A program that ended as it should not; its figures would mean nothing."""


def run(command: Sequence[str], fine: Sequence[int] = (0,)) -> Measured:
    """Run a process to its end, its output thrown away."""
    nothing = subprocess.DEVNULL
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdin=nothing, stdout=nothing, stderr=nothing)
    watch = _MemoryWatch(process.pid)
    status = process.wait()
    seconds = time.perf_counter() - begin
    if status not in fine:
        raise ProgramFailedError(f"exit status {status}: {' '.join(command)}")
    return Measured(seconds, watch.peak_mib())


class _MemoryWatch(threading.Thread):
    """Ask again and again for the peak that the kernel keeps: what wait() tells of it begins with our own."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._status = Path(f"/proc/{pid}/status")
        self._kib = 0
        self.start()

    def run(self) -> None:
        while True:
            time.sleep(SECONDS_BETWEEN)
            try:
                found = PEAK.search(self._status.read_text())
            except OSError:
                return
            if found is None:  # ended, and not yet waited for
                return
            self._kib = int(found[1])

    def peak_mib(self) -> float:
        """Return the last answer, once there is no other."""
        self.join()
        return self._kib / 1024


def in_turn(commands: Mapping[str, Sequence[str]], rounds: int, fine: Sequence[int] = (0, 1)) -> dict[str, Measured]:
    """Run the processes one after the other, round by round; return the medians."""
    seen: dict[str, list[Measured]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            seen[name].append(run(command, fine))
    return {
        name: Measured(median(m.seconds for m in runs), median(m.peak_mib for m in runs)) for name, runs in seen.items()
    }
