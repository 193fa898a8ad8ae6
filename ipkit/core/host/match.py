"""The match language of a host description: which datagrams a hook or a policy speaks of.

Law: a match is a value, made once; asking it is a function of the datagram's bytes and its two devices. Terms are
joined by `and`, each may have `not` before it; there is no `or`. A term whose field a datagram does not have (a port of
a later fragment, a type of what is not ICMP) is not true, so `not` before it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final, NamedTuple

from ipkit.core.host.words import (
    ALL_ONES,
    IP_PROTOCOLS,
    MAX_LENGTH,
    WordError,
    Words,
    ip_protocol,
    mask,
    network,
    number,
    numbers,
    prefix_text,
)
from ipkit.core.wire.ipv4 import MAX_TOTAL_BYTES, PROTO_ICMP, Ipv4Header, read
from ipkit.core.wire.transport import PORT_PROTOCOLS, PORTS_BYTES, read_ports

ABSENT: Final = -1
"""The value of a field that a datagram does not have: in no range."""


class Field(Enum):
    """What a term looks at."""

    SRC = "src"
    DST = "dst"
    PROTO = "proto"
    SPORT = "sport"
    DPORT = "dport"
    IIF = "iif"
    OIF = "oif"
    ICMP_TYPE = "icmp-type"
    FRAGMENT = "fragment"
    LENGTH = "length"


class Term(NamedTuple):
    """One condition: a field within a range of numbers, or a device by its name."""

    field: Field
    low: int = 0
    high: int = 0
    dev: str = ""
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Match:
    """Conditions that must all hold; none: everything matches."""

    terms: tuple[Term, ...] = ()


def matches(match: Match, data: bytes, iif: str = "", oif: str = "") -> bool:
    """Tell whether a datagram is meant; its fixed header is all there."""
    header = read(data)
    return all(_holds(term, header, data, (iif, oif)) is not term.negated for term in match.terms)


def _holds(term: Term, header: Ipv4Header, data: bytes, devices: tuple[str, str]) -> bool:
    if term.field is Field.IIF:
        return devices[0] == term.dev
    if term.field is Field.OIF:
        return devices[1] == term.dev
    return term.low <= _VALUES[term.field](header, data) <= term.high


def _port(header: Ipv4Header, data: bytes, which: int) -> int:
    at = header.header_bytes
    if header.protocol not in PORT_PROTOCOLS or header.offset_bytes or len(data) < at + PORTS_BYTES:
        return ABSENT
    return read_ports(data, at)[which]


def _icmp_type(header: Ipv4Header, data: bytes) -> int:
    at = header.header_bytes
    return data[at] if header.protocol == PROTO_ICMP and not header.offset_bytes and len(data) > at else ABSENT


_VALUES: Final[Mapping[Field, Callable[[Ipv4Header, bytes], int]]] = MappingProxyType(
    {
        Field.SRC: lambda header, _: header.saddr,
        Field.DST: lambda header, _: header.daddr,
        Field.PROTO: lambda header, _: header.protocol,
        Field.SPORT: lambda header, data: _port(header, data, 0),
        Field.DPORT: lambda header, data: _port(header, data, 1),
        Field.ICMP_TYPE: _icmp_type,
        Field.FRAGMENT: lambda header, _: int(header.is_fragment),
        Field.LENGTH: lambda header, data: header.tot_len or len(data),
    }
)
_RANGES: Final = MappingProxyType(
    {Field.SPORT: MAX_TOTAL_BYTES, Field.DPORT: MAX_TOTAL_BYTES, Field.LENGTH: MAX_TOTAL_BYTES}
)


def read_match(text: str) -> Match:
    """Return the match that a line describes."""
    words = Words(text.split())
    terms = []
    while True:
        terms.append(_term(words))
        if not words.peek():
            return Match(tuple(terms))
        if words.after("a term") != "and":
            raise WordError("terms are joined by `and`; for `or`, write two entries")


def _term(words: Words) -> Term:
    word = words.after("and") if words.peek() else ""
    negated = word == "not"
    if negated:
        word = words.after("not")
    if word in IP_PROTOCOLS:
        return Term(Field.PROTO, IP_PROTOCOLS[word], IP_PROTOCOLS[word], negated=negated)
    if not word or word not in (field.value for field in Field):
        raise WordError(f"unknown term `{word}`" if word else "a term is missing")
    field = Field(word)
    if field is Field.FRAGMENT:
        return Term(field, 1, 1, negated=negated)
    value = words.after(word)
    if field in (Field.IIF, Field.OIF):
        return Term(field, dev=value, negated=negated)
    low, high = _range(field, value)
    return Term(field, low, high, negated=negated)


def _range(field: Field, text: str) -> tuple[int, int]:
    if field in (Field.SRC, Field.DST):
        base, length = network(text)
        return base, base | ~mask(length) & ALL_ONES
    if field in _RANGES:
        return numbers(text, 0, _RANGES[field])
    value = ip_protocol(text) if field is Field.PROTO else number(text, 0, 255)
    return value, value


def match_text(match: Match) -> str:
    """Return the line that describes a match."""
    return " and ".join(f"{'not ' if term.negated else ''}{_term_text(term)}" for term in match.terms)


def _term_text(term: Term) -> str:
    if term.field is Field.FRAGMENT:
        return str(term.field.value)
    if term.dev:
        return f"{term.field.value} {term.dev}"
    if term.field in (Field.SRC, Field.DST):
        length = MAX_LENGTH - (term.high - term.low).bit_length()
        return f"{term.field.value} {prefix_text(term.low, length)}"
    return f"{term.field.value} {term.low}" + (f"-{term.high}" if term.high != term.low else "")
