"""Which ICMP messages are limited, and in which order the buckets are asked and paid.

Law: a question and its price at once; the buckets themselves lie in state/icmp_tokens.py.
"""

from __future__ import annotations

from typing import Final

from ipkit.core.host.config import LinkKind
from ipkit.core.host.kernel import IcmpLimitOrder
from ipkit.core.host.sysctl import HZ
from ipkit.core.outcome.verdict import IcmpDue
from ipkit.core.state.icmp_tokens import IcmpTokens
from ipkit.core.state.routing import Routing
from ipkit.core.wire.icmp import DEST_UNREACH, FRAG_NEEDED

LARGEST_TYPE: Final = 18
"""NR_ICMP_TYPES: what lies above it is no message the kernel knows."""

SAVED_MESSAGES: Final = 6
"""XRLIM_BURST_FACTOR: how many messages a destination may save up."""


class IcmpLimits:
    """The limits as one error meets them."""

    __slots__ = ("_applies", "_due", "_pays_last", "_routing", "_tokens")

    def __init__(self, due: IcmpDue, routing: Routing, tokens: IcmpTokens) -> None:
        self._due, self._routing, self._tokens = due, routing, tokens
        self._applies = _is_limited(due, routing)
        self._pays_last = routing.host.kernel.icmp_limit_order is IcmpLimitOrder.HOST_FIRST

    def global_allow(self) -> bool:
        """Ask the host's own bucket, before anything else is looked at (icmpv4_global_allow)."""
        if not self._applies:
            return True
        if self._is_loopback(self._due.about.dev):
            # The kernel that pays last then knows of no limit at all.
            self._applies = not self._pays_last
            return True
        if not self._tokens.global_allow(self._due.about.tstamp_ns, self._routing.host.net):
            return False
        if not self._pays_last:
            self._tokens.global_consume()
        return True

    def host_allow(self, dev: str, destination: int) -> bool:
        """Ask the destination's bucket, once its route is known (icmpv4_xrlim_allow)."""
        if not self._applies:
            return True
        cost = self._routing.host.net.icmp_ratelimit * HZ // 1000
        if not self._is_loopback(dev):
            peer = (destination, self._routing.tables.vrfs.get(dev, ""))
            cut, now_ns = self._routing.host.kernel.peer_tokens, self._due.about.tstamp_ns
            if not self._tokens.peer_allow(peer, now_ns, cost, SAVED_MESSAGES * cost, cut):
                return False
        if self._pays_last:
            self._tokens.global_consume()
        return True

    def _is_loopback(self, dev: str) -> bool:
        link = self._routing.host.links.get(dev)
        return link is not None and link.kind is LinkKind.LOOPBACK


def _is_limited(due: IcmpDue, routing: Routing) -> bool:
    """Tell whether a message is one of those that the host limits (icmpv4_mask_allow)."""
    if due.type > LARGEST_TYPE or (due.type, due.code) == (DEST_UNREACH, FRAG_NEEDED):
        return False
    return bool(routing.host.net.icmp_ratemask >> due.type & 1)
