"""What time and answers do to a neighbour: found, confirmed, doubted, asked again, given up.

Law: what follows from it for packets is returned, and acted upon by nobody here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from enum import Enum
from typing import NamedTuple

from ipkit.core.arp_send import arp_solicit
from ipkit.core.host.kernel import LinkFailure
from ipkit.core.ip_options_compile import ip_options_compile
from ipkit.core.neigh_create import MILLISECOND_NS, SECOND_NS, neigh_create, neigh_periodic_work
from ipkit.core.neighbour import neigh_resolve_output
from ipkit.core.outcome.drop_reasons import DropReason
from ipkit.core.outcome.journal import Lost, Waiting
from ipkit.core.outcome.verdict import Drop, IcmpDue
from ipkit.core.route import ipv4_link_failure
from ipkit.core.skbuff import PacketType, SkBuff
from ipkit.core.state.neighbour_table import CONNECTED, VALID, NeighbourEntry, Nud
from ipkit.core.state.netns import NetNamespace
from ipkit.core.wire.icmp import DEST_UNREACH, HOST_UNREACH


class Known(Enum):
    """What becomes of an address that is known already."""

    STAYS = "another one is not believed"
    OVERRIDDEN = "another one takes its place"


class Lesson(NamedTuple):
    """What somebody says of himself."""

    lladdr: bytes
    state: Nud
    known: Known
    now_ns: int


class Released(NamedTuple):
    """A packet that waited and leaves now."""

    waiting: Waiting
    nexthop: int
    header: bytes


def neigh_lookup(net: NetNamespace, dev: str, address: int, now_ns: int) -> NeighbourEntry | None:
    """Return an entry, if there is one.

    Kernel: net/core/neighbour.c
    """
    neigh_periodic_work(net, now_ns)
    return net.neighbours.entries.get((dev, address))


def neigh_event_ns(
    net: NetNamespace, dev: str, address: int, lladdr: bytes, now_ns: int
) -> tuple[Released, ...] | None:
    """Learn of one who asks; None: the table has no room for him.

    Kernel: net/core/neighbour.c
    """
    entry = neigh_lookup(net, dev, address, now_ns) or neigh_create(net, dev, address, now_ns)
    if isinstance(entry, Drop):
        return None
    return neigh_update(net, entry, Lesson(lladdr, Nud.STALE, Known.OVERRIDDEN, now_ns))


def neigh_update(net: NetNamespace, entry: NeighbourEntry, lesson: Lesson) -> tuple[Released, ...]:
    """Take a lesson to heart, as far as it is believed; return the packets that may leave now.

    Kernel: net/core/neighbour.c
    """
    old, now, knobs = entry.state, lesson.now_ns, net.host.links[entry.dev].neigh
    if old & (Nud.NOARP | Nud.PERMANENT):
        return ()
    if lesson.state & CONNECTED:
        entry.confirmed_ns = now
    is_new_address = not old & VALID or lesson.lladdr != entry.lladdr
    if old & VALID and is_new_address and lesson.known is Known.STAYS:
        return ()
    new = old if old & VALID and not is_new_address and lesson.state is Nud.STALE else lesson.state
    if new is not old:
        _enter(net, entry, new, now)
        if new is Nud.REACHABLE and net.neighbours.asks:
            net.neighbours.start(entry, now + knobs.base_reachable_time_ms * MILLISECOND_NS)
    if is_new_address:
        entry.updated_ns, entry.lladdr, entry.header = now, lesson.lladdr, None
        if not new & CONNECTED:
            entry.confirmed_ns = now - 2 * knobs.base_reachable_time_ms * MILLISECOND_NS
    return () if old & VALID else _released(net, entry, now)


def _enter(net: NetNamespace, entry: NeighbourEntry, state: Nud, now_ns: int) -> None:
    """Change the state of an entry, without a timer yet."""
    net.neighbours.stop(entry)
    entry.state, entry.updated_ns = state, now_ns


def _released(net: NetNamespace, entry: NeighbourEntry, now_ns: int) -> tuple[Released, ...]:
    """Let the packets that wait for a neighbour leave, in order."""
    released = []
    while entry.waiting and entry.state & VALID:
        waiting = entry.waiting.popleft()
        waiting.skb.tstamp_ns = now_ns
        header = neigh_resolve_output(net, waiting.skb, entry).header
        if header is not None:
            released.append(Released(waiting, entry.address, header))
    entry.waiting_bytes = 0
    return tuple(released)


class TimerAct(NamedTuple):
    """What a neighbour's timer comes to: a question, the end of all questions, or a change of state alone."""

    request: bytes | None = None
    failed: bool = False


def neigh_timer_handler(net: NetNamespace, entry: NeighbourEntry, now_ns: int) -> TimerAct:
    """Doubt who has long been silent, ask once more, or give up.

    Kernel: net/core/neighbour.c
    """
    knobs = net.host.links[entry.dev].neigh
    next_ns = _settled(net, entry, now_ns)
    if entry.state is Nud.STALE:
        return TimerAct()
    asking = entry.state in (Nud.INCOMPLETE, Nud.PROBE)
    if asking:
        everybody = knobs.mcast_resolicit if entry.state is Nud.PROBE else knobs.mcast_solicit
        if entry.probes >= knobs.ucast_solicit + knobs.app_solicit + everybody:
            _enter(net, entry, Nud.FAILED, now_ns)
            return TimerAct(failed=True)
    net.neighbours.start(entry, max(next_ns, now_ns + net.host.kernel.neigh_pause.value * MILLISECOND_NS))
    if not asking:
        return TimerAct()
    request = arp_solicit(net, entry, entry.waiting[-1].skb if entry.waiting else None)
    entry.probes += 1
    return TimerAct(request)


def _settled(net: NetNamespace, entry: NeighbourEntry, now_ns: int) -> int:
    """Change the state of an entry whose timer went off, and return when the next is due."""
    knobs = net.host.links[entry.dev].neigh
    alive_ns = entry.confirmed_ns + knobs.base_reachable_time_ms * MILLISECOND_NS
    delay_ns = knobs.delay_first_probe_time * SECOND_NS
    if entry.state is Nud.REACHABLE:
        if now_ns <= alive_ns:
            return alive_ns
        _enter(net, entry, Nud.DELAY if now_ns <= entry.used_ns + delay_ns else Nud.STALE, now_ns)
        return now_ns + delay_ns
    if entry.state is Nud.DELAY:
        if now_ns <= entry.confirmed_ns + delay_ns:
            _enter(net, entry, Nud.REACHABLE, now_ns)
            return alive_ns
        _enter(net, entry, Nud.PROBE, now_ns)
        entry.probes = 0
    return now_ns + knobs.retrans_time_ms * MILLISECOND_NS


def neigh_invalidate(entry: NeighbourEntry, now_ns: int) -> Iterator[Lost]:
    """Give up the packets that wait for one who does not answer, each once the one before has been reported.

    A report may itself ask for the same neighbour: then it and all that still waits is thrown away.
    Kernel: net/core/neighbour.c
    """
    entry.updated_ns = now_ns
    while entry.waiting:
        failed = entry.state is Nud.FAILED
        waiting = entry.waiting.popleft()
        waiting.skb.tstamp_ns = now_ns
        yield Lost(waiting, Drop(DropReason.NEIGH_FAILED if failed else DropReason.QUEUE_PURGE, "neigh_invalidate"))
    entry.waiting_bytes = 0


def arp_error_report(skb: SkBuff, net: NetNamespace) -> IcmpDue | None:
    """Return what is owed to the source of a packet whose neighbour does not answer, by the options it has by then.

    What its route had learnt ends with that.

    Kernel: net/ipv4/arp.c
    """
    if skb.route is not None:
        ipv4_link_failure(net.routing, skb.route, int.from_bytes(skb.data[16:20], "big"), skb.tstamp_ns)
    about = replace(skb, pkt_type=PacketType.HOST)  # as any packet of our own is until it has left
    compiles = net.host.kernel.link_failure is LinkFailure.RECOMPILED and about.data[0] & 0x0F > 5
    if compiles and ip_options_compile(about, net.routing):
        return None
    return IcmpDue(DEST_UNREACH, HOST_UNREACH, 0, about)
