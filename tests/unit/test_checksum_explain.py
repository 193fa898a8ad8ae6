"""How a sum is shown, step by step."""

from __future__ import annotations

from ipkit.core.checksum_explain import IP_WORDS, explain
from ipkit.core.checksum_rules import Coverage, PseudoHeader

HEADER = bytes.fromhex("45000073000040004011b861c0a80001c0a800c7")


def shown(coverage: Coverage, names: tuple[str, ...] = ()) -> list[str]:
    keys = ("step", "at", "what", "carry", "word", "sum")
    return [" ".join(str(row[key]) for key in keys if key in row) for row in explain(coverage, names)]


def test_the_textbook_header() -> None:
    assert shown(Coverage(HEADER, 10), IP_WORDS) == [
        "add 0 version, ihl, tos 0x4500 0x4500",
        "add 2 tot_len 0x0073 0x4573",
        "add 4 id 0x0000 0x4573",
        "add 6 frag_off 0x4000 0x8573",
        "add 8 ttl, protocol 0x4011 0xc584",
        "add 10 check, taken as zero 0x0000 0xc584",
        "add 12 saddr 0xc0a8 0x1862c",
        "add 14 saddr 0x0001 0x1862d",
        "add 16 daddr 0xc0a8 0x246d5",
        "add 18 daddr 0x00c7 0x2479c",
        "fold 0x0002 0x479c 0x479e",
        "complement 0xb861",
    ]


def test_a_pseudo_header_stands_first_and_an_odd_byte_is_padded() -> None:
    udp = bytes.fromhex("04000035 0009 ffff 61")
    coverage = Coverage(udp, 6, PseudoHeader(0xC0000201, 0xC6336402, 17, 9), 0xFFFF)
    assert shown(coverage) == [
        "add pseudo header: saddr 0xc000 0xc000",
        "add pseudo header: saddr 0x0201 0xc201",
        "add pseudo header: daddr 0xc633 0x18834",
        "add pseudo header: daddr 0x6402 0x1ec36",
        "add pseudo header: protocol 0x0011 0x1ec47",
        "add pseudo header: length 0x0009 0x1ec50",
        "add 0 0x0400 0x1f050",
        "add 2 0x0035 0x1f085",
        "add 4 0x0009 0x1f08e",
        "add 6 check, taken as zero 0x0000 0x1f08e",
        "add 8 last byte, padded with zero 0x6100 0x2518e",
        "fold 0x0002 0x518e 0x5190",
        "complement 0xae6f",
    ]
    assert coverage.computed == 0xAE6F


def test_two_folds_and_a_udp_sum_of_zero() -> None:
    coverage = Coverage(bytes.fromhex("ffff ffff 0001 fffe 0000"), 8, None, 0xFFFF)
    assert shown(coverage)[-3:] == [
        "fold 0x0002 0xfffd 0xffff",
        "complement 0x0000",
        "zero zero would mean no checksum 0xffff",
    ]
    twice = Coverage(bytes.fromhex("ffff ffff 0001 0000"), 6)
    assert shown(twice)[-3:] == ["fold 0x0001 0xffff 0x10000", "fold 0x0001 0x0000 0x0001", "complement 0xfffe"]
