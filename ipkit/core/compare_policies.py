"""One datagram before every policy at once: who would have read what.

Law: the panel follows a datagram as long as the policy in charge does. Where that one has lost it, the others may
still finish with the fragments to come, so the panel waits as long as a timer runs; a flood of such datagrams pushes
the oldest out.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from ipkit.core.defrag_queue import ip_frag_queue
from ipkit.core.host.sysctl import NetConf
from ipkit.core.outcome.defrag_exits import Fate
from ipkit.core.overlap import POLICIES
from ipkit.core.state.frag_queue import FragKey, Fragment, FragQueue
from ipkit.core.state.frag_queues import NS

DIGEST_LETTERS: Final = 16
LOST: Final = "dropped"


class Panel:
    """The policies over one datagram."""

    __slots__ = ("key", "lost", "queues", "read", "since_ns")

    def __init__(self, key: FragKey) -> None:
        self.key = key
        self.queues: dict[str, FragQueue] = {}
        self.read: dict[str, str] = {}  # what each policy delivered first
        self.lost: set[str] = set()
        self.since_ns = 0  # when it was laid by

    def see(self, fragment: Fragment) -> None:
        """Show a fragment to every policy."""
        for name, policy in POLICIES.items():
            queue = self.queues.get(name)
            if queue is None:
                queue = self.queues[name] = FragQueue(self.key)
            fate = ip_frag_queue(queue, fragment, policy).fate
            if fate is Fate.COMPLETE:
                payload = queue.datagram[queue.pieces[0].header_bytes :]
                self.read.setdefault(name, sha256(payload).hexdigest()[:DIGEST_LETTERS])
            elif fate is Fate.LOST:
                self.lost.add(name)
            if fate is Fate.COMPLETE or fate is Fate.LOST:
                del self.queues[name]

    def readings(self, waiting: str) -> dict[str, str]:
        """Return what each policy read first: the beginning of its payload's SHA-256, or how it failed."""
        return {name: self.read.get(name, LOST if name in self.lost else waiting) for name in POLICIES}

    @property
    def memory(self) -> int:
        """What the hungriest policy is charged; the others hold the same bytes."""
        return max((queue.memory for queue in self.queues.values()), default=0)


class Panels:
    """The panels of all datagrams that are being looked at."""

    def __init__(self, limits: NetConf) -> None:
        self._limits = limits
        self.active: dict[FragKey, Panel] = {}
        self.idle: dict[FragKey, Panel] = {}  # their datagram was lost; oldest first
        self._idle_memory = 0

    def see(self, key: FragKey, fragment: Fragment) -> None:
        """Show a fragment to the panel of its datagram."""
        panel = self.active.get(key)
        if panel is None:
            panel = self.active[key] = self._woken(key) or Panel(key)
        panel.see(fragment)

    def readings(self, key: FragKey, waiting: str) -> dict[str, str]:
        """Return what each policy made of a datagram that has just ended."""
        return self.active[key].readings(waiting) if key in self.active else {}

    def end(self, key: FragKey) -> None:
        """Forget a datagram."""
        self.active.pop(key, None)

    def rest(self, key: FragKey, now_ns: int) -> None:
        """Keep the panel of a datagram that was lost, for as long as a timer runs and there is room."""
        panel = self.active.pop(key, None)
        if panel is None:
            return
        panel.since_ns = now_ns
        self.lay_by(panel)
        period_ns = self._limits.ipfrag_time * NS
        while self.idle:
            oldest = next(iter(self.idle))
            is_over = self.idle[oldest].since_ns + period_ns <= now_ns
            if not is_over and self._idle_memory <= self._limits.ipfrag_high_thresh:
                return
            self._woken(oldest)

    def lay_by(self, panel: Panel) -> None:
        """Put a panel with those whose datagram was lost."""
        self._woken(panel.key)
        self.idle[panel.key] = panel
        self._idle_memory += panel.memory

    def _woken(self, key: FragKey) -> Panel | None:
        panel = self.idle.pop(key, None)
        if panel is not None:
            self._idle_memory -= panel.memory
        return panel
