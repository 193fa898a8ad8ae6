"""What of a capture is refused: link types that nobody takes off, lengths that no packet has.

Law: a refusal names the thing refused; whatever is merely odd is let through as it stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from ipkit.core.wire.link import LINK_TYPES
from ipkit.errors import UnknownLinkType

RECORD_BYTES: Final = 256 << 20
"""No record is longer: a length beyond it comes from damage, and would cost that much memory to find out."""

BATCH_ROWS: Final = 1 << 16

FOREIGN_LINK_TYPES: Final[Mapping[int, str]] = MappingProxyType(
    {
        6: "IEEE 802.5",
        8: "SLIP",
        10: "FDDI",
        51: "PPPoE",
        104: "Cisco HDLC",
        105: "IEEE 802.11",
        107: "frame relay",
        117: "pflog",
        119: "IEEE 802.11 with Prism header",
        127: "IEEE 802.11 with radiotap header",
        163: "IEEE 802.11 with AVS header",
        187: "Bluetooth HCI",
        189: "Linux USB",
        192: "PPI",
        195: "IEEE 802.15.4",
        201: "Bluetooth HCI with direction",
        220: "Linux USB, padded",
        227: "SocketCAN",
        229: "raw IPv6",
        239: "NFLOG",
        249: "USBPcap",
        252: "Wireshark upper PDU",
        253: "netlink",
    }
)
"""Names for link types that are seen in the wild and refused."""


def require_link_type(link_type: int, name: str, where: str) -> None:
    """Refuse a link type that nobody takes off."""
    if link_type not in LINK_TYPES:
        known = FOREIGN_LINK_TYPES.get(link_type)
        called = f"{link_type} ({known})" if known else str(link_type)
        raise UnknownLinkType(f"{name}: link type {called} is not supported ({where})")
