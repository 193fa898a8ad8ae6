"""Where the link layer ends: the only link stripping.

Every command asks here what a frame carries, and needs no host for it.
"""

from __future__ import annotations

from typing import Final

from ipkit.core.wire.arp import ETH_P_ARP
from ipkit.core.wire.link import EN10MB, ETH_P_IP, TYPED_LINKS, network_layer

NOT_IPV4: Final = -1
NOT_ARP: Final = -1

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


def arp_at(link_type: int, data: bytes, begin: int, captured: int) -> int:
    """Return where in the data the ARP packet of a frame begins; NOT_ARP where it carries something else."""
    protocol, at = network_layer(link_type, data, begin, begin + captured)
    return at if protocol == ETH_P_ARP else NOT_ARP
