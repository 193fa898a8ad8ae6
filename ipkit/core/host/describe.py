"""A host as the file that describes it: read again under the same kernel, it is the same host.

Law: what follows from the rest is left out: routes that the addresses bring, rules that every host has, knobs at
their defaults.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Final

from ipkit.core.host.address_entries import add_addresses
from ipkit.core.host.addresses import LOOPBACK
from ipkit.core.host.config import HostConfig, Link, LinkKind, Listener, Trust
from ipkit.core.host.fib import FibEntry, Rule
from ipkit.core.host.fib_draft import FibDraft, identity
from ipkit.core.host.iproute_text import local_text, neighbour_text, route_line, rule_text
from ipkit.core.host.links import ALL_HOSTS, WITHOUT_ARP, usual_mtu
from ipkit.core.host.match import Match, match_text
from ipkit.core.host.route_check import Surroundings
from ipkit.core.host.rules import usual_rules
from ipkit.core.wire.ipv4 import PROTO_UDP, address_text
from ipkit.core.wire.link import ETH_P_8021Q, TAG_PROTOCOLS

Key = tuple[str, object]

LINE_LENGTH: Final = 80


def describe_host(host: HostConfig) -> str:
    """Return the TOML text of a host."""
    blocks = [_block("", _top_level(host)), _block("[sysctl]", host.sysctls.items())]
    indexes = _indexes(host.links)
    for link in host.links.values():
        keys = [*_link_keys(link, host.links), *([("ifindex", link.ifindex)] if indexes else [])]
        if keys or link.kind is not LinkKind.LOOPBACK:
            blocks.append(_block(f"[link.{_key(link.name)}]", keys))
    blocks += [_block("[[listen]]", _listener_keys(listener)) for listener in host.listeners]
    for hook in host.hooks:
        blocks.append(_block("[[hook]]", [("at", hook.at), *_match(hook.match), ("verdict", hook.verdict)]))
    for policy in host.policies:
        blocks.append(_block("[[xfrm]]", [("dir", policy.direction), *_match(policy.match), ("action", policy.action)]))
    return "\n".join(block for block in blocks if block)


def _top_level(host: HostConfig) -> Iterator[Key]:
    for name, lines in (
        ("routes", list(_routes(host))),
        ("neigh", [neighbour_text(neighbour) for neighbour in host.neighbours]),
    ):
        if lines:
            yield name, lines
    yield from _rules(host)
    if host.trust is Trust.ACCEPTED:
        yield "accepted", True
    if host.neigh_default != "assume":
        yield "neigh_default", host.neigh_default
    if host.conntrack:
        yield "conntrack", True


def _rules(host: HostConfig) -> Iterator[Key]:
    """Yield the rules besides the usual ones, or all where one of the usual ones is not in its place."""
    usual = usual_rules(host.links.values())
    own = [rule for rule in host.fib.rules if rule not in usual]
    added = sorted([*usual, *own], key=lambda rule: rule.pref)
    whole = tuple(added) != host.fib.rules
    listed: Sequence[Rule] = host.fib.rules if whole else own
    if listed:
        yield "rules", [rule_text(rule) for rule in listed]
    if whole:
        yield "default_rules", False


def _routes(host: HostConfig) -> Iterator[str]:
    """Yield the routes that the addresses do not bring; where several are equal, all, since their order counts."""
    made = _made_by_addresses(host)
    for entries in host.fib.tables.values():
        for _, group in groupby(entries, key=_place):
            equals = list(group)
            for entry in equals:
                own = identity(entry) not in made
                if own or len(equals) > 1:
                    append = "append " if own and len(equals) > 1 else ""
                    yield append + route_line(entry, host.links)
    for columns in host.fib.bulk.values():
        for row in range(len(columns.prefixes)):
            yield route_line(columns.entry(row), host.links)


def _place(entry: FibEntry) -> tuple[int, int, int, int]:
    return entry.prefix, entry.length, entry.tos, entry.priority


def _made_by_addresses(host: HostConfig) -> set[FibEntry]:
    """Return the entries that a reader of the file will have from the addresses alone."""
    around = Surroundings(host.kernel, host.links, FibDraft(), trust=host.trust)
    add_addresses(around, {name: link.addresses for name, link in host.links.items()})
    return {identity(entry) for entries in around.draft.entries().values() for entry in entries}


def _indexes(links: Mapping[str, Link]) -> bool:
    """Tell whether the indexes of the links must be said: they are not the usual ones."""
    return [link.ifindex for link in links.values()] != list(range(1, len(links) + 1)) or next(iter(links)) != "lo"


def _link_keys(link: Link, links: Mapping[str, Link]) -> Iterator[Key]:
    lower = links[link.lower] if link.lower else None
    yield from _kind_keys(link)
    if link.address and (lower is None or link.address != lower.address):
        yield "address", link.address.hex(":")
    if link.mtu != usual_mtu(link.kind, lower):
        yield "mtu", link.mtu
    yield from _state_keys(link)
    if link.kind is not LinkKind.LOOPBACK or link.addresses not in ((), (LOOPBACK,)):
        yield "addr", [local_text(address) for address in link.addresses]
    groups = link.groups - {ALL_HOSTS} if link.up else link.groups
    if groups:
        yield "groups", [address_text(group) for group in sorted(groups)]
    if link.features:
        yield "features", sorted(link.features)
    if link.group:
        yield "group", link.group


def _kind_keys(link: Link) -> Iterator[Key]:
    if link.kind is LinkKind.VLAN:
        yield from (("kind", "vlan"), ("link", link.lower), ("id", link.vlan_id))
        if link.vlan_protocol != ETH_P_8021Q:
            yield "protocol", TAG_PROTOCOLS[link.vlan_protocol]
    elif link.kind is LinkKind.VRF:
        yield from (("kind", "vrf"), ("table", link.vrf_table))
    elif link.kind is LinkKind.POINTOPOINT:
        yield "pointopoint", True
    if link.master:
        yield "master", link.master


def _state_keys(link: Link) -> Iterator[Key]:
    """Yield what differs from a link that is up and has neighbours."""
    for name, value, usual in (
        ("up", link.up, True),
        ("carrier", link.carrier, True),
        ("arp", link.arp, link.kind not in WITHOUT_ARP),
    ):
        if value is not usual:
            yield name, value


def _listener_keys(listener: Listener) -> Iterator[Key]:
    if listener.proto is not None:
        yield from (("proto", "udp" if listener.proto == PROTO_UDP else "tcp"), ("port", listener.port))
        return
    yield from (("proto", "raw"), ("number", listener.raw_number))
    if listener.router_alert:
        yield "router_alert", True


def _match(match: Match) -> list[Key]:
    return [("match", match_text(match))] if match.terms else []


def _block(heading: str, keys: Iterable[Key]) -> str:
    """Return one table of the file, empty where it has neither heading nor keys."""
    lines = [f"{_key(name)} = {_value(value)}" for name, value in keys]
    if heading == "[sysctl]" and not lines:
        return ""
    return "".join(f"{line}\n" for line in [*([heading] if heading else []), *lines])


def _key(name: str) -> str:
    return name if name.replace("_", "a").replace("-", "a").isalnum() and name.isascii() else _value(name)


def _value(value: object) -> str:
    """Return a value in TOML, whose texts are escaped as those of JSON; a long list gets a line for each item."""
    if not isinstance(value, list):
        return json.dumps(value, ensure_ascii=False)
    items = [_value(item) for item in value]
    inline = ", ".join(items)
    return f"[{inline}]" if len(inline) < LINE_LENGTH else "[\n" + "".join(f"    {item},\n" for item in items) + "]"
