"""A socket that sends: its settings, its memory, and the datagram it holds back.

Law: holds, never acts; setting an option with all that is checked lives in sockopts.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import NamedTuple

from ipkit.core.append_data import Cork, WriteMemory
from ipkit.core.host.fib import Route
from ipkit.core.ip_options import OutgoingOptions
from ipkit.core.route_flow import OutputFlow
from ipkit.core.skbuff import IpOptions

NO_OPTIONS = OutgoingOptions(b"", IpOptions())


class SockKind(Enum):
    """What kind of socket it is."""

    UDP = "udp"
    UDPLITE = "udplite"
    RAW = "raw"
    TCP = "tcp"


class PmtuDisc(IntEnum):
    """The modes of IP_MTU_DISCOVER (IP_PMTUDISC_*)."""

    DONT = 0
    WANT = 1
    DO = 2
    PROBE = 3
    INTERFACE = 4
    OMIT = 5

    @property
    def use_pmtu(self) -> bool:
        """Whether messages are sized by the route and not by the device (ip_sk_use_pmtu)."""
        return self < PmtuDisc.PROBE

    @property
    def ignore_df(self) -> bool:
        """Whether what is too long may be fragmented all the same (ip_sk_ignore_df)."""
        return self < PmtuDisc.DO or self is PmtuDisc.OMIT


class LocalError(NamedTuple):
    """What IP_RECVERR puts on the error queue of a socket that made the error itself."""

    errno: int
    info: int
    port: int
    destination: int


@dataclass(slots=True)
class InetCork:
    """What the first piece of a datagram settles for all of it (struct inet_cork_full)."""

    base: Cork
    flow: OutputFlow  # daddr is where the header sends it
    route: Route
    options: OutgoingOptions
    addr: int  # the final destination, for a source route
    ttl: int = 0
    tos: int = -1
    mark: int = 0


@dataclass(slots=True)
class InetSock:
    """One socket (struct inet_sock)."""

    kind: SockKind
    protocol: int
    pmtudisc: PmtuDisc = PmtuDisc.WANT
    saddr: int = 0
    sport: int = 0
    daddr: int = 0  # 0: not connected
    dport: int = 0
    bound_dev: str = ""
    tos: int = 0
    uc_ttl: int = -1
    mc_ttl: int = 1
    mc_loop: bool = True
    mc_dev: str = ""
    mc_addr: int = 0
    uc_dev: str = ""
    options: OutgoingOptions = NO_OPTIONS
    hdrincl: bool = False
    nodefrag: bool = False
    recverr: bool = False
    broadcast: bool = False
    dontroute: bool = False
    no_check: bool = False
    corked: bool = False
    zerocopy: bool = False
    txtime: bool = False
    tsflags_id: bool = False  # SOF_TIMESTAMPING_OPT_ID
    mark: int = 0
    gso_size: int = 0
    ident: int = 0  # the connected socket's own counter (inet_id)
    memory: WriteMemory = field(default_factory=WriteMemory)
    pending: InetCork | None = None
    errors: list[LocalError] = field(default_factory=list)
