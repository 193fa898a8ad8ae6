"""What is said of a packet that went through a host: its verdict, and all verdicts added up.

Law: a journal comes in, words and numbers go out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Final, NamedTuple

import ipkit.core
from ipkit.core.lanes import RowValue
from ipkit.core.outcome.counters import Counted, Mib
from ipkit.core.outcome.journal import Emitted, EmittedKind, End, Journal, Step
from ipkit.core.outcome.verdict import Delivered, Drop, Queued, Stolen, Transmitted
from ipkit.core.receive import ECN_MIBS
from ipkit.core.state.netns import NetNamespace

VERDICTS: Final = ("forwarded", "delivered", "dropped", "queued", "stolen")
TIMER: Final = "timer"
TRUNCATED: Final = "truncated"
"""Reason: the capture kept less of the packet than a header."""


class Ending(NamedTuple):
    """How a packet ended, as reports group them."""

    verdict: str
    reason: str = ""
    func: str = ""
    mibs: tuple[Counted, ...] = ()


FORWARDED: Final = Ending("forwarded", "", "ip_forward", (Mib.FORW_DATAGRAMS,))

AMBIENT: Final = frozenset({Mib.IN_RECEIVES, *ECN_MIBS})
"""What moves for every packet, whatever becomes of it."""

CUT_SHORT: Final = Ending("dropped", TRUNCATED)


def ending_of(journal: Journal) -> Ending:
    """Return how a packet ended: several fragments of one end as the first that did not pass."""
    end = _decisive(journal.ends)
    if isinstance(end, Transmitted):
        return FORWARDED
    moved = tuple(dict.fromkeys(journal.moved))  # one fragment may push out many datagrams
    match end:
        case Drop():
            if moved and moved[0] is Mib.IN_RECEIVES:
                moved = tuple(mib for mib in moved if mib not in AMBIENT)
            return Ending("dropped", end.reason.value, end.func, moved)
        case Delivered():
            return Ending("delivered", end.to, end.func, moved)
        case Queued():
            return Ending("queued", end.why, end.func, moved)
        case Stolen():
            return Ending("stolen", "", end.func)


def _decisive(ends: Sequence[End]) -> End:
    if len(ends) == 1:
        return ends[0]
    return next((end for end in ends if isinstance(end, Drop)), ends[0])


class _Count:
    __slots__ = ("file", "first", "times")

    def __init__(self, file: str, first: int) -> None:
        self.file, self.first, self.times = file, first, 0


class Tally:
    """How often packets ended in which way, and the first example of each."""

    def __init__(self) -> None:
        self._counts: dict[Ending, _Count] = {}

    def add(self, ending: Ending, file: str, number: int) -> None:
        """Count one packet."""
        count = self._counts.get(ending)
        if count is None:
            count = self._counts[ending] = _Count(file, number)
        count.times += 1

    def by_verdict(self) -> dict[str, int]:
        """Return the number of packets of each verdict."""
        totals = dict.fromkeys(VERDICTS, 0)
        for ending, count in self._counts.items():
            totals[ending.verdict] = totals.get(ending.verdict, 0) + count.times
        return totals

    def rows(self) -> list[Mapping[str, RowValue]]:
        """Return a line for each way to end, verdict by verdict, the most frequent first."""
        total = sum(count.times for count in self._counts.values())
        order = {verdict: place for place, verdict in enumerate((*VERDICTS, TIMER))}
        found = sorted(self._counts.items(), key=lambda item: (order[item[0].verdict], -item[1].times))
        return [
            {
                **ending_keys(ending),
                "count": count.times,
                "share": round(count.times / total, 4),
                "file": count.file,
                "first": count.first,
            }
            for ending, count in found
        ]


def ending_keys(ending: Ending) -> dict[str, RowValue]:
    """Return the keys of a row that say how a packet ended."""
    keys: dict[str, RowValue] = {"verdict": ending.verdict}
    if ending.reason:
        keys["reason"] = ending.reason
    if ending.func:
        keys["func"] = ending.func
    if ending.mibs:
        keys["mib"] = [mib.value for mib in ending.mibs]
    return keys


def emitted_keys(emitted: Iterable[Emitted]) -> list[Mapping[str, RowValue]]:
    """Return what a packet brought onto the wires."""
    return [{"dev": one.dev, "kind": one.kind.value, "length": one.length} for one in emitted]


def kinds_keys(emitted: int, others: Mapping[str, int]) -> dict[str, RowValue]:
    """Return how many frames of each kind were put on wires, where not all are packets."""
    if not others:
        return {}
    counts = {EmittedKind.PACKET.value: emitted - sum(others.values()), **others}
    return {"emitted_kinds": {kind.value: counts[kind.value] for kind in EmittedKind if counts.get(kind.value)}}


def waiting_notes(net: NetNamespace) -> list[str]:
    """Return what the end of the capture has left waiting."""
    packets = sum(len(entry.waiting) for entry in net.neighbours.entries.values())
    waiting = [
        _counted(len(net.frags.queues), "datagram", "for fragments"),
        _counted(packets, "packet", "for a neighbour"),
    ]
    said = " and ".join(words for words in waiting if words)
    return [f"still waiting at the end: {said}"] if said else []


def _counted(amount: int, what: str, rest: str) -> str:
    return f"{amount} {what}{'s' * (amount > 1)} {rest}" if amount else ""


def trace_keys(steps: Iterable[Step]) -> list[Mapping[str, RowValue]]:
    """Return the way of a packet, function by function, each with the room it lives in."""
    rooms = rooms_by_function()
    return [
        {
            "func": step.func,
            "say": step.say,
            "values": step.values,
            "depth": step.depth,
            "room": rooms.get(step.func) or rooms.get(step.func.lstrip("_")),
        }
        for step in steps
    ]


def counters_by_name(counters: Mapping[Counted, int]) -> dict[str, int]:
    """Return what was counted, by the names and in the order of nstat."""
    return dict(sorted((mib.value, amount) for mib, amount in counters.items() if amount))


@cache
def rooms_by_function() -> Mapping[str, str]:
    """Return the floor plan: in which file each kernel function lives."""
    lines = [line.split() for line in (ipkit.core.__doc__ or "").splitlines()]
    return {words[0]: words[1] for words in lines if len(words) == 2 and words[1].endswith(".py")}
