"""Packets built by hand: what the tests compare the program with.

Independent of ipkit on purpose: nothing is imported from it, offsets are written out, and the checksum is the
textbook loop of RFC 1071. Every builder makes a correct packet; every field that a test wants wrong can be given.
The two default addresses are the same everywhere, so `ip(udp(b"x"))` verifies.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address
from typing import Final

SRC: Final = "192.0.2.1"
DST: Final = "198.51.100.2"
HOST_MAC: Final = "02:00:00:00:00:01"
PEER_MAC: Final = "02:00:00:00:00:99"

ICMP: Final = 1
IGMP: Final = 2
TCP: Final = 6
UDP: Final = 17
UDPLITE: Final = 136


def rfc1071(data: bytes) -> int:
    """Return the checksum of the data: words added one by one, carries folded in, complemented."""
    if len(data) % 2:
        data += b"\0"
    total = 0
    for at in range(0, len(data), 2):
        total += data[at] * 256 + data[at + 1]
        if total > 0xFFFF:
            total -= 0xFFFF
    return 0xFFFF - total


def u16(value: int) -> bytes:
    return bytes((value // 256 % 256, value % 256))


def u32(value: int) -> bytes:
    return u16(value // 65536) + u16(value % 65536)


def address(text: str) -> bytes:
    return IPv4Address(text).packed


def mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def pseudo_header(src: str, dst: str, proto: int, length: int) -> bytes:
    return address(src) + address(dst) + bytes((0, proto)) + u16(length)


def patched(data: bytes, at: int, value: bytes) -> bytes:
    """Return the data with some bytes replaced."""
    return data[:at] + value + data[at + len(value) :]


def eth(
    payload: bytes,
    *,
    dst: str = HOST_MAC,
    src: str = PEER_MAC,
    ethertype: int = 0x0800,
    tags: Sequence[tuple[int, int]] = (),
    pad_to: int = 0,
) -> bytes:
    """Return an Ethernet frame; `tags` are (tag type, tag control) pairs, outermost first; padding is zeros."""
    stack = b"".join(u16(kind) + u16(control) for kind, control in tags)
    frame = mac(dst) + mac(src) + stack + u16(ethertype) + payload
    return frame + bytes(max(0, pad_to - len(frame)))


def ip(
    payload: bytes = b"",
    *,
    src: str = SRC,
    dst: str = DST,
    proto: int = UDP,
    ttl: int = 64,
    tos: int = 0,
    ident: int = 0x1234,
    df: bool = False,
    mf: bool = False,
    reserved: bool = False,
    offset: int = 0,
    options: bytes = b"",
    version: int = 4,
    ihl: int | None = None,
    tot_len: int | None = None,
    checksum: int | None = None,
) -> bytes:
    """Return an IPv4 datagram. `offset` is in bytes; options are padded with zeros to whole words."""
    options += bytes(-len(options) % 4)
    words = 5 + len(options) // 4 if ihl is None else ihl
    length = 20 + len(options) + len(payload) if tot_len is None else tot_len
    flags = 0x8000 * reserved + 0x4000 * df + 0x2000 * mf + offset // 8
    before = bytes((version * 16 + words, tos)) + u16(length) + u16(ident) + u16(flags) + bytes((ttl, proto))
    after = address(src) + address(dst) + options
    check = rfc1071(before + b"\0\0" + after) if checksum is None else checksum
    return before + u16(check) + after + payload


def udp(
    payload: bytes = b"",
    *,
    src: str = SRC,
    dst: str = DST,
    sport: int = 1024,
    dport: int = 53,
    length: int | None = None,
    checksum: int | None = None,
) -> bytes:
    """Return a UDP datagram; a checksum that comes out as zero is stored as 0xFFFF."""
    size = 8 + len(payload) if length is None else length
    head = u16(sport) + u16(dport) + u16(size)
    if checksum is None:
        checksum = rfc1071(pseudo_header(src, dst, UDP, size) + head + b"\0\0" + payload) or 0xFFFF
    return head + u16(checksum) + payload


def udplite(
    payload: bytes = b"",
    *,
    src: str = SRC,
    dst: str = DST,
    sport: int = 1024,
    dport: int = 53,
    coverage: int = 0,
    checksum: int | None = None,
) -> bytes:
    """Return a UDP-Lite datagram; the pseudo header carries the whole length, whatever is covered."""
    size = 8 + len(payload)
    head = u16(sport) + u16(dport) + u16(coverage)
    if checksum is None:
        covered = (head + b"\0\0" + payload)[: coverage or size]
        checksum = rfc1071(pseudo_header(src, dst, UDPLITE, size) + covered) or 0xFFFF
    return head + u16(checksum) + payload


def tcp(
    payload: bytes = b"",
    *,
    src: str = SRC,
    dst: str = DST,
    sport: int = 1024,
    dport: int = 80,
    seq: int = 1,
    ack: int = 0,
    flags: int = 0x02,
    window: int = 0xFFFF,
    options: bytes = b"",
    data_offset: int | None = None,
    checksum: int | None = None,
) -> bytes:
    """Return a TCP segment (SYN by default); options are padded with zeros to whole words."""
    options += bytes(-len(options) % 4)
    words = 5 + len(options) // 4 if data_offset is None else data_offset
    before = u16(sport) + u16(dport) + u32(seq) + u32(ack) + bytes((words * 16, flags)) + u16(window)
    after = b"\0\0" + options + payload
    if checksum is None:
        size = len(before) + 2 + len(after)
        checksum = rfc1071(pseudo_header(src, dst, TCP, size) + before + b"\0\0" + after)
    return before + u16(checksum) + after


def icmp(
    payload: bytes = b"", *, kind: int = 8, code: int = 0, rest: bytes = b"\0\1\0\1", checksum: int | None = None
) -> bytes:
    """Return an ICMP message (echo request by default)."""
    if checksum is None:
        checksum = rfc1071(bytes((kind, code, 0, 0)) + rest + payload)
    return bytes((kind, code)) + u16(checksum) + rest + payload


def igmp(*, kind: int = 0x16, time: int = 0, group: str = "239.1.1.1", checksum: int | None = None) -> bytes:
    """Return an IGMP message (version 2 report by default)."""
    if checksum is None:
        checksum = rfc1071(bytes((kind, time, 0, 0)) + address(group))
    return bytes((kind, time)) + u16(checksum) + address(group)
