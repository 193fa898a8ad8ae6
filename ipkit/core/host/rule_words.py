"""The words of one routing rule, as `ip rule` prints them and `ip rule add` takes them.

Law: reading judges single words; order, defaults and duplicates of rules are rules.py's business.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from ipkit.core.host.fib import Rule, RuleAction
from ipkit.core.host.words import (
    ALL_ONES,
    TOS_NAMES,
    WordError,
    Words,
    ip_protocol,
    named,
    number,
    numbers,
    prefix,
    protocol,
    table,
    tos,
)

NO_PREF: Final = -1
"""A rule whose place nobody named: the kernel finds one."""

NOT_MODELLED: Final = frozenset({"realms", "nat", "map-to", "masquerade", "flowlabel"})
ACTIONS: Final = MappingProxyType(
    {action.value: action for action in RuleAction if action not in (RuleAction.LOOKUP, RuleAction.GOTO)}
)
FIELDS: Final = MappingProxyType(
    {
        "iif": "iif", "dev": "iif", "oif": "oif", "tos": "tos", "dsfield": "tos", "dscp": "dscp", "ipproto": "ipproto",
        "sport": "sport", "dport": "dport", "uidrange": "uidrange", "tun_id": "tun_id", "pref": "pref",
        "preference": "pref", "priority": "pref", "order": "pref", "protocol": "protocol", "proto": "protocol",
        "suppress_prefixlength": "suppress_prefixlength", "sup_pl": "suppress_prefixlength",
        "suppress_ifgroup": "suppress_ifgroup", "sup_group": "suppress_ifgroup",
    }
)  # fmt: skip
"""Words that are followed by the value of one field."""


def read_rule(text: str, tables: Mapping[str, int]) -> Rule:
    """Return the rule of one line; its pref is NO_PREF where none is named."""
    words = Words(text.split())
    said: dict[str, Any] = {}
    first = words.peek()
    if first.endswith(":"):
        words.after(first)
        said["pref"] = number(first[:-1], 0, ALL_ONES)
        words.once("pref")
    for word in words:
        _take(said, word, words, tables)
    return Rule(**{"pref": NO_PREF, **said})


def _take(said: dict[str, Any], word: str, words: Words, tables: Mapping[str, int]) -> None:
    if word in FIELDS:
        name = FIELDS[word]
        words.once(name)
        said[name] = _READERS[name](words.after(word))
        if words.peek() == "[detached]":
            words.after(word)
    elif word in ("from", "to"):
        words.once(word)
        side = "src" if word == "from" else "dst"
        said[side], said[f"{side}_len"] = prefix(words.after(word))
    elif word == "fwmark":
        words.once(word)
        said["mark"], said["mark_mask"] = _mark(words.after(word))
    elif word == "not":
        words.once(word)
        said["invert"] = True
    elif word in NOT_MODELLED:
        raise WordError(f"`{word}` is not modelled")
    else:
        _take_action(said, word, words, tables)


def _take_action(said: dict[str, Any], word: str, words: Words, tables: Mapping[str, int]) -> None:
    if word in ("lookup", "table"):
        words.once("lookup")
        name = words.after(word)
        if name == "[l3mdev-table]":
            said["l3mdev"] = True
        else:
            said["table"] = table(name, tables)
    elif word == "l3mdev":
        said["l3mdev"] = True
    elif word == "goto":
        words.once("action")
        said["action"], said["target"] = RuleAction.GOTO, number(words.after(word), 0, ALL_ONES)
        if words.peek() == "[unresolved]":
            words.after(word)
    elif word == "type" or word in ACTIONS or word == "unicast":
        words.once("action")
        _take_type(said, words.after(word) if word == "type" else word)
    else:
        raise WordError(f"unknown word `{word}`")
    if said.get("l3mdev") and "table" in said:
        raise WordError("a table and `l3mdev` at once")


def _take_type(said: dict[str, Any], name: str) -> None:
    if name not in ACTIONS and name != "unicast":
        raise WordError(f"a rule cannot be of type `{name}`")
    said["action"] = ACTIONS.get(name, RuleAction.LOOKUP)


def _mark(text: str) -> tuple[int, int]:
    """Return mark and mask; a mark of 0 without a mask selects nothing, as in the kernel."""
    value, slash, mask = text.partition("/")
    mark = number(value, 0, ALL_ONES)
    if slash:
        return mark, number(mask, 0, ALL_ONES)
    return mark, ALL_ONES if mark else 0


def _ports(text: str) -> tuple[int, int]:
    if "/" in text:
        raise WordError(f"a mask of ports ({text}) is not modelled")
    return numbers(text, 1, 65534)


def _uids(text: str) -> tuple[int, int]:
    if "-" not in text:
        raise WordError(f"`{text}` is not a range of users")
    return numbers(text, 0, ALL_ONES - 1)


def _dscp(text: str) -> int:
    if text in TOS_NAMES:
        return TOS_NAMES[text] >> 2
    if "/" in text:
        raise WordError(f"a mask of DSCPs ({text}) is not modelled")
    return number(text, 0, 63)


_READERS: Final[Mapping[str, Callable[[str], object]]] = MappingProxyType(
    {
        "iif": str,
        "oif": str,
        "tos": tos,
        "dscp": _dscp,
        "ipproto": ip_protocol,
        "sport": _ports,
        "dport": _ports,
        "uidrange": _uids,
        "tun_id": lambda text: number(text, 0, (1 << 64) - 1),
        "pref": lambda text: number(text, 0, ALL_ONES),
        "protocol": lambda text: protocol(text).replace("kernel", ""),  # what `ip rule` leaves out
        "suppress_prefixlength": lambda text: number(text, 0, (1 << 31) - 1),
        "suppress_ifgroup": lambda text: named(text, {"default": 0}, 0, (1 << 31) - 1),
    }
)
