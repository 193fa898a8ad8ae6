"""Redirects that the host owes: a sender is told that its next hop stands on its own link.

Law: input routing has found the detour (DOREDIRECT); what is decided here is whether the sender is told of it again.
The packet goes on all the same.
"""

from __future__ import annotations

from ipkit.core.host.fib import Route
from ipkit.core.host.fib_explain import Trace
from ipkit.core.outcome.verdict import IcmpDue
from ipkit.core.skbuff import SkBuff
from ipkit.core.state.netns import NetNamespace
from ipkit.core.wire.icmp import REDIR_HOST, REDIRECT
from ipkit.core.wire.ipv4 import address_text


def ip_rt_send_redirect(skb: SkBuff, route: Route, net: NetNamespace, trace: Trace | None) -> tuple[IcmpDue, ...]:
    """Decide whether the sender of a packet that leaves by the link it came by is owed a redirect.

    Kernel: net/ipv4/route.c
    """
    host = net.host
    if not host.links[route.dev].conf.send_redirects:
        return ()
    sender, destination = (int.from_bytes(skb.data[at : at + 4], "big") for at in (12, 16))
    peer = (sender, net.routing.tables.vrfs.get(route.dev, ""))
    gateway = route.gateway or destination
    allowed = net.icmp_tokens.redirect_allow(peer, skb.tstamp_ns, host.net, host.kernel.redirect_tokens)
    if trace is not None:
        who, way = address_text(sender), address_text(gateway)
        say = f"{who} is to be told of {way}" if allowed else f"{who} has been told of {way} too often"
        trace.append(("ip_rt_send_redirect", say, {"source": who, "gateway": way, "allowed": allowed}))
    return (IcmpDue(REDIRECT, REDIR_HOST, gateway, skb),) if allowed else ()
