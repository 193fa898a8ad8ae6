"""What `ipkit reassemble` remembers of one datagram, and the row it comes to.

Law: the engine's queue knows bytes, this knows frames. Nothing here decides what becomes of a fragment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from ipkit.core.fragment_map import MOST_ROWS, Arrival, map_values
from ipkit.core.frames import Frame, FrameBatch
from ipkit.core.lanes import RowValue
from ipkit.core.outcome.defrag_exits import Exit, FragNote
from ipkit.core.rows import frame_keys, hex16
from ipkit.core.state.frag_queue import FragKey, Fragment, FragQueue
from ipkit.core.wire.ipv4 import FLAG_DF, FLAG_MF, HEADER_BYTES, OFFSET_MASK, address_text
from ipkit.core.wire.options import COPIED, options_in


class Status(StrEnum):
    """How a datagram ended."""

    COMPLETE = "complete"
    INCOMPLETE = "incomplete"
    TIMEOUT = "timeout"
    DROPPED = "dropped"
    EVICTED = "evicted"


TRUNCATED: Final = "truncated"
"""Reason: the capture has not all bytes of a datagram that was complete on the wire."""

TINY_BYTES: Final = 16
"""A first fragment below this holds no TCP flags (RFC 1858)."""

COMMON_NOTES: Final = frozenset({FragNote.DF})
"""What ordinary traffic shows as well: path MTU probes are fragmented with DF set."""


@dataclass(slots=True)
class Trail:
    """The frames of one datagram."""

    fragments: int = 0
    numbers: dict[int, int] = field(default_factory=dict)  # of the fragments taken in: arrival to frame number
    held: dict[int, Frame | int] = field(default_factory=dict)  # by arrival; a number is a row of `batch`
    held_bytes: int = 0
    batch: FrameBatch | None = None  # where the last fragment is, while that is at hand
    row: int = 0
    keys: Mapping[str, RowValue] = field(default_factory=dict)  # what a row says of the last frame, later on
    ttl: int = -1
    copied: bytes = b""  # the options that every fragment should repeat
    arrivals: list[Arrival] = field(default_factory=list)  # for a drawing, where one is wanted

    def shared(self) -> Mapping[str, RowValue]:
        """Return what a row says of the last frame."""
        return self.keys if self.batch is None else frame_keys(self.batch, self.row)

    def frame(self, arrival: object) -> Frame | None:
        """Return the frame of one fragment, where it is held."""
        held = self.held.get(arrival) if isinstance(arrival, int) else None
        if isinstance(held, int):
            return self.batch.frame(held) if self.batch is not None else None
        return held

    def frames(self) -> dict[int, Frame]:
        """Return the frames that are held, by arrival."""
        return {arrival: frame for arrival in self.held if (frame := self.frame(arrival)) is not None}

    def freeze(self) -> None:
        """Take out of the batch what will be needed when it is gone."""
        if self.batch is None:
            return
        self.keys = frame_keys(self.batch, self.row)
        for arrival in reversed(self.held):
            row = self.held[arrival]
            if isinstance(row, Frame):
                break
            self.held[arrival] = self.batch.frame(row)
        self.batch = None

    def prune(self, queue: FragQueue) -> None:
        """Forget the numbers of fragments that were replaced, where a flood of them came."""
        if len(self.numbers) > 2 * len(queue.pieces) + 64:
            used = {piece.tag for piece in queue.pieces}
            self.numbers = {arrival: number for arrival, number in self.numbers.items() if arrival in used}

    def draw(self, fragment: Fragment) -> None:
        """Remember where the last fragment claimed to lie."""
        if len(self.arrivals) < MOST_ROWS and self.batch is not None:
            number, is_last = self.batch.first_number + self.row, not fragment.frag_off & FLAG_MF
            self.arrivals.append(Arrival(fragment.tag, number, fragment.start, fragment.end, is_last))

    def note_header(self, queue: FragQueue, datagram: bytes, fields: Sequence[int]) -> None:
        """Remember what is odd about the header of a fragment."""
        version_ihl, _, tot_len, _, frag_off, ttl, *_ = fields
        header_bytes = (version_ihl & 0x0F) << 2
        copied = copied_options(datagram[HEADER_BYTES:header_bytes]) if header_bytes > HEADER_BYTES else b""
        if self.ttl < 0:
            self.ttl, self.copied = ttl, copied
        elif ttl != self.ttl:
            queue.note(FragNote.TTL_DIFFERS)
        if copied != self.copied:
            queue.note(FragNote.OPTIONS_DIFFER)
        if frag_off & FLAG_DF:
            queue.note(FragNote.DF)
        if not frag_off & OFFSET_MASK and tot_len < header_bytes + TINY_BYTES:
            queue.note(FragNote.TINY_FIRST)
        if len(datagram) < tot_len:
            queue.note(FragNote.TRUNCATED)


def trail_of(queue: FragQueue) -> Trail:
    """Return what is remembered of a queue's frames."""
    trail: Trail | None = queue.carried
    if trail is None:
        trail = queue.carried = Trail()
    return trail


def copied_options(options: bytes) -> bytes:
    """Return the options that belong into every fragment, one after the other."""
    found = (options[option.at : option.at + option.length] for option in options_in(options) if option.kind & COPIED)
    return b"".join(found)


def needs_look(queue: FragQueue, status: Status) -> bool:
    """Tell whether a person should see the row."""
    if status is not Status.COMPLETE or queue.overlaps:
        return True
    return queue.notes is not None and not queue.notes <= COMMON_NOTES


def key_values(key: FragKey) -> dict[str, RowValue]:
    """Return the shared keys that a datagram's key holds."""
    addresses, ident, protocol, _user, _vif = key
    return {
        "src": address_text(int.from_bytes(addresses[:4])),
        "dst": address_text(int.from_bytes(addresses[4:])),
        "proto": protocol,
        "id": hex16(ident),
    }


def datagram_values(queue: FragQueue, status: Status, exit_: Exit | None) -> dict[str, RowValue]:
    """Return a row's keys behind those of the frame; no exit: the input ended first."""
    trail = trail_of(queue)
    values = key_values(queue.key)
    values["frames"] = _used(queue, trail, status)
    values["fragments"] = trail.fragments
    if status is Status.COMPLETE:
        values["length"] = len(queue.datagram)
    values["status"] = status.value
    if queue.notes is not None and FragNote.TRUNCATED in queue.notes:
        values["reason"] = TRUNCATED
    elif exit_ is not None and exit_.reason is not None:
        values["reason"] = exit_.reason.value
        values["func"] = exit_.func
    if exit_ is not None:
        values["mib"] = [mib.value for mib in exit_.mibs]
    if not queue.datagram:
        values["missing"] = [list(hole) for hole in queue.holes()]
    values["overlap"] = queue.overlap
    values["duplicates"] = queue.duplicates
    if queue.notes:
        values["notes"] = [note.value for note in FragNote if note in queue.notes]
    if trail.arrivals:
        values["map"] = map_values(queue, trail.arrivals)
    return values


def refused_values(number: int, exit_: Exit) -> dict[str, RowValue]:
    """Return the same keys for a fragment that came to no queue."""
    return {
        "frames": [number],
        "fragments": 1,
        "status": Status.DROPPED.value,
        "reason": exit_.reason and exit_.reason.value,
        "func": exit_.func,
        "mib": [mib.value for mib in exit_.mibs],
        "overlap": 0,
        "duplicates": 0,
    }


def _used(queue: FragQueue, trail: Trail, status: Status) -> list[int]:
    """Return the numbers of the frames whose bytes count: those of a complete datagram, or those that were held."""
    if not (queue.overlaps or queue.duplicates or queue.notes):
        return list(trail.numbers.values())
    used = {piece.tag for piece in queue.pieces if not queue.last_in or piece.start < queue.len}
    if status is Status.DROPPED:
        used.update(list(trail.numbers)[-1:])
    return [number for arrival, number in trail.numbers.items() if arrival in used]
