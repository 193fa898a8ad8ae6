"""One message after another by the local output path, and what leaves because of each.

Law: a socket is opened once and used as a program would use it; every call ends in frames, in an errno, or in a message
that is held back. Nothing is written or sent here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from errno import EMSGSIZE, EPROTONOSUPPORT
from random import Random
from typing import Final, NamedTuple

from ipkit.core.append_data import SendFlag
from ipkit.core.inet_sock import InetSock, SockKind
from ipkit.core.make_skb import Message, SendResult
from ipkit.core.queue_xmit import Segment, ip_queue_xmit
from ipkit.core.raw_send import raw_sendmsg
from ipkit.core.route import OutputFlow
from ipkit.core.sender import connect, open_socket, set_option
from ipkit.core.state.netns import NetNamespace
from ipkit.core.udp_send import udp_push_pending_frames, udp_sendmsg
from ipkit.core.wire import icmp
from ipkit.core.wire.checksum import csum_partial, csum_tcpudp_magic, ip_fast_csum
from ipkit.core.wire.ipv4 import MAX_TOTAL_BYTES, PROTO_ICMP, PROTO_TCP, PROTO_UDP, PROTO_UDPLITE
from ipkit.core.wire.transport import (
    TCP_CHECK_AT,
    TCP_HEADER_BYTES,
    UDP_CHECK_AT,
    UDP_HEADER_BYTES,
    TcpHeader,
    UdpHeader,
    build_tcp,
    build_udp,
)

EPHEMERAL_PORTS: Final = (32768, 60999)
PUSH_AND_ACK: Final = 0x18
WINDOW: Final = 64240
LONGEST_SEGMENT: Final = MAX_TOTAL_BYTES - 60


class Via(Enum):
    """Which way down a message takes."""

    AUTO = "auto"
    APPEND = "append"
    FAST = "fast"
    QUEUE_XMIT = "queue-xmit"
    RAW = "raw"


class After(Enum):
    """What follows the last write."""

    PUSH = "the datagram leaves"
    HOLD = "more is announced"


class Destination(Enum):
    """How the socket knows where to send."""

    WITH_EACH_CALL = "sendto"
    CONNECTED = "connect"


@dataclass(frozen=True, slots=True)
class SendOrder:
    """What a program does with one socket."""

    daddr: int
    dport: int = 9
    saddr: int = 0
    sport: int = 0  # 0: one of the seed's choice
    protocol: int = PROTO_UDP
    writes: tuple[bytes, ...] = (b"",)
    after: After = After.PUSH
    destination: Destination = Destination.WITH_EACH_CALL
    via: Via = Via.AUTO
    options: tuple[tuple[str, bytes], ...] = ()  # socket options in turn
    control: bytes = b""
    repeat: int = 1
    seed: int = 0


class Call(NamedTuple):
    """What one call to the kernel came to, and how many bytes a program handed over."""

    result: SendResult
    given: int
    held: bool = False  # what is built so far waits for more


def calls(order: SendOrder, net: NetNamespace) -> Iterator[list[Call]]:
    """Yield the calls of each message in turn; a socket that cannot be made ready makes the only one."""
    sock = _socket(order, net)
    refused = _made_ready(sock, order, net)
    if refused is not None:
        yield [Call(_aimed(refused, order), 0)]
        return
    for number in range(order.repeat):
        yield list(_message(sock, order, net, number))


def _aimed(result: SendResult, order: SendOrder) -> SendResult:
    """Let a call that was refused before it had a route still say where it was to go."""
    if result.flow is None:
        result.flow = OutputFlow(order.daddr, order.saddr, protocol=order.protocol)
    return result


def _socket(order: SendOrder, net: NetNamespace) -> InetSock:
    sock = open_socket(_kind(order), order.protocol, net.host, order.seed)
    sock.saddr = order.saddr
    sock.sport = order.sport or Random(f"port/{order.seed}").randint(*EPHEMERAL_PORTS)
    return sock


def _kind(order: SendOrder) -> SockKind:
    if order.via is Via.RAW:
        return SockKind.RAW
    return {PROTO_UDP: SockKind.UDP, PROTO_UDPLITE: SockKind.UDPLITE, PROTO_TCP: SockKind.TCP}.get(
        order.protocol, SockKind.RAW
    )


def _made_ready(sock: InetSock, order: SendOrder, net: NetNamespace) -> SendResult | None:
    """Set options and connect; return what failed."""
    if sock.kind is SockKind.RAW and not sock.protocol:
        return SendResult(EPROTONOSUPPORT)
    for name, value in order.options:
        result = set_option(sock, name, value, net)
        if result.errno:
            return result
    if order.destination is Destination.CONNECTED or _by_queue_xmit(order):
        result = connect(sock, order.daddr, order.dport, net)
        if result.errno:
            return result
    return None


def _by_queue_xmit(order: SendOrder) -> bool:
    return order.via is Via.QUEUE_XMIT or (order.via is Via.AUTO and order.protocol == PROTO_TCP)


def _message(sock: InetSock, order: SendOrder, net: NetNamespace, number: int) -> Iterator[Call]:
    if _by_queue_xmit(order):
        data = b"".join(order.writes)
        yield Call(_aimed(_queue_xmit(sock, order, data, net), order), len(data))
        return
    writes = _with_icmp_header(order, number) if order.protocol == PROTO_ICMP else order.writes
    to = None if order.destination is Destination.CONNECTED else (order.daddr, order.dport)
    sendmsg = raw_sendmsg if sock.kind is SockKind.RAW else udp_sendmsg
    more = order.via is Via.APPEND or order.after is After.HOLD or sock.corked
    for at, data in enumerate(writes):
        last = at == len(writes) - 1
        flags = SendFlag.MORE if more or (not last and order.via is not Via.FAST) else SendFlag.NONE
        if last and order.via is Via.APPEND and order.after is After.PUSH and sock.kind is SockKind.RAW:
            flags = SendFlag.NONE
        if sock.zerocopy:
            flags |= SendFlag.ZEROCOPY
        result = sendmsg(sock, Message(data, to, order.control, flags), net)
        pending = sock.pending
        if last and order.via is Via.APPEND and order.after is After.PUSH and pending is not None:
            result = udp_push_pending_frames(sock, net, 0, result)
        held = last and sock.pending is not None
        if held and pending is not None:
            result.built = tuple(pending.base.queue)
        yield Call(_aimed(result, order), len(order.writes[at]), held)
        if result.errno:
            return


def _with_icmp_header(order: SendOrder, number: int) -> tuple[bytes, ...]:
    """Return the writes of an echo request; a raw socket's are sent as they are."""
    if order.via is Via.RAW:
        return order.writes
    identifier = order.sport or Random(f"port/{order.seed}").randint(*EPHEMERAL_PORTS)
    info = identifier << 16 | number + 1 & 0xFFFF
    unsummed = icmp.build(icmp.IcmpHeader(icmp.ECHO, 0, 0, info)) + b"".join(order.writes)
    header = icmp.build(icmp.IcmpHeader(icmp.ECHO, 0, ip_fast_csum(unsummed), info))
    return (header + order.writes[0], *order.writes[1:])


def _queue_xmit(sock: InetSock, order: SendOrder, data: bytes, net: NetNamespace) -> SendResult:
    if len(data) > LONGEST_SEGMENT:
        return SendResult(EMSGSIZE)
    return ip_queue_xmit(Segment(_segment(sock, order, data)), sock, net)


def _segment(sock: InetSock, order: SendOrder, data: bytes) -> bytes:
    """Return the data behind the header of its protocol; of others than TCP and UDP it is the data alone."""
    if order.protocol == PROTO_TCP:
        sequence = Random(f"sequence/{order.seed}").getrandbits(32)
        header = TcpHeader(sock.sport, sock.dport, sequence, 1, TCP_HEADER_BYTES << 2, PUSH_AND_ACK, WINDOW, 0, 0)
        return _summed(build_tcp(header) + data, TCP_CHECK_AT, sock)
    if order.protocol == PROTO_UDP:
        header_bytes = build_udp(UdpHeader(sock.sport, sock.dport, UDP_HEADER_BYTES + len(data), 0))
        return _summed(header_bytes + data, UDP_CHECK_AT, sock)
    return data


def _summed(segment: bytes, check_at: int, sock: InetSock) -> bytes:
    check = csum_tcpudp_magic((sock.saddr, sock.daddr), sock.protocol, len(segment), csum_partial(segment))
    if not check and sock.protocol == PROTO_UDP:
        check = 0xFFFF
    return segment[:check_at] + check.to_bytes(2, "big") + segment[check_at + 2 :]
