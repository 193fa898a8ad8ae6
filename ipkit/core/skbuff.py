"""A datagram on its way, and what its bytes do not say.

Read-only by convention: to change one is to make another. A plain slots dataclass, because a frozen one
costs four times as much to make and one is made for every packet.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, IntFlag
from typing import NamedTuple

from ipkit.core.host.bits import asked_often
from ipkit.core.host.fib import Route
from ipkit.core.wire.ipv4 import FLAG_MF, OFFSET_MASK


class PacketType(Enum):
    """Whom the frame was for (skb->pkt_type)."""

    HOST = 0
    BROADCAST = 1
    MULTICAST = 2
    OTHERHOST = 3
    OUTGOING = 4
    LOOPBACK = 5  # a copy of what this host sent to many


@asked_often
class IpSkbFlag(IntFlag):
    """What the stack has noted on a datagram (IPCB(skb)->flags)."""

    NONE = 0
    FORWARDED = 1
    XFRM_TUNNEL_SIZE = 2
    XFRM_TRANSFORMED = 4
    FRAG_COMPLETE = 8
    REROUTED = 16
    DOREDIRECT = 32
    FRAG_PMTU = 64
    L3SLAVE = 128
    NOPOLICY = 256
    MULTIPATH = 512


@dataclass(slots=True)
class IpOptions:
    """Where the options of a datagram lie, as the compiler found them (struct ip_options).

    Offsets count from the start of the IP header; 0 means the option is absent.
    """

    optlen: int = 0
    srr: int = 0
    rr: int = 0
    ts: int = 0
    cipso: int = 0
    router_alert: int = 0
    is_strictroute: bool = False
    srr_is_hit: bool = False
    is_changed: bool = False
    rr_needaddr: bool = False
    ts_needaddr: bool = False
    ts_needtime: bool = False
    faddr: int = 0
    nexthop: int = 0


@dataclass(slots=True)
class IpControlBlock:
    """What the IP layer notes on a datagram while it has it (IPCB(skb))."""

    flags: IpSkbFlag = IpSkbFlag.NONE
    frag_max_size: int = 0
    options: IpOptions = field(default_factory=IpOptions)
    iif: str = ""


class Buffer(NamedTuple):
    """What surrounds a datagram's bytes in memory, where that decides something."""

    headroom: int  # free bytes in front of the data
    cloned: bool = False  # another sk_buff reads the same bytes
    shared: bool = False  # another user holds the same sk_buff


@dataclass(slots=True)
class SkBuff:
    """One IPv4 datagram (struct sk_buff)."""

    data: bytes  # begins at the IPv4 header; the link layer is gone
    dev: str  # input device, later output device
    pkt_type: PacketType
    tstamp_ns: int  # capture time: the only clock the stack has
    route: Route | None = None  # skb_dst: set once, by routing
    cb: IpControlBlock = field(default_factory=IpControlBlock)
    ignore_df: bool = False
    frag_list: tuple[SkBuff, ...] = ()  # pieces never copied together: bare payload that follows `data`
    buffer: Buffer | None = None  # None: room enough, and nobody else's
    gso_size: int = 0
    mark: int = 0
    on_wire: int = 0  # bytes of the datagram on the wire where the capture kept fewer; 0: all of them are here
    note: object = None  # by what whoever reports knows the frame, where it waits

    @property
    def length(self) -> int:
        """Bytes of the datagram with all its pieces, also those that the capture left out (skb->len)."""
        head = self.on_wire or len(self.data)
        return head + sum([len(piece.data) for piece in self.frag_list]) if self.frag_list else head

    @property
    def is_fragment(self) -> bool:
        """More fragments to come, or not the first (ip_is_fragment)."""
        return bool((self.data[6] << 8 | self.data[7]) & (FLAG_MF | OFFSET_MASK))

    @property
    def linear(self) -> bytes:
        """All bytes that are there, in one piece (skb_linearize)."""
        return b"".join([self.data, *[piece.data for piece in self.frag_list]]) if self.frag_list else self.data
