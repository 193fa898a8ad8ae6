"""Who is known next door: the entries of the neighbour table, and the packets that wait for an answer.

Law: a store. What is done with an entry in which state is decided in core/neighbour.py.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import IntFlag
from typing import Final

from ipkit.core.host.config import HostConfig
from ipkit.core.skbuff import SkBuff


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

MOST_ASSUMED: Final = 4096
"""How many link headers are kept that only assume a neighbour."""


@dataclass(slots=True)
class NeighbourEntry:
    """One neighbour (struct neighbour)."""

    address: int
    dev: str
    state: Nud = Nud.NONE
    lladdr: bytes | None = None
    header: bytes | None = None  # the link header kept for it (struct hh_cache)
    waiting: deque[tuple[SkBuff, int]] = field(default_factory=deque)
    waiting_bytes: int = 0
    probes: int = 0
    expires_ns: int = 0  # when its timer goes off; 0: it has none
    used_ns: int = 0
    confirmed_ns: int = 0


@dataclass(slots=True)
class NeighbourTable:
    """All entries, by device and address."""

    entries: dict[tuple[str, int], NeighbourEntry] = field(default_factory=dict)
    assumed: dict[tuple[str, int], bytes] = field(default_factory=dict)
    """The link headers of the first ones of whom nothing is known but who are taken to be there, in order."""
    collectable: int = 0  # entries that nobody configured

    def assume(self, dev: str, address: int, header: bytes) -> None:
        """Keep the link header of one that is taken to be there, while there is room: it can be made again."""
        if len(self.assumed) < MOST_ASSUMED:
            self.assumed[dev, address] = header

    def add(self, entry: NeighbourEntry) -> None:
        """Take in an entry that the host learns of by sending."""
        self.entries[entry.dev, entry.address] = entry
        self.collectable += 1

    def state_of(self, dev: str, address: int) -> str:
        """Return the state of an entry as iproute2 spells it; empty: there is none."""
        entry = self.entries.get((dev, address))
        return (entry.state.name or "none").lower() if entry is not None else ""


def neighbour_table_of(host: HostConfig) -> NeighbourTable:
    """Return the table with what the host description says of neighbours.

    One whose address is not known is no entry where unknown neighbours are taken to be there.
    """
    table = NeighbourTable()
    for known in host.neighbours:
        state = Nud[known.state.upper()]
        if not known.proxy and (state & VALID or host.neigh_default != "assume"):
            table.entries[known.dev, known.address] = NeighbourEntry(known.address, known.dev, state, known.lladdr)
    return table
