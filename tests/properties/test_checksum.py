"""Laws of the Internet checksum."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

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
from tests.support.packets import patched, rfc1071, u16, u32

CORNERS = st.sampled_from([0x0000, 0x0001, 0x00FF, 0x0100, 0x7FFF, 0x8000, 0xFEFF, 0xFF00, 0xFFFE, 0xFFFF])
WORDS = CORNERS | st.integers(0, 0xFFFF)
BYTES = st.binary(max_size=200) | st.lists(CORNERS, max_size=40).map(lambda words: b"".join(map(u16, words)))


@st.composite
def headers(draw: st.DrawFn) -> bytes:
    """Draw a header of any length whose checksum is right."""
    words = draw(st.integers(5, 15))
    body = draw(st.lists(WORDS, min_size=2 * words - 1, max_size=2 * words - 1))
    data = b"".join(map(u16, [0x4000 + words * 256, *body]))
    return patched(data, 10, u16(rfc1071(patched(data, 10, b"\0\0"))))


@given(BYTES)
@example(b"")
@example(b"\0")
@example(b"\xff\xff")
def test_a_sum_is_the_textbook_loop(data: bytes) -> None:
    assert csum_fold(csum_partial(data)) == rfc1071(data)
    assert csum_partial(data) == 0xFFFF - rfc1071(data)


@given(st.lists(BYTES, max_size=6))
def test_a_stream_is_summed_wherever_it_is_cut(pieces: list[bytes]) -> None:
    stream = RawSum()
    for piece in pieces:
        stream.add(piece)
    assert stream.value() == rfc1071(b"".join(pieces))


@given(st.integers(0, 2**80))
def test_folding_any_width(total: int) -> None:
    assert csum_fold(total) == rfc1071(total.to_bytes(12, "big"))


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(0, 255), st.integers(0, 65535))
def test_a_pseudo_header_is_twelve_bytes(saddr: int, daddr: int, protocol: int, length: int) -> None:
    data = u32(saddr) + u32(daddr) + bytes((0, protocol)) + u16(length)
    assert csum_fold(pseudo_header_sum(saddr, daddr, protocol, length)) == rfc1071(data)


@given(headers())
def test_a_right_header_verifies_and_is_made_so(header: bytes) -> None:
    assert ip_fast_csum(header) == 0
    assert with_header_checksum(header) == header
    assert with_header_checksum(patched(header, 10, b"\xab\xcd")) == header


@given(headers(), st.integers(0, 479))
def test_every_flipped_bit_is_noticed(header: bytes, bit: int) -> None:
    at = bit // 8 % len(header)
    assert ip_fast_csum(patched(header, at, bytes((header[at] ^ 1 << bit % 8,)))) != 0


@given(headers())
def test_one_hop_is_a_full_sum(header: bytes) -> None:
    ttl = header[8] or 64
    header = with_header_checksum(patched(header, 8, bytes((ttl,))))
    after = patched(header, 8, bytes((ttl - 1,)))
    check = ip_decrease_ttl(int.from_bytes(header[10:12], "big"))
    assert patched(after, 10, u16(check)) == with_header_checksum(after)


@given(headers(), st.integers(1, 29), WORDS)
def test_a_replaced_word_is_a_full_sum(header: bytes, word: int, new: int) -> None:
    at = word * 2 % len(header)
    if at in {0, 10}:
        at = 2
    old = int.from_bytes(header[at : at + 2], "big")
    check = csum_replace2(int.from_bytes(header[10:12], "big"), old, new)
    after = patched(header, at, u16(new))
    assert patched(after, 10, u16(check)) == with_header_checksum(after)


@given(headers(), st.sampled_from([12, 16]), st.integers(0, 2**32 - 1) | CORNERS)
def test_a_replaced_address_is_a_full_sum(header: bytes, at: int, new: int) -> None:
    old = int.from_bytes(header[at : at + 4], "big")
    check = csum_replace4(int.from_bytes(header[10:12], "big"), old, new)
    after = patched(header, at, u32(new))
    assert patched(after, 10, u16(check)) == with_header_checksum(after)


@given(WORDS, WORDS, WORDS)
def test_an_update_there_and_back_keeps_the_class_of_the_checksum(check: int, old: int, new: int) -> None:
    back = csum_replace2(csum_replace2(check, old, new), new, old)
    assert back % 0xFFFF == check % 0xFFFF


def test_one_hop_for_every_checksum_there_is() -> None:
    for check in range(0x10000):
        total = (0xFFFF - check) - 0x0100  # what the header summed to, less the hop
        assert ip_decrease_ttl(check) % 0xFFFF == (0xFFFF - total) % 0xFFFF
    assert 0xFFFF not in {ip_decrease_ttl(check) for check in range(0x10000)}
