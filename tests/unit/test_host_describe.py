"""A host that is written: what the file looks like, and that it is the same host when it is read again."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from ipkit.core.host.build import build_host, builtin_host, host_from_routes
from ipkit.core.host.describe import describe_host
from ipkit.core.host.kernel import LINUX_4_14, LINUX_6_18, KernelProfile
from tests.unit.test_host_addresses import KEPT, LISTED
from tests.unit.test_host_file import EXAMPLE
from tests.unit.test_host_route_list import PRINTED, many
from tests.unit.test_host_routes import BY_OBJECT, LINKS, OBJECTS, TAKEN

KERNELS = pytest.mark.parametrize("kernel", [LINUX_4_14, LINUX_6_18], ids=lambda kernel: kernel.name)

BUILT_IN = """\
routes = ["default via 198.51.100.254 dev eth1"]

[sysctl]
"net.ipv4.ip_forward" = 1

[link.eth0]
addr = ["192.0.2.1/24"]

[link.eth1]
addr = ["198.51.100.1/24"]
"""


def again(text: str, kernel: KernelProfile) -> Any:
    return build_host(tomllib.loads(text), file="saved", kernel=kernel)


@KERNELS
def test_the_built_in_host_is_a_file_of_a_minute(kernel: KernelProfile) -> None:
    assert describe_host(builtin_host(kernel)) == BUILT_IN


@KERNELS
def test_the_example_is_the_same_when_it_is_read_again(kernel: KernelProfile) -> None:
    host = build_host(tomllib.loads(EXAMPLE), file="h.toml", kernel=kernel)
    assert again(describe_host(host), kernel) == host


HOSTS: dict[str, dict[str, Any]] = {
    **{f"route {typed}": {"routes": [typed], "link": LINKS} for typed, _ in TAKEN},
    **{f"by object {typed}": {"routes": [typed], "link": LINKS, "nexthops": OBJECTS} for typed, _ in BY_OBJECT},
    **{f"address {' + '.join(addr)}": {"link": {"t0": {"addr": addr}}} for addr, _ in (*LISTED, *KEPT)},
    "nothing": {},
    "loopback down": {"link": {"lo": {"up": False}}},
    "loopback with more": {"link": {"lo": {"addr": ["10.9.9.9/32"], "mtu": 1500}}},
    "a link down": {"link": {"t0": {"addr": ["192.0.2.1/24"], "up": False, "groups": ["224.0.0.5"]}}},
    "no carrier": {"link": {"t0": {"addr": ["192.0.2.1/24"], "carrier": False, "arp": False, "group": 3}}},
    "point to point": {"link": {"t0": {"pointopoint": "10.0.0.2", "addr": ["10.0.0.1/32"], "arp": True}}},
    "indexes": {"link": {"t0": {"ifindex": 9}, "t1": {"ifindex": 4}, "lo": {"ifindex": 2}}},
    "odd names": {"link": {"a.b": {}, 'q"': {}, "ü": {}, "x\\y": {}}},
    "a vlan over what is down": {"link": {"v": {"kind": "vlan", "link": "t0", "id": 5}, "t0": {"up": False}}},
    "a vlan with its own": {"link": {"t0": {"mtu": 1400}, "v": {"kind": "vlan", "link": "t0", "id": 5, "mtu": 1300,
                                                               "address": "02:00:00:00:00:09"}}},
    "appended": {"routes": ["10.0.0.0/8 dev t0", "append 10.0.0.0/8 dev t1", "append blackhole 10.0.0.0/8"],
                 "link": {"t0": {}, "t1": {}}},
    "equal connected": {"link": {"t0": {"addr": ["10.0.0.1/24"]}, "t1": {"addr": ["10.0.0.2/24"]}},
                        "routes": ["10.0.0.0/24 dev t1 proto kernel scope link src 10.0.0.2",
                                   "10.0.0.0/24 dev t0 proto kernel scope link src 10.0.0.1"]},
    "another's broadcast address": {"link": {"t0": {"addr": ["192.0.2.1/24"]}, "t1": {"addr": ["192.0.2.255/25"]}}},
    "default rule moved": {"rules": ["32765: from all lookup local", "32766: from all lookup main"],
                           "default_rules": False},
    "rules before the usual ones": {"rules": ["from 10.0.0.0/8 lookup 5 pref 0", "lookup 6 pref 32766"]},
    "neighbours": {"neigh": ["10.0.0.1 dev t0 lladdr 02:00:00:00:00:01 STALE", "proxy 10.0.0.2 dev t0",
                             "10.0.0.3 dev t0 nud failed"], "link": {"t0": {}}, "neigh_default": "resolve"},
    "listeners": {"listen": [{"proto": "tcp", "port": 80}, {"proto": "raw", "number": 47}], "conntrack": True},
    "answers": {"hook": [{"at": "LOCAL_IN", "verdict": "stolen"}, {"at": "FORWARD", "verdict": "drop",
                                                                  "match": "not src 10.0.0.0/8 and dport 5-9"}],
                "xfrm": [{"dir": "in", "action": "allow"}]},
    "knobs": {"sysctl": {"net.ipv4.conf.default.rp_filter": 2, "net.ipv4.conf.a/b.rp_filter": 1,
                         "net.ipv4.neigh.a/b.app_solicit": 1}, "link": {"a.b": {}}},
    "a dump": {"accepted": True, "routes": ["10.0.0.0/8 via 192.0.2.2 dev t0", "10.0.0.0/8 via 192.0.2.3 dev t0"],
               "link": {"t0": {"mtu": 60}}},
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTS)
def test_any_host_is_the_same_when_it_is_read_again(name: str) -> None:
    host = build_host(HOSTS[name], file="h.toml", kernel=LINUX_6_18)
    assert again(describe_host(host), LINUX_6_18) == host


@pytest.mark.parametrize("lines", [PRINTED.splitlines(), [*many()]], ids=["few", "many"])
def test_a_list_of_routes_is_the_same_when_it_is_read_again(lines: list[str]) -> None:
    host = host_from_routes(lines, file="routes", kernel=LINUX_4_14)
    assert again(describe_host(host), LINUX_4_14) == host
