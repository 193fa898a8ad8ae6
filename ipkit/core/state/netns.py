"""A network namespace: the configured host and everything about it that changes.

Law: holds, never acts. Stages get it whole, what they call gets the part it uses.
"""

from __future__ import annotations

from dataclasses import dataclass

from ipkit.core.host.config import HostConfig
from ipkit.core.state.frag_queues import FragQueues
from ipkit.core.state.icmp_tokens import IcmpTokens
from ipkit.core.state.ip_ident import IpIdents
from ipkit.core.state.neighbour_table import NeighbourTable, neighbour_table_of
from ipkit.core.state.routing import Routing, routing_of
from ipkit.core.state.timers import Timers


@dataclass(slots=True)
class NetNamespace:
    """One host at work (struct net)."""

    host: HostConfig
    routing: Routing
    neighbours: NeighbourTable
    idents: IpIdents
    icmp_tokens: IcmpTokens
    frags: FragQueues
    timers: Timers


def namespace_of(host: HostConfig, seed: int = 0) -> NetNamespace:
    """Return a host that has done nothing yet."""
    timers = Timers()
    neighbours = neighbour_table_of(host, timers)
    routing = routing_of(host, seed, neighbours.state_of)
    frags = FragQueues(host.kernel, host.net, timers)
    return NetNamespace(host, routing, neighbours, IpIdents(seed), IcmpTokens(), frags, timers)
