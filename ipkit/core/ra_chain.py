"""Sockets that see what is only passing: those that asked for router alert packets.

Law: a packet that such a socket takes goes no further, however good its route is.
"""

from __future__ import annotations

from ipkit.core.defrag import DefragUser, put_together
from ipkit.core.host.fib_explain import Trace
from ipkit.core.outcome.counters import Mib
from ipkit.core.outcome.drop_reasons import DropReason
from ipkit.core.outcome.verdict import Delivered, Drop, StageResult
from ipkit.core.skbuff import SkBuff
from ipkit.core.state.netns import NetNamespace
from ipkit.core.xfrm import Policy, PolicyDirection, xfrm4_policy_check


def ip_call_ra_chain(skb: SkBuff, net: NetNamespace, trace: Trace | None) -> StageResult | None:
    """Give a packet in transit to each socket of its protocol that wants to be alerted; None: there is none.

    Kernel: net/ipv4/ip_input.c
    Exits: Delivered; Queued; Drop(XFRM_POLICY, every reason of ip_defrag)
    """
    protocol = skb.data[9]
    takers = sum(one.router_alert and one.raw_number == protocol for one in net.host.listeners)
    if trace is not None:
        say = f"protocol {protocol}: {takers} sockets want to be alerted"
        trace.append(("ip_call_ra_chain", say, {"protocol": protocol, "sockets": takers}))
    if not takers:
        return None
    mibs: tuple[Mib, ...] = ()
    if skb.is_fragment:
        outcome, mibs, _ = put_together(skb, DefragUser.CALL_RA_CHAIN, net, trace)
        if not isinstance(outcome, SkBuff):
            return StageResult(outcome, mibs)
        skb = outcome
    if xfrm4_policy_check(skb, net.host, PolicyDirection.IN) is Policy.BLOCKED:
        return StageResult(Drop(DropReason.XFRM_POLICY, "raw_rcv"), (*mibs, *(Mib.XFRM_IN_POL_BLOCK,) * takers))
    return StageResult(Delivered("raw", "ip_call_ra_chain"), mibs)


def ip_mr_input(skb: SkBuff, net: NetNamespace, trace: Trace | None) -> StageResult:
    """Take a packet to a group that nobody here has joined, on a link that forwards groups.

    The tables that a multicast routing daemon would fill are empty, so it goes nowhere.
    Kernel: net/ipv4/ipmr.c
    Exits: those of ip_call_ra_chain; Drop(NOT_SPECIFIED)
    """
    taken = ip_call_ra_chain(skb, net, trace) if skb.cb.options.router_alert else None
    return taken or StageResult(Drop(DropReason.NOT_SPECIFIED, "ip_mr_input"))
