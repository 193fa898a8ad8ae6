"""Connection tracking's reassembly: whoever tracks connections wants datagrams whole, also those in transit.

Law: it stands before everything else of its hook, and waits apart from local delivery. What this host sent to itself
was seen on its way out.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from ipkit.core.defrag import Defragged, DefragUser, put_together
from ipkit.core.host.config import HostConfig
from ipkit.core.host.fib_explain import Trace
from ipkit.core.outcome.verdict import Next, StageResult
from ipkit.core.skbuff import PacketType, SkBuff
from ipkit.core.state.netns import NetNamespace
from ipkit.core.wire.ipv4 import PROTO_TCP

TCP_HEADER_BYTES: Final = 20


def is_gathered(skb: SkBuff) -> bool:
    """Tell whether a datagram is a fragment that was not seen before."""
    return skb.is_fragment and skb.route is None


def ipv4_conntrack_defrag(skb: SkBuff, net: NetNamespace, trace: Trace | None) -> StageResult:
    """Hold a fragment back until its datagram is whole; that one goes on, and can be taken apart again.

    Kernel: net/ipv4/netfilter/nf_defrag_ipv4.c
    Exits: Next(ip_rcv_finish); Queued; Drop(NOT_SPECIFIED, DUP_FRAG)
    """
    outcome, mibs, _ = nf_ct_ipv4_gather_frags(skb, DefragUser.CONNTRACK_IN, net, trace)
    if isinstance(outcome, SkBuff):
        return StageResult(Next("ip_rcv_finish"), mibs)
    return StageResult(outcome, mibs)


def nf_ct_ipv4_gather_frags(skb: SkBuff, user: int, net: NetNamespace, trace: Trace | None = None) -> Defragged:
    """Put a fragment with its like; the one that completes them becomes the whole datagram.

    That the whole forbids fragmenting binds only where one of its fragments would not have fitted either.
    Kernel: net/ipv4/netfilter/nf_defrag_ipv4.c
    """
    answer = put_together(skb, user, net, trace)
    whole = answer.outcome
    if isinstance(whole, SkBuff):
        skb.data, skb.pkt_type, skb.cb, skb.mark = whole.data, whole.pkt_type, whole.cb, whole.mark
        skb.frag_list, skb.buffer, skb.on_wire = whole.frag_list, whole.buffer, whole.on_wire
        skb.gso_size, skb.ignore_df = 0, True
        return answer._replace(outcome=skb)
    return answer


def pull_for_demux(skb: SkBuff, host: HostConfig) -> None:
    """Bring a TCP header into one piece before early demux reads it: the pieces are not as they came any more."""
    asked = host.net.ip_early_demux and host.net.tcp_early_demux and skb.pkt_type is PacketType.HOST
    missing = ((skb.data[0] & 0x0F) << 2) + TCP_HEADER_BYTES - len(skb.data)
    if not asked or skb.data[9] != PROTO_TCP or not 0 < missing <= sum([len(piece.data) for piece in skb.frag_list]):
        return
    pieces = list(skb.frag_list)
    while missing:
        piece = pieces.pop(0)
        skb.data += piece.data[:missing]
        if len(piece.data) > missing:
            pieces.insert(0, replace(piece, data=piece.data[missing:]))
        missing -= min(missing, len(piece.data))
    skb.frag_list = tuple(pieces)
