"""Whether a datagram that is not for this host may go on, and what that costs it.

Law: routing has chosen the way; what is decided here is whether it is taken. Errors are owed, not sent.
"""

from __future__ import annotations

from typing import Final

from ipkit.core.host.config import HostConfig
from ipkit.core.host.fib import Route, RouteFlag
from ipkit.core.host.fib_explain import Trace, WalkStep
from ipkit.core.host.kernel import OutputCounting
from ipkit.core.outcome.counters import Mib
from ipkit.core.outcome.drop_reasons import DropReason
from ipkit.core.outcome.verdict import Drop, IcmpDue, Next, StageResult
from ipkit.core.ra_chain import ip_call_ra_chain
from ipkit.core.redirect import ip_rt_send_redirect
from ipkit.core.route import Direction, ip_dst_mtu_maybe_forward
from ipkit.core.skbuff import IpControlBlock, IpSkbFlag, PacketType, SkBuff
from ipkit.core.state.netns import NetNamespace
from ipkit.core.transit_options import ip_forward_options
from ipkit.core.wire.checksum import ip_decrease_ttl
from ipkit.core.wire.icmp import DEST_UNREACH, EXC_TTL, FRAG_NEEDED, SR_FAILED, TIME_EXCEEDED
from ipkit.core.wire.ipv4 import FLAG_DF, PLAIN_FIRST_BYTE
from ipkit.core.xfrm import (
    IN_POL_BLOCK,
    OUT_POL_BLOCK,
    Policy,
    PolicyDirection,
    told_policy,
    xfrm4_policy_check,
    xfrm4_route_forward,
)

NOT_FOR_US: Final = StageResult(Drop(DropReason.NOT_SPECIFIED, "ip_forward"))
FORBIDDEN: Final = Drop(DropReason.XFRM_POLICY, "ip_forward")
TOO_MANY_HOPS: Final = Drop(DropReason.IP_INHDR, "ip_forward")
TOO_BIG: Final = Drop(DropReason.PKT_TOO_BIG, "ip_forward")
COUNTED_BEFORE: Final = (Mib.FORW_DATAGRAMS,)
TO_OUTPUT: Final = Next("dst_output")
LEAVES: Final = StageResult(TO_OUTPUT)
GOES_ON: Final = StageResult(Next("ip_forward_finish"))
COUNTED_ON: Final = StageResult(Next("ip_forward_finish"), COUNTED_BEFORE)
COUNTED_TOO_BIG: Final = {
    OutputCounting.IP_OUTPUT: (Mib.FRAG_FAILS,),
    OutputCounting.LOCAL_OUT: (Mib.FORW_DATAGRAMS, Mib.FRAG_FAILS),
}


def ip_forward(skb: SkBuff, net: NetNamespace, trace: Trace | None) -> StageResult:
    """Decide whether a routed datagram may leave by another interface.

    Kernel: net/ipv4/ip_forward.c
    Exits: Next(ip_forward_finish); those of ip_call_ra_chain; Drop(NOT_SPECIFIED, XFRM_POLICY, IP_INHDR, PKT_TOO_BIG)
    """
    host, route, data = net.host, skb.route, skb.data
    if skb.pkt_type is not PacketType.HOST or route is None:
        return NOT_FOR_US
    if (host.policies or trace is not None) and _first_asked(skb, host, trace) is Policy.BLOCKED:
        return StageResult(FORBIDDEN, IN_POL_BLOCK)
    if skb.cb.options.router_alert and (taken := ip_call_ra_chain(skb, net, trace)) is not None:
        return taken
    ttl = data[8]
    if ttl <= 1:
        due = IcmpDue(TIME_EXCEEDED, EXC_TTL, 0, skb)
        return StageResult(TOO_MANY_HOPS, (Mib.IN_HDR_ERRORS,), icmp=(due,))
    if host.policies and xfrm4_route_forward(skb, route, host) is Policy.BLOCKED:
        return StageResult(FORBIDDEN, OUT_POL_BLOCK)
    if skb.cb.options.is_strictroute and route.uses_gateway:
        return NOT_FOR_US._replace(icmp=(IcmpDue(DEST_UNREACH, SR_FAILED, 0, skb),))
    mtu = ip_dst_mtu_maybe_forward(route, host, Direction.FORWARDED, skb.tstamp_ns)
    skb.cb = _noted_as_forwarded(skb.cb)
    if skb.length > mtu and ip_exceeds_mtu(skb, mtu):
        return _too_big(skb, route, mtu, net, trace)
    check = ip_decrease_ttl(data[10] << 8 | data[11])
    skb.data = b"".join((data[:8], bytes((ttl - 1, data[9], check >> 8, check & 0xFF)), data[12:]))
    if trace is not None:
        _tell(trace, skb, route, mtu)
    result = COUNTED_ON if net.host.kernel.output_counting is OutputCounting.LOCAL_OUT else GOES_ON
    if route.flags and route.flags & RouteFlag.DOREDIRECT and not skb.cb.options.srr:
        return result._replace(icmp=ip_rt_send_redirect(skb, route, net, trace))
    return result


def _too_big(skb: SkBuff, route: Route, mtu: int, net: NetNamespace, trace: Trace | None) -> StageResult:
    if trace is not None:
        trace += _mtu_told(skb, route, mtu, "are too many")
    due = IcmpDue(DEST_UNREACH, FRAG_NEEDED, mtu, skb)
    return StageResult(TOO_BIG, COUNTED_TOO_BIG[net.host.kernel.output_counting], icmp=(due,))


def _first_asked(skb: SkBuff, host: HostConfig, trace: Trace | None) -> Policy:
    """Return what IPsec policy says of a datagram that is to be forwarded."""
    if trace is not None:
        trace += [skb_warn_if_lro(skb), told_policy(skb, host, PolicyDirection.FWD)]
    return xfrm4_policy_check(skb, host, PolicyDirection.FWD)


def ip_exceeds_mtu(skb: SkBuff, mtu: int) -> bool:
    """Tell whether a datagram is too long for its way out and must not be fragmented.

    Kernel: net/ipv4/ip_forward.c
    """
    if skb.length <= mtu or not (skb.data[6] << 8) & FLAG_DF:
        return False
    if skb.cb.frag_max_size > mtu:
        return True
    return not skb.ignore_df and not skb.gso_size


def ip_forward_finish(skb: SkBuff, net: NetNamespace, trace: Trace | None) -> StageResult:
    """Count a datagram that FORWARD let pass, fill in its options, and let it go out.

    Kernel: net/ipv4/ip_forward.c
    Exits: Next(dst_output)
    """
    if skb.data[0] != PLAIN_FIRST_BYTE and skb.route is not None:
        ip_forward_options(skb, skb.route, net.routing, trace)
    if net.host.kernel.output_counting is OutputCounting.IP_OUTPUT:
        return StageResult(TO_OUTPUT, COUNTED_BEFORE, ((Mib.OUT_OCTETS, skb.length),))
    return LEAVES


def skb_warn_if_lro(skb: SkBuff) -> WalkStep:
    """Return what comes of asking for a card's merging (LRO), which must not be forwarded: no capture tells of it.

    Kernel: include/linux/skbuff.h
    """
    say = "merged by the stack, so it can be taken apart again" if skb.gso_size else "not merged by the card"
    return "skb_warn_if_lro", say, {"gso": bool(skb.gso_size)}


def _noted_as_forwarded(cb: IpControlBlock) -> IpControlBlock:
    if cb.flags is IpSkbFlag.NONE:
        return IpControlBlock(IpSkbFlag.FORWARDED, cb.frag_max_size, cb.options, cb.iif)
    return IpControlBlock(cb.flags | IpSkbFlag.FORWARDED, cb.frag_max_size, cb.options, cb.iif)


def _tell(trace: Trace, skb: SkBuff, route: Route, mtu: int) -> None:
    ttl = skb.data[8]
    trace.append(("xfrm4_route_forward", "passes", {}))
    trace += _mtu_told(skb, route, mtu, "pass")
    trace.append(("ip_decrease_ttl", f"ttl {ttl + 1} becomes {ttl}", {"ttl": ttl}))


def _mtu_told(skb: SkBuff, route: Route, mtu: int, verdict: str) -> Trace:
    by = "learnt from the way" if mtu == route.pmtu else f"by {route.dev}"
    return [
        ("ip_dst_mtu_maybe_forward", f"mtu {mtu} {by}", {"mtu": mtu, "dev": route.dev}),
        ("ip_exceeds_mtu", f"{skb.length} bytes {verdict}", {"length": skb.length, "mtu": mtu}),
    ]
