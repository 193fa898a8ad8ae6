"""ip_append_data: the queue of buffers, number by number, as the documented arithmetic makes it."""

from __future__ import annotations

from errno import EAGAIN, EMSGSIZE, ENOBUFS, EPIPE
from typing import NamedTuple

import pytest

from ipkit.core.append_data import (
    Cork,
    CsumMode,
    Device,
    QueuedSkb,
    SendFlag,
    Shutdown,
    WriteMemory,
    ip_append_data,
    ip_flush_pending_frames,
)
from ipkit.core.host.kernel import PagedSplit


class Skb(NamedTuple):
    """Length, linear part, page part, bytes taken over, length before it was cut back (0: never)."""

    length: int
    linear: int
    paged: int = 0
    gap: int = 0
    trimmed_from: int = 0


class Case(NamedTuple):
    name: str
    mtu: int
    optlen: int
    transport: int
    pieces: tuple[int, ...]
    queue: tuple[Skb, ...]


def whole(*lengths: int) -> tuple[Skb, ...]:
    return tuple(Skb(length, length) for length in lengths)


CASES = (
    Case("1 fits", 1500, 0, 8, (1472,), whole(1500)),
    Case("2 one byte more", 1500, 0, 8, (1473,), whole(1500, 21)),
    Case("3 three buffers", 1500, 0, 8, (4000,), whole(1500, 1500, 1068)),
    Case("4 room of minus two", 1006, 0, 8, (978, 1), (Skb(1004, 1004, 0, 0, 1006), Skb(23, 23, 0, 2))),
    Case("5 a gap of one", 1006, 0, 8, (977, 10), (Skb(1004, 1004, 0, 0, 1005), Skb(31, 31, 0, 1))),
    Case("6 a gap, then more", 1006, 0, 8, (978, 2000),
         (Skb(1004, 1004, 0, 0, 1006), Skb(1004, 1004, 0, 2), *whole(1004, 54))),
    Case("7 the last may reach the MTU", 1006, 0, 8, (978, 983, 1),
         (Skb(1004, 1004, 0, 0, 1006), Skb(1006, 1005, 1, 2))),
    Case("8 the trim takes page bytes", 1006, 0, 8, (970, 7, 1, 1), (Skb(1004, 998, 6, 0, 1006), Skb(23, 23, 0, 2))),
    Case("9 one coalesced page fragment", 1500, 0, 8, (100, 200, 50), (Skb(378, 128, 250),)),
    Case("10 pages in the middle", 576, 0, 8, (600, 600, 600),
         (Skb(572, 572), Skb(572, 76, 496), Skb(572, 124, 448), Skb(172, 172))),
    Case("11 two gaps", 576, 0, 8, (548, 1, 551, 2),
         (Skb(572, 572, 0, 0, 576), Skb(572, 25, 547, 4, 576), Skb(26, 26, 0, 4))),
    Case("12 the largest gap", 1499, 0, 8, (1471, 1, 1), (Skb(1492, 1492, 0, 0, 1499), Skb(29, 28, 1, 7))),
    Case("13 twelve bytes of options", 1500, 12, 8, (3000,), whole(1496, 1496, 112)),
    Case("14 forty bytes of options", 1500, 40, 8, (4000,), whole(1500, 1500, 1188)),
    Case("15 a gap of four behind options", 1280, 8, 8, (1244, 1244),
         (Skb(1276, 1276, 0, 0, 1280), Skb(1276, 1276, 0, 4))),
    Case("16 no gap is possible", 604, 0, 8, (576, 584, 1), whole(604, 604, 21)),
    Case("17 eight bytes at a time", 68, 40, 8, (30,), whole(68, 68, 68, 68, 66)),
    Case("18 raw", 1500, 0, 0, (3000,), whole(1500, 1500, 60)),
    Case("19 the largest UDP datagram", 1500, 0, 8, (65507,), (*whole(*[1500] * 44), Skb(415, 415))),
    Case("21 nothing twice", 1500, 0, 8, (0, 0), whole(28)),
    Case("a raw send of nothing", 1500, 0, 0, (0,), whole(20)),
)  # fmt: skip


def pushed(case: Case, device: Device) -> tuple[Cork, WriteMemory]:
    cork, memory = Cork(case.mtu, case.optlen, device=device), WriteMemory()
    for i, size in enumerate(case.pieces):
        more = SendFlag.MORE if i < len(case.pieces) - 1 else SendFlag.NONE
        assert ip_append_data(cork, memory, bytes([i + 1]) * size, case.transport, more) == 0
    return cork, memory


def seen(skb: QueuedSkb) -> Skb:
    return Skb(skb.length, len(skb.linear), skb.paged, skb.gap, skb.trimmed_from)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_queue_of_a_gathering_device(case: Case) -> None:
    cork, _ = pushed(case, Device())
    assert tuple(seen(skb) for skb in cork.queue) == case.queue


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_without_gathering_everything_is_linear(case: Case) -> None:
    cork, _ = pushed(case, Device(scatter_gather=False))
    assert [skb.length for skb in cork.queue] == [skb.length for skb in case.queue]
    assert sum(skb.paged for skb in cork.queue) == 0


@pytest.mark.parametrize("device", [Device(), Device(scatter_gather=False)], ids=["sg", "no sg"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_bytes_come_out_in_the_order_they_went_in(case: Case, device: Device) -> None:
    cork, _ = pushed(case, device)
    head = 20 + case.optlen
    payload = b"".join(skb.contents()[head:] for skb in cork.queue)
    assert payload == bytes(case.transport) + b"".join(bytes([i + 1]) * size for i, size in enumerate(case.pieces))


def ones_complement_sum(data: bytes) -> int:
    """RFC 1071, word by word."""
    total = sum(int.from_bytes(data[i : i + 2].ljust(2, b"\0"), "big") for i in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_sums_made_while_copying_are_those_of_the_payload(case: Case) -> None:
    cork, _ = pushed(case, Device(checksums=False))
    for skb in cork.queue:
        assert skb.csum % 0xFFFF == ones_complement_sum(skb.contents()[20 + case.optlen :]) % 0xFFFF


@pytest.mark.parametrize(
    ("size", "device", "flags", "mode"),
    [
        (1472, Device(), SendFlag.NONE, CsumMode.PARTIAL),
        (1473, Device(), SendFlag.NONE, CsumMode.NONE),
        (1472, Device(), SendFlag.MORE, CsumMode.NONE),
        (1472, Device(checksums=False), SendFlag.NONE, CsumMode.NONE),
    ],
)
def test_who_sums_the_first_buffer(size: int, device: Device, flags: SendFlag, mode: CsumMode) -> None:
    cork = Cork(1500, device=device)
    assert ip_append_data(cork, WriteMemory(), bytes(size), 8, flags) == 0
    assert cork.queue[0].csum_mode is mode


def test_past_the_largest_datagram_nothing_changes() -> None:
    cork, memory = Cork(1500), WriteMemory()
    assert ip_append_data(cork, memory, bytes(65000), 8, SendFlag.MORE) == 0
    before = (cork.length, len(cork.queue), memory.allocated)
    assert ip_append_data(cork, memory, bytes(508), 8, SendFlag.MORE) == EMSGSIZE
    assert (cork.length, len(cork.queue), memory.allocated) == before


@pytest.mark.parametrize(("size", "error"), [(1472, 0), (1473, EMSGSIZE)])
def test_with_df_the_mtu_is_the_limit(size: int, error: int) -> None:
    assert ip_append_data(Cork(1500, ignore_df=False), WriteMemory(), bytes(size), 8, SendFlag.NONE) == error


@pytest.mark.parametrize(("size", "error", "charged"), [(5912, 0, 9216), (5913, ENOBUFS, 9216)])
def test_the_smallest_send_buffer(size: int, error: int, charged: int) -> None:
    memory = WriteMemory(sndbuf=4608)
    cork = Cork(1500)
    assert ip_append_data(cork, memory, bytes(size), 8, SendFlag.NONE) == error
    assert memory.allocated == 1 + charged
    assert cork.length == min(size, 5912) + 8
    ip_flush_pending_frames(cork, memory)
    assert (memory.allocated, cork.length, cork.queue) == (1, 0, [])


def test_a_full_socket_may_not_wait() -> None:
    memory = WriteMemory(sndbuf=4608, allocated=4609)
    assert ip_append_data(Cork(1500), memory, b"x", 8, SendFlag.DONTWAIT) == EAGAIN


def test_a_socket_shut_down_sends_nothing() -> None:
    assert ip_append_data(Cork(1500), WriteMemory(shutdown=Shutdown.SEND), b"x", 8, SendFlag.NONE) == EPIPE


def test_a_probe_leaves_the_queue_alone() -> None:
    cork = Cork(1500)
    assert ip_append_data(cork, WriteMemory(), b"x", 8, SendFlag.PROBE) == 0
    assert cork.queue == []


def test_the_fragments_of_one_buffer_are_numbered() -> None:
    """A page ends after 32 KiB: with segmentation offload a buffer collects pages, seventeen at most."""
    cork, memory = Cork(1500, gso_size=1000), WriteMemory(sndbuf=1 << 20)
    assert ip_append_data(cork, memory, bytes(60000), 8, SendFlag.MORE) == 0
    assert [skb.length for skb in cork.queue] == [60028]
    assert [len(frag.data) for frag in cork.queue[0].frags] == [32768, 27232]


@pytest.mark.parametrize(
    ("device", "size", "linear", "frags"),
    [(Device(), 1400, 28, [1400]), (Device(checksums=False), 1400, 1428, []), (Device(), 3000, 1500, [])],
)
def test_zero_copy_needs_a_card_that_sums_and_one_buffer(
    device: Device, size: int, linear: int, frags: list[int]
) -> None:
    cork = Cork(1500, device=device)
    assert ip_append_data(cork, WriteMemory(), bytes(size), 8, SendFlag.ZEROCOPY) == 0
    assert len(cork.queue[0].linear) == linear
    assert [len(frag.data) for frag in cork.queue[0].frags] == frags


def test_pages_of_the_program_are_not_joined() -> None:
    cork = Cork(9000)
    assert ip_append_data(cork, WriteMemory(), bytes(8900), 8, SendFlag.ZEROCOPY) == 0
    assert [len(frag.data) for frag in cork.queue[0].frags] == [4096, 4096, 708]


def test_an_older_kernel_keeps_more_in_one_piece() -> None:
    cork = Cork(1500, gso_size=1000, paged_split=PagedSplit.MAX_HEADER)
    assert ip_append_data(cork, WriteMemory(), bytes(3000), 8, SendFlag.NONE) == 0
    assert (cork.queue[0].length, len(cork.queue[0].linear)) == (3028, 320)
