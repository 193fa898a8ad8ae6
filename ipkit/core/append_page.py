"""How a file's pages join the queue without being copied (sendfile: ip_append_page).

Law: the queue and its arithmetic are append_data's; here pages are hung on its buffers by reference.
"""

from __future__ import annotations

from errno import EINVAL, EMSGSIZE, EOPNOTSUPP
from typing import NamedTuple

from ipkit.core.append_data import (
    MAX_SKB_FRAGS,
    SLACK_BYTES,
    Cork,
    CsumMode,
    PageFrag,
    QueuedSkb,
    SendFlag,
    WriteMemory,
    skb_truesize,
    take_gap,
)


class Page(NamedTuple):
    """A stretch of one page of a file."""

    page: int
    offset: int
    data: bytes

    def part(self, begin: int, size: int) -> Page:
        """Return a stretch of the stretch."""
        return Page(self.page, self.offset + begin, self.data[begin : begin + size])


def ip_append_page(cork: Cork, memory: WriteMemory, page: Page, flags: SendFlag) -> int:
    """Hang a page on the queue, which a send call has begun; return 0 or an errno.

    Kernel: net/ipv4/ip_output.c
    After an error the buffers of earlier pieces are still queued: the caller flushes them.
    """
    if flags & SendFlag.PROBE:
        return 0
    if not cork.queue:
        return EINVAL
    if not cork.device.scatter_gather:
        return EOPNOTSUPP
    size = len(page.data)
    if cork.length + size > cork.maxnonfragsize - cork.fragheaderlen:
        return EMSGSIZE
    cork.length += size
    placed = 0
    while placed < size:
        tail = cork.queue[-1]
        room = cork.mtu - tail.length
        if room < size - placed:
            room = cork.maxfraglen - tail.length
        if room <= 0:
            _add_header_skb(cork, memory, tail)
            continue
        part = page.part(placed, min(room, size - placed))
        at = tail.length
        if skb_append_pagefrags(tail, part):
            cork.length -= size - placed
            cork.discards += 1
            return EMSGSIZE
        if tail.csum_mode is CsumMode.NONE:
            tail.add_sum(part.data, at)
        tail.truesize += len(part.data)
        memory.allocated += len(part.data)
        placed += len(part.data)
    return 0


def skb_append_pagefrags(skb: QueuedSkb, page: Page) -> int:
    """Let the last fragment grow where the page goes on there, else open another; EMSGSIZE where no more fit.

    Kernel: net/core/skbuff.c
    """
    last = skb.frags[-1] if skb.frags and not skb.pinned else None
    if last is not None and last.page == page.page and last.offset + len(last.data) == page.offset:
        last.data += page.data
        return 0
    if len(skb.frags) >= MAX_SKB_FRAGS:
        return EMSGSIZE
    skb.frags += (PageFrag(page.page, page.offset, bytearray(page.data)),)
    return 0


def _add_header_skb(cork: Cork, memory: WriteMemory, before: QueuedSkb) -> None:
    """Queue a buffer with room for a header and what sticks out of the one before; memory limits are not asked."""
    fraggap = before.length - cork.maxfraglen
    linear = cork.fragheaderlen + fraggap
    truesize, head = skb_truesize(linear + cork.device.reserved + SLACK_BYTES, cork.smallest_heads)
    tail_room = head - cork.device.reserved - linear
    skb = QueuedSkb(bytearray(cork.fragheaderlen), tail_room, truesize, CsumMode.NONE)
    if fraggap:
        take_gap(before, skb, cork.maxfraglen)
    memory.allocated += truesize
    cork.queue.append(skb)
