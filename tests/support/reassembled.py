"""A lane that has gone through frames made by hand: its rows, what stands in the output, what was counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ipkit.core.compare_policies import Panels
from ipkit.core.frames import FrameBatch
from ipkit.core.host.kernel import LINUX_4_14, KernelProfile
from ipkit.core.lanes import LaneResult, RowWish
from ipkit.core.reassemble_lane import ReassembleLane, ReassembleOptions
from ipkit.core.receiving_hosts import ReceivingHosts
from tests.support.batches import batch_of
from tests.support.packets import eth, ip

SECOND = 1_000_000_000


def frag(letter: str, offset: int, *, size: int = 16, last: bool = False, ident: int = 1, **header: Any) -> bytes:
    """Return a fragment of one letter in an Ethernet frame."""
    return eth(ip(letter.encode() * size, offset=offset, mf=not last, ident=ident, proto=253, **header))


class Capture:
    """A lane that has gone through some frames, one batch each or all in one."""

    def __init__(
        self,
        frames: Sequence[bytes],
        *,
        kernel: KernelProfile = LINUX_4_14,
        wish: RowWish = RowWish.ALL,
        apart: bool = False,
        seconds: Sequence[float] | None = None,
        icmp: bool = False,
        compares: bool = False,
        batch: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        chosen = ReassembleOptions(kernel, **{"keeps_frames": True, **options})
        self.lane = ReassembleLane(
            chosen, wish, ReceivingHosts(kernel) if icmp else None, Panels(chosen.limits) if compares else None
        )
        self.rows: list[dict[str, Any]] = []
        self.looks: list[bool] = []
        self.out: list[bytes] = []
        self.times: list[int] = []
        self.errors: list[tuple[int, bytes]] = []
        times = [int(second * SECOND) for second in seconds or range(len(frames))]
        size = 1 if apart else len(frames)
        for first in range(0, len(frames), size or 1):
            part = slice(first, first + size)
            self._process(batch_of(frames[part], tstamp_ns=times[part], first_number=first + 1, **(batch or {})))
        last = self.lane.finish()
        self._add(last)
        self.out += [frame.data for frame in last.late]
        self.times += [frame.tstamp_ns for frame in last.late]
        self.summary: dict[str, Any] = dict(self.lane.summary())

    def _process(self, batch: FrameBatch) -> None:
        result = self.lane.process(batch)
        self._add(result)
        for row in range(len(batch)):
            for frame in result.changes.get(row, [batch.frame(row)]):
                self.out.append(frame.data)
                self.times.append(frame.tstamp_ns)
                assert frame.on_wire >= len(frame.data)

    def _add(self, result: LaneResult) -> None:
        self.rows += [dict(row.row) for row in result.rows]
        self.looks += [row.needs_look for row in result.rows]
        self.errors += [(frame.tstamp_ns, frame.data) for frame in result.icmp]

    def counts(self) -> dict[str, int]:
        """The counts that are not zero."""
        return {key: value for key, value in self.summary.items() if isinstance(value, int) and value}
