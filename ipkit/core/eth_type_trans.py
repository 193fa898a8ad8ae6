"""For whom a frame is: the packet type that a link gives it, and the VLAN link that it is for.

Law: the link header is known to be whole; what it carries was asked of link_receive.py.
"""

from __future__ import annotations

from typing import Final

from ipkit.core.host.config import HostConfig, Link, LinkKind
from ipkit.core.skbuff import PacketType
from ipkit.core.wire.link import EN10MB, LINUX_SLL, LINUX_SLL2, cooked_packet_type, destination_of, vlan_ids

BROADCAST_ADDRESS: Final = b"\xff" * 6
COOKED: Final = frozenset({LINUX_SLL, LINUX_SLL2})
COOKED_TYPES: Final = {kind.value: kind for kind in PacketType}


def eth_type_trans(link_type: int, data: bytes, begin: int, link: Link) -> PacketType:
    """Say for whom a frame is that a link received; the caller has made sure of its link header.

    A link without an address takes every unicast frame as its own. What came without hardware addresses is for us.
    Kernel: net/ethernet/eth.c
    """
    if link_type == EN10MB:
        destination = destination_of(data, begin)
        if destination[0] & 1:
            return PacketType.BROADCAST if destination == BROADCAST_ADDRESS else PacketType.MULTICAST
        return PacketType.HOST if link.address in (None, destination) else PacketType.OTHERHOST
    if link_type in COOKED:
        return COOKED_TYPES.get(cooked_packet_type(link_type, data, begin), PacketType.OTHERHOST)
    return PacketType.HOST


def vlan_do_receive(data: bytes, begin: int, end: int, host: HostConfig, link: Link) -> Link | None:
    """Return the link that a tagged Ethernet frame is for; None: no link of this host has that VLAN.

    A priority tag, with identifier 0, is as good as none.
    Kernel: net/8021q/vlan_core.c
    """
    found: Link | None = link
    for vlan_id in vlan_ids(data, begin, end):
        if vlan_id and found is not None:
            lower = found.name
            found = next((one for one in host.links.values() if _stands_on(one, lower, vlan_id)), None)
    return found


def _stands_on(link: Link, lower: str, vlan_id: int) -> bool:
    return link.kind is LinkKind.VLAN and link.lower == lower and link.vlan_id == vlan_id
