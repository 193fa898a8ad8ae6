"""Traffic that keeps a router busy beyond forwarding: options, errors, answers, fragments, redirects, ARP.

For the built-in host, whose first link is 192.0.2.1/24: ten kinds in turn, each from one of two hundred neighbours.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench.captures import CACHE, FILE_HEADER, MILLION, START_S, store

ROUTER: Final = 0xC0000201
NEIGHBOURS: Final = 200
FAR: Final = 0xCB007100  # 203.0.113.0
APART_US: Final = 1000
ROUTER_MAC: Final = bytes.fromhex("0200c0000201")
RECORD_ROUTE: Final = bytes.fromhex("070b04") + bytes(8) + b"\0"
TIME_STAMPS: Final = bytes.fromhex("44140501") + bytes(16)
UDP_TO_NOBODY: Final = struct.pack(">4H", 40_000, 33_434, 28, 0) + bytes(20)
MORE: Final = 0x2000


def odd_packets(packets: int) -> Path:
    """Return a capture of so many packets."""
    path = CACHE / f"odd-{packets}.pcap"
    if not path.exists():
        store(path, _records(packets))
    return path


def _records(packets: int) -> Iterator[bytes]:
    yield FILE_HEADER
    for number in range(packets):
        frame = _frame(number)
        micros = number * APART_US
        head = struct.pack("<4I", START_S + micros // MILLION, micros % MILLION, len(frame), len(frame))
        yield head + frame


def _frame(number: int) -> bytes:
    round_, kind = divmod(number, 10)
    neighbour = ROUTER + 9 + round_ % NEIGHBOURS
    mac = b"\x02\x00" + neighbour.to_bytes(4, "big")
    if kind == 9:
        arp = bytes.fromhex("0001080006040001") + mac + neighbour.to_bytes(4, "big") + bytes(6)
        return b"\xff" * 6 + mac + b"\x08\x06" + arp + ROUTER.to_bytes(4, "big")
    return ROUTER_MAC + mac + b"\x08\x00" + _datagram(round_, kind, neighbour)


def _datagram(round_: int, kind: int, source: int) -> bytes:
    far, echo = FAR + round_ % 250, _echo(round_, 56)
    if kind in (5, 6):
        long = _echo(round_, 1600)
        part, frag_off = (long[:1480], MORE) if kind == 5 else (long[1480:], 1480 // 8)
        return _ip(source, ROUTER, part, proto=1, ident=round_, frag_off=frag_off)
    kinds = {
        0: _ip(source, far, UDP_TO_NOBODY, options=RECORD_ROUTE),
        1: _ip(source, far, UDP_TO_NOBODY, options=TIME_STAMPS),
        2: _ip(source, far, UDP_TO_NOBODY, ttl=1),
        3: _ip(source, ROUTER, echo, proto=1),
        4: _ip(source, ROUTER, UDP_TO_NOBODY),
        7: _ip(ROUTER + NEIGHBOURS + 9 + round_ % 30, ROUTER + 240, UDP_TO_NOBODY),  # on the sender's own link
        8: _ip(source, ROUTER | 0xFF, echo, proto=1),
    }
    return kinds[kind]


def _echo(round_: int, size: int) -> bytes:
    body = struct.pack(">2H", 7, round_ & 0xFFFF) + bytes(size)
    return b"\x08\x00" + _checksum(b"\x08\x00\x00\x00" + body) + body


def _ip(source: int, target: int, payload: bytes, **more: int | bytes) -> bytes:
    options = bytes(more.get("options", b""))
    words = 5 + len(options) // 4
    length = 4 * words + len(payload)
    fields = (0x40 | words, 0, length, more.get("ident", 0), more.get("frag_off", 0), more.get("ttl", 64))
    front = struct.pack(">2B3HB", *fields) + bytes((int(more.get("proto", 17)),))
    back = struct.pack(">2I", source, target) + options
    return front + _checksum(front + b"\0\0" + back) + back + payload


def _checksum(data: bytes) -> bytes:
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data)) % 0xFFFF
    return (0xFFFF - total).to_bytes(2, "big")
