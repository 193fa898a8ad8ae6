"""Who is known next door: the entries of the neighbour table, their timers, and the packets that wait for an answer.

Law: a store. What is done with an entry in which state is decided in core/neighbour.py and core/neigh_update.py.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import IntFlag
from heapq import heapify, heappop, heappush
from typing import Final

from ipkit.core.host.config import HostConfig
from ipkit.core.outcome.journal import Waiting
from ipkit.core.state.timers import ALWAYS, NEVER, Timers


class Nud(IntFlag):
    """The states of an entry (NUD_*)."""

    NONE = 0
    INCOMPLETE = 0x01
    REACHABLE = 0x02
    STALE = 0x04
    DELAY = 0x08
    PROBE = 0x10
    FAILED = 0x20
    NOARP = 0x40
    PERMANENT = 0x80


CONNECTED: Final = Nud.PERMANENT | Nud.NOARP | Nud.REACHABLE
"""States in which a packet may leave without a second thought."""

VALID: Final = CONNECTED | Nud.STALE | Nud.DELAY | Nud.PROBE
"""States in which the address is known."""

IN_TIMER: Final = Nud.INCOMPLETE | Nud.REACHABLE | Nud.DELAY | Nud.PROBE
"""States that a timer ends."""

MOST_ASSUMED: Final = 4096
"""How many link headers are kept that only assume a neighbour."""

SPARE_TIMERS: Final = 64
"""How many timers that were stopped are kept besides one for each entry."""


@dataclass(slots=True)
class NeighbourEntry:
    """One neighbour (struct neighbour)."""

    address: int
    dev: str
    state: Nud = Nud.NONE
    lladdr: bytes | None = None
    header: bytes | None = None  # the link header kept for it (struct hh_cache)
    waiting: deque[Waiting] = field(default_factory=deque)
    waiting_bytes: int = 0
    probes: int = 0
    timer: int = 0  # which timer is its own; 0: none is running
    expires_ns: int = 0  # when that one goes off
    used_ns: int = ALWAYS
    confirmed_ns: int = ALWAYS
    updated_ns: int = ALWAYS


@dataclass(slots=True)
class NeighbourTable:
    """All entries, by device and address."""

    running: Timers = field(default_factory=Timers)
    asks: bool = False  # whether neighbours are asked for, or else taken to be there
    entries: dict[tuple[str, int], NeighbourEntry] = field(default_factory=dict)
    assumed: dict[tuple[str, int], bytes | None] = field(default_factory=dict)
    """The link headers of the first ones of whom nothing is known but who are taken to be there, in order; of one who
    became known later, none."""
    proxies: frozenset[tuple[str, int]] = frozenset()  # addresses that are answered for
    collectable: int = 0  # entries that are not permanent
    timers: list[tuple[int, int, NeighbourEntry]] = field(default_factory=list)  # a heap; stopped ones are in it, too
    begun: int = 0  # timers that were ever started
    unstarted: list[NeighbourEntry] = field(default_factory=list)  # described, and not permanent
    flushed_ns: int = ALWAYS  # when room was last made
    swept_ns: int = ALWAYS  # when those that nobody uses were last let go
    no_room_until_ns: int = ALWAYS  # before that, making room will free nothing

    def assume(self, dev: str, address: int, header: bytes) -> None:
        """Keep the link header of one that is taken to be there, while there is room: it can be made again."""
        if len(self.assumed) < MOST_ASSUMED or (dev, address) in self.assumed:
            self.assumed[dev, address] = header

    def add(self, entry: NeighbourEntry) -> None:
        """Take in an entry."""
        key = (entry.dev, entry.address)
        self.entries[key] = entry
        self.collectable += entry.state is not Nud.PERMANENT
        self.no_room_until_ns = ALWAYS
        if key in self.assumed:
            self.assumed[key] = None

    def forget(self, entry: NeighbourEntry) -> None:
        """Let an entry go."""
        del self.entries[entry.dev, entry.address]
        self.collectable -= entry.state is not Nud.PERMANENT

    def start(self, entry: NeighbourEntry, expires_ns: int) -> None:
        """Let the timer of an entry run; its earlier one is stopped."""
        self.begun += 1
        entry.timer, entry.expires_ns = self.begun, expires_ns
        heappush(self.timers, (expires_ns, self.begun, entry))
        self.running.at(expires_ns)
        if len(self.timers) > 2 * len(self.entries) + SPARE_TIMERS:
            self.timers = [one for one in self.timers if one[2].timer == one[1]]
            heapify(self.timers)

    def stop(self, entry: NeighbourEntry) -> None:
        """Stop the timer of an entry; who has none may be thrown out."""
        entry.timer = entry.expires_ns = 0
        self.no_room_until_ns = ALWAYS

    def gone_off(self) -> NeighbourEntry:
        """Return the entry whose timer is due first; it has none then."""
        _, _, entry = heappop(self.timers)
        self.stop(entry)
        return entry

    @property
    def due_ns(self) -> int:
        """When the next timer goes off."""
        while self.timers and self.timers[0][2].timer != self.timers[0][1]:
            heappop(self.timers)
        return self.timers[0][0] if self.timers else NEVER

    def state_of(self, dev: str, address: int) -> str:
        """Return the state of an entry as iproute2 spells it; empty: there is none."""
        entry = self.entries.get((dev, address))
        return state_text(entry.state) if entry is not None else ""


def state_text(state: Nud) -> str:
    """Return a state as iproute2 spells it."""
    return (state.name or "none").lower()


def neighbour_table_of(host: HostConfig, running: Timers) -> NeighbourTable:
    """Return the table with what the host description says of neighbours.

    One whose address is not known is no entry where unknown neighbours are taken to be there. What the description
    says is true when the first packet comes.
    """
    proxies = frozenset((known.dev, known.address) for known in host.neighbours if known.proxy)
    table = NeighbourTable(running, asks=host.neigh_default != "assume", proxies=proxies)
    for known in host.neighbours:
        state = Nud[known.state.upper()]
        if not known.proxy and (state & VALID or table.asks):
            entry = NeighbourEntry(known.address, known.dev, state, known.lladdr)
            table.add(entry)
            if state is not Nud.PERMANENT:
                table.unstarted.append(entry)
                running.at(ALWAYS)
    return table
