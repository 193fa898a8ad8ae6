"""Who is told that a datagram never became whole.

Law: the route that the first fragment came by is forgotten while it waits; it is looked up anew.
"""

from __future__ import annotations

from dataclasses import replace

from ipkit.core.defrag import answers_locally_only, owed_about
from ipkit.core.host.fib import RouteType
from ipkit.core.outcome.verdict import IcmpDue
from ipkit.core.route import Refused, ip_route_input_noref
from ipkit.core.route_flow import input_flow
from ipkit.core.skbuff import SkBuff
from ipkit.core.state.frag_queue import FragQueue
from ipkit.core.state.netns import NetNamespace
from ipkit.core.wire.icmp import EXC_FRAGTIME, TIME_EXCEEDED


def owed_for_timeout(queue: FragQueue, net: NetNamespace) -> IcmpDue | None:
    """Return the error that the end of a queue owes: about its first fragment, by the device of the last one.

    For datagrams in transit, which only connection tracking puts together, nobody is told (the end of ip_expire).
    """
    first, last = owed_about(queue), queue.newest
    if first is None or last is None or not isinstance(first.tag, SkBuff) or not isinstance(last.tag, SkBuff):
        return None
    about = replace(first.tag, data=first.head, dev=last.tag.dev, tstamp_ns=queue.expires_ns)
    route = ip_route_input_noref(input_flow(about), net.routing)
    if isinstance(route, Refused) or (route.type is not RouteType.LOCAL and answers_locally_only(queue.key[3])):
        return None
    about.route = route
    return IcmpDue(TIME_EXCEEDED, EXC_FRAGTIME, 0, about)
