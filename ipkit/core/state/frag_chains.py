"""The hash chains of older kernels: 1024 of them, short, and walked by an eviction worker.

Law: finding a queue is a dictionary's business; here is kept only what the chains decide: who is refused because a
chain is too long, and in which order the worker throws out. The hash is a stable one, so that runs can be repeated.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from zlib import crc32

from ipkit.core.state.frag_queue import FragChain, FragKey, FragQueue

CHAINS: Final = 1024
MAX_DEPTH: Final = 128
CHAINS_A_RUN: Final = 128
EVICTED_A_RUN: Final = 512
REBUILD_INTERVAL_NS: Final = 5_000_000_000

LONG_AGO_NS: Final = -(1 << 63)
FIRST_SECRET: Final = 0x9E3779B1  # odd, as every power of it
SECRETS: Final = 1 << 32
CHAIN_SHIFT: Final = 32 - 10


class FragChains:
    """Which queue stands in which chain, oldest first."""

    __slots__ = ("_chains", "next", "rebuild_wanted", "rebuilt_ns", "secret")

    def __init__(self) -> None:
        self._chains: list[FragChain] = [{} for _ in range(CHAINS)]
        self.secret = FIRST_SECRET
        self.next = 0  # the chain that the worker visits next
        self.rebuilt_ns = LONG_AGO_NS
        self.rebuild_wanted = False

    def chain_of(self, key: FragKey) -> FragChain:
        """Return the chain that a key belongs to; user and VRF are not hashed."""
        addresses, ident, protocol, _user, _vif = key
        return self._chains[(crc32(addresses, ident << 8 | protocol) * self.secret >> CHAIN_SHIFT) % CHAINS]

    def is_too_deep(self, chain: FragChain, now_ns: int) -> bool:
        """Tell whether a new queue is refused for the length of its chain; another secret is wanted then."""
        if len(chain) <= MAX_DEPTH:
            return False
        self.rebuild_wanted |= self._may_rebuild(now_ns)
        return True

    def add(self, queue: FragQueue) -> None:
        """Put a queue into its chain."""
        queue.chain = self.chain_of(queue.key)
        queue.chain[queue.key] = queue

    def in_order(self) -> Iterator[FragQueue]:
        """Yield all queues, chain by chain, each oldest first."""
        for chain in self._chains:
            yield from chain.values()

    def victims(self, memory: int, low_thresh: int) -> list[FragQueue]:
        """Return what one run of the eviction worker throws out: whole chains, until there is memory again.

        Memory is looked at between chains only, so a chain that is begun goes entirely, oldest first.
        """
        begin, gone = self.next, list[FragQueue]()
        self.next = (begin + CHAINS_A_RUN) % CHAINS
        for place in range(begin, begin + CHAINS_A_RUN):
            if low_thresh and memory < low_thresh:
                break
            chain = self._chains[place % CHAINS]
            if not chain:
                continue
            memory -= sum([queue.memory for queue in chain.values()])
            gone += chain.values()
            if len(gone) > EVICTED_A_RUN:
                self.next = (place + 1) % CHAINS
                break
        return gone

    def rebuild_if_wanted(self, now_ns: int) -> None:
        """Hash every queue anew with another secret, where one was asked for and the last is five seconds old."""
        if not self.rebuild_wanted or not self._may_rebuild(now_ns):
            return
        self.rebuild_wanted = False
        self.rebuilt_ns = now_ns
        queues = list(self.in_order())
        self.secret = self.secret * FIRST_SECRET % SECRETS
        for chain in self._chains:
            chain.clear()
        for queue in queues:
            self.add(queue)

    def _may_rebuild(self, now_ns: int) -> bool:
        return now_ns > self.rebuilt_ns + REBUILD_INTERVAL_NS
