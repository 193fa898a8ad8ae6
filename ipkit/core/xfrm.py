"""What IPsec policy says of a datagram, from the host description.

Law: the first policy of a direction that matches decides; without one everything is allowed. What is forbidden is
counted by whoever asked, as /proc/net/xfrm_stat does.
"""

from __future__ import annotations

from enum import Enum
from errno import EPERM
from typing import Final

from ipkit.core.host.config import HostConfig
from ipkit.core.host.fib import Route
from ipkit.core.host.fib_explain import WalkStep
from ipkit.core.host.match import matches
from ipkit.core.outcome.counters import Mib
from ipkit.core.route import OutputFlow, Refused, ip_route_output_key
from ipkit.core.skbuff import SkBuff
from ipkit.core.state.routing import Routing
from ipkit.core.wire.ipv4 import PROTO_ICMP, Ipv4Header, build
from ipkit.core.wire.transport import PORT_PROTOCOLS, UdpHeader, build_udp

IN_POL_BLOCK: Final = (Mib.XFRM_IN_POL_BLOCK,)
OUT_POL_BLOCK: Final = (Mib.XFRM_OUT_POL_BLOCK,)


class PolicyDirection(Enum):
    """Which packets a policy is about (XFRM_POLICY_*)."""

    IN = "in"
    FWD = "fwd"
    OUT = "out"


class Policy(Enum):
    """What a policy says."""

    PASSES = "passes"
    BLOCKED = "blocked"


def xfrm4_policy_check(skb: SkBuff, host: HostConfig, direction: PolicyDirection) -> Policy:
    """Decide whether a received datagram may go on; its link may be exempt (disable_policy).

    Kernel: include/net/xfrm.h
    """
    if not host.policies:
        return Policy.PASSES
    route = skb.route
    exempt = route is not None and host.links[route.iif or route.dev].conf.disable_policy
    return Policy.PASSES if exempt else _asked(host, direction, skb.linear, skb.dev, route.dev if route else "")


def xfrm4_route_forward(skb: SkBuff, route: Route, host: HostConfig) -> Policy:
    """Decide whether a datagram in transit may leave by its route; the link may be exempt (disable_xfrm).

    Kernel: include/net/xfrm.h
    """
    if not host.policies or host.links[route.dev].conf.disable_xfrm:
        return Policy.PASSES
    return _asked(host, PolicyDirection.OUT, skb.linear, skb.dev, route.dev)


def ip_route_output_flow(flow: OutputFlow, routing: Routing) -> Route | Refused:
    """Decide where a packet of ours goes, and whether IPsec policy lets it: EPERM where it does not.

    Kernel: net/ipv4/route.c
    """
    route = ip_route_output_key(flow, routing)
    host = routing.host
    if isinstance(route, Refused) or not host.policies or host.links[route.dev].conf.disable_xfrm:
        return route
    asked = _asked(host, PolicyDirection.OUT, _bare_datagram(flow, route), "", route.dev)
    return Refused(EPERM, mibs=OUT_POL_BLOCK) if asked is Policy.BLOCKED else route


def told_policy(skb: SkBuff, host: HostConfig, direction: PolicyDirection) -> WalkStep:
    """Return what the policies of a direction say of a received datagram, in words."""
    answer = xfrm4_policy_check(skb, host, direction)
    say = answer.value if host.policies else "no policy"
    return "xfrm4_policy_check", f"{direction.value}: {say}", {"dir": direction.value, "policy": answer.value}


def _asked(host: HostConfig, direction: PolicyDirection, data: bytes, iif: str, oif: str) -> Policy:
    for policy in host.policies:
        if policy.direction == direction.value and matches(policy.match, data, iif, oif):
            return Policy.BLOCKED if policy.action == "block" else Policy.PASSES
    return Policy.PASSES


def _bare_datagram(flow: OutputFlow, route: Route) -> bytes:
    """Return as much of a datagram as a policy looks at before there is one."""
    ports = flow.dport.to_bytes(2, "big") if flow.protocol == PROTO_ICMP else b""  # the type and code of a message
    if flow.protocol in PORT_PROTOCOLS:
        ports = build_udp(UdpHeader(flow.sport, flow.dport, 0, 0))
    header = Ipv4Header(0x45, flow.tos, 0, 0, 0, 0, flow.protocol, 0, flow.saddr or route.prefsrc, flow.daddr)
    return build(header) + ports
