"""The machine the packets meet, as it was configured: plain frozen values.

How text becomes these values is build.py's business; what an address adds to the tables, addresses.py's.
Addresses are numbers, names of links are strings, nothing here acts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from ipkit.core.host.fib import Fib
from ipkit.core.host.kernel import KernelProfile
from ipkit.core.host.match import Match
from ipkit.core.host.sysctl import DeviceConf, NeighConf, NetConf
from ipkit.core.wire.link import ETH_P_8021Q


class LinkKind(Enum):
    """What kind of device a link is."""

    ETHERNET = "ethernet"
    LOOPBACK = "loopback"
    POINTOPOINT = "pointopoint"
    VLAN = "vlan"
    VRF = "vrf"


@dataclass(frozen=True, slots=True)
class Address:
    """One IPv4 address on a link (struct in_ifaddr)."""

    local: int
    prefix_len: int
    peer: int  # the address whose prefix is connected: `local` where there is no peer
    broadcast: int | None = None  # only where it was given
    scope: int = 0
    secondary: bool = False
    noprefixroute: bool = False
    metric: int = 0


@dataclass(frozen=True, slots=True)
class Link:
    """One network device and its IPv4 side."""

    name: str
    ifindex: int
    kind: LinkKind = LinkKind.ETHERNET
    mtu: int = 1500
    address: bytes | None = None  # None: every unicast frame is taken as addressed to it
    up: bool = True
    carrier: bool = True
    arp: bool = True
    addresses: tuple[Address, ...] = ()
    groups: frozenset[int] = frozenset()
    features: frozenset[str] = frozenset()
    master: str | None = None  # the VRF it is enslaved to
    lower: str | None = None  # what a VLAN link stands on
    vlan_id: int = 0
    vlan_protocol: int = ETH_P_8021Q
    vrf_table: int = 0
    group: int = 0  # the device group that suppress_ifgroup of a rule means
    conf: DeviceConf = field(default_factory=DeviceConf)  # effective values, `all` already combined
    neigh: NeighConf = field(default_factory=NeighConf)


@dataclass(frozen=True, slots=True)
class Neighbour:
    """One permanent or learned neighbour, or (`proxy`) an address that is answered for on this link."""

    address: int
    dev: str
    lladdr: bytes | None
    state: str = "permanent"
    proxy: bool = False


@dataclass(frozen=True, slots=True)
class Listener:
    """What a local socket would take."""

    proto: int | None  # None: raw
    port: int = 0
    raw_number: int = 0
    router_alert: bool = False


@dataclass(frozen=True, slots=True)
class HookAnswer:
    """What netfilter would say at one point."""

    at: str
    match: Match
    verdict: str


@dataclass(frozen=True, slots=True)
class PolicyAnswer:
    """What IPsec policy would say in one direction."""

    direction: str
    match: Match
    action: str


class Trust(Enum):
    """How far a description is believed."""

    JUDGED = auto()  # what the kernel would refuse is a mistake
    ACCEPTED = auto()  # a kernel took it, when its links and tables may have been others


@dataclass(frozen=True, slots=True)
class HostConfig:
    """The whole machine."""

    kernel: KernelProfile
    links: Mapping[str, Link]
    fib: Fib
    net: NetConf
    neighbours: tuple[Neighbour, ...] = ()
    neigh_default: str = "assume"
    conntrack: bool = False
    listeners: tuple[Listener, ...] = ()
    hooks: tuple[HookAnswer, ...] = ()
    policies: tuple[PolicyAnswer, ...] = ()
    trust: Trust = Trust.JUDGED
    sysctls: Mapping[str, int] = field(default_factory=dict)  # what was set, raw: written again by describe.py
