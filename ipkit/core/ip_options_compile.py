"""What options ask of this host: checked from left to right, and written into where it is asked to.

Law: places count from the first byte of the IP header, pointers inside an option from 1, as the wire has it. The
answer is the place of the byte at fault, 0 where there is none. What was written before a fault stays written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final, NamedTuple

from ipkit.core.ip_options import IsOurs, inet_current_timestamp, ours_in
from ipkit.core.route_flow import input_flow
from ipkit.core.route_source import fib_compute_spec_dst
from ipkit.core.skbuff import IpOptions, SkBuff
from ipkit.core.state.routing import Routing
from ipkit.core.wire.ipv4 import HEADER_BYTES
from ipkit.core.wire.options import (
    ADDRESS_BYTES,
    OPTION_CIPSO,
    OPTION_END,
    OPTION_LSRR,
    OPTION_NOOP,
    OPTION_ROUTER_ALERT,
    OPTION_RR,
    OPTION_SSRR,
    OPTION_TIMESTAMP,
    ROUTE_HEAD,
    TIMESTAMP_HEAD,
    TS_AND_ADDRESS,
    TS_ONLY,
    TS_PRESPECIFIED,
)

LEAST_CIPSO: Final = 8
LEAST_SOURCE_ROUTE: Final = 7


class Filling(NamedTuple):
    """What is written into the options of a packet that came in."""

    spec_dst: Callable[[], int]  # which of our addresses it was for
    time_ms: int


class Compiling(NamedTuple):
    """Options at work; those of a socket have nothing written, their slots are only reserved."""

    header: bytearray
    found: IpOptions
    is_ours: IsOurs
    filling: Filling | None = None

    def put(self, at: int, value: int) -> None:
        """Write an address or a time."""
        self.header[at : at + ADDRESS_BYTES] = value.to_bytes(ADDRESS_BYTES, "big")
        self.found.is_changed = True


def ip_options_compile(skb: SkBuff, routing: Routing) -> int:
    """Compile the options of a packet that has a route; its bytes and its notes change, its header checksum does not.

    Whoever compiles them once more, as for a host unreachable long after, lets them be filled once more.
    Kernel: net/ipv4/ip_options.c
    """
    route = skb.route
    if route is None:
        raise ValueError("options were compiled of a datagram without a route")
    header_bytes = (skb.data[0] & 0x0F) << 2
    found = IpOptions(optlen=header_bytes - HEADER_BYTES)
    filling = Filling(
        lambda: fib_compute_spec_dst(routing, input_flow(skb), route), inet_current_timestamp(skb.tstamp_ns)
    )
    work = Compiling(bytearray(skb.data[:header_bytes]), found, ours_in(routing.tables), filling)
    fault = __ip_options_compile(work)
    if found.is_changed:
        skb.data = bytes(work.header) + skb.data[header_bytes:]
    skb.cb = replace(skb.cb, options=found)
    return fault


def __ip_options_compile(work: Compiling) -> int:
    header = work.header
    at, end = HEADER_BYTES, len(header)
    while at < end and header[at] != OPTION_END:
        if header[at] == OPTION_NOOP:
            at += 1
            continue
        length = header[at + 1] if at + 1 < end else 0
        if length < 2 or length > end - at:
            return at
        compiler = _COMPILERS.get(header[at])
        fault = compiler(work, at) if compiler is not None else 0
        if fault:
            return fault
        at += length
    if any(header[at:]):
        header[at:] = bytes(end - at)
        work.found.is_changed = True
    return 0


def _source_route(work: Compiling, at: int) -> int:
    header, found = work.header, work.found
    length = header[at + 1]
    if length < ROUTE_HEAD:
        return at + 1
    pointer = header[at + 2]
    if pointer < 4:
        return at + 2
    if found.srr:
        return at
    if work.filling is None:
        if pointer != 4 or length < LEAST_SOURCE_ROUTE or (length - ROUTE_HEAD) % ADDRESS_BYTES:
            return at + 1
        # The first hop is where the packet is sent; the last place is the final destination's.
        found.faddr = int.from_bytes(header[at + 3 : at + 7], "big")
        header[at + 3 : at + length - 4] = header[at + 7 : at + length]
    found.is_strictroute = header[at] == OPTION_SSRR
    found.srr = at
    return 0


def _record_route(work: Compiling, at: int) -> int:
    header, found = work.header, work.found
    if found.rr:
        return at
    length = header[at + 1]
    if length < ROUTE_HEAD:
        return at + 1
    pointer = header[at + 2]
    if pointer < 4 or pointer <= length < pointer + 3:
        return at + 2
    if pointer <= length:
        if work.filling is not None:
            work.put(at + pointer - 1, work.filling.spec_dst())
        header[at + 2] += ADDRESS_BYTES
        found.rr_needaddr = True
    found.rr = at
    return 0


def _timestamp(work: Compiling, at: int) -> int:
    header, found = work.header, work.found
    if found.ts:
        return at
    length = header[at + 1]
    if length < TIMESTAMP_HEAD:
        return at + 1
    pointer = header[at + 2]
    if pointer < 5 or pointer <= length < pointer + 3:
        return at + 2
    fault = _stamped(work, at) if pointer <= length else _overflowed(work, at)
    if not fault:
        found.ts = at
    return fault


def _stamped(work: Compiling, at: int) -> int:
    """Take the next slot, where the flag says that it is for this host."""
    header, found, filling = work.header, work.found, work.filling
    flag, slot = header[at + 3] & 0x0F, at + header[at + 2] - 1
    if flag not in (TS_ONLY, TS_AND_ADDRESS, TS_PRESPECIFIED):
        return 0
    time_at = slot
    if flag != TS_ONLY:
        time_at += ADDRESS_BYTES
        if time_at + ADDRESS_BYTES > at + header[at + 1]:
            return at + 2
    if flag == TS_PRESPECIFIED and not work.is_ours(int.from_bytes(header[slot : slot + ADDRESS_BYTES], "big")):
        return 0
    if filling is not None:
        if flag == TS_AND_ADDRESS:
            work.put(slot, filling.spec_dst())
        work.put(time_at, filling.time_ms)
    found.ts_needaddr = flag == TS_AND_ADDRESS
    found.ts_needtime = True
    header[at + 2] += time_at + ADDRESS_BYTES - slot
    return 0


def _overflowed(work: Compiling, at: int) -> int:
    """Count this host among those that found no slot."""
    header = work.header
    if header[at + 3] & 0x0F == TS_PRESPECIFIED:
        return 0
    if header[at + 3] >> 4 == 15:
        return at + 3
    if work.filling is not None:
        header[at + 3] += 0x10
        work.found.is_changed = True
    return 0


def _router_alert(work: Compiling, at: int) -> int:
    if work.header[at + 1] < 4:
        return at + 1
    if not any(work.header[at + 2 : at + 4]):
        work.found.router_alert = at
    return 0


def _cipso(work: Compiling, at: int) -> int:
    """Refuse a security label: no domain of interpretation is configured."""
    if work.found.cipso:
        return at
    work.found.cipso = at
    return at + 1 if work.header[at + 1] < LEAST_CIPSO else at + 2


_COMPILERS: Final[dict[int, Callable[[Compiling, int], int]]] = {
    OPTION_SSRR: _source_route,
    OPTION_LSRR: _source_route,
    OPTION_RR: _record_route,
    OPTION_TIMESTAMP: _timestamp,
    OPTION_ROUTER_ALERT: _router_alert,
    OPTION_CIPSO: _cipso,
}
