"""Every knob of the host: its name, default, range and kernel, and how `all` and the device combine.

Law: one declaration per knob, as a field of the class that the rooms read. Writing knobs, with what one write does
to others, is sysctl_tree.py's business.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from enum import Enum, auto
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from ipkit.core.host.kernel import (
    DirectedBroadcast,
    IcmpProbe,
    KernelProfile,
    MultipathPolicies,
    PolicyKnobs,
    PriorityByTos,
    RawSocketsInVrfs,
)

HZ: Final = 250
"""Ticks of a second, for the knobs that the kernel counts in ticks."""

INT_MIN: Final = -(1 << 31)
INT_MAX: Final = (1 << 31) - 1
UINT_MAX: Final = (1 << 32) - 1
LONG_MAX: Final = (1 << 63) - 1


class Combine(Enum):
    """How the value for all devices and the device's own make the effective one (IN_DEV_MAXCONF family)."""

    DEV = auto()  # the device's own
    AND = auto()  # both
    OR = auto()  # either
    MAX = auto()  # the larger
    REDIRECTS = auto()  # both where the device forwards, either where it does not
    POLICY = auto()  # the device's own, or either: the kernel says


def _always(_kernel: KernelProfile) -> bool:
    return True


def _has_bc_forwarding(kernel: KernelProfile) -> bool:
    return kernel.directed_broadcast is DirectedBroadcast.SYSCTL


def _has_update_priority(kernel: KernelProfile) -> bool:
    return kernel.priority_by_tos is PriorityByTos.SYSCTL


def _has_all_policies(kernel: KernelProfile) -> bool:
    return kernel.multipath_policies is MultipathPolicies.ALL


def _last_policy(kernel: KernelProfile) -> int:
    return kernel.multipath_policies.value


def _has_raw_accept(kernel: KernelProfile) -> bool:
    return kernel.raw_sockets_in_vrfs is RawSocketsInVrfs.SYSCTL


def _has_probe(kernel: KernelProfile) -> bool:
    return kernel.icmp_probe is IcmpProbe.SYSCTL


class Knob(NamedTuple):
    """What is known of one knob besides the name of its field."""

    default: int
    combine: Combine = Combine.DEV
    every: int = 0  # the default of `all`
    low: int = INT_MIN
    high: int = INT_MAX
    in_kernel: Callable[[KernelProfile], bool] = _always
    path: str = ""  # where it is not net.ipv4.FIELD
    highest: Callable[[KernelProfile], int] | None = None  # where the kernels differ


def _device(default: int, combine: Combine, **more: Any) -> Any:
    """Declare a knob of one device; rooms without a host see the effective value of a fresh one."""
    spec = Knob(default, combine, **{"every": default, **more})
    fresh = default if combine is not Combine.AND else int(bool(default and spec.every))
    return field(default=fresh, metadata={"knob": spec})


def _net(default: int, low: int = INT_MIN, high: int = INT_MAX, **more: Any) -> Any:
    """Declare a knob of the whole host, or of neighbours."""
    return field(default=default, metadata={"knob": Knob(default, low=low, high=high, **more)})


@dataclass(frozen=True, slots=True)
class DeviceConf:
    """net.ipv4.conf.DEV.*: field names are the knobs' own, values the effective ones."""

    forwarding: int = _device(0, Combine.DEV)
    mc_forwarding: int = _device(0, Combine.AND)
    bc_forwarding: int = _device(0, Combine.AND, in_kernel=_has_bc_forwarding)
    rp_filter: int = _device(0, Combine.MAX)
    accept_local: int = _device(0, Combine.OR)
    src_valid_mark: int = _device(0, Combine.OR)
    route_localnet: int = _device(0, Combine.OR)
    log_martians: int = _device(0, Combine.OR)
    accept_source_route: int = _device(1, Combine.AND, every=0)
    accept_redirects: int = _device(1, Combine.REDIRECTS)
    secure_redirects: int = _device(1, Combine.OR)
    send_redirects: int = _device(1, Combine.OR)
    shared_media: int = _device(1, Combine.OR)
    drop_unicast_in_l2_multicast: int = _device(0, Combine.OR)
    ignore_routes_with_linkdown: int = _device(0, Combine.OR)
    promote_secondaries: int = _device(0, Combine.OR)
    disable_policy: int = _device(0, Combine.POLICY)
    disable_xfrm: int = _device(0, Combine.POLICY)
    proxy_arp: int = _device(0, Combine.OR)
    proxy_arp_pvlan: int = _device(0, Combine.POLICY)
    medium_id: int = _device(0, Combine.DEV)
    tag: int = _device(0, Combine.DEV)
    bootp_relay: int = _device(0, Combine.AND)
    arp_accept: int = _device(0, Combine.MAX)
    arp_announce: int = _device(0, Combine.MAX)
    arp_filter: int = _device(0, Combine.OR)
    arp_ignore: int = _device(0, Combine.MAX)
    arp_notify: int = _device(0, Combine.MAX)
    drop_gratuitous_arp: int = _device(0, Combine.OR)


@dataclass(frozen=True, slots=True)
class NeighConf:
    """net.ipv4.neigh.DEV.*: how neighbours of one device are asked for."""

    mcast_solicit: int = _net(3, 0)
    ucast_solicit: int = _net(3, 0)
    app_solicit: int = _net(0, 0)
    mcast_resolicit: int = _net(0, 0)
    retrans_time_ms: int = _net(1000, 0)
    base_reachable_time_ms: int = _net(30_000, 0)
    delay_first_probe_time: int = _net(5, 0)
    gc_stale_time: int = _net(60, 0)
    locktime: int = _net(100, 0)
    unres_qlen_bytes: int = _net(212_992, 0)


@dataclass(frozen=True, slots=True)
class NetConf:
    """What is not per device. Times are in the knob's own unit: see each."""

    ip_forward: int = _net(0)
    ip_default_ttl: int = _net(64, 1, 255)
    ip_early_demux: int = _net(1, 0, 255)
    tcp_early_demux: int = _net(1, 0, 255)
    udp_early_demux: int = _net(1, 0, 255)
    tcp_l3mdev_accept: int = _net(0, 0, 1)
    udp_l3mdev_accept: int = _net(0, 0, 1)
    raw_l3mdev_accept: int = _net(1, 0, 1, in_kernel=_has_raw_accept)
    ip_forward_use_pmtu: int = _net(0, 0, 255)
    ip_forward_update_priority: int = _net(1, 0, 1, in_kernel=_has_update_priority)
    ip_no_pmtu_disc: int = _net(0, 0, 255)
    fwmark_reflect: int = _net(0, 0, 255)
    fib_multipath_hash_policy: int = _net(0, 0, 3, highest=_last_policy)
    fib_multipath_hash_fields: int = _net(7, 1, 4095, in_kernel=_has_all_policies)
    fib_multipath_hash_seed: int = _net(0, 0, UINT_MAX, in_kernel=_has_all_policies)
    fib_multipath_use_neigh: int = _net(0, 0, 1)
    icmp_echo_ignore_all: int = _net(0, 0, 1)
    icmp_echo_ignore_broadcasts: int = _net(1, 0, 1)
    icmp_echo_enable_probe: int = _net(0, 0, 1, in_kernel=_has_probe)
    icmp_ignore_bogus_error_responses: int = _net(1, 0, 1)
    icmp_errors_use_inbound_ifaddr: int = _net(0, 0, 1)
    icmp_ratelimit: int = _net(1000, 0)  # milliseconds
    icmp_ratemask: int = _net(0x1818)
    icmp_msgs_per_sec: int = _net(1000, 0)
    icmp_msgs_burst: int = _net(50, 0)
    ipfrag_high_thresh: int = _net(4_194_304, 0, LONG_MAX)
    ipfrag_low_thresh: int = _net(3_145_728, 0, LONG_MAX)
    ipfrag_time: int = _net(30, 0)  # seconds
    ipfrag_max_dist: int = _net(64, 0)
    route_min_pmtu: int = _net(552, 68, path="net.ipv4.route.min_pmtu")
    route_mtu_expires: int = _net(600, 0, path="net.ipv4.route.mtu_expires")  # seconds
    route_min_adv_mss: int = _net(256, path="net.ipv4.route.min_adv_mss")
    route_redirect_number: int = _net(9, path="net.ipv4.route.redirect_number")
    route_redirect_load: int = _net(HZ // 50, path="net.ipv4.route.redirect_load")  # ticks
    route_redirect_silence: int = _net((HZ // 50) << 10, path="net.ipv4.route.redirect_silence")  # ticks
    route_error_cost: int = _net(HZ, path="net.ipv4.route.error_cost")  # ticks
    route_error_burst: int = _net(5 * HZ, path="net.ipv4.route.error_burst")  # ticks
    neigh_gc_thresh1: int = _net(128, 0, path="net.ipv4.neigh.default.gc_thresh1")
    neigh_gc_thresh2: int = _net(512, 0, path="net.ipv4.neigh.default.gc_thresh2")
    neigh_gc_thresh3: int = _net(1024, 0, path="net.ipv4.neigh.default.gc_thresh3")
    wmem_default: int = _net(212_992, 4608, path="net.core.wmem_default")
    wmem_max: int = _net(212_992, 4608, path="net.core.wmem_max")


def _knobs(conf: type) -> Mapping[str, Knob]:
    return MappingProxyType({declared.name: declared.metadata["knob"] for declared in fields(conf)})


DEVICE_KNOBS: Final = _knobs(DeviceConf)
NEIGH_KNOBS: Final = _knobs(NeighConf)
NET_KNOBS: Final = _knobs(NetConf)
NET_PATHS: Final = MappingProxyType({knob.path or f"net.ipv4.{name}": name for name, knob in NET_KNOBS.items()})

SKB_TRUESIZE_OF_A_FRAME: Final = 2090
"""What a full Ethernet frame is charged for where a queue is bounded in packets."""

NEIGH_ALIASES: Final = MappingProxyType(
    {
        "retrans_time": ("retrans_time_ms", 10),
        "base_reachable_time": ("base_reachable_time_ms", 1000),
        "unres_qlen": ("unres_qlen_bytes", SKB_TRUESIZE_OF_A_FRAME),
    }
)
"""Older names of the same knobs in other units, and by how much to multiply."""


def combined(every: Mapping[str, int], device: Mapping[str, int], kernel: KernelProfile) -> DeviceConf:
    """Return the effective values of one device, from the raw ones of `all` and its own."""
    own_policy = kernel.policy_knobs is PolicyKnobs.DEVICE_ONLY
    values = {}
    for name, knob in DEVICE_KNOBS.items():
        rule = knob.combine
        if rule is Combine.POLICY:
            rule = Combine.DEV if own_policy else Combine.OR
        elif rule is Combine.REDIRECTS:
            rule = Combine.AND if device["forwarding"] else Combine.OR
        values[name] = _COMBINING[rule](every[name], device[name])
    return DeviceConf(**values)


_COMBINING: Final[Mapping[Combine, Callable[[int, int], int]]] = MappingProxyType(
    {
        Combine.DEV: lambda _every, device: device,
        Combine.AND: lambda every, device: int(bool(every and device)),
        Combine.OR: lambda every, device: int(bool(every or device)),
        Combine.MAX: max,
    }
)
