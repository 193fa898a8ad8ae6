"""How a socket's data becomes a queue of buffers, each the size of one fragment (ip_append_data and its kin).

Law: lengths, buffers and memory accounts only. Addresses, routes and headers are filled in later, by make_skb.py.
The buffers are real: a linear part, page fragments behind it, and the few bytes that stick out past the last multiple
of eight and move on when another buffer follows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, IntFlag
from errno import EAGAIN, EMSGSIZE, ENOBUFS, EPIPE
from functools import lru_cache
from typing import Final, NamedTuple

from ipkit.core.host.bits import asked_often
from ipkit.core.host.kernel import PagedSplit, SkbHeads
from ipkit.core.wire.checksum import csum_partial
from ipkit.core.wire.ipv4 import HEADER_BYTES, MAX_TOTAL_BYTES

MAX_SKB_FRAGS: Final = 17
PAGE_BYTES: Final = 4096
PAGE_FRAG_BYTES: Final = 32768
PAGE_FRAG_LEAST_BYTES: Final = 32
SLACK_BYTES: Final = 15
SK_BUFF_BYTES: Final = 256
SHARED_INFO_BYTES: Final = 320
CACHE_LINE_BYTES: Final = 64
MAX_HEADER_BYTES: Final = 320
SMALLEST_HEAD_BYTES: Final = 512

HEAD_SIZES: Final = {SkbHeads.POWERS_OF_TWO: (SMALLEST_HEAD_BYTES,), SkbHeads.SMALL_HEADS: (576,)}
"""The sizes in which the memory of a buffer comes, below the powers of two from 1024."""


@asked_often
class SendFlag(IntFlag):
    """The flags of a send call that reach the queue."""

    NONE = 0
    OOB = 0x01
    DONTROUTE = 0x04
    PROBE = 0x10
    DONTWAIT = 0x40
    CONFIRM = 0x800
    MORE = 0x8000
    ZEROCOPY = 0x4000000


class CsumMode(Enum):
    """Who sums a buffer: the copier on its way, or the card."""

    NONE = "none"
    PARTIAL = "partial"


class Shutdown(Enum):
    """Whether the socket's sending side is still open."""

    OPEN = "open"
    SEND = "send"


@dataclass(slots=True)
class PageFrag:
    """A stretch of one page that hangs on a buffer."""

    page: int
    offset: int
    data: bytearray


@dataclass(slots=True)
class QueuedSkb:
    """A buffer under construction; its bytes begin where the IP header will stand."""

    linear: bytearray
    tail_room: int
    truesize: int
    csum_mode: CsumMode
    csum: int = 0  # folded sum of the payload that was copied in
    frags: tuple[PageFrag, ...] = ()
    gap: int = 0  # bytes taken over from the buffer before
    trimmed_from: int = 0  # its length before those bytes were taken from its own end; 0: never trimmed
    pinned: bool = False  # pages of the program's own hang on it (skb_zcopy)

    @property
    def paged(self) -> int:
        """Bytes in page fragments (skb->data_len)."""
        return sum(len(frag.data) for frag in self.frags)

    @property
    def length(self) -> int:
        """Bytes in all, headers included (skb->len)."""
        return len(self.linear) + self.paged if self.frags else len(self.linear)

    def contents(self, begin: int = 0) -> bytes:
        """Return the bytes in order, from some place in the linear part on."""
        linear = memoryview(self.linear)[begin:]
        return b"".join((linear, *(frag.data for frag in self.frags))) if self.frags else bytes(linear)

    def add_sum(self, data: bytes, at: int) -> None:
        """Add data that lands at an offset of the payload to the sum; at an odd one its bytes change places."""
        total = csum_partial(data)
        if at & 1:
            total = (total & 0xFF) << 8 | total >> 8
        self.csum = (self.csum + total) % 0xFFFF or (0xFFFF if self.csum or total else 0)


@dataclass(slots=True)
class PageSupply:
    """Where page fragments are cut from (struct page_frag): one page at a time, front to back."""

    page: int = 0
    offset: int = PAGE_FRAG_BYTES

    def refill(self) -> None:
        """Take a new page where the old one has almost nothing left (sk_page_frag_refill)."""
        if self.offset + PAGE_FRAG_LEAST_BYTES > PAGE_FRAG_BYTES:
            self.page += 1
            self.offset = 0

    @property
    def room(self) -> int:
        """Bytes left in the page."""
        return PAGE_FRAG_BYTES - self.offset


@dataclass(slots=True)
class WriteMemory:
    """What a socket may hold in buffers; the count begins at one."""

    sndbuf: int = 212992
    allocated: int = 1
    shutdown: Shutdown = Shutdown.OPEN


class Device(NamedTuple):
    """What appending asks of the route's device."""

    scatter_gather: bool = True
    checksums: bool = True
    reserved: int = 16  # LL_RESERVED_SPACE
    trailer: int = 0


PLAIN_DEVICE: Final = Device()


@dataclass(slots=True)
class Cork:
    """What stays the same for all pieces of one datagram (struct inet_cork), and the queue they make."""

    fragsize: int
    optlen: int = 0
    ignore_df: bool = True
    device: Device = PLAIN_DEVICE
    gso_size: int = 0
    header_len: int = 0  # what a transformation wants in front (dst.header_len)
    length: int = 0
    discards: int = 0  # pieces that failed after their length was taken (IpOutDiscards)
    queue: list[QueuedSkb] = field(default_factory=list)
    pages: PageSupply = field(default_factory=PageSupply)
    smallest_heads: tuple[int, ...] = (SMALLEST_HEAD_BYTES,)
    paged_split: PagedSplit = PagedSplit.HEADERS_AND_GAP

    mtu: int = field(init=False)  # how long a buffer may become
    fragheaderlen: int = field(init=False)  # IP header with options
    maxfraglen: int = field(init=False)  # how long a buffer may be that another one follows

    def __post_init__(self) -> None:
        """Work out the sizes that every buffer is measured by."""
        self.mtu = MAX_TOTAL_BYTES if self.gso_size else self.fragsize
        self.fragheaderlen = HEADER_BYTES + self.optlen
        self.maxfraglen = ((self.mtu - self.fragheaderlen) & ~7) + self.fragheaderlen

    @property
    def maxnonfragsize(self) -> int:
        """How long the whole datagram may become."""
        return MAX_TOTAL_BYTES if self.ignore_df else self.mtu


@lru_cache(maxsize=1 << 10)
def skb_truesize(wanted: int, smallest_heads: tuple[int, ...]) -> tuple[int, int]:
    """Return what an allocation of so many bytes is charged, and how many bytes it really has."""
    needed = -(-wanted // CACHE_LINE_BYTES) * CACHE_LINE_BYTES + SHARED_INFO_BYTES
    head = next((size for size in smallest_heads if size >= needed), 1 << (needed - 1).bit_length())
    return SK_BUFF_BYTES + head, head - SHARED_INFO_BYTES


def ip_append_data(cork: Cork, memory: WriteMemory, data: bytes, transhdrlen: int, flags: SendFlag) -> int:
    """Add a piece to the queue; return 0 or an errno. The first piece's transport header is counted, not written.

    Kernel: net/ipv4/ip_output.c
    After an error the buffers of earlier pieces are still queued: the caller flushes them.
    """
    if flags & SendFlag.PROBE:
        return 0
    return __ip_append_data(cork, memory, data, 0 if cork.queue else transhdrlen, flags)


def __ip_append_data(cork: Cork, memory: WriteMemory, data: bytes, transhdrlen: int, flags: SendFlag) -> int:
    length = len(data) + transhdrlen
    if cork.length + length > cork.maxnonfragsize - cork.fragheaderlen:
        return EMSGSIZE
    cork.length += length
    piece = _Piece(cork, memory, data, flags, transhdrlen, length)
    error = piece.append()
    memory.allocated += piece.charged
    if error:
        cork.length -= piece.length
        cork.discards += 1
    return error


def ip_flush_pending_frames(cork: Cork, memory: WriteMemory) -> None:
    """Throw away what is queued and give its memory back.

    Kernel: net/ipv4/ip_output.c
    """
    memory.allocated -= sum(skb.truesize for skb in cork.queue)
    cork.queue.clear()
    cork.length = 0


def take_gap(before: QueuedSkb, skb: QueuedSkb, keep: int) -> None:
    """Take what a buffer has past the last multiple of eight into the one that follows."""
    moved = before.contents()[keep:]
    skb.linear += moved
    skb.gap = len(moved)
    skb.add_sum(moved, 0)
    # What the moved bytes added to the sum is taken away again; they begin at an even offset there too.
    before.csum = (before.csum + (~csum_partial(moved) & 0xFFFF)) % 0xFFFF
    before.trimmed_from = before.length
    while before.length > keep:
        surplus = before.length - keep
        last = before.frags[-1].data if before.frags else before.linear
        del last[max(len(last) - surplus, 0) :]
        if before.frags and not last:
            before.frags = before.frags[:-1]


@dataclass(slots=True)
class _Piece:
    """One send call's bytes on their way into the queue: the loop of __ip_append_data."""

    cork: Cork
    memory: WriteMemory
    data: bytes
    flags: SendFlag
    transhdrlen: int
    length: int  # what is still to be placed, the transport header included
    offset: int = 0  # how far into the data
    charged: int = 0
    exthdrlen: int = 0
    csum_mode: CsumMode = CsumMode.NONE
    zero_copy: bool = False  # the program's own pages hang on the buffer

    def append(self) -> int:
        """Place everything; return 0 or the errno at which it ended."""
        cork, queue = self.cork, self.cork.queue
        self.exthdrlen = 0 if queue else cork.header_len
        self.csum_mode = self._first_csum_mode()
        by_card = cork.device.scatter_gather and self.csum_mode is CsumMode.PARTIAL
        self.zero_copy = bool(self.flags & SendFlag.ZEROCOPY) and by_card
        error = 0 if queue else self._new_skb()
        while self.length > 0 and not error:
            tail = queue[-1]
            filled = tail.length
            copy = cork.mtu - filled
            if copy < self.length:
                copy = cork.maxfraglen - filled
            error = self._new_skb() if copy <= 0 else self._extend(tail, min(copy, self.length))
        return error

    def _first_csum_mode(self) -> CsumMode:
        cork = self.cork
        left_to_card = (
            self.transhdrlen > 0
            and self.length + cork.fragheaderlen <= cork.mtu
            and cork.device.checksums
            and (not self.flags & SendFlag.MORE or cork.gso_size > 0)
            and not self.exthdrlen
        )
        return CsumMode.PARTIAL if left_to_card else CsumMode.NONE

    def _new_skb(self) -> int:
        """Allocate a buffer, move over what sticks out of the one before, and fill the linear part."""
        cork = self.cork
        device, headers = cork.device, cork.fragheaderlen
        before = cork.queue[-1] if cork.queue else None
        fraggap = before.length - cork.maxfraglen if before is not None else 0
        datalen = self.length + fraggap
        if datalen > cork.mtu - headers:
            datalen = cork.maxfraglen - headers
        fraglen = datalen + headers
        alloclen, pagedlen = self._linear_and_paged(fraglen, fraggap)
        error = self._refused()
        if error:
            return error
        alloclen += self.exthdrlen + (device.trailer if datalen == self.length + fraggap else 0)
        truesize, head = skb_truesize(alloclen + device.reserved + SLACK_BYTES, cork.smallest_heads)
        tail_room = head - device.reserved - (fraglen + self.exthdrlen - pagedlen)
        skb = QueuedSkb(bytearray(headers + self.transhdrlen), tail_room, truesize, self.csum_mode)
        if before is not None and fraggap:
            take_gap(before, skb, cork.maxfraglen)
        copy = max(datalen - self.transhdrlen - fraggap - pagedlen, 0)
        self._fetch(skb, skb.linear, copy, fraggap)
        self.length -= self.transhdrlen
        self.transhdrlen = self.exthdrlen = 0
        self.csum_mode = CsumMode.NONE
        self.charged += truesize
        cork.queue.append(skb)
        return 0

    def _linear_and_paged(self, fraglen: int, fraggap: int) -> tuple[int, int]:
        """Return how much of a buffer is allocated as one piece and how much will hang on it as pages."""
        cork = self.cork
        if self.flags & SendFlag.MORE and not cork.device.scatter_gather:
            return cork.mtu, 0
        if not cork.gso_size and not self.zero_copy:
            return fraglen, 0
        linear = cork.fragheaderlen + self.transhdrlen + fraggap
        if cork.paged_split is PagedSplit.MAX_HEADER:
            linear = min(fraglen, MAX_HEADER_BYTES)
        return linear, fraglen - linear

    def _refused(self) -> int:
        """Ask the socket's memory: a datagram's first buffer may wait, every later one may not."""
        memory = self.memory
        if self.transhdrlen:
            if memory.shutdown is Shutdown.SEND:
                return EPIPE
            full = memory.allocated - 1 >= memory.sndbuf
            return EAGAIN if full and self.flags & SendFlag.DONTWAIT else 0
        return ENOBUFS if memory.allocated + self.charged > 2 * memory.sndbuf else 0

    def _extend(self, tail: QueuedSkb, copy: int) -> int:
        """Add bytes to the last buffer: linear where the device cannot gather, else in a page fragment."""
        if not self.cork.device.scatter_gather and tail.tail_room >= copy:
            self._fetch(tail, tail.linear, copy, tail.length)
            tail.tail_room -= copy
            return 0
        if self.zero_copy:
            return self._pin(tail, copy)
        pages = self.cork.pages
        pages.refill()
        frag = tail.frags[-1] if tail.frags else None
        if frag is None or frag.page != pages.page or frag.offset + len(frag.data) != pages.offset:
            if len(tail.frags) == MAX_SKB_FRAGS:
                return EMSGSIZE
            frag = PageFrag(pages.page, pages.offset, bytearray())
            tail.frags += (frag,)
        copy = min(copy, pages.room)
        self._fetch(tail, frag.data, copy, tail.length)
        pages.offset += copy
        tail.truesize += copy
        self.charged += copy
        return 0

    def _pin(self, tail: QueuedSkb, copy: int) -> int:
        """Hang the program's own page on the buffer; no two of them are joined."""
        if len(tail.frags) == MAX_SKB_FRAGS:
            return EMSGSIZE
        page, at = divmod(self.offset, PAGE_BYTES)
        copy = min(copy, PAGE_BYTES - at)
        frag = PageFrag(page, at, bytearray())
        tail.frags += (frag,)
        tail.pinned = True
        self._fetch(tail, frag.data, copy, tail.length)
        tail.truesize += copy
        self.charged += copy
        return 0

    def _fetch(self, skb: QueuedSkb, into: bytearray, count: int, at: int) -> None:
        """Copy the caller's next bytes, summing on the way where the card will not (getfrag)."""
        copied = self.data[self.offset : self.offset + count]
        into += copied
        if skb.csum_mode is CsumMode.NONE:
            if at:
                skb.add_sum(copied, at)
            else:
                skb.csum = csum_partial(copied)
        self.offset += count
        self.length -= count
