"""What the kernel says while it handles our frames: drops with their reason, ICMP errors it decides to send.

Tracepoints skb:kfree_skb and icmp:icmp_send, opened with perf for this thread alone, because a TAP frame is
received in the context of the thread that writes it. What timers drop happens in nobody's context and is not seen.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import re
import struct
from bisect import bisect_right
from functools import cache
from typing import Final, NamedTuple

from tests.kernel.system import SYS_PERF_EVENT_OPEN, system_call, tracing_folder

PAGE: Final = mmap.PAGESIZE
RING_PAGES: Final = 64
PERF_TYPE_TRACEPOINT: Final = 2
PERF_SAMPLE_RAW: Final = 1 << 10
PERF_RECORD_SAMPLE: Final = 9
PERF_FLAG_FD_CLOEXEC: Final = 8
IOC_SET_OUTPUT: Final = 0x2405
DATA_HEAD, DATA_TAIL = 1024, 1032  # in struct perf_event_mmap_page

IPV4: Final = 0x0800


class DropEvent(NamedTuple):
    """A packet was freed: why, and in which function."""

    reason: str
    at: str
    proto: int = IPV4


class IcmpEvent(NamedTuple):
    """An ICMP error was asked for."""

    type: int
    code: int


class Events(NamedTuple):
    """What was seen since the last time."""

    drops: tuple[DropEvent, ...] = ()
    icmp: tuple[IcmpEvent, ...] = ()


class _Tracepoint:
    """Number and field places of one tracepoint, from the kernel's own description."""

    def __init__(self, name: str) -> None:
        with open(f"{tracing_folder()}/events/{name}/format") as file:
            text = file.read()
        found = re.search(r"^ID: (\d+)", text, re.MULTILINE)
        assert found, name
        self.id = int(found[1])
        self.offsets = {
            match[1]: int(match[2]) for match in re.finditer(r"field:[^;]*?(\w+)(?:\[\d+\])?;\s*offset:(\d+);", text)
        }
        self.symbols = {int(number): word for number, word in re.findall(r'\{ (\d+), "(\w+)" \}', text)}


@cache
def _functions() -> tuple[list[int], list[str]]:
    """Return the start addresses of the kernel's functions in order, and their names."""
    with open("/proc/kallsyms") as file:
        found = sorted(
            (int(address, 16), name)
            for address, kind, name, *_ in (line.split(None, 3) for line in file)
            if kind in "tTwW"
        )
    return [address for address, _ in found], [name for _, name in found]


def _function_at(address: int) -> str:
    starts, names = _functions()
    return names[bisect_right(starts, address) - 1].partition(".")[0]  # without the compiler's suffixes


class Watcher:
    """Collects the events of the thread that made it."""

    def __init__(self) -> None:
        self._drop = _Tracepoint("skb/kfree_skb")
        self._icmp = _Tracepoint("icmp/icmp_send")
        self._fds = [_open_tracepoint(self._drop.id), _open_tracepoint(self._icmp.id)]
        self._ring = mmap.mmap(self._fds[0], PAGE * (1 + RING_PAGES))
        fcntl.ioctl(self._fds[1], IOC_SET_OUTPUT, self._fds[0])  # one ring, so the order is kept

    def drain(self) -> Events:
        """Return what happened since the last call, in order."""
        drops: list[DropEvent] = []
        icmp: list[IcmpEvent] = []
        for sample in self._samples():
            number = int.from_bytes(sample[:2], "little")
            if number == self._icmp.id:
                at = self._icmp.offsets
                icmp.append(IcmpEvent(*(struct.unpack_from("<i", sample, at[name])[0] for name in ("type", "code"))))
            elif number == self._drop.id:
                at = self._drop.offsets
                (proto,) = struct.unpack_from("<H", sample, at["protocol"])
                (reason,) = struct.unpack_from("<i", sample, at["reason"])
                (location,) = struct.unpack_from("<Q", sample, at["location"])
                drops.append(DropEvent(self._drop.symbols.get(reason, str(reason)), _function_at(location), proto))
        return Events(tuple(drops), tuple(icmp))

    def _samples(self) -> list[bytes]:
        (head,) = struct.unpack_from("<Q", self._ring, DATA_HEAD)
        (tail,) = struct.unpack_from("<Q", self._ring, DATA_TAIL)
        samples = []
        while tail < head:
            kind, _, size = struct.unpack("<IHH", self._bytes(tail, 8))
            if kind == PERF_RECORD_SAMPLE:
                (raw_bytes,) = struct.unpack("<I", self._bytes(tail + 8, 4))
                samples.append(self._bytes(tail + 12, raw_bytes))
            tail += size
        struct.pack_into("<Q", self._ring, DATA_TAIL, tail)
        return samples

    def _bytes(self, at: int, count: int) -> bytes:
        room = PAGE * RING_PAGES
        start = at % room
        first = self._ring[PAGE + start : PAGE + min(start + count, room)]
        return first + self._ring[PAGE : PAGE + count - len(first)] if len(first) < count else first

    def close(self) -> None:
        self._ring.close()
        for fd in self._fds:
            os.close(fd)


def _open_tracepoint(number: int) -> int:
    attributes = struct.pack("<IIQQQQ", PERF_TYPE_TRACEPOINT, 128, number, 1, PERF_SAMPLE_RAW, 0).ljust(128, b"\0")
    return system_call(SYS_PERF_EVENT_OPEN, attributes, 0, -1, -1, PERF_FLAG_FD_CLOEXEC)


@cache
def watcher() -> Watcher | None:
    """Return this process's watcher, or None where the kernel does not let itself be watched."""
    try:
        return Watcher()
    except OSError:
        return None
