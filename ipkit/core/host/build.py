"""A host from what describes it: a parsed file, the outputs of iproute2, a list of routes, or nothing at all.

Law: text and mappings in, a HostConfig out or one HostError that names file, key and reason; never half a host.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from ipkit.core.host.assemble import assemble, with_rules
from ipkit.core.host.config import HostConfig
from ipkit.core.host.document import read_document
from ipkit.core.host.host_words import Place, Said, reading
from ipkit.core.host.iproute_json import Row, objects, rule_words
from ipkit.core.host.kernel import KernelProfile
from ipkit.core.host.route_list import read_route_list
from ipkit.core.host.rule_words import read_rule
from ipkit.core.host.snapshot import is_json, read_snapshot
from ipkit.core.host.words import TABLES

BUILT_IN: Final[Mapping[str, object]] = MappingProxyType(
    {
        "routes": ["default via 198.51.100.254 dev eth1"],
        "sysctl": {"net.ipv4.ip_forward": 1},
        "link": {"eth0": {"addr": ["192.0.2.1/24"]}, "eth1": {"addr": ["198.51.100.1/24"]}},
    }
)
"""The two-armed router that stands in where no host is given."""


def build_host(
    description: Mapping[str, object], *, file: str, kernel: KernelProfile, sysctls: Sequence[str] = ()
) -> HostConfig:
    """Return the host of a parsed TOML file."""
    return assemble(read_document(description, file), kernel, sysctls)


def builtin_host(kernel: KernelProfile, sysctls: Sequence[str] = ()) -> HostConfig:
    """Return the built-in host."""
    return build_host(BUILT_IN, file="built-in host", kernel=kernel, sysctls=sysctls)


def host_from_snapshot(
    parts: Mapping[str, str], *, folder: str, kernel: KernelProfile, sysctls: Sequence[str] = ()
) -> HostConfig:
    """Return the host of a snapshot: texts by the names of their files."""
    return assemble(read_snapshot(parts, folder), kernel, sysctls)


def host_from_routes(
    lines: Iterable[str], *, file: str, kernel: KernelProfile, sysctls: Sequence[str] = ()
) -> HostConfig:
    """Return a forwarding host that has the links which a list of routes names."""
    return assemble(read_route_list(lines, file), kernel, sysctls)


def host_with_rules(host: HostConfig, text: str, *, file: str) -> HostConfig:
    """Return a host with the rules of a list, as `ip rule` or `ip -j rule` prints them, besides its own."""
    said = []
    with reading(Place(file, "")):
        rows: list[Row | str] = [*objects(text)] if is_json(text) else [*text.splitlines()]
    for number, row in enumerate(rows, 1):
        place = Place(file, f"line {number}" if isinstance(row, str) else f"rule {number}")
        with reading(place):
            line = row if isinstance(row, str) else rule_words(row)
            if line.strip():
                said.append(Said(place, read_rule(line, TABLES)))
    return with_rules(host, said)
