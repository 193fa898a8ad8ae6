"""What the stack does with IP options.

Law: bytes in, bytes out; where an option lies and how long it is comes from wire/options.py. A pointer inside an
option counts its bytes from 1, as the wire has it; places in IpOptions count from the start of the IP header.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from ipkit.core.host.fib import RouteType
from ipkit.core.host.fib_lookup import inet_addr_type
from ipkit.core.host.fib_tables import FibTables
from ipkit.core.skbuff import IpOptions
from ipkit.core.wire.ipv4 import HEADER_BYTES, read
from ipkit.core.wire.options import (
    ADDRESS_BYTES,
    COPIED,
    OPTION_END,
    OPTION_NOOP,
    ROUTE_HEAD,
    TS_PRESPECIFIED,
    options_in,
)

IsOurs = Callable[[int], bool]
DAY_MS: Final = 86_400_000


def ours_in(tables: FibTables) -> IsOurs:
    """Return what tells whether a prescribed address is for this host to stamp: all but other hosts' are."""
    return lambda address: inet_addr_type(tables, address) is not RouteType.UNICAST


def inet_current_timestamp(now_ns: int) -> int:
    """Return the milliseconds since midnight UTC.

    Kernel: net/ipv4/af_inet.c
    """
    return now_ns // 1_000_000 % DAY_MS


def ip_options_fragment(header: bytes, optlen: int) -> bytes:
    """Return the header as later fragments carry it: options without the copied bit become no-operations.

    Kernel: net/ipv4/ip_options.c
    Neither the header nor its padding shrinks, and what follows a malformed option stays as it is.
    """
    end = HEADER_BYTES + optlen
    edited = bytearray(header)
    for option in options_in(header[HEADER_BYTES:end]):
        if not option.kind & COPIED:
            begin = HEADER_BYTES + option.at
            edited[begin : begin + option.length] = bytes([OPTION_NOOP]) * option.length
    return bytes(edited)


class OutgoingOptions(NamedTuple):
    """The options of a datagram to be sent, and what of them is filled in when it is built."""

    data: bytes
    places: IpOptions

    def first_hop(self, daddr: int) -> int:
        """Return where a datagram with these options and this destination is sent."""
        return self.places.faddr if self.places.srr else daddr


def ip_options_echo(header: bytes, options: IpOptions, is_ours: IsOurs) -> OutgoingOptions | None:
    """Return the options of the answer to a datagram; None where one has no clean slot left, and no answer is sent.

    Kernel: net/ipv4/ip_options.c
    """
    out = bytearray()
    places = IpOptions()
    if options.rr:
        record = _option_at(header, options.rr)
        if options.rr_needaddr and record[2] <= len(record):
            if record[2] + 3 > len(record):
                return None
            record[2] += ADDRESS_BYTES
            places.rr_needaddr = True
        places.rr = HEADER_BYTES + len(out)
        out += record
    if options.ts:
        stamps = _option_at(header, options.ts)
        if stamps[2] <= len(stamps) and not _reserve_stamp(stamps, options, places, is_ours):
            return None
        places.ts = HEADER_BYTES + len(out)
        out += stamps
    if options.srr:
        route = _inverted(_option_at(header, options.srr), read(header).saddr, places)
        places.srr = HEADER_BYTES + len(out) if route else 0
        places.is_strictroute = bool(route) and options.is_strictroute
        out += route
    if options.cipso:
        places.cipso = HEADER_BYTES + len(out)
        out += _option_at(header, options.cipso)
    out += bytes([OPTION_END]) * (-len(out) % 4)
    places.optlen = len(out)
    return OutgoingOptions(bytes(out), places)


def ip_options_build(options: OutgoingOptions, daddr: int, source: int, time_ms: int) -> bytes:
    """Return the options as they leave: the end of a source route and the slots reserved for us filled in.

    Kernel: net/ipv4/ip_options.c
    """
    data, places = bytearray(options.data), options.places
    if places.srr:
        end = places.srr - HEADER_BYTES + data[places.srr - HEADER_BYTES + 1]
        data[end - ADDRESS_BYTES : end] = daddr.to_bytes(ADDRESS_BYTES, "big")
    for wanted, at, before, value in (
        (places.rr_needaddr, places.rr, 5, source),
        (places.ts_needaddr, places.ts, 9, source),
        (places.ts_needtime, places.ts, 5, time_ms),
    ):
        if wanted:
            slot = at - HEADER_BYTES + data[at - HEADER_BYTES + 2] - before
            data[slot : slot + ADDRESS_BYTES] = value.to_bytes(ADDRESS_BYTES, "big")
    return bytes(data)


def _option_at(header: bytes, at: int) -> bytearray:
    return bytearray(header[at : at + header[at + 1]])


def _reserve_stamp(stamps: bytearray, options: IpOptions, places: IpOptions, is_ours: IsOurs) -> bool:
    """Move the pointer over what will be written here; tell whether there was room."""
    pointer = stamps[2]
    if options.ts_needaddr:
        if pointer + 3 > len(stamps):
            return False
        places.ts_needaddr = True
        pointer += ADDRESS_BYTES
    if options.ts_needtime:
        if pointer + 3 > len(stamps):
            return False
        if stamps[3] & 0x0F != TS_PRESPECIFIED:
            places.ts_needtime = True
            pointer += ADDRESS_BYTES
        elif pointer + 7 <= len(stamps) and is_ours(int.from_bytes(stamps[pointer - 1 : pointer + 3], "big")):
            places.ts_needtime = True
            pointer += 2 * ADDRESS_BYTES
    stamps[2] = pointer
    return True


def _inverted(route: bytearray, sender: int, places: IpOptions) -> bytes:
    """Return a source route backwards, its last slot left for the sender; nothing where no hop was visited."""
    last = min(route[2], len(route) + 1) - ADDRESS_BYTES
    visited = [int.from_bytes(route[at - 1 : at + 3], "big") for at in range(last, 3, -ADDRESS_BYTES)]
    if visited and visited[-1] == sender:
        # RFC 1812: a sender that recorded itself is not to be visited twice.
        visited.pop()
    if not visited:
        return b""
    places.faddr = visited[0]
    hops = [*visited[1:], 0]
    head = bytes((route[0], ROUTE_HEAD + ADDRESS_BYTES * len(hops), ADDRESS_BYTES))
    return head + b"".join(hop.to_bytes(ADDRESS_BYTES, "big") for hop in hops)
