"""What addresses bring is what a running kernel lists; a host read from its outputs holds the same tables."""

from __future__ import annotations

import re
import tomllib
from typing import Final

import pytest

from ipkit.core.host.build import build_host, host_from_snapshot
from ipkit.core.host.config import HostConfig
from ipkit.core.host.describe import describe_host
from ipkit.core.host.kernel import LINUX_6_18
from tests.kernel.lookup_cases import lookup_case
from tests.kernel.namespace import Namespace
from tests.support.listings import listed
from tests.unit.test_host_addresses import LISTED

pytestmark = pytest.mark.kernel

SEEDS: Final = range(0, 40, 4)
STATE: Final = re.compile(r" (dead|linkdown)(?= |$)")
OUTPUTS: Final = {
    "link.json": "-j -d link",
    "addr.json": "-j addr",
    "rule.json": "-j rule",
    "neigh.json": "-j neigh",
    "nexthop.json": "-j nexthop",
    "maddr.json": "-j maddr",
}
ROUTES: Final = {"json": "-j route show table all", "text": "route show table all"}


def listing(namespace: Namespace) -> list[str]:
    """Return what `ip route show table all` prints, a route a line."""
    lines: list[str] = []
    for line in namespace.ip("-4", "route", "show", "table", "all").splitlines():
        if line[0] in "\t ":
            lines[-1] += f" {line}"
        else:
            lines.append(line)
    return sorted(comparable(" ".join(line.split())) for line in lines)


def comparable(line: str) -> str:
    """Leave out what a dump says of links by rules of its own, what JSON does not say, and a blackhole's device."""
    head, nexthop, tail = STATE.sub("", line).partition(" nexthop")
    head = head.replace(" onlink", "") if nexthop else head
    head = head.replace(" dev lo", "") if head.startswith("blackhole") else head
    return (head + nexthop + tail).replace(" lock", "")


def modelled(host: HostConfig) -> list[str]:
    return sorted(comparable(line) for line in listed(host))


@pytest.mark.parametrize(("addr", "lines"), LISTED, ids=[" + ".join(addr) for addr, _ in LISTED])
def test_an_address_brings_what_the_kernel_lists(addr: list[str], lines: list[str]) -> None:
    with Namespace({"link": {"t0": {"addr": addr}}}) as namespace:
        assert [line for line in listing(namespace) if "dev lo" not in line] == sorted(lines)


@pytest.mark.parametrize("form", ROUTES)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_host_read_from_outputs_holds_the_kernels_tables(seed: int, form: str) -> None:
    for number in range(seed, seed + 4):
        with Namespace(lookup_case(number, 1).host, strict=False) as namespace:
            parts = {name: namespace.ip(*words.split()) for name, words in OUTPUTS.items()}
            parts["route.json"] = namespace.ip(*ROUTES[form].split())
            host = host_from_snapshot(parts, folder="dump", kernel=LINUX_6_18)
            assert modelled(host) == listing(namespace)
            saved = build_host(tomllib.loads(describe_host(host)), file="saved", kernel=LINUX_6_18)
            assert saved == host
