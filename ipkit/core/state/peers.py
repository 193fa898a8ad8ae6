"""What is remembered of a source while some of its fragments wait.

Law: a record lives as long as a queue holds on to it; a flood of sources leaves nothing behind.
"""

from __future__ import annotations

from dataclasses import dataclass

Source = tuple[bytes, int]
"""The source address as the wire has it, and the index of the VRF it came in by."""


@dataclass(slots=True)
class Peer:
    """One source (struct inet_peer, as far as reassembly uses it)."""

    source: Source
    rid: int = 0  # fragments of this source seen so far
    queues: int = 0


class Peers:
    """The sources of waiting fragments."""

    __slots__ = ("_peers",)

    def __init__(self) -> None:
        self._peers: dict[Source, Peer] = {}

    def __len__(self) -> int:
        return len(self._peers)

    def attached(self, source: Source) -> Peer:
        """Return a source's record for one more queue."""
        peer = self._peers.get(source)
        if peer is None:
            peer = self._peers[source] = Peer(source)
        peer.queues += 1
        return peer

    def detach(self, peer: Peer) -> None:
        """Let one queue go; the last takes the record with it."""
        peer.queues -= 1
        if not peer.queues:
            del self._peers[peer.source]
