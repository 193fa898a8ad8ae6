"""Look addresses up with pytricia, text in, text out: route_lookup_pytricia.py ROUTES ADDRESSES."""

from __future__ import annotations

import sys
from pathlib import Path

import pytricia


def main() -> None:
    """Print each address with the next hop of its longest prefix."""
    tree = pytricia.PyTricia(32)
    with Path(sys.argv[1]).open() as routes:
        for line in routes:
            words = line.split()
            tree["0.0.0.0/0" if words[0] == "default" else words[0]] = words[2]
    with Path(sys.argv[2]).open() as addresses:
        sys.stdout.writelines(f"{address} {tree.get(address)}\n" for address in map(str.rstrip, addresses))


if __name__ == "__main__":
    main()
