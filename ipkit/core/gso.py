"""Packets that stand for many: how many they are, whether they fit, and the datagrams they fall into.

Law: UDP only, the one protocol whose packets of this kind the send path makes.
"""

from __future__ import annotations

from dataclasses import replace

from ipkit.core.skbuff import SkBuff
from ipkit.core.wire.checksum import csum_partial, csum_tcpudp_magic, with_header_checksum
from ipkit.core.wire.ipv4 import PROTO_UDP, read
from ipkit.core.wire.transport import UDP_HEADER_BYTES, UdpHeader, build_udp, read_udp


def skb_gso_validate_network_len(skb: SkBuff, mtu: int) -> bool:
    """Tell whether each segment fits.

    Kernel: net/core/gso.c
    """
    return read(skb.data).header_bytes + UDP_HEADER_BYTES + skb.gso_size <= mtu


def skb_gso_segment(skb: SkBuff) -> list[SkBuff]:
    """Return the datagrams that a packet stands for: each with the next identification and a checksum of its own.

    Kernel: net/core/gso.c, net/ipv4/udp_offload.c
    """
    data = skb.linear
    header = read(data)
    at = header.header_bytes
    ports = read_udp(data, at)
    at += UDP_HEADER_BYTES
    segments = []
    for number, begin in enumerate(range(at, len(data), skb.gso_size)):
        payload = data[begin : begin + skb.gso_size]
        udp = build_udp(UdpHeader(ports.source, ports.dest, UDP_HEADER_BYTES + len(payload), 0))
        check = csum_tcpudp_magic(
            (header.saddr, header.daddr), PROTO_UDP, len(udp + payload), csum_partial(udp + payload)
        )
        udp = udp[:6] + (check or 0xFFFF).to_bytes(2, "big")
        identification = (header.id + number & 0xFFFF).to_bytes(2, "big")
        total = (at + len(payload)).to_bytes(2, "big")
        front = with_header_checksum(data[:2] + total + identification + data[6 : at - UDP_HEADER_BYTES])
        segments.append(replace(skb, data=front + udp + payload, frag_list=(), gso_size=0))
    return segments
