"""The ARP packets of this host: whom a question goes to and in whose name, and what an answer says.

Law: bytes. Whether a neighbour is asked, and who is answered, was decided before.
"""

from __future__ import annotations

from ipkit.core.host.config import Link
from ipkit.core.host.fib import SCOPE_LINK, RouteType
from ipkit.core.host.fib_lookup import inet_addr_type
from ipkit.core.link_header import ethernet_header_of, link_address
from ipkit.core.route import inet_addr_onlink, inet_select_addr
from ipkit.core.skbuff import SkBuff
from ipkit.core.state.neighbour_table import NeighbourEntry
from ipkit.core.state.netns import NetNamespace
from ipkit.core.wire import arp
from ipkit.core.wire.ipv4 import read


def arp_solicit(net: NetNamespace, entry: NeighbourEntry, skb: SkBuff | None) -> bytes | None:
    """Return the frame that asks for a neighbour's address: himself first, where he is known, then everybody.

    The packet is the last of those that wait; none: nothing waits. No frame: a program is to ask in our place.
    Kernel: net/ipv4/arp.c
    """
    knobs = net.host.links[entry.dev].neigh
    saddr = read(skb.data).saddr if skb is not None else 0
    further = entry.probes - knobs.ucast_solicit
    if further < 0:
        return arp_request(net, entry.dev, entry.address, saddr, entry.lladdr or arp.NO_ADDRESS)
    return arp_request(net, entry.dev, entry.address, saddr) if further >= knobs.app_solicit else None


def arp_request(net: NetNamespace, dev: str, address: int, saddr: int, lladdr: bytes = arp.BROADCAST_ADDRESS) -> bytes:
    """Return the frame in which this host asks for an address, with the source that arp_announce allows."""
    link = net.host.links[dev]
    source = _announced_source(net, link, address, saddr)
    body = arp.build(arp.ArpPacket(arp.REQUEST, link_address(net.host, link), source, arp.NO_ADDRESS, address))
    return ethernet_header_of(net.host, link, lladdr, arp.ETH_P_ARP) + body


def arp_reply(net: NetNamespace, dev: str, question: arp.ArpPacket) -> bytes:
    """Return the frame in which this host says that the address asked for is to be found at its own."""
    link = net.host.links[dev]
    own = link_address(net.host, link)
    asker = question.sender_hw
    body = arp.build(arp.ArpPacket(arp.REPLY, own, question.target_ip, asker, question.sender_ip))
    return ethernet_header_of(net.host, link, asker, arp.ETH_P_ARP) + body


def _announced_source(net: NetNamespace, link: Link, target: int, saddr: int) -> int:
    """Return which address of ours a request names (arp_announce)."""
    tables = net.routing.tables
    announce = link.conf.arp_announce
    is_ours = saddr and inet_addr_type(tables, saddr, tables.vrf_table(link.name)) is RouteType.LOCAL
    if is_ours and announce != 2 and (announce != 1 or inet_addr_onlink(link, target, saddr)):
        return saddr
    return inet_select_addr(tables, link.name, target, SCOPE_LINK)
