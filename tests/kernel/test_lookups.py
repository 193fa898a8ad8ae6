"""Truth for routing: seeded hosts and lookups, the model's answers and tables against the running kernel's.

`IPKIT_KERNEL_HOSTS` says how many hosts are tried (default 150). A failure shows the least host that still disagrees.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import cache
from typing import Any, Final

import pytest

from ipkit.errors import HostError
from tests.kernel import model
from tests.kernel.host_lines import line_of, reduced, without
from tests.kernel.hostfile import to_toml
from tests.kernel.lookup_cases import lookup_case
from tests.kernel.lookups import Lookup
from tests.kernel.namespace import HostRefusedError, Namespace, Refusal

pytestmark = pytest.mark.kernel

HOSTS: Final = int(os.environ.get("IPKIT_KERNEL_HOSTS", "150"))
HOSTS_A_TEST: Final = 10
SEEDS = pytest.mark.parametrize("first_seed", range(0, HOSTS, HOSTS_A_TEST))

Host = dict[str, Any]

TELLING_HOSTS: Final = {
    "`ip route get` asks with a packet, so hash policy 3 is that of packets": (
        {
            "routes": ["10.1.2.128/26 nexthop via 203.0.113.126 weight 3 nexthop via 203.0.113.1 weight 3"],
            "sysctl": {
                "net.ipv4.fib_multipath_hash_seed": 854427093,
                "net.ipv4.fib_multipath_hash_policy": 3,
            },
            "link": {"eth0": {"addr": ["203.0.113.1/25"]}},
        },
        Lookup("10.1.2.191"),
    ),
    "the source of a route by a nexthop object is chosen with the scope of the object": (
        {
            "routes": ["203.0.113.0/24 nhid 2"],
            "nexthops": ["id 2 via 172.0.0.0 dev eth1"],
            "link": {"eth1": {"addr": ["172.16.230.63/8 scope site"]}},
        },
        Lookup("203.0.113.197"),
    ),
    "a nexthop group does not prefer the member whose source the packet has": (
        {
            "routes": ["10.1.2.202/31 metric 50 nhid 4"],
            "nexthops": [
                "id 1 via 10.1.2.254 dev eth3",
                "id 2 via 10.1.2.192 dev eth3",
                "id 3 via 10.1.2.191 dev eth1",
                "id 4 group 3,3/2,3/1,1",
            ],
            "sysctl": {"net.ipv4.fib_multipath_hash_seed": 3684193676},
            "link": {"eth1": {"addr": ["10.1.2.191/32"]}, "eth3": {"addr": ["10.1.2.130/25"]}},
        },
        Lookup("10.1.2.202", src="10.1.2.191"),
    ),
    "a next hop without carrier is printed as dead where that makes it so": (
        {
            "routes": ["default nexthop via 172.24.0.48 weight 2 nexthop via 203.0.113.253 dev eth1 weight 2"],
            "sysctl": {"net.ipv4.conf.all.ignore_routes_with_linkdown": 1},
            "link": {
                "eth0": {"carrier": False, "addr": ["172.24.0.0/25"]},
                "eth1": {"addr": ["203.0.113.254/30"]},
            },
        },
        Lookup("0.1.2.3", fibmatch=1),
    ),
}
"""Least hosts, each for one thing that is easily modelled otherwise."""


@cache
def taken(seed: int) -> tuple[Host, list[Refusal]]:
    """Return the host of a seed without what the kernel refuses, and what that was."""
    host = lookup_case(seed).host
    with Namespace(host, strict=False) as namespace:
        refused = namespace.refused
    for refusal in reversed(refused):
        host = without(host, line_of(host, refusal))
    return host, refused


def kernel_lines(host: Host, *lookups: Lookup) -> list[str]:
    with Namespace(host) as namespace:
        return namespace.route_get_lines(*lookups)


def kernel_tables(host: Host) -> list[str]:
    with Namespace(host) as namespace:
        return namespace.ip("-4", "-o", "route", "show", "table", "all").splitlines()


def smallest(host: Host, disagrees: Callable[[Host], bool]) -> Host:
    """Return the least of a host that kernel and model both take and disagree about."""

    def still(fewer: Host) -> bool:
        try:
            return disagrees(fewer)
        except (HostRefusedError, HostError, KeyError):  # KeyError: a link that the lookup names is out
            return False

    return reduced(host, still)


@SEEDS
def test_lookups_are_the_kernels(first_seed: int) -> None:
    for seed in range(first_seed, first_seed + HOSTS_A_TEST):
        case = lookup_case(seed)
        host, _ = taken(seed)
        routing = model.routing(host)
        for lookup, told in zip(case.lookups, kernel_lines(host, *case.lookups), strict=True):
            modelled = model.answer_line(routing, lookup)
            if modelled != told:
                pytest.fail(f"seed {seed}: ip route get {lookup.words()}\n{lookup_report(host, lookup)}")


@pytest.mark.parametrize("name", TELLING_HOSTS)
def test_telling_hosts(name: str) -> None:
    host, lookup = TELLING_HOSTS[name]
    assert [model.answer_line(model.routing(host), lookup)] == kernel_lines(host, lookup)


def lookup_report(host: Host, lookup: Lookup) -> str:
    """Return the least host that shows a disagreement, with both answers."""

    def answers(some: Host) -> tuple[str, str]:
        (told,) = kernel_lines(some, lookup)
        return told, model.answer_line(model.routing(some), lookup)

    def disagrees(fewer: Host) -> bool:
        told, modelled = answers(fewer)
        return told != modelled and not told.startswith(("Error", "Cannot"))

    least = smallest(host, disagrees)
    return "kernel: {}\nmodel:  {}\n{}".format(*answers(least), to_toml(least))


@SEEDS
def test_tables_are_the_kernels(first_seed: int) -> None:
    """What addresses, links and routes have put into all tables, flags and metrics included."""
    for seed in range(first_seed, first_seed + HOSTS_A_TEST):
        host, _ = taken(seed)
        if table_differences(host):
            least = smallest(host, lambda fewer: bool(table_differences(fewer)))
            pytest.fail(f"seed {seed}:\n{table_differences(least)}\n{to_toml(least)}")


def table_differences(host: Host) -> str:
    told = [_plain(line) for line in kernel_tables(host)]
    modelled = [_plain(line.replace("\n", "\\")) for line in model.table_lines(model.routing(host))]
    kernel_only = [line for line in told if line not in modelled]
    model_only = [line for line in modelled if line not in told]
    return "\n".join(
        [*(f"kernel only: {line}" for line in kernel_only), *(f"model only:  {line}" for line in model_only)]
    )


def _plain(line: str) -> str:
    """Return a line without what follows from the rest of it: a link is `dead` where no carrier counts as that."""
    line = line.replace(" dead", "")
    line = re.sub(r"(nhid \d+) (tos \S+)", r"\2 \1", line)
    return line.replace(" dev lo", "") if line.startswith("blackhole") else line


@SEEDS
def test_what_the_kernel_refuses_is_refused(first_seed: int) -> None:
    """A line that the kernel refuses even when all others stand is an error of the description."""
    for seed in range(first_seed, first_seed + HOSTS_A_TEST):
        rest, refused = taken(seed)
        with Namespace({**rest, "rules": []}) as namespace:  # rules come after the routes
            refused = [refusal for refusal in refused if namespace.refuses(refusal.command)]
        for refusal in refused:
            with pytest.raises(HostError):
                pytest.fail(f"seed {seed}: {refusal}\n{to_toml(model_takes(seed, refusal))}")


def test_an_onlink_gateway_is_no_address_of_another_link() -> None:
    links = {"eth0": {"addr": ["192.0.2.1/24"]}, "eth1": {"addr": ["198.51.100.1/24"]}}
    host = {"routes": ["203.0.113.0/24 via 198.51.100.1 dev eth0 onlink"], "link": links}
    with pytest.raises(HostRefusedError, match="invalid gateway"):
        Namespace(host)
    with pytest.raises(HostError):
        model.routing(host)


def model_takes(seed: int, only: Refusal) -> Host:
    """Return the host with this one of its refused lines, if the model takes it; the rest of them are out."""
    host = lookup_case(seed).host
    for refusal in reversed(taken(seed)[1]):
        if refusal != only:
            host = without(host, line_of(host, refusal))
    model.routing(host)
    return host
