"""For whom a frame is: the packet type that a link gives it, and the VLAN link that it is for.

Law: the link header is known to be whole; what it carries was asked of link_receive.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from ipkit.core.host.config import HostConfig, Link
from ipkit.core.skbuff import PacketType
from ipkit.core.wire.link import EN10MB, LINUX_SLL, LINUX_SLL2, TAG_PROTOCOLS, cooked_packet_type, destination_of

BROADCAST_ADDRESS: Final = b"\xff" * 6
COOKED: Final = frozenset({LINUX_SLL, LINUX_SLL2})
COOKED_TYPES: Final = {kind.value: kind for kind in PacketType}


Vlans: TypeAlias = Mapping[tuple[str, int, int], Link]
"""The VLAN links of a host, by what they stand on, the EtherType of their tag and its number."""


def eth_type_trans(link_type: int, data: bytes, begin: int, link: Link, host: HostConfig) -> PacketType:
    """Say for whom a frame is that a link received; the caller has made sure of its link header.

    A link without an address takes every unicast frame as its own, a VLAN link also what is addressed to one that it
    stands on. What came without hardware addresses is for us.
    Kernel: net/ethernet/eth.c
    """
    if link_type == EN10MB:
        destination = destination_of(data, begin)
        if destination[0] & 1:
            return PacketType.BROADCAST if destination == BROADCAST_ADDRESS else PacketType.MULTICAST
        while link.address not in (None, destination):
            if link.lower is None:
                return PacketType.OTHERHOST
            link = host.links[link.lower]
        return PacketType.HOST
    if link_type in COOKED:
        return COOKED_TYPES.get(cooked_packet_type(link_type, data, begin), PacketType.OTHERHOST)
    return PacketType.HOST


def vlans_of(host: HostConfig) -> Vlans:
    """Return the VLAN links of a host."""
    return {(one.lower, one.vlan_protocol, one.vlan_id): one for one in host.links.values() if one.lower is not None}


def vlan_do_receive(tags: Sequence[tuple[int, int]], link: Link, vlans: Vlans) -> Link | None:
    """Return the link that a tagged frame is for, by its tags from the outside in; None: this host has no such VLAN.

    A priority tag, with number 0, is as good as none where no link wants it.
    Kernel: net/8021q/vlan_core.c
    """
    for protocol, vlan_id in tags:
        upper = vlans.get((link.name, protocol, vlan_id))
        if upper is None and (vlan_id or protocol not in TAG_PROTOCOLS):
            return None
        link = upper or link
    return link
