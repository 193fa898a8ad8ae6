"""A host from the outputs of iproute2: what each file says, what is passed over, and what cannot be right."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest

from ipkit.core.host.build import build_host, host_from_snapshot
from ipkit.core.host.config import HostConfig, LinkKind, Trust
from ipkit.core.host.describe import describe_host
from ipkit.core.host.kernel import LINUX_4_14, LINUX_6_18, KernelProfile
from ipkit.errors import HostError
from tests.support.listings import dotted, listed

# Taken from a namespace of a 6.18 kernel (iproute2 6.1), keys that say nothing of the paths left out.
LINK: list[dict[str, Any]] = [
    {"ifindex": 1, "ifname": "lo", "flags": ["LOOPBACK", "UP", "LOWER_UP"], "mtu": 65536, "link_type": "loopback",
     "address": "00:00:00:00:00:00", "group": "default"},
    {"ifindex": 4, "ifname": "t0", "flags": ["BROADCAST", "MULTICAST", "UP", "LOWER_UP"], "mtu": 1400,
     "link_type": "ether", "address": "f6:ce:e1:cd:fd:74", "group": "default", "master": "br0"},
    {"ifindex": 7, "ifname": "t1", "flags": ["NO-CARRIER", "BROADCAST", "MULTICAST", "UP"], "mtu": 1500,
     "link_type": "ether", "address": "aa:d4:5e:c8:b4:71", "group": "3"},
    {"ifindex": 8, "ifname": "t2", "flags": ["BROADCAST", "MULTICAST"], "mtu": 1500, "link_type": "ether",
     "address": "aa:d4:5e:c8:b4:72"},
    {"ifindex": 9, "ifname": "u0", "flags": ["POINTOPOINT", "MULTICAST", "NOARP", "UP", "LOWER_UP"], "mtu": 1500,
     "link_type": "none"},
    {"ifindex": 10, "link": "t0", "ifname": "t0.5", "flags": ["BROADCAST", "MULTICAST", "UP", "LOWER_UP"], "mtu": 1400,
     "link_type": "ether", "address": "f6:ce:e1:cd:fd:74",
     "linkinfo": {"info_kind": "vlan", "info_data": {"protocol": "802.1Q", "id": 5, "flags": ["REORDER_HDR"]}}},
    {"ifindex": 11, "ifname": "blue", "flags": ["NOARP", "MASTER", "UP", "LOWER_UP"], "mtu": 65575,
     "link_type": "ether", "address": "2e:0a:7c:33:14:01",
     "linkinfo": {"info_kind": "vrf", "info_data": {"table": 10}}},
    {"ifindex": 12, "ifname": "t3", "flags": ["BROADCAST", "MULTICAST", "UP", "LOWER_UP"], "mtu": 1500,
     "link_type": "ether", "address": "aa:d4:5e:c8:b4:73", "master": "blue"},
    {"ifindex": 13, "ifname": "br0", "flags": ["BROADCAST", "MULTICAST", "UP", "LOWER_UP"], "mtu": 1500,
     "link_type": "ether", "address": "3a:4f:71:0e:4b:97", "linkinfo": {"info_kind": "bridge"}},
]  # fmt: skip
ADDR: list[dict[str, Any]] = [
    {},
    {"ifname": "lo", "addr_info": [
        {"family": "inet", "local": "127.0.0.1", "prefixlen": 8, "scope": "host", "label": "lo"},
        {"family": "inet6", "local": "::1", "prefixlen": 128, "scope": "host"}]},
    {"ifname": "t0", "addr_info": [
        {"family": "inet", "local": "10.55.0.1", "prefixlen": 24, "metric": 7, "scope": "link", "noprefixroute": True},
        {"family": "inet", "local": "192.0.2.1", "prefixlen": 24, "broadcast": "192.0.2.255", "scope": "global"},
        {"family": "inet", "local": "192.0.2.9", "prefixlen": 24, "scope": "global", "secondary": True}]},
    {"ifname": "t1", "addr_info": [
        {"family": "inet", "local": "198.51.100.1", "prefixlen": 24, "scope": "global", "label": "t1"},
        {"family": "inet", "local": "10.77.0.1", "prefixlen": 24, "scope": "global", "label": "t1"}]},
    {"ifname": "u0", "addr_info": [
        {"family": "inet", "local": "10.9.0.1", "address": "10.9.0.2", "prefixlen": 32, "scope": "global"}]},
    {"ifname": "t3", "addr_info": [{"family": "inet", "local": "10.3.0.1", "prefixlen": 24, "scope": "global"}]},
]  # fmt: skip
ROUTE: list[dict[str, Any]] = [
    {"dst": "default", "gateway": "192.0.2.2", "dev": "t0", "protocol": "dhcp", "metric": 100, "flags": []},
    {"dst": "10.2.0.0/16", "nhid": 10, "flags": [], "nexthops": [
        {"gateway": "198.51.100.2", "dev": "t1", "weight": 1, "flags": ["linkdown"]},
        {"gateway": "192.0.2.2", "dev": "t0", "weight": 3, "flags": []}]},
    {"type": "blackhole", "dst": "10.3.0.0/16", "nhid": 7, "dev": "lo", "flags": []},
    {"dst": "10.4.0.0/16", "gateway": "198.51.100.2", "dev": "t1", "flags": ["linkdown"], "metrics": [
        {"mtu": 1300, "window": 1000, "rtt": 1, "advmss": 1200, "hoplimit": 33, "ecn": None, "rto_min": 5,
         "congestion": "reno"}]},
    {"dst": "10.5.0.0/16", "flags": ["linkdown"], "nexthops": [
        {"gateway": "203.0.113.2", "dev": "t0", "weight": 2, "flags": ["onlink"]},
        {"dev": "t2", "weight": 1, "flags": ["dead", "linkdown"]}]},
    {"dst": "10.6.0.0/16", "via": {"family": "inet6", "host": "fe80::1"}, "dev": "t0", "flags": []},
    {"dst": "10.8.0.0/16", "gateway": "203.0.113.9", "dev": "t0", "flags": []},
    {"dst": "10.9.0.2", "dev": "u0", "protocol": "kernel", "scope": "link", "prefsrc": "10.9.0.1", "flags": []},
    {"type": "unreachable", "dst": "10.10.0.0/16", "tos": "0x10", "protocol": "zebra", "flags": []},
    {"dst": "10.11.0.0/16", "dev": "t0", "flags": []},
    {"dst": "10.12.0.0/16", "dev": "t0", "scope": "link", "flags": []},
    {"dst": "10.3.0.0/24", "dev": "t3", "table": "10", "protocol": "kernel", "scope": "link", "prefsrc": "10.3.0.1"},
    {"dst": "192.0.2.0/24", "dev": "t0", "protocol": "kernel", "scope": "link", "prefsrc": "192.0.2.1", "flags": []},
    {"dst": "198.51.100.0/24", "dev": "t1", "protocol": "kernel", "scope": "link", "prefsrc": "198.51.100.1",
     "flags": ["linkdown"]},
    {"type": "local", "dst": "192.0.2.1", "dev": "t0", "table": "local", "protocol": "kernel", "scope": "host",
     "prefsrc": "192.0.2.1", "flags": []},
    {"type": "local", "dst": "::1", "dev": "lo", "table": "local", "protocol": "kernel", "metric": 0, "flags": [],
     "pref": "medium"},
    {"dst": "default", "gateway": "fe80::1", "dev": "t0", "metric": 1024, "flags": [], "pref": "medium"},
]  # fmt: skip
RULE: list[dict[str, Any]] = [
    {"priority": 0, "src": "all", "table": "local"},
    {"priority": 1000, "src": "all", "l3mdev": None},
    {"priority": 32764, "src": "10.9.9.9", "goto": 40000},
    {"priority": 32765, "not": None, "src": "10.0.0.0", "srclen": 8, "dst": "192.0.2.0", "dstlen": 24, "tos": "0x10",
     "fwmark": "0x5", "fwmask": "0xff", "iif": "t0", "iif_detached": None, "oif": "t1", "uid_start": 0, "uid_end": 99,
     "ipproto": "udp", "sport_start": 1, "sport_end": 5, "dport": 53, "table": "blue-table", "suppress_prefixlen": 0,
     "suppress_ifgroup": "3", "protocol": "openr"},
    {"priority": 32766, "src": "all", "table": "main"},
    {"priority": 40000, "src": "all", "nop": None},
    {"priority": 40002, "src": "all", "ipproto": "ipproto-200", "action": "prohibit"},
]  # fmt: skip
NEIGH: list[dict[str, Any]] = [
    {"dst": "192.0.2.6", "dev": "t0", "state": ["FAILED"]},
    {"dst": "192.0.2.5", "dev": "t0", "lladdr": "02:00:00:00:00:01", "router": None, "state": ["STALE"]},
    {"dst": "fe80::1", "dev": "t0", "lladdr": "02:00:00:00:00:01", "state": ["STALE"]},
    {"dst": "0.0.0.0", "dev": "u0", "lladdr": "08", "state": ["PERMANENT"]},
]
NEXTHOP: list[dict[str, Any]] = [
    {"id": 5, "gateway": "198.51.100.2", "dev": "t1", "scope": "link", "flags": ["linkdown"]},
    {"id": 6, "gateway": "192.0.2.2", "dev": "t0", "scope": "link", "protocol": "17", "flags": []},
    {"id": 7, "blackhole": None, "flags": []},
    {"id": 9, "gateway": "fe80::1", "dev": "t0", "scope": "link", "flags": []},
    {"id": 10, "group": [{"id": 5}, {"id": 6, "weight": 3}], "flags": []},
    {"id": 11, "group": [{"id": 5}, {"id": 6}], "type": "resilient", "resilient_args": {"buckets": 32}, "flags": []},
]
MADDR: list[dict[str, Any]] = [
    {"ifindex": 4, "ifname": "t0", "maddr": [
        {"link": "01:00:5e:00:00:01"}, {"family": "inet", "address": "224.0.0.251"},
        {"family": "inet", "address": "224.0.0.1"}, {"family": "inet6", "address": "ff02::1"}]},
]  # fmt: skip
SYSCTL = """\
kernel.hostname = gw
net.ipv4.conf.all.rp_filter = 1
net.ipv4.conf.t0/5.rp_filter = 2
net.ipv4.conf.gone0.rp_filter = 2
net.ipv4.ip_forward = 1
net.ipv4.fib_multipath_hash_policy = 3
net.ipv4.fib_multipath_hash_seed = 7
net.ipv4.tcp_rmem = 4096	131072	6291456
"""
PARTS: dict[str, str] = {
    "link.json": json.dumps(LINK),
    "addr.json": json.dumps(ADDR),
    "route.json": json.dumps(ROUTE),
    "rule.json": json.dumps(RULE),
    "neigh.json": json.dumps(NEIGH),
    "nexthop.json": json.dumps(NEXTHOP),
    "maddr.json": json.dumps(MADDR),
    "sysctl.txt": SYSCTL,
    "rt_tables": "#\n255\tlocal\n0\tunspec\n# 9 odd\n300 blue-table\n0x12d hexed\n",
}


def host(kernel: KernelProfile = LINUX_6_18, **parts: str | None) -> HostConfig:
    """Return the host of the snapshot, some of its files said otherwise or, as None, left out."""
    given = {**PARTS, **{name.replace("_", "."): text for name, text in parts.items()}}
    texts = {name: text for name, text in given.items() if text is not None}
    return host_from_snapshot(texts, folder="snap", kernel=kernel)


def test_links_are_as_the_machine_had_them() -> None:
    links = host().links
    told = [
        (link.name, link.ifindex, link.kind.value, link.mtu, link.up, link.carrier, link.arp) for link in links.values()
    ]
    assert told == [
        ("lo", 1, "loopback", 65536, True, True, False),
        ("t0", 4, "ethernet", 1400, True, True, True),
        ("t1", 7, "ethernet", 1500, True, False, True),
        ("t2", 8, "ethernet", 1500, False, True, True),
        ("u0", 9, "pointopoint", 1500, True, True, False),
        ("t0.5", 10, "vlan", 1400, True, True, True),
        ("blue", 11, "vrf", 65575, True, True, False),
        ("t3", 12, "ethernet", 1500, True, True, True),
        ("br0", 13, "ethernet", 1500, True, True, True),
    ]
    assert (links["t0"].address, links["u0"].address) == (bytes.fromhex("f6cee1cdfd74"), None)
    assert (links["t0"].master, links["t3"].master, links["t1"].group) == (None, "blue", 3)
    assert (links["t0.5"].lower, links["t0.5"].vlan_id, links["blue"].vrf_table) == ("t0", 5, 10)
    assert {dotted(group) for group in links["t0"].groups} == {"224.0.0.1", "224.0.0.251"}


def test_addresses_keep_the_order_of_the_dump() -> None:
    addresses = host().links["t0"].addresses
    assert [(dotted(one.local), one.scope, one.metric, one.noprefixroute, one.secondary) for one in addresses] == [
        ("10.55.0.1", 253, 7, True, False),
        ("192.0.2.1", 0, 0, False, False),
        ("192.0.2.9", 0, 0, False, True),
    ]
    assert dotted(host().links["u0"].addresses[0].peer) == "10.9.0.2"


def test_routes_are_those_of_the_dump_and_none_of_ipv6() -> None:
    assert listed(host(), 254) == [
        "default via 192.0.2.2 dev t0 proto dhcp metric 100",
        "10.2.0.0/16 nhid 10 via 192.0.2.2 dev t0",
        "blackhole 10.3.0.0/16 nhid 7",
        "10.4.0.0/16 via 198.51.100.2 dev t1 linkdown mtu 1300 advmss 1200 hoplimit 33"
        " window 1000 rtt 1ms features ecn rto_min 5ms congctl reno",
        "10.5.0.0/16 nexthop via 203.0.113.2 dev t0 weight 2 onlink nexthop dev t2 weight 1 dead linkdown",
        "10.6.0.0/16 via inet6 fe80::1 dev t0",
        "10.8.0.0/16 via 203.0.113.9 dev t0",
        "10.9.0.2 dev u0 proto kernel scope link src 10.9.0.1",
        "unreachable 10.10.0.0/16 tos 0x10 proto zebra",
        "10.11.0.0/16 dev t0",
        "10.12.0.0/16 dev t0 scope link",
        "192.0.2.0/24 dev t0 proto kernel scope link src 192.0.2.1",
        "198.51.100.0/24 dev t1 proto kernel scope link src 198.51.100.1 linkdown",
    ]


def test_a_connected_route_that_somebody_took_away_stays_away() -> None:
    addresses = {dotted(one.local): one.noprefixroute for one in host().links["t1"].addresses}
    assert addresses == {"198.51.100.1": False, "10.77.0.1": True}
    local = [line for line in listed(host(), 255) if "10.77.0" in line]
    assert local == [
        "local 10.77.0.1 dev t1 table local proto kernel scope host src 10.77.0.1",
        "broadcast 10.77.0.255 dev t1 table local proto kernel scope link src 10.77.0.1 linkdown",
    ]


def test_an_older_kernel_makes_its_own_entries_of_the_addresses() -> None:
    parts = {"route_json": json.dumps([row for row in ROUTE if "via" not in row]), "rule_json": None}
    lines = listed(host(LINUX_4_14, **parts), 255)
    assert "broadcast 192.0.2.0 dev t0 table local proto kernel scope link src 192.0.2.1" in lines


def test_rules_are_all_there_are() -> None:
    rules = host().fib.rules
    assert [rule.pref for rule in rules] == [0, 1000, 32764, 32765, 32766, 40000, 40002]
    rule = rules[3]
    assert (rule.invert, rule.table, rule.mark, rule.mark_mask, rule.uidrange) == (True, 300, 5, 255, (0, 99))
    assert (rule.sport, rule.dport, rule.ipproto, rule.tos) == ((1, 5), (53, 53), 17, 16)
    assert (rule.suppress_prefixlength, rule.suppress_ifgroup, rule.protocol) == (0, 3, "openr")
    assert host().fib.has_custom_rules


def test_without_a_file_of_rules_the_usual_ones_are_meant() -> None:
    assert [rule.pref for rule in host(rule_json=None).fib.rules] == [0, 1000, 32766, 32767]


def test_neighbours_of_ipv4_on_ethernet_are_kept() -> None:
    assert [(dotted(one.address), one.state) for one in host().neighbours] == [
        ("192.0.2.6", "failed"),
        ("192.0.2.5", "stale"),
    ]


def test_knobs_that_are_not_modelled_are_passed_over() -> None:
    found = host()
    assert found.links["t0.5"].conf.rp_filter == 2
    assert (found.links["t1"].conf.rp_filter, found.links["t1"].conf.forwarding) == (1, 1)
    assert (found.net.fib_multipath_hash_policy, found.net.fib_multipath_hash_seed) == (3, 7)
    routes = {"route_json": json.dumps([row for row in ROUTE if "via" not in row]), "rule_json": None}
    older = host(LINUX_4_14, **routes)
    assert (older.net.fib_multipath_hash_policy, older.net.fib_multipath_hash_seed) == (0, 0)


def test_outputs_without_json_are_read_as_well() -> None:
    found = host(
        route_json="default via 192.0.2.2 dev t0 \n"
        "10.4.0.0/16 via 192.0.2.2 dev t0 mtu lock 1300 \n"
        "10.5.0.0/16 dev t0 \n",
        rule_json="0:\tfrom all lookup local\n100:\tfrom 10.0.0.0/8 lookup 100\n32766:\tfrom all lookup main\n",
        neigh_json="192.0.2.5 dev t0 lladdr 02:00:00:00:00:01 REACHABLE\n",
    )
    assert [line for line in listed(found, 254) if "kernel" not in line] == [
        "default via 192.0.2.2 dev t0",
        "10.4.0.0/16 via 192.0.2.2 dev t0 mtu lock 1300",
        "10.5.0.0/16 dev t0",
    ]
    assert [rule.pref for rule in found.fib.rules] == [0, 100, 32766]
    assert [one.state for one in found.neighbours] == ["reachable"]


def test_three_files_are_enough() -> None:
    found = host(rule_json=None, neigh_json=None, nexthop_json=None, maddr_json=None, sysctl_txt=None, rt_tables=None)
    assert found.links["t0"].kind is LinkKind.ETHERNET


@pytest.mark.parametrize("kernel", [LINUX_4_14, LINUX_6_18], ids=lambda kernel: kernel.name)
def test_a_snapshot_that_is_saved_and_read_again_is_the_same(kernel: KernelProfile) -> None:
    routes = ROUTE if kernel is LINUX_6_18 else [row for row in ROUTE if "via" not in row]
    rules = RULE if kernel is LINUX_6_18 else [row for row in RULE if "ipproto" not in row]
    found = host(kernel, route_json=json.dumps(routes), rule_json=json.dumps(rules))
    assert found.trust is Trust.ACCEPTED
    assert build_host(tomllib.loads(describe_host(found)), file="saved", kernel=kernel) == found


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"link_json": None}, "snap: link.json: missing"),
    ({"route_json": None}, "snap: route.json: missing"),
    ({"link_json": "{}"}, "snap/link.json: not JSON (byte 0): one of `[` is missing"),
    ({"link_json": "[{},"}, "snap/link.json: not JSON (byte 4): Expecting value"),
    ({"link_json": "[{}"}, "snap/link.json: not JSON (byte 3): one of `,]` is missing"),
    ({"link_json": "[5]"}, "snap/link.json: an object is needed, not 5"),
    ({"link_json": "[" * 100_000}, "snap/link.json: JSON nested too deeply"),
    ({"link_json": "[] []"}, "snap/link.json: something follows the array (byte 2)"),
    ({"link_json": '[{"mtu": 5}]'}, "snap/link.json: [0]: no `ifname`"),
    ({"link_json": '[{"ifname": "a"}]'}, "snap/link.json: [0]: not what `ip -j` prints"),
    ({"link_json": '[{"ifname": "a", "flags": 5, "mtu": 1, "ifindex": 1}]'}, "snap/link.json: [0]: not what `ip -j`"),
    ({"link_json": '[{"ifname": "a b", "flags": [], "mtu": 1, "ifindex": 1}]'}, "snap/link.json: [0]: not a name"),
    ({"addr_json": '[{"ifname": "t0", "addr_info": [{"family": "inet"}]}]'}, "snap/addr.json: [0]: not what `ip -j`"),
    ({"addr_json": '[{"ifname": "t0", "addr_info": [{"family": "inet", "local": "x", "prefixlen": 8}]}]'},
     "snap/addr.json: [0]: `x` is not an IPv4 address"),
    ({"route_json": '[{"dst": "10.0.0.0/8", "dev": "t9"}]'}, "snap/route.json: [0]: there is no link t9"),
    ({"route_json": '[{"dst": "10.0.0.1/8", "dev": "t0"}]'}, "snap/route.json: [0]: 10.0.0.1/8 has bits set behind"),
    ({"route_json": '[{"dst": "10.0.0.0/8", "speed": 5}]'}, "snap/route.json: [0]: unknown key `speed`"),
    ({"route_json": '[{"dst": "10.0.0.0/8", "flow": {}}]'}, "snap/route.json: [0]: `realms` is not modelled"),
    ({"route_json": '[{"dst": "10.0.0.0/8", "dev": "t0 x"}]'}, "snap/route.json: [0]: `dev` cannot be 't0 x'"),
    ({"route_json": '[{"dst": "10.0.0.0/8", "dev": [5]}]'}, "snap/route.json: [0]: `dev` cannot be [5]"),
    ({"route_json": '[{"dst": "10.0.0.0/8", "nexthops": 5}]'}, "snap/route.json: [0]: a list of objects is needed"),
    ({"route_json": '[{"dst": "10.0.0.0/8", "metrics": [5]}]'}, "snap/route.json: [0]: `metrics` cannot be [5]"),
    ({"route_json": '[{"dst": "10.0.0.0/8", "via": {}}]'}, "snap/route.json: [0]: `via` cannot be {}"),
    ({"route_json": '[{"dev": "t0"}]'}, "snap/route.json: [0]: "),
    ({"route_json": "default via 192.0.2.2 dev t0\n10.0.0.0/8 odd\n"}, "snap/route.json: line 2: unknown word `odd`"),
    ({"rule_json": '[{"priority": 5, "odd": 1}]'}, "snap/rule.json: [0]: unknown key `odd`"),
    ({"rule_json": '[{"priority": 5, "flow_to": 1}]'}, "snap/rule.json: [0]: `realms or nat` is not modelled"),
    ({"rule_json": "x\n"}, "snap/rule.json: line 1: unknown word `x`"),
    ({"neigh_json": '[{"dst": "192.0.2.5", "dev": "t9", "state": ["NONE"]}]'}, "snap/neigh.json: [0]: there is no"),
    ({"neigh_json": '[{"dst": "192.0.2.5", "state": 5}]'}, "snap/neigh.json: [0]: `state` cannot be 5"),
    ({"sysctl_txt": "net.ipv4.ip_forward = maybe"}, "snap/sysctl.txt: line 1: `maybe` is not a number"),
]  # fmt: skip


@pytest.mark.parametrize(("parts", "why"), REFUSED, ids=[why for _, why in REFUSED])
def test_what_cannot_be_right_is_named_with_its_file(parts: dict[str, Any], why: str) -> None:
    with pytest.raises(HostError) as refused:
        host(**parts)
    assert str(refused.value).startswith(why)
