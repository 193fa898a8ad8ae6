"""What `ip -j` prints, as the words that `ip` without -j would have printed.

Law: one grammar for both forms: objects become lines, and the lines are read like typed ones. A key that has no
word is named. What belongs to IPv6 is left out: a dump holds both.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from ipkit.core.host.words import WordError

Row = Mapping[str, Any]
Readers = Mapping[str, Callable[[Any], str]]


def objects(text: str) -> Iterator[Row]:
    """Yield the objects of a JSON array one by one, so that a large dump is never held twice."""
    decoder, at = json.JSONDecoder(), _skip(text, 0, "[")
    while text[at : at + 1] != "]":
        try:
            row, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            raise WordError(f"not JSON (byte {error.pos}): {error.msg}") from None
        except RecursionError:
            raise WordError("JSON nested too deeply") from None
        if not isinstance(row, dict):
            raise WordError(f"an object is needed, not {row!r:.40}")
        if row:  # filtered dumps of old tools print empty ones
            yield row
        at = _skip(text, at, ",]")
    if text[at + 1 :].strip():
        raise WordError(f"something follows the array (byte {at + 1})")


def _skip(text: str, at: int, wanted: str) -> int:
    """Return where the next item begins, or where the closing bracket stands."""
    at = _past_blanks(text, at)
    found = text[at : at + 1]
    if not found or found not in wanted:
        raise WordError(f"not JSON (byte {at}): one of `{wanted}` is missing")
    return at if found == "]" else _past_blanks(text, at + 1)


def _past_blanks(text: str, at: int) -> int:
    while text[at : at + 1] in (" ", "\n", "\t", "\r"):
        at += 1
    return at


def is_ipv6(row: Row) -> bool:
    """Tell whether a route, rule or neighbour is not IPv4."""
    return "pref" in row or any(":" in str(row.get(key, "")) for key in ("dst", "src", "gateway"))


def route_words(row: Row) -> tuple[str, str]:
    """Return destination and the words behind it."""
    kind = f"{row['type']} " if "type" in row else ""
    words, last = [], ""
    for key, value in row.items():
        if key == "nexthops":
            last = "".join(f" nexthop {_words(hop, _HOP)}" for hop in _rows(value))
        elif key not in ("type", "dst", "nh_info"):  # nh_info repeats what the nexthop object says
            words.append(_word(key, value, _ROUTE))
    return kind + str(row.get("dst", "")), " ".join(words) + last


def rule_words(row: Row) -> str:
    """Return a rule as `ip rule` prints it."""
    ends = {"src": "srclen", "dst": "dstlen", "fwmark": "fwmask", "uid_start": "uid_end",
            "sport_start": "sport_end", "dport_start": "dport_end"}  # fmt: skip
    words = []
    for key, value in row.items():
        if key in ends and ends[key] in row:
            between = "-" if key.endswith("_start") else "/"
            words.append(_word(key, f"{value}{between}{row[ends[key]]}", _RULE))
        elif key not in ends.values():
            words.append(_word(key, value, _RULE))
    return " ".join(words)


def neigh_words(row: Row) -> str:
    """Return a neighbour as `ip neigh` prints it."""
    return _words(row, _NEIGH)


def nexthop_words(row: Row) -> str:
    """Return a nexthop object as `ip nexthop` prints it."""
    return _words(row, _NEXTHOP)


def _words(row: Row, readers: Readers) -> str:
    return " ".join(_word(key, value, readers) for key, value in row.items())


def _word(key: str, value: object, readers: Readers) -> str:
    if key not in readers:
        raise WordError(f"unknown key `{key}`")
    try:
        return readers[key](value)
    except (TypeError, KeyError, AttributeError, IndexError):
        raise WordError(f"`{key}` cannot be {value!r:.60}") from None


def _rows(value: object) -> Sequence[Row]:
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise WordError(f"a list of objects is needed, not {value!r:.60}")
    return value


def _valued(word: str) -> Callable[[object], str]:
    """Return a reader of a key whose value follows its word."""

    def read(value: object) -> str:
        text = str(value)
        if isinstance(value, (dict, list)) or not text or text.split() != [text]:
            raise TypeError
        return f"{word} {text}"

    return read


def _bare(word: str) -> Callable[[object], str]:
    """Return a reader of a key that is true by being there."""
    return lambda _value: word


def _refused(word: str) -> Callable[[object], str]:
    def read(_value: object) -> str:
        raise WordError(f"`{word}` is not modelled")

    return read


def _flags(value: list[str]) -> str:
    return " ".join(value)


def _via(value: Row) -> str:
    return f"via {value['family']} {value['host']}"


def _gateway(value: str) -> str:
    return f"via inet6 {value}" if ":" in value else f"via {value}"


def _metrics(value: list[Row]) -> str:
    return " ".join(_words(row, _METRICS) for row in value)


def _milliseconds(word: str) -> Callable[[int], str]:
    return lambda value: f"{word} {value:d}ms"


def _group(value: list[Row]) -> str:
    return "group " + "/".join(f"{row['id']},{row.get('weight', 1)}" for row in value)


_HOP: Final[Readers] = MappingProxyType(
    {"gateway": _gateway, "via": _via, "dev": _valued("dev"), "weight": _valued("weight"), "flags": _flags}
)
_METRICS: Final[Readers] = MappingProxyType(
    {
        **{
            word: _valued(word)
            for word in (
                "mtu", "window", "ssthresh", "cwnd", "advmss", "reordering", "hoplimit", "initcwnd", "initrwnd",
                "quickack", "fastopen_no_cookie",
            )
        },
        **{word: _milliseconds(word) for word in ("rtt", "rttvar", "rto_min")},
        "congestion": _valued("congctl"),
        "ecn": _bare("features ecn"),
    }
)  # fmt: skip
_ROUTE: Final[Readers] = MappingProxyType(
    {
        **{key: _HOP[key] for key in ("gateway", "via", "dev", "flags")},
        "table": _valued("table"),
        "protocol": _valued("proto"),
        "scope": _valued("scope"),
        "prefsrc": _valued("src"),
        "metric": _valued("metric"),
        "tos": _valued("tos"),
        "nhid": _valued("nhid"),
        "metrics": _metrics,
        "flow": _refused("realms"),
        "encap": _refused("encap"),
    }
)
_RULE: Final[Readers] = MappingProxyType(
    {
        "priority": _valued("pref"),
        "not": _bare("not"),
        "src": _valued("from"),
        "dst": _valued("to"),
        "tos": _valued("tos"),
        "dscp": _valued("dscp"),
        "fwmark": _valued("fwmark"),
        "iif": _valued("iif"),
        "iif_detached": _bare(""),
        "oif": _valued("oif"),
        "oif_detached": _bare(""),
        "uid_start": _valued("uidrange"),
        "ipproto": _valued("ipproto"),
        **dict.fromkeys(("sport", "sport_start"), _valued("sport")),
        **dict.fromkeys(("dport", "dport_start"), _valued("dport")),
        "tun_id": _valued("tun_id"),
        "table": _valued("lookup"),
        "suppress_prefixlen": _valued("suppress_prefixlength"),
        "suppress_ifgroup": _valued("suppress_ifgroup"),
        "goto": _valued("goto"),
        "unresolved": _bare(""),
        "nop": _bare("nop"),
        "l3mdev": _bare("l3mdev"),
        "action": _valued("type"),
        "protocol": _valued("protocol"),
        **dict.fromkeys(("flow_to", "flow_from", "masquerade", "nat_gateway"), _refused("realms or nat")),
    }
)
_NEIGH: Final[Readers] = MappingProxyType(
    {
        "dst": _valued("to"),
        "dev": _valued("dev"),
        "lladdr": _valued("lladdr"),
        "state": _flags,
        "proxy": _bare("proxy"),
        "protocol": _valued("proto"),
        **{word: _bare(word) for word in ("router", "extern_learn", "managed", "offload")},
    }
)
_NEXTHOP: Final[Readers] = MappingProxyType(
    {
        **{key: _HOP[key] for key in ("gateway", "via", "dev", "flags")},
        "id": _valued("id"),
        "group": _group,
        "blackhole": _bare("blackhole"),
        "scope": _valued("scope"),
        "protocol": _valued("proto"),
        "type": _valued("type"),
        "encap": _refused("encap"),
        "fdb": _refused("fdb"),
        "resilient_args": _refused("resilient groups"),
    }
)
