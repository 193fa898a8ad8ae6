"""Test input for reassemblers: fragments left out, doubled, overlapped, in another order.

Law: it works on the fragments of one datagram and knows nothing of how they were cut. All chance comes from the seed
and the frame's number, so one datagram fares the same whatever came before it. The acts are those of fragroute, in a
fixed order: overlap, drop, duplicate, order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import Final, NamedTuple

from ipkit.core.wire.ipv4 import FLAG_MF, MAX_HEADER_BYTES, MAX_TOTAL_BYTES, HeaderTemplate, read


class Order(Enum):
    """In which order the fragments leave."""

    FORWARD = "forward"
    REVERSE = "reverse"
    RANDOM = "random"


class Favour(Enum):
    """Whose bytes are the true ones where two fragments overlap; the other one has noise there."""

    OLD = "old"
    NEW = "new"


class Which(Enum):
    """Which fragments of a datagram are chosen."""

    SOME = "some"
    FIRST = "first"
    MIDDLE = "middle"
    LAST = "last"


class Choice(NamedTuple):
    """Some fragments of each datagram, or of some percent of the datagrams."""

    which: Which
    many: int = 1  # only where the seed chooses
    percent: int = 100


class Piece(NamedTuple):
    """A fragment asked for by name."""

    offset: int
    size: int | None  # None: all that follows
    more: bool


class Overlap(NamedTuple):
    """How fragments overlap: in pairs as fragroute makes them, or as listed."""

    favour: Favour
    pieces: tuple[Piece, ...] = ()


@dataclass(frozen=True, slots=True)
class Shape:
    """What is done to the fragments of every datagram."""

    order: Order = Order.FORWARD
    duplicate: Choice | None = None
    drop: Choice | None = None
    overlap: Overlap | None = None
    seed: int = 0


_CHOICE = re.compile(r"(?:(?P<count>\d{1,5})|(?P<which>first|middle|last))(?::(?P<percent>\d{1,3})%)?", re.ASCII)
_PIECE = re.compile(r"(?P<size>\d{1,5})?@(?P<offset>\d{1,5})(?P<more>\+)?", re.ASCII)


def parse_choice(text: str) -> Choice:
    """Return the choice that `N`, `first`, `middle` or `last`, each with `:P%` behind it or not, stands for."""
    found = _CHOICE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not a number, first, middle or last (with :P% for some datagrams only)")
    percent = int(found["percent"] or 100)
    if percent > 100:
        raise ValueError(f"{percent}% is more than all")
    return Choice(Which(found["which"] or Which.SOME), int(found["count"] or 1), percent)


def parse_overlap(text: str) -> Overlap:
    """Return the overlap that `old`, `new` or a list of pieces, `old:` or `new:` in front or not, stands for."""
    if text in ("old", "new"):
        return Overlap(Favour(text))
    favour, _, listed = text.rpartition(":")
    if favour not in ("", "old", "new"):
        raise ValueError(f"{favour!r} is neither old nor new")
    return Overlap(Favour(favour or Favour.OLD), tuple(_parse_piece(piece) for piece in listed.split(",")))


def _parse_piece(text: str) -> Piece:
    found = _PIECE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not a piece: SIZE@OFFSET, + behind it for more fragments")
    offset, size = int(found["offset"]), int(found["size"]) if found["size"] else None
    if offset % 8 or offset > MAX_TOTAL_BYTES:
        raise ValueError(f"offset {offset} is not a multiple of 8 up to 65528")
    if size is not None and size > MAX_TOTAL_BYTES - MAX_HEADER_BYTES:
        raise ValueError(f"a piece of {size} bytes does not fit into a datagram")
    return Piece(offset, size, bool(found["more"]))


def shaped(fragments: Sequence[bytes], shape: Shape, number: int) -> list[bytes]:
    """Return what leaves instead of a datagram's fragments, given in ascending order."""
    rng = Random(f"{shape.seed}/{number}")
    out = list(fragments)
    if shape.overlap is not None:
        out = _overlapped(out, shape.overlap, rng)
    if shape.drop is not None:
        dropped = _chosen(len(out), shape.drop, rng)
        out = [fragment for at, fragment in enumerate(out) if at not in dropped]
    if shape.duplicate is not None:
        doubled = _chosen(len(out), shape.duplicate, rng)
        out = [copy for at, fragment in enumerate(out) for copy in [fragment] * (2 if at in doubled else 1)]
    _ORDERS[shape.order](out, rng)
    return out


_ORDERS: Final[dict[Order, Callable[[list[bytes], Random], None]]] = {
    Order.FORWARD: lambda _fragments, _rng: None,
    Order.REVERSE: lambda fragments, _rng: fragments.reverse(),
    Order.RANDOM: lambda fragments, rng: rng.shuffle(fragments),
}


def _chosen(count: int, choice: Choice, rng: Random) -> set[int]:
    if not count or (choice.percent < 100 and rng.randrange(100) >= choice.percent):
        return set()
    if choice.which is Which.SOME:
        return set(rng.sample(range(count), min(choice.many, count)))
    return {{Which.FIRST: 0, Which.MIDDLE: count // 2, Which.LAST: count - 1}[choice.which]}


def _overlapped(fragments: list[bytes], overlap: Overlap, rng: Random) -> list[bytes]:
    if overlap.pieces:
        return _as_listed(fragments, overlap, rng)
    return _in_pairs(fragments, overlap.favour, rng)


def _in_pairs(fragments: list[bytes], favour: Favour, rng: Random) -> list[bytes]:
    """Send every second fragment joined to its successor, behind that successor; the last stays out of it."""
    out: list[bytes] = []
    at = 0
    while at < len(fragments):
        if at % 2 and at + 2 < len(fragments):
            one, two = fragments[at], fragments[at + 1]
            header_bytes = read(two).header_bytes
            noise = rng.randbytes(len(two) - header_bytes)
            early, late = (two[header_bytes:], noise) if favour is Favour.OLD else (noise, two[header_bytes:])
            out += [two[:header_bytes] + early, _lengthened(one, late)]
            at += 2
        else:
            out.append(fragments[at])
            at += 1
    return out


def _lengthened(fragment: bytes, by: bytes) -> bytes:
    header = read(fragment)
    head = HeaderTemplate(fragment[: header.header_bytes]).filled(len(fragment) + len(by), header.frag_off)
    return head + fragment[header.header_bytes :] + by


def _as_listed(fragments: list[bytes], overlap: Overlap, rng: Random) -> list[bytes]:
    """Make the listed pieces out of the datagram; what lies beyond its end is noise."""
    first = read(fragments[0])
    header_bytes, base = first.header_bytes, first.offset_bytes
    data = b"".join(fragment[header_bytes:] for fragment in fragments)
    heads = [HeaderTemplate(fragment[:header_bytes]) for fragment in (fragments[0], fragments[-1])]
    out = []
    for piece, payload in zip(overlap.pieces, _payloads(data, overlap, rng), strict=True):
        frag_off = base + piece.offset >> 3 | (FLAG_MF if piece.more else 0)
        out.append(heads[piece.offset > 0].filled(header_bytes + len(payload), frag_off) + payload)
    return out


def _payloads(data: bytes, overlap: Overlap, rng: Random) -> list[bytes]:
    """Return each piece's bytes: true where it is the favoured of those that claim them, noise elsewhere."""
    taken = bytearray(len(data))
    payloads: list[bytes] = []
    in_turn = overlap.pieces if overlap.favour is Favour.OLD else overlap.pieces[::-1]
    for piece in in_turn:
        begin = piece.offset
        size = max(len(data) - begin, 0) if piece.size is None else piece.size
        payload = bytearray(rng.randbytes(size))
        for at in range(begin, min(begin + size, len(data))):
            if not taken[at]:
                payload[at - begin] = data[at]
                taken[at] = 1
        payloads.append(bytes(payload))
    return payloads if overlap.favour is Favour.OLD else payloads[::-1]
