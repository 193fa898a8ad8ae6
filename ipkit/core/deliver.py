"""What becomes of a datagram that is for this host.

Law: fragments are put together, raw sockets see a copy, then the protocol decides. Which sockets there are the host
description says; they take, and never answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

from ipkit.core.defrag import DefragUser, put_together
from ipkit.core.host.fib_explain import Trace
from ipkit.core.icmp_receive import icmp_rcv
from ipkit.core.listeners import raw_local_deliver
from ipkit.core.outcome.counters import Mib
from ipkit.core.outcome.drop_reasons import DropReason
from ipkit.core.outcome.verdict import Delivered, Drop, IcmpDue, Next, StageResult
from ipkit.core.skbuff import PacketType, SkBuff
from ipkit.core.state.netns import NetNamespace
from ipkit.core.tcp_receive import tcp_v4_rcv
from ipkit.core.udp_receive import udp_rcv, udplite_rcv
from ipkit.core.wire.checksum import ip_fast_csum
from ipkit.core.wire.icmp import DEST_UNREACH, PROT_UNREACH
from ipkit.core.wire.ipv4 import (
    PROTO_ICMP,
    PROTO_IGMP,
    PROTO_PIM,
    PROTO_TCP,
    PROTO_UDP,
    PROTO_UDPLITE,
)
from ipkit.core.xfrm import IN_POL_BLOCK, Policy, PolicyDirection, told_policy, xfrm4_policy_check

IGMP_HEADER_BYTES: Final = 8
IGMPV3_QUERY_BYTES: Final = 12
IGMP_QUERY: Final = 0x11
IGMP_REPORTS: Final = frozenset({0x12, 0x16})
"""Those of versions 1 and 2, which members listen to; nobody but a routing daemon wants the others."""

FRAMES_TO_MANY: Final = frozenset({PacketType.MULTICAST, PacketType.BROADCAST})

Handler: TypeAlias = Callable[[SkBuff, NetNamespace, Trace | None], StageResult]


def igmp_rcv(skb: SkBuff, _net: NetNamespace, _trace: Trace | None) -> StageResult:
    """Take what a member listens to; nothing is learnt from it here, and no group is reported.

    Kernel: net/ipv4/igmp.c
    Exits: Delivered; Drop(NOT_SPECIFIED)
    """
    at = (skb.data[0] & 0x0F) << 2
    length = skb.length - at
    sound = length >= IGMP_HEADER_BYTES and (bool(skb.on_wire) or not ip_fast_csum(skb.data[at:]))
    kind = skb.data[at] if sound and len(skb.data) > at else 0
    asked = kind == IGMP_QUERY and not IGMP_HEADER_BYTES < length < IGMPV3_QUERY_BYTES
    heard = kind in IGMP_REPORTS and skb.pkt_type in FRAMES_TO_MANY
    if not asked and not heard:
        return StageResult(Drop(DropReason.NOT_SPECIFIED, "igmp_rcv"))
    return StageResult(Delivered("igmp", "igmp_rcv"))


def pim_rcv(_skb: SkBuff, _net: NetNamespace, _trace: Trace | None) -> StageResult:
    """Refuse what only a multicast router takes, without a word to its sender: this host is none.

    Kernel: net/ipv4/ipmr.c
    Exits: Drop(NOT_SPECIFIED)
    """
    return StageResult(Drop(DropReason.NOT_SPECIFIED, "pim_rcv"))


HANDLERS: Final[Mapping[int, Handler]] = MappingProxyType(
    {
        PROTO_ICMP: icmp_rcv,
        PROTO_IGMP: igmp_rcv,
        PROTO_TCP: tcp_v4_rcv,
        PROTO_UDP: udp_rcv,
        PROTO_UDPLITE: udplite_rcv,
        PROTO_PIM: pim_rcv,
    }
)
"""The protocols that a kernel takes without modules (inet_protos)."""

NO_POLICY: Final = frozenset({PROTO_ICMP, PROTO_TCP, PROTO_UDP, PROTO_UDPLITE})
"""Protocols that ask IPsec policy themselves (no_policy)."""


WHOLE: Final = StageResult(Next("ip_local_deliver_finish"))


def ip_local_deliver(skb: SkBuff, net: NetNamespace, trace: Trace | None) -> StageResult:
    """Put fragments together; what is whole goes on.

    Kernel: net/ipv4/ip_input.c
    Exits: Next(ip_local_deliver_finish); Queued; Drop(NOT_SPECIFIED, DUP_FRAG)
    """
    if not skb.is_fragment:
        if skb.frag_list:
            skb.data, skb.frag_list = skb.linear, ()
        return WHOLE
    outcome, mibs, _ = put_together(skb, DefragUser.LOCAL_DELIVER, net, trace)
    if isinstance(outcome, SkBuff):
        return StageResult(Next("ip_local_deliver_finish", outcome), mibs)
    return StageResult(outcome, mibs)


def ip_local_deliver_finish(skb: SkBuff, net: NetNamespace, trace: Trace | None) -> StageResult:
    """Hand a datagram to raw sockets and to its protocol.

    Kernel: net/ipv4/ip_input.c
    Exits: Delivered; Drop(XFRM_POLICY, IP_NOPROTO, every reason of the protocols)
    """
    protocol = skb.data[9]
    raw = raw_local_deliver(skb, net.host, protocol)
    if trace is not None:
        say = f"protocol {protocol}: {raw or 'no'} raw socket{'s' * (raw > 1)}"
        trace.append(("raw_local_deliver", say, {"protocol": protocol, "sockets": raw}))
        trace.append(told_policy(skb, net.host, PolicyDirection.IN))
    handler = HANDLERS.get(protocol)
    blocked = xfrm4_policy_check(skb, net.host, PolicyDirection.IN) is Policy.BLOCKED
    refused = IN_POL_BLOCK * raw if blocked else ()
    if handler is not None:
        if blocked and protocol not in NO_POLICY:
            return StageResult(Drop(DropReason.XFRM_POLICY, "ip_local_deliver_finish"), (*refused, *IN_POL_BLOCK))
        result = handler(skb, net, trace)
        return result._replace(mibs=(*result.mibs, *refused, Mib.IN_DELIVERS))
    if raw:
        taken = Drop(DropReason.XFRM_POLICY, "raw_rcv") if blocked else Delivered("raw", "raw_rcv")
        return StageResult(taken, (*refused, Mib.IN_DELIVERS))
    gone = Drop(DropReason.IP_NOPROTO, "ip_local_deliver_finish")
    if blocked:
        return StageResult(gone, IN_POL_BLOCK)
    due = IcmpDue(DEST_UNREACH, PROT_UNREACH, 0, skb)
    return StageResult(gone, (Mib.IN_UNKNOWN_PROTOS,), icmp=(due,))
