"""What single words of iproute2 mean: addresses, prefixes, numbers, and the names that stand for numbers.

Law: a word is read or refused with a reason (WordError); which word may stand where is told by the grammars in
route_words.py, rule_words.py and their neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final, TypeVar

from ipkit.core.host.fib import (
    SCOPE_HOST,
    SCOPE_LINK,
    SCOPE_NOWHERE,
    SCOPE_SITE,
    SCOPE_UNIVERSE,
    TABLE_DEFAULT,
    TABLE_LOCAL,
    TABLE_MAIN,
)
from ipkit.core.wire.ipv4 import address_text

ALL_ONES: Final = 0xFFFFFFFF
MAX_LENGTH: Final = 32

TABLES: Final = MappingProxyType({"default": TABLE_DEFAULT, "main": TABLE_MAIN, "local": TABLE_LOCAL})
SCOPES: Final = MappingProxyType(
    {
        "global": SCOPE_UNIVERSE,
        "universe": SCOPE_UNIVERSE,
        "site": SCOPE_SITE,
        "link": SCOPE_LINK,
        "host": SCOPE_HOST,
        "nowhere": SCOPE_NOWHERE,
    }
)
PROTOCOLS: Final = MappingProxyType(
    {
        0: "unspec", 1: "redirect", 2: "kernel", 3: "boot", 4: "static", 8: "gated", 9: "ra", 10: "mrt", 11: "zebra",
        12: "bird", 13: "dnrouted", 14: "xorp", 15: "ntk", 16: "dhcp", 17: "mrouted", 18: "keepalived", 42: "babel",
        99: "openr", 186: "bgp", 187: "isis", 188: "ospf", 189: "rip", 192: "eigrp",
    }
)  # fmt: skip
TOS_NAMES: Final = MappingProxyType(
    {
        "default": 0x00, "lowdelay": 0x10, "throughput": 0x08, "reliability": 0x04,
        "CS1": 0x20, "CS2": 0x40, "CS3": 0x60, "CS4": 0x80, "CS5": 0xA0, "CS6": 0xC0, "CS7": 0xE0, "EF": 0xB8,
        "AF11": 0x28, "AF12": 0x30, "AF13": 0x38, "AF21": 0x48, "AF22": 0x50, "AF23": 0x58,
        "AF31": 0x68, "AF32": 0x70, "AF33": 0x78, "AF41": 0x88, "AF42": 0x90, "AF43": 0x98,
    }
)  # fmt: skip
IP_PROTOCOLS: Final = MappingProxyType(
    {
        "icmp": 1, "igmp": 2, "ipencap": 4, "ipip": 4, "tcp": 6, "egp": 8, "udp": 17, "dccp": 33, "ipv6": 41,
        "rsvp": 46, "gre": 47, "esp": 50, "ah": 51, "ipv6-icmp": 58, "eigrp": 88, "ospf": 89, "pim": 103, "vrrp": 112,
        "l2tp": 115, "sctp": 132, "udplite": 136,
    }
)  # fmt: skip

T = TypeVar("T")


class WordError(ValueError):
    """A word that cannot be understood, or must not stand where it does; the text says why."""


class Words:
    """The words of one line, taken one after the other."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = words
        self._at = 0
        self._seen: set[str] = set()

    def __iter__(self) -> Iterator[str]:
        while self._at < len(self._words):
            self._at += 1
            yield self._words[self._at - 1]

    def after(self, word: str) -> str:
        """Return the value that a word must be followed by."""
        if self._at == len(self._words):
            raise WordError(f"nothing stands after `{word}`")
        self._at += 1
        return self._words[self._at - 1]

    def peek(self) -> str:
        """Return the next word, empty at the end."""
        return self._words[self._at] if self._at < len(self._words) else ""

    def once(self, meaning: str) -> None:
        """Refuse to have one thing said twice."""
        if meaning in self._seen:
            raise WordError(f"`{meaning}` is said twice")
        self._seen.add(meaning)

    def said(self, meaning: str) -> bool:
        """Tell whether a thing was said, whatever its value."""
        return meaning in self._seen

    def forget(self) -> None:
        """Begin a part in which everything may be said once more."""
        self._seen.clear()


def digits(text: str) -> bool:
    """Tell whether a text is a plain decimal number, and not one of those that int() also takes."""
    return text.isascii() and text.isdigit() and len(text) < 21


def number(text: str, low: int, high: int) -> int:
    """Return a number, decimal or with 0x, within its bounds."""
    sign, body = (-1, text[1:]) if text.startswith("-") else (1, text)
    if digits(body):
        value = sign * int(body)
    elif body[:2].lower() == "0x" and len(body) < 19 and body.isalnum():
        try:
            value = sign * int(body, 16)
        except ValueError:
            raise WordError(f"`{text}` is not a number") from None
    else:
        raise WordError(f"`{text}` is not a number")
    if not low <= value <= high:
        raise WordError(f"{text} is not between {low} and {high}")
    return value


def numbers(text: str, low: int, high: int) -> tuple[int, int]:
    """Return a range `N-M`, or `N` for one value."""
    first, dash, last = text.partition("-")
    lower = number(first, low, high)
    upper = number(last, low, high) if dash else lower
    if upper < lower:
        raise WordError(f"the range {text} is upside down")
    return lower, upper


def _octets(text: str) -> list[int]:
    parts = text.split(".")
    if len(parts) > 4 or not all(digits(part) and (part[0] != "0" or part == "0") and len(part) < 4 for part in parts):
        raise WordError(f"`{text}` is not an IPv4 address")
    octets = [int(part) for part in parts]
    if max(octets) > 255:
        raise WordError(f"`{text}` is not an IPv4 address")
    return octets


def address(text: str) -> int:
    """Return a full dotted address."""
    octets = _octets(text)
    if len(octets) != 4:
        raise WordError(f"`{text}` is not an IPv4 address")
    return int.from_bytes(bytes(octets))


def prefix(text: str) -> tuple[int, int]:
    """Return address and length of a prefix, an address without length being one of 32; host bits are kept."""
    if text in ("default", "any", "all"):
        return 0, 0
    base, slash, tail = text.partition("/")
    if not slash:
        return address(base), MAX_LENGTH
    octets = _octets(base)
    length = mask_length(address(tail)) if "." in tail else number(tail, 0, MAX_LENGTH) if digits(tail) else -1
    if length < 0:
        raise WordError(f"`{text}` is not a prefix")
    return int.from_bytes(bytes((*octets, 0, 0, 0, 0)[:4])), length


def network(text: str) -> tuple[int, int]:
    """Return address and length of a prefix that has no host bits."""
    base, length = prefix(text)
    if base & ~mask(length):
        raise WordError(f"{text} has bits set behind its prefix length: {address_text(base & mask(length))}/{length}?")
    return base, length


def mask(length: int) -> int:
    """Return the mask of a prefix length."""
    return ALL_ONES << (MAX_LENGTH - length) & ALL_ONES


def mask_length(value: int) -> int:
    """Return the prefix length of a mask, -1 where its ones are not in one row."""
    length = value.bit_count()
    return length if mask(length) == value else -1


def prefix_text(base: int, length: int) -> str:
    """Return a prefix as iproute2 prints it."""
    if length == 0 and base == 0:
        return "default"
    return address_text(base) if length == MAX_LENGTH else f"{address_text(base)}/{length}"


def link_address(text: str) -> bytes:
    """Return the six bytes of an Ethernet address."""
    parts = text.split(":")
    try:
        if len(parts) == 6 and all(0 < len(part) < 3 and part.isalnum() for part in parts):
            return bytes(int(part, 16) for part in parts)
    except ValueError:
        pass
    raise WordError(f"`{text}` is not an Ethernet address")


def named(text: str, names: Mapping[str, T], low: int, high: int) -> T | int:
    """Return what a name or a number stands for."""
    if text in names:
        return names[text]
    if text[:1].isdigit():
        return number(text, low, high)
    raise WordError(f"`{text}` is neither a number nor one of {', '.join(names)}")


def table(text: str, names: Mapping[str, int]) -> int:
    """Return the number of a routing table."""
    return named(text, names, 1, ALL_ONES)


def scope(text: str) -> int:
    """Return the number of a scope."""
    return named(text, SCOPES, 0, 255)


def scope_text(value: int) -> str:
    """Return the name of a scope, or its number."""
    return next((name for name, known in SCOPES.items() if known == value), str(value))


def protocol(text: str) -> str:
    """Return the name of who made a route: numbers get their usual name, names of one's own are kept."""
    if text[:1].isdigit():
        value = number(text, 0, 255)
        return PROTOCOLS.get(value, str(value))
    if not text.replace("_", "a").replace("-", "a").replace(".", "a").isalnum():
        raise WordError(f"`{text}` is not a routing protocol")
    return text


def tos(text: str) -> int:
    """Return a TOS byte; a bare number is hexadecimal, as iproute2 reads it."""
    if text in TOS_NAMES:
        return TOS_NAMES[text]
    return number(text if text[:2].lower() == "0x" else f"0x{text}", 0, 0xFF)


def ip_protocol(text: str) -> int:
    """Return the number of an IP protocol."""
    return named(text.removeprefix("ipproto-"), IP_PROTOCOLS, 0, 255)
