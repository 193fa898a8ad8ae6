"""Cutting a datagram that is too long for its way out.

Law: one datagram in, the bytes of its fragments out, in the order in which the kernel hands them on. The fast path
takes a queue of pieces as it is, the slow path cuts; what they have in common is written once. Each fragment goes to
`output`, as in the kernel: the first refusal ends the work.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from enum import Enum
from errno import EMSGSIZE
from itertools import accumulate, pairwise
from typing import Final, NamedTuple

from ipkit.core.host.kernel import FastPathOptions, ForcedFragmenting, KernelProfile, TinyFragmentMtu
from ipkit.core.ip_options import ip_options_fragment
from ipkit.core.outcome.counters import Mib
from ipkit.core.outcome.verdict import IcmpDue
from ipkit.core.skbuff import IpControlBlock, IpSkbFlag, SkBuff
from ipkit.core.wire.icmp import DEST_UNREACH, FRAG_NEEDED
from ipkit.core.wire.ipv4 import FLAG_DF, FLAG_MF, HeaderTemplate, Ipv4Header, read

ETHERNET_RESERVED_SPACE: Final = 16
"""LL_RESERVED_SPACE of Ethernet, loopback and devices without a link header."""

Output = Callable[[bytes], int | None]
"""Takes one fragment; an errno or a congestion code ends the fragmenting, nothing or zero lets it go on."""


class FragPath(Enum):
    """Which way the datagram was fragmented."""

    FAST = "fast"
    SLOW = "slow"


class FastRefusal(Enum):
    """Why a datagram with a buffer list was cut anew all the same."""

    HEAD_TOO_LONG = "head_too_long"
    HEAD_ODD = "head_odd"
    IS_FRAGMENT = "is_fragment"
    HEAD_CLONED = "head_cloned"
    HEAD_HEADROOM = "head_headroom"
    PIECE_TOO_LONG = "piece_too_long"
    PIECE_ODD = "piece_odd"
    PIECE_HEADROOM = "piece_headroom"
    PIECE_SHARED = "piece_shared"


class FragmentResult(NamedTuple):
    """What became of a datagram; its fragments went to `output`."""

    created: int = 0
    errno: int = 0
    path: FragPath | None = None  # None: refused before a path was chosen
    refusal: FastRefusal | None = None
    icmp: IcmpDue | None = None

    @property
    def mibs(self) -> tuple[Mib, ...]:
        """The counters that moved."""
        return (Mib.FRAG_CREATES,) * self.created + (Mib.FRAG_FAILS if self.errno else Mib.FRAG_OKS,)


def must_fragment(skb: SkBuff, mtu: int, kernel: KernelProfile) -> bool:
    """Tell whether ip_finish_output hands a datagram to ip_fragment: too long, or forced by how it came together."""
    if skb.length > mtu:
        return True
    if kernel.forced_fragmenting is ForcedFragmenting.FRAG_MAX_SIZE:
        return bool(skb.cb.frag_max_size)
    return bool(skb.cb.flags & IpSkbFlag.FRAG_PMTU)


def ip_fragment(skb: SkBuff, mtu: int, kernel: KernelProfile, output: Output) -> FragmentResult:
    """Decide whether a datagram may be fragmented; if not, its source is owed a word about the MTU.

    Kernel: net/ipv4/ip_output.c
    """
    if read(skb.data).frag_off & FLAG_DF and (not skb.ignore_df or skb.cb.frag_max_size > mtu):
        return FragmentResult(errno=EMSGSIZE, icmp=IcmpDue(DEST_UNREACH, FRAG_NEEDED, mtu, skb))
    return ip_do_fragment(skb, mtu, kernel, output)


def ip_do_fragment(
    skb: SkBuff, mtu: int, kernel: KernelProfile, output: Output, reserved_space: int = ETHERNET_RESERVED_SPACE
) -> FragmentResult:
    """Fragment a datagram: its buffer list as it is where that fits, else cut anew.

    Kernel: net/ipv4/ip_output.c
    """
    header = read(skb.data)
    space = min(mtu, skb.cb.frag_max_size or mtu) - header.header_bytes
    if _has_no_room(skb.length - header.header_bytes, space, kernel):
        return FragmentResult(errno=EMSGSIZE)
    refusal = None
    if skb.frag_list:
        refusal = _fast_path_refusal(skb, header, space, reserved_space)
        if refusal is None:
            return _output_all(skb, _fast_cut(skb, header, kernel), output)
    result = _output_all(skb, _slow_cut(skb, header, space), output)
    return result if refusal is None else result._replace(refusal=refusal)


def cut_sizes(payload_bytes: int, room: int) -> list[int]:
    """Return the payload of each fragment: eight-byte steps, but the last may use all the room."""
    sizes = []
    while payload_bytes > room:
        sizes.append(room & ~7)
        payload_bytes -= room & ~7
    return [*sizes, payload_bytes] if payload_bytes else sizes


def as_appended(skb: SkBuff, mtu: int) -> SkBuff:
    """Return the datagram as the queue that ip_append_data would have built at this MTU."""
    if len(skb.data) <= mtu:
        return skb
    header_bytes = read(skb.data).header_bytes
    sizes = cut_sizes(len(skb.data) - header_bytes, mtu - header_bytes)
    ends = [header_bytes + end for end in accumulate(sizes)]
    pieces = tuple(replace(skb, data=skb.data[begin:end]) for begin, end in pairwise(ends))
    return replace(skb, data=skb.data[: ends[0]], frag_list=pieces)


def ip_copy_metadata(fragment: bytes, skb: SkBuff) -> SkBuff:
    """Return a fragment with what it takes over from the datagram it was cut from; options are not among it.

    Kernel: net/ipv4/ip_output.c
    """
    cb = IpControlBlock(flags=skb.cb.flags | IpSkbFlag.FRAG_COMPLETE, iif=skb.cb.iif)
    return SkBuff(fragment, skb.dev, skb.pkt_type, skb.tstamp_ns, skb.route, cb, mark=skb.mark)


def _has_no_room(left: int, space: int, kernel: KernelProfile) -> bool:
    # A kernel without the test would cut pieces of nothing for ever; ending there is the one liberty taken.
    return space < 8 and (kernel.tiny_fragment_mtu is TinyFragmentMtu.EMSGSIZE or left > space)


def _fast_path_refusal(skb: SkBuff, header: Ipv4Header, space: int, reserved_space: int) -> FastRefusal | None:
    """Return the first reason against sending the list as it is; the order is the kernel's."""
    head_bytes = len(skb.data) - header.header_bytes
    if head_bytes > space:
        return FastRefusal.HEAD_TOO_LONG
    if head_bytes & 7:
        return FastRefusal.HEAD_ODD
    if header.is_fragment:
        return FastRefusal.IS_FRAGMENT
    if skb.buffer is not None and skb.buffer.cloned:
        return FastRefusal.HEAD_CLONED
    if skb.buffer is not None and skb.buffer.headroom < reserved_space:
        return FastRefusal.HEAD_HEADROOM
    headroom = header.header_bytes + reserved_space
    last = len(skb.frag_list) - 1
    refusals = (_piece_refusal(piece, space, headroom, 7 * (at < last)) for at, piece in enumerate(skb.frag_list))
    return next((refusal for refusal in refusals if refusal is not None), None)


def _piece_refusal(piece: SkBuff, space: int, headroom: int, odd_bits: int) -> FastRefusal | None:
    if len(piece.data) > space:
        return FastRefusal.PIECE_TOO_LONG
    if len(piece.data) & odd_bits:
        return FastRefusal.PIECE_ODD
    if piece.buffer is not None and piece.buffer.headroom < headroom:
        return FastRefusal.PIECE_HEADROOM
    if piece.buffer is not None and piece.buffer.shared:
        return FastRefusal.PIECE_SHARED
    return None


class _Cut(NamedTuple):
    """Where the cuts lie, and what the fragments' headers say."""

    path: FragPath
    sizes: list[int]  # payload bytes of each fragment
    later_header: bytes  # of every fragment but the first
    offset: int = 0
    kept_flags: int = 0  # in every fragment


def _fast_cut(skb: SkBuff, header: Ipv4Header, kernel: KernelProfile) -> _Cut:
    """Take the pieces of the list as the fragments; no flag of the datagram's own header survives."""
    sizes = [len(skb.data) - header.header_bytes, *(len(piece.data) for piece in skb.frag_list)]
    later = skb.data[: header.header_bytes]
    if kernel.fast_path_options is FastPathOptions.NOOPED:
        later = ip_options_fragment(later, skb.cb.options.optlen)
    return _Cut(FragPath.FAST, sizes, later)


def _slow_cut(skb: SkBuff, header: Ipv4Header, space: int) -> _Cut:
    """Cut anew; what was a fragment before keeps its place, its MF, its options."""
    sizes = cut_sizes(skb.length - header.header_bytes, space)
    later = skb.data[: header.header_bytes]
    if skb.cb.options.optlen and not header.offset_bytes:
        later = ip_options_fragment(later, skb.cb.options.optlen)
    kept = header.frag_off & FLAG_MF | (FLAG_DF if skb.cb.flags & IpSkbFlag.FRAG_PMTU else 0)
    return _Cut(FragPath.SLOW, sizes, later, header.offset_bytes, kept)


def _output_all(skb: SkBuff, cut: _Cut, output: Output) -> FragmentResult:
    """Hand on one fragment after the other until all are out or one is refused."""
    data = skb.linear
    header_bytes = at = len(cut.later_header)
    header, offset, left = data[:at], cut.offset, sum(cut.sizes)
    template = HeaderTemplate(header)
    for created, size in enumerate(cut.sizes):
        left -= size
        # An offset past the field's end carries into the flags, as it does in the kernel.
        frag_off = offset >> 3 | cut.kept_flags | (FLAG_MF if left else 0)
        refused = output(template.filled(header_bytes + size, frag_off) + data[at : at + size])
        if refused:
            return FragmentResult(created, refused, cut.path)
        if not created and header != cut.later_header:
            template = HeaderTemplate(cut.later_header)
        at += size
        offset += size
    return FragmentResult(len(cut.sizes), path=cut.path)
