"""TCP for this host: whether a segment is sound, and whether anybody listens on its port.

Law: a listener takes and nothing is answered for it; where nobody listens the segment is answered with a reset.
"""

from __future__ import annotations

from ipkit.core.host.fib import RouteType
from ipkit.core.host.fib_explain import Trace
from ipkit.core.listeners import is_open
from ipkit.core.outcome.drop_reasons import DropReason
from ipkit.core.outcome.verdict import Delivered, Drop, StageResult
from ipkit.core.reply import Answer, answered
from ipkit.core.route import Refused
from ipkit.core.skbuff import PacketType, SkBuff
from ipkit.core.state.netns import NetNamespace
from ipkit.core.wire.checksum import csum_fold, csum_partial, pseudo_header_sum
from ipkit.core.wire.ipv4 import PROTO_TCP, Ipv4Header, read
from ipkit.core.wire.transport import TCP_HEADER_BYTES, TcpHeader, build_tcp, read_tcp
from ipkit.core.xfrm import IN_POL_BLOCK, Policy, PolicyDirection, xfrm4_policy_check

FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10
RCV = "tcp_v4_rcv"


def tcp_v4_rcv(skb: SkBuff, net: NetNamespace, trace: Trace | None) -> StageResult:
    """Decide about a segment for this host.

    Kernel: net/ipv4/tcp_ipv4.c
    Exits: Delivered; Drop(NOT_SPECIFIED, PKT_TOO_SMALL, TCP_CSUM, XFRM_POLICY, NO_SOCKET)
    """
    if skb.pkt_type is not PacketType.HOST:
        return StageResult(Drop(DropReason.NOT_SPECIFIED, RCV))
    header = read(skb.data)
    at = header.header_bytes
    length = skb.length - at
    if min(length, len(skb.data) - at) < TCP_HEADER_BYTES:
        return StageResult(Drop(DropReason.NOT_SPECIFIED, RCV))
    segment = read_tcp(skb.data, at)
    if segment.header_bytes < TCP_HEADER_BYTES:
        return StageResult(Drop(DropReason.PKT_TOO_SMALL, RCV))
    if length < segment.header_bytes:
        return StageResult(Drop(DropReason.NOT_SPECIFIED, RCV))
    pseudo = pseudo_header_sum(header.saddr, header.daddr, PROTO_TCP, length)
    if not (skb.on_wire or skb.gso_size) and csum_fold(pseudo + csum_partial(skb.data[at:])):
        return StageResult(Drop(DropReason.TCP_CSUM, RCV))
    listens = is_open(skb, net.host, PROTO_TCP, segment.dest)
    if trace is not None:
        who = "a socket listens" if listens else "nobody listens"
        trace.append((RCV, f"port {segment.dest}: {who}", {"port": segment.dest, "listens": listens}))
    if xfrm4_policy_check(skb, net.host, PolicyDirection.IN) is Policy.BLOCKED:
        reason = DropReason.XFRM_POLICY if listens else DropReason.NO_SOCKET
        return StageResult(Drop(reason, RCV), IN_POL_BLOCK)
    if listens:
        return StageResult(Delivered("tcp", RCV))
    reset = tcp_v4_send_reset(skb, segment, net)
    if isinstance(reset, Refused):
        return StageResult(Drop(DropReason.NO_SOCKET, RCV), reset.mibs)
    return StageResult(Drop(DropReason.NO_SOCKET, RCV), replies=() if reset is None else (reset,))


def tcp_v4_send_reset(skb: SkBuff, segment: TcpHeader, net: NetNamespace) -> SkBuff | Refused | None:
    """Return the reset that answers a segment nobody expects; a reset is not answered, nor is what went to many.

    Kernel: net/ipv4/tcp_ipv4.c
    """
    header = read(skb.data)
    if segment.flags & RST or skb.route is None or skb.route.type is not RouteType.LOCAL:
        return None
    if segment.flags & ACK:
        numbers, flags = (segment.ack_seq, 0), RST
    else:
        data_bytes = skb.length - header.header_bytes - segment.header_bytes
        after = segment.seq + bool(segment.flags & SYN) + bool(segment.flags & FIN) + data_bytes
        numbers, flags = (0, after & 0xFFFFFFFF), RST | ACK
    reset = TcpHeader(segment.dest, segment.source, *numbers, TCP_HEADER_BYTES << 2, flags, 0, 0, 0)
    tos = header.tos & net.host.kernel.reset_tos.value
    answer = Answer(_summed(reset, header), header.daddr, tos, (segment.dest, segment.source), may_fragment=False)
    return answered(skb, answer, net)


def _summed(reset: TcpHeader, header: Ipv4Header) -> bytes:
    pseudo = pseudo_header_sum(header.daddr, header.saddr, PROTO_TCP, TCP_HEADER_BYTES)
    return build_tcp(reset._replace(check=csum_fold(pseudo + csum_partial(build_tcp(reset)))))
