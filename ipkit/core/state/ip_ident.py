"""Where the IP identifications of this host's own packets come from.

Law: counters that start where the seed says, one for all packets with the same addresses and protocol; the kernel's
jump by the time that passed is left out, so that the same packets get the same numbers whatever their pace.
"""

from __future__ import annotations

from random import Random
from typing import Final
from zlib import crc32

BUCKETS: Final = 2048


class IpIdents:
    """The hashed generator (ip_idents)."""

    __slots__ = ("_counters",)

    def __init__(self, seed: int = 0) -> None:
        rng = Random(f"ident/{seed}")
        self._counters = [rng.getrandbits(16) for _ in range(BUCKETS)]

    def reserve(self, saddr: int, daddr: int, protocol: int, segments: int = 1) -> int:
        """Take as many consecutive numbers as there are segments and return the first.

        Kernel: ip_idents_reserve in net/ipv4/route.c
        """
        bucket = crc32(f"{daddr} {saddr} {protocol}".encode()) % BUCKETS
        first = self._counters[bucket]
        self._counters[bucket] = (first + segments) & 0xFFFF
        return first
