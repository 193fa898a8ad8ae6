"""A host file: every key, its default, and every mistake with file, key and reason."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from ipkit.core.host.build import build_host, builtin_host
from ipkit.core.host.config import HookAnswer, HostConfig, LinkKind, Listener, Neighbour, PolicyAnswer, Trust
from ipkit.core.host.fib import Rule
from ipkit.core.host.kernel import LINUX_4_14, LINUX_6_18, KernelProfile
from ipkit.core.host.match import Match, read_match
from ipkit.errors import HostError
from tests.support.listings import dotted, listed

# The file that the manual shows.
EXAMPLE = """
# top-level keys stand before the tables
routes = [
    "default via 198.51.100.254 dev eth1",
    "203.0.113.0/24 via 198.51.100.2 dev eth1 mtu 1300",
    "blackhole 198.18.66.0/24",
    "198.18.10.0/24 nexthop via 198.51.100.2 dev eth1 weight 1 nexthop via 198.51.100.3 dev eth1 weight 2",
    "default via 198.51.100.3 dev eth1 table 100",
]
rules = ["from 192.0.2.128/25 lookup 100 pref 100"]
neigh = ["198.51.100.254 lladdr 02:00:00:00:02:fe dev eth1"]
nexthops = ["id 5 via 198.51.100.2 dev eth1"]      # for routes with `nhid 5`
conntrack = false

[sysctl]
"net.ipv4.ip_forward" = 1
"net.ipv4.conf.all.rp_filter" = 1

[link.eth0]
address = "02:00:00:00:01:01"
mtu = 1500
addr = ["192.0.2.1/24"]
groups = ["224.0.0.251"]

[link.eth1]
mtu = 1400
addr = ["198.51.100.1/24", "198.51.100.9/24"]
features = ["sg", "hw_csum"]

up = true
[link."eth1.100"]
kind = "vlan"
link = "eth1"
id = 100

[link.blue]
kind = "vrf"
table = 10
[link.eth2]
master = "blue"

[[listen]]
proto = "udp"
port = 53
[[listen]]
proto = "raw"
number = 253
router_alert = true

[[hook]]
at = "FORWARD"
match = "src 203.0.113.0/24 and udp and dport 53"
verdict = "drop"

[[xfrm]]
dir = "fwd"
match = "dst 198.18.9.0/24"
action = "block"
"""


def host(text: str, kernel: KernelProfile = LINUX_4_14) -> HostConfig:
    return build_host(tomllib.loads(text), file="h.toml", kernel=kernel)


@pytest.mark.parametrize("kernel", [LINUX_4_14, LINUX_6_18], ids=lambda kernel: kernel.name)
def test_the_example_is_read_in_full(kernel: KernelProfile) -> None:
    found = host(EXAMPLE, kernel)
    assert [(link.name, link.ifindex, link.kind) for link in found.links.values()] == [
        ("lo", 1, LinkKind.LOOPBACK),
        ("eth0", 2, LinkKind.ETHERNET),
        ("eth1", 3, LinkKind.ETHERNET),
        ("eth1.100", 4, LinkKind.VLAN),
        ("blue", 5, LinkKind.VRF),
        ("eth2", 6, LinkKind.ETHERNET),
    ]
    one, other, vlan = found.links["eth0"], found.links["eth1"], found.links["eth1.100"]
    assert (one.address, one.mtu, other.address, other.mtu) == (bytes.fromhex("020000000101"), 1500, None, 1400)
    assert {dotted(group) for group in one.groups} == {"224.0.0.1", "224.0.0.251"}
    assert other.features == {"sg", "hw_csum"}
    assert (vlan.lower, vlan.vlan_id, vlan.mtu) == ("eth1", 100, 1400)
    assert (found.links["blue"].vrf_table, found.links["eth2"].master) == (10, "blue")
    assert found.neighbours == (Neighbour(0xC63364FE, "eth1", bytes.fromhex("0200000002fe")),)
    assert found.listeners == (Listener(17, 53), Listener(None, raw_number=253, router_alert=True))
    match = read_match("src 203.0.113.0/24 and udp and dport 53")
    assert found.hooks == (HookAnswer("FORWARD", match, "drop"),)
    assert found.policies == (PolicyAnswer("fwd", read_match("dst 198.18.9.0/24"), "block"),)
    assert (found.conntrack, found.neigh_default, found.trust) == (False, "assume", Trust.JUDGED)
    assert [rule.pref for rule in found.fib.rules] == [0, 100, 1000, 32766, 32767]
    assert found.fib.rules[2] == Rule(1000, l3mdev=True)
    assert "default via 198.51.100.3 dev eth1 table 100" in listed(found)


def test_an_empty_file_is_a_host_with_a_loopback_device() -> None:
    found = host("")
    assert list(found.links) == ["lo"]
    lo = found.links["lo"]
    assert (lo.mtu, lo.arp, lo.up, lo.kind) == (65536, False, True, LinkKind.LOOPBACK)
    assert not found.net.ip_forward


def test_a_link_is_ethernet_and_up_unless_it_says_otherwise() -> None:
    link = host("[link.eth0]").links["eth0"]
    assert (link.kind, link.mtu, link.address) == (LinkKind.ETHERNET, 1500, None)
    assert (link.up, link.carrier, link.arp) == (True, True, True)
    assert (link.addresses, link.features, link.master, link.group) == ((), frozenset(), None, 0)
    down = host("[link.eth0]\nup = false\ncarrier = false\narp = false\ngroup = 3").links["eth0"]
    assert (down.up, down.carrier, down.arp, down.group, down.groups) == (False, False, False, 3, frozenset())


@pytest.mark.parametrize("kernel", [LINUX_4_14, LINUX_6_18], ids=lambda kernel: kernel.name)
def test_the_built_in_host_is_a_forwarding_router_with_two_arms(kernel: KernelProfile) -> None:
    found = builtin_host(kernel)
    assert listed(found, 254) == [
        "default via 198.51.100.254 dev eth1",
        "192.0.2.0/24 dev eth0 proto kernel scope link src 192.0.2.1",
        "198.51.100.0/24 dev eth1 proto kernel scope link src 198.51.100.1",
    ]
    assert found.net.ip_forward == 1
    assert {link.address for link in found.links.values()} == {None}
    assert not found.fib.has_custom_rules


def test_a_vlan_link_follows_what_it_stands_on() -> None:
    text = """
    [link."eth0.5.6"]
    kind = "vlan"
    link = "eth0.5"
    id = 6
    [link."eth0.5"]
    kind = "vlan"
    link = "eth0"
    id = 5
    [link.eth0]
    address = "02:00:00:00:01:01"
    mtu = 1400
    up = false
    carrier = false
    """
    found = host(text).links
    assert [link.name for link in found.values()] == ["lo", "eth0.5.6", "eth0.5", "eth0"]
    top = found["eth0.5.6"]
    assert (top.up, top.carrier, top.mtu, top.address) == (False, False, 1400, bytes.fromhex("020000000101"))


def test_indexes_may_be_said() -> None:
    text = "[link.eth0]\nifindex = 7\n[link.eth1]\n[link.eth2]\nifindex = 2\n[link.eth3]"
    assert [(link.name, link.ifindex) for link in host(text).links.values()] == [
        ("lo", 1), ("eth2", 2), ("eth1", 3), ("eth3", 4), ("eth0", 7),
    ]  # fmt: skip


def test_lists_may_be_one_text() -> None:
    text = (
        'rules = """\n0: from all lookup local\n9: from all lookup 5\n"""\nneigh = ""\n[link.eth0]\naddr = "10.0.0.1/8"'
    )
    found = host(text)
    assert [rule.pref for rule in found.fib.rules] == [0, 9, 32766, 32767]
    assert len(found.links["eth0"].addresses) == 1


PEER = 0xC0000205
MAC = b"\2\0\0\0\0\1"
NEIGHBOURS = [
    ("192.0.2.5 lladdr 02:00:00:00:00:01 dev eth0", Neighbour(PEER, "eth0", MAC)),
    ("192.0.2.5 dev eth0 lladdr 2:0:0:0:0:1 router STALE", Neighbour(PEER, "eth0", MAC, "stale")),
    (
        "192.0.2.5 dev eth0 lladdr 02:00:00:00:00:01 PERMANENT proto zebra",
        Neighbour(PEER, "eth0", MAC),
    ),
    ("192.0.2.5 dev eth0  FAILED", Neighbour(PEER, "eth0", None, "failed")),
    ("192.0.2.5 dev eth0 managed extern_learn INCOMPLETE", Neighbour(PEER, "eth0", None, "incomplete")),
    ("to 192.0.2.5 nud noarp dev eth0", Neighbour(PEER, "eth0", None, "noarp")),
    ("proxy 192.0.2.5 dev eth0", Neighbour(PEER, "eth0", None, proxy=True)),
    ("192.0.2.5 dev eth0 proxy", Neighbour(PEER, "eth0", None, proxy=True)),
]


@pytest.mark.parametrize(("line", "neighbour"), NEIGHBOURS, ids=[line for line, _ in NEIGHBOURS])
def test_a_neighbour_says_what_its_words_say(line: str, neighbour: Neighbour) -> None:
    found = build_host({"neigh": [line], "link": {"eth0": {}}}, file="h.toml", kernel=LINUX_4_14)
    assert found.neighbours == (neighbour,)


def test_what_is_said_last_of_a_neighbour_counts() -> None:
    found = host(
        'neigh = ["192.0.2.5 dev eth0 nud failed", "192.0.2.5 dev eth0 lladdr 02:00:00:00:00:01"]\n[link.eth0]'
    )
    assert [one.state for one in found.neighbours] == ["permanent"]


def test_a_match_that_is_left_out_means_everything() -> None:
    found = host('[[hook]]\nat = "LOCAL_IN"\nverdict = "stolen"\n[[xfrm]]\ndir = "out"\naction = "allow"')
    assert (found.hooks[0].match, found.policies[0].match) == (Match(), Match())


REFUSED = [
    ("route = []", "route: unknown key"),
    ("routes = 5", "routes: a list is needed, not 5"),
    ("routes = [5]", "routes[0]: text is needed, not 5"),
    ("routes = {}", "routes: a list is needed, not {}"),
    ("conntrack = 1", "conntrack: true or false is needed, not 1"),
    ('neigh_default = "ask"', "neigh_default: `ask` is none of assume, resolve"),
    ("neigh_default = 1", "neigh_default: text is needed, not 1"),
    ("default_rules = 0", "default_rules: true or false is needed, not 0"),
    ("sysctl = 5", "sysctl: a table is needed, not 5"),
    ("link = 5", "link: a table is needed, not 5"),
    ("[link]\neth0 = 5", "link.eth0: a table is needed, not 5"),
    ("[link.eth0]\nspeed = 5", "link.eth0.speed: unknown key"),
    ('[link.eth0]\nroutes = ["x"]', "link.eth0.routes: stands inside a table: put it before the first [table]"),
    ("[link.eth0]\nmtu = 67", "link.eth0.mtu: 67 is not between 68 and 65575"),
    ("[link.eth0]\nmtu = 99999999", "link.eth0.mtu: 99999999 is not between 68 and 65575"),
    ('[link.eth0]\nmtu = "1500"', "link.eth0.mtu: a number is needed, not '1500'"),
    ("[link.eth0]\nmtu = true", "link.eth0.mtu: a number is needed, not True"),
    ("[link.eth0]\nup = 1", "link.eth0.up: true or false is needed, not 1"),
    ('[link.eth0]\naddress = "02:00:00:00:01"', "link.eth0.address: `02:00:00:00:01` is not an Ethernet address"),
    ('[link.eth0]\naddress = "02:00:00:00:01:+1"', "link.eth0.address: `02:00:00:00:01:+1` is not an Ethernet"),
    ('[link.eth0]\naddress = "01:00:00:00:01:01"', "link.eth0.address: 01:00:00:00:01:01 cannot be a link's own"),
    ('[link.eth0]\naddress = "00:00:00:00:00:00"', "link.eth0.address: 00:00:00:00:00:00 cannot be a link's own"),
    ('[link.eth0]\ngroups = ["192.0.2.1"]', "link.eth0.groups[0]: 192.0.2.1 is not a multicast group"),
    ('[link.eth0]\nfeatures = ["tso"]', "link.eth0.features[0]: `tso` is none of sg, hw_csum, ip_csum"),
    ('[link.eth0]\nkind = "bridge"', "link.eth0.kind: `bridge` is none of ethernet, vlan, vrf"),
    ('[link.eth0]\nkind = "vlan"', "link.eth0.link: missing"),
    ('[link.eth0]\nkind = "vlan"\nlink = "eth1"', "link.eth0.id: missing"),
    ('[link.eth0]\nkind = "vlan"\nlink = "eth1"\nid = 5', "link.eth0.link: there is no link eth1"),
    ('[link.eth0]\nkind = "vlan"\nlink = "eth0"\nid = 5', "link.eth0.link: the link stands on itself"),
    ('[link.eth0]\nkind = "vlan"\nlink = "lo"\nid = 5', "link.eth0.link: no VLAN can stand on lo"),
    ('[link.eth0]\nkind = "vlan"\nlink = "lo"\nid = 4095', "link.eth0.id: 4095 is not between 0 and 4094"),
    ('[link.eth0]\nlink = "eth1"', "link.eth0.link: only for a link of kind vlan"),
    ("[link.eth0]\ntable = 5", "link.eth0.table: only for a link of kind vrf"),
    ('[link.eth0]\nkind = "vrf"', "link.eth0.table: missing"),
    ('[link.eth0]\nkind = "vrf"\ntable = 0', "link.eth0.table: 0 is not between 1 and 4294967295"),
    ('[link.eth0]\nmaster = "blue"', "link.eth0.master: there is no link blue"),
    ('[link.eth0]\nmaster = "eth1"\n[link.eth1]', "link.eth0.master: eth1 is not of kind vrf"),
    ("[link.eth0]\nifindex = 1", "link.eth0.ifindex: 1 is the index of lo"),
    ("[link.eth0]\nifindex = 0", "link.eth0.ifindex: 0 is not between 1 and 2147483647"),
    ("[link.eth0]\nifindex = 5\n[link.eth1]\nifindex = 5", "link.eth0.ifindex: eth1 has 5 already"),
    ("[link.eth0]\npointopoint = 5", "link.eth0.pointopoint: an address or true is needed, not 5"),
    ('[link.eth0]\npointopoint = "x"', "link.eth0.pointopoint: `x` is not an IPv4 address"),
    ('[link.eth0]\nkind = "vrf"\ntable = 5\npointopoint = true', "link.eth0.pointopoint: not for a link of kind vrf"),
    ('[link.lo]\nkind = "vrf"', "link.lo: lo is the loopback device and stays it"),
    ('[link."a b"]', 'link."a b": not a name for a link: it has a blank, a slash or a colon in it'),
    ("[link.abcdefghijklmnop]", "link.abcdefghijklmnop: not a name for a link: 1 to 15 bytes, and not all or default"),
    ("[link.all]", "link.all: not a name for a link: 1 to 15 bytes, and not all or default"),
    ('[link.""]', 'link."": not a name for a link: 1 to 15 bytes, and not all or default'),
    ("listen = 5", "listen: a list is needed, not 5"),
    ("listen = [5]", "listen[0]: a table is needed, not 5"),
    ("[[listen]]", "listen[0].proto: missing"),
    ('[[listen]]\nproto = "sctp"', "listen[0].proto: `sctp` is none of udp, tcp, raw"),
    ('[[listen]]\nproto = "udp"', "listen[0].port: missing"),
    ('[[listen]]\nproto = "udp"\nport = 0', "listen[0].port: 0 is not between 1 and 65535"),
    ('[[listen]]\nproto = "udp"\nport = 5\nrouter_alert = true', "listen[0].router_alert: unknown key"),
    ('[[listen]]\nproto = "raw"\nnumber = 256', "listen[0].number: 256 is not between 0 and 255"),
    ('[[listen]]\nproto = "raw"\nport = 5', "listen[0].number: missing"),
    ('[[hook]]\nat = "forward"', "hook[0].at: `forward` is none of PRE_ROUTING, LOCAL_IN, FORWARD, LOCAL_OUT"),
    ('[[hook]]\nat = "FORWARD"\nverdict = "reject"', "hook[0].verdict: `reject` is none of drop, accept, stolen"),
    ('[[hook]]\nat = "FORWARD"\nmatch = "up"\nverdict = "drop"', "hook[0].match: unknown term `up`"),
    ('[[xfrm]]\ndir = "fwd"\naction = "esp"', "xfrm[0].action: `esp` is none of block, allow"),
    ('[[xfrm]]\ndir = "up"', "xfrm[0].dir: `up` is none of in, fwd, out"),
    ('neigh = ["192.0.2.5 dev eth9 nud failed"]', "neigh[0]: there is no link eth9"),
    ('neigh = ["192.0.2.5 nud failed"]', "neigh[0]: no `dev`"),
    ('neigh = ["dev eth0 nud failed"]', "neigh[0]: no address"),
    ('neigh = ["192.0.2.5 dev eth0"]', "neigh[0]: no `lladdr`"),
    ('neigh = ["192.0.2.5 dev eth0 nud asleep"]', "neigh[0]: `asleep` is not a state of a neighbour"),
    ('neigh = ["192.0.2.5 dev eth0 odd"]', "neigh[0]: unknown word `odd`"),
    ('neigh = ["192.0.2.5 dev eth0 lladdr 0200.0000.0001"]', "neigh[0]: `0200.0000.0001` is not an Ethernet address"),
    ('neigh = ["fe80::1 dev eth0 nud failed"]', "neigh[0]: `fe80::1` is not an IPv4 address"),
]


@pytest.mark.parametrize(("text", "why"), REFUSED, ids=[why for _, why in REFUSED])
def test_a_mistake_is_named_with_file_key_and_reason(text: str, why: str) -> None:
    with pytest.raises(HostError) as refused:
        host(text)
    assert str(refused.value).startswith(f"h.toml: {why}")
    assert "\n" not in str(refused.value)


TWICE = [
    ('[link.{a}]\nkind = "vlan"\nlink = "eth0"\nid = 5\n', "link.b.id: a is VLAN 5 of eth0 already"),
    ('[link.{a}]\nkind = "vrf"\ntable = 5\n', "link.b.table: a has table 5 already"),
]


@pytest.mark.parametrize(("text", "why"), TWICE, ids=[why for _, why in TWICE])
def test_two_links_cannot_be_the_same(text: str, why: str) -> None:
    with pytest.raises(HostError) as refused:
        host("[link.eth0]\n" + text.format(a="a") + text.format(a="b"))
    assert str(refused.value) == f"h.toml: {why}"


def test_a_thousand_vlans_on_each_other_are_no_trouble() -> None:
    links: dict[str, Any] = {"v0": {}}
    for number in range(1, 1000):
        links[f"v{number}"] = {"kind": "vlan", "link": f"v{number - 1}", "id": 5}
    assert len(build_host({"link": links}, file="h.toml", kernel=LINUX_4_14).links) == 1001


def test_a_circle_of_vlans_is_refused() -> None:
    links = {name: {"kind": "vlan", "link": other, "id": 5} for name, other in (("a", "b"), ("b", "c"), ("c", "a"))}
    with pytest.raises(HostError, match=r"link\.a\.link: the link stands on itself"):
        build_host({"link": links}, file="h.toml", kernel=LINUX_4_14)
