"""The ICMP header: types, codes, and where the fields lie.

Law: reading never judges. Names are the kernel's without ICMP_.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

HEADER_BYTES: Final = 8
CHECK_AT: Final = 2

ECHOREPLY: Final = 0
DEST_UNREACH: Final = 3
SOURCE_QUENCH: Final = 4
REDIRECT: Final = 5
ECHO: Final = 8
TIME_EXCEEDED: Final = 11
PARAMETERPROB: Final = 12
TIMESTAMP: Final = 13
TIMESTAMPREPLY: Final = 14
INFO_REQUEST: Final = 15
INFO_REPLY: Final = 16
ADDRESS: Final = 17
ADDRESSREPLY: Final = 18
EXT_ECHO: Final = 42
EXT_ECHOREPLY: Final = 43

NET_UNREACH: Final = 0
HOST_UNREACH: Final = 1
PROT_UNREACH: Final = 2
PORT_UNREACH: Final = 3
FRAG_NEEDED: Final = 4
SR_FAILED: Final = 5
PKT_FILTERED: Final = 13
"""Codes of DEST_UNREACH."""

REDIR_NET: Final = 0
REDIR_HOST: Final = 1
"""Codes of REDIRECT."""

EXC_TTL: Final = 0
EXC_FRAGTIME: Final = 1
"""Codes of TIME_EXCEEDED."""

_HEADER = Struct("!BBHI")


class IcmpHeader(NamedTuple):
    """The eight bytes that every message begins with."""

    type: int
    code: int
    check: int
    info: int  # the second word: identifier and sequence, gateway, MTU or pointer


def read(data: bytes, at: int = 0) -> IcmpHeader:
    """Return the header at an offset; the caller has made sure of eight bytes."""
    return IcmpHeader._make(_HEADER.unpack_from(data, at))


def build(header: IcmpHeader) -> bytes:
    """Return the eight bytes of a header, its checksum field as given."""
    return _HEADER.pack(*header)
