"""The next hop's link header: known, assumed, asked for, or not to be had.

Law: whose packet it is plays no part. A packet leaves with a header, waits in the queue of its neighbour, or is
dropped; what a caller learns of a packet that waits is that all is well.
"""

from __future__ import annotations

from dataclasses import replace
from errno import EINVAL, ENOBUFS
from typing import Final, NamedTuple

from ipkit.core.append_data import HEAD_SIZES, SLACK_BYTES, skb_truesize
from ipkit.core.host.config import HostConfig, Link, LinkKind
from ipkit.core.host.fib import SCOPE_LINK, RouteType
from ipkit.core.host.fib_lookup import inet_addr_type
from ipkit.core.host.kernel import NeighCreateErrno
from ipkit.core.outcome.drop_reasons import DropReason
from ipkit.core.outcome.verdict import Drop
from ipkit.core.route import inet_addr_onlink, inet_select_addr
from ipkit.core.skbuff import SkBuff
from ipkit.core.state.neighbour_table import CONNECTED, VALID, NeighbourEntry, Nud
from ipkit.core.state.netns import NetNamespace
from ipkit.core.wire import arp
from ipkit.core.wire.ipv4 import read
from ipkit.core.wire.link import EN10MB, ETH_P_8021Q, ETH_P_IP, RAW, ethernet_header

MILLISECOND_NS: Final = 1_000_000
SECOND_NS: Final = 1_000_000_000
LL_RESERVED_SPACE: Final = 16
MADE_UP: Final = b"\x02\x00"
"""How every address begins that is assumed and not known."""


class NeighbourResult(NamedTuple):
    """What became of a packet at its neighbour: a header to leave with, or none."""

    header: bytes | None = None
    drop: Drop | None = None
    request: bytes | None = None  # an ARP request that goes out first
    discarded: tuple[SkBuff, ...] = ()  # waiting packets that had to make room


def link_address(host: HostConfig, link: Link) -> bytes:
    """Return the address a frame of ours leaves with: the configured one, or one made of the index."""
    if link.address is not None:
        return link.address
    if link.lower is not None:
        return link_address(host, host.links[link.lower])
    return MADE_UP + link.ifindex.to_bytes(4, "big") if link.kind is not LinkKind.LOOPBACK else arp.NO_ADDRESS


def wire_of(host: HostConfig, dev: str) -> tuple[str, int]:
    """Return the device by which a frame of a link leaves in the end, and that wire's link type."""
    link = host.links[dev]
    while link.lower is not None:
        link = host.links[link.lower]
    return link.name, EN10MB if has_link_header(link) else RAW


def has_link_header(link: Link) -> bool:
    """Tell whether a device puts a header in front (dev->header_ops)."""
    return link.kind not in (LinkKind.POINTOPOINT, LinkKind.VRF)


def ethernet_header_of(host: HostConfig, link: Link, lladdr: bytes, protocol: int = ETH_P_IP) -> bytes:
    """Return the link header of a frame, with the tags of the VLANs that it passes (eth_header)."""
    tags = b""
    source = link_address(host, link)
    below = link
    while below.lower is not None:
        tags = ETH_P_8021Q.to_bytes(2, "big") + below.vlan_id.to_bytes(2, "big") + tags
        below = host.links[below.lower]
    return lladdr + source + tags + protocol.to_bytes(2, "big") if tags else ethernet_header(lladdr, source, protocol)


def neigh_output(net: NetNamespace, skb: SkBuff, nexthop: int) -> NeighbourResult:
    """Decide with which link header a packet leaves its device, if it may leave now.

    Kernel: include/net/neighbour.h, net/core/neighbour.c
    """
    dev, table = skb.dev, net.neighbours
    assumed = table.assumed.get((dev, nexthop))
    if assumed is not None:
        return NeighbourResult(assumed)
    link = net.host.links[dev]
    if link.kind in (LinkKind.LOOPBACK, LinkKind.POINTOPOINT):
        nexthop = 0  # one entry for all
    entry = table.entries.get((dev, nexthop))
    if entry is None:
        made = _neigh_create(net, link, nexthop)
        if isinstance(made, NeighbourResult):
            return made
        entry = made
    entry.used_ns = skb.tstamp_ns
    if entry.state & CONNECTED and entry.header is not None:
        return NeighbourResult(entry.header)
    return neigh_resolve_output(net, skb, entry)


def neigh_resolve_output(net: NetNamespace, skb: SkBuff, entry: NeighbourEntry) -> NeighbourResult:
    """Send with the known address, keep the header for the next packet, or let the packet wait.

    Kernel: net/core/neighbour.c
    """
    held = neigh_event_send(net, skb, entry, skb.tstamp_ns)
    if held is not None:
        return held
    if entry.header is None:
        link = net.host.links[entry.dev]
        entry.header = ethernet_header_of(net.host, link, entry.lladdr or arp.NO_ADDRESS)
    return NeighbourResult(entry.header)


def neigh_ask(net: NetNamespace, dev: str, address: int, now_ns: int) -> bytes | None:
    """Begin to resolve a neighbour that no packet waits for; return the request, where one goes out."""
    entry = net.neighbours.entries.get((dev, address)) or _neigh_create(net, net.host.links[dev], address)
    if isinstance(entry, NeighbourResult):
        return None
    asked = neigh_event_send(net, None, entry, now_ns)
    return asked.request if asked is not None else None


def neigh_event_send(net: NetNamespace, skb: SkBuff | None, entry: NeighbourEntry, now: int) -> NeighbourResult | None:
    """Tell what keeps a packet from leaving; None: nothing does. Without a packet, only ask.

    Kernel: net/core/neighbour.c
    """
    knobs = net.host.links[entry.dev].neigh
    if entry.state & VALID:
        if entry.state is Nud.STALE:
            entry.state = Nud.DELAY
            entry.expires_ns = now + knobs.delay_first_probe_time * SECOND_NS
        return None
    request = None
    if entry.state is not Nud.INCOMPLETE:
        if knobs.mcast_solicit + knobs.app_solicit == 0:
            entry.state = Nud.FAILED
            return NeighbourResult(drop=Drop(DropReason.NEIGH_FAILED, "neigh_event_send"))
        entry.probes = knobs.ucast_solicit
        entry.state = Nud.INCOMPLETE
        pause_ms = max(knobs.retrans_time_ms, net.host.kernel.neigh_first_pause.value)
        entry.expires_ns = now + pause_ms * MILLISECOND_NS
        request = arp_solicit(net, entry, skb)
        entry.probes += 1
    discarded = _keep_waiting(entry, skb, knobs.unres_qlen_bytes, net) if skb is not None else ()
    return NeighbourResult(request=request, discarded=discarded)


def arp_solicit(net: NetNamespace, entry: NeighbourEntry, skb: SkBuff | None) -> bytes:
    """Return the frame that asks everybody on the link for a neighbour's address.

    Kernel: net/ipv4/arp.c
    """
    return arp_request(net, entry.dev, entry.address, read(skb.data).saddr if skb is not None else 0)


def arp_request(net: NetNamespace, dev: str, address: int, saddr: int) -> bytes:
    """Return the frame in which this host asks for an address, with the source that arp_announce allows."""
    link = net.host.links[dev]
    source = _announced_source(net, link, address, saddr)
    body = arp.build(arp.ArpPacket(arp.REQUEST, link_address(net.host, link), source, arp.NO_ADDRESS, address))
    return ethernet_header_of(net.host, link, arp.BROADCAST_ADDRESS, arp.ETH_P_ARP) + body


def _announced_source(net: NetNamespace, link: Link, target: int, saddr: int) -> int:
    """Return which address of ours a request names (arp_announce)."""
    tables = net.routing.tables
    announce = link.conf.arp_announce
    if saddr in tables.own_addresses and (announce == 0 or (announce == 1 and inet_addr_onlink(link, target, saddr))):
        return saddr
    return inet_select_addr(tables, link.name, target, SCOPE_LINK)


def _keep_waiting(entry: NeighbourEntry, skb: SkBuff, most_bytes: int, net: NetNamespace) -> tuple[SkBuff, ...]:
    """Queue a packet; the oldest ones make room for it."""
    truesize = _truesize(skb, net)
    discarded = []
    while entry.waiting and entry.waiting_bytes + truesize > most_bytes:
        oldest, charged = entry.waiting.popleft()
        entry.waiting_bytes -= charged
        discarded.append(oldest)
    entry.waiting.append((replace(skb), truesize))  # the caller may use its own for the next one
    entry.waiting_bytes += truesize
    return tuple(discarded)


def _truesize(skb: SkBuff, net: NetNamespace) -> int:
    return skb_truesize(skb.length + LL_RESERVED_SPACE + SLACK_BYTES, HEAD_SIZES[net.host.kernel.skb_heads])[0]


def _neigh_create(net: NetNamespace, link: Link, nexthop: int) -> NeighbourEntry | NeighbourResult:
    """Make the entry of a next hop seen for the first time (__neigh_create, arp_constructor)."""
    state, lladdr = _constructed(link, nexthop, inet_addr_type(net.routing.tables, nexthop))
    if state is Nud.NONE and net.host.neigh_default == "assume":
        # Not among the entries: nothing is known of it, and nothing will be learnt.
        header = ethernet_header_of(net.host, link, MADE_UP + nexthop.to_bytes(4, "big"))
        net.neighbours.assume(link.name, nexthop, header)
        return NeighbourResult(header)
    if net.neighbours.collectable >= net.host.net.neigh_gc_thresh3:
        errno = ENOBUFS if net.host.kernel.neigh_create_errno is NeighCreateErrno.REAL else EINVAL
        return NeighbourResult(drop=Drop(DropReason.NEIGH_CREATEFAIL, "ip_finish_output2", errno))
    entry = NeighbourEntry(nexthop, link.name, state, lladdr)
    if not has_link_header(link):
        entry.header = b""
    net.neighbours.add(entry)
    return entry


def _constructed(link: Link, nexthop: int, kind: RouteType) -> tuple[Nud, bytes | None]:
    """Return the state and the address that an entry begins with."""
    if not has_link_header(link):
        return Nud.NOARP, None
    if kind is RouteType.MULTICAST:
        return Nud.NOARP, b"\x01\x00\x5e" + (nexthop & 0x7FFFFF).to_bytes(3, "big")
    if not link.arp or link.kind is LinkKind.LOOPBACK:
        return Nud.NOARP, link.address or arp.NO_ADDRESS
    if kind is RouteType.BROADCAST:
        return Nud.NOARP, arp.BROADCAST_ADDRESS
    return Nud.NONE, None
