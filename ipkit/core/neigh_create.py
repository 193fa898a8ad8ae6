"""Room in the neighbour table: who gets an entry, with which state it begins, and who has to make room for it.

Law: whatever is thrown out has no timer running, so nothing waits for it.
"""

from __future__ import annotations

from errno import EINVAL, ENOBUFS
from typing import Final

from ipkit.core.host.config import Link, LinkKind
from ipkit.core.host.fib import RouteType
from ipkit.core.host.fib_lookup import inet_addr_type
from ipkit.core.host.kernel import NeighCreateErrno, NeighGc
from ipkit.core.link_header import has_link_header
from ipkit.core.outcome.drop_reasons import DropReason
from ipkit.core.outcome.verdict import Drop
from ipkit.core.route_flow import is_multicast
from ipkit.core.state.neighbour_table import IN_TIMER, NeighbourEntry, NeighbourTable, Nud
from ipkit.core.state.netns import NetNamespace
from ipkit.core.state.timers import NEVER
from ipkit.core.wire import arp

MILLISECOND_NS: Final = 1_000_000
SECOND_NS: Final = 1_000_000_000
NEW_NS: Final = 5 * SECOND_NS
"""How long an entry counts as new since it changed, and how long no room is made again."""

SWEEP_NS: Final = 15 * SECOND_NS
"""How far apart the looks for unused entries are: half of the default base_reachable_time."""


def neigh_create(net: NetNamespace, dev: str, address: int, now_ns: int) -> NeighbourEntry | Drop:
    """Make the entry of an address on a device, if the table has room or room can be made.

    Kernel: net/core/neighbour.c
    """
    link = net.host.links[dev]
    table = net.neighbours
    if not _has_room(net, now_ns):
        errno = ENOBUFS if net.host.kernel.neigh_create_errno is NeighCreateErrno.REAL else EINVAL
        return Drop(DropReason.NEIGH_CREATEFAIL, "ip_finish_output2", errno)
    state, lladdr = constructed(net, link, address)
    confirmed_ns = now_ns - 2 * link.neigh.base_reachable_time_ms * MILLISECOND_NS
    entry = NeighbourEntry(address, dev, state, lladdr, used_ns=now_ns, confirmed_ns=confirmed_ns, updated_ns=now_ns)
    if not has_link_header(link):
        entry.header = b""
    table.add(entry)
    return entry


def constructed(net: NetNamespace, link: Link, address: int) -> tuple[Nud, bytes | None]:
    """Return the state and the address that an entry begins with (arp_constructor)."""
    if not has_link_header(link):
        return Nud.NOARP, None
    tables = net.routing.tables
    kind = inet_addr_type(tables, address, tables.vrf_table(link.name))
    if kind is RouteType.MULTICAST:
        return Nud.NOARP, b"\x01\x00\x5e" + (address & 0x7FFFFF).to_bytes(3, "big")
    if not link.arp or link.kind is LinkKind.LOOPBACK:
        return Nud.NOARP, link.address or arp.NO_ADDRESS
    if kind is RouteType.BROADCAST:
        return Nud.NOARP, arp.BROADCAST_ADDRESS
    return Nud.NONE, None


def _has_room(net: NetNamespace, now_ns: int) -> bool:
    """Tell whether the table takes one more, after those were thrown out who may be (neigh_alloc)."""
    table, limits = net.neighbours, net.host.net
    counted = _counted(net)
    is_full = counted >= limits.neigh_gc_thresh3
    if is_full or (counted >= limits.neigh_gc_thresh2 and now_ns > table.flushed_ns + NEW_NS):
        freed = neigh_forced_gc(net, now_ns)
        return bool(freed) or not is_full
    return True


def _counted(net: NetNamespace) -> int:
    table = net.neighbours
    return len(table.entries) if net.host.kernel.neigh_gc is NeighGc.EVERY_IDLE_ONE else table.collectable


def neigh_forced_gc(net: NetNamespace, now_ns: int) -> int:
    """Throw out who may be thrown out, and return how many that were.

    Kernel: net/core/neighbour.c
    """
    table = net.neighbours
    table.flushed_ns = now_ns
    if now_ns < table.no_room_until_ns:
        return 0
    if net.host.kernel.neigh_gc is NeighGc.EVERY_IDLE_ONE:
        victims = [one for one in table.entries.values() if not one.timer and one.state is not Nud.PERMANENT]
    else:
        victims = _failed_or_old(table, _counted(net) - net.host.net.neigh_gc_thresh2, now_ns)
    for entry in victims:
        table.forget(entry)
    if not victims:
        idle = [one.updated_ns for one in table.entries.values() if not one.timer and one.state is not Nud.PERMANENT]
        table.no_room_until_ns = min(idle) + NEW_NS if idle else NEVER
    return len(victims)


def _failed_or_old(table: NeighbourTable, enough: int, now_ns: int) -> list[NeighbourEntry]:
    """Return the first ones who failed or have not changed for a while, no more than are enough."""
    victims: list[NeighbourEntry] = []
    for entry in table.entries.values():
        if entry.timer or entry.state is Nud.PERMANENT:
            continue
        if (
            entry.state in (Nud.FAILED, Nud.NOARP)
            or is_multicast(entry.address)
            or not now_ns - NEW_NS <= entry.updated_ns <= now_ns
        ):
            victims.append(entry)
        if len(victims) >= enough:
            break
    return victims


def neigh_periodic_work(net: NetNamespace, now_ns: int) -> None:
    """Let those go whom nobody has used for a while, if there are many and it has not just been done.

    The kernel does it by the clock; here whoever looks for an entry sees to it that it was done.
    Kernel: net/core/neighbour.c
    """
    table = net.neighbours
    if len(table.entries) < net.host.net.neigh_gc_thresh1 or now_ns < table.swept_ns:
        return
    table.swept_ns = now_ns + SWEEP_NS
    for entry in list(table.entries.values()):
        if entry.timer or entry.state is Nud.PERMANENT:
            continue
        if entry.used_ns < entry.confirmed_ns <= now_ns:
            entry.used_ns = entry.confirmed_ns
        stale_ns = net.host.links[entry.dev].neigh.gc_stale_time * SECOND_NS
        if entry.state is Nud.FAILED or not entry.used_ns <= now_ns < entry.used_ns + stale_ns:
            table.forget(entry)


def started(net: NetNamespace, now_ns: int) -> None:
    """Let what the description says of neighbours be true as of now, with the timers that belong to their states."""
    table = net.neighbours
    for entry in table.unstarted:
        entry.used_ns = now_ns
        if entry.state is Nud.REACHABLE:
            entry.confirmed_ns = now_ns
        if entry.state & IN_TIMER and table.asks:
            knobs = net.host.links[entry.dev].neigh
            if entry.state is Nud.INCOMPLETE:
                entry.probes = knobs.ucast_solicit + 1  # everybody was asked once
            pauses_ms = {Nud.REACHABLE: knobs.base_reachable_time_ms, Nud.INCOMPLETE: knobs.retrans_time_ms}
            table.start(entry, now_ns + pauses_ms.get(entry.state, 0) * MILLISECOND_NS)
    table.unstarted.clear()
