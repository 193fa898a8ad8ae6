"""What stands in front of a datagram on its wire: addresses, VLAN tags, the protocol; or nothing at all.

Law: a function of the host's links. Whose address it is to be sent to is known by who asks.
"""

from __future__ import annotations

from typing import Final

from ipkit.core.host.config import HostConfig, Link, LinkKind
from ipkit.core.wire.arp import NO_ADDRESS
from ipkit.core.wire.link import EN10MB, ETH_P_IP, RAW, ethernet_header

MADE_UP: Final = b"\x02\x00"
"""How every address begins that is assumed and not known."""


def link_address(host: HostConfig, link: Link) -> bytes:
    """Return the address a frame of ours leaves with: the configured one, or one made of the index."""
    if link.address is not None:
        return link.address
    if link.lower is not None:
        return link_address(host, host.links[link.lower])
    return MADE_UP + link.ifindex.to_bytes(4, "big") if link.kind is not LinkKind.LOOPBACK else NO_ADDRESS


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
        tags = below.vlan_protocol.to_bytes(2, "big") + below.vlan_id.to_bytes(2, "big") + tags
        below = host.links[below.lower]
    return lladdr + source + tags + protocol.to_bytes(2, "big") if tags else ethernet_header(lladdr, source, protocol)
