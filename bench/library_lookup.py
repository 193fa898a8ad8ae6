"""Single lookups inside one process, the table loaded: `python -m bench.library_lookup`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

import pytricia

from bench.captures import MILLION
from bench.routes import addresses, table
from ipkit.core.host.kernel import LINUX_6_18
from ipkit.core.lookup_plain import address_lookup
from ipkit.core.state.routing import routing_of
from ipkit.edge.host_source import load_routes

ROUNDS: Final = 5


def rate(lookup: Callable[[int], object], asked: Sequence[int]) -> float:
    """Return the lookups per second, the best of some rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        for address in asked:
            lookup(address)
        best = min(best, time.perf_counter() - begin)
    return len(asked) / best


def main() -> None:
    """Load both tables, ask both for the same addresses, print."""
    ours = address_lookup(routing_of(load_routes(str(table(MILLION)), LINUX_6_18)))
    tree = pytricia.PyTricia(32)
    with table(MILLION).open() as routes:
        for words in map(str.split, routes):
            tree["0.0.0.0/0" if words[0] == "default" else words[0]] = words[2]
    texts = addresses(MILLION, MILLION).read_text().split()
    asked = [int.from_bytes(bytes(map(int, text.split(".")))) for text in texts]
    for name, lookup in (("ipkit", ours), ("pytricia", tree.get)):
        print(f"{name:12}{rate(lookup, asked):>12,.0f}/s")


if __name__ == "__main__":
    main()
