"""Routes, rules and links said in a few words, for tests that need no host file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any

from ipkit.core.host.build import build_host
from ipkit.core.host.config import Address, HostConfig, Link, LinkKind
from ipkit.core.host.fib import DEFAULT_RULES, TABLE_MAIN, BulkRoutes, Fib, FibEntry, NextHop, RouteType, Rule
from ipkit.core.host.kernel import LINUX_6_18, KernelProfile
from ipkit.core.host.sysctl import DeviceConf, NetConf
from ipkit.core.state.routing import Routing, routing_of

SCOPES = {RouteType.LOCAL: 254, RouteType.BROADCAST: 253}


def number(address: str) -> int:
    return int(IPv4Address(address))


def hop(dev: str, via: str = "", weight: int = 1, **more: Any) -> NextHop:
    given = {"scope": 253 if via else 254, **more}
    return NextHop(dev, gateway=number(via) if via else 0, weight=weight, **given)


def route(prefix: str, *hops: NextHop, table: int = TABLE_MAIN, **more: Any) -> FibEntry:
    network = IPv4Network(prefix)
    kind = more.pop("type", RouteType.UNICAST)
    scope = more.pop("scope", SCOPES.get(kind, 0 if not hops or hops[0].gateway else 253))
    return FibEntry(int(network.network_address), network.prefixlen, table, kind, nexthops=hops, scope=scope, **more)


def address(text: str, **more: Any) -> Address:
    given = IPv4Interface(text)
    return Address(int(given.ip), given.network.prefixlen, more.pop("peer", int(given.ip)), **more)


def link(name: str, ifindex: int, *addresses: Address, conf: Mapping[str, int] | None = None, **more: Any) -> Link:
    return Link(name, ifindex, addresses=addresses, conf=DeviceConf(**(conf or {})), **more)


LO = link("lo", 1, address("127.0.0.1/8", scope=254), kind=LinkKind.LOOPBACK, mtu=65536)


def fib(entries: Iterable[FibEntry], *rules: Rule, bulk: Mapping[int, BulkRoutes] | None = None) -> Fib:
    """Put entries into their tables in the order given; any rule makes the host one with rules of its own."""
    tables: dict[int, tuple[FibEntry, ...]] = {}
    for entry in entries:
        tables[entry.table] = (*tables.get(entry.table, ()), entry)
    every = tuple(sorted((*DEFAULT_RULES, *rules), key=lambda rule: rule.pref))
    return Fib(tables, every, has_custom_rules=bool(rules), bulk=bulk or {})


def host(
    entries: Iterable[FibEntry] = (),
    *rules: Rule,
    links: Iterable[Link] = (),
    kernel: KernelProfile = LINUX_6_18,
    net: Mapping[str, int] | None = None,
    bulk: Mapping[int, BulkRoutes] | None = None,
) -> HostConfig:
    named = {one.name: one for one in (LO, *links)}
    return HostConfig(kernel, named, fib(entries, *rules, bulk=bulk), NetConf(**(net or {})))


ETHERNET = {"t0": {"addr": ["10.0.0.1/24"]}, "t1": {"addr": ["10.1.0.1/24"]}}


def two_armed(kernel: KernelProfile = LINUX_6_18, *, sysctl: dict[str, int] | None = None, **parts: Any) -> Routing:
    """Build the two-armed router of the examples: t0 10.0.0.1/24, t1 10.1.0.1/24, forwarding on."""
    own = parts.pop("link", {})
    links = {name: {**ETHERNET.get(name, {}), **own.get(name, {})} for name in {**ETHERNET, **own}}
    knobs = {f"net.ipv4.{name}": value for name, value in {"ip_forward": 1, **(sysctl or {})}.items()}
    return routing_of(build_host({"link": links, "sysctl": knobs, **parts}, file="test", kernel=kernel))
