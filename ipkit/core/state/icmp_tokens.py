"""How much the host may still say: the buckets that limit its ICMP messages and redirects.

Law: one bucket for the host, one for each destination, all refilled by the capture's clock, which never turns back. A
destination that has been quiet for as long as a new one is thought to have been is forgotten, and the oldest ones where
there are too many.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Final

from ipkit.core.host.kernel import PeerTokens, RedirectTokens
from ipkit.core.host.sysctl import HZ, NetConf

TICK_NS: Final = 1_000_000_000 // HZ
REFILL_TICKS: Final = HZ // 50
QUIET_TICKS: Final = 60 * HZ
"""How long a new destination is taken to have saved up."""

LARGEST_SHIFT: Final = 31
"""How often the pause between redirects can double, whatever number of them is allowed."""

FORGET_ABOVE: Final = 1024
"""From how many destinations on the quiet ones are looked for."""

MOST_PEERS: Final = 65664
"""How many are remembered at most (inet_peer_threshold); then those go that came first."""


@dataclass(slots=True)
class Bucket:
    """What one destination may still be sent (rate_tokens, rate_last and n_redirects of struct inet_peer)."""

    tokens: int
    last_tick: int
    redirects: int = 0  # sent and not obeyed


class IcmpTokens:
    """The global bucket and those of the destinations."""

    __slots__ = ("_credit", "_forget_above", "_now", "_peers", "_stamp")

    def __init__(self) -> None:
        self._credit = 0
        self._stamp: int | None = None
        self._now = -(1 << 63)
        self._peers: dict[tuple[int, str], Bucket] = {}
        self._forget_above = FORGET_ABOVE

    @property
    def destinations(self) -> int:
        """How many destinations are remembered."""
        return len(self._peers)

    def global_allow(self, now_ns: int, net: NetConf) -> bool:
        """Refill the host's bucket and tell whether it holds a message.

        Kernel: icmp_global_allow in net/ipv4/icmp.c
        """
        now = self._tick(now_ns)
        passed = HZ if self._stamp is None else min(now - self._stamp, HZ)
        added = net.icmp_msgs_per_sec * passed // HZ if passed >= REFILL_TICKS else 0
        if added:
            self._stamp = now
        self._credit = min(self._credit + added, net.icmp_msgs_burst)
        return self._credit > 0

    def global_consume(self) -> None:
        """Take one message out of the host's bucket."""
        self._credit -= 1

    def peer_allow(
        self, peer: tuple[int, str], now_ns: int, cost: int, most: int, cut: PeerTokens = PeerTokens.CUT_ALWAYS
    ) -> bool:
        """Refill the bucket of a destination and its VRF, and take a message out where it holds one; units are ticks.

        Kernel: inet_peer_xrlim_allow in net/ipv4/icmp.c
        """
        now = self._tick(now_ns)
        bucket = self._bucket(peer, now)
        if cut is PeerTokens.CUT_ALWAYS or now != bucket.last_tick:
            bucket.tokens = min(bucket.tokens + now - bucket.last_tick, most)
        bucket.last_tick = now
        if bucket.tokens < cost:
            return False
        bucket.tokens -= cost
        return True

    def redirect_allow(self, peer: tuple[int, str], now_ns: int, net: NetConf, kept: RedirectTokens) -> bool:
        """Tell whether a source may be redirected again: after ever longer pauses, then not before a long one.

        Kernel: ip_rt_send_redirect in net/ipv4/route.c
        """
        now = self._tick(now_ns)
        bucket = self._bucket(peer, now)
        if now > bucket.last_tick + net.route_redirect_silence:
            bucket.tokens = bucket.redirects = 0
        shared = kept is RedirectTokens.SHARED
        sent = bucket.tokens if shared else bucket.redirects
        if sent >= net.route_redirect_number:
            bucket.last_tick = now
            return False
        if sent and now <= bucket.last_tick + (net.route_redirect_load << min(sent, LARGEST_SHIFT)):
            return False
        bucket.last_tick = now
        if shared:
            bucket.tokens += 1
        else:
            bucket.redirects += 1
        return True

    def _bucket(self, peer: tuple[int, str], now: int) -> Bucket:
        bucket = self._peers.get(peer)
        if bucket is None:
            self._forget_the_quiet()
            bucket = self._peers[peer] = Bucket(0, now - QUIET_TICKS)
        return bucket

    def _forget_the_quiet(self) -> None:
        if len(self._peers) < self._forget_above:
            return
        self._peers = {
            peer: bucket for peer, bucket in self._peers.items() if self._now - bucket.last_tick < QUIET_TICKS
        }
        if len(self._peers) >= MOST_PEERS:  # many at once: a flood must not pay for each one that has to go
            self._peers = dict(islice(self._peers.items(), MOST_PEERS // 2, None))
        self._forget_above = min(max(FORGET_ABOVE, 2 * len(self._peers)), MOST_PEERS)

    def _tick(self, now_ns: int) -> int:
        self._now = max(self._now, now_ns // TICK_NS)
        return self._now
