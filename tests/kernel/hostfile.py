"""A host description as the harness understands it: read from TOML, or made by a generator and written as TOML.

Law: nothing of ipkit. This is a second reading of the same file, so that the kernel can contradict the first.
Routes, rules and neighbours stay the text that `ip` takes.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class LinkText:
    """One [link.NAME] section."""

    name: str
    kind: str = "ethernet"
    address: str | None = None
    mtu: int = 1500
    up: bool = True
    carrier: bool = True
    arp: bool = True
    addr: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    master: str | None = None
    link: str | None = None
    id: int = 0
    table: int = 0
    pointopoint: str | bool = False

    @property
    def is_point_to_point(self) -> bool:
        """Whether it is a link without Ethernet, as a tunnel: `pointopoint` names the other end, or is true."""
        return self.pointopoint is not False

    @property
    def address_lines(self) -> tuple[str, ...]:
        """The addresses as `ip addr add` takes them, with the peer that the link itself has."""
        if not isinstance(self.pointopoint, str):
            return self.addr
        return tuple(line if " peer " in line else self._with_peer(line) for line in self.addr)

    def _with_peer(self, line: str) -> str:
        local, _, rest = line.partition(" ")
        address, _, length = local.partition("/")
        return f"{address} peer {self.pointopoint}/{length or 32} {rest}".strip()


@dataclass(frozen=True)
class HostText:
    """The parts of a host description that make a network namespace."""

    links: tuple[LinkText, ...] = ()
    sysctl: Mapping[str, str] = field(default_factory=dict)
    routes: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    neigh: tuple[str, ...] = ()
    nexthops: tuple[str, ...] = ()
    neigh_default: str = "assume"
    default_rules: bool = True
    conntrack: bool = False
    listen: tuple[Mapping[str, Any], ...] = ()
    policies: tuple[str, ...] = ()

    @property
    def own_addresses(self) -> frozenset[str]:
        """The addresses that some link was given, without their prefix lengths."""
        return frozenset(text.split()[0].partition("/")[0] for link in self.links for text in link.addr)


LINK_KEYS = {
    "kind", "address", "mtu", "up", "carrier", "arp", "addr", "groups", "master", "link", "id", "table", "pointopoint",
}  # fmt: skip


def from_mapping(host: Mapping[str, Any]) -> HostText:
    """Return the host that a parsed TOML document describes; parts that no kernel can be given are left out."""
    links = []
    for name, section in host.get("link", {}).items():
        known = {key: value for key, value in section.items() if key in LINK_KEYS}
        for key in ("addr", "groups"):
            known[key] = tuple(known.get(key, ()))
        links.append(LinkText(name, **known))
    lines = {key: tuple(host.get(key, ())) for key in ("routes", "rules", "neigh", "nexthops")}
    return HostText(
        links=tuple(links),
        sysctl={name: str(value) for name, value in host.get("sysctl", {}).items()},
        neigh_default=host.get("neigh_default", "assume"),
        default_rules=host.get("default_rules", True),
        conntrack=host.get("conntrack", False),
        listen=tuple(host.get("listen", ())),
        policies=tuple(_policy(number, **entry) for number, entry in enumerate(host.get("xfrm", ()))),
        **lines,
    )


def _policy(number: int, match: str, action: str, **direction: str) -> str:
    """Return an IPsec policy as `ip xfrm policy add` takes it: earlier entries decide first."""
    words = match.replace(" and ", " ").split()
    selector = dict(zip(words[::2], words[1::2], strict=True))
    return f"{_selector(**selector)} dir {direction['dir']} action {action} priority {number}"


def _selector(src: str = "0.0.0.0/0", dst: str = "0.0.0.0/0", proto: str = "") -> str:
    return f"src {src} dst {dst}" + (f" proto {proto}" if proto else "")


def from_toml(text: str) -> HostText:
    """Return the host that a TOML text describes."""
    return from_mapping(tomllib.loads(text))


def to_toml(host: Mapping[str, Any]) -> str:
    """Return a mapping of that shape as the TOML text a person would write."""
    top = [f"{key} = {_value(value)}" for key, value in host.items() if key not in ("sysctl", "link")]
    if host.get("sysctl"):
        top += ["", "[sysctl]", *(f'"{name}" = {_value(value)}' for name, value in host["sysctl"].items())]
    for name, section in host.get("link", {}).items():
        heading = name if name.replace("_", "").isalnum() else f'"{name}"'
        top += ["", f"[link.{heading}]", *(f"{key} = {_value(value)}" for key, value in section.items())]
    return "\n".join(top).strip() + "\n"


def _value(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        case Mapping():
            return "{" + ", ".join(f"{key} = {_value(item)}" for key, item in value.items()) + "}"
        case Sequence():
            items = [_value(item) for item in value]
            return "[" + ", ".join(items) + "]" if len(items) < 2 else "[\n    " + ",\n    ".join(items) + ",\n]"
        case _:
            return str(value)
