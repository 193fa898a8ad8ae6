"""What routing is asked, and how it can refuse.

Law: values. A flow comes from a packet, whose bytes are read only where a rule or the multipath hash wants them, or
from somebody who asks without a packet: then the fields stand for it.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple, TypeAlias

from ipkit.core.host.config import HostConfig, Link
from ipkit.core.host.fib import FibResult
from ipkit.core.host.fib_rules import ROOT_UID, FibKey
from ipkit.core.host.kernel import VrfSettings
from ipkit.core.outcome.counters import Mib
from ipkit.core.outcome.drop_reasons import DropReason
from ipkit.core.skbuff import IpSkbFlag, SkBuff
from ipkit.core.state.routing import Routing
from ipkit.core.wire.flow_keys import FlowKeys, outer_keys
from ipkit.core.wire.ipv4 import PROTO_UDP, unpack_from

LOOPBACK_ADDRESS: Final = 0x7F000001
SMALLEST_IP_MTU: Final = 68


class InputFlow(NamedTuple):
    """A packet that came in by a device, as far as routing looks at it."""

    daddr: int
    saddr: int
    tos: int
    iif: str
    protocol: int = PROTO_UDP
    mark: int = 0
    data: bytes = b""  # the datagram; empty: the fields are all there is
    sport: int = 0
    dport: int = 0
    now_ns: int = 0


def input_flow(skb: SkBuff) -> InputFlow:
    """Return the flow of a packet that came in."""
    _, tos, _, _, _, _, protocol, _, saddr, daddr = unpack_from(skb.data)
    return InputFlow(daddr, saddr, tos, skb.dev, protocol, skb.mark, skb.linear, 0, 0, skb.tstamp_ns)


def came_by(skb: SkBuff) -> str:
    """Return the link that a datagram came in by, also where a VRF has taken it over."""
    return skb.cb.iif if skb.cb.flags & IpSkbFlag.L3SLAVE else skb.dev


def judging_link(skb: SkBuff, host: HostConfig) -> Link:
    """Return the link whose settings decide about options and errors."""
    by_vrf = host.kernel.vrf_settings is VrfSettings.VRF
    return host.links[skb.dev if by_vrf else came_by(skb)]


class OutputFlow(NamedTuple):
    """A packet of our own, as far as routing looks at it."""

    daddr: int
    saddr: int = 0
    tos: int = 0
    oif: str = ""
    protocol: int = PROTO_UDP
    mark: int = 0
    data: bytes = b""  # the packet that an ICMP error is about: its flow chooses the way back
    sport: int = 0
    dport: int = 0
    now_ns: int = 0
    uid: int = ROOT_UID
    scope: int = 0
    any_source: bool = False  # the source need not be ours


Flow: TypeAlias = InputFlow | OutputFlow


class Martian(Enum):
    """Which end of a refused packet is impossible."""

    SOURCE = "source"
    DESTINATION = "destination"


class Refused(NamedTuple):
    """No route: the errno, and what a drop for it is called."""

    errno: int
    reason: DropReason = DropReason.NOT_SPECIFIED
    martian: Martian | None = None
    found: FibResult | None = None  # what the tables said, where they were asked
    mibs: tuple[Mib, ...] = ()  # what counts besides, where it is no table that refuses


def is_multicast(address: int) -> bool:
    """Tell whether an address is a group's."""
    return address >> 28 == 0xE


def is_local_multicast(address: int) -> bool:
    """Tell whether a group is one that never leaves the link: 224.0.0.0/24."""
    return address >> 8 == 0xE00000


def is_loopback(address: int) -> bool:
    """Tell whether an address is in 127.0.0.0/8."""
    return address >> 24 == 127


def flow_keys(flow: Flow) -> FlowKeys:
    """Return the outer keys of a flow, from its packet where there is one."""
    if flow.data:
        return outer_keys(flow.data)
    source, destination = flow.saddr.to_bytes(4, "big"), flow.daddr.to_bytes(4, "big")
    return FlowKeys(source, destination, flow.protocol, flow.sport, flow.dport)


def fib4_rules_early_flow_dissect(routing: Routing, key: FibKey, flow: Flow) -> FibKey:
    """Return the key with protocol and ports, where some rule asks for them.

    Kernel: include/net/ip_fib.h
    """
    if not routing.tables.rules_ask_for_ports:
        return key
    keys = flow_keys(flow)
    return key._replace(ipproto=keys.ip_proto, sport=keys.sport, dport=keys.dport)
