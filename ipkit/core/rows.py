"""The keys that every packet row begins with, and how their values are written.

One place for the spelling of times, addresses, identifications and names in reports.
"""

from __future__ import annotations

from ipkit.core.frames import FrameBatch
from ipkit.core.lanes import RowValue
from ipkit.core.wire.arp import read as read_arp
from ipkit.core.wire.ipv4 import HEADER_BYTES, address_text, unpack_from


def time_text(tstamp_ns: int) -> str:
    """Return a time in seconds with nine digits, exact also below zero."""
    seconds, rest = divmod(abs(tstamp_ns), 1_000_000_000)
    return f"{'-' if tstamp_ns < 0 else ''}{seconds}.{rest:09d}"


def plain_text(text: str) -> str:
    """Return a name as people may see it: what would move their cursor, or break the line, is spelled out.

    Names of files and interfaces are anyone's bytes. Those that are no UTF-8 are handed through as they are.
    """
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() or "\udc80" <= letter <= "\udcff" else letter.encode("unicode_escape").decode()
        for letter in text
    )


def hex16(value: int) -> str:
    """Return a 16-bit value as reports print it."""
    return f"0x{value:04x}"


def frame_keys(batch: FrameBatch, row: int) -> dict[str, RowValue]:
    """Return the keys that say which frame a row speaks of."""
    keys: dict[str, RowValue] = {
        "file": batch.file,
        "frame": batch.first_number + row,
        "time": time_text(batch.tstamp_ns[row]),
    }
    interface = batch.interfaces[batch.interface[row]]
    if interface is not None:
        keys["iface"] = interface
    return keys


def header_keys(data: bytes, at: int, end: int) -> dict[str, RowValue]:
    """Return the keys read from an IPv4 header; none where its twenty bytes are not all there."""
    if end - at < HEADER_BYTES:
        return {}
    _, _, _, ident, _, _, protocol, _, saddr, daddr = unpack_from(data, at)
    return {"src": address_text(saddr), "dst": address_text(daddr), "proto": protocol, "id": hex16(ident)}


def arp_keys(data: bytes) -> dict[str, RowValue]:
    """Return the keys read from an ARP packet, which is all there."""
    packet = read_arp(data)
    return {"src": address_text(packet.sender_ip), "dst": address_text(packet.target_ip)}
