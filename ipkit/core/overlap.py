"""Who keeps the bytes that two fragments claim: everyone's rules, as a table, and one small engine.

A policy is two answers. `ends`: may a fragment with this end come in at all. `meet`: what stands in the place of the
held pieces that a newcomer meets. Held pieces are disjoint ranges, already trimmed; the newcomer's full range is
compared with each of them.

The nine-letter tables: rows are where the newcomer starts (before, at, behind the start of the held piece), columns
where it ends (before, at, behind its end); `n` gives the shared bytes to the newcomer, `o` leaves them to the old.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from enum import Enum
from types import MappingProxyType
from typing import Final, NamedTuple

from ipkit.core.host.kernel import BadFragment, KernelProfile, Overlap
from ipkit.core.outcome.defrag_exits import BAD_ALONE, BAD_LOST, COVERED, DUPLICATE, OVERLAP_LOST, Exit, FragNote
from ipkit.core.state.frag_queue import Fragment, FragQueue
from ipkit.core.wire.ipv4 import FLAG_MF, HEADER_BYTES, MAX_TOTAL_BYTES


class Met(NamedTuple):
    """What stands in the place of the pieces that were met."""

    pieces: list[Fragment]
    kept: int  # bytes of the newcomer among them


EndsRule = Callable[[FragQueue, Fragment], Exit | None]
MeetRule = Callable[[FragQueue, int, int, Fragment], Met | Exit]


class Mixing(Enum):
    """What congestion marks do that cannot stand together."""

    LOSES = "the datagram is lost"
    NOTED = "noted alone"


class Policy(NamedTuple):
    """One rule for odd fragments."""

    name: str
    ends: EndsRule
    meet: MeetRule
    mixing: Mixing


def kernel_ends(bad: Exit) -> EndsRule:
    """Return Linux's tests of a fragment's end; the kernels differ in what a failed one costs.

    The end that a last fragment announces stays announced, even where the fragment is refused further on.
    """

    def ends(queue: FragQueue, fragment: Fragment) -> Exit | None:
        end = fragment.end
        if not fragment.frag_off & FLAG_MF:
            if end < queue.len or (queue.last_in and end != queue.len):
                queue.note(FragNote.CONFLICT_END if queue.last_in else FragNote.SHORT_END)
                return bad
            queue.last_in = True
            queue.len = end
        elif end > queue.len:
            if queue.last_in:
                queue.note(FragNote.PAST_END)
                return bad
            queue.len = end
        if end == fragment.start:
            queue.note(FragNote.ZERO_LENGTH)
            return bad
        return None

    return ends


def tolerant_ends(queue: FragQueue, fragment: Fragment) -> Exit | None:
    """Refuse only what has no data or no place; the first last fragment sets the end, the rest is noted."""
    end = fragment.end
    if end == fragment.start:
        queue.note(FragNote.ZERO_LENGTH)
        return BAD_ALONE
    if HEADER_BYTES + end > MAX_TOTAL_BYTES:
        queue.note(FragNote.OVERSIZE)
        return BAD_ALONE
    if queue.last_in:
        if end > queue.len and fragment.frag_off & FLAG_MF:
            queue.note(FragNote.PAST_END)
        elif end != queue.len and not fragment.frag_off & FLAG_MF:
            queue.note(FragNote.CONFLICT_END)
        return None
    if fragment.frag_off & FLAG_MF:
        queue.len = max(queue.len, end)
        return None
    if end < queue.len:
        queue.note(FragNote.SHORT_END)
    queue.last_in = True
    queue.len = end
    return None


def meet_by_trimming(queue: FragQueue, first: int, behind: int, new: Fragment) -> Met | Exit:
    """Cut the newcomer behind what starts before it; what starts at or behind its start gives way (Linux to 4.18)."""
    olds = queue.pieces[first:behind]
    start = new.start
    pieces: list[Fragment] = []
    if olds[0].start < start:
        start = olds[0].end
        if start >= new.end:
            return COVERED
        pieces.append(olds[0])
    pieces.append(new.cut(start, new.end) if start > new.start else new)
    if olds[-1].end > new.end:
        pieces.append(olds[-1].cut(new.end, olds[-1].end))
    return Met(pieces, new.end - start)


def meet_by_runs(queue: FragQueue, first: int, behind: int, new: Fragment) -> Met | Exit:
    """Ignore what lies inside one run, lose the queue over anything else (Linux since 4.20)."""
    olds = queue.pieces
    run = bisect_right(queue.run_starts, new.start)
    inside_one = bisect_left(queue.run_starts, new.end) == run
    covered = olds[first].start <= new.start and new.end <= olds[behind - 1].end
    return DUPLICATE if inside_one and covered else OVERLAP_LOST


def meet_strictly(queue: FragQueue, first: int, behind: int, new: Fragment) -> Met | Exit:
    """Ignore an exact repetition, lose the queue over any overlap (RFC 5722)."""
    same = behind - first == 1 and queue.pieces[first][:2] == new[:2]
    return DUPLICATE if same else OVERLAP_LOST


def meet_by_table(table: str) -> MeetRule:
    """Return the rule of a nine-letter table."""
    wins = [[letter == "n" for letter in row] for row in table.split()]

    def meet(queue: FragQueue, first: int, behind: int, new: Fragment) -> Met | Exit:
        pieces: list[Fragment] = []
        at, kept = new.start, 0  # from `at` on the newcomer has nothing yet
        for old in queue.pieces[first:behind]:
            if wins[_order(new.start, old.start)][_order(new.end, old.end)]:
                if old.start < new.start:
                    pieces.append(_share(old, old.start, new.start))
                if old.end > new.end:
                    kept += _give(pieces, new, at, new.end)
                    pieces.append(_share(old, new.end, old.end))
                    at = new.end
            else:
                kept += _give(pieces, new, at, old.start)
                pieces.append(old)
                at = max(at, old.end)
        kept += _give(pieces, new, at, new.end)
        return Met(pieces, kept) if kept else COVERED

    return meet


def _order(new: int, old: int) -> int:
    return (new > old) - (new < old) + 1


def _give(pieces: list[Fragment], new: Fragment, start: int, end: int) -> int:
    if start >= end:
        return 0
    pieces.append(_share(new, start, end))
    return end - start


def _share(piece: Fragment, start: int, end: int) -> Fragment:
    """Return a part with its part of the memory: each may go away without the others."""
    if start == piece.start and end == piece.end:
        return piece
    truesize = piece.truesize * (end - start) // (piece.end - piece.start)
    return piece.cut(start, end)._replace(truesize=truesize)


def _tabled(name: str, table: str) -> Policy:
    return Policy(name, tolerant_ends, meet_by_table(table), Mixing.NOTED)


POLICIES: Final = MappingProxyType(
    {
        policy.name: policy
        for policy in (
            _tabled("first", "ooo ooo ooo"),
            _tabled("last", "nnn nnn nnn"),
            _tabled("bsd", "nnn ooo ooo"),
            _tabled("bsd-right", "onn onn oon"),
            _tabled("linux", "nnn nnn ooo"),
            Policy("linux-trim", kernel_ends(BAD_ALONE), meet_by_trimming, Mixing.LOSES),
            Policy("linux-modern", kernel_ends(BAD_LOST), meet_by_runs, Mixing.LOSES),
            _tabled("windows", "oon ooo ooo"),
            _tabled("solaris", "onn ooo ooo"),
            Policy("rfc5722", kernel_ends(BAD_LOST), meet_strictly, Mixing.LOSES),
        )
    }
)
"""Every policy by its name."""

KERNEL_RULES: Final = {
    Overlap.TRIM: meet_by_trimming,
    Overlap.DISCARD_QUEUE: meet_by_runs,
}
KERNEL_ENDS: Final = {
    BadFragment.REFUSED_ALONE: kernel_ends(BAD_ALONE),
    BadFragment.DISCARD_QUEUE: kernel_ends(BAD_LOST),
}


def kernel_policy(kernel: KernelProfile) -> Policy:
    """Return the rule that a kernel itself follows."""
    return Policy("kernel", KERNEL_ENDS[kernel.bad_fragment], KERNEL_RULES[kernel.overlap], Mixing.LOSES)
