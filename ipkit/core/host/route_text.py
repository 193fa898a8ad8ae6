"""A route in the words of `ip route`: what it prints of prefix, next hops, metrics, state.

Law: words only, each followed by the blank that the tool leaves behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

from ipkit.core.host.fib import (
    SCOPE_UNIVERSE,
    TABLE_MAIN,
    FibEntry,
    Metrics,
    NextHop,
    NextHopFlag,
    RouteType,
)
from ipkit.core.host.iproute_text import table_text
from ipkit.core.host.words import TOS_NAMES, scope_text
from ipkit.core.wire.ipv4 import address_text

TOS_TEXTS: Final = MappingProxyType(
    {value: name for name, value in TOS_NAMES.items() if name.isupper() or name[:2] in ("AF", "CS")}
)
FLAG_WORDS: Final = MappingProxyType(
    {
        NextHopFlag.DEAD: "dead",
        NextHopFlag.ONLINK: "onlink",
        NextHopFlag.PERVASIVE: "pervasive",
        NextHopFlag.LINKDOWN: "linkdown",
    }
)
Devices: TypeAlias = frozenset[str]
NO_DEVICES: Final[Devices] = frozenset()

METRIC_ORDER: Final = (
    "mtu", "window", "rtt", "rttvar", "ssthresh", "cwnd", "advmss", "reordering", "hoplimit", "initcwnd", "features",
    "rto_min", "initrwnd", "quickack", "congctl", "fastopen_no_cookie",
)  # fmt: skip
"""As the kernel numbers them, and so as they are printed."""


def tos_text(tos: int) -> str:
    """Return a TOS by its DSCP name, or its number."""
    return TOS_TEXTS.get(tos, f"0x{tos:02x}")


def way_text(nexthop: NextHop) -> str:
    """Return the gateway and the device of a next hop."""
    gateway = address_text(nexthop.gateway) if nexthop.gateway else nexthop.gateway6 and f"inet6 {nexthop.gateway6}"
    return f"via {gateway} dev {nexthop.dev}" if gateway else f"dev {nexthop.dev}"


def flag_words(flags: NextHopFlag) -> list[str]:
    """Return flags in words."""
    return [word for flag, word in FLAG_WORDS.items() if flags & flag]


def state_words(nexthop: NextHop, minded: Devices = NO_DEVICES) -> list[str]:
    """Return the state of a next hop in words: without carrier it is dead as well on a device where that is minded."""
    dead = nexthop.flags & NextHopFlag.LINKDOWN and nexthop.dev in minded
    return flag_words(nexthop.flags | NextHopFlag.DEAD if dead else nexthop.flags)


def _milliseconds(per_unit: int) -> Callable[[str], str]:
    """Return how a time is printed that was given with a unit, or bare in fractions of a millisecond."""

    def text(value: str) -> str:
        bare = value.removeprefix("lock ")
        return f"{value[: -len(bare)]}{int(bare) // per_unit}ms" if bare.isdigit() else value

    return text


METRIC_TEXTS: Final[Mapping[str, Callable[[str], str]]] = MappingProxyType(
    {
        "rtt": _milliseconds(8),
        "rttvar": _milliseconds(4),
        "rto_min": lambda value: _milliseconds(1)(value if value.startswith("lock ") else f"lock {value}"),
    }
)


def metric_values(metrics: Metrics) -> Iterator[tuple[str, str]]:
    """Yield the metrics that are set, as they are printed, with `lock ` before those that are locked."""
    known = dict(metrics.others)
    for name, value in (("mtu", metrics.mtu), ("advmss", metrics.advmss), ("hoplimit", metrics.hoplimit)):
        if value:
            known[name] = str(value)
    if metrics.mtu_locked and "mtu" in known:
        known["mtu"] = f"lock {known['mtu']}"
    for name in METRIC_ORDER:
        if name in known:
            yield name, METRIC_TEXTS.get(name, str)(known[name])


def metrics_text(metrics: Metrics) -> str:
    """Return the metrics as they stand at the end of a line."""
    return "".join(f"{name} {value} " for name, value in metric_values(metrics))


def route_text(entry: FibEntry, prefix: str, table: int, minded: Devices = NO_DEVICES) -> str:
    """Return a route as `ip route show` prints it, further lines for several next hops included."""
    words = [] if entry.type is RouteType.UNICAST else [entry.type.name.lower()]
    words.append(prefix)
    words += [f"nhid {entry.nhid}"] if entry.nhid else []
    words += [f"tos {tos_text(entry.tos)}"] if entry.tos else []
    words += [way_text(entry.nexthops[0])] if len(entry.nexthops) == 1 else []
    words += [f"table {table_text(table)}"] if table != TABLE_MAIN else []
    words += [f"proto {entry.protocol}"] if entry.protocol != "boot" else []
    words += [f"scope {scope_text(entry.scope)}"] if entry.scope != SCOPE_UNIVERSE else []
    words += [f"src {address_text(entry.prefsrc)}"] if entry.prefsrc else []
    words += [f"metric {entry.priority}"] if entry.priority else []
    words += route_flag_words(entry, minded)
    text = " ".join(words) + " " + metrics_text(entry.metrics)
    if len(entry.nexthops) > 1:
        text += "".join(f"\n\tnexthop {nexthop_text(nexthop, minded)} " for nexthop in entry.nexthops)
    return text


def route_flag_words(entry: FibEntry, minded: Devices = NO_DEVICES) -> list[str]:
    """Return the state of a whole route: that of its one next hop, or what all of several share."""
    if len(entry.nexthops) == 1:
        return state_words(entry.nexthops[0], minded)
    shared = NextHopFlag.DEAD | NextHopFlag.LINKDOWN if entry.nexthops else NextHopFlag.NONE
    for nexthop in entry.nexthops:
        shared &= nexthop.flags
    return flag_words(shared)


def nexthop_text(nexthop: NextHop, minded: Devices = NO_DEVICES) -> str:
    """Return one of several next hops."""
    return " ".join((way_text(nexthop), f"weight {nexthop.weight}", *state_words(nexthop, minded)))
