"""Batches made from frames in memory, as the capture reader would have cut them."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from ipkit.core.frames import FrameBatch


def batch_of(
    frames: Sequence[bytes],
    *,
    link_type: int = 1,
    on_wire: Sequence[int] | None = None,
    tstamp_ns: Sequence[int] | None = None,
    interface: str | None = None,
    first_number: int = 1,
    file: str = "test.pcap",
    gap: bytes = b"\xee" * 16,
) -> FrameBatch:
    """Return a batch of these frames; `gap` stands before each, where a record header would."""
    data = b"".join(gap + frame for frame in frames)
    start: array[int] = array("q")
    record: array[int] = array("q", [0])
    at = 0
    for frame in frames:
        start.append(at + len(gap))
        at += len(gap) + len(frame)
        record.append(at)
    return FrameBatch(
        data=data,
        start=start,
        captured=array("q", [len(frame) for frame in frames]),
        on_wire=array("q", on_wire if on_wire is not None else [len(frame) for frame in frames]),
        tstamp_ns=array("q", tstamp_ns if tstamp_ns is not None else [1_000_000_000 * n for n in range(len(frames))]),
        record=record,
        interface=array("q", [0] * len(frames)),
        interfaces=(interface,),
        link_type=link_type,
        first_number=first_number,
        file=file,
        origin=None,
    )
