"""The host that a description makes: links, knobs, addresses, routes, rules, in the order in which a kernel gets them.

Law: all or nothing. What contradicts itself is refused with the place where it stands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from ipkit.core.host.addresses import Ground, entries_of
from ipkit.core.host.config import GatewayCheck, HostConfig, Link, Neighbour
from ipkit.core.host.fib import DEFAULT_RULES, SCOPE_UNIVERSE, TABLE_MAIN, BulkRoutes, Fib, FibEntry, Rule
from ipkit.core.host.fib_draft import FibDraft
from ipkit.core.host.host_words import HostWords, KnobNames, Place, RuleList, Said, reading
from ipkit.core.host.kernel import KernelProfile, NetworkAddress
from ipkit.core.host.links import check_device, take_links
from ipkit.core.host.nexthop_words import NexthopWords
from ipkit.core.host.route_check import Surroundings, fib_check_nh
from ipkit.core.host.route_columns import RowError
from ipkit.core.host.route_words import RouteWords
from ipkit.core.host.routes import Intake, columns_after_down, fib_sync_down_dev, identity, take_routes
from ipkit.core.host.rules import has_vrf, take_rules, usual_rules
from ipkit.core.host.sysctl_tree import Setting, SysctlTree, UnknownKnobError, read_setting
from ipkit.core.host.words import WordError

COMMAND_LINE: Final = "--sysctl"


def assemble(said: HostWords, kernel: KernelProfile, sysctls: Sequence[str]) -> HostConfig:
    """Return the host; `sysctls` are NAME=VALUE of the command line and come last."""
    links = take_links(said.links, said.file)
    tree = _sysctl_tree(said, links, kernel, sysctls)
    links = {name: replace(link, conf=tree.device(name), neigh=tree.neigh(name)) for name, link in links.items()}
    made = usual_rules(links.values()) if said.rule_list is RuleList.ADDED else ()
    rules = take_rules(said.rules, made, kernel)
    tables, bulk = _tables(said, kernel, links)
    return HostConfig(
        kernel=kernel,
        links=links,
        fib=Fib(tables, rules, _splits_tables(rules, links), bulk),
        net=tree.net(),
        neighbours=_neighbours(said.neighbours, links),
        neigh_default=said.neigh_default,
        conntrack=said.conntrack,
        listeners=tuple(one.value for one in said.listeners),
        hooks=tuple(one.value for one in said.hooks),
        policies=tuple(one.value for one in said.policies),
        gateways=said.gateways,
        sysctls=tree.settings(),
    )


def with_rules(host: HostConfig, said: Sequence[Said[Rule]]) -> HostConfig:
    """Return a host with more rules."""
    rules = take_rules(said, host.fib.rules, host.kernel)
    return replace(host, fib=replace(host.fib, rules=rules, has_custom_rules=_splits_tables(rules, host.links)))


def _splits_tables(rules: Sequence[Rule], links: Mapping[str, Link]) -> bool:
    """Tell whether local and main are two tries: since the first rule of one's own, or the first VRF."""
    return has_vrf(links.values()) or tuple(replace(rule, protocol="") for rule in rules) != DEFAULT_RULES


def _sysctl_tree(
    said: HostWords, links: Mapping[str, Link], kernel: KernelProfile, sysctls: Sequence[str]
) -> SysctlTree:
    tree = SysctlTree(kernel, links)
    settings = []
    for one in said.settings:
        try:
            settings.append(read_setting(*one.value, links, kernel))
        except UnknownKnobError as error:
            if said.knob_names is KnobNames.CHECKED:
                raise one.place.error(error) from None
        except WordError as error:
            raise one.place.error(error) from None
    tree.write_file(settings)
    with reading(Place(said.file, "sysctl")):
        tree.check()
    for text in sysctls:
        tree.write(_from_command_line(text, links, kernel))
    with reading(Place(COMMAND_LINE, "")):
        tree.check()
    return tree


def _from_command_line(text: str, links: Mapping[str, Link], kernel: KernelProfile) -> Setting:
    name, equals, value = text.partition("=")
    place = Place(COMMAND_LINE, name.strip())
    if not equals:
        raise place.error("NAME=VALUE is needed")
    with reading(place):
        return read_setting(name, value.strip(), links, kernel)


def _tables(
    said: HostWords, kernel: KernelProfile, links: Mapping[str, Link]
) -> tuple[dict[int, tuple[FibEntry, ...]], dict[int, BulkRoutes]]:
    """Return the tables as they are when everything was added and then the links that are down went down."""
    draft = FibDraft()
    around = Surroundings(kernel, links, draft, _nexthops(said.nexthops), said.gateways)
    for entry in _made_by_addresses(around, kernel):
        if all(placed.entry != entry for placed in draft.at(entry.table, entry.prefix, entry.length)):
            draft.add(entry)
    elsewhere = replace(kernel, network_address=NetworkAddress.BROADCAST)
    intake = Intake(
        around,
        said.listing,
        lambda row: said.route_place(row).key,
        frozenset(identity(entry) for entry in _made_by_addresses(around, elsewhere)),
    )
    try:
        bulk = take_routes(said.routes, intake)
    except RowError as error:
        raise said.route_place(error.row).error(error) from None
    for one in said.nexthops:
        if one.value.hop and said.gateways is GatewayCheck.RESOLVED:
            with reading(one.place):
                fib_check_nh(one.value.hop, RouteWords(table=TABLE_MAIN, scope=SCOPE_UNIVERSE), around)
    fib_sync_down_dev(draft, links)
    return draft.entries(), {table: columns_after_down(columns, links) for table, columns in bulk.items()}


def _made_by_addresses(around: Surroundings, kernel: KernelProfile) -> list[FibEntry]:
    """Return what the addresses bring while every link is up."""
    return [
        entry
        for link in around.links.values()
        for entry in entries_of(replace(link, up=True), Ground(kernel, around.l3mdev_table(link.name)))
    ]


def _nexthops(said: Sequence[Said[NexthopWords]]) -> dict[int, NexthopWords]:
    """Return the nexthop objects by id, once their groups are known to consist of single ones."""
    found: dict[int, NexthopWords] = {}
    for one in said:
        if found.setdefault(one.value.id, one.value) is not one.value:
            raise one.place.error(f"there is a nexthop {one.value.id} already")
    for one in said:
        for member, _ in one.value.group:
            if member not in found:
                raise one.place.error(f"there is no nexthop {member}")
            if found[member].group:
                raise one.place.error(f"nexthop {member} is a group itself")
            if found[member].blackhole and len(one.value.group) > 1:
                raise one.place.error(f"nexthop {member} is a blackhole: it can only be alone")
    return found


def _neighbours(said: Sequence[Said[Neighbour]], links: Mapping[str, Link]) -> tuple[Neighbour, ...]:
    seen = set()
    for one in said:
        neighbour = one.value
        with reading(one.place):
            check_device(neighbour.dev, links)
        key = (neighbour.address, neighbour.dev, neighbour.proxy)
        if key in seen:
            raise one.place.error("the same neighbour twice")
        seen.add(key)
    return tuple(one.value for one in said)
