"""ICMP errors as frames: what a host answers where a command alone stands for the stack (`--icmp FILE`).

Law: icmp_send decides. Here a packet gets what the stack would have noted on it by then, and the answer a link header:
Ethernet where the capture has one, else none. Hardware addresses that the host does not say are made up, but stable.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from ipkit.core.frames import Frame
from ipkit.core.host.config import HostConfig, LinkKind
from ipkit.core.host.fib import Route, RouteFlag, RouteType
from ipkit.core.host.fib_lookup import LIMITED_BROADCAST, inet_addr_type, is_zeronet
from ipkit.core.icmp_send import IcmpSent, icmp_send
from ipkit.core.ip_options_compile import ip_options_compile
from ipkit.core.link_header import MADE_UP, link_address
from ipkit.core.outcome.verdict import IcmpDue
from ipkit.core.route_flow import is_loopback, is_multicast
from ipkit.core.skbuff import SkBuff
from ipkit.core.state.icmp_tokens import IcmpTokens
from ipkit.core.state.ip_ident import IpIdents
from ipkit.core.state.routing import Routing, routing_of
from ipkit.core.wire.arp import BROADCAST_ADDRESS, NO_ADDRESS
from ipkit.core.wire.icmp import EXC_FRAGTIME, TIME_EXCEEDED
from ipkit.core.wire.ipv4 import Ipv4Header, read
from ipkit.core.wire.link import EN10MB, ETH_P_IP, LINUX_SLL, LINUX_SLL2, RAW, ethernet_header

ETHERNET_ANSWERS: Final = frozenset({EN10MB, LINUX_SLL, LINUX_SLL2})

FLAGS: Final = {
    RouteType.LOCAL: RouteFlag.LOCAL,
    RouteType.BROADCAST: RouteFlag.BROADCAST | RouteFlag.LOCAL,
    RouteType.MULTICAST: RouteFlag.MULTICAST,
}


class IcmpFrames:
    """A host that answers packets with errors, and what it remembers of that."""

    def __init__(self, host: HostConfig, seed: int = 0) -> None:
        self._routing = routing_of(host, seed)
        self._tokens = IcmpTokens()
        self._idents = IpIdents(seed)

    def frame_for(self, due: IcmpDue, frame: Frame) -> Frame | None:
        """Return the error about a frame as it would leave the host; None where none would."""
        about = _as_routed(due, self._routing)
        if about is None:
            return None
        answer = icmp_send(due._replace(about=about), self._routing, self._tokens, self._idents)
        if not isinstance(answer, IcmpSent):
            return None
        data, link_type = answer.datagram, RAW
        if frame.link_type in ETHERNET_ANSWERS:
            data, link_type = _link_header(answer, self._routing.host) + data, EN10MB
        return Frame(frame.file, 0, frame.tstamp_ns, data, len(data), link_type, answer.route.dev)


def _as_routed(due: IcmpDue, routing: Routing) -> SkBuff | None:
    """Return a packet with device, route and options as the stack would have noted them; None: it is never let in."""
    skb = due.about
    header = read(skb.data)
    if _is_martian(header, routing):
        return None
    links, loopback = routing.host.links, routing.tables.loopback
    dev = skb.dev if skb.dev in links else next((name for name in links if name != loopback), loopback)
    # What waits for its other fragments is taken to be delivered here.
    otherwise = RouteFlag.LOCAL if (due.type, due.code) == (TIME_EXCEEDED, EXC_FRAGTIME) else RouteFlag.NONE
    flags = FLAGS.get(inet_addr_type(routing.tables, header.daddr), otherwise)
    route = skb.route or Route(RouteType.UNICAST, flags, dev, iif=dev)
    received = replace(skb, dev=dev, route=route)
    return None if ip_options_compile(received, routing) else received


def _is_martian(header: Ipv4Header, routing: Routing) -> bool:
    source = header.saddr
    impossible = source == LIMITED_BROADCAST or is_multicast(source) or is_loopback(source)
    return impossible or is_zeronet(routing.tables, source)


def _link_header(answer: IcmpSent, host: HostConfig) -> bytes:
    route = answer.route
    link = host.links[route.dev]
    if link.kind is LinkKind.LOOPBACK:
        return ethernet_header(NO_ADDRESS, NO_ADDRESS, ETH_P_IP)
    own = link_address(host, link)
    if route.flags & RouteFlag.BROADCAST:
        return ethernet_header(BROADCAST_ADDRESS, own, ETH_P_IP)
    nexthop = route.gateway if route.uses_gateway else read(answer.datagram).daddr
    known = (one.lladdr for one in host.neighbours if (one.dev, one.address) == (route.dev, nexthop) and one.lladdr)
    return ethernet_header(next(known, MADE_UP + nexthop.to_bytes(4, "big")), own, ETH_P_IP)
