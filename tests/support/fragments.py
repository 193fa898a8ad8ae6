"""Fragments made by hand into the reassembly engine, and what became of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ipkit.core.defrag import Fallen, fragment_of, ip_expire, take
from ipkit.core.host.kernel import KernelProfile
from ipkit.core.host.sysctl import NetConf
from ipkit.core.outcome.counters import Mib
from ipkit.core.outcome.defrag_exits import Exit, Fate
from ipkit.core.overlap import Policy, kernel_policy
from ipkit.core.state.frag_queue import FragQueue
from ipkit.core.state.frag_queues import FragQueues
from ipkit.core.wire.ipv4 import unpack_keyed_from
from tests.support.packets import ip

SECOND = 1_000_000_000
PLENTY = 1 << 40


class Taken(NamedTuple):
    """What became of a fragment, by name."""

    exit: Exit
    queue: FragQueue | None
    fallen: Sequence[Fallen]


class Bench:
    """One engine, its clock and the diary of its answers; counters by the short names of the tables."""

    def __init__(self, kernel: KernelProfile, policy: Policy | None = None, **knobs: int) -> None:
        limits = NetConf(**{"ipfrag_high_thresh": PLENTY, "ipfrag_low_thresh": PLENTY, **knobs})
        self.queues = FragQueues(kernel, limits)
        self.policy = policy or kernel_policy(kernel)
        self.delivered: list[bytes] = []
        self.exits: list[Exit] = []
        self.fallen: list[Fallen] = []
        self.counters: dict[str, int] = {}
        self.sent = 0

    def send(self, payload: bytes, *, user: int = 0, vif: int = 0, **header: Any) -> Taken | None:
        """Make a fragment and hand it in; a whole datagram is delivered at once."""
        return self.hand_in(ip(payload, **{"proto": 253, "ident": 1, **header}), user, vif)

    def hand_in(self, datagram: bytes, user: int = 0, vif: int = 0) -> Taken | None:
        """Hand in a datagram that is made already."""
        fields = unpack_keyed_from(datagram)
        if not fields[4] & 0x3FFF:
            self.delivered.append(datagram)
            return None
        self.sent += 1
        head = b"" if fields[4] & 0x1FFF else datagram
        payload = datagram[(datagram[0] & 15) * 4 :]
        fragment = fragment_of(self.queues, fields, payload, head, self.sent)
        taken = Taken(*take(self.queues, (fields[8], fields[3], fields[6], user, vif), fragment, self.policy))
        self._count(Mib.REASM_REQDS)
        self._count(*taken.exit.mibs)
        self.exits.append(taken.exit)
        self._bury(taken.fallen)
        if taken.exit.fate is Fate.COMPLETE and taken.queue is not None:
            self.delivered.append(taken.queue.datagram)
        return taken

    def at(self, seconds: float) -> list[Fallen]:
        """Let the clock run to a time; return what ended on the way."""
        ended = list(ip_expire(self.queues, int(seconds * SECOND)))
        self._bury(ended)
        return ended

    @property
    def lost(self) -> bool:
        """Tell whether a queue was lost."""
        return any(end.fate is Fate.LOST for end in self.exits)

    @property
    def holds_something(self) -> bool:
        """Tell whether any queue has a piece."""
        return any(queue.pieces for queue in self.queues.queues.values())

    @property
    def payloads(self) -> list[bytes]:
        """What was delivered, without headers of twenty bytes."""
        return [datagram[20:] for datagram in self.delivered]

    def _bury(self, fallen: Any) -> None:
        self.fallen += fallen
        for each in fallen:
            self._count(*each.exit.mibs)

    def _count(self, *mibs: Mib) -> None:
        for mib in mibs:
            name = mib.bare.removeprefix("Reasm")
            self.counters[name] = self.counters.get(name, 0) + 1
