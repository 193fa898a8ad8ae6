"""What a stage can say: a closed set of ends, and what was learnt on the way.

A stage returns, it never acts: it does not count, trace or send. run() in journey.py does.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from ipkit.core.outcome.counters import Mib
from ipkit.core.outcome.drop_reasons import DropReason
from ipkit.core.outcome.facts import Fact
from ipkit.core.skbuff import SkBuff


class Next(NamedTuple):
    """The packet, or what it became, goes on to another stage."""

    stage: str
    skbs: tuple[SkBuff, ...]


class Drop(NamedTuple):
    """The packet ends here; the kernel function that let it go is named."""

    reason: DropReason
    func: str
    errno: int = 0


class Delivered(NamedTuple):
    """A local socket or the stack itself took it."""

    to: str


class Queued(NamedTuple):
    """The packet waits for something: other fragments, a neighbour."""

    why: str


class Transmitted(NamedTuple):
    """The packet left by a device."""

    skb: SkBuff


Outcome: TypeAlias = Next | Drop | Delivered | Queued | Transmitted


class IcmpDue(NamedTuple):
    """An ICMP error is owed; icmp_send decides whether it is paid."""

    type: int
    code: int
    info: int  # the second word of the message
    about: SkBuff


class StageResult(NamedTuple):
    """The outcome of one stage and the evidence for it."""

    outcome: Outcome
    facts: tuple[Fact, ...] = ()
    icmp: tuple[IcmpDue, ...] = ()
    mibs: tuple[Mib, ...] = ()
