"""UDP and UDP-Lite for this host: whether a datagram is sound, and whether anybody listens on its port.

Law: a listener takes and never answers; where nobody listens the source is owed a port unreachable.
"""

from __future__ import annotations

from typing import Final

from ipkit.core.host.fib import RouteFlag
from ipkit.core.host.fib_explain import Trace
from ipkit.core.listeners import is_open
from ipkit.core.outcome.counters import Mib
from ipkit.core.outcome.drop_reasons import DropReason
from ipkit.core.outcome.verdict import Delivered, Drop, IcmpDue, StageResult
from ipkit.core.skbuff import SkBuff
from ipkit.core.state.netns import NetNamespace
from ipkit.core.wire.checksum import csum_fold, csum_partial, pseudo_header_sum
from ipkit.core.wire.icmp import DEST_UNREACH, PORT_UNREACH
from ipkit.core.wire.ipv4 import PROTO_UDP, PROTO_UDPLITE, read
from ipkit.core.wire.transport import UDP_HEADER_BYTES, read_udp
from ipkit.core.xfrm import IN_POL_BLOCK, Policy, PolicyDirection, xfrm4_policy_check

RCV = "__udp4_lib_rcv"
TO_MANY = RouteFlag.BROADCAST | RouteFlag.MULTICAST

CHECKSUM_BREAK: Final = 76
"""Up to this length a checksum is verified before a socket is looked for, longer ones when the data is wanted."""

BAD_CHECKSUM: Final = StageResult(Drop(DropReason.UDP_CSUM, RCV), (Mib.UDP_IN_CSUM_ERRORS, Mib.UDP_IN_ERRORS))
READ_IN_VAIN: Final = BAD_CHECKSUM._replace(outcome=Drop(DropReason.UDP_CSUM, "udp_recvmsg"))
FORBIDDEN: Final = StageResult(
    Drop(DropReason.XFRM_POLICY, "udp_queue_rcv_one_skb"), (Mib.UDP_IN_ERRORS, *IN_POL_BLOCK)
)


def udp_rcv(skb: SkBuff, net: NetNamespace, trace: Trace | None) -> StageResult:
    """Decide about a UDP datagram for this host.

    Kernel: net/ipv4/udp.c
    Exits: Delivered; Drop(PKT_TOO_SMALL, UDP_CSUM, XFRM_POLICY, NO_SOCKET, NOT_SPECIFIED)
    """
    header = read(skb.data)
    at = header.header_bytes
    length = skb.length - at
    if length < UDP_HEADER_BYTES or len(skb.data) - at < UDP_HEADER_BYTES:
        return StageResult(Drop(DropReason.NOT_SPECIFIED, RCV), (Mib.UDP_IN_ERRORS,))
    udp = read_udp(skb.data, at)
    if udp.len > length or udp.len < UDP_HEADER_BYTES:
        return StageResult(Drop(DropReason.PKT_TOO_SMALL, RCV), (Mib.UDP_IN_ERRORS,))
    to_many = skb.route is not None and bool(skb.route.flags & TO_MANY)
    listens = is_open(skb, net.host, PROTO_UDP, udp.dest)
    sound = not udp.check or bool(skb.on_wire) or _verifies(skb.data, at, udp.len)
    if trace is not None:
        who = "a socket listens" if listens else "nobody listens"
        trace.append(
            ("udp_rcv", f"port {udp.dest}: {who}", {"port": udp.dest, "listens": listens, "checksum_ok": sound})
        )
    # Connection tracking has added up every datagram before.
    if not sound and (udp.len <= CHECKSUM_BREAK or net.host.conntrack):
        return BAD_CHECKSUM
    if to_many and not listens:
        return StageResult(Drop(DropReason.NOT_SPECIFIED, RCV), (Mib.UDP_IGNORED_MULTI,))
    if xfrm4_policy_check(skb, net.host, PolicyDirection.IN) is Policy.BLOCKED:
        return FORBIDDEN if listens else FORBIDDEN._replace(outcome=Drop(DropReason.NOT_SPECIFIED, RCV))
    if not sound:
        return READ_IN_VAIN if listens else BAD_CHECKSUM
    if listens:
        return StageResult(Delivered("udp", "udp_queue_rcv_skb"), (Mib.UDP_IN_DATAGRAMS,))
    due = IcmpDue(DEST_UNREACH, PORT_UNREACH, 0, skb)
    return StageResult(Drop(DropReason.NO_SOCKET, RCV), (Mib.UDP_NO_PORTS,), icmp=(due,))


def udplite_rcv(skb: SkBuff, net: NetNamespace, trace: Trace | None) -> StageResult:
    """Decide about a UDP-Lite datagram for this host: nobody can listen here.

    Kernel: net/ipv4/udplite.c
    Exits: Drop(NOT_SPECIFIED, PKT_TOO_SMALL, UDP_CSUM, NO_SOCKET)
    """
    header = read(skb.data)
    at = header.header_bytes
    length = skb.length - at
    if length < UDP_HEADER_BYTES or len(skb.data) - at < UDP_HEADER_BYTES:
        return StageResult(Drop(DropReason.NOT_SPECIFIED, RCV))
    udp = read_udp(skb.data, at)
    covered = udp.len or length
    if trace is not None:
        trace.append(("udplite_rcv", f"port {udp.dest}: nobody listens", {"port": udp.dest, "coverage": covered}))
    if covered > length:
        return StageResult(Drop(DropReason.PKT_TOO_SMALL, RCV))
    if not udp.check or covered < UDP_HEADER_BYTES:
        return StageResult(Drop(DropReason.UDP_CSUM, RCV))
    pseudo = pseudo_header_sum(header.saddr, header.daddr, PROTO_UDPLITE, length)
    sound = bool(skb.on_wire) or not csum_fold(pseudo + csum_partial(skb.data[at : at + covered]))
    if not sound and covered == length <= CHECKSUM_BREAK:
        return StageResult(Drop(DropReason.UDP_CSUM, RCV))
    if skb.route is not None and skb.route.flags & TO_MANY:
        return StageResult(Drop(DropReason.NOT_SPECIFIED, RCV))
    if xfrm4_policy_check(skb, net.host, PolicyDirection.IN) is Policy.BLOCKED:
        return StageResult(Drop(DropReason.NOT_SPECIFIED, RCV), IN_POL_BLOCK)
    if not sound:
        return StageResult(Drop(DropReason.UDP_CSUM, RCV))
    due = IcmpDue(DEST_UNREACH, PORT_UNREACH, 0, skb)
    return StageResult(Drop(DropReason.NO_SOCKET, RCV), icmp=(due,))


def _verifies(data: bytes, at: int, length: int) -> bool:
    header = read(data)
    pseudo = pseudo_header_sum(header.saddr, header.daddr, PROTO_UDP, length)
    return not csum_fold(pseudo + csum_partial(data[at : at + length]))
