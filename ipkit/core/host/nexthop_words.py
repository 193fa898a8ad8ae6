"""The words of one nexthop object, as `ip nexthop` prints them and `ip nexthop add` takes them.

Law: reading judges single words; what a group's members are is looked up by whoever builds the host.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ipkit.core.host.route_words import HopWords, take_hop_word
from ipkit.core.host.words import ALL_ONES, WordError, Words, number, protocol, scope

NOT_MODELLED: Final = frozenset({"encap", "fdb"})


@dataclass(slots=True)
class NexthopWords:
    """One nexthop object as it is written: a way out, a group of others, or a black hole."""

    id: int = 0
    hop: HopWords | None = None
    group: tuple[tuple[int, int], ...] = ()  # id and weight
    blackhole: bool = False


def read_nexthop(text: str) -> NexthopWords:
    """Return the nexthop object of one line."""
    words = Words(text.split())
    found, hop = NexthopWords(), HopWords()
    for word in words:
        if word == "id":
            words.once(word)
            found.id = number(words.after(word), 1, ALL_ONES)
        elif word == "group":
            words.once(word)
            found.group = _group(words.after(word))
        elif word == "blackhole":
            found.blackhole = True
        elif not take_hop_word(hop, word, words):
            _take_rest(word, words)
    if not found.id:
        raise WordError("no `id`")
    if hop != HopWords():
        if not hop.dev:
            raise WordError("no `dev`")
        found.hop = hop
    if [bool(found.hop), bool(found.group), found.blackhole].count(True) != 1:
        raise WordError("one of `dev`, `group` and `blackhole` is needed")
    return found


def _take_rest(word: str, words: Words) -> None:
    """Take what is printed of an object and decides nothing, and refuse the rest by name."""
    if word == "scope":
        scope(words.after(word))
    elif word in ("proto", "protocol"):
        protocol(words.after(word))
    elif word == "type":
        kind = words.after(word)
        if kind != "mpath":
            raise WordError(f"groups of type `{kind}` are not modelled")
    elif word in NOT_MODELLED:
        raise WordError(f"`{word}` is not modelled")
    else:
        raise WordError(f"unknown word `{word}`")


def _group(text: str) -> tuple[tuple[int, int], ...]:
    members = []
    for member in text.split("/"):
        name, comma, weight = member.partition(",")
        members.append((number(name, 1, ALL_ONES), number(weight, 1, 256) if comma else 1))
    if len({name for name, _ in members}) < len(members):
        raise WordError(f"the group {text} names a nexthop twice")
    return tuple(members)
