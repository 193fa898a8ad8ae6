"""The words of one address, as `ip addr add` takes them and `ip addr` prints them.

Law: reading judges single words; what an address does to the tables is addresses.py's business.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from ipkit.core.host.config import Address
from ipkit.core.host.fib import SCOPE_HOST, SCOPE_UNIVERSE
from ipkit.core.host.words import ALL_ONES, MAX_LENGTH, WordError, Words, address, mask, number, prefix, scope

LOOPBACK_BYTE: Final = 127
LONGEST_WITH_BROADCAST: Final = 30
VALUES: Final = MappingProxyType(
    {
        "local": "local", "peer": "peer", "brd": "broadcast", "broadcast": "broadcast", "scope": "scope",
        "metric": "metric", "priority": "metric", "preference": "metric",
    }
)  # fmt: skip
SAID_OF_AGE: Final = frozenset({"valid_lft", "preferred_lft", "proto", "protocol"})
PRINTED: Final = frozenset({"inet", "secondary", "dynamic", "permanent", "deprecated"})
"""Words that `ip addr` prints and that follow from the rest, or decide nothing."""


@dataclass(slots=True)
class _Said:
    """The words of one line, as they are collected."""

    local: str = ""
    peer: str = ""
    broadcast: str = ""
    scope: str = ""
    metric: str = "0"
    noprefixroute: bool = False


def read_address(text: str, dev: str, point_to: int | None = None) -> Address:
    """Return the address of one line of a link; `point_to` is the peer where the link has one and the line has not."""
    words = Words(text.split())
    said = _Said()
    for word in words:
        _take(said, word, words, dev)
    if not said.local:
        raise WordError("no address")
    local, length = prefix(said.local)
    peer = local if point_to is None else point_to
    if said.peer:
        if "/" in said.local and length != MAX_LENGTH:
            raise WordError("the prefix length belongs to the peer")
        peer, length = prefix(said.peer)
    usual = SCOPE_HOST if local >> 24 == LOOPBACK_BYTE else SCOPE_UNIVERSE
    return Address(
        local,
        length,
        peer,
        broadcast=_broadcast(said.broadcast, peer, length),
        scope=scope(said.scope) if said.scope else usual,
        noprefixroute=said.noprefixroute,
        metric=number(said.metric, 0, ALL_ONES),
    )


def _take(said: _Said, word: str, words: Words, dev: str) -> None:
    if word in VALUES:
        words.once(VALUES[word])
        setattr(said, VALUES[word], words.after(word))
    elif word == "noprefixroute":
        said.noprefixroute = True
    elif word in SAID_OF_AGE:
        words.after(word)
    elif word in ("dev", "label"):
        _own_name(words.after(word), dev)
    elif word not in PRINTED and said.local:
        _own_name(word, dev)
    elif word not in PRINTED:
        said.local = word


def _own_name(name: str, dev: str) -> None:
    """Accept a label: the link's own name, or one that begins with it and a colon."""
    if name.partition(":")[0] != dev:
        raise WordError(f"unknown word `{name}`")


def _broadcast(text: str, peer: int, length: int) -> int | None:
    """Return the broadcast address that was given: `+` sets the host bits, `-` clears them, where there are two."""
    if text not in ("", "+", "-"):
        return address(text)
    if not text or length > LONGEST_WITH_BROADCAST:
        return None
    return peer & mask(length) | (~mask(length) & ALL_ONES if text == "+" else 0)
