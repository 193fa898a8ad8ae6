"""One datagram that waits for its missing pieces.

Law: values and their arithmetic. Who may come in, what an overlap means and when a queue ends is decided in
core/defrag*.py; when it is too old or one too many, by the store in frag_queues.py.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from ipkit.core.outcome.defrag_exits import FragNote
from ipkit.core.state.peers import Peer

FragKey = tuple[bytes, int, int, int, int]
"""Both addresses as the wire has them, identification, protocol, user, VRF. The bytes make the hash unpredictable."""


class Fragment(NamedTuple):
    """One fragment, or what is left of it after others took their share."""

    start: int
    end: int
    payload: bytes  # of [start, end)
    frag_off: int  # flags and offset, as stored
    tos: int
    header_bytes: int
    truesize: int  # what the kernel charges for its buffer
    tag: object  # the caller's own: what it wants to find again
    head: bytes = b""  # offset 0 only: the fragment from its IPv4 header on
    is_own: bool = False  # made by this host's ip_do_fragment

    def cut(self, start: int, end: int) -> Fragment:
        """Return what lies in [start, end); the buffer stays as large as it was."""
        return self._replace(
            start=start,
            end=end,
            payload=self.payload[start - self.start : end - self.start],
            head=b"" if start else self.head[: self.header_bytes + end],  # an error quotes no more than what is left
        )


made_fragment = partial(tuple.__new__, Fragment)
"""Make one from a tuple of all its values. One is made for every fragment; the class takes twice the time."""

FragChain = dict[FragKey, "FragQueue"]


class FragQueue:
    """The pieces of one datagram so far (struct ipq)."""

    __slots__ = (
        "carried",
        "chain",
        "datagram",
        "duplicates",
        "ecn",
        "expires_ns",
        "key",
        "last_in",
        "len",
        "max_df_size",
        "max_size",
        "memory",
        "newest",
        "notes",
        "overlap",
        "overlaps",
        "peer",
        "pieces",
        "rid",
        "run_starts",
        "starts",
        "whole",
    )

    def __init__(self, key: FragKey, expires_ns: int = 0, chain: FragChain | None = None) -> None:
        self.key = key
        self.expires_ns = expires_ns
        self.chain = chain  # where its hash put it
        self.peer: Peer | None = None
        self.rid = 0  # the peer's count when this queue last grew
        self.len = 0  # the end as far as it is known
        self.last_in = False
        self.whole = 0  # [0, whole) is there without a hole
        self.ecn = 0  # which of the four marks were seen
        self.max_size = 0
        self.max_df_size = 0
        self.memory = 0
        self.starts: list[int] = []
        self.pieces: list[Fragment] = []  # disjoint, by offset
        self.run_starts: list[int] = []  # where the stretches begin that grew at the top
        self.newest: Fragment | None = None  # the last one accepted
        self.datagram = b""  # once complete
        self.overlaps = 0  # fragments that claimed what was there, other than by repeating it
        self.overlap = 0  # bytes they claimed
        self.duplicates = 0  # fragments that repeated what was there, byte for byte
        self.notes: set[FragNote] | None = None
        self.carried: Any = None  # the caller's own

    def note(self, note: FragNote) -> None:
        """Remember what is odd."""
        if self.notes is None:
            self.notes = {note}
        else:
            self.notes.add(note)

    def meeting(self, start: int, end: int) -> tuple[int, int]:
        """Return which pieces meet [start, end): the index of the first, and one behind the last."""
        first = bisect_left(self.starts, start)
        if first and self.pieces[first - 1].end > start:
            first -= 1
        return first, max(first, bisect_left(self.starts, end))

    def put(self, first: int, behind: int, pieces: Sequence[Fragment]) -> None:
        """Put pieces in the place of others."""
        self.memory += sum(piece.truesize for piece in pieces)
        self.memory -= sum(piece.truesize for piece in self.pieces[first:behind])
        self.starts[first:behind] = [piece.start for piece in pieces]
        self.pieces[first:behind] = pieces

    def extend_whole(self) -> None:
        """Move on the end of what is there without a hole; no byte that was there ever goes away."""
        at = max(0, bisect_right(self.starts, self.whole) - 1)
        while at < len(self.pieces) and self.starts[at] <= self.whole:
            self.whole = max(self.whole, self.pieces[at].end)
            at += 1

    def holes(self) -> list[tuple[int, int | None]]:
        """Return what is missing, in [from, to) pairs; the last is open where the end is not known."""
        missing: list[tuple[int, int | None]] = []
        at = 0
        for piece in self.pieces:
            if self.last_in and piece.start >= self.len:
                break
            if piece.start > at:
                missing.append((at, piece.start))
            at = piece.end
        if not self.last_in:
            missing.append((at, None))
        elif at < self.len:
            missing.append((at, self.len))
        return missing
