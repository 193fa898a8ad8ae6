"""Errors that the host sends about a packet: whether one is sent, and its bytes.

Law: a room says that an error is owed (IcmpDue) and goes on; what stands against it, which way it takes and what it
quotes is decided here and nowhere else. Nothing is put on a wire: the caller gets a datagram and its route.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

from ipkit.core.host.fib import SCOPE_LINK, Route, RouteFlag
from ipkit.core.host.kernel import IcmpLimitCounters, InboundErrorSource, TinyQuote
from ipkit.core.icmp_limits import LARGEST_TYPE, IcmpLimits
from ipkit.core.ip_options import inet_current_timestamp, ip_options_build, ip_options_echo, ours_in
from ipkit.core.outcome.counters import Mib
from ipkit.core.outcome.verdict import IcmpDue
from ipkit.core.route import (
    OutputFlow,
    Refused,
    answer_ttl,
    dst_mtu,
    inet_select_addr,
)
from ipkit.core.skbuff import PacketType, SkBuff
from ipkit.core.state.icmp_tokens import IcmpTokens
from ipkit.core.state.ip_ident import IpIdents
from ipkit.core.state.routing import Routing
from ipkit.core.wire import icmp
from ipkit.core.wire.checksum import ip_fast_csum, with_header_checksum
from ipkit.core.wire.ipv4 import HEADER_BYTES, PROTO_ICMP, Ipv4Header, build, read
from ipkit.core.xfrm import ip_route_output_flow

LONGEST_ERROR: Final = 576

ERRORS: Final = frozenset({1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12})
"""Types that the kernel takes for errors: none of them is answered by an error."""

COUNTED: Final = {
    icmp.DEST_UNREACH: (Mib.ICMP_OUT_DEST_UNREACHS, Mib.ICMP_MSG_OUT_TYPE3),
    icmp.REDIRECT: (Mib.ICMP_OUT_REDIRECTS, Mib.ICMP_MSG_OUT_TYPE5),
    icmp.TIME_EXCEEDED: (Mib.ICMP_OUT_TIME_EXCDS, Mib.ICMP_MSG_OUT_TYPE11),
    icmp.PARAMETERPROB: (Mib.ICMP_OUT_PARM_PROBS, Mib.ICMP_MSG_OUT_TYPE12),
}
"""What is counted for each type of error that the host makes."""

TOS_BITS: Final = 0x1E
INTERNETWORK_CONTROL: Final = 0xC0


class Silence(Enum):
    """Why an error that was owed is not sent."""

    NOT_ROUTED = "the packet has no route"
    NOT_FOR_US = "its frame was not addressed to this host alone"
    MANY_RECEIVERS = "it went to many"
    LATER_FRAGMENT = "it is not a first fragment"
    ABOUT_AN_ERROR = "it is an ICMP error itself"
    GLOBAL_LIMIT = "the host has sent too many messages"
    NO_CLEAN_SLOT = "one of its options has no clean slot left"
    NO_WAY_BACK = "no route leads back to its source"
    FORBIDDEN = "an IPsec policy forbids it"
    HOST_LIMIT = "its source has been sent too many messages"
    NO_ROOM = "no more than its header would fit"


class IcmpSent(NamedTuple):
    """An error as it leaves, and the route that it takes."""

    datagram: bytes
    route: Route
    mibs: tuple[Mib, ...]


class IcmpWithheld(NamedTuple):
    """No error, and why."""

    why: Silence
    mibs: tuple[Mib, ...] = ()


def icmp_send(due: IcmpDue, routing: Routing, tokens: IcmpTokens, idents: IpIdents) -> IcmpSent | IcmpWithheld:
    """Decide whether an error is sent about a packet, to whom, from which address, and how much it quotes.

    Kernel: net/ipv4/icmp.c
    """
    silence = _undeserved(due.about)
    if silence is not None:
        return IcmpWithheld(silence)
    limits = IcmpLimits(due, routing, tokens)
    if not limits.global_allow():
        return _limited(Silence.GLOBAL_LIMIT, routing)
    about, host = due.about, routing.host
    header = read(about.data)
    options = ip_options_echo(about.data[: header.header_bytes], about.cb.options, ours_in(routing.tables))
    if options is None:
        return IcmpWithheld(Silence.NO_CLEAN_SLOT)
    flow = _flow_back(due, header, options.first_hop(header.saddr), routing)
    route = ip_route_output_flow(flow, routing)
    if isinstance(route, Refused):
        return IcmpWithheld(Silence.FORBIDDEN if route.mibs else Silence.NO_WAY_BACK, route.mibs)
    if not limits.host_allow(route.dev, flow.daddr):
        return _limited(Silence.HOST_LIMIT, routing)
    longest = min(dst_mtu(route, host, about.tstamp_ns), LONGEST_ERROR)
    room = longest - HEADER_BYTES - len(options.data) - icmp.HEADER_BYTES
    if room <= HEADER_BYTES and host.kernel.tiny_quote is TinyQuote.WITHHELD:
        return IcmpWithheld(Silence.NO_ROOM)
    source = route.prefsrc or host.kernel.no_source_for_icmp.value
    daddr = flow.daddr or source
    options_text = ip_options_build(options, header.saddr, source, inet_current_timestamp(about.tstamp_ns))
    message = _message(due, about.linear[: max(room, 0)])
    outer = Ipv4Header(
        version_ihl=0x45 + len(options_text) // 4,
        tos=flow.tos | INTERNETWORK_CONTROL,
        tot_len=HEADER_BYTES + len(options_text) + len(message),
        id=idents.reserve(source, daddr, PROTO_ICMP),
        frag_off=0,
        ttl=answer_ttl(route, host),
        protocol=PROTO_ICMP,
        check=0,
        saddr=source,
        daddr=daddr,
    )
    datagram = with_header_checksum(build(outer) + options_text) + message
    return IcmpSent(datagram, route, (Mib.ICMP_OUT_MSGS, *COUNTED[due.type]))


def _undeserved(about: SkBuff) -> Silence | None:
    """Return what about a packet forbids any error, in the kernel's order."""
    if about.route is None:
        return Silence.NOT_ROUTED
    if about.pkt_type is not PacketType.HOST:
        return Silence.NOT_FOR_US
    if about.route.flags & (RouteFlag.BROADCAST | RouteFlag.MULTICAST):
        return Silence.MANY_RECEIVERS
    header = read(about.data)
    if header.offset_bytes:
        return Silence.LATER_FRAGMENT
    if header.protocol == PROTO_ICMP:
        kind = about.data[header.header_bytes : header.header_bytes + 1]
        if not kind or kind[0] > LARGEST_TYPE or kind[0] in ERRORS:
            return Silence.ABOUT_AN_ERROR
    return None


def _limited(silence: Silence, routing: Routing) -> IcmpWithheld:
    counted = routing.host.kernel.icmp_limit_counters is IcmpLimitCounters.RATE_LIMIT
    mib = Mib.ICMP_OUT_RATE_LIMIT_GLOBAL if silence is Silence.GLOBAL_LIMIT else Mib.ICMP_OUT_RATE_LIMIT_HOST
    return IcmpWithheld(silence, (mib,) if counted else ())


def _flow_back(due: IcmpDue, header: Ipv4Header, daddr: int, routing: Routing) -> OutputFlow:
    """Return what the way back is looked up by (icmp_route_lookup); the source is the route's where none is fixed."""
    about = due.about
    return OutputFlow(
        daddr,
        _fixed_source(about, header, routing),
        header.tos & TOS_BITS,
        oif=routing.tables.vrfs.get(about.dev, ""),
        protocol=PROTO_ICMP,
        mark=about.mark if routing.host.net.fwmark_reflect else 0,
        data=about.data,
        dport=due.type << 8 | due.code,  # the same place in the kernel's key
        now_ns=about.tstamp_ns,
        any_source=True,
    )


def _fixed_source(about: SkBuff, header: Ipv4Header, routing: Routing) -> int:
    """Return the address that a packet of this host was sent to, or that of the device it came in by; else 0."""
    if about.route is not None and about.route.flags & RouteFlag.LOCAL:
        return header.daddr
    host = routing.host
    if about.route is None or about.route.iif is None or not host.net.icmp_errors_use_inbound_ifaddr:
        return 0
    covers = header.saddr if host.kernel.inbound_error_source is InboundErrorSource.COVERING else 0
    return inet_select_addr(routing.tables, about.route.iif, covers, SCOPE_LINK)


def _message(due: IcmpDue, quote: bytes) -> bytes:
    unsummed = icmp.build(icmp.IcmpHeader(due.type, due.code, 0, due.info)) + quote
    return icmp.build(icmp.IcmpHeader(due.type, due.code, ip_fast_csum(unsummed), due.info)) + quote
