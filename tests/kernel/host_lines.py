"""A host description as lines that can be taken out: those the kernel refuses, or all that a failure does not need."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from typing import Any, Final, NamedTuple, TypeAlias

from tests.kernel.hostfile import from_mapping
from tests.kernel.namespace import Refusal

Host: TypeAlias = dict[str, Any]

COMMANDS: Final = {"route add ": "routes", "rule add ": "rules", "nexthop add ": "nexthops", "neigh replace ": "neigh"}


HASH_SEED: Final = "net.ipv4.fib_multipath_hash_seed"
"""Stays: without it a kernel chooses by chance."""


class Place(NamedTuple):
    """Where a line stands: the keys that lead to its list or table, and its place there."""

    path: tuple[str, ...]
    at: int | str


def places(host: Host) -> Iterator[Place]:
    """Yield the places of everything that can be taken out, last things first."""
    for key in ("neigh", "rules", "routes", "nexthops"):
        yield from (Place((key,), at) for at in reversed(range(len(host.get(key, ())))))
    yield from (Place(("sysctl",), name) for name in host.get("sysctl", ()) if name != HASH_SEED)
    for dev, link in host["link"].items():
        for key in ("addr", "groups"):
            yield from (Place(("link", dev, key), at) for at in reversed(range(len(link.get(key, ())))))
        yield from (Place(("link", dev), key) for key in link if key not in ("addr", "groups"))
        yield Place(("link",), dev)


def without(host: Host, place: Place) -> Host:
    """Return the host with one thing taken out."""
    fewer = deepcopy(host)
    holder = fewer
    for key in place.path:
        holder = holder[key]
    del holder[place.at]  # type: ignore[arg-type]
    return fewer


def line_of(host: Host, refusal: Refusal) -> Place:
    """Return where a refused command stands in the description; of equal lines it is the last that was refused."""
    for command, key in COMMANDS.items():
        if refusal.command.startswith(command):
            return Place((key,), _last(host[key], refusal.command.removeprefix(command)))
    if refusal.command.startswith("addr add "):
        text, _, dev = refusal.command.removeprefix("addr add ").rpartition(" dev ")
        lines = next(link.address_lines for link in from_mapping(host).links if link.name == dev)
        return Place(("link", dev, "addr"), _last(lines, text))
    name = refusal.command.removeprefix("sysctl ").partition("=")[0]
    return Place(("sysctl",), name)


def _last(lines: Sequence[str], line: str) -> int:
    return len(lines) - 1 - list(reversed(lines)).index(line)


def reduced(host: Host, still_fails: Callable[[Host], bool]) -> Host:
    """Return the host with as much taken out as the failure can do without."""
    while True:
        for place in places(host):
            fewer = without(host, place)
            if still_fails(fewer):
                host = fewer
                break
        else:
            return host
