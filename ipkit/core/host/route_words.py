"""The words of one route, as `ip route` prints them and `ip route add` takes them.

Law: reading never asks whether the kernel would take the route (route_check.py does); an unknown word is named.
Everything behind the prefix is read apart from it: in a big table few distinct endings belong to many prefixes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from types import MappingProxyType
from typing import Final, NamedTuple

from ipkit.core.host.fib import (
    NO_METRICS,
    SCOPE_HOST,
    SCOPE_LINK,
    SCOPE_UNIVERSE,
    TABLE_LOCAL,
    TABLE_MAIN,
    Metrics,
    NextHopFlag,
    RouteType,
)
from ipkit.core.host.words import (
    ALL_ONES,
    WordError,
    Words,
    address,
    number,
    protocol,
    scope,
    table,
    tos,
)

TYPES: Final = MappingProxyType({kind.name.lower(): kind for kind in RouteType})
LOCAL_TABLE_TYPES: Final = frozenset({RouteType.LOCAL, RouteType.BROADCAST, RouteType.ANYCAST, RouteType.NAT})
HOST_SCOPE_TYPES: Final = frozenset({RouteType.LOCAL, RouteType.NAT})
LINK_SCOPE_TYPES: Final = frozenset({RouteType.BROADCAST, RouteType.MULTICAST, RouteType.ANYCAST})

LEAST_SCOPE: Final = MappingProxyType(
    {RouteType.LOCAL: SCOPE_HOST, RouteType.BROADCAST: SCOPE_LINK, RouteType.ANYCAST: SCOPE_LINK}
)

MAX_MTU: Final = 65535 - 15
MAX_ADVMSS: Final = 65535 - 40
METRICS_READ: Final = frozenset({"mtu", "advmss", "hoplimit"})
METRICS_KEPT: Final = frozenset(
    {
        "window", "rtt", "rttvar", "ssthresh", "cwnd", "reordering", "initcwnd", "initrwnd", "features", "quickack",
        "congctl", "rto_min", "fastopen_no_cookie",
    }
)  # fmt: skip
FLAGS: Final = MappingProxyType(
    {
        "onlink": NextHopFlag.ONLINK,
        "pervasive": NextHopFlag.PERVASIVE,
        "dead": NextHopFlag.DEAD,
        "linkdown": NextHopFlag.LINKDOWN,
        # what only says that a card has the route too
        **dict.fromkeys(("offload", "trap", "rt_offload", "rt_trap", "rt_offload_failed"), NextHopFlag.NONE),
    }
)
NOT_MODELLED: Final = frozenset({"realms", "encap", "as", "ttl-propagate", "expires", "pref", "cache", "uid", "mpls"})


@dataclass(slots=True)
class HopWords:
    """One way out, as it is written."""

    gateway: int = 0
    gateway6: str = ""
    dev: str = ""
    weight: int = 1
    flags: NextHopFlag = NextHopFlag.NONE


@dataclass(slots=True)
class RouteWords:
    """Everything that one line says of a route besides its prefix, the defaults of the `ip` tool filled in."""

    type: RouteType = RouteType.UNICAST
    table: int = -1
    scope: int = -1
    hops: list[HopWords] = field(default_factory=list)
    tos: int = 0
    priority: int = 0
    protocol: str = "boot"
    prefsrc: int = 0
    metrics: Metrics = NO_METRICS
    nhid: int = 0
    append: bool = False


class Form(Enum):
    """Who wrote the lines."""

    TYPED = auto()  # somebody, for `ip route add`: a scope that is not named is the usual one
    PRINTED = auto()  # `ip route`: a scope that is not named is the widest
    LISTED = auto()  # as PRINTED, or PREFIX NEXTHOP [DEV]


class RouteHead(NamedTuple):
    """How a line begins: what comes before the prefix, and the prefix."""

    append: bool
    type: RouteType
    destination: str


def read_head(words: Words) -> RouteHead:
    """Take the beginning of a line up to its prefix."""
    append, kind = False, RouteType.UNICAST
    for word in words:
        if word == "append":
            append = True
        elif word in TYPES:
            kind = TYPES[word]
        elif word != "to":
            return RouteHead(append, kind, word)
    raise WordError("no prefix")


def read_tail(head: RouteHead, words: Words, tables: Mapping[str, int], form: Form = Form.TYPED) -> RouteWords:
    """Return what the words behind the prefix say."""
    route, own = RouteWords(head.type, append=head.append), HopWords()
    for word in words:
        if word == "nexthop":
            route.hops = _nexthops(words)
        elif not take_hop_word(own, word, words):
            _take(route, word, words, tables)
    direct = False
    if own != HopWords(flags=own.flags):
        if route.hops:
            raise WordError("`nexthop` and a gateway or device of its own at once")
        route.hops = [own]
        direct = not (words.said("via") or route.nhid)
    elif own.flags & (NextHopFlag.ONLINK | NextHopFlag.PERVASIVE):
        raise WordError("`onlink` without a gateway and a device")
    if route.table < 0:
        route.table = usual_table(route.type)
    if route.scope < 0:
        typed = form is Form.TYPED
        route.scope = usual_scope(route.type, direct=direct) if typed else LEAST_SCOPE.get(route.type, SCOPE_UNIVERSE)
    return route


def usual_table(kind: RouteType) -> int:
    """Return the table that the `ip` tool puts a route into that names none."""
    return TABLE_LOCAL if kind in LOCAL_TABLE_TYPES else TABLE_MAIN


def usual_scope(kind: RouteType, *, direct: bool) -> int:
    """Return the scope that the `ip` tool gives a route that names none; `direct`: it has a device and nothing else."""
    if kind in HOST_SCOPE_TYPES:
        return SCOPE_HOST
    if kind in LINK_SCOPE_TYPES:
        return SCOPE_LINK
    return SCOPE_LINK if kind is RouteType.UNICAST and direct else SCOPE_UNIVERSE


def _take(route: RouteWords, word: str, words: Words, tables: Mapping[str, int]) -> None:
    if word in _ROUTE_WORDS:
        name, read = _ROUTE_WORDS[word]
        words.once(name)
        setattr(route, name, read(words.after(word), tables))
    elif word in METRICS_READ or word in METRICS_KEPT:
        words.once(word)
        route.metrics = _metric(route.metrics, word, words)
    elif word in NOT_MODELLED:
        raise WordError(f"`{word}` is not modelled")
    else:
        raise WordError(f"unknown word `{word}`")


def _metric(metrics: Metrics, word: str, words: Words) -> Metrics:
    """Add one metric; like the kernel, cap what is larger than any packet."""
    locked = words.peek() == "lock"
    text = words.after(words.after(word)) if locked else words.after(word)
    if word == "mtu":
        return replace(metrics, mtu=min(number(text, 0, ALL_ONES), MAX_MTU), mtu_locked=locked)
    if word == "advmss":
        return replace(metrics, advmss=min(number(text, 0, ALL_ONES), MAX_ADVMSS))
    if word == "hoplimit":
        return replace(metrics, hoplimit=number(text, 0, 255))
    return replace(metrics, others=(*metrics.others, (word, f"lock {text}" if locked else text)))


def take_hop_word(hop: HopWords, word: str, words: Words) -> bool:
    """Take a word that belongs to a way out; False where it does not."""
    if word == "via":
        words.once(word)
        family = words.after(word)
        if family == "inet6":
            hop.gateway6 = _ipv6(words.after(family))
        else:
            hop.gateway = address(words.after(family) if family == "inet" else family)
    elif word == "dev":
        words.once(word)
        hop.dev = words.after(word)
    elif word in FLAGS:
        hop.flags |= FLAGS[word]
    else:
        return False
    return True


def _nexthops(words: Words) -> list[HopWords]:
    """Return the ways out of a route that has several; nothing else may follow."""
    words.forget()
    hops = [HopWords()]
    for word in words:
        if word == "nexthop":
            words.forget()
            hops.append(HopWords())
        elif word == "weight":
            words.once(word)
            hops[-1].weight = number(words.after(word), 1, 256)
        elif not take_hop_word(hops[-1], word, words):
            raise WordError(f"`{word}` cannot stand behind `nexthop`")
    if not all(hop.gateway or hop.gateway6 or hop.dev for hop in hops):
        raise WordError("a `nexthop` without `via` and `dev`")
    return hops


def _ipv6(text: str) -> str:
    """Return an IPv6 gateway as it is written: it only names a neighbour."""
    if ":" in text and set(text) <= set("0123456789abcdefABCDEF:.") and len(text) < 46:
        return text.lower()
    raise WordError(f"`{text}` is not an IPv6 address")


_ROUTE_WORDS: Final[Mapping[str, tuple[str, Callable[[str, Mapping[str, int]], object]]]] = MappingProxyType(
    {
        "src": ("prefsrc", lambda text, _: address(text)),
        "table": ("table", table),
        "scope": ("scope", lambda text, _: scope(text)),
        "nhid": ("nhid", lambda text, _: number(text, 1, ALL_ONES)),
        **dict.fromkeys(("tos", "dsfield"), ("tos", lambda text, _: tos(text))),
        **dict.fromkeys(("proto", "protocol"), ("protocol", lambda text, _: protocol(text))),
        **dict.fromkeys(("metric", "priority", "preference"), ("priority", lambda text, _: number(text, 0, ALL_ONES))),
    }
)
