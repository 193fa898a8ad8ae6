"""Fragmented datagrams whose transport checksum can be judged once they are whole.

Law: reassembly by ip_defrag, without the limit on distance: here it is a means, and no kernel is asked. What the
capture cut is not put together. Of each datagram only the place of its checksum is remembered beside its pieces.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, cast

from ipkit.core.checksum_rules import TRANSPORTS
from ipkit.core.defrag import fragment_of, ip_expire, take
from ipkit.core.frames import FrameBatch
from ipkit.core.host.kernel import LINUX_4_14
from ipkit.core.host.sysctl import NetConf
from ipkit.core.lanes import Patch
from ipkit.core.outcome.defrag_exits import COMPLETE, QUEUED, Fate
from ipkit.core.overlap import kernel_policy
from ipkit.core.state.frag_queue import FragQueue
from ipkit.core.state.frag_queues import FragQueues
from ipkit.core.wire.ipv4 import HEADER_BYTES, OFFSET_MASK, unpack_keyed_from


class Whole(NamedTuple):
    """A datagram that has become whole, and where its checksum stands in the output."""

    datagram: bytes
    mark: int  # of the fragment that holds it
    at: int  # in that frame


class ChecksumFragments:
    """The fragments that wait, and what the writer has to remember for them."""

    def __init__(self) -> None:
        self._frags = FragQueues(LINUX_4_14, NetConf(ipfrag_max_dist=0))
        self._policy = kernel_policy(LINUX_4_14)
        self._arrivals = 0
        self.marks: dict[int, int] = {}  # rows of this batch that hold a checksum
        self.forgotten: list[Patch] = []  # marks of datagrams that ended

    def begin_batch(self) -> None:
        """Forget what the writer was told of the batch before."""
        self.marks, self.forgotten = {}, []

    def take(self, batch: FrameBatch, row: int, at: int) -> Whole | None:
        """Put a fragment with its like; return the datagram that it completes."""
        data, end = batch.data, batch.start[row] + batch.captured[row]
        fields = unpack_keyed_from(data, at)
        version_ihl, _, tot_len, ident, frag_off, _, protocol, _, addresses = fields
        body, stop = at + ((version_ihl & 0x0F) << 2), at + tot_len
        if version_ihl >> 4 != 4 or not at + HEADER_BYTES <= body <= stop <= end:
            return None
        for each in ip_expire(self._frags, batch.tstamp_ns[row]):
            self._forget(each.queue)
        self._arrivals += 1
        head = b"" if frag_off & OFFSET_MASK else data[at:stop]
        fragment = fragment_of(self._frags, fields, data[body:stop], head, self._arrivals)
        exit_, queue, fallen = take(self._frags, (addresses, ident, protocol, 0, 0), fragment, self._policy)
        whole = None
        if queue is not None and (exit_ is QUEUED or exit_ is COMPLETE):
            place = TRANSPORTS[protocol].check_at
            if fragment.start <= place < fragment.end:
                self._mark(queue, row, body - batch.start[row] + place - fragment.start)
            if exit_ is COMPLETE:
                whole = _whole(queue, place)
        if queue is not None and exit_.fate in (Fate.COMPLETE, Fate.LOST):
            self._forget(queue)
        for each in fallen:
            self._forget(each.queue)
        return whole

    def _mark(self, queue: FragQueue, row: int, at: int) -> None:
        """Have the place of a fragment remembered that holds the checksum."""
        if queue.carried is None:
            queue.carried = {}
        queue.carried[self._arrivals] = at
        self.marks[row] = self._arrivals

    def _forget(self, queue: FragQueue) -> None:
        self.forgotten += [Patch(mark, 0, b"") for mark in queue.carried or ()]


def _whole(queue: FragQueue, place: int) -> Whole:
    """Return a complete datagram, with the fragment whose byte counts at a place of its data."""
    marks: Mapping[int, int] = queue.carried or {}
    holder = next((cast("int", piece.tag) for piece in queue.pieces if piece.start <= place < piece.end), 0)
    return Whole(queue.datagram, holder, marks.get(holder, 0))
