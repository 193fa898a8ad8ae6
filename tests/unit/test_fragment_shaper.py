"""The test-input maker: what leaves in place of a datagram's fragments."""

from __future__ import annotations

import pytest

from ipkit.core.fragment import ip_fragment
from ipkit.core.fragment_shaper import Choice, Order, Shape, Which, parse_choice, parse_overlap, shaped
from ipkit.core.host.kernel import LINUX_4_14
from ipkit.core.skbuff import IpControlBlock, IpOptions, PacketType, SkBuff
from tests.support.cut import is_sound, options, payload, reassembled, shapes
from tests.support.packets import ip

LETTERS = "".join(letter * 8 for letter in "abcdefghijklmnopqrstuvwxyz")


def fragments(size: int, *, step: int = 8, offset: int = 0, mf: bool = False, options: bytes = b"") -> list[bytes]:
    datagram = ip(LETTERS[:size].encode(), offset=offset, mf=mf, options=options)
    header = datagram[0] % 16 * 4
    pieces: list[bytes] = []
    cb = IpControlBlock(options=IpOptions(optlen=header - 20))
    ip_fragment(SkBuff(datagram, "", PacketType.HOST, 0, cb=cb), header + step, LINUX_4_14, pieces.append)
    return pieces


def told(pieces: list[bytes]) -> list[str]:
    """Return the payloads as letters, one for eight bytes, with ? for what is not the datagram's own."""
    texts = []
    for piece in pieces:
        data = payload(piece)
        eights = [data[at : at + 8] for at in range(0, len(data), 8)]
        texts.append("".join(chr(e[0]) if e == e[:1] * len(e) and chr(e[0]).islower() else "?" for e in eights))
    return texts


def test_a_plain_shape_changes_nothing() -> None:
    assert shaped(fragments(40), Shape(), 1) == fragments(40)


def test_the_last_comes_first() -> None:
    out = shaped(fragments(24), Shape(order=Order.REVERSE), 1)
    assert shapes(out) == "8@16 8@8+ 8@0+"


def test_random_order_is_the_seeds_and_the_frames() -> None:
    first = shaped(fragments(160), Shape(order=Order.RANDOM, seed=1), 1)
    assert first == shaped(fragments(160), Shape(order=Order.RANDOM, seed=1), 1)
    assert first != shaped(fragments(160), Shape(order=Order.RANDOM, seed=2), 1)
    assert first != shaped(fragments(160), Shape(order=Order.RANDOM, seed=1), 2)
    assert sorted(first) == sorted(fragments(160))
    assert first != fragments(160)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("first", "8@8+ 8@16+ 8@24+ 8@32"),
        ("middle", "8@0+ 8@8+ 8@24+ 8@32"),
        ("last", "8@0+ 8@8+ 8@16+ 8@24+"),
        ("0", "8@0+ 8@8+ 8@16+ 8@24+ 8@32"),
        ("5", ""),
        ("99", ""),
        ("first:0%", "8@0+ 8@8+ 8@16+ 8@24+ 8@32"),
    ],
)
def test_dropping(text: str, expected: str) -> None:
    assert shapes(shaped(fragments(40), Shape(drop=parse_choice(text)), 1)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("first", "8@0+ 8@0+ 8@8+ 8@16"),
        ("middle", "8@0+ 8@8+ 8@8+ 8@16"),
        ("last", "8@0+ 8@8+ 8@16 8@16"),
        ("3", "8@0+ 8@0+ 8@8+ 8@8+ 8@16 8@16"),
    ],
)
def test_duplicating(text: str, expected: str) -> None:
    assert shapes(shaped(fragments(24), Shape(duplicate=parse_choice(text)), 1)) == expected


def test_a_number_chooses_by_the_seed() -> None:
    drops = {shapes(shaped(fragments(40), Shape(drop=parse_choice("2"), seed=seed), 1)) for seed in range(30)}
    assert {text.count("@") for text in drops} == {3}
    assert len(drops) > 3


def test_a_percentage_of_the_datagrams() -> None:
    shape = Shape(drop=parse_choice("1:30%"))
    dropped = sum(len(shaped(fragments(24), shape, number)) == 2 for number in range(1000))
    assert 250 < dropped < 350


def test_what_was_dropped_is_not_doubled() -> None:
    shape = Shape(drop=parse_choice("first"), duplicate=parse_choice("first"), order=Order.REVERSE)
    assert shapes(shaped(fragments(24), shape, 1)) == "8@16 8@8+ 8@8+"


@pytest.mark.parametrize(
    ("size", "step", "expected", "letters"),
    [
        (72, 8, "8@0+ 8@16+ 16@8+ 8@32+ 16@24+ 8@48+ 16@40+ 8@56+ 8@64", "a c b? e d? g f? h i"),
        (128, 24, "24@0+ 24@48+ 48@24+ 24@96+ 48@72+ 8@120", "abc ghi def??? mno jkl??? p"),
        (24, 8, "8@0+ 8@8+ 8@16", "a b c"),
        (32, 8, "8@0+ 8@16+ 16@8+ 8@24", "a c b? d"),
    ],
)
def test_overlaps_that_favour_the_older_are_fragroutes(size: int, step: int, expected: str, letters: str) -> None:
    out = shaped(fragments(size, step=step), Shape(overlap=parse_overlap("old")), 1)
    assert shapes(out) == expected
    assert told(out) == letters.split()
    assert all(is_sound(piece) for piece in out)


def test_overlaps_that_favour_the_newer() -> None:
    out = shaped(fragments(40), Shape(overlap=parse_overlap("new")), 1)
    assert shapes(out) == "8@0+ 8@16+ 16@8+ 8@24+ 8@32"
    assert told(out) == ["a", "?", "bc", "d", "e"]


@pytest.mark.parametrize(
    ("spec", "expected", "letters"),
    [
        ("36@0+,4@24", "36@0+ 4@24", "abcde ?"),
        ("old:36@0+,4@24", "36@0+ 4@24", "abcde ?"),
        ("new:36@0+,4@24", "36@0+ 4@24", "abc?e d"),
        ("8@0+,@8", "8@0+ 32@8", "a bcde"),
        ("24@0+,@8", "24@0+ 32@8", "abc ??de"),
        ("new:24@0+,@8", "24@0+ 32@8", "a?? bcde"),
        ("16@0+,16@0+,@16", "16@0+ 16@0+ 24@16", "ab ?? cde"),
        ("16@24,16@0+", "16@24 16@0+", "de ab"),
        ("0@0+,@0", "0@0+ 40@0", " abcde"),
        ("8@32+,16@65528", "8@32+ 16@65528", "e ??"),
        ("@80+", "0@80+", ""),
    ],
)
def test_pieces_by_name(spec: str, expected: str, letters: str) -> None:
    out = shaped(fragments(40), Shape(overlap=parse_overlap(spec)), 1)
    assert shapes(out) == expected
    assert told(out) == letters.split(" ")
    assert all(is_sound(piece) for piece in out)


def test_named_pieces_of_a_fragment_lie_where_it_lies() -> None:
    out = shaped(fragments(40, offset=800, mf=True), Shape(overlap=parse_overlap("8@0+,@8+")), 1)
    assert shapes(out) == "8@800+ 32@808+"


def test_options_are_those_of_first_and_later_fragments() -> None:
    record_route = bytes((7, 7, 4, 0, 0, 0, 0, 0))
    for spec in ("old", "16@0+,@8"):
        out = shaped(fragments(40, options=record_route), Shape(overlap=parse_overlap(spec)), 1)
        assert options(out[0]) == record_route
        assert {options(piece) for piece in out[1:]} == {b"\x01" * 7 + b"\0"}
        assert all(is_sound(piece) for piece in out)


def test_old_and_new_differ_in_nothing_but_the_bytes() -> None:
    old = shaped(fragments(72), Shape(overlap=parse_overlap("old")), 1)
    new = shaped(fragments(72), Shape(overlap=parse_overlap("new")), 1)
    assert [piece[:20] for piece in old] == [piece[:20] for piece in new]


def test_shuffled_and_doubled_fragments_are_still_the_datagram() -> None:
    out = shaped(fragments(160), Shape(order=Order.RANDOM, duplicate=parse_choice("7")), 1)
    assert len(out) == 27
    assert reassembled(list(dict.fromkeys(out))) == LETTERS[:160].encode()


def test_choices_are_read() -> None:
    assert parse_choice("3") == Choice(Which.SOME, 3, 100)
    assert parse_choice("last:40%") == Choice(Which.LAST, 1, 40)


@pytest.mark.parametrize(
    "text", ["", "-1", "x", "1.5", "first:101%", "first:", "1:5", "3%", "123456", "random", "\uff11"]
)
def test_what_is_no_choice(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        parse_choice(text)


@pytest.mark.parametrize(
    "text",
    ["", "odd", "old:", "x:8@0", "8", "8@", "@", "8@4", "8@65536", "65476@0", "8@0+,", "8@0++", "-8@0", "8@0 ,8@8"],
)
def test_what_is_no_overlap(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        parse_overlap(text)
