"""All datagrams that wait for pieces: found by key, bounded by memory, ended by their timers.

Law: it keeps and counts; that a queue is refused, thrown out or too old is told to whoever asks, and acted upon
elsewhere. The timer's period is the same for all, so the order in which timers were started is the order in which
they fire.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ipkit.core.host.kernel import FragMemory, KernelProfile, SkbHeads
from ipkit.core.host.sysctl import NetConf
from ipkit.core.outcome.defrag_exits import Exit
from ipkit.core.state.frag_chains import FragChains
from ipkit.core.state.frag_queue import FragChain, FragKey, FragQueue
from ipkit.core.state.peers import Peers
from ipkit.core.state.timers import NEVER, Timers

QUEUE_BYTES: Final = 200
SKB_BYTES: Final = 256
SHARED_INFO_BYTES: Final = 320
LEAD_BYTES: Final = 31  # Ethernet header with its alignment, and what sending devices ask for
LINE_BYTES: Final = 64
ROUNDED_UP: Final = LEAD_BYTES + LINE_BYTES - 1
NS: Final = 1_000_000_000


HEAD_SIZES: Final = {
    SkbHeads.POWERS_OF_TWO: tuple(512 << power for power in range(9)),
    SkbHeads.SMALL_HEADS: (576, *(1024 << power for power in range(8))),
}


def truesizes(heads: SkbHeads) -> tuple[int, ...]:
    """Return what a received datagram's buffer is charged with, by its length in lines of 64 bytes."""
    charges = []
    for lines in range((65535 + LEAD_BYTES) // LINE_BYTES + 2):
        wanted = lines * LINE_BYTES + SHARED_INFO_BYTES
        head = next(size for size in HEAD_SIZES[heads] if size >= wanted)
        charges.append(SKB_BYTES + head)
    return tuple(charges)


class FragQueues:
    """The store (struct fqdir with its hash)."""

    __slots__ = (
        "_truesizes",
        "chains",
        "due_ns",
        "ended",
        "high_thresh",
        "kernel",
        "limits",
        "low_thresh",
        "max_dist",
        "memory",
        "now_ns",
        "peers",
        "period_ns",
        "queues",
        "running",
    )

    def __init__(self, kernel: KernelProfile, limits: NetConf, running: Timers | None = None) -> None:
        self.kernel = kernel
        self.limits = limits
        self.high_thresh = limits.ipfrag_high_thresh
        self.low_thresh = limits.ipfrag_low_thresh
        self.max_dist = limits.ipfrag_max_dist
        self.period_ns = limits.ipfrag_time * NS
        self.queues: dict[FragKey, FragQueue] = {}  # in the order of their timers
        self.chains = FragChains() if kernel.frag_memory is FragMemory.EVICT else None
        self.peers = Peers()
        self.memory = 0
        self.now_ns = 0  # the latest time seen: never turned back
        self.due_ns = NEVER  # no timer fires before
        self.ended: list[tuple[FragQueue, Exit]] | None = None  # what held fragments in vain; None: nobody asks
        self.running = running or Timers()
        self._truesizes = truesizes(kernel.skb_heads)

    def truesize(self, total_bytes: int) -> int:
        """Return what the kernel charges for a received datagram of this length."""
        return self._truesizes[total_bytes + ROUNDED_UP >> 6]

    def add(self, key: FragKey, chain: FragChain | None) -> FragQueue:
        """Make room for one more datagram and start its timer."""
        queue = FragQueue(key, self.now_ns + self.period_ns, chain)
        queue.memory = QUEUE_BYTES
        if self.max_dist:
            if len(self.peers) > self.peers.is_crowded_above:
                self.peers.forget_others(waiting.peer for waiting in self.queues.values())
            queue.peer = self.peers.record((key[0][:4], key[4]))
        if chain is not None:
            chain[key] = queue
        self.keep(queue)
        return queue

    def keep(self, queue: FragQueue) -> None:
        """Take a queue in, its timer behind all others."""
        self.queues[queue.key] = queue
        self.memory += queue.memory
        self.due_ns = min(self.due_ns, queue.expires_ns)
        self.running.at(queue.expires_ns)

    def remove(self, queue: FragQueue) -> None:
        """Let a queue go, with its timer and what it was charged."""
        del self.queues[queue.key]
        self.memory -= queue.memory
        if queue.chain is not None:
            del queue.chain[queue.key]

    def restarted(self, queue: FragQueue) -> FragQueue:
        """Return the queue emptied, its timer at the full period again; the old one keeps what it held.

        The sizes of fragments already seen are not forgotten, and the place in the hash chain stays.
        """
        fresh = FragQueue(queue.key, self.now_ns + self.period_ns, queue.chain)
        fresh.memory = QUEUE_BYTES
        fresh.peer, fresh.rid = queue.peer, queue.rid
        fresh.max_size, fresh.max_df_size = queue.max_size, queue.max_df_size
        del self.queues[queue.key]
        self.memory -= queue.memory
        if queue.chain is not None:
            queue.chain[queue.key] = fresh
        self.keep(fresh)
        return fresh

    def expired(self) -> Iterator[FragQueue]:
        """Take out the queues whose timers have fired by now, in the order in which they fired."""
        if self.now_ns < self.due_ns:
            return
        while self.queues:
            oldest = next(iter(self.queues.values()))
            if oldest.expires_ns > self.now_ns:
                self.due_ns = oldest.expires_ns
                return
            self.remove(oldest)
            yield oldest
        self.due_ns = NEVER
