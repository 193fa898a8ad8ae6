"""A routing table as large as the Internet's, and addresses to look up in it: seeded, kept in .cache/bench.

Prefixes are random, their lengths distributed as in a full BGP table; fifty next hops on one link, a default route.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from random import Random
from typing import Final

from bench.captures import CACHE, SEED

SHARES: Final = {
    8: 16, 9: 13, 10: 40, 11: 100, 12: 300, 13: 580, 14: 1200, 15: 2100, 16: 13_700, 17: 8400, 18: 14_000, 19: 25_500,
    20: 44_000, 21: 51_000, 22: 112_000, 23: 102_000, 24: 610_000, 25: 3000, 26: 2500, 27: 2000, 28: 1500, 29: 2500,
    30: 1500, 32: 1000,
}  # fmt: skip
FIRST: Final = 0x01000000
LAST: Final = 0xDFFFFFFF
GATEWAYS: Final = 50
COVERED: Final = 0.95


def table(routes: int) -> Path:
    """Return a file of so many routes, as `ip route` prints them."""
    path = CACHE / f"routes-{routes}.txt"
    if not path.exists():
        rng = Random(SEED)
        lines = (f"{_text(prefix)}/{length} via 10.0.0.{rng.randint(2, GATEWAYS + 1)} dev eth0 proto bgp\n"
                 for prefix, length in _prefixes(routes - 1))  # fmt: skip
        _store(path, lines, "default via 10.0.0.2 dev eth0\n")
    return path


def addresses(number: int, routes: int) -> Path:
    """Return a file of so many addresses, nearly all of them in the table of so many routes."""
    path = CACHE / f"addresses-{number}-of-{routes}.txt"
    if not path.exists():
        rng = Random(SEED + 1)
        prefixes = list(_prefixes(routes - 1))
        _store(path, (f"{_text(_address(rng, prefixes))}\n" for _ in range(number)))
    return path


def some(number: int, whole: Path) -> Path:
    """Return the first lines of a file as a file of its own."""
    path = whole.with_stem(f"{whole.stem}-first-{number}")
    if not path.exists():
        with whole.open() as lines:
            _store(path, islice(lines, number))
    return path


def _address(rng: Random, prefixes: list[tuple[int, int]]) -> int:
    if rng.random() > COVERED:
        return rng.randint(FIRST, LAST)
    prefix, length = rng.choice(prefixes)
    return prefix + rng.randrange(1 << 32 - length)


def _prefixes(number: int) -> Iterator[tuple[int, int]]:
    rng, seen = Random(SEED), set[tuple[int, int]]()
    lengths, shares = list(SHARES), list(SHARES.values())
    while len(seen) < number:
        (length,) = rng.choices(lengths, shares)
        place = (rng.randint(FIRST, LAST) >> 32 - length << 32 - length, length)
        if place not in seen:
            seen.add(place)
            yield place


def _text(address: int) -> str:
    return f"{address >> 24}.{address >> 16 & 255}.{address >> 8 & 255}.{address & 255}"


def _store(path: Path, lines: Iterator[str], last: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    with partial.open("w") as out:
        out.writelines(lines)
        out.write(last)
    partial.replace(path)
