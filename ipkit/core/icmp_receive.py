"""ICMP messages for this host: counted, answered where the stack itself answers, else taken in silence.

Law: one message, one verdict. Errors and redirects are judged in icmp_errors.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from ipkit.core.host.fib import RouteFlag
from ipkit.core.host.fib_explain import Trace
from ipkit.core.host.kernel import IcmpProbe, TimestampReplyCount
from ipkit.core.icmp_errors import IcmpMessage, icmp_redirect, icmp_unreach, refused
from ipkit.core.icmp_probe import STATUS_AT, icmp_build_probe
from ipkit.core.ip_options import inet_current_timestamp
from ipkit.core.outcome.counters import ICMP_MSG_IN, Counted, Mib
from ipkit.core.outcome.drop_reasons import DropReason
from ipkit.core.outcome.verdict import Delivered, Drop, StageResult
from ipkit.core.reply import Answer, answered
from ipkit.core.route import Refused, fib_compute_spec_dst, input_flow
from ipkit.core.skbuff import SkBuff
from ipkit.core.state.netns import NetNamespace
from ipkit.core.wire import icmp
from ipkit.core.wire.checksum import csum_replace2, ip_fast_csum
from ipkit.core.xfrm import IN_POL_BLOCK, Policy, PolicyDirection, xfrm4_policy_check

LARGEST_TYPE: Final = 18
TO_MANY: Final = RouteFlag.BROADCAST | RouteFlag.MULTICAST
QUERIES: Final = frozenset({icmp.ECHO, icmp.TIMESTAMP})
ALLOWED_TO_MANY: Final = QUERIES | {icmp.ADDRESS, icmp.ADDRESSREPLY}
ERRORS: Final = frozenset({icmp.DEST_UNREACH, icmp.SOURCE_QUENCH, icmp.TIME_EXCEEDED, icmp.PARAMETERPROB})
TIMES_BYTES: Final = 12

IN_MIBS: Final[Mapping[int, tuple[Counted, ...]]] = MappingProxyType(
    {
        icmp.ECHOREPLY: (Mib.ICMP_IN_ECHO_REPS,),
        icmp.DEST_UNREACH: (Mib.ICMP_IN_DEST_UNREACHS,),
        icmp.SOURCE_QUENCH: (Mib.ICMP_IN_SRC_QUENCHS,),
        icmp.REDIRECT: (Mib.ICMP_IN_REDIRECTS,),
        icmp.ECHO: (Mib.ICMP_IN_ECHOS,),
        icmp.TIME_EXCEEDED: (Mib.ICMP_IN_TIME_EXCDS,),
        icmp.PARAMETERPROB: (Mib.ICMP_IN_PARM_PROBS,),
        icmp.TIMESTAMP: (Mib.ICMP_IN_TIMESTAMPS,),
        icmp.TIMESTAMPREPLY: (Mib.ICMP_IN_TIMESTAMP_REPS,),
        icmp.ADDRESS: (Mib.ICMP_IN_ADDR_MASKS,),
        icmp.ADDRESSREPLY: (Mib.ICMP_IN_ADDR_MASK_REPS,),
    }
)
"""What is counted for each type besides its number; /proc/net/snmp derives these from the numbers."""

ECHO_REPLIED: Final = (Mib.ICMP_OUT_MSGS, Mib.ICMP_OUT_ECHO_REPS, Mib.ICMP_MSG_OUT_TYPE0)
TIMESTAMP_REPLIED: Final = {
    TimestampReplyCount.ITSELF: (Mib.ICMP_OUT_MSGS, Mib.ICMP_OUT_TIMESTAMP_REPS, Mib.ICMP_MSG_OUT_TYPE14),
    TimestampReplyCount.ECHO_REPLY: ECHO_REPLIED,
}


def icmp_rcv(skb: SkBuff, net: NetNamespace, trace: Trace | None) -> StageResult:
    """Decide about a message for this host.

    Kernel: net/ipv4/icmp.c
    Exits: Delivered; Drop(XFRM_POLICY, ICMP_CSUM, IP_INHDR, UNHANDLED_PROTO, INVALID_PROTO, NOT_SPECIFIED)
    """
    if xfrm4_policy_check(skb, net.host, PolicyDirection.IN) is Policy.BLOCKED:
        return StageResult(Drop(DropReason.XFRM_POLICY, "icmp_rcv"), IN_POL_BLOCK)
    if skb.route is None:
        raise ValueError("a datagram without a route was delivered")
    asked = IcmpMessage(skb, skb.route, (skb.data[0] & 0x0F) << 2)
    if not skb.on_wire and ip_fast_csum(asked.data):
        bad = Drop(DropReason.ICMP_CSUM, "icmp_rcv")
        return StageResult(bad, (Mib.ICMP_IN_MSGS, Mib.ICMP_IN_CSUM_ERRORS, Mib.ICMP_IN_ERRORS))
    if asked.length < icmp.HEADER_BYTES or len(asked.data) < icmp.HEADER_BYTES:
        return refused(DropReason.NOT_SPECIFIED, (Mib.ICMP_IN_MSGS,))
    kind = asked.data[0]
    mibs = (Mib.ICMP_IN_MSGS, ICMP_MSG_IN[kind], *IN_MIBS.get(kind, ()))
    if trace is not None:
        trace.append(("icmp_rcv", f"type {kind} code {asked.data[1]}", {"type": kind, "code": asked.data[1]}))
    acts = _ACTS_OF[net.host.kernel.icmp_probe]
    if asked.route.flags & TO_MANY and not _may_go_to_many(kind, net):
        return refused(DropReason.INVALID_PROTO, mibs)
    if kind > LARGEST_TYPE and kind not in acts:
        return refused(DropReason.UNHANDLED_PROTO, mibs)
    result = acts.get(kind, _taken)(asked, net, trace)
    return result._replace(mibs=mibs + result.mibs)


def _may_go_to_many(kind: int, net: NetNamespace) -> bool:
    if kind in QUERIES:
        return not net.host.net.icmp_echo_ignore_broadcasts
    return kind in ALLOWED_TO_MANY or (kind == icmp.EXT_ECHO and net.host.kernel.icmp_probe is IcmpProbe.SYSCTL)


def icmp_echo(asked: IcmpMessage, net: NetNamespace, trace: Trace | None) -> StageResult:
    """Answer an echo request: its own data comes back; an extended one is told of an interface, where that is allowed.

    Kernel: net/ipv4/icmp.c
    """
    message, conf = asked.data, net.host.net
    unanswered = StageResult(Delivered("icmp", "icmp_echo"))
    if conf.icmp_echo_ignore_all:
        return unanswered
    if message[0] == icmp.ECHO:
        return _replied(asked, bytes((icmp.ECHOREPLY,)) + message[1:], net, ECHO_REPLIED)
    answer = icmp_build_probe(message, net.routing.tables) if conf.icmp_echo_enable_probe else None
    if answer is None:
        return unanswered
    if trace is not None:
        code, status = answer[1], answer[STATUS_AT]
        trace.append(("icmp_build_probe", f"code {code} status {status:#x}", {"code": code, "status": status}))
    return _replied(asked, answer, net, ECHO_REPLIED)


def icmp_timestamp(asked: IcmpMessage, net: NetNamespace, _trace: Trace | None) -> StageResult:
    """Answer a timestamp request: when it came and when the answer goes, which is the same moment.

    Kernel: net/ipv4/icmp.c
    """
    message = asked.data
    if asked.length < TIMES_BYTES or len(message) < TIMES_BYTES:
        return refused(DropReason.PKT_TOO_SMALL, (), "icmp_timestamp")
    now = inet_current_timestamp(asked.skb.tstamp_ns).to_bytes(4, "big")
    reply = bytes((icmp.TIMESTAMPREPLY, 0)) + message[2:12] + now + now
    return _replied(asked, reply, net, TIMESTAMP_REPLIED[net.host.kernel.timestamp_reply_count])


def ping_rcv(_asked: IcmpMessage, _net: NetNamespace, _trace: Trace | None) -> StageResult:
    """Look for the socket that an echo reply answers: there is none.

    Kernel: net/ipv4/ping.c
    """
    return StageResult(Drop(DropReason.NO_SOCKET, "ping_rcv"))


def _taken(_asked: IcmpMessage, _net: NetNamespace, _trace: Trace | None) -> StageResult:
    return StageResult(Delivered("icmp", "icmp_rcv"))


_ACTS: Final[Mapping[int, Callable[[IcmpMessage, NetNamespace, Trace | None], StageResult]]] = MappingProxyType(
    {
        icmp.ECHOREPLY: ping_rcv,
        icmp.ECHO: icmp_echo,
        icmp.TIMESTAMP: icmp_timestamp,
        icmp.REDIRECT: icmp_redirect,
        **dict.fromkeys(ERRORS, icmp_unreach),
    }
)
_ACTS_OF: Final = {
    IcmpProbe.ABSENT: _ACTS,
    IcmpProbe.SYSCTL: {**_ACTS, icmp.EXT_ECHO: icmp_echo, icmp.EXT_ECHOREPLY: ping_rcv},
}
"""What is done about each type; younger kernels know extended echo (RFC 8335)."""


def _replied(asked: IcmpMessage, message: bytes, net: NetNamespace, mibs: tuple[Counted, ...]) -> StageResult:
    """Send an answer of the same tos back, from the address that was asked (icmp_reply)."""
    skb = asked.skb
    source = fib_compute_spec_dst(net.routing, input_flow(skb), asked.route)
    check = _checksum(asked, message)
    payload = message[:2] + check.to_bytes(2, "big") + message[4:]
    reply = answered(skb, Answer(payload, source, skb.data[1], on_wire=asked.length if skb.on_wire else 0), net)
    if isinstance(reply, Refused):
        return StageResult(Delivered("icmp", "icmp_reply"), reply.mibs)
    return StageResult(Delivered("icmp", "icmp_reply"), mibs, replies=(reply,))


def _checksum(asked: IcmpMessage, message: bytes) -> int:
    if asked.skb.on_wire:
        before = asked.data
        check = before[2] << 8 | before[3]
        for at in (0, STATUS_AT - 1):
            check = csum_replace2(check, before[at] << 8 | before[at + 1], message[at] << 8 | message[at + 1])
        return check
    return ip_fast_csum(message[:2] + b"\0\0" + message[4:])
