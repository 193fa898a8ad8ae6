"""What the forwarding information base is made of: entries, rules, tables, and the answer of a lookup.

Law: values only. Longest-prefix matching over them lives in fib_lookup.py, the decisions of input and output
routing in core/route.py.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, IntEnum, IntFlag
from typing import Final, NamedTuple

from ipkit.core.host.bits import asked_often

TABLE_LOCAL: Final = 255
TABLE_MAIN: Final = 254
TABLE_DEFAULT: Final = 253

SCOPE_UNIVERSE: Final = 0
SCOPE_SITE: Final = 200
SCOPE_LINK: Final = 253
SCOPE_HOST: Final = 254
SCOPE_NOWHERE: Final = 255


class RouteType(IntEnum):
    """What kind of destination a route leads to (RTN_*)."""

    UNICAST = 1
    LOCAL = 2
    BROADCAST = 3
    ANYCAST = 4
    MULTICAST = 5
    BLACKHOLE = 6
    UNREACHABLE = 7
    PROHIBIT = 8
    THROW = 9
    NAT = 10


@asked_often
class NextHopFlag(IntFlag):
    """State of one next hop."""

    NONE = 0
    DEAD = 1
    PERVASIVE = 2
    ONLINK = 4
    LINKDOWN = 16


@asked_often
class RouteFlag(IntFlag):
    """What a lookup's answer says of the destination (RTCF_*)."""

    NONE = 0
    LOCAL = 1
    BROADCAST = 2
    MULTICAST = 4
    DOREDIRECT = 8
    REDIRECTED = 16


@dataclass(frozen=True, slots=True)
class NextHop:
    """One way out (struct fib_nh)."""

    dev: str
    gateway: int = 0
    weight: int = 1
    scope: int = SCOPE_HOST
    flags: NextHopFlag = NextHopFlag.NONE
    gateway6: str = ""  # an IPv6 gateway (`via inet6`): `gateway` is 0, and a gateway is used all the same


@dataclass(frozen=True, slots=True)
class Metrics:
    """Route metrics that the paths read; 0: not set."""

    mtu: int = 0
    mtu_locked: bool = False
    advmss: int = 0
    hoplimit: int = 0
    others: tuple[tuple[str, str], ...] = ()  # kept as given, printed again, not acted on


NO_METRICS: Final = Metrics()


@dataclass(frozen=True, slots=True)
class FibEntry:
    """One route as the table holds it (struct fib_alias with its fib_info)."""

    prefix: int
    length: int
    table: int
    type: RouteType
    nexthops: tuple[NextHop, ...] = ()
    tos: int = 0
    priority: int = 0  # the metric
    scope: int = SCOPE_UNIVERSE
    protocol: str = "boot"
    prefsrc: int = 0
    metrics: Metrics = NO_METRICS
    nhid: int = 0


class RuleAction(Enum):
    """What a rule does with what it selects."""

    LOOKUP = "lookup"
    GOTO = "goto"
    NOP = "nop"
    BLACKHOLE = "blackhole"
    UNREACHABLE = "unreachable"
    PROHIBIT = "prohibit"


@dataclass(frozen=True, slots=True)
class Rule:
    """One routing policy rule; a selector that was not given matches everything."""

    pref: int
    action: RuleAction = RuleAction.LOOKUP
    table: int = TABLE_MAIN
    target: int = 0  # goto
    invert: bool = False
    src: int = 0
    src_len: int = 0
    dst: int = 0
    dst_len: int = 0
    iif: str | None = None
    oif: str | None = None
    tos: int = 0
    dscp: int | None = None
    mark: int = 0
    mark_mask: int = 0
    ipproto: int = 0
    sport: tuple[int, int] | None = None
    dport: tuple[int, int] | None = None
    uidrange: tuple[int, int] | None = None
    l3mdev: bool = False
    suppress_prefixlength: int = -1
    suppress_ifgroup: int = -1
    tun_id: int = 0  # 0: not asked for
    protocol: str = ""  # who made the rule, where that was said: printed again


DEFAULT_RULES: Final = (
    Rule(pref=0, table=TABLE_LOCAL),
    Rule(pref=32766, table=TABLE_MAIN),
    Rule(pref=32767, table=TABLE_DEFAULT),
)


@dataclass(frozen=True, slots=True)
class BulkRoutes:
    """Many routes of one table as columns: a million of them must not be a million objects.

    Sorted by prefix, then length. Every (prefix, length) stands here once, and none of them in `Fib.tables` of the
    same table as well: so metrics never compete inside a row. All have tos 0.
    """

    prefixes: array[int]  # 'I', host order
    lengths: array[int]  # 'B'
    kinds: array[int]  # 'I', index into `templates`
    templates: tuple[FibEntry, ...]  # everything but prefix and length, which are 0 here

    def entry(self, row: int) -> FibEntry:
        """Return one row as the route it stands for."""
        return replace(self.templates[self.kinds[row]], prefix=self.prefixes[row], length=self.lengths[row])


@dataclass(frozen=True, slots=True)
class Fib:
    """All rules and tables; entries of one table in the order in which a lookup meets equals."""

    tables: Mapping[int, tuple[FibEntry, ...]]
    rules: tuple[Rule, ...] = DEFAULT_RULES
    has_custom_rules: bool = False  # a rule was once added or removed: local and main are two tables
    bulk: Mapping[int, BulkRoutes] = field(default_factory=dict)  # by table: what is too much for entries


class FibResult(NamedTuple):
    """What rules and tables said of one key (struct fib_result).

    An error keeps what gave it: the entry of a reject type, or the rule. A bulk row's entry is its template, so prefix
    and length stand here.
    """

    errno: int = 0
    entry: FibEntry | None = None
    nexthop: NextHop | None = None
    prefix: int = 0
    length: int = 0
    table: int = 0  # as it is reported: while local and main share a trie, that is main
    rule: Rule | None = None


@dataclass(slots=True)
class Route:
    """The answer of a lookup: what a packet carries as its destination entry (struct rtable)."""

    type: RouteType
    flags: RouteFlag
    dev: str
    gateway: int = 0
    prefsrc: int = 0
    uses_gateway: bool = False
    iif: str | None = None  # None: output route
    errno: int = 0  # why nothing may pass: the destination's error
    entry: FibEntry | None = None
    nexthop: NextHop | None = None
    metrics: Metrics = NO_METRICS
    pmtu: int = 0  # learned, unexpired; 0: none
    pmtu_locked: bool = False
    expires_ns: int = 0
    multipath: bool = False
    found: FibResult | None = None  # None: decided without a lookup
