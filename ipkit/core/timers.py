"""What the clock brings about without any packet: fragments that wait in vain, neighbours that are asked again.

Law: one clock for all timers of a host, in the order in which they go off; each acts at its own time, however late
it is noticed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from ipkit.core.defrag import Fallen, ip_expire
from ipkit.core.frag_timeout import owed_for_timeout
from ipkit.core.journey import run_lost, run_owed, run_request
from ipkit.core.neigh_create import started
from ipkit.core.neigh_update import neigh_invalidate, neigh_timer_handler
from ipkit.core.neigh_words import told_timer
from ipkit.core.outcome.counters import Counted
from ipkit.core.outcome.drop_reasons import DropReason
from ipkit.core.outcome.journal import Journal, Step
from ipkit.core.skbuff import SkBuff
from ipkit.core.state.neighbour_table import NeighbourEntry
from ipkit.core.state.netns import NetNamespace
from ipkit.core.state.timers import NEVER

ASKED_AGAIN: Final = "neigh_timer_handler"
END_OF_TIME_NS: Final = NEVER - 1


class Fired(NamedTuple):
    """A timer that did something others may notice."""

    due_ns: int
    journal: Journal
    func: str
    reason: DropReason | None = None
    mibs: tuple[Counted, ...] = ()
    about: bytes = b""  # the datagram that was given up
    neighbour: tuple[str, int] | None = None  # the link and the address of the one who was asked


def let_timers_fire(net: NetNamespace, now_ns: int, journal_of: Callable[[], Journal]) -> Iterator[Fired]:
    """Let every timer go off that is due by now."""
    table, frags = net.neighbours, net.frags
    if table.unstarted:
        started(net, now_ns)
    while (due_ns := min(frags.due_ns, table.due_ns)) <= now_ns:
        if frags.due_ns == due_ns:
            for fallen in ip_expire(frags, due_ns):
                yield _given_up(fallen, net, journal_of())
        else:
            yield from _asked_again(table.gone_off(), net, due_ns, journal_of)
    net.timers.due_ns = due_ns


def _given_up(fallen: Fallen, net: NetNamespace, journal: Journal) -> Fired:
    """End a queue of fragments, and tell the source if the first of them is there."""
    journal.count(fallen.exit.mibs)
    if net.frags.ended is not None:
        net.frags.ended.append(fallen)
    due = owed_for_timeout(fallen.queue, net)
    if due is not None:
        run_owed(due, net, journal)
    head = fallen.queue.pieces[0].tag if fallen.queue.pieces else None
    about = head.data if isinstance(head, SkBuff) else b""
    return Fired(fallen.queue.expires_ns, journal, fallen.exit.func, fallen.exit.reason, fallen.exit.mibs, about)


def _asked_again(
    entry: NeighbourEntry, net: NetNamespace, due_ns: int, journal_of: Callable[[], Journal]
) -> Iterator[Fired]:
    """Ask for a neighbour once more, or give up what waits for it."""
    act = neigh_timer_handler(net, entry, due_ns)
    who = (entry.dev, entry.address)
    if act.request is None and not (act.failed and entry.waiting):
        return
    journal = journal_of()
    if journal.steps is not None:
        journal.steps.append(Step(0, *told_timer(entry, act)))
    if act.request is not None:
        run_request(net, entry.dev, act.request, journal)
        yield Fired(due_ns, journal, ASKED_AGAIN, neighbour=who)
    else:
        run_lost(neigh_invalidate(entry, due_ns), net, journal)
        yield Fired(due_ns, journal, "neigh_invalidate", DropReason.NEIGH_FAILED, neighbour=who)
