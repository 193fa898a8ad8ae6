"""What is remembered of a source while some of its fragments wait.

Law: a record matters as long as a queue holds on to it; those that none does are forgotten once they are in the
majority, so that a flood of sources leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

Source = tuple[bytes, int]
"""The source address as the wire has it, and the index of the VRF it came in by."""

FEW: Final = 64


@dataclass(slots=True)
class Peer:
    """One source (struct inet_peer, as far as reassembly uses it)."""

    source: Source
    rid: int = 0  # fragments of this source seen so far


class Peers:
    """The sources of waiting fragments."""

    __slots__ = ("_peers", "is_crowded_above")

    def __init__(self) -> None:
        self._peers: dict[Source, Peer] = {}
        self.is_crowded_above = FEW

    def __len__(self) -> int:
        return len(self._peers)

    def record(self, source: Source) -> Peer:
        """Return a source's record, a new one where there is none."""
        peer = self._peers.get(source)
        if peer is None:
            peer = self._peers[source] = Peer(source)
        return peer

    def forget_others(self, wanted: Iterable[Peer | None]) -> None:
        """Keep the records that are held on to."""
        self._peers = {peer.source: peer for peer in wanted if peer is not None}
        self.is_crowded_above = FEW + 2 * len(self._peers)
