"""Captured frames made fit for a device: as they are, in fragments, or too big.

Law: a frame that fits is not touched. What is cut is cut as ip_fragment does, behind its own link header.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import Enum
from errno import EMSGSIZE
from typing import NamedTuple

from ipkit.core.fragment import ip_fragment
from ipkit.core.host.kernel import KernelProfile
from ipkit.core.link_receive import NOT_IPV4, ipv4_at
from ipkit.core.outcome.counters import Mib
from ipkit.core.skbuff import IpControlBlock, IpOptions, PacketType, SkBuff
from ipkit.core.wire.ipv4 import HEADER_BYTES, read


class TooLong(Enum):
    """What becomes of a frame that is longer than the device takes."""

    REFUSED = "refused"
    FRAGMENTED = "fragmented"


class Fitted(NamedTuple):
    """The frames that go in place of a captured one, and where their datagrams begin; an errno where none does."""

    frames: Sequence[bytes]
    datagram_at: int = NOT_IPV4
    errno: int = 0
    mibs: Counter[Mib] | None = None


def fitted(frame: bytes, link_type: int, mtu: int, too_long: TooLong, kernel: KernelProfile) -> Fitted:
    """Return what goes on a wire of this MTU for one captured frame."""
    at = ipv4_at(link_type, frame, 0, len(frame))
    if len(frame) - at <= mtu if at != NOT_IPV4 else len(frame) <= mtu + 18:
        return Fitted((frame,), at)
    whole = at != NOT_IPV4 and len(frame) - at >= HEADER_BYTES
    header = read(frame, at) if whole else None
    if header is None or too_long is TooLong.REFUSED or not HEADER_BYTES <= header.header_bytes <= header.tot_len:
        return Fitted((), at, EMSGSIZE)
    datagram = frame[at : at + header.tot_len]
    if len(datagram) < header.tot_len:
        return Fitted((), at, EMSGSIZE)
    cb = IpControlBlock(options=IpOptions(optlen=header.header_bytes - HEADER_BYTES))
    skb = SkBuff(datagram, "", PacketType.OUTGOING, 0, cb=cb)
    fragments: list[bytes] = []
    result = ip_fragment(skb, mtu, kernel, fragments.append)
    return Fitted([frame[:at] + fragment for fragment in fragments], at, result.errno, Counter(result.mibs))
