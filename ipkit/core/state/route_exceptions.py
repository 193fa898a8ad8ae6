"""What was learnt about the way to single destinations: path MTUs and redirects, with their ends.

Law: a store. It forgets what has expired and what came long ago, and decides nothing; dst_ops.py teaches it.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from ipkit.core.host.fib import FibEntry, NextHop

MOST_EXCEPTIONS: Final = 1 << 16


@dataclass(slots=True)
class RouteException:
    """One lesson (struct fib_nh_exception)."""

    entry: FibEntry
    nexthop: NextHop
    gateway: int = 0  # 0: no redirect
    pmtu: int = 0  # 0: no path MTU
    mtu_locked: bool = False
    expires_ns: int = 0
    ends_ns: list[int] = field(init=False)
    """When the path MTU ends for packets of the host and for those in transit (fnhe_rth_output, fnhe_rth_input)."""

    def __post_init__(self) -> None:
        self.ends_ns = [self.expires_ns, self.expires_ns]


@dataclass(slots=True)
class RouteExceptions:
    """All exceptions, by destination; the oldest gives way when there are too many."""

    by_destination: OrderedDict[int, list[RouteException]] = field(default_factory=OrderedDict)

    def find(self, entry: FibEntry, nexthop: NextHop, daddr: int, now_ns: int) -> RouteException | None:
        """Return what is known of a destination by one next hop; what has expired is forgotten.

        Kernel: find_exception
        """
        known = self.by_destination.get(daddr)
        if known is None:
            return None
        for exception in known:
            if exception.nexthop == nexthop and same_way(exception.entry, entry):
                if now_ns <= exception.expires_ns:
                    return exception
                known.remove(exception)
                if not known:
                    del self.by_destination[daddr]
                return None
        return None

    def update_or_create(self, daddr: int, lesson: RouteException, now_ns: int) -> None:
        """Add a lesson to what is known; a redirect leaves a path MTU as it is, and the other way round.

        Kernel: update_or_create_fnhe
        """
        known = self.find(lesson.entry, lesson.nexthop, daddr, now_ns)
        if known is None:
            self.by_destination.setdefault(daddr, []).append(lesson)
            self.by_destination.move_to_end(daddr)
            if len(self.by_destination) > MOST_EXCEPTIONS:
                self.by_destination.popitem(last=False)
            return
        known.gateway = lesson.gateway or known.gateway
        if lesson.pmtu:
            known.pmtu, known.mtu_locked = lesson.pmtu, lesson.mtu_locked
        known.expires_ns = lesson.expires_ns
        known.ends_ns = lesson.ends_ns


def same_way(one: FibEntry, other: FibEntry) -> bool:
    """Tell whether two routes share what the kernel shares between them: everything but prefix, TOS, type and table."""
    return one is other or (
        (one.nexthops, one.priority, one.scope, one.protocol, one.prefsrc, one.metrics)
        == (other.nexthops, other.priority, other.scope, other.protocol, other.prefsrc, other.metrics)
    )
