"""The tables of one host, ready to be looked up in.

Law: what follows from the host description alone, worked out once and only when it is asked for. Tables are indexed at
the first lookup in them.
"""

from __future__ import annotations

from functools import cached_property

from ipkit.core.host.address_classes import class_starts
from ipkit.core.host.config import HostConfig, LinkKind
from ipkit.core.host.fib import TABLE_LOCAL, TABLE_MAIN, FibEntry, NextHopFlag, RouteType
from ipkit.core.host.fib_rules import RuleStep, rule_steps
from ipkit.core.host.fib_table import BulkTable, FibTable, PrefixTable


class FibTables:
    """Every table and rule of a host, and the links as routing sees them."""

    def __init__(self, host: HostConfig) -> None:
        self.host = host
        self.kernel = host.kernel
        self.has_custom_rules = host.fib.has_custom_rules
        self._indexed: dict[int, PrefixTable | None] = {}
        self.nexthop_sources: dict[tuple[str, int, int], int] = {}

    def table(self, number: int) -> PrefixTable | None:
        """Return a table, indexed; None: it has no route, so it is not there."""
        if number not in self._indexed:
            self._indexed[number] = self._index(number)
        return self._indexed[number]

    def _index(self, number: int) -> PrefixTable | None:
        """Index one table; on a host that never had a rule of its own, local and main are one trie."""
        fib = self.host.fib
        if not self.has_custom_rules and number == TABLE_LOCAL:
            return self.table(TABLE_MAIN)
        numbers = (TABLE_LOCAL, TABLE_MAIN) if number == TABLE_MAIN and not self.has_custom_rules else (number,)
        entries: list[FibEntry] = []
        for part in numbers:
            entries += fib.tables.get(part, ())
            if part != number and (beside := fib.bulk.get(part)):
                entries += [beside.entry(row) for row in range(len(beside.prefixes))]
        bulk = fib.bulk.get(number)
        if bulk is not None:
            return BulkTable(entries, bulk)
        return FibTable(entries) if entries else None

    @cached_property
    def steps(self) -> tuple[RuleStep, ...]:
        """The rules in the order of their walk."""
        return rule_steps(self.host.fib.rules)

    @cached_property
    def rules_ask_for_ports(self) -> bool:
        """Whether some rule selects by protocol or port, so that packets have to be looked into."""
        return any(rule.ipproto or rule.sport or rule.dport for rule in self.host.fib.rules)

    @cached_property
    def class_starts(self) -> list[int] | None:
        """Where the classes of addresses begin that no lookup tells apart; None: there are too many."""
        return class_starts(self.host)

    @cached_property
    def gateways(self) -> frozenset[tuple[str, int]]:
        """Every gateway that some route uses, with its device."""
        fib = self.host.fib
        entries = [entry for table in fib.tables.values() for entry in table]
        entries += [entry for bulk in fib.bulk.values() for entry in bulk.templates]
        used = (nexthop for entry in entries for nexthop in entry.nexthops if not nexthop.flags & NextHopFlag.DEAD)
        return frozenset((nexthop.dev, nexthop.gateway) for nexthop in used)

    @cached_property
    def loopback(self) -> str:
        """The name of the loopback device."""
        return next((link.name for link in self.host.links.values() if link.kind is LinkKind.LOOPBACK), "lo")

    @cached_property
    def vrfs(self) -> dict[str, str]:
        """The VRF of every link that is one or is in one."""
        links = self.host.links
        found = {}
        for link in links.values():
            if link.kind is LinkKind.VRF:
                found[link.name] = link.name
            elif link.master is not None and links[link.master].kind is LinkKind.VRF:
                found[link.name] = link.master
        return found

    def vrf_table(self, dev: str) -> int:
        """Return the table in which the addresses of a link are looked up."""
        vrf = self.vrfs.get(dev)
        return self.host.links[vrf].vrf_table if vrf else TABLE_LOCAL

    @cached_property
    def carrier_minded(self) -> frozenset[str]:
        """The links over which routes count as gone while there is no carrier."""
        return frozenset(link.name for link in self.host.links.values() if link.conf.ignore_routes_with_linkdown)

    @cached_property
    def without_carrier(self) -> frozenset[str]:
        """The links that put nothing on a wire, because the cable is out."""
        return frozenset(link.name for link in self.host.links.values() if not link.carrier)

    @cached_property
    def own_addresses(self) -> dict[int, str]:
        """Every address of every link, and the link that got it last."""
        return {address.local: link.name for link in self.host.links.values() for address in link.addresses}

    @cached_property
    def has_custom_local_routes(self) -> bool:
        """Whether somebody added a route of type local by hand."""
        return any(
            entry.type is RouteType.LOCAL and entry.protocol != "kernel"
            for entries in (
                *self.host.fib.tables.values(),
                *(bulk.templates for bulk in self.host.fib.bulk.values()),
            )
            for entry in entries
        )
