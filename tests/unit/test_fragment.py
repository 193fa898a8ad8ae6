"""ip_fragment, ip_do_fragment: which fragments a datagram becomes, by which path, and what is counted."""

from __future__ import annotations

from errno import EMSGSIZE, ENOBUFS
from typing import NamedTuple

import pytest

from ipkit.core.fragment import FastRefusal, FragmentResult, FragPath, ip_copy_metadata, ip_fragment, must_fragment
from ipkit.core.host.kernel import LINUX_4_14, LINUX_6_18, KernelProfile
from ipkit.core.outcome.counters import Mib
from ipkit.core.skbuff import Buffer, IpControlBlock, IpOptions, IpSkbFlag, PacketType, SkBuff
from tests.support.cut import is_sound, options, payload, same_but_for_cutting, shape, shapes
from tests.support.packets import ip

BOTH = pytest.mark.parametrize("kernel", [LINUX_4_14, LINUX_6_18], ids=lambda kernel: kernel.name)

RR = bytes((7, 11, 4)) + bytes(8)
LSRR = bytes((1, 131, 7, 4, 10, 0, 0, 1))
BLANKED_RR = b"\x01" * 11 + b"\0"


def data(size: int) -> bytes:
    return bytes((7 * i + 13 * (i >> 8)) & 255 for i in range(size))


def skb(datagram: bytes, *, frag_max_size: int = 0, ignore_df: bool = False, pmtu: bool = False) -> SkBuff:
    flags = IpSkbFlag.FRAG_PMTU if pmtu else IpSkbFlag.NONE
    optlen = datagram[0] % 16 * 4 - 20
    cb = IpControlBlock(flags=flags, frag_max_size=frag_max_size, options=IpOptions(optlen=optlen), iif="eth0")
    return SkBuff(datagram, "eth1", PacketType.HOST, 5, cb=cb, ignore_df=ignore_df, mark=9)


def queue(datagram: bytes, *sizes: int, head: int, frag_max_size: int = 0, ignore_df: bool = False) -> SkBuff:
    """Return a datagram as a buffer list: `head` bytes of payload in the head, then pieces of these sizes."""
    header = datagram[0] % 16 * 4
    at = header + head
    pieces = []
    for size in sizes:
        pieces.append(SkBuff(datagram[at : at + size], "eth1", PacketType.OUTGOING, 5))
        at += size
    assert at == len(datagram)
    whole = skb(datagram, frag_max_size=frag_max_size, ignore_df=ignore_df)
    whole.data = datagram[: header + head]
    whole.frag_list = tuple(pieces)
    return whole


def fragmented(whole: SkBuff, mtu: int, kernel: KernelProfile = LINUX_4_14) -> tuple[list[bytes], FragmentResult]:
    pieces: list[bytes] = []
    return pieces, ip_fragment(whole, mtu, kernel, pieces.append)


class Case(NamedTuple):
    name: str
    size: int
    mtu: int
    expected: str
    offset: int = 0
    mf: bool = False
    options: bytes = b""
    first_options: bytes = b""
    later_options: bytes = b""

    def __str__(self) -> str:
        return self.name


NOPS_SID_TS = bytes((1, 1, 1, 1, 0x88, 4, 0x12, 0x34, 68, 8, 5, 0, 0, 0, 0, 0))
FORTY = bytes((7, 39, 4)) + bytes(36) + b"\0"

CASES = [
    Case("F1", 1480, 600, "576@0+ 576@576+ 328@1152"),
    Case("F3", 581, 600, "576@0+ 5@576"),
    Case("F4 a first fragment keeps MF on its last piece", 1000, 600, "576@0+ 424@576+", mf=True),
    Case("F5 a middle fragment", 1000, 600, "576@1000+ 424@1576+", offset=1000, mf=True),
    Case("F6 a last fragment", 1003, 600, "576@2000+ 427@2576", offset=2000),
    Case("F8 RR", 1000, 600, "568@0+ 432@568", options=RR + b"\0", first_options=RR + b"\0", later_options=BLANKED_RR),
    Case(
        "F9 NOP, SID, TS",
        1000,
        600,
        "560@0+ 440@560",
        options=NOPS_SID_TS,
        first_options=NOPS_SID_TS,
        later_options=bytes((1, 1, 1, 1, 0x88, 4, 0x12, 0x34)) + b"\x01" * 8,
    ),
    Case(
        "F10 a later fragment keeps RR everywhere",
        1000,
        600,
        "568@1000+ 432@1568+",
        offset=1000,
        mf=True,
        options=RR + b"\0",
        first_options=RR + b"\0",
        later_options=RR + b"\0",
    ),
    Case("F11", 1200, 601, "576@0+ 576@576+ 48@1152"),
    Case("F12", 1200, 604, "584@0+ 584@584+ 32@1168"),
    Case("F13", 200, 68, "48@0+ 48@48+ 48@96+ 48@144+ 8@192"),
    Case(
        "F14",
        50,
        68,
        "8@0+ 8@8+ 8@16+ 8@24+ 8@32+ 8@40+ 2@48",
        options=FORTY,
        first_options=FORTY,
        later_options=b"\x01" * 39 + b"\0",
    ),
    Case("the last fragment may use the whole MTU", 2756, 1400, "1376@0+ 1380@1376"),
    Case("one byte more needs a third", 2757, 1400, "1376@0+ 1376@1376+ 5@2752"),
    Case("the offset wraps into MF", 600, 576, "552@65528+ 48@544+", offset=65528),
    Case("an MF input of odd length", 1003, 600, "576@0+ 427@576+", mf=True),
]


@BOTH
@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_slow_path_cuts(case: Case, kernel: KernelProfile) -> None:
    datagram = ip(data(case.size), offset=case.offset, mf=case.mf, options=case.options, reserved=True, tos=0x1F)
    pieces, result = fragmented(skb(datagram), case.mtu, kernel)
    assert shapes(pieces) == case.expected
    assert all(is_sound(piece) for piece in pieces)
    assert all(same_but_for_cutting(piece, datagram) for piece in pieces)
    assert b"".join(payload(piece) for piece in pieces) == data(case.size)
    assert options(pieces[0]) == case.first_options
    assert {options(piece) for piece in pieces[1:]} == {case.later_options}
    assert not any(piece[6] & 0x80 for piece in pieces)
    assert (result.path, result.refusal, result.errno) == (FragPath.SLOW, None, 0)
    assert result.mibs == (Mib.FRAG_CREATES,) * len(pieces) + (Mib.FRAG_OKS,)


def test_f2_what_fits_is_not_fragmented() -> None:
    assert not must_fragment(skb(ip(data(580))), 600, LINUX_4_14)
    assert must_fragment(skb(ip(data(581))), 600, LINUX_4_14)


@BOTH
def test_f7_df_is_refused_and_the_source_is_owed_the_mtu(kernel: KernelProfile) -> None:
    whole = skb(ip(data(1000), df=True))
    pieces, result = fragmented(whole, 600, kernel)
    assert pieces == []
    assert (result.errno, result.path, result.mibs) == (EMSGSIZE, None, (Mib.FRAG_FAILS,))
    assert result.icmp == (3, 4, 600, whole)


@BOTH
def test_ignore_df_cuts_and_clears_df(kernel: KernelProfile) -> None:
    pieces, result = fragmented(skb(ip(data(1000), df=True), ignore_df=True), 600, kernel)
    assert shapes(pieces) == "576@0+ 424@576"
    assert result.icmp is None


@BOTH
def test_df_on_a_datagram_whose_fragments_were_larger_than_the_mtu(kernel: KernelProfile) -> None:
    """Reassembled by connection tracking from DF fragments of 1500, sent out by a link of 1400."""
    whole = queue(ip(data(3480), df=True), 1480, 520, head=1480, frag_max_size=1500, ignore_df=True)
    pieces, result = fragmented(whole, 1400, kernel)
    assert pieces == []
    assert (result.mibs, result.icmp) == ((Mib.FRAG_FAILS,), (3, 4, 1400, whole))


@BOTH
def test_without_df_frag_max_size_only_lowers_the_mtu(kernel: KernelProfile) -> None:
    pieces, _ = fragmented(skb(ip(data(1000)), frag_max_size=500), 600, kernel)
    assert shapes(pieces) == "480@0+ 480@480+ 40@960"
    pieces, _ = fragmented(skb(ip(data(1000)), frag_max_size=700), 600, kernel)
    assert shapes(pieces) == "576@0+ 424@576"


@BOTH
def test_frag_pmtu_sets_df_on_every_slow_fragment(kernel: KernelProfile) -> None:
    whole = skb(ip(data(1000), df=True), frag_max_size=600, ignore_df=True, pmtu=True)
    pieces, _ = fragmented(whole, 600, kernel)
    assert shapes(pieces) == "576@0+! 424@576!"


@BOTH
def test_refragmenting_takes_the_fragments_as_they_came(kernel: KernelProfile) -> None:
    whole = queue(ip(data(3480)), 1480, 520, head=1480, frag_max_size=1500)
    pieces, result = fragmented(whole, 1500, kernel)
    assert shapes(pieces) == "1480@0+ 1480@1480+ 520@2960"
    assert (result.path, result.refusal) == (FragPath.FAST, None)


def test_which_whole_datagrams_are_forced() -> None:
    """A reassembled datagram that fits: 6.18 cuts it again, 4.14 only where its largest fragment had DF."""
    reassembled = skb(ip(data(3480)), frag_max_size=1500)
    assert must_fragment(reassembled, 9000, LINUX_6_18)
    assert not must_fragment(reassembled, 9000, LINUX_4_14)
    probing = skb(ip(data(3480), df=True), frag_max_size=1500, pmtu=True)
    assert must_fragment(probing, 9000, LINUX_6_18)
    assert must_fragment(probing, 9000, LINUX_4_14)
    pieces, _ = fragmented(reassembled, 9000, LINUX_6_18)
    assert shapes(pieces) == "1480@0+ 1480@1480+ 520@2960"


@pytest.mark.parametrize(
    ("kernel", "later"), [(LINUX_4_14, RR + b"\0"), (LINUX_6_18, BLANKED_RR)], ids=["4.14", "6.18"]
)
def test_u1_options_on_the_fast_path(kernel: KernelProfile, later: bytes) -> None:
    whole = queue(ip(data(3008), options=RR), 1464, 80, head=1464)
    pieces, result = fragmented(whole, 1500, kernel)
    assert shapes(pieces) == "1464@0+ 1464@1464+ 80@2928"
    assert [options(piece) for piece in pieces] == [RR + b"\0", later, later]
    assert all(is_sound(piece) for piece in pieces)
    assert result.path is FragPath.FAST


@BOTH
def test_u2_a_source_route_goes_into_every_fragment(kernel: KernelProfile) -> None:
    whole = queue(ip(data(3008), options=LSRR), 1472, 64, head=1472)
    pieces, _ = fragmented(whole, 1500, kernel)
    assert shapes(pieces) == "1472@0+ 1472@1472+ 64@2944"
    assert {options(piece) for piece in pieces} == {LSRR}


@BOTH
def test_no_flag_of_the_datagram_survives_the_fast_path(kernel: KernelProfile) -> None:
    whole = queue(ip(data(1500), df=True, reserved=True), 20, head=1480, ignore_df=True)
    whole.cb.flags = IpSkbFlag.FRAG_PMTU
    pieces, _ = fragmented(whole, 1500, kernel)
    assert shapes(pieces) == "1480@0+ 20@1480"
    assert not any(piece[6] & 0x80 for piece in pieces)


def crowded(whole: SkBuff, head: Buffer | None = None, piece: Buffer | None = None) -> SkBuff:
    whole.buffer = head
    whole.frag_list[0].buffer = piece
    return whole


PLAIN = ip(data(3000))
REFUSALS = [
    (queue(PLAIN, 1400, head=1600), FastRefusal.HEAD_TOO_LONG),
    (queue(PLAIN, 1477, 46, head=1477), FastRefusal.HEAD_ODD),
    (queue(ip(data(3000), mf=True), 1480, 40, head=1480), FastRefusal.IS_FRAGMENT),
    (queue(ip(data(3000), offset=8), 1480, 40, head=1480), FastRefusal.IS_FRAGMENT),
    (crowded(queue(PLAIN, 1480, 40, head=1480), head=Buffer(16, cloned=True)), FastRefusal.HEAD_CLONED),
    (crowded(queue(PLAIN, 1480, 40, head=1480), head=Buffer(15)), FastRefusal.HEAD_HEADROOM),
    (queue(PLAIN, 1496, 24, head=1480), FastRefusal.PIECE_TOO_LONG),
    (queue(PLAIN, 1000, 520, head=1480), None),
    (queue(PLAIN, 1001, 519, head=1480), FastRefusal.PIECE_ODD),
    (crowded(queue(PLAIN, 1480, 40, head=1480), piece=Buffer(35)), FastRefusal.PIECE_HEADROOM),
    (crowded(queue(PLAIN, 1480, 40, head=1480), piece=Buffer(36, shared=True)), FastRefusal.PIECE_SHARED),
    (crowded(queue(PLAIN, 1480, 40, head=1480), head=Buffer(16), piece=Buffer(36)), None),
]


@BOTH
@pytest.mark.parametrize(("whole", "refusal"), REFUSALS, ids=lambda value: getattr(value, "value", ""))
def test_what_rejects_the_fast_path(whole: SkBuff, refusal: FastRefusal | None, kernel: KernelProfile) -> None:
    pieces, result = fragmented(whole, 1500, kernel)
    assert result.refusal is refusal
    assert result.path is (FragPath.SLOW if refusal else FragPath.FAST)
    assert b"".join(payload(piece) for piece in pieces) == data(3000)
    if refusal:
        assert [len(payload(piece)) for piece in pieces] == [1480, 1480, 40]


@pytest.mark.parametrize("fails_at", [0, 1, 2])
@pytest.mark.parametrize("whole", [skb(PLAIN), queue(PLAIN, 1480, 40, head=1480)], ids=["slow", "fast"])
def test_the_first_refused_fragment_ends_the_work(whole: SkBuff, fails_at: int) -> None:
    taken: list[bytes] = []

    def output(fragment: bytes) -> int:
        if len(taken) == fails_at:
            return ENOBUFS
        taken.append(fragment)
        return 0

    result = ip_fragment(whole, 1500, LINUX_4_14, output)
    assert len(taken) == fails_at
    assert result.errno == ENOBUFS
    assert result.mibs == (Mib.FRAG_CREATES,) * fails_at + (Mib.FRAG_FAILS,)


@BOTH
@pytest.mark.parametrize("frag_max_size", [1, 20, 27])
def test_no_room_for_eight_bytes_fails(frag_max_size: int, kernel: KernelProfile) -> None:
    pieces, result = fragmented(skb(ip(data(1000)), frag_max_size=frag_max_size), 600, kernel)
    assert pieces == []
    assert (result.errno, result.mibs, result.icmp) == (EMSGSIZE, (Mib.FRAG_FAILS,), None)


@BOTH
def test_room_for_eight_bytes_is_enough(kernel: KernelProfile) -> None:
    pieces, _ = fragmented(skb(ip(data(20)), frag_max_size=28), 600, kernel)
    assert shapes(pieces) == "8@0+ 8@8+ 4@16"


def test_a_piece_smaller_than_the_room_only_the_later_kernel_refuses() -> None:
    """Five bytes of data, room for five: 4.14 does not look, 6.18 wants room for eight."""
    whole = skb(ip(data(5)), frag_max_size=25, pmtu=True)
    pieces, result = fragmented(whole, 600, LINUX_4_14)
    assert (shapes(pieces), result.errno) == ("5@0!", 0)
    pieces, result = fragmented(whole, 600, LINUX_6_18)
    assert (pieces, result.errno) == ([], EMSGSIZE)


def test_a_datagram_that_fits_is_one_fragment_when_it_is_forced() -> None:
    pieces, result = fragmented(skb(ip(data(100), reserved=True), frag_max_size=500), 600, LINUX_6_18)
    assert (shapes(pieces), result.created) == ("100@0", 1)
    assert pieces[0][6:8] == b"\0\0"


def test_without_data_there_is_nothing_to_send() -> None:
    pieces, result = fragmented(skb(ip()), 600)
    assert (pieces, result.mibs) == ([], (Mib.FRAG_OKS,))


def test_options_that_nobody_compiled_stay() -> None:
    whole = skb(ip(data(1000), options=RR))
    whole.cb.options = IpOptions()
    pieces, _ = fragmented(whole, 600)
    assert {options(piece) for piece in pieces} == {RR + b"\0"}


def test_a_datagram_that_the_capture_cut_short_gives_fragments_cut_short() -> None:
    whole = skb(ip(data(1000))[:700])
    whole.on_wire = 1020
    pieces, _ = fragmented(whole, 600)
    assert [len(payload(piece)) for piece in pieces] == [576, 104]
    assert [piece[2:4] for piece in pieces] == [(596).to_bytes(2, "big"), (444).to_bytes(2, "big")]


def test_a_fragment_takes_over_what_the_datagram_is() -> None:
    whole = skb(PLAIN, frag_max_size=1500, pmtu=True)
    fragment = ip_copy_metadata(b"fragment", whole)
    assert fragment == SkBuff(
        b"fragment",
        "eth1",
        PacketType.HOST,
        5,
        cb=IpControlBlock(flags=IpSkbFlag.FRAG_PMTU | IpSkbFlag.FRAG_COMPLETE, iif="eth0"),
        mark=9,
    )


def test_shape_reads_as_tcpdump_writes() -> None:
    assert shape(ip(b"x" * 24, offset=8, mf=True)) == "24@8+"
