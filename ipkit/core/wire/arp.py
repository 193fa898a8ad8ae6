"""ARP for IPv4 over Ethernet: where the fields lie.

Law: reading never judges.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

ARP_BYTES: Final = 28
ARPHRD_ETHER: Final = 1
ARPHRD_IEEE802: Final = 6
ETH_P_ARP: Final = 0x0806
ETH_P_IP: Final = 0x0800
ADDRESS_BYTES: Final = 6
PROTOCOL_BYTES: Final = 4

REQUEST: Final = 1
REPLY: Final = 2
NO_ADDRESS: Final = bytes(ADDRESS_BYTES)
BROADCAST_ADDRESS: Final = b"\xff" * ADDRESS_BYTES

_ARP = Struct("!HHBBH6sI6sI")


class ArpPacket(NamedTuple):
    """One request or reply."""

    operation: int
    sender_hw: bytes
    sender_ip: int
    target_hw: bytes
    target_ip: int
    hardware: int = ARPHRD_ETHER
    protocol: int = ETH_P_IP
    hardware_bytes: int = ADDRESS_BYTES
    protocol_bytes: int = PROTOCOL_BYTES


def read(data: bytes, at: int = 0) -> ArpPacket:
    """Return the packet at an offset; the caller has made sure of 28 bytes."""
    fields = _ARP.unpack_from(data, at)
    return ArpPacket._make((*fields[4:], *fields[:4]))


def build(packet: ArpPacket) -> bytes:
    """Return the 28 bytes of a packet."""
    return _ARP.pack(
        packet.hardware,
        packet.protocol,
        packet.hardware_bytes,
        packet.protocol_bytes,
        packet.operation,
        packet.sender_hw,
        packet.sender_ip,
        packet.target_hw,
        packet.target_ip,
    )
