"""The hosts of the recordings: what a 6.18 kernel listed after it was given them is what the model holds."""

from __future__ import annotations

import json
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from ipkit.core.host.build import build_host
from ipkit.core.host.config import HostConfig
from ipkit.core.host.describe import describe_host
from ipkit.core.host.iproute_text import rule_text
from ipkit.core.host.kernel import LINUX_6_18
from tests.support.listings import dotted, listed

RECORDINGS = sorted((Path(__file__).parent.parent / "vectors" / "kernel").glob("*.json"))


@cache
def recording(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def host_of(path: Path) -> HostConfig:
    return build_host(tomllib.loads(recording(path)["host"]), file=path.name, kernel=LINUX_6_18)


def as_one_line(line: str) -> str:
    """Return a route as it is listed, the flags that belong to all of several next hops left out."""
    head, nexthop, tail = line.partition(" nexthop")
    return " ".join(f"{head.replace(' linkdown', '') if nexthop else head}{nexthop}{tail}".split())


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_the_tables_are_those_that_the_kernel_listed(path: Path) -> None:
    listing: list[str] = []
    for line in recording(path)["state"]["routes"]:
        if line.startswith("nexthop"):
            listing[-1] += f" {line}"
        else:
            listing.append(line)
    assert sorted(listed(host_of(path))) == sorted(as_one_line(line) for line in listing)


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_rules_neighbours_addresses_and_indexes_are_the_kernels(path: Path) -> None:
    state, host = recording(path)["state"], host_of(path)
    assert [link.ifindex for link in host.links.values()] == list(state["ifindex"].values())
    assert list(host.links) == list(state["ifindex"])
    prefs = [int(line.partition(":")[0]) for line in state["rules"]]
    assert [rule.pref for rule in host.fib.rules] == prefs
    neighbours = {
        f"{dotted(one.address)} dev {one.dev} lladdr {(one.lladdr or b'').hex(':')}" for one in host.neighbours
    }
    assert neighbours == {line.removesuffix(" PERMANENT") for line in state["neigh"] if " lladdr " in line}
    addresses = [
        f"{link.ifindex}: {link.name} inet {dotted(one.local)}/{one.prefix_len}"
        for link in host.links.values()
        for one in link.addresses
    ]
    assert addresses == [" ".join(line.split()[:4]) for line in state["addr"]]


def test_a_rule_is_written_as_it_was_given() -> None:
    path = next(path for path in RECORDINGS if path.stem == "policy")
    written = [rule_text(rule) for rule in host_of(path).fib.rules]
    assert written[2] == "from all to 198.18.50.0/24 lookup 101 pref 110"
    assert written[13] == "not from 192.0.2.0/24 lookup 108 pref 190"


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_a_host_that_is_written_and_read_again_is_the_same(path: Path) -> None:
    host = host_of(path)
    text = describe_host(host)
    assert build_host(tomllib.loads(text), file="saved", kernel=LINUX_6_18) == host
