"""A host from the outputs of iproute2 on some machine: what each file says, as the words that a host file would have.

Law: a dump is true: what a kernel held is not judged again, and what it holds besides (IPv6, other knobs) is passed
over. The texts come by the names that a snapshot folder has.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from ipkit.core.host.config import LinkKind, Trust
from ipkit.core.host.host_words import HostWords, KnobNames, LinkWords, Place, RuleList, Said, reading
from ipkit.core.host.iproute_json import Row, is_ipv6, neigh_words, nexthop_words, objects, rule_words
from ipkit.core.host.neigh_words import read_neighbour
from ipkit.core.host.nexthop_words import NexthopWords, read_nexthop
from ipkit.core.host.route_columns import RouteColumns, RowError
from ipkit.core.host.route_words import Form
from ipkit.core.host.rule_words import read_rule
from ipkit.core.host.words import MAX_LENGTH, TABLES, WordError, address, link_address, mask, named
from ipkit.core.wire.link import ETH_P_8021AD, ETH_P_8021Q

T = TypeVar("T")

LINKS: Final = "link.json"
ADDRESSES: Final = "addr.json"
ROUTES: Final = "route.json"
RULES: Final = "rule.json"
NEIGHBOURS: Final = "neigh.json"
NEXTHOPS: Final = "nexthop.json"
GROUPS: Final = "maddr.json"
SYSCTLS: Final = "sysctl.txt"
TABLE_NAMES: Final = "rt_tables"
NEEDED: Final = (LINKS, ADDRESSES, ROUTES)
OPTIONAL: Final = (RULES, NEIGHBOURS, NEXTHOPS, GROUPS, SYSCTLS, TABLE_NAMES)

ALL_HOSTS: Final = "224.0.0.1"
NO_ADDRESS: Final = "00:00:00:00:00:00"
ETHERNET_ADDRESS: Final = re.compile(r"[0-9a-fA-F]{1,2}(:[0-9a-fA-F]{1,2}){5}")
"""A neighbour with another kind of address is one of a link that has none of Ethernet's."""

TABLE_NAME: Final = re.compile(r"^\s*(\d+|0x[0-9a-fA-F]+)\s+([^\s#]+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Dump:
    """The texts of a snapshot, and what they are called."""

    folder: str
    parts: Mapping[str, str]

    def place(self, part: str, key: str) -> Place:
        """Return a place in one of the texts."""
        return Place(f"{self.folder}/{part}", key)

    def rows(self, part: str) -> Iterator[tuple[Place, Row]]:
        """Yield the objects of a text, each with its place."""
        at = 0
        with reading(self.place(part, "")):
            for at, row in enumerate(objects(self.parts.get(part) or "[]")):
                yield self.place(part, f"[{at}]"), row

    def lines(self, part: str, words: Callable[[Row], str]) -> Iterator[Said[str]]:
        """Yield a line for each object, or the lines of a text that is not JSON."""
        text = self.parts.get(part, "")
        if not is_json(text):
            for at, line in enumerate(text.splitlines(), 1):
                if line.strip():
                    yield Said(self.place(part, f"line {at}"), line)
            return
        for place, row in self.rows(part):
            if not is_ipv6(row) and ETHERNET_ADDRESS.fullmatch(str(row.get("lladdr", NO_ADDRESS))):
                with reading(place):
                    yield Said(place, words(row))


def is_json(text: str) -> bool:
    """Tell whether an output was made with -j."""
    return text.lstrip()[:1] == "["


def read_snapshot(parts: Mapping[str, str], folder: str) -> HostWords:
    """Return what the outputs say."""
    for part in NEEDED:
        if part not in parts:
            raise Place(folder, part).error("missing")
    dump = Dump(folder, parts)
    tables = {**TABLES, **_table_names(parts.get(TABLE_NAMES, ""))}
    routes = _routes(dump, tables)
    rules = list(_read(dump.lines(RULES, rule_words), lambda text: read_rule(text, tables)))
    return HostWords(
        folder,
        routes,
        lambda row: dump.place(ROUTES, _row_name(parts[ROUTES], row)),
        links=_links(dump, routes),
        settings=list(_settings(dump)),
        rules=rules,
        neighbours=list(_read(dump.lines(NEIGHBOURS, neigh_words), read_neighbour)),
        nexthops=list(_nexthops(dump)),
        trust=Trust.ACCEPTED,
        knob_names=KnobNames.DUMPED,
        rule_list=RuleList.WHOLE if rules else RuleList.ADDED,
    )


def _read(lines: Iterator[Said[str]], read: Callable[[str], T]) -> Iterator[Said[T]]:
    for line in lines:
        with reading(line.place):
            yield Said(line.place, read(line.value))


def _table_names(text: str) -> dict[str, int]:
    return {name: int(digits, 16 if "x" in digits else 10) for digits, name in TABLE_NAME.findall(text)}


def _row_name(text: str, row: int) -> str:
    return f"[{row - 1}]" if is_json(text) else f"line {row}"


def _routes(dump: Dump, tables: Mapping[str, int]) -> RouteColumns:
    columns, text = RouteColumns(tables, Form.PRINTED), dump.parts[ROUTES]
    try:
        if is_json(text):
            columns.read_json(text)
        else:
            columns.read_lines(text.splitlines())
    except RowError as error:
        raise dump.place(ROUTES, _row_name(text, error.row)).error(error) from None
    return columns


def _nexthops(dump: Dump) -> Iterator[Said[NexthopWords]]:
    """Yield the nexthop objects; routes repeat what theirs says, so one that is of a kind not modelled can be left."""
    for place, row in dump.rows(NEXTHOPS):
        try:
            found = read_nexthop(nexthop_words(row))
        except WordError:
            continue
        yield Said(place, found)


def _settings(dump: Dump) -> Iterator[Said[tuple[str, object]]]:
    for at, line in enumerate(dump.parts.get(SYSCTLS, "").splitlines(), 1):
        name, equals, value = line.partition("=")
        if equals:
            yield Said(dump.place(SYSCTLS, f"line {at}"), (name.strip(), value.strip()))


def _links(dump: Dump, routes: RouteColumns) -> list[LinkWords]:
    connected = {
        (routes.endings[routes.kinds[row]].hops[0].dev, routes.prefixes[row], routes.lengths[row])
        for row in routes.connected()
    }
    found: dict[str, LinkWords] = {}
    rows = {_name(place, row): (place, row) for place, row in dump.rows(LINKS)}
    for name, (place, _) in rows.items():
        with _printed_by_ip(place):
            found[name] = _link(name, place, rows)
    for place, row in dump.rows(ADDRESSES):
        if link := found.get(_name(place, row)):
            link.addr = [Said(place, line) for line in _addresses(link, place, row, connected)]
    for place, row in dump.rows(GROUPS):
        if link := found.get(_name(place, row)):
            link.groups = frozenset(_groups(place, row))
    return list(found.values())


@contextmanager
def _printed_by_ip(place: Place) -> Iterator[None]:
    """Let a value of an unexpected type be a mistake of the file's."""
    try:
        yield
    except WordError as error:
        raise place.error(error) from None
    except (TypeError, AttributeError, KeyError, ValueError):
        raise place.error("not what `ip -j` prints") from None


def _name(place: Place, row: Row) -> str:
    name = row.get("ifname")
    if not isinstance(name, str):
        raise place.error("no `ifname`")
    return name


def _kind_of(row: Row) -> str:
    return str(row.get("linkinfo", {}).get("info_kind", ""))


def _link(name: str, place: Place, rows: Mapping[str, tuple[Place, Row]]) -> LinkWords:
    row = rows[name][1]
    flags = frozenset(row["flags"])
    data: Mapping[str, Any] = row.get("linkinfo", {}).get("info_data", {})
    link = LinkWords(name, place, _kind(row, flags, rows))
    link.ifindex = int(row["ifindex"])
    link.mtu = int(row["mtu"])
    link.up = "UP" in flags
    link.carrier = "LOWER_UP" in flags or not link.up
    link.arp = "NOARP" not in flags and link.kind is not LinkKind.LOOPBACK
    link.group = int(named(str(row.get("group", "default")), {"default": 0}, 0, (1 << 31) - 1))
    if row.get("link_type") == "ether":
        link.address = link_address(row["address"])
    if link.kind is LinkKind.VLAN:
        link.lower, link.vlan_id = row["link"], int(data["id"])
        link.vlan_protocol = ETH_P_8021AD if data.get("protocol") == "802.1ad" else ETH_P_8021Q
    if link.kind is LinkKind.VRF:
        link.vrf_table = int(data["table"])
    elif row.get("master") in rows and _kind_of(rows[row["master"]][1]) == "vrf":
        link.master = row["master"]
    return link


def _kind(row: Row, flags: frozenset[str], rows: Mapping[str, object]) -> LinkKind:
    if "LOOPBACK" in flags:
        return LinkKind.LOOPBACK
    if _kind_of(row) == "vlan" and row.get("link") in rows:
        return LinkKind.VLAN
    if _kind_of(row) == "vrf":
        return LinkKind.VRF
    return LinkKind.POINTOPOINT if "POINTOPOINT" in flags else LinkKind.ETHERNET


def _addresses(link: LinkWords, place: Place, row: Row, connected: Collection[tuple[str, int, int]]) -> Iterator[str]:
    """Yield the IPv4 addresses of a link as `ip addr add` takes them."""
    with _printed_by_ip(place):
        for info in row.get("addr_info", []):
            if info.get("family") != "inet":
                continue
            length, far = int(info["prefixlen"]), info.get("address", info["local"])
            words = [f"{info['local']} peer {far}/{length}" if far != info["local"] else f"{far}/{length}"]
            for key, word in (("broadcast", "brd"), ("scope", "scope"), ("metric", "metric")):
                words += [word, str(info[key])] if key in info else []
            route = (link.name, address(far) & mask(length), length)
            if info.get("noprefixroute") or (route not in connected and _connects(link, info)):
                words.append("noprefixroute")
            yield " ".join(words)


def _connects(link: LinkWords, info: Row) -> bool:
    """Tell whether an address brings a connected route: where it is missing, somebody took it away."""
    alone = info["prefixlen"] == MAX_LENGTH and "address" not in info
    return link.up and link.kind is not LinkKind.LOOPBACK and not (alone or info.get("secondary"))


def _groups(place: Place, row: Row) -> Iterator[int]:
    with _printed_by_ip(place):
        for entry in row.get("maddr", []):
            if entry.get("family") == "inet" and entry["address"] != ALL_HOSTS:
                yield address(entry["address"])
