"""Fragments looked at and put together again, independent of the program.

`shape` writes a fragment as tcpdump does: payload bytes, `@`, offset, `+` for more fragments; `!` stands for DF.
"""

from __future__ import annotations

from collections.abc import Sequence

from tests.support.packets import patched, rfc1071


def header_bytes(datagram: bytes) -> int:
    return datagram[0] % 16 * 4


def options(datagram: bytes) -> bytes:
    return datagram[20 : header_bytes(datagram)]


def payload(datagram: bytes) -> bytes:
    return datagram[header_bytes(datagram) :]


def offset(datagram: bytes) -> int:
    return (datagram[6] % 32 * 256 + datagram[7]) * 8


def more(datagram: bytes) -> bool:
    return bool(datagram[6] & 0x20)


def tot_len(datagram: bytes) -> int:
    return datagram[2] * 256 + datagram[3]


def shape(datagram: bytes) -> str:
    marks = "+" * more(datagram) + "!" * bool(datagram[6] & 0x40)
    return f"{len(payload(datagram))}@{offset(datagram)}{marks}"


def shapes(datagrams: Sequence[bytes]) -> str:
    return " ".join(shape(datagram) for datagram in datagrams)


def is_sound(datagram: bytes) -> bool:
    """Tell whether length and header checksum of a datagram are right."""
    return tot_len(datagram) == len(datagram) and rfc1071(datagram[: header_bytes(datagram)]) == 0


def reassembled(datagrams: Sequence[bytes]) -> bytes:
    """Return the payload that the fragments make: each byte painted once, no hole, the last one ends it."""
    ends = {offset(d) + len(payload(d)) for d in datagrams if not more(d)}
    assert len(ends) == 1, "exactly one end"
    size = ends.pop()
    painted: list[int | None] = [None] * size
    for datagram in datagrams:
        for at, value in enumerate(payload(datagram), offset(datagram)):
            assert painted[at] is None, f"byte {at} came twice"
            painted[at] = value
    assert None not in painted, f"hole at {painted.index(None)}"
    return bytes(value for value in painted if value is not None)


def same_but_for_cutting(fragment: bytes, original: bytes) -> bool:
    """Tell whether the fixed header fields that cutting must keep are those of the original."""

    def kept(datagram: bytes) -> bytes:
        return patched(patched(datagram[:20], 2, b"\0\0"), 6, b"\0\0")[:10] + datagram[12:20]

    return kept(fragment) == kept(original)
