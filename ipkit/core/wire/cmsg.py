"""Control messages as a program hands them to sendmsg: headers and data, one behind the other.

Law: reading never judges; a header that cannot be one ends the list with None. Sizes are those of 64-bit machines.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import Final, NamedTuple

_HEADER: Final = Struct("<Qii")
CMSG_HEADER_BYTES: Final = 16

_INT: Final = Struct("<i")
PKTINFO_BYTES: Final = 12
INT_BYTES: Final = 4


class Cmsg(NamedTuple):
    """One control message."""

    level: int
    type: int
    data: bytes


def cmsg_bytes(message: Cmsg) -> bytes:
    """Return a control message as it stands in the buffer."""
    padding = bytes(-len(message.data) % 8)
    return _HEADER.pack(CMSG_HEADER_BYTES + len(message.data), message.level, message.type) + message.data + padding


def cmsgs_in(control: bytes) -> Iterator[Cmsg | None]:
    """Yield the messages of a buffer; None for a header that claims less than itself or more than there is."""
    at = 0
    while at + CMSG_HEADER_BYTES <= len(control):
        length, level, kind = _HEADER.unpack_from(control, at)
        if not CMSG_HEADER_BYTES <= length <= len(control) - at:
            yield None
            return
        yield Cmsg(level, kind, control[at + CMSG_HEADER_BYTES : at + length])
        at += length + (-length % 8)


def int_bytes(value: int) -> bytes:
    """Return an int as a program stores it, cut to its 32 bits."""
    return (value & 0xFFFFFFFF).to_bytes(INT_BYTES, "little")


def read_int(data: bytes) -> int:
    """Return the int that the first four bytes hold."""
    return int(_INT.unpack_from(data)[0])


def pktinfo_bytes(ifindex: int, spec_dst: int) -> bytes:
    """Return a struct in_pktinfo."""
    return int_bytes(ifindex) + spec_dst.to_bytes(4, "big") + bytes(4)


def read_pktinfo(data: bytes) -> tuple[int, int]:
    """Return device index and source address of a struct in_pktinfo."""
    return read_int(data), int.from_bytes(data[4:8], "big")
