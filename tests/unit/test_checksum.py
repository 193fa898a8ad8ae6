"""The Internet checksum and its incremental updates, against literals of RFCs and every carry corner."""

from __future__ import annotations

import pytest

from ipkit.core.wire.checksum import (
    RawSum,
    csum_fold,
    csum_partial,
    csum_replace2,
    csum_replace4,
    ip_decrease_ttl,
    ip_fast_csum,
    pseudo_header_sum,
    with_header_checksum,
)

HEADER = bytes.fromhex("450000730000400040110000c0a80001c0a800c7")
SUMMED = bytes.fromhex("45000073000040004011b861c0a80001c0a800c7")


@pytest.mark.parametrize(
    ("data", "total"),
    [
        ("", 0),
        ("00", 0),
        ("000000000000", 0),
        ("0001f203f4f5f6f7", 0xDDF2),  # the example of RFC 1071
        ("0001", 1),
        ("01", 0x0100),
        ("ff", 0xFF00),
        ("ffff", 0xFFFF),
        ("ffffffff", 0xFFFF),
        ("ffff0000", 0xFFFF),
        ("ffff0001", 1),
        ("fffe0001", 0xFFFF),
        ("800080000001", 2),
        ("ff00ff", 0xFE01),
    ],
)
def test_the_sum_of_words(data: str, total: int) -> None:
    assert csum_partial(bytes.fromhex(data)) == total


@pytest.mark.parametrize(
    ("total", "checksum"),
    [
        (0, 0xFFFF),
        (1, 0xFFFE),
        (0xFFFF, 0),
        (0x10000, 0xFFFE),
        (0x1FFFE, 0),
        (0x2479C, 0xB861),
        (0xFFFFFFFF, 0),
        (0xFFFF0001, 0xFFFE),
        (0xFFFF_FFFF_FFFF_FFFF, 0),
    ],
)
def test_folding_to_sixteen_bits(total: int, checksum: int) -> None:
    assert csum_fold(total) == checksum


def test_a_header_is_made_right_and_verifies() -> None:
    assert ip_fast_csum(HEADER) == 0xB861
    assert with_header_checksum(HEADER) == SUMMED
    assert with_header_checksum(SUMMED) == SUMMED
    assert ip_fast_csum(SUMMED) == 0


def test_a_header_with_options_is_summed_whole() -> None:
    # 4600 + 0018 + 0001 + 4001 + 7f00 + 0001 + 7f00 + 0001 + 9404 = 2.1820, folded 1822
    header = bytes.fromhex("4600001800010000400100007f0000017f00000194040000")
    assert with_header_checksum(header)[10:12] == bytes.fromhex("e7dd")


def test_both_zeros_verify_where_one_does() -> None:
    # 4500 + 0014 + 7ada + 4011 = ffff
    zero = bytes.fromhex("450000147ada0000401100000000000000000000")
    other_zero = bytes.fromhex("450000147ada00004011ffff0000000000000000")
    assert with_header_checksum(other_zero) == zero
    assert ip_fast_csum(zero) == 0
    assert ip_fast_csum(other_zero) == 0


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (0x0000, 0x0100),
        (0xFE00, 0xFF00),  # below 0xFFFF: no carry
        (0xFDFF, 0xFEFF),
        (0xFEFE, 0xFFFE),
        (0xFEFF, 0x0000),  # exactly 0xFFFF becomes zero, never 0xFFFF
        (0xFF00, 0x0001),
        (0xFFFE, 0x00FF),
        (0xFFFF, 0x0100),  # the other zero is healed
    ],
)
def test_one_hop_in_every_carry_corner(before: int, after: int) -> None:
    assert ip_decrease_ttl(before) == after


@pytest.mark.parametrize(
    ("checksum", "old", "new", "after"),
    [
        (0xDD2F, 0x5555, 0x3285, 0x0000),  # RFC 1624, where the older equation gives 0xFFFF
        (0xB861, 0x4011, 0x3F11, 0xB961),
        (0x0000, 0x0000, 0x0000, 0x0000),
        (0xFFFF, 0x0000, 0x0000, 0x0000),
        (0xFFFF, 0xFFFF, 0x0000, 0xFFFF),  # a sum of nothing but zeros
        (0x1234, 0xABCD, 0xABCD, 0x1234),
        (0x0000, 0x0000, 0xFFFF, 0x0000),
        (0x0001, 0x0000, 0x0001, 0x0000),
        (0x0000, 0x0000, 0x0001, 0xFFFE),
    ],
)
def test_one_word_replaced(checksum: int, old: int, new: int, after: int) -> None:
    assert csum_replace2(checksum, old, new) == after


@pytest.mark.parametrize(
    ("checksum", "old", "new", "after"),
    [
        (0xB861, 0xC0A80001, 0xC0A80002, 0xB860),
        (0xB861, 0xC0A80001, 0x0A000001, 0x6F0A),
        (0xDD2F, 0x00005555, 0x00003285, 0x0000),
        (0xDD2F, 0x55550000, 0x32850000, 0x0000),
        (0x0000, 0xFFFFFFFF, 0xFFFFFFFF, 0x0000),
        (0xFFFF, 0xFFFFFFFF, 0x00000000, 0xFFFF),
    ],
)
def test_one_address_replaced(checksum: int, old: int, new: int, after: int) -> None:
    assert csum_replace4(checksum, old, new) == after


def test_the_pseudo_header_of_a_udp_datagram() -> None:
    # 192.0.2.1 -> 198.51.100.2, UDP, 12 bytes: c000 + 0201 + c633 + 6402 + 0011 + 000c
    assert pseudo_header_sum(0xC0000201, 0xC6336402, 17, 12) == 0xC000 + 0x0201 + 0xC633 + 0x6402 + 0x11 + 0x0C


@pytest.mark.parametrize(
    ("pieces", "checksum"),
    [
        ([], 0xFFFF),
        (["0000", "00"], 0xFFFF),
        (["0001f203f4f5f6f7"], 0x220D),
        (["00", "01f203", "", "f4", "f5f6f7"], 0x220D),
        (["0001f203f4f5f6f7", "220d"], 0),
        (["0001f203f4f5f6f7", "22", "0d"], 0),
        (["ffff"], 0),
        (["ff", "ff", "ff"], 0x00FF),
    ],
)
def test_a_stream_is_summed_wherever_it_is_cut(pieces: list[str], checksum: int) -> None:
    stream = RawSum()
    for piece in pieces:
        stream.add(bytes.fromhex(piece))
    assert stream.value() == checksum
