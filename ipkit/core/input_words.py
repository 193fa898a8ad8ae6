"""The way of a received datagram in words: what may know its route beforehand, where it goes, what is logged of it.

Law: nothing is decided here, and nothing is made unless a trace is wanted.
"""

from __future__ import annotations

from collections.abc import Sequence
from errno import errorcode
from types import MappingProxyType
from typing import Final

from ipkit.core.host.config import HostConfig, Link
from ipkit.core.host.fib import Route, RouteFlag
from ipkit.core.host.fib_explain import WalkStep
from ipkit.core.outcome.facts import Fact
from ipkit.core.route_flow import InputFlow, Martian, Refused, is_multicast
from ipkit.core.skbuff import IpOptions, PacketType, SkBuff
from ipkit.core.wire.ipv4 import PROTO_TCP, PROTO_UDP, address_text


def told_demux(skb: SkBuff, host: HostConfig) -> list[WalkStep]:
    """Return what early demux comes to, where it is asked: not for fragments, nor for what has a route."""
    demux = DEMUX.get(skb.data[9])
    return demux(skb, host) if demux is not None and host.net.ip_early_demux and not skb.is_fragment else []


def tcp_v4_early_demux(skb: SkBuff, host: HostConfig) -> list[WalkStep]:
    """Look for a connection that knows the route: no socket of a host description is connected.

    Kernel: net/ipv4/tcp_ipv4.c
    """
    asked = host.net.tcp_early_demux and skb.pkt_type is PacketType.HOST
    return [Fact("tcp_v4_early_demux", "no connection knows the route")] if asked else []


def udp_v4_early_demux(skb: SkBuff, host: HostConfig) -> list[WalkStep]:
    """Look for a connected socket that knows the route; one that takes a group has the source checked, as routing does.

    Kernel: net/ipv4/udp.c
    """
    asked = host.net.udp_early_demux and skb.pkt_type in (PacketType.HOST, PacketType.MULTICAST)
    return [Fact("udp_v4_early_demux", "no connected socket knows the route")] if asked else []


DEMUX: Final = MappingProxyType({PROTO_TCP: tcp_v4_early_demux, PROTO_UDP: udp_v4_early_demux})
"""The protocols that may know a route before routing is asked."""


MADE_INSIDE: Final = frozenset({"fib_select_multipath", "fib_validate_source"})
"""What stands inside the making of a forwarding route."""


def told_route(flow: InputFlow, answer: Route | Refused, walk: Sequence[WalkStep]) -> list[WalkStep]:
    """Return where input routing sends a datagram, and the way to that answer."""
    if is_multicast(flow.daddr):
        return [_told_answer(flow, answer), *walk]
    steps = [_told_answer(flow, answer), Fact("ip_route_input_slow", f"the tables of {flow.iif}"), *walk]
    if isinstance(answer, Route) and not answer.errno and not answer.flags & RouteFlag.LOCAL:
        judged = next((at for at, step in enumerate(steps) if step[0].lstrip("_") in MADE_INSIDE), len(steps))
        steps.insert(judged, Fact("ip_mkroute_input", f"by {answer.dev}", {"dev": answer.dev}))
    return steps


def _told_answer(flow: InputFlow, answer: Route | Refused) -> WalkStep:
    way = f"{address_text(flow.saddr)} > {address_text(flow.daddr)} iif {flow.iif} tos {flow.tos:#x}"
    values = {"saddr": address_text(flow.saddr), "daddr": address_text(flow.daddr), "iif": flow.iif, "tos": flow.tos}
    if isinstance(answer, Refused):
        martian = f", martian {answer.martian.value}" if answer.martian is not None else ""
        say = f"{way}: {errorcode[answer.errno]}{martian}"
    elif answer.errno:
        say = f"{way}: {errorcode[answer.errno]}"
    else:
        gateway = f" via {address_text(answer.gateway)}" if answer.gateway else ""
        say = f"{way}: {answer.type.name.lower()}{gateway} dev {answer.dev}"
    return "ip_route_input_noref", say, values


def ip_handle_martian_source(skb: SkBuff, which: Martian, link: Link) -> WalkStep:
    """Return whether the kernel's log says something of an address that cannot be (log_martians).

    Kernel: net/ipv4/route.c
    """
    saddr, daddr = (address_text(int.from_bytes(skb.data[at : at + 4], "big")) for at in (12, 16))
    logged = bool(link.conf.log_martians)
    say = f"martian {which.value}: {saddr} > {daddr} on {link.name}, {'logged' if logged else 'not logged'}"
    return "ip_handle_martian_source", say, {"martian": which.value, "dev": link.name, "logged": logged}


def told_options(options: IpOptions, fault: int) -> WalkStep:
    """Return what was found among options, and the place of the byte at fault, 0 where there is none."""
    places = {name: at for name in ("rr", "ts", "srr", "cipso", "router_alert") if (at := getattr(options, name))}
    found = ", ".join(f"{name} at {at}" for name, at in places.items()) or "none to act on"
    say = f"{options.optlen} bytes, {found}" + (f"; malformed at byte {fault} of the header" if fault else "")
    return Fact("ip_options_compile", say, {"optlen": options.optlen, "fault": fault, **places})


def told_unwelcome(link: Link) -> WalkStep:
    """Return that a link takes no source routes, and whether the kernel's log says so."""
    logged = bool(link.conf.log_martians)
    say = f"{link.name} takes no source routes, {'logged' if logged else 'not logged'}"
    return Fact("ip_rcv_options", say, {"dev": link.name, "logged": logged})
