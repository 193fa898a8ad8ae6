"""The IPv4 options: their numbers and flags, and which of them go into every fragment.

Law: numbers and extents only. What a malformed option earns is ip_options_compile's to say.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

OPTION_END: Final = 0
OPTION_NOOP: Final = 1
OPTION_RR: Final = 7
OPTION_TIMESTAMP: Final = 68
OPTION_SECURITY: Final = 130
OPTION_LSRR: Final = 131
OPTION_CIPSO: Final = 134
OPTION_STREAM_ID: Final = 136
OPTION_SSRR: Final = 137
OPTION_ROUTER_ALERT: Final = 148

COPIED: Final = 0x80
"""The bit of an option's number that asks for a copy in every fragment (RFC 791)."""

MAX_OPTION_BYTES: Final = 40

ADDRESS_BYTES: Final = 4
ROUTE_HEAD: Final = 3  # number, length, pointer
TIMESTAMP_HEAD: Final = 4  # and overflow with flag

TS_ONLY: Final = 0
TS_AND_ADDRESS: Final = 1
TS_PRESPECIFIED: Final = 3


class Option(NamedTuple):
    """One option with a length byte: where it stands, its number and its length."""

    at: int
    kind: int
    length: int


def options_in(options: bytes) -> Iterator[Option]:
    """Yield the options in turn, up to the end mark or the first whose length does not fit."""
    at, end = 0, len(options)
    while at < end and options[at] != OPTION_END:
        if options[at] == OPTION_NOOP:
            at += 1
            continue
        length = options[at + 1] if at + 1 < end else 0
        if length < 2 or length > end - at:
            return
        yield Option(at, options[at], length)
        at += length
