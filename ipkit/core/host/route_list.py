"""A host from nothing but a list of routes: its links are those that the routes name.

Law: told by content, never by name: `ip -j route`, `ip route`, /proc/net/route, or lines of PREFIX NEXTHOP [DEV].
Addresses are those that connected routes were made for; what no link reaches is taken as it stands.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Final

from ipkit.core.host.config import LinkKind, Trust
from ipkit.core.host.host_words import HostWords, LinkWords, Place, Said
from ipkit.core.host.route_columns import PROC_HEADER, RouteColumns, RowError
from ipkit.core.host.route_words import Form, RouteWords
from ipkit.core.host.words import TABLES, mask
from ipkit.core.wire.ipv4 import address_text

UNNAMED_LINK: Final = "eth0"
"""The link of a list that names none."""


def read_route_list(lines: Iterable[str], file: str) -> HostWords:
    """Return what a list of routes says."""
    columns, unit = RouteColumns(TABLES, Form.LISTED), "line {}"
    source = iter(lines)
    first = next((line for line in source if line.strip()), "")
    skipped = chain([first], source)
    try:
        if first.lstrip().startswith("["):
            unit = "route {}"
            columns.read_json("".join(skipped))
        elif tuple(first.split()[:3]) == PROC_HEADER:
            columns.read_proc(skipped)
        else:
            columns.read_lines(skipped)
    except RowError as error:
        raise Place(file, unit.format(error.row)).error(error) from None
    said = HostWords(
        file,
        columns,
        lambda row: Place(file, unit.format(row)),
        trust=Trust.ACCEPTED,
    )
    said.links = _links(columns, file)
    said.settings = [Said(Place(file, ""), ("net.ipv4.ip_forward", 1))]
    return said


def _links(columns: RouteColumns, file: str) -> list[LinkWords]:
    names = dict.fromkeys(hop.dev for ending in columns.endings for hop in ending.hops if hop.dev)
    if not set(names) - {"lo"}:
        names[UNNAMED_LINK] = None
    links = {name: LinkWords(name, Place(file, f"dev {name}")) for name in names}
    if "lo" in links:
        links["lo"].kind = LinkKind.LOOPBACK
    for row in columns.connected():
        ending = columns.endings[columns.kinds[row]]
        prefix, length = columns.prefixes[row], columns.lengths[row]
        place = Place(file, f"line {columns.rows[row]}")
        links[ending.hops[0].dev].addr.append(Said(place, _address(ending, prefix, length)))
    return list(links.values())


def _address(ending: RouteWords, prefix: int, length: int) -> str:
    """Return the address whose prefix a route connects."""
    own = address_text(ending.prefsrc)
    if ending.prefsrc & mask(length) != prefix:
        own = f"{own} peer {address_text(prefix)}"
    metric = f" metric {ending.priority}" if ending.priority else ""
    return f"{own}/{length}{metric}"
