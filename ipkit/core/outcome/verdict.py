"""What a stage can say: a closed set of ends, and what follows from it.

A stage returns, it never acts: it does not count, trace or send. run() in journey.py does.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from ipkit.core.outcome.counters import Counted
from ipkit.core.outcome.drop_reasons import DropReason
from ipkit.core.skbuff import SkBuff


class Next(NamedTuple):
    """The packet, or what it became, goes on to another stage."""

    stage: str
    skb: SkBuff | None = None  # None: the same packet


class Drop(NamedTuple):
    """The packet ends here; the kernel function that let it go is named."""

    reason: DropReason
    func: str
    errno: int = 0


class Delivered(NamedTuple):
    """A local socket or the stack itself took it."""

    to: str
    func: str = ""


class Queued(NamedTuple):
    """The packet waits for something: other fragments, a neighbour."""

    why: str
    func: str = ""


class Stolen(NamedTuple):
    """A hook kept the packet."""

    func: str


class Transmitted(NamedTuple):
    """The packet left by a device, in so many frames."""

    dev: str
    frames: int


Outcome: TypeAlias = Next | Drop | Delivered | Queued | Stolen | Transmitted


class IcmpDue(NamedTuple):
    """An ICMP error is owed; icmp_send decides whether it is paid."""

    type: int
    code: int
    info: int  # the second word of the message
    about: SkBuff


class ArpRequest(NamedTuple):
    """A neighbour is asked for, without a packet that waits for it."""

    dev: str
    frame: bytes


class StageResult(NamedTuple):
    """The outcome of one stage, and what comes with it."""

    outcome: Outcome
    mibs: tuple[Counted, ...] = ()  # counters that go up by one
    octets: tuple[tuple[Counted, int], ...] = ()  # counters that go up by more
    icmp: tuple[IcmpDue, ...] = ()  # errors that are owed
    replies: tuple[SkBuff, ...] = ()  # datagrams of this host's own, routed, for ip_local_out
    requests: tuple[ArpRequest, ...] = ()  # neighbours that are asked for
