"""What the flow dissector reads of a datagram: addresses, protocol, ports, and the same of what a tunnel carries.

Law: reading never judges and never fails; a field whose bytes are not there is 0. The tunnels are IP in IP, IPv6 in IP
and GRE. No fragment has ports, not even the first one.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ipkit.core.wire import icmp
from ipkit.core.wire.ipv4 import HEADER_BYTES, PROTO_ICMP, Ipv4Header, read

PROTO_IPIP: Final = 4
PROTO_IPV6: Final = 41
PROTO_GRE: Final = 47
PORTS_AT: Final = {6: 0, 17: 0, 33: 0, 50: 0, 51: 4, 132: 0, 136: 0}
"""Where ports lie in TCP, UDP, DCCP, ESP, AH, SCTP and UDP-Lite; of IPsec it is the two halves of the SPI."""

ICMP_ERRORS: Final = frozenset(
    {icmp.DEST_UNREACH, icmp.SOURCE_QUENCH, icmp.REDIRECT, icmp.TIME_EXCEEDED, icmp.PARAMETERPROB}
)
ETHERTYPE_IPV4: Final = 0x0800
ETHERTYPE_IPV6: Final = 0x86DD
ETHERTYPE_ETHERNET: Final = 0x6558  # an Ethernet frame in GRE
ETHERNET_BYTES: Final = 14
IPV6_HEADER_BYTES: Final = 40
IPV6_OPTIONS: Final = frozenset({0, 43, 60})  # hop by hop, routing, destination
IPV6_FRAGMENT: Final = 44
MOST_HEADERS: Final = 15

GRE_CHECKSUM: Final = 0x80
GRE_ROUTING: Final = 0x40
GRE_KEY: Final = 0x20
GRE_SEQUENCE: Final = 0x10


class FlowKeys(NamedTuple):
    """What tells one flow from another (struct flow_keys)."""

    source: bytes  # four bytes, or sixteen
    destination: bytes
    ip_proto: int = 0
    sport: int = 0
    dport: int = 0
    flow_label: int = 0


class _Layer(NamedTuple):
    """One IP header, and where what it carries begins; nothing of a fragment is looked at."""

    keys: FlowKeys
    payload_at: int
    is_fragment: bool


def outer_keys(data: bytes) -> FlowKeys:
    """Return the keys of a datagram as it stands, without looking into tunnels."""
    return _keys_of(data, 1)[0]


def innermost_keys(data: bytes) -> FlowKeys:
    """Return the keys of the innermost datagram that can be read."""
    return _keys_of(data, MOST_HEADERS)[0]


def is_tunnel(data: bytes) -> bool:
    """Tell whether a datagram carries another one."""
    return _keys_of(data, 1)[1]


def ip_multipath_l3_keys(data: bytes) -> tuple[bytes, bytes]:
    """Return the addresses by which a packet is told apart: of an ICMP error, those of the datagram it quotes.

    Kernel: net/ipv4/route.c
    """
    outer = read(data)
    at = outer.header_bytes
    quoted_at = at + icmp.HEADER_BYTES
    is_error = (
        outer.protocol == PROTO_ICMP
        and not outer.offset_bytes
        and len(data) >= quoted_at + HEADER_BYTES
        and icmp.read(data, at).type in ICMP_ERRORS
    )
    header = read(data, quoted_at) if is_error else outer
    return header.saddr.to_bytes(4, "big"), header.daddr.to_bytes(4, "big")


def _keys_of(data: bytes, depth: int) -> tuple[FlowKeys, bool]:
    """Read up to so many headers; tell also whether there was a tunnel."""
    keys, at, kind = FlowKeys(bytes(4), bytes(4)), 0, ETHERTYPE_IPV4
    for number in range(depth):
        layer = _ipv4(data, at) if kind == ETHERTYPE_IPV4 else _ipv6(data, at)
        if layer is None:
            return keys, number > 0
        keys = layer.keys
        if layer.is_fragment:
            return keys, number > 0
        carried = _carried(data, keys.ip_proto, layer.payload_at)
        if carried is None:
            return _with_ports(keys, data, layer.payload_at), number > 0
        kind, at = carried
    return keys, True


def _ipv4(data: bytes, at: int) -> _Layer | None:
    if len(data) < at + HEADER_BYTES:
        return None
    header: Ipv4Header = read(data, at)
    if header.header_bytes < HEADER_BYTES:
        return None
    keys = FlowKeys(header.saddr.to_bytes(4, "big"), header.daddr.to_bytes(4, "big"), header.protocol)
    return _Layer(keys, at + header.header_bytes, header.is_fragment)


def _ipv6(data: bytes, at: int) -> _Layer | None:
    header = data[at : at + IPV6_HEADER_BYTES]
    if len(header) < IPV6_HEADER_BYTES:
        return None
    label = int.from_bytes(header[1:4], "big") & 0xFFFFF
    kind, at = header[6], at + IPV6_HEADER_BYTES
    while kind in IPV6_OPTIONS and len(data) >= at + 2:
        kind, at = data[at], at + (data[at + 1] + 1 << 3)
    is_fragment = kind == IPV6_FRAGMENT
    if is_fragment and len(data) >= at + 8:
        kind = data[at]
    return _Layer(FlowKeys(header[8:24], header[24:40], kind, flow_label=label), at, is_fragment)


def _carried(data: bytes, ip_proto: int, at: int) -> tuple[int, int] | None:
    """Return what a tunnel carries and where it begins; None: no tunnel."""
    if ip_proto == PROTO_IPIP:
        return ETHERTYPE_IPV4, at
    if ip_proto == PROTO_IPV6:
        return ETHERTYPE_IPV6, at
    if ip_proto != PROTO_GRE or len(data) < at + 4:
        return None
    flags, version, kind = data[at], data[at + 1] & 7, int.from_bytes(data[at + 2 : at + 4], "big")
    if flags & GRE_ROUTING or version:
        return None
    at += 4 + 4 * sum(bool(flags & part) for part in (GRE_CHECKSUM, GRE_KEY, GRE_SEQUENCE))
    if kind == ETHERTYPE_ETHERNET:
        kind = int.from_bytes(data[at + 12 : at + ETHERNET_BYTES], "big")
        at += ETHERNET_BYTES
    return (kind, at) if kind in (ETHERTYPE_IPV4, ETHERTYPE_IPV6) else None


def _with_ports(keys: FlowKeys, data: bytes, at: int) -> FlowKeys:
    offset = PORTS_AT.get(keys.ip_proto)
    if offset is None or len(data) < at + offset + 4:
        return keys
    at += offset
    return keys._replace(
        sport=int.from_bytes(data[at : at + 2], "big"), dport=int.from_bytes(data[at + 2 : at + 4], "big")
    )
