"""The next hop's link header: known, assumed, asked for, or not to be had.

Law: whose packet it is plays no part. A packet leaves with a header, waits in the queue of its neighbour, or is
dropped; what a caller learns of a packet that waits is that all is well.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from ipkit.core.append_data import HEAD_SIZES, SLACK_BYTES, skb_truesize
from ipkit.core.arp_send import arp_solicit
from ipkit.core.host.config import LinkKind
from ipkit.core.link_header import MADE_UP, ethernet_header_of
from ipkit.core.neigh_create import (
    MILLISECOND_NS,
    SECOND_NS,
    constructed,
    neigh_create,
    neigh_periodic_work,
)
from ipkit.core.outcome.drop_reasons import DropReason
from ipkit.core.outcome.journal import Waiting
from ipkit.core.outcome.verdict import Drop
from ipkit.core.skbuff import SkBuff
from ipkit.core.state.neighbour_table import CONNECTED, VALID, NeighbourEntry, Nud
from ipkit.core.state.netns import NetNamespace
from ipkit.core.wire.arp import NO_ADDRESS

LL_RESERVED_SPACE = 16


class NeighbourResult(NamedTuple):
    """What became of a packet at its neighbour: a header to leave with, or none."""

    header: bytes | None = None
    drop: Drop | None = None
    request: bytes | None = None  # an ARP request that goes out first
    queued: Waiting | None = None
    discarded: tuple[Waiting, ...] = ()  # waiting packets that had to make room


def neigh_output(net: NetNamespace, skb: SkBuff, nexthop: int) -> NeighbourResult:
    """Decide with which link header a packet leaves its device, if it may leave now.

    Kernel: include/net/neighbour.h, net/core/neighbour.c
    """
    dev, table = skb.dev, net.neighbours
    assumed = table.assumed.get((dev, nexthop))
    if assumed is not None:
        return NeighbourResult(assumed)
    if net.host.links[dev].kind in (LinkKind.LOOPBACK, LinkKind.POINTOPOINT):
        nexthop = 0  # one entry for all
    entry = table.entries.get((dev, nexthop))
    if entry is not None and entry.state & CONNECTED and entry.header is not None:
        return NeighbourResult(entry.header)
    neigh_periodic_work(net, skb.tstamp_ns)
    entry = table.entries.get((dev, nexthop))
    if entry is None:
        made = _made(net, skb, nexthop)
        if isinstance(made, NeighbourResult):
            return made
        entry = made
    return neigh_resolve_output(net, skb, entry)


def _made(net: NetNamespace, skb: SkBuff, nexthop: int) -> NeighbourEntry | NeighbourResult:
    """Make the entry of a next hop seen for the first time, or assume it where nobody is asked."""
    link = net.host.links[skb.dev]
    if not net.neighbours.asks and constructed(net, link, nexthop)[0] is Nud.NONE:
        # Not among the entries: nothing is known of it but what it may say itself.
        header = ethernet_header_of(net.host, link, MADE_UP + nexthop.to_bytes(4, "big"))
        net.neighbours.assume(link.name, nexthop, header)
        return NeighbourResult(header)
    entry = neigh_create(net, link.name, nexthop, skb.tstamp_ns)
    return NeighbourResult(drop=entry) if isinstance(entry, Drop) else entry


def neigh_resolve_output(net: NetNamespace, skb: SkBuff, entry: NeighbourEntry) -> NeighbourResult:
    """Send with the known address, keep the header for the next packet, or let the packet wait.

    Kernel: net/core/neighbour.c
    """
    held = neigh_event_send(net, skb, entry, skb.tstamp_ns)
    if held is not None:
        return held
    if entry.header is None:
        link = net.host.links[entry.dev]
        entry.header = ethernet_header_of(net.host, link, entry.lladdr or NO_ADDRESS)
    return NeighbourResult(entry.header)


def neigh_ask(net: NetNamespace, dev: str, address: int, now_ns: int) -> bytes | None:
    """Begin to resolve a neighbour that no packet waits for; return the request, where one goes out."""
    entry = net.neighbours.entries.get((dev, address)) or neigh_create(net, dev, address, now_ns)
    if isinstance(entry, Drop):
        return None
    asked = neigh_event_send(net, None, entry, now_ns)
    return asked.request if asked is not None else None


def neigh_event_send(net: NetNamespace, skb: SkBuff | None, entry: NeighbourEntry, now: int) -> NeighbourResult | None:
    """Tell what keeps a packet from leaving; None: nothing does. Without a packet, only ask.

    Kernel: net/core/neighbour.c
    """
    table = net.neighbours
    knobs = net.host.links[entry.dev].neigh
    entry.used_ns = now
    if entry.state & VALID:
        if entry.state is Nud.STALE and table.asks:
            entry.state, entry.updated_ns = Nud.DELAY, now
            table.start(entry, now + knobs.delay_first_probe_time * SECOND_NS)
        return None
    starts = entry.state is not Nud.INCOMPLETE
    if starts:
        entry.updated_ns = now
        if knobs.mcast_solicit + knobs.app_solicit == 0:
            entry.state = Nud.FAILED
            table.stop(entry)
            return NeighbourResult(drop=Drop(DropReason.NEIGH_FAILED, "__neigh_event_send"))
        entry.probes = knobs.ucast_solicit
        entry.state = Nud.INCOMPLETE
        pause_ms = max(knobs.retrans_time_ms, net.host.kernel.neigh_pause.value)
        table.start(entry, now + pause_ms * MILLISECOND_NS)
    queued: Waiting | None = None
    discarded: tuple[Waiting, ...] = ()
    if skb is not None:
        queued = Waiting(replace(skb), _truesize(skb, net))  # the caller may use its own for the next one
        discarded = _keep_waiting(entry, queued, knobs.unres_qlen_bytes)
    request = arp_solicit(net, entry, skb) if starts else None
    entry.probes += starts
    return NeighbourResult(request=request, queued=queued, discarded=discarded)


def _keep_waiting(entry: NeighbourEntry, queued: Waiting, most_bytes: int) -> tuple[Waiting, ...]:
    """Queue a packet; the oldest ones make room for it."""
    discarded = []
    while entry.waiting and entry.waiting_bytes + queued.truesize > most_bytes:
        oldest = entry.waiting.popleft()
        entry.waiting_bytes -= oldest.truesize
        discarded.append(oldest)
    entry.waiting.append(queued)
    entry.waiting_bytes += queued.truesize
    return tuple(discarded)


def _truesize(skb: SkBuff, net: NetNamespace) -> int:
    return skb_truesize(skb.length + LL_RESERVED_SPACE + SLACK_BYTES, HEAD_SIZES[net.host.kernel.skb_heads])[0]
