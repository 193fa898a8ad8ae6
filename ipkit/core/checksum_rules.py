"""What a stored checksum is worth: which bytes it covers, and which status comes of them.

Law: one datagram in a buffer; nothing counted, nothing written. It is named by three offsets: `at` where its
header begins, `end` where the captured bytes end, `wire_end` where they ended on the wire. Only the outermost
IPv4 header and what it carries are judged; what lies behind its total length never is.

A segment is what a datagram carries: its captured bytes, with the length it had on the wire.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias

from ipkit.core.wire import icmp
from ipkit.core.wire.checksum import csum_fold, csum_partial, ip_fast_csum, pseudo_header_sum
from ipkit.core.wire.ipv4 import (
    CHECK_AT,
    FLAG_MF,
    HEADER_BYTES,
    OFFSET_MASK,
    PROTO_ICMP,
    PROTO_IGMP,
    PROTO_TCP,
    PROTO_UDP,
    PROTO_UDPLITE,
    unpack_from,
)
from ipkit.core.wire.transport import (
    IGMP_CHECK_AT,
    IGMP_HEADER_BYTES,
    TCP_CHECK_AT,
    TCP_HEADER_BYTES,
    UDP_CHECK_AT,
    UDP_HEADER_BYTES,
    tcp_header_bytes,
    udp_fields,
)


class Status(StrEnum):
    """What is said of one checksum."""

    OK = "ok"
    BAD = "bad"
    PARTIAL = "partial"  # the folded pseudo-header sum alone: the rest was left to the card
    NONE = "none"  # UDP: the sender made none
    FRAGMENT = "fragment"  # covers more than this datagram
    TRUNCATED = "truncated"  # the capture kept too little of it
    MALFORMED = "malformed"  # the headers contradict themselves or what came on the wire


OK, BAD, PARTIAL, NONE, FRAGMENT, TRUNCATED, MALFORMED = Status
# Names of their own: an enum's attribute costs as much as a slice, and every packet would pay for several.


class Pseudo(Enum):
    """The length in a transport's pseudo header."""

    ABSENT = "no pseudo header"
    COVERED = "the bytes summed"
    SEGMENT = "the whole segment, also where less is summed"


ABSENT, COVERED, SEGMENT = Pseudo

SUMMED: Final = frozenset({OK, BAD, PARTIAL})
"""What is said of a checksum whose bytes were all there to be summed."""


class Transport(NamedTuple):
    """How the checksum of one transport protocol is judged."""

    check: str
    protocol: int
    header_bytes: int
    check_at: int
    covered: Callable[[bytes, int], int]
    """Of a segment and its length: the bytes summed, 0 where the header contradicts the length."""
    pseudo: Pseudo
    for_zero: int = 0  # what is stored where the sum comes out as zero
    zero_is: Status = Status.OK  # what is said of a stored zero that would verify
    offload: bool = False  # cards complete it, so a capture on the sender sees it partial


Outcome: TypeAlias = tuple[Status, str, Status | None, bool]
"""Status of the header; name and status of the transport's check, where there is one; whether the total length
was left to the card. A plain tuple: one is made for every packet, and counted."""


class PseudoHeader(NamedTuple):
    """What is summed in front of a segment."""

    saddr: int
    daddr: int
    protocol: int
    length: int


class Coverage(NamedTuple):
    """What one checksum is the sum of."""

    data: bytes
    check_at: int  # where in the data the checksum itself stands
    pseudo: PseudoHeader | None = None
    for_zero: int = 0

    @property
    def computed(self) -> int:
        """The checksum that should be stored."""
        rest = self.data[: self.check_at] + b"\0\0" + self.data[self.check_at + 2 :]
        pseudo = pseudo_header_sum(*self.pseudo) if self.pseudo else 0
        return csum_fold(csum_partial(rest) + pseudo) or self.for_zero


_BOTH_ZEROS: Final = (0, 0xFFFF)
"""Of one's complement: either verifies where the other should stand."""


class Check(NamedTuple):
    """One checksum of a datagram, in full."""

    name: str
    status: Status
    at: int  # where it stands in the buffer
    stored: int | None  # None: not captured
    coverage: Coverage | None = None  # None: nothing to sum

    @property
    def computed(self) -> int | None:
        """The checksum that should be stored; None: it cannot be told."""
        if self.status is OK and self.stored not in _BOTH_ZEROS:
            return self.stored
        return self.coverage.computed if self.coverage else None


def _tcp_covered(segment: bytes, length: int) -> int:
    return length if TCP_HEADER_BYTES <= tcp_header_bytes(segment) <= length else 0


def _udp_covered(segment: bytes, length: int) -> int:
    _, _, covered, _ = udp_fields(segment)
    return covered if UDP_HEADER_BYTES <= covered <= length else 0


def _udplite_covered(segment: bytes, length: int) -> int:
    """Read the coverage (RFC 3828): zero is everything, and never less than the header."""
    _, _, coverage, _ = udp_fields(segment)
    return (coverage or length) if coverage == 0 or UDP_HEADER_BYTES <= coverage <= length else 0


def _all_covered(segment: bytes, length: int) -> int:
    return length


_TCP = Transport("tcp", PROTO_TCP, TCP_HEADER_BYTES, TCP_CHECK_AT, _tcp_covered, COVERED, offload=True)
_UDP = Transport(
    "udp", PROTO_UDP, UDP_HEADER_BYTES, UDP_CHECK_AT, _udp_covered, COVERED, for_zero=0xFFFF, zero_is=NONE, offload=True
)
_UDPLITE = Transport(
    "udplite", PROTO_UDPLITE, UDP_HEADER_BYTES, UDP_CHECK_AT, _udplite_covered, SEGMENT, for_zero=0xFFFF, zero_is=BAD
)
_ICMP = Transport("icmp", PROTO_ICMP, icmp.HEADER_BYTES, icmp.CHECK_AT, _all_covered, ABSENT)
_IGMP = Transport("igmp", PROTO_IGMP, IGMP_HEADER_BYTES, IGMP_CHECK_AT, _all_covered, ABSENT)

TRANSPORTS: Final[Mapping[int, Transport]] = MappingProxyType(
    {transport.protocol: transport for transport in (_TCP, _UDP, _UDPLITE, _ICMP, _IGMP)}
)
"""By protocol number, in the order in which reports name them."""


STATUSES: Final[Mapping[str, tuple[Status, ...]]] = MappingProxyType(
    {"ip": (OK, BAD, TRUNCATED, MALFORMED)}
    | {
        transport.check: tuple(
            status
            for status in Status
            if (status is not PARTIAL or transport.offload) and (status is not NONE or transport.zero_is is NONE)
        )
        for transport in TRANSPORTS.values()
    }
)
"""Every check, and what can be said of it."""


def judge(data: bytes, at: int, end: int, wire_end: int, transports: Mapping[int, Transport]) -> Outcome:
    """Judge a datagram's own header, and what it carries where that is one of the transports asked for."""
    if end - at < HEADER_BYTES:
        return _judge_stump(data, at, end, wire_end), "", None, False
    first, _, tot_len, _, frag_off, _, protocol, _, saddr, daddr = unpack_from(data, at)
    begin = at + ((first & 0x0F) << 2)
    stop = at + tot_len if tot_len else wire_end
    if not 0x45 <= first <= 0x4F or begin > wire_end or stop < begin:
        return MALFORMED, "", None, False
    header = TRUNCATED if begin > end else BAD if ip_fast_csum(data[at:begin]) else OK
    transport = transports.get(protocol)
    if transport is None:
        return header, "", None, not tot_len
    if frag_off & (FLAG_MF | OFFSET_MASK):
        status = FRAGMENT
    elif stop > wire_end:
        status = MALFORMED
    else:
        status = judge_segment(transport, data[begin : stop if stop < end else end], stop - begin, saddr, daddr)
    return header, transport.check, status, not tot_len


def _judge_stump(data: bytes, at: int, end: int, wire_end: int) -> Status:
    """Judge a header of which fewer than twenty bytes were captured."""
    if wire_end - at < HEADER_BYTES or (at < end and not 0x45 <= data[at] <= 0x4F):
        return MALFORMED
    return TRUNCATED


def judge_segment(transport: Transport, segment: bytes, length: int, saddr: int, daddr: int) -> Status:
    """Judge the checksum of a segment between two addresses; reassembled or not makes no difference."""
    covered = _covered(transport, segment, length)
    if not isinstance(covered, int):
        return covered
    counted = _counted(transport, covered, length)
    pseudo = 0 if transport.pseudo is ABSENT else pseudo_header_sum(saddr, daddr, transport.protocol, counted)
    if csum_fold(csum_partial(segment[:covered]) + pseudo) == 0:
        return OK if transport.zero_is is OK or _stored(segment, transport.check_at) else transport.zero_is
    if transport.offload and _stored(segment, transport.check_at) in _left_to_the_card(pseudo, counted):
        return PARTIAL
    return BAD


def _covered(transport: Transport, segment: bytes, length: int) -> int | Status:
    """Return how many bytes of a segment are summed, or why none are."""
    if length < transport.header_bytes:
        return MALFORMED
    if len(segment) < transport.header_bytes:
        return TRUNCATED
    covered = transport.covered(segment, length)
    if not covered:
        return MALFORMED
    if transport.zero_is is NONE and not _stored(segment, transport.check_at):
        return NONE
    return TRUNCATED if covered > len(segment) else covered


def _counted(transport: Transport, covered: int, length: int) -> int:
    return length if transport.pseudo is SEGMENT else covered


def _left_to_the_card(pseudo: int, counted: int) -> tuple[int, int]:
    """Return the folded pseudo-header sum with its length and without: drivers differ."""
    return ~csum_fold(pseudo) & 0xFFFF, ~csum_fold(pseudo - counted) & 0xFFFF


def _stored(data: bytes, at: int) -> int:
    return data[at] << 8 | data[at + 1]


def examine(data: bytes, at: int, end: int, wire_end: int, outcome: Outcome) -> Iterator[Check]:
    """Give every checksum that was judged, with what it is the sum of."""
    ip, _, status, _ = outcome
    check_at = at + CHECK_AT
    stored = _stored(data, check_at) if check_at + 2 <= end else None
    header = data[at : at + ((data[at] & 0x0F) << 2)] if ip in SUMMED else b""
    yield Check("ip", ip, check_at, stored, Coverage(header, CHECK_AT) if header else None)
    if status is not None:
        yield _examine_segment(data, at, end, wire_end, status)


def _examine_segment(data: bytes, at: int, end: int, wire_end: int, status: Status) -> Check:
    first, _, tot_len, _, frag_off, _, protocol, _, saddr, daddr = unpack_from(data, at)
    transport = TRANSPORTS[protocol]
    begin = at + ((first & 0x0F) << 2)
    length = (at + tot_len if tot_len else wire_end) - begin
    segment = data[begin : min(begin + length, end)]
    check_at = transport.check_at
    begins_here = not frag_off & OFFSET_MASK and len(segment) >= check_at + 2
    stored = _stored(segment, check_at) if begins_here else None
    coverage = None
    if status in SUMMED:
        covered = transport.covered(segment, length)
        pseudo = PseudoHeader(saddr, daddr, protocol, _counted(transport, covered, length))
        pseudo_or_none = None if transport.pseudo is ABSENT else pseudo
        coverage = Coverage(segment[:covered], check_at, pseudo_or_none, transport.for_zero)
    return Check(transport.check, status, begin + check_at, stored, coverage)
