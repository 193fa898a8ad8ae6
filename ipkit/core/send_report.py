"""What became of frames and messages: rows for the report, and the counts of the summary.

Law: one row for each frame, one for each call that ended without any. A frame is `planned` until a wire took it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from errno import EMSGSIZE, errorcode
from typing import NamedTuple

from ipkit.core.host.kernel import KernelProfile
from ipkit.core.lanes import ReportRow, RowValue, RowWish
from ipkit.core.outcome.counters import Counted, Mib
from ipkit.core.output import OutFrame
from ipkit.core.rows import hex16
from ipkit.core.send import Call
from ipkit.core.send_layout import layout_rows
from ipkit.core.wire.ipv4 import FLAG_DF, FLAG_MF, address_text, read


class Put(NamedTuple):
    """What a wire said of a frame."""

    result: str
    errno: int = 0


PLANNED = Put("planned")
SENT = Put("sent")


def refused(errno: int) -> Put:
    """Return what to say of a frame or a message that did not leave."""
    return Put("too_big" if errno == EMSGSIZE else "error", errno)


class SendReport:
    """Rows and counts of one run; where `plan_is_all` nothing but its rows tells what a capture would become."""

    def __init__(self, wish: RowWish, kernel: KernelProfile, *, plan_is_all: bool = False) -> None:
        self._wish = wish
        self._plan_is_all = plan_is_all
        self._kernel = kernel
        self._count = dict.fromkeys(("messages", "bytes", "buffers", "frames", "sent", "failed"), 0)
        self._counters: Counter[Counted] = Counter()

    def call(self, call: Call, puts: list[tuple[OutFrame, Put]], first: int, *, layout: bool) -> list[ReportRow]:
        """Take in one call with its frames, the first of them so numbered; return its rows."""
        result, count = call.result, self._count
        output = result.output
        self._counters.update({mib: moved for mib, moved in result.mibs.items() if moved})
        count["bytes"] += 0 if result.errno else call.given
        count["messages"] += output is not None and not result.errno
        count["buffers"] += 0 if call.held else len(result.built)
        lost = bool(result.errno) or bool(output is not None and (output.queued or (not puts and not result.errno)))
        count["failed"] += lost
        count["frames"] += len(puts)
        for _, put in puts:
            if put is not PLANNED:
                self._judge(put)
        if self._wish is RowWish.NONE:
            return []
        rows = [_frame_row(frame, put, first + at) for at, (frame, put) in enumerate(puts)]
        if lost or call.held:
            rows.append(_call_row(call))
        if layout and rows and result.built:
            rows[0]["layout"] = layout_rows(result.built)
        return [ReportRow(needs_look=True, row=row) for row in rows]

    def _judge(self, put: Put) -> None:
        self._count["sent"] += put is SENT
        self._count["failed"] += bool(put.errno)

    def replayed(self, keys: Mapping[str, RowValue], datagram: bytes, put: Put) -> list[ReportRow]:
        """Take in one frame of a capture; return its row where it is wanted."""
        self._count["frames"] += 1
        self._judge(put)
        needs_look = self._plan_is_all or bool(put.errno)
        if self._wish is RowWish.NONE or (self._wish is RowWish.LOOK and not needs_look):
            return []
        row = {**keys, **(_header_row(datagram) if datagram else {}), "result": put.result}
        return [ReportRow(needs_look, _with_errno(row, put.errno))]

    @property
    def wants_failures_only(self) -> bool:
        """Whether a frame that left gets no row."""
        return self._wish is not RowWish.ALL

    def captured(self, size: int) -> None:
        """Take in a frame of a capture, which stands for a message."""
        self._count["messages"] += 1
        self._count["bytes"] += size

    def sent_at_once(self, count: int, refused: int, size: int) -> None:
        """Take in many frames of a capture: how many left, how many were refused, and the bytes of all of them."""
        self._count["messages"] += count + refused
        self._count["bytes"] += size
        self._count["frames"] += count
        self._count["sent"] += count

    def moved(self, mibs: Mapping[Mib, int]) -> None:
        """Take in counters that moved."""
        self._counters.update(mibs)

    def has_finding(self) -> bool:
        """Tell whether something did not leave that should have."""
        return bool(self._count["failed"])

    def summary(self) -> dict[str, RowValue]:
        """Return the counts, and the counters that moved."""
        moved = {mib.value: count for mib, count in sorted(self._counters.items(), key=lambda item: item[0].value)}
        return {**self._count, "counters": moved, "kernel": self._kernel.name}


def _frame_row(frame: OutFrame, put: Put, number: int) -> dict[str, RowValue]:
    row: dict[str, RowValue] = {"frame": number, "dev": frame.dev}
    if frame.datagram:
        header = _header_row(frame.datagram)
        row |= header
        gateway = address_text(frame.nexthop)
        if frame.nexthop and gateway != header["dst"]:
            row["gateway"] = gateway
    row["result"] = put.result
    return _with_errno(row, put.errno)


def _header_row(datagram: bytes) -> dict[str, RowValue]:
    header = read(datagram)
    return {
        "src": address_text(header.saddr),
        "dst": address_text(header.daddr),
        "proto": header.protocol,
        "id": hex16(header.id),
        "length": len(datagram),
        "offset": header.offset_bytes,
        "mf": bool(header.frag_off & FLAG_MF),
        "df": bool(header.frag_off & FLAG_DF),
        "ttl": header.ttl,
    }


def _call_row(call: Call) -> dict[str, RowValue]:
    """Return the row of a call that ended without a frame of its own."""
    result = call.result
    row: dict[str, RowValue] = {}
    flow = result.flow
    if flow is not None:
        if flow.saddr:
            row["src"] = address_text(flow.saddr)
        row |= {"dst": address_text(flow.daddr), "proto": flow.protocol}
    row["length"] = call.given
    if result.errno:
        row["result"] = refused(result.errno).result
    elif call.held:
        row["result"] = "held"
    else:
        row["result"] = "queued" if result.output is not None and result.output.queued else "dropped"
    return _with_errno(row, result.errno)


def _with_errno(row: dict[str, RowValue], errno: int) -> dict[str, RowValue]:
    if errno:
        row["errno"] = errorcode.get(errno, str(errno))
    return row
