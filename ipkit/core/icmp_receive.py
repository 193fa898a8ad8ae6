"""ICMP messages for this host: counted, answered where the stack itself answers, else taken in silence.

Law: one message, one verdict. What an error teaches routes and sockets is not this room's business.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from ipkit.core.host.fib import Route, RouteFlag
from ipkit.core.host.fib_explain import Trace
from ipkit.core.host.kernel import IcmpProbe, TimestampReplyCount
from ipkit.core.ip_options import inet_current_timestamp
from ipkit.core.listeners import is_open
from ipkit.core.outcome.counters import ICMP_MSG_IN, Counted, Mib
from ipkit.core.outcome.drop_reasons import DropReason
from ipkit.core.outcome.verdict import Delivered, Drop, StageResult
from ipkit.core.reply import Answer, answered
from ipkit.core.route import fib_compute_spec_dst, input_flow
from ipkit.core.skbuff import SkBuff
from ipkit.core.state.netns import NetNamespace
from ipkit.core.wire import icmp
from ipkit.core.wire.checksum import csum_replace2, ip_fast_csum
from ipkit.core.wire.ipv4 import HEADER_BYTES, PROTO_TCP, PROTO_UDP, PROTO_UDPLITE

LARGEST_TYPE: Final = 18
TO_MANY: Final = RouteFlag.BROADCAST | RouteFlag.MULTICAST
QUERIES: Final = frozenset({icmp.ECHO, icmp.TIMESTAMP})
ALLOWED_TO_MANY: Final = QUERIES | {icmp.ADDRESS, icmp.ADDRESSREPLY}
ERRORS: Final = frozenset(
    {icmp.DEST_UNREACH, icmp.SOURCE_QUENCH, icmp.TIME_EXCEEDED, icmp.PARAMETERPROB, icmp.REDIRECT}
)
EXT_ECHO: Final = frozenset({42, 43})
"""Extended echo and its reply (RFC 8335), which younger kernels know, but answer only where they are told to."""
TIMES_BYTES: Final = 12
QUOTED_TRANSPORT_BYTES: Final = 8

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


class _Question(NamedTuple):
    """A message that came in."""

    skb: SkBuff
    route: Route
    at: int  # where in the datagram it begins

    @property
    def message(self) -> bytes:
        """Its bytes, as far as the capture has them."""
        return self.skb.data[self.at :]

    @property
    def length(self) -> int:
        """Its bytes on the wire."""
        return self.skb.length - self.at


def icmp_rcv(skb: SkBuff, net: NetNamespace, trace: Trace | None) -> StageResult:
    """Decide about a message for this host.

    Kernel: net/ipv4/icmp.c
    Exits: Delivered; Drop(ICMP_CSUM, UNHANDLED_PROTO, INVALID_PROTO, NOT_SPECIFIED)
    """
    if skb.route is None:
        raise ValueError("a datagram without a route was delivered")
    asked = _Question(skb, skb.route, (skb.data[0] & 0x0F) << 2)
    if not skb.on_wire and ip_fast_csum(asked.message):
        bad = Drop(DropReason.ICMP_CSUM, "icmp_rcv")
        return StageResult(bad, (Mib.ICMP_IN_MSGS, Mib.ICMP_IN_CSUM_ERRORS, Mib.ICMP_IN_ERRORS))
    if asked.length < icmp.HEADER_BYTES or len(asked.message) < icmp.HEADER_BYTES:
        return _refused(DropReason.NOT_SPECIFIED, (Mib.ICMP_IN_MSGS,))
    kind = asked.message[0]
    mibs = (Mib.ICMP_IN_MSGS, ICMP_MSG_IN[kind], *IN_MIBS.get(kind, ()))
    if trace is not None:
        trace.append(("icmp_rcv", f"type {kind} code {asked.message[1]}", {"type": kind, "code": asked.message[1]}))
    if kind in EXT_ECHO and net.host.kernel.icmp_probe is IcmpProbe.SYSCTL:
        return StageResult(Delivered("icmp", "icmp_echo"), mibs)
    if kind > LARGEST_TYPE:
        return _refused(DropReason.UNHANDLED_PROTO, mibs)
    if asked.route.flags & TO_MANY:
        ignored = kind in QUERIES and net.host.net.icmp_echo_ignore_broadcasts
        if ignored or kind not in ALLOWED_TO_MANY:
            return _refused(DropReason.INVALID_PROTO, mibs)
    result = _ACTS.get(kind, _taken)(asked, net)
    return result._replace(mibs=mibs + result.mibs)


def icmp_echo(asked: _Question, net: NetNamespace) -> StageResult:
    """Answer an echo request: its own data comes back.

    Kernel: net/ipv4/icmp.c
    """
    if net.host.net.icmp_echo_ignore_all:
        return StageResult(Delivered("icmp", "icmp_echo"))
    message = asked.message
    return _replied(asked, bytes((icmp.ECHOREPLY,)) + message[1:], net, ECHO_REPLIED)


def icmp_timestamp(asked: _Question, net: NetNamespace) -> StageResult:
    """Answer a timestamp request: when it came and when the answer goes, which is the same moment.

    Kernel: net/ipv4/icmp.c
    """
    message = asked.message
    if asked.length < TIMES_BYTES or len(message) < TIMES_BYTES:
        return _refused(DropReason.NOT_SPECIFIED, (), "icmp_timestamp")
    now = inet_current_timestamp(asked.skb.tstamp_ns).to_bytes(4, "big")
    reply = bytes((icmp.TIMESTAMPREPLY, 0)) + message[2:12] + now + now
    return _replied(asked, reply, net, TIMESTAMP_REPLIED[net.host.kernel.timestamp_reply_count])


def icmp_unreach(asked: _Question, net: NetNamespace) -> StageResult:
    """Judge an error report by what it quotes.

    Kernel: net/ipv4/icmp.c
    """
    quoted = asked.message[icmp.HEADER_BYTES :]
    if len(quoted) < HEADER_BYTES:
        return _refused(DropReason.NOT_SPECIFIED, (), "icmp_unreach")
    header_bytes = (quoted[0] & 0x0F) << 2
    if header_bytes < HEADER_BYTES:
        return _refused(DropReason.NOT_SPECIFIED, (), "icmp_unreach")
    if len(quoted) < header_bytes + QUOTED_TRANSPORT_BYTES or _is_about_nobody(quoted, header_bytes, net):
        return StageResult(Delivered("icmp", "icmp_socket_deliver"), (Mib.ICMP_IN_ERRORS,))
    return StageResult(Delivered("icmp", "icmp_socket_deliver"))


def _is_about_nobody(quoted: bytes, header_bytes: int, net: NetNamespace) -> bool:
    """Tell whether an error is about ports of ours that no socket has."""
    protocol = quoted[9]
    if protocol not in (PROTO_TCP, PROTO_UDP, PROTO_UDPLITE):
        return False
    port = quoted[header_bytes] << 8 | quoted[header_bytes + 1]
    return not is_open(net.host, protocol, port)


def ping_rcv(_asked: _Question, _net: NetNamespace) -> StageResult:
    """Look for the socket that an echo reply answers: there is none.

    Kernel: net/ipv4/ping.c
    """
    return StageResult(Drop(DropReason.NO_SOCKET, "ping_rcv"))


def _taken(_asked: _Question, _net: NetNamespace) -> StageResult:
    return StageResult(Delivered("icmp", "icmp_rcv"))


_ACTS: Final[Mapping[int, Callable[[_Question, NetNamespace], StageResult]]] = MappingProxyType(
    {
        icmp.ECHOREPLY: ping_rcv,
        icmp.ECHO: icmp_echo,
        icmp.TIMESTAMP: icmp_timestamp,
        **dict.fromkeys(ERRORS, icmp_unreach),
    }
)


def _refused(reason: DropReason, mibs: tuple[Counted, ...], func: str = "icmp_rcv") -> StageResult:
    return StageResult(Drop(reason, func), (*mibs, Mib.ICMP_IN_ERRORS))


def _replied(asked: _Question, message: bytes, net: NetNamespace, mibs: tuple[Counted, ...]) -> StageResult:
    """Send an answer of the same tos back, from the address that was asked (icmp_reply)."""
    skb = asked.skb
    source = fib_compute_spec_dst(net.routing, input_flow(skb), asked.route)
    check = _checksum(asked, message)
    payload = message[:2] + check.to_bytes(2, "big") + message[4:]
    reply = answered(skb, Answer(payload, source, skb.data[1], on_wire=asked.length if skb.on_wire else 0), net)
    if reply is None:
        return StageResult(Delivered("icmp", "icmp_reply"))
    return StageResult(Delivered("icmp", "icmp_reply"), mibs, replies=(reply,))


def _checksum(asked: _Question, message: bytes) -> int:
    if asked.skb.on_wire:
        before = asked.message
        return csum_replace2(before[2] << 8 | before[3], before[0] << 8 | before[1], message[0] << 8 | message[1])
    return ip_fast_csum(message[:2] + b"\0\0" + message[4:])
