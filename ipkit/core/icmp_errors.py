"""ICMP errors and redirects that came in: whom they concern, and what the routes learn from them.

Law: what a message teaches goes to dst_ops.py; the sockets of the host description hear it and hold nothing. A message
is believed whoever sent it, as in the kernel: only what it quotes must be a packet of ours.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ipkit.core.dst_ops import NS_PER_S
from ipkit.core.host.fib import Route, RouteType
from ipkit.core.host.fib_explain import Trace
from ipkit.core.host.fib_lookup import inet_addr_type
from ipkit.core.host.kernel import RawErrors
from ipkit.core.listeners import is_open, raw_local_deliver
from ipkit.core.neighbour import neigh_ask
from ipkit.core.outcome.counters import Counted, Mib
from ipkit.core.outcome.drop_reasons import DropReason
from ipkit.core.outcome.facts import Fact
from ipkit.core.outcome.verdict import ArpRequest, Delivered, Drop, StageResult
from ipkit.core.route import Learnt, OutputFlow, Redirect, ip_route_output_key, ipv4_redirect, ipv4_update_pmtu
from ipkit.core.skbuff import SkBuff
from ipkit.core.state.netns import NetNamespace
from ipkit.core.state.routing import Routing
from ipkit.core.wire import icmp
from ipkit.core.wire.ipv4 import (
    HEADER_BYTES,
    PROTO_ICMP,
    PROTO_RAW,
    PROTO_TCP,
    PROTO_UDP,
    PROTO_UDPLITE,
    Ipv4Header,
    address_text,
    read,
)

LARGEST_UNREACH_CODE: Final = 15
QUOTED_TRANSPORT_BYTES: Final = 8
SAYS_MTU, SAYS_NOTHING, IGNORES_ALL, ASKS_PROTOCOL = range(4)
"""Values of ip_no_pmtu_disc."""

TELLS_APART: Final = frozenset({PROTO_TCP})
"""Protocols that check what an error quotes before they act upon it (icmp_strict_tag_validation)."""

UDP_LIKE: Final = frozenset({PROTO_UDP, PROTO_UDPLITE})
HEARD: Final = StageResult(Delivered("icmp", "icmp_socket_deliver"))
TAKEN: Final = StageResult(Delivered("icmp", "icmp_unreach"))


class IcmpMessage(NamedTuple):
    """A message that came in."""

    skb: SkBuff
    route: Route
    at: int  # where in the datagram it begins

    @property
    def data(self) -> bytes:
        """Its bytes, as far as the capture has them."""
        return self.skb.data[self.at :]

    @property
    def length(self) -> int:
        """Its bytes on the wire."""
        return self.skb.length - self.at


def refused(reason: DropReason, mibs: tuple[Counted, ...] = (), func: str = "icmp_rcv") -> StageResult:
    """Return the end of a message that is counted as an error."""
    return StageResult(Drop(reason, func), (*mibs, Mib.ICMP_IN_ERRORS))


def icmp_unreach(came: IcmpMessage, net: NetNamespace, trace: Trace | None) -> StageResult:
    """Judge an error report by its code and by what it quotes.

    Kernel: net/ipv4/icmp.c
    """
    quoted = came.data[icmp.HEADER_BYTES :]
    if came.length < icmp.HEADER_BYTES + HEADER_BYTES:
        return refused(DropReason.NOT_SPECIFIED, (), "icmp_unreach")
    if len(quoted) < HEADER_BYTES:
        return TAKEN
    header = read(quoted)
    if header.header_bytes < HEADER_BYTES:
        return refused(DropReason.IP_INHDR, (), "icmp_unreach")
    kind, code, _, info = icmp.read(came.data)
    mtu = 0
    if kind == icmp.DEST_UNREACH:
        if code > LARGEST_UNREACH_CODE:
            return TAKEN
        if code == icmp.FRAG_NEEDED:
            told = _told_mtu(info & 0xFFFF, header.protocol, net.host.net.ip_no_pmtu_disc)
            if told is None:
                return TAKEN
            mtu = told
    elif (kind, code) == (icmp.TIME_EXCEEDED, icmp.EXC_FRAGTIME):
        return TAKEN
    if not net.host.net.icmp_ignore_bogus_error_responses and _went_to_everybody(header, net):
        return TAKEN
    return icmp_socket_deliver(came, mtu, net, trace)


def _told_mtu(said: int, protocol: int, no_pmtu_disc: int) -> int | None:
    """Return the MTU that a message is taken to tell, 0 for the least there is; None: it is not listened to."""
    if no_pmtu_disc == IGNORES_ALL or (no_pmtu_disc == ASKS_PROTOCOL and protocol not in TELLS_APART):
        return None
    return said if no_pmtu_disc in (SAYS_MTU, ASKS_PROTOCOL) else 0


def _went_to_everybody(quoted: Ipv4Header, net: NetNamespace) -> bool:
    return inet_addr_type(net.routing.tables, quoted.daddr) is RouteType.BROADCAST


def icmp_redirect(came: IcmpMessage, net: NetNamespace, trace: Trace | None) -> StageResult:
    """Judge a redirect by what it quotes.

    Kernel: net/ipv4/icmp.c
    """
    if came.length < icmp.HEADER_BYTES + HEADER_BYTES:
        return refused(DropReason.PKT_TOO_SMALL, (), "icmp_redirect")
    if len(came.data) < icmp.HEADER_BYTES + HEADER_BYTES:
        return TAKEN
    return icmp_socket_deliver(came, icmp.read(came.data).info, net, trace)


def icmp_socket_deliver(came: IcmpMessage, info: int, net: NetNamespace, trace: Trace | None) -> StageResult:
    """Hand an error to the sockets of the packet that it quotes, and let the routes learn from it.

    Kernel: net/ipv4/icmp.c
    """
    quoted = came.data[icmp.HEADER_BYTES :]
    header = read(quoted)
    whole = header.header_bytes + QUOTED_TRANSPORT_BYTES
    if came.length < icmp.HEADER_BYTES + whole:
        return HEARD._replace(mibs=(Mib.ICMP_IN_ERRORS,))
    if header.protocol == PROTO_RAW and net.host.kernel.raw_errors is RawErrors.REFUSED:
        return HEARD._replace(mibs=(Mib.ICMP_IN_ERRORS,))
    if len(quoted) < whole:
        return HEARD
    kind, code = came.data[0], came.data[1]
    requests: tuple[ArpRequest, ...] = ()
    if kind == icmp.REDIRECT or (kind, code) == (icmp.DEST_UNREACH, icmp.FRAG_NEEDED):
        for flow in _flows_of(header, quoted, came.skb, net):
            requests += _learn(came, flow, info, net, trace)
    unheard = header.protocol == PROTO_TCP or (
        header.protocol in UDP_LIKE and not _has_port(header, quoted, came.skb, net)
    )
    return HEARD._replace(mibs=(Mib.ICMP_IN_ERRORS,) if unheard else (), requests=requests)


def _has_port(header: Ipv4Header, quoted: bytes, skb: SkBuff, net: NetNamespace) -> bool:
    """Tell whether a socket has the port that the quoted packet came from."""
    at = header.header_bytes
    return is_open(skb, net.host, header.protocol, quoted[at] << 8 | quoted[at + 1])


def _flows_of(header: Ipv4Header, quoted: bytes, skb: SkBuff, net: NetNamespace) -> list[OutputFlow]:
    """Return the flows that a lesson is for: one for sockets (raw_err, udp_err), one for replies (icmp_err).

    A connected TCP socket would be one more, but the host description knows none.
    """
    flow = OutputFlow(header.daddr, header.saddr, protocol=header.protocol, now_ns=skb.tstamp_ns)
    protocol, flows = header.protocol, []
    heard = protocol in UDP_LIKE and _has_port(header, quoted, skb, net)
    if heard or raw_local_deliver(skb, net.host, protocol):
        flows.append(flow)
    if protocol == PROTO_ICMP and quoted[header.header_bytes] == icmp.ECHOREPLY:
        mark = skb.mark if net.host.net.fwmark_reflect else 0
        flows.append(flow._replace(tos=header.tos, mark=mark))
    return flows


def _learn(
    came: IcmpMessage, flow: OutputFlow, info: int, net: NetNamespace, trace: Trace | None
) -> tuple[ArpRequest, ...]:
    """Let the routes learn; return what has to be asked first."""
    skb, routing = came.skb, net.routing
    if came.data[0] != icmp.REDIRECT:
        learnt = ipv4_update_pmtu(routing, flow, info)
        if trace is not None:
            trace.append(_told("ip_rt_update_pmtu", flow, f"mtu {info}", learnt, routing))
        return ()
    redirect = Redirect(skb.dev, read(skb.data).saddr, info, came.data[1], skb.data[: came.at])
    learnt = ipv4_redirect(routing, flow, redirect)
    request = None
    if learnt is Learnt.ASK_NEIGHBOUR:
        route = ip_route_output_key(flow, routing)
        dev = route.dev if isinstance(route, Route) else skb.dev
        request = neigh_ask(net, dev, info, flow.now_ns)
        learnt = ipv4_redirect(routing, flow, redirect)
    if trace is not None:
        trace.append(_told("ipv4_redirect", flow, f"via {address_text(info)}", learnt, routing))
    return (ArpRequest(dev, request),) if request is not None else ()


def _told(func: str, flow: OutputFlow, lesson: str, learnt: Learnt, routing: Routing) -> Fact:
    destination = address_text(flow.daddr)
    say = f"{destination} {lesson}: {learnt.value}"
    route = ip_route_output_key(flow, routing)
    if learnt is Learnt.STORED and isinstance(route, Route) and route.expires_ns > flow.now_ns:
        locked = ", locked" if route.pmtu_locked else ""
        mtu = f" as mtu {route.pmtu}{locked}" if func == "ip_rt_update_pmtu" else ""
        say += f"{mtu} for {(route.expires_ns - flow.now_ns) // NS_PER_S} seconds"
    return Fact(func, say, {"daddr": destination, "lesson": lesson, "learnt": learnt.name})
