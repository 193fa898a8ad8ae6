"""The knobs: names, defaults, ranges, how `all` and a device combine, and what one write does to others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ipkit.core.host.build import build_host, builtin_host
from ipkit.core.host.config import HostConfig
from ipkit.core.host.kernel import LINUX_4_14, LINUX_6_18, KernelProfile
from ipkit.core.host.sysctl import DEVICE_KNOBS, NET_PATHS, DeviceConf, NeighConf, NetConf
from ipkit.errors import HostError

DEFAULTS = Path(__file__).parent.parent / "vectors" / "kernel" / "sysctl-defaults.txt"
LINKS: dict[str, Any] = {"eth0": {}, "eth1": {}, "eth0.100": {"kind": "vlan", "link": "eth0", "id": 100}}


def host(sysctl: dict[str, Any] | None = None, *command_line: str, kernel: KernelProfile = LINUX_6_18) -> HostConfig:
    description = {"sysctl": sysctl or {}, "link": LINKS}
    return build_host(description, file="h.toml", kernel=kernel, sysctls=command_line)


def conf(found: HostConfig, dev: str = "eth0") -> DeviceConf:
    return found.links[dev].conf


def test_the_defaults_are_those_of_a_fresh_namespace() -> None:
    """Every knob of the list that a running kernel gave has the value that it gave."""
    listed = dict(line.split(" = ") for line in DEFAULTS.read_text().splitlines() if " = " in line and line[-1] != " ")
    unwritten = host()
    for name, value in listed.items():
        if name in NET_PATHS:
            assert getattr(unwritten.net, NET_PATHS[name]) == int(value), name
        elif name.startswith("net.ipv4.conf.") and (leaf := name.rpartition(".")[2]) in DEVICE_KNOBS:
            knob = DEVICE_KNOBS[leaf]
            assert (knob.every if ".all." in name else knob.default) == int(value), name


def test_a_fresh_host_is_what_rooms_without_a_host_assume() -> None:
    found = host()
    assert found.net == NetConf()
    assert conf(found) == DeviceConf()
    assert found.links["eth0"].neigh == NeighConf()
    assert found.sysctls == {}
    assert (conf(found, "lo").disable_policy, conf(found, "lo").disable_xfrm) == (1, 1)


# How the values of `all` and of the device make the effective one: 0/0, 1/0, 0/1, 1/1.
COMBINED = {
    "rp_filter": (0, 1, 1, 1),
    "arp_ignore": (0, 1, 1, 1),
    "arp_announce": (0, 1, 1, 1),
    "arp_notify": (0, 1, 1, 1),
    "accept_local": (0, 1, 1, 1),
    "log_martians": (0, 1, 1, 1),
    "src_valid_mark": (0, 1, 1, 1),
    "route_localnet": (0, 1, 1, 1),
    "send_redirects": (0, 1, 1, 1),
    "secure_redirects": (0, 1, 1, 1),
    "shared_media": (0, 1, 1, 1),
    "proxy_arp": (0, 1, 1, 1),
    "promote_secondaries": (0, 1, 1, 1),
    "drop_unicast_in_l2_multicast": (0, 1, 1, 1),
    "ignore_routes_with_linkdown": (0, 1, 1, 1),
    "accept_source_route": (0, 0, 0, 1),
    "mc_forwarding": (0, 0, 0, 1),
    "bc_forwarding": (0, 0, 0, 1),
    "bootp_relay": (0, 0, 0, 1),
    "accept_redirects": (0, 1, 1, 1),
    "proxy_arp_pvlan": (0, 1, 1, 1),
    "disable_policy": (0, 1, 1, 1),
    "disable_xfrm": (0, 1, 1, 1),
    "tag": (0, 0, 1, 1),
    "medium_id": (0, 0, 1, 1),
}


@pytest.mark.parametrize(("leaf", "effective"), COMBINED.items(), ids=COMBINED)
def test_all_and_the_device_combine_as_in_the_kernel(leaf: str, effective: tuple[int, ...]) -> None:
    written = [
        host({f"net.ipv4.conf.all.{leaf}": every, f"net.ipv4.conf.eth0.{leaf}": own})
        for own in (0, 1)
        for every in (0, 1)
    ]
    assert tuple(getattr(conf(found), leaf) for found in written) == effective


@pytest.mark.parametrize("leaf", ["proxy_arp_pvlan", "disable_policy", "disable_xfrm"])
def test_three_knobs_were_the_devices_alone_in_an_older_kernel(leaf: str) -> None:
    found = host({f"net.ipv4.conf.all.{leaf}": 1}, kernel=LINUX_4_14)
    assert getattr(conf(found), leaf) == 0


def test_rp_filter_is_the_larger_of_both() -> None:
    found = host({"net.ipv4.conf.all.rp_filter": 1, "net.ipv4.conf.eth0.rp_filter": 2})
    assert (conf(found).rp_filter, conf(found, "eth1").rp_filter) == (2, 1)


def test_redirects_are_accepted_by_both_where_the_device_forwards() -> None:
    found = host(
        {
            "net.ipv4.conf.eth0.forwarding": 1,
            "net.ipv4.conf.all.accept_redirects": 0,
        }
    )
    assert (conf(found).accept_redirects, conf(found, "eth1").accept_redirects) == (0, 1)


def test_ip_forward_sets_every_device_and_turns_redirects_off() -> None:
    found = host({"net.ipv4.ip_forward": 1})
    assert (found.net.ip_forward, conf(found).forwarding, conf(found, "lo").forwarding) == (1, 1, 1)
    assert conf(found).accept_redirects == 0
    assert host({"net.ipv4.conf.all.forwarding": 1}) == found
    assert found.sysctls == {"net.ipv4.ip_forward": 1}


def test_in_a_file_the_particular_wins_wherever_it_stands() -> None:
    settings = {
        "net.ipv4.conf.eth0.forwarding": 0,
        "net.ipv4.ip_forward": 1,
        "net.ipv4.conf.eth1.rp_filter": 0,
        "net.ipv4.conf.default.rp_filter": 2,
        "net.ipv4.conf.all.accept_redirects": 1,
    }
    for order in (settings, dict(reversed(settings.items()))):
        found = host(order)
        assert (conf(found).forwarding, conf(found, "eth1").forwarding) == (0, 1)
        assert (conf(found).rp_filter, conf(found, "eth1").rp_filter, conf(found, "lo").rp_filter) == (2, 0, 0)
        assert conf(found, "eth1").accept_redirects == 1


def test_the_command_line_comes_last_and_in_its_order() -> None:
    settings = {"net.ipv4.ip_forward": 1, "net.ipv4.conf.eth0.forwarding": 0}
    assert conf(host(settings, "net.ipv4.ip_forward=0", "net.ipv4.ip_forward=1")).forwarding == 1
    assert conf(host(settings, "net.ipv4.ip_forward=1")).forwarding == 0  # it is 1 already: nothing is written
    assert conf(host(settings, "net.ipv4.conf.eth0.forwarding=1")).forwarding == 1
    found = host(settings, "net.ipv4.conf.default.rp_filter=1", "net.ipv4.conf.eth0.rp_filter = 2")
    assert (conf(found).rp_filter, conf(found, "eth1").rp_filter) == (2, 1)
    off = builtin_host(LINUX_4_14, ["net.ipv4.ip_forward=0"])
    assert (off.net.ip_forward, conf(off).forwarding, off.sysctls) == (0, 0, {})


NAMES = [
    ("net.ipv4.conf.eth0/100.rp_filter", "eth0.100"),
    ("net/ipv4/conf/eth0.100/rp_filter", "eth0.100"),
    ("net.ipv4.conf.eth0.100.rp_filter", "eth0.100"),
    ("net/ipv4/conf/eth0/rp_filter", "eth0"),
    (" net.ipv4.conf.eth0.rp_filter ", "eth0"),
]


@pytest.mark.parametrize(("name", "dev"), NAMES, ids=[name for name, _ in NAMES])
def test_a_dot_in_a_devices_name_may_be_a_slash(name: str, dev: str) -> None:
    found = host({name: 1})
    assert {link.name for link in found.links.values() if link.conf.rp_filter} == {dev}
    assert found.sysctls == {f"net.ipv4.conf.{dev.replace('.', '/')}.rp_filter": 1}


def test_names_without_quotes_are_read_as_well() -> None:
    found = host({"net": {"ipv4": {"ip_forward": 1, "conf": {"all": {"rp_filter": 2}}}}})
    assert (found.net.ip_forward, conf(found).rp_filter) == (1, 2)


VALUES = [
    ({"net.ipv4.ip_default_ttl": "0x20"}, "ip_default_ttl", 32),
    ({"net.ipv4.icmp_ratemask": -1}, "icmp_ratemask", -1),
    ({"net.ipv4.route.min_pmtu": 68}, "route_min_pmtu", 68),
    ({"net.ipv4.route.error_cost": 0}, "route_error_cost", 0),
    ({"net.ipv4.neigh.default.gc_thresh3": 7}, "neigh_gc_thresh3", 7),
    ({"net.core.wmem_default": "5000"}, "wmem_default", 5000),
    ({"net.ipv4.ipfrag_low_thresh": 0, "net.ipv4.ipfrag_high_thresh": 0}, "ipfrag_high_thresh", 0),
    ({"net.ipv4.fib_multipath_hash_seed": 4294967295}, "fib_multipath_hash_seed", 4294967295),
]


@pytest.mark.parametrize(("sysctl", "field", "value"), VALUES, ids=[field for _, field, _ in VALUES])
def test_a_knob_of_the_host_has_its_value(sysctl: dict[str, Any], field: str, value: int) -> None:
    assert getattr(host(sysctl).net, field) == value


def test_neighbour_knobs_are_per_device_and_have_older_names() -> None:
    found = host(
        {
            "net.ipv4.neigh.default.mcast_solicit": 5,
            "net.ipv4.neigh.eth0.mcast_solicit": 1,
            "net.ipv4.neigh.eth0.retrans_time": 50,
            "net.ipv4.neigh.eth1.unres_qlen": 3,
            "net.ipv4.neigh.eth1.base_reachable_time": 7,
        }
    )
    one, other = found.links["eth0"].neigh, found.links["eth1"].neigh
    assert (one.mcast_solicit, one.retrans_time_ms) == (1, 500)
    assert (other.mcast_solicit, other.unres_qlen_bytes, other.base_reachable_time_ms) == (5, 3 * 2090, 7000)


REFUSED = [
    ({"net.ipv4.ip_frwd": 1}, "net.ipv4.ip_frwd: unknown, or nothing in the modelled paths reads it"),
    ({"net.ipv4.tcp_ecn": 1}, "net.ipv4.tcp_ecn: unknown, or nothing in the modelled paths reads it"),
    ({"net.ipv4.conf.eth0.nonesuch": 1}, "net.ipv4.conf.eth0.nonesuch: unknown, or nothing"),
    ({"net.ipv4.conf.eth7.rp_filter": 1}, "net.ipv4.conf.eth7.rp_filter: there is no link eth7"),
    ({"net.ipv4.conf.rp_filter": 1}, "net.ipv4.conf.rp_filter: there is no link (without a name)"),
    ({"net.ipv4.neigh.all.mcast_solicit": 1}, "net.ipv4.neigh.all.mcast_solicit: there is no link all"),
    ({"net.ipv6.conf.all.forwarding": 1}, "net.ipv6.conf.all.forwarding: unknown, or nothing"),
    ({"net.ipv4.ip_forward": True}, "net.ipv4.ip_forward: a number is needed, not True"),
    ({"net.ipv4.ip_forward": 1.5}, "net.ipv4.ip_forward: a number is needed, not 1.5"),
    ({"net.ipv4.ip_forward": "on"}, "net.ipv4.ip_forward: `on` is not a number"),
    ({"net.ipv4.ip_forward": [1]}, "net.ipv4.ip_forward: a number is needed, not [1]"),
    ({"net.ipv4.ip_default_ttl": 0}, "net.ipv4.ip_default_ttl: 0 is not between 1 and 255"),
    ({"net.ipv4.ip_default_ttl": 256}, "net.ipv4.ip_default_ttl: 256 is not between 1 and 255"),
    ({"net.ipv4.route.min_pmtu": 67}, "net.ipv4.route.min_pmtu: 67 is not between 68 and 2147483647"),
    ({"net.ipv4.fib_multipath_hash_policy": 4}, "net.ipv4.fib_multipath_hash_policy: 4 is not between 0 and 3"),
    ({"net.ipv4.fib_multipath_hash_fields": 0}, "net.ipv4.fib_multipath_hash_fields: 0 is not between 1 and 4095"),
    ({"net.ipv4.conf.all.rp_filter": 1 << 40}, "net.ipv4.conf.all.rp_filter: 1099511627776 is not between"),
    ({"net.ipv4.ipfrag_high_thresh": 5}, "sysctl: ipfrag_low_thresh must not be above ipfrag_high_thresh"),
]


@pytest.mark.parametrize(("sysctl", "why"), REFUSED, ids=[why for _, why in REFUSED])
def test_a_knob_that_cannot_be_written_is_refused(sysctl: dict[str, Any], why: str) -> None:
    with pytest.raises(HostError) as refused:
        host(sysctl)
    assert str(refused.value).startswith(f"h.toml: {why}")


NOT_THERE_YET = [
    ("net.ipv4.conf.all.bc_forwarding", 1),
    ("net.ipv4.ip_forward_update_priority", 1),
    ("net.ipv4.fib_multipath_hash_fields", 7),
    ("net.ipv4.fib_multipath_hash_seed", 7),
    ("net.ipv4.icmp_echo_enable_probe", 1),
]


@pytest.mark.parametrize(("name", "value"), NOT_THERE_YET, ids=[name for name, _ in NOT_THERE_YET])
def test_a_knob_that_came_later_is_refused(name: str, value: int) -> None:
    with pytest.raises(HostError) as refused:
        host({name: value}, kernel=LINUX_4_14)
    assert str(refused.value) == f"h.toml: {name}: kernel 4.14 does not have it"
    host({name: value})


def test_a_value_that_came_later_is_refused() -> None:
    with pytest.raises(HostError, match=r"hash_policy: kernel 4\.14 has no 2"):
        host({"net.ipv4.fib_multipath_hash_policy": 2}, kernel=LINUX_4_14)


COMMAND_LINE = [
    ("net.ipv4.ip_forward", "--sysctl: net.ipv4.ip_forward: NAME=VALUE is needed"),
    ("=1", "--sysctl: unknown, or nothing in the modelled paths reads it"),
    ("net.ipv4.ip_forward=", "--sysctl: net.ipv4.ip_forward: `` is not a number"),
    ("net.ipv4.ip_forward=1=1", "--sysctl: net.ipv4.ip_forward: `1=1` is not a number"),
    ("net.ipv4.ipfrag_low_thresh=5000000", "--sysctl: ipfrag_low_thresh must not be above ipfrag_high_thresh"),
]


@pytest.mark.parametrize(("text", "why"), COMMAND_LINE, ids=[text for text, _ in COMMAND_LINE])
def test_a_setting_of_the_command_line_is_named(text: str, why: str) -> None:
    with pytest.raises(HostError) as refused:
        host({}, text)
    assert str(refused.value) == why


def test_the_settings_of_a_host_bring_a_fresh_one_to_the_same_state() -> None:
    found = host(
        {
            "net.ipv4.ip_forward": 1,
            "net.ipv4.conf.eth0.forwarding": 0,
            "net.ipv4.conf.default.rp_filter": 1,
            "net.ipv4.conf.eth0/100.rp_filter": 0,
            "net.ipv4.conf.lo.disable_xfrm": 0,
            "net.ipv4.neigh.default.ucast_solicit": 0,
            "net.ipv4.neigh.eth1.ucast_solicit": 3,
            "net.ipv4.ip_default_ttl": 9,
            "net.ipv4.conf.all.send_redirects": 1,
        }
    )
    assert "net.ipv4.conf.all.send_redirects" not in found.sysctls  # the default
    assert host(dict(found.sysctls)) == found
