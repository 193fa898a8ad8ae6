"""Which addresses routing cannot tell from one another.

Law: two addresses of one class get the same answer from every table, rule and check of a host, whether they stand for a
source or a destination. A class is what lies between two neighbouring boundaries of all the prefixes that are asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ipkit.core.host.addresses import subnet
from ipkit.core.host.config import HostConfig
from ipkit.core.host.words import MAX_LENGTH

SPECIAL: Final = (
    (0x00000000, 8),
    (0x00000000, MAX_LENGTH),
    (0x7F000000, 8),
    (0xE0000000, 4),
    (0xE0000000, 24),
    (0xFFFFFFFF, MAX_LENGTH),
)
"""What is judged before any table is asked: this network, loopback, groups, the limited broadcast."""

EVERYTHING: Final = 1 << MAX_LENGTH


def class_starts(host: HostConfig) -> list[int] | None:
    """Return the first address of every class but the lowest, in order; None: there are too many to tell.

    The class of an address is then `bisect_right(starts, address)`.
    """
    if host.fib.bulk:
        return None
    starts = set()
    for prefix, length in _prefixes(host):
        starts.add(prefix)
        starts.add(prefix + (EVERYTHING >> length))
    return sorted(starts - {0, EVERYTHING})


def _prefixes(host: HostConfig) -> Iterator[tuple[int, int]]:
    """Yield every prefix by which some decision is made."""
    yield from SPECIAL
    for entries in host.fib.tables.values():
        yield from ((entry.prefix, entry.length) for entry in entries)
    for rule in host.fib.rules:
        yield from ((rule.src, rule.src_len), (rule.dst, rule.dst_len))
    for link in host.links.values():
        for address in link.addresses:
            yield from (subnet(address), (address.local, MAX_LENGTH))
