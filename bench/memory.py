"""Whether memory grows with the capture: the same command over a tenth of the packets and over all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.captures import MILLION, imix
from bench.comparison import FINE, Command
from bench.process import run

SIZES: Sequence[int] = (MILLION // 10, MILLION)


def memory(commands: Mapping[str, Command]) -> str:
    """Return the peaks of each command."""
    lines = []
    for name, command in commands.items():
        peaks = [run(command(imix(packets)), FINE).peak_mib for packets in SIZES]
        lines.append(
            f"{name:20}"
            + "".join(f"{packets:>12,}: {peak:4.0f} MiB" for packets, peak in zip(SIZES, peaks, strict=True))
        )
    return "\npeak memory by packets\n\n" + "\n".join(lines) + "\n"
