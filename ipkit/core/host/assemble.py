"""The host that a description makes: links, knobs, addresses, routes, rules, in the order in which a kernel gets them.

Law: all or nothing. What contradicts itself is refused with the place where it stands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Final

from ipkit.core.host.address_entries import add_addresses, made_elsewhere
from ipkit.core.host.config import HostConfig, Link, Neighbour, Trust
from ipkit.core.host.fib import DEFAULT_RULES, BulkRoutes, Fib, FibEntry, Rule
from ipkit.core.host.fib_draft import FibDraft
from ipkit.core.host.host_words import HostWords, KnobNames, Place, RuleList, Said, reading
from ipkit.core.host.kernel import KernelProfile
from ipkit.core.host.links import Taken, check_device, take_links
from ipkit.core.host.nexthop_words import NexthopWords
from ipkit.core.host.route_check import NEXTHOP_OBJECT, Surroundings, fib_check_nh
from ipkit.core.host.route_columns import RowError
from ipkit.core.host.routes import Intake, columns_after_down, fib_sync_down_dev, take_routes
from ipkit.core.host.rules import Judge, has_vrf, take_rules, usual_rules
from ipkit.core.host.sysctl_tree import Setting, SysctlTree, UnknownKnobError, read_setting
from ipkit.core.host.words import WordError

COMMAND_LINE: Final = "--sysctl"


def assemble(said: HostWords, kernel: KernelProfile, sysctls: Sequence[str]) -> HostConfig:
    """Return the host; `sysctls` are NAME=VALUE of the command line and come last."""
    taken = take_links(said.links, said.file)
    tree = _sysctl_tree(said, taken, kernel, sysctls)
    links = {name: replace(one.link, conf=tree.device(name), neigh=tree.neigh(name)) for name, one in taken.items()}
    made = usual_rules(links.values()) if said.rule_list is RuleList.ADDED else ()
    rules = take_rules(said.rules, made, Judge(kernel, said.trust))
    tables, bulk = _tables(said, Surroundings(kernel, links, FibDraft(), _nexthops(said.nexthops), said.trust), taken)
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
        trust=said.trust,
        sysctls=tree.settings(),
    )


def with_rules(host: HostConfig, said: Sequence[Said[Rule]]) -> HostConfig:
    """Return a host with more rules."""
    rules = take_rules(said, host.fib.rules, Judge(host.kernel, Trust.JUDGED))
    return replace(host, fib=replace(host.fib, rules=rules, has_custom_rules=_splits_tables(rules, host.links)))


def _splits_tables(rules: Sequence[Rule], links: Mapping[str, Link]) -> bool:
    """Tell whether local and main are two tries: since the first rule of one's own, or the first VRF."""
    return has_vrf(links.values()) or tuple(replace(rule, protocol="") for rule in rules) != DEFAULT_RULES


def _sysctl_tree(
    said: HostWords, links: Mapping[str, object], kernel: KernelProfile, sysctls: Sequence[str]
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


def _from_command_line(text: str, links: Mapping[str, object], kernel: KernelProfile) -> Setting:
    name, equals, value = text.partition("=")
    place = Place(COMMAND_LINE, name.strip())
    if not equals:
        raise place.error("NAME=VALUE is needed")
    with reading(place):
        return read_setting(name, value.strip(), links, kernel)


def _tables(
    said: HostWords, around: Surroundings, taken: Mapping[str, Taken]
) -> tuple[dict[int, tuple[FibEntry, ...]], dict[int, BulkRoutes]]:
    """Return the tables once everything was added; what a dump held of links that are down is gone again."""
    draft, links = around.draft, around.links
    added = {name: one.added for name, one in taken.items()}
    add_addresses(around, added)
    intake = Intake(around, lambda row: said.route_place(row).key, cache(lambda: made_elsewhere(around, added)))
    try:
        bulk = take_routes(said.routes, intake)
    except RowError as error:
        raise said.route_place(error.row).error(error) from None
    if said.trust is Trust.JUDGED:
        _check_nexthops(said.nexthops, around)
    fib_sync_down_dev(draft, links)
    return draft.entries(), {table: columns_after_down(columns, links) for table, columns in bulk.items()}


def _check_nexthops(said: Sequence[Said[NexthopWords]], around: Surroundings) -> None:
    """Refuse a nexthop object that the kernel would not make: its link must be up and have a carrier."""
    for one in said:
        if one.value.hop:
            with reading(one.place):
                made = fib_check_nh(one.value.hop, NEXTHOP_OBJECT, around)
                if not around.links[made.dev].carrier:
                    raise WordError(f"the link {made.dev} has no carrier")


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
    """Return the neighbours; what is said last of one counts, as with `ip neigh replace`."""
    found: dict[tuple[int, str, bool], Neighbour] = {}
    for one in said:
        neighbour = one.value
        with reading(one.place):
            check_device(neighbour.dev, links)
        found[neighbour.address, neighbour.dev, neighbour.proxy] = neighbour
    return tuple(found.values())
