"""Where the link layer ends: the only link stripping.

Every command asks here what a frame carries. The kernel's part of it is eth_type_trans and the VLAN
untagging behind it; the other links of a capture have the same question with simpler answers.
"""

from __future__ import annotations

from typing import Final

from ipkit.core.host.config import HostConfig, Link, LinkKind
from ipkit.core.skbuff import PacketType
from ipkit.core.wire.link import (
    EN10MB,
    ETH_P_IP,
    LINUX_SLL,
    LINUX_SLL2,
    TYPED_LINKS,
    cooked_packet_type,
    destination_of,
    network_layer,
    vlan_ids,
)

NOT_IPV4: Final = -1

_TYPE_AT, _HEADER_BYTES = TYPED_LINKS[EN10MB]
_IPV4: Final = ETH_P_IP.to_bytes(2, "big")


def ipv4_at(link_type: int, data: bytes, begin: int, captured: int) -> int:
    """Return where in the data the IPv4 header of the frame `data[begin:begin+captured]` begins.

    NOT_IPV4 where it carries something else, or where it is too short to tell.
    """
    # Nearly every frame there is: Ethernet without a tag.
    type_at = begin + _TYPE_AT
    if link_type == EN10MB and captured >= _HEADER_BYTES and data[type_at : type_at + 2] == _IPV4:
        return begin + _HEADER_BYTES
    protocol, at = network_layer(link_type, data, begin, begin + captured)
    return at if protocol == ETH_P_IP else NOT_IPV4


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
