"""Every way out of reassembly: what becomes of the fragment and its queue, which counters move, which reason is given.

`IpReasmReqds`, which every fragment moves, is left out: it says that one came, not how it ended.
"""

from __future__ import annotations

from enum import Enum
from errno import E2BIG, EINVAL, ENOMEM
from typing import Final, NamedTuple

from ipkit.core.outcome.counters import Mib
from ipkit.core.outcome.drop_reasons import DropReason


class Fate(Enum):
    """What an exit does."""

    QUEUED = "the fragment waits with the others"
    COMPLETE = "the datagram is whole"
    REFUSED = "the fragment alone is freed; its queue, if there is one, lives on"
    LOST = "the queue is freed with all it held"


class Exit(NamedTuple):
    """One way out."""

    fate: Fate
    func: str
    reason: DropReason | None = None
    mibs: tuple[Mib, ...] = ()
    errno: int = 0


QUEUED: Final = Exit(Fate.QUEUED, "ip_frag_queue")
COMPLETE: Final = Exit(Fate.COMPLETE, "ip_frag_reasm", None, (Mib.REASM_OKS,))

NO_ROOM: Final = Exit(Fate.REFUSED, "ip_defrag", DropReason.NOT_SPECIFIED, (Mib.REASM_FAILS,), ENOMEM)
BAD_ALONE: Final = Exit(Fate.REFUSED, "ip_frag_queue", DropReason.NOT_SPECIFIED, (), EINVAL)
COVERED: Final = Exit(Fate.REFUSED, "ip_frag_queue", DropReason.NOT_SPECIFIED, (), EINVAL)
DUPLICATE: Final = Exit(Fate.REFUSED, "ip_frag_queue", DropReason.DUP_FRAG, (), EINVAL)

BAD_LOST: Final = Exit(Fate.LOST, "ip_frag_queue", DropReason.NOT_SPECIFIED, (Mib.REASM_FAILS,), EINVAL)
OVERLAP_LOST: Final = Exit(
    Fate.LOST, "ip_frag_queue", DropReason.NOT_SPECIFIED, (Mib.REASM_FAILS, Mib.REASM_OVERLAPS), EINVAL
)
ECN_LOST: Final = Exit(Fate.LOST, "ip_frag_reasm", DropReason.NOT_SPECIFIED, (Mib.REASM_FAILS,), EINVAL)
OVERSIZE_LOST: Final = Exit(Fate.LOST, "ip_frag_reasm", DropReason.NOT_SPECIFIED, (Mib.REASM_FAILS,), E2BIG)

TOO_FAR: Final = Exit(Fate.LOST, "ip_frag_reinit", DropReason.FRAG_TOO_FAR, (Mib.REASM_FAILS,))
TIMED_OUT: Final = Exit(Fate.LOST, "ip_expire", DropReason.FRAG_REASM_TIMEOUT, (Mib.REASM_FAILS, Mib.REASM_TIMEOUT))
EVICTED: Final = Exit(Fate.LOST, "ip_expire", DropReason.NOT_SPECIFIED, (Mib.REASM_FAILS,))


class FragNote(Enum):
    """What is odd about the fragments of a datagram, whatever became of it."""

    TRUNCATED = "truncated"
    RAGGED = "ragged"
    ZERO_LENGTH = "zero-length"
    SHORT_END = "short-end"
    PAST_END = "past-end"
    CONFLICT_END = "conflict-end"
    OVERSIZE = "oversize"
    BYTES_DIFFER = "bytes-differ"
    TINY_FIRST = "tiny-first"
    DF = "df"
    TTL_DIFFERS = "ttl-differs"
    OPTIONS_DIFFER = "options-differ"
    ECN_MIXED = "ecn-mixed"
