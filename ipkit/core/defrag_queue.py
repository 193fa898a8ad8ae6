"""One fragment into one queue: its ends, its place, and the datagram once nothing is missing.

Law: the steps stand in the kernel's order, because what an early step has changed survives a refusal by a later one.
Which queue it is and whether there is memory for it was decided before; a lost queue is taken out by whoever is told.
"""

from __future__ import annotations

from bisect import insort
from typing import Final

from ipkit.core.outcome.defrag_exits import (
    COMPLETE,
    COVERED,
    ECN_LOST,
    OVERSIZE_LOST,
    QUEUED,
    Exit,
    FragNote,
)
from ipkit.core.overlap import Met, Mixing, Policy
from ipkit.core.state.frag_queue import Fragment, FragQueue
from ipkit.core.wire.ipv4 import FLAG_DF, FLAG_MF, MAX_TOTAL_BYTES, HeaderTemplate, with_tos

CE: Final = 3
INVALID_MIX: Final = -1
ECN_BY_MARKS: Final = (
    *(0, 0, 0, INVALID_MIX, 0, INVALID_MIX, 0, INVALID_MIX),
    *(0, INVALID_MIX, CE, INVALID_MIX, CE, INVALID_MIX, CE, INVALID_MIX),
)
"""What is put into the TOS for a set of marks (bit 0 not-ECT, 1 ECT(1), 2 ECT(0), 3 CE)."""


def ip_frag_queue(queue: FragQueue, fragment: Fragment, policy: Policy) -> Exit:
    """Decide what a fragment does to the queue it belongs to.

    Kernel: net/ipv4/ip_fragment.c
    """
    if fragment.frag_off & FLAG_MF and fragment.end & 7:
        queue.note(FragNote.RAGGED)
        fragment = fragment.cut(fragment.start, fragment.end & ~7)
    refused = policy.ends(queue, fragment)
    if refused is not None:
        return refused
    kept = _placed(queue, fragment, policy)
    if isinstance(kept, Exit):
        # A table's policy asks whether all bytes are there, whoever brought them; Linux only after an acceptance.
        if kept is COVERED and policy.mixing is Mixing.NOTED and queue.last_in and queue.whole >= queue.len:
            return ip_frag_reasm(queue, policy)
        return kept
    queue.newest = fragment
    queue.ecn |= 1 << (fragment.tos & 3)
    size = kept + fragment.header_bytes
    if size > queue.max_size or fragment.frag_off & FLAG_DF:
        _note_size(queue, size, fragment.frag_off)
    if queue.last_in and queue.whole >= queue.len:
        return ip_frag_reasm(queue, policy)
    return QUEUED


def _note_size(queue: FragQueue, size: int, frag_off: int) -> None:
    queue.max_size = max(queue.max_size, size)
    if frag_off & FLAG_DF:
        queue.max_df_size = max(queue.max_df_size, size)


def _placed(queue: FragQueue, fragment: Fragment, policy: Policy) -> int | Exit:
    """Put a fragment among the others; return how much of it was taken."""
    start, end = fragment.start, fragment.end
    pieces = queue.pieces
    top = pieces[-1].end if pieces else -1
    if start >= top:
        queue.starts.append(start)
        pieces.append(fragment)
        queue.memory += fragment.truesize
        if start != top:
            queue.run_starts.append(start)
        if start <= queue.whole:
            queue.whole = end
        return end - start
    first, behind = queue.meeting(start, end)
    kept = end - start
    if first == behind:
        queue.put(first, behind, (fragment,))
        insort(queue.run_starts, start)
    else:
        _survey(queue, first, behind, fragment)
        met = policy.meet(queue, first, behind, fragment)
        if not isinstance(met, Met):
            return met
        queue.put(first, behind, met.pieces)
        kept = met.kept
    if start <= queue.whole:
        queue.extend_whole()
    return kept


def _survey(queue: FragQueue, first: int, behind: int, new: Fragment) -> None:
    """Note what a newcomer repeats, and whether it says the same."""
    shared, differs = 0, False
    for old in queue.pieces[first:behind]:
        start, end = max(old.start, new.start), min(old.end, new.end)
        shared += end - start
        differs |= old.payload[start - old.start : end - old.start] != new.payload[start - new.start : end - new.start]
    if differs:
        queue.note(FragNote.BYTES_DIFFER)
    if shared == new.end - new.start and not differs:
        queue.duplicates += 1
    else:
        queue.overlaps += 1
        queue.overlap += shared


def ip_frag_reasm(queue: FragQueue, policy: Policy) -> Exit:
    """Decide whether the pieces make a datagram, and make it: the header is the offset-0 fragment's.

    Kernel: net/ipv4/ip_fragment.c
    """
    first = queue.pieces[0]
    header = first.head[: first.header_bytes]
    marks = ECN_BY_MARKS[queue.ecn]
    if marks == INVALID_MIX:
        queue.note(FragNote.ECN_MIXED)
        if policy.mixing is Mixing.LOSES:
            return ECN_LOST
    elif marks:
        header = with_tos(header, first.tos | marks)
    total = first.header_bytes + queue.len
    if total > MAX_TOTAL_BYTES:
        queue.note(FragNote.OVERSIZE)
        return OVERSIZE_LOST
    header = HeaderTemplate(header).filled(total, FLAG_DF if keeps_df(queue) else 0)
    datagram = b"".join([header, *[piece.payload for piece in queue.pieces]])
    queue.datagram = datagram[:total]
    return COMPLETE


def keeps_df(queue: FragQueue) -> bool:
    """Tell whether the datagram forbids fragmenting: where the largest fragment did."""
    return queue.max_df_size == queue.max_size
