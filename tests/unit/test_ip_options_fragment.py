"""ip_options_fragment and the option table it reads: what later fragments carry."""

from __future__ import annotations

import pytest

from ipkit.core.ip_options import ip_options_fragment
from ipkit.core.wire.options import options_in

CASES = [
    ("nothing", "", ""),
    ("record route", "07 0b 04 0000000000000000 00", "01 01 01 0101010101010101 00"),
    ("timestamp", "44 08 05 00 00000000", "01 01 01 01 01010101"),
    ("security stays", "82 04 aa bb", "82 04 aa bb"),
    ("loose source route stays", "83 07 04 0a000001 00", "83 07 04 0a000001 00"),
    ("CIPSO stays", "86 04 aa bb", "86 04 aa bb"),
    ("stream id stays", "88 04 12 34", "88 04 12 34"),
    ("strict source route stays", "89 07 04 0a000001 01", "89 07 04 0a000001 01"),
    ("router alert stays", "94 04 00 00", "94 04 00 00"),
    ("unknown without the copied bit", "19 04 aa bb", "01 01 01 01"),
    ("unknown with the copied bit", "9e 04 aa bb", "9e 04 aa bb"),
    ("no-operations between", "01 19 03 aa 01 94 04 0000 1e 02 01", "01 01 01 01 01 94 04 0000 01 01 01"),
    ("what follows the end stays", "00 07 03 04", "00 07 03 04"),
    ("the end after an option", "1e 02 00 07", "01 01 00 07"),
    ("a length of one ends the walk", "1e 02 07 01 1e 02 00 00", "01 01 07 01 1e 02 00 00"),
    ("a length of zero ends the walk", "07 00 1e 02", "07 00 1e 02"),
    ("a length past the header ends the walk", "1e 02 07 03", "01 01 07 03"),
    ("a number in the last byte ends the walk", "1e 02 01 07", "01 01 01 07"),
    ("a length that fills the header", "07 04 00 00", "01 01 01 01"),
]


@pytest.mark.parametrize(("given", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_what_later_fragments_carry(given: str, expected: str) -> None:
    fixed = bytes(range(100, 120))
    options = bytes.fromhex(given)
    assert ip_options_fragment(fixed + options, len(options)) == fixed + bytes.fromhex(expected)


def test_only_the_options_that_are_known_are_walked() -> None:
    header = bytes(20) + bytes.fromhex("1e02 1e02")
    assert ip_options_fragment(header, 2) == bytes(20) + bytes.fromhex("0101 1e02")
    assert ip_options_fragment(header, 0) == header


def test_options_are_told_with_their_place_and_length() -> None:
    found = list(options_in(bytes.fromhex("01 070b040000000000000000 94040000 00 0703")))
    assert found == [(1, 7, 11), (12, 148, 4)]
