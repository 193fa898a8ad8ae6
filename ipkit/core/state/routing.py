"""Everything that a routing decision reads: the host, its tables, what was learnt, who is known next door.

Law: holds, never acts. One of these lives as long as the network namespace it belongs to.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from ipkit.core.host.config import HostConfig
from ipkit.core.host.fib import Route
from ipkit.core.host.fib_tables import FibTables
from ipkit.core.host.multipath import NeighbourState
from ipkit.core.state.route_exceptions import RouteExceptions

InputKey: TypeAlias = tuple[int, int, int, str, int]
"""The classes of source and destination, or the addresses themselves; TOS, input device, mark."""


@dataclass(slots=True)
class Routing:
    """The tables of a host and the memory beside them."""

    host: HostConfig
    tables: FibTables
    state_of: NeighbourState
    hash_seed: int  # of the multipath hash
    exceptions: RouteExceptions = field(default_factory=RouteExceptions)
    cached: dict[InputKey, Route] = field(default_factory=dict)
    """Routes of packets that came in, where nothing but the key decides; thrown away when they are too many."""


def routing_of(host: HostConfig, seed: int = 0, state_of: NeighbourState | None = None) -> Routing:
    """Return the routing of a host; without a neighbour table of its own it knows the configured neighbours."""
    configured = {(one.dev, one.address): one.state for one in host.neighbours}
    return Routing(
        host,
        FibTables(host),
        state_of or (lambda dev, address: configured.get((dev, address), "")),
        (host.net.fib_multipath_hash_seed or seed) & 0xFFFFFFFF,
    )
