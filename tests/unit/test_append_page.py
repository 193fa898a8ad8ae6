"""ip_append_page: pages of a file on the queue that a send call began, buffer by buffer."""

from __future__ import annotations

from errno import EINVAL, EMSGSIZE, EOPNOTSUPP

import pytest

from ipkit.core.append_data import Cork, CsumMode, Device, SendFlag, WriteMemory, ip_append_data
from ipkit.core.append_page import Page, ip_append_page


def begun(cork: Cork, size: int) -> WriteMemory:
    memory = WriteMemory()
    assert ip_append_data(cork, memory, b"\x01" * size, 8, SendFlag.MORE) == 0
    return memory


def layout(cork: Cork) -> list[tuple[int, int, int]]:
    """Length, linear part and number of page fragments of each buffer."""
    return [(skb.length, len(skb.linear), len(skb.frags)) for skb in cork.queue]


def test_a_file_between_two_pieces() -> None:
    """Ten bytes, a page of four thousand, one byte: the wire sees 1480, 1480 and 1059."""
    cork = Cork(1500)
    memory = begun(cork, 10)
    assert ip_append_page(cork, memory, Page(7, 0, b"\x02" * 4000), SendFlag.MORE) == 0
    assert ip_append_data(cork, memory, b"\x03", 8, SendFlag.NONE) == 0
    assert layout(cork) == [(1500, 38, 1), (1500, 20, 1), (1079, 20, 2)]
    assert b"".join(skb.contents(20) for skb in cork.queue) == bytes(8) + b"\x01" * 10 + b"\x02" * 4000 + b"\x03"
    assert cork.length == 4019


def test_the_bytes_that_stick_out_move_on() -> None:
    cork = Cork(1006)
    memory = begun(cork, 978)
    assert ip_append_page(cork, memory, Page(1, 0, bytes(100)), SendFlag.NONE) == 0
    assert [(skb.length, skb.gap, skb.trimmed_from) for skb in cork.queue] == [(1004, 0, 1006), (122, 2, 0)]


def test_a_page_that_goes_on_makes_one_fragment() -> None:
    cork = Cork(1500)
    memory = begun(cork, 0)
    for offset in (0, 100, 200):
        assert ip_append_page(cork, memory, Page(1, offset, bytes(100)), SendFlag.MORE) == 0
    assert layout(cork) == [(328, 28, 1)]
    assert ip_append_page(cork, memory, Page(1, 301, bytes(100)), SendFlag.MORE) == 0
    assert layout(cork) == [(428, 28, 2)]


def test_the_eighteenth_page_is_one_too_many() -> None:
    cork = Cork(1500)
    memory = begun(cork, 0)
    for page in range(17):
        assert ip_append_page(cork, memory, Page(page, 0, b"x"), SendFlag.MORE) == 0
    assert ip_append_page(cork, memory, Page(17, 0, b"xyz"), SendFlag.MORE) == EMSGSIZE
    assert (cork.length, cork.discards, layout(cork)) == (25, 1, [(45, 28, 17)])


@pytest.mark.parametrize(
    ("cork", "first", "size", "error"),
    [
        (Cork(1500), None, 1, EINVAL),
        (Cork(1500, device=Device(scatter_gather=False)), 1, 1, EOPNOTSUPP),
        (Cork(1500), 65000, 507, 0),
        (Cork(1500), 65000, 508, EMSGSIZE),
        (Cork(1500, ignore_df=False), 1000, 472, 0),
        (Cork(1500, ignore_df=False), 1000, 473, EMSGSIZE),
    ],
    ids=["nothing begun", "no gathering", "fits", "past 65535", "fits the MTU", "past the MTU"],
)
def test_what_is_refused(cork: Cork, first: int | None, size: int, error: int) -> None:
    memory = WriteMemory() if first is None else begun(cork, first)
    length = cork.length
    assert ip_append_page(cork, memory, Page(1, 0, bytes(size)), SendFlag.NONE) == error
    assert cork.length == length + (0 if error else size)
    assert cork.discards == 0


def test_a_probe_changes_nothing() -> None:
    cork = Cork(1500)
    assert ip_append_page(cork, begun(cork, 1), Page(1, 0, b"x"), SendFlag.PROBE) == 0
    assert cork.length == 9


def test_every_buffer_is_summed_and_charged() -> None:
    cork = Cork(1500)
    memory = begun(cork, 3)
    assert ip_append_page(cork, memory, Page(1, 0, b"\x12\x34" * 2), SendFlag.NONE) == 0
    (skb,) = cork.queue
    assert skb.csum_mode is CsumMode.NONE
    # 0x0101 + 0x01 at an odd place, then the page: 01 12 | 34 12 | 34 00
    assert skb.csum == 0x0101 + 0x0112 + 0x3412 + 0x3400
    assert memory.allocated == 1 + skb.truesize
