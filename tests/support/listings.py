"""What a host holds, as `ip route show table all` would list it: written for tests, by looking at the tool's output."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

from ipkit.core.host.config import HostConfig
from ipkit.core.host.fib import FibEntry, NextHop

TABLES = {255: "local", 253: "default"}
SCOPES = {253: "link", 254: "host", 200: "site"}
FLAGS = {1: "dead", 4: "onlink", 2: "pervasive", 16: "linkdown"}


def dotted(address: int) -> str:
    return str(IPv4Address(address))


def listed(host: HostConfig, table: int | None = None) -> list[str]:
    """Return the routes of one table, or of all, one a line."""
    tables = host.fib.tables
    return [line_of(entry) for number in sorted(tables) if table in (None, number) for entry in tables[number]]


def line_of(entry: FibEntry) -> str:
    return "".join(_words(entry))


def _words(entry: FibEntry) -> Iterator[str]:
    network = str(IPv4Network((entry.prefix, entry.length)))
    alone = entry.nexthops[0] if len(entry.nexthops) == 1 else None
    metrics = entry.metrics
    yield "" if entry.type.name == "UNICAST" else f"{entry.type.name.lower()} "
    yield "default" if network == "0.0.0.0/0" else network.removesuffix("/32")
    yield from _said(("nhid", entry.nhid), ("tos", f"0x{entry.tos:02x}" if entry.tos else 0))
    yield "".join(_way(alone)) if alone else ""
    yield from _said(
        ("table", TABLES.get(entry.table, entry.table) if entry.table != 254 else 0),
        ("proto", entry.protocol if entry.protocol != "boot" else 0),
        ("scope", SCOPES.get(entry.scope, entry.scope)),
        ("src", dotted(entry.prefsrc) if entry.prefsrc else 0),
        ("metric", entry.priority),
    )
    yield "".join(_flags(alone)) if alone else ""
    mtu = f"lock {metrics.mtu}" if metrics.mtu_locked else metrics.mtu
    yield from _said(("mtu", mtu), ("advmss", metrics.advmss), ("hoplimit", metrics.hoplimit), *metrics.others)
    for hop in () if alone else entry.nexthops:
        yield "".join([" nexthop", *_way(hop), f" weight {hop.weight}", *_flags(hop)])


def _said(*values: tuple[str, object]) -> Iterator[str]:
    return (f" {name} {value}" for name, value in values if value)


def _way(hop: NextHop) -> Iterator[str]:
    via = f"inet6 {hop.gateway6}" if hop.gateway6 else dotted(hop.gateway) if hop.gateway else 0
    return _said(("via", via), ("dev", hop.dev))


def _flags(hop: NextHop) -> Iterator[str]:
    return (f" {word}" for bit, word in FLAGS.items() if hop.flags & bit)
