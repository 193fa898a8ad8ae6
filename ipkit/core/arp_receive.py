"""ARP off the wire: who is answered, and what is learned of whom.

Law: only the neighbour table changes. An answer and the packets that it lets go are returned, and sent by nobody here.
A kernel waits a while, drawn by lot, before it answers for others (proxy_delay); here the lot is always zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from ipkit.core.arp_send import arp_reply
from ipkit.core.host.config import Link
from ipkit.core.host.fib import SCOPE_HOST, SCOPE_LINK, Route, RouteType
from ipkit.core.host.fib_explain import Trace
from ipkit.core.host.fib_lookup import inet_addr_type
from ipkit.core.host.kernel import ArpAccept
from ipkit.core.neigh_create import neigh_create
from ipkit.core.neigh_update import Known, Lesson, Released, neigh_event_ns, neigh_lookup, neigh_update
from ipkit.core.outcome.counters import Mib
from ipkit.core.outcome.drop_reasons import DropReason
from ipkit.core.outcome.facts import Fact
from ipkit.core.outcome.verdict import Delivered, Drop
from ipkit.core.route import InputFlow, OutputFlow, Refused, ip_route_input_noref, ip_route_output_key
from ipkit.core.route_flow import is_loopback, is_multicast
from ipkit.core.route_source import inet_confirm_addr
from ipkit.core.skbuff import PacketType, SkBuff
from ipkit.core.state.neighbour_table import Nud, state_text
from ipkit.core.state.netns import NetNamespace
from ipkit.core.wire import arp
from ipkit.core.wire.arp import ArpPacket
from ipkit.core.wire.ipv4 import address_text

TAKEN: Final = Delivered("arp", "arp_process")
REFUSED: Final = Drop(DropReason.NOT_SPECIFIED, "arp_process")
HARDWARE: Final = frozenset({arp.ARPHRD_ETHER, arp.ARPHRD_IEEE802})
LOCKTIME_UNIT_NS: Final = 10_000_000


class ArpResult(NamedTuple):
    """What an ARP packet comes to."""

    dev: str
    outcome: Delivered | Drop = TAKEN
    released: Sequence[Released] = ()  # packets that waited for the sender, and leave now
    reply: bytes | None = None  # the frame that answers, after them
    mibs: tuple[Mib, ...] = ()


class _Question(NamedTuple):
    """One ARP packet where it came in."""

    packet: ArpPacket
    link: Link
    kind: PacketType
    now_ns: int

    @property
    def dev(self) -> str:
        """The name of the link."""
        return self.link.name


def arp_rcv(skb: SkBuff, net: NetNamespace, trace: Trace | None) -> ArpResult | None:
    """Take an ARP packet that a link brought; None: it is not for us, or no ARP of Ethernet and IPv4.

    Kernel: net/ipv4/arp.c
    """
    link = net.host.links.get(skb.dev)
    if link is None or not link.arp or skb.pkt_type is PacketType.OTHERHOST or len(skb.data) < arp.ARP_BYTES:
        return None
    packet = arp.read(skb.data)
    if (packet.hardware_bytes, packet.protocol_bytes) != (arp.ADDRESS_BYTES, arp.PROTOCOL_BYTES):
        return None
    return arp_process(_Question(packet, link, skb.pkt_type, skb.tstamp_ns), net, trace)


def arp_process(asked: _Question, net: NetNamespace, trace: Trace | None) -> ArpResult:
    """Answer a question for an address of this host, or one that it stands in for; learn of who asks and who answers.

    Kernel: net/ipv4/arp.c
    """
    packet = asked.packet
    refusal = _refusal(packet, asked.link)
    if refusal:
        return _told(asked, trace, refusal, ArpResult(asked.dev, REFUSED))
    if not packet.sender_ip:
        return _probe_answered(asked, net, trace)
    if packet.operation == arp.REQUEST:
        came = arp.build(packet)  # a hash reads it as if it were a datagram
        flow = InputFlow(packet.target_ip, packet.sender_ip, 0, asked.dev, data=came, now_ns=asked.now_ns)
        route = ip_route_input_noref(flow, net.routing, trace)
        if not isinstance(route, Refused):
            if route.type is RouteType.LOCAL:
                return _answered(asked, net, trace)
            if route.type is RouteType.UNICAST and _stands_in(asked, route, net):
                return _answered_for_another(asked, net, trace)
    return _learned(asked, net, trace)


def _refusal(packet: ArpPacket, link: Link) -> str:
    """Return what forbids to look any further."""
    if packet.hardware not in HARDWARE or packet.protocol != arp.ETH_P_IP:
        return "not of Ethernet and IPv4"
    if packet.operation not in (arp.REQUEST, arp.REPLY):
        return "neither request nor reply"
    target = packet.target_ip
    if is_multicast(target) or (is_loopback(target) and not link.conf.route_localnet):
        return "no address that anybody has on a wire"
    if packet.sender_ip == target and link.conf.drop_gratuitous_arp:
        return "gratuitous (drop_gratuitous_arp)"
    return ""


def _probe_answered(asked: _Question, net: NetNamespace, trace: Trace | None) -> ArpResult:
    """Defend an address of ours against one who would like to have it; nothing is learned of him."""
    tables, packet = net.routing.tables, asked.packet
    kind = inet_addr_type(tables, packet.target_ip, tables.vrf_table(asked.dev))
    if packet.operation != arp.REQUEST or kind is not RouteType.LOCAL or _arp_ignore(asked, net):
        return _told(asked, trace, "not answered", ArpResult(asked.dev))
    return _told(asked, trace, "answered", ArpResult(asked.dev, reply=_reply(asked, net)))


def _answered(asked: _Question, net: NetNamespace, trace: Trace | None) -> ArpResult:
    """Answer for an address of ours, unless a knob forbids it: then nothing is learned either."""
    if _arp_ignore(asked, net):
        return _told(asked, trace, "not answered (arp_ignore)", ArpResult(asked.dev))
    if asked.link.conf.arp_filter:
        filtered, mibs = _arp_filter(asked, net)
        if filtered:
            return _told(asked, trace, "not answered (arp_filter)", ArpResult(asked.dev, mibs=mibs))
    released = _introduced(asked, net)
    if released is None:
        return _told(asked, trace, "not answered: the neighbour table is full", ArpResult(asked.dev))
    return _told(asked, trace, "answered", ArpResult(asked.dev, released=released, reply=_reply(asked, net)))


def _answered_for_another(asked: _Question, net: NetNamespace, trace: Trace | None) -> ArpResult:
    """Answer in place of one to whom this host would forward."""
    released = _introduced(asked, net) or ()
    return _told(
        asked, trace, "answered for another", ArpResult(asked.dev, released=released, reply=_reply(asked, net))
    )


def _introduced(asked: _Question, net: NetNamespace) -> Sequence[Released] | None:
    """Learn of who asks; None: the table has no room."""
    return neigh_event_ns(net, asked.dev, asked.packet.sender_ip, asked.packet.sender_hw, asked.now_ns)


def _reply(asked: _Question, net: NetNamespace) -> bytes:
    return arp_reply(net, asked.dev, asked.packet)


def _arp_ignore(asked: _Question, net: NetNamespace) -> bool:
    """Tell whether arp_ignore forbids an answer for an address of ours."""
    packet, here = asked.packet, (asked.link,)
    match asked.link.conf.arp_ignore:
        case 1:
            return not inet_confirm_addr(net.routing.tables, here, 0, packet.target_ip, SCOPE_HOST)
        case 2:
            return not inet_confirm_addr(net.routing.tables, here, packet.sender_ip, packet.target_ip, SCOPE_HOST)
        case 3:
            everywhere = net.host.links.values()
            return not inet_confirm_addr(net.routing.tables, everywhere, 0, packet.target_ip, SCOPE_LINK)
        case 8:
            return True
        case _:
            return False


def _arp_filter(asked: _Question, net: NetNamespace) -> tuple[bool, tuple[Mib, ...]]:
    """Tell whether the way back to who asks is another one than the link he asked by, and what is counted then."""
    packet = asked.packet
    vrf = net.routing.tables.vrfs.get(asked.dev, "")
    flow = OutputFlow(packet.sender_ip, packet.target_ip, oif=vrf, now_ns=asked.now_ns)
    route = ip_route_output_key(flow, net.routing)
    if isinstance(route, Refused):
        return True, ()
    other = route.dev != asked.dev
    return other, (Mib.ARP_FILTER,) if other else ()


def _stands_in(asked: _Question, route: Route, net: NetNamespace) -> bool:
    """Tell whether a router answers in place of one to whom it would forward: from a link that does not, none would."""
    packet, link = asked.packet, asked.link
    if route.dev == link.name:
        return packet.sender_ip != packet.target_ip and bool(link.conf.proxy_arp_pvlan)
    if (link.name, packet.target_ip) in net.neighbours.proxies:
        return True
    medium = link.conf.medium_id
    if not link.conf.proxy_arp or medium == -1:
        return False
    other = net.host.links[route.dev].conf.medium_id
    return not medium or (other not in (medium, -1))


def _learned(asked: _Question, net: NetNamespace, trace: Trace | None) -> ArpResult:
    """Learn where the sender is, if he is known already or arp_accept lets us make his acquaintance."""
    packet, link, now = asked.packet, asked.link, asked.now_ns
    entry = neigh_lookup(net, link.name, packet.sender_ip, now)
    gratuitous = _is_gratuitous(asked, net)
    if entry is None and _arp_accept(asked, net) and (gratuitous or _is_reply_of_a_host(asked, net)):
        made = neigh_create(net, link.name, packet.sender_ip, now)
        entry = None if isinstance(made, Drop) else made
    if entry is None:
        return _told(asked, trace, "nothing is learned", ArpResult(asked.dev))
    unlocked = gratuitous or now > entry.updated_ns + link.neigh.locktime * LOCKTIME_UNIT_NS
    sure = packet.operation == arp.REPLY and asked.kind is PacketType.HOST
    known = Known.OVERRIDDEN if unlocked else Known.STAYS
    lesson = Lesson(packet.sender_hw, Nud.REACHABLE if sure else Nud.STALE, known, now)
    old = entry.state
    released = neigh_update(net, entry, lesson)
    if trace is not None:
        before, after = state_text(old), state_text(entry.state)
        values = {"old": before, "new": after, "override": unlocked, "released": len(released)}
        trace.append(Fact("neigh_update", f"{before} -> {after}; {known.value}", values))
    return _told(asked, trace, "learned", ArpResult(asked.dev, released=released))


def _arp_accept(asked: _Question, net: NetNamespace) -> bool:
    """Tell whether who speaks without having been asked may become known."""
    knob = asked.link.conf.arp_accept
    if knob in (0, 1) or net.host.kernel.arp_accept is ArpAccept.ANY:
        return bool(knob)
    tables = net.routing.tables
    return knob == 2 and inet_confirm_addr(tables, (asked.link,), asked.packet.sender_ip, 0, SCOPE_LINK)


def _is_reply_of_a_host(asked: _Question, net: NetNamespace) -> bool:
    tables = net.routing.tables
    kind = inet_addr_type(tables, asked.packet.sender_ip, tables.vrf_table(asked.dev))
    return asked.packet.operation == arp.REPLY and kind is RouteType.UNICAST


def _is_gratuitous(asked: _Question, net: NetNamespace) -> bool:
    """Tell whether a host speaks of itself to all: of a reply both hardware addresses must be its own (arp_is_garp)."""
    packet, tables = asked.packet, net.routing.tables
    if packet.sender_ip != packet.target_ip:
        return False
    if packet.operation == arp.REPLY and packet.target_hw != packet.sender_hw:
        return False
    kind = inet_addr_type(tables, packet.sender_ip, tables.vrf_table(asked.dev))
    return kind is RouteType.UNICAST


def _told(asked: _Question, trace: Trace | None, say: str, result: ArpResult) -> ArpResult:
    """Write down what an ARP packet came to."""
    if trace is not None:
        packet, conf = asked.packet, asked.link.conf
        what = "who has" if packet.operation == arp.REQUEST else "reply about"
        addresses = f"{address_text(packet.target_ip)}, says {address_text(packet.sender_ip)}"
        values = {
            "op": packet.operation,
            "spa": address_text(packet.sender_ip),
            "sha": packet.sender_hw.hex(":"),
            "tpa": address_text(packet.target_ip),
            "arp_ignore": conf.arp_ignore,
            "arp_filter": conf.arp_filter,
            "proxy_arp": conf.proxy_arp,
        }
        trace.insert(0, Fact("arp_process", f"{what} {addresses} ({packet.sender_hw.hex(':')}): {say}", values))
    return result
