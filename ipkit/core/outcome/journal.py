"""The diary of one packet: the way it took, how it ended, what was put on a wire, what was counted.

Law: filled by run() alone, read by whoever reports. The counters may be shared by many packets.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple, TypeAlias

from ipkit.core.outcome.counters import Counted
from ipkit.core.outcome.verdict import Delivered, Drop, Queued, Stolen, Transmitted
from ipkit.core.skbuff import SkBuff

End: TypeAlias = Drop | Delivered | Queued | Stolen | Transmitted


class EmittedKind(Enum):
    """What a frame on a wire is."""

    PACKET = "packet"
    FRAGMENT = "fragment"
    ICMP = "icmp"
    ARP = "arp"


class Emitted(NamedTuple):
    """One frame that the host put on a wire."""

    dev: str  # the device of the route
    kind: EmittedKind
    length: int  # of what the header carries, on the wire
    header: bytes
    payload: bytes  # the datagram, or the ARP packet


@dataclass(slots=True)
class Waiting:
    """A packet in the queue of a neighbour."""

    skb: SkBuff
    truesize: int
    kind: EmittedKind = EmittedKind.PACKET
    note: object = None  # by what whoever reports knows the frame


class Lost(NamedTuple):
    """A packet that waited in vain."""

    waiting: Waiting
    end: Drop


class Step(NamedTuple):
    """One kernel function that a packet went through."""

    depth: int
    func: str
    say: str
    values: object = None


@dataclass(slots=True)
class Journal:
    """What became of one packet."""

    counters: dict[Counted, int] = field(default_factory=dict)
    ends: Sequence[End] = ()  # of the packet itself
    looped: Sequence[End] = ()  # of what the host sent to itself on its account
    emitted: list[Emitted] = field(default_factory=list)
    moved: tuple[Counted, ...] = ()  # what the last stage counted
    waiting: Sequence[Waiting] = ()  # the packet itself, or its fragments, where they wait for a neighbour
    lost: Sequence[Lost] = ()  # packets that had been waiting
    steps: list[Step] | None = None  # None: nobody wants the way told

    def count(self, mibs: Iterable[Counted]) -> None:
        """Note that counters go up by one."""
        for mib in mibs:
            self.counters[mib] = self.counters.get(mib, 0) + 1
