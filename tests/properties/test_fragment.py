"""Laws of fragmenting, for any datagram, MTU and options."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from ipkit.core.fragment import ip_fragment
from ipkit.core.host.kernel import PROFILES
from ipkit.core.skbuff import IpControlBlock, IpOptions, PacketType, SkBuff
from tests.support.cut import is_sound, more, offset, options, payload, reassembled, same_but_for_cutting
from tests.support.packets import ip

PAYLOADS = st.tuples(st.integers(1, 6000), st.integers(0, 255)).map(
    lambda given: bytes((given[1] + 7 * i + 13 * (i >> 8)) & 255 for i in range(given[0]))
)
OPTIONS = st.binary(max_size=40)


@st.composite
def datagrams(draw: st.DrawFn) -> bytes:
    return ip(
        draw(PAYLOADS),
        options=draw(OPTIONS),
        tos=draw(st.integers(0, 255)),
        ident=draw(st.integers(0, 65535)),
        ttl=draw(st.integers(0, 255)),
        proto=draw(st.integers(0, 255)),
        reserved=draw(st.booleans()),
        src=draw(st.ip_addresses(v=4).map(str)),
    )


def fragments_of(datagram: bytes, mtu: int, kernel: str) -> list[bytes]:
    cb = IpControlBlock(options=IpOptions(optlen=datagram[0] % 16 * 4 - 20))
    pieces: list[bytes] = []
    ip_fragment(SkBuff(datagram, "eth0", PacketType.HOST, 0, cb=cb), mtu, PROFILES[kernel], pieces.append)
    return pieces


@settings(max_examples=150, deadline=None)
@given(datagrams(), st.integers(68, 1500), st.sampled_from(list(PROFILES)), st.randoms(use_true_random=False))
def test_fragments_obey_the_arithmetic_and_make_the_datagram(
    datagram: bytes, mtu: int, kernel: str, rng: Random
) -> None:
    pieces = fragments_of(datagram, mtu, kernel)
    assert all(is_sound(piece) and len(piece) <= mtu for piece in pieces)
    assert all(same_but_for_cutting(piece, datagram) for piece in pieces)
    assert all(len(options(piece)) == len(options(datagram)) for piece in pieces)
    assert options(pieces[0]) == options(datagram)
    assert [more(piece) for piece in pieces] == [True] * (len(pieces) - 1) + [False]
    assert [offset(piece) for piece in pieces] == sorted(offset(piece) for piece in pieces)
    full = (mtu - 20 - len(options(datagram))) // 8 * 8
    assert {len(payload(piece)) for piece in pieces[:-1]} <= {full}
    rng.shuffle(pieces)
    assert reassembled(pieces) == payload(datagram)


@settings(max_examples=100, deadline=None)
@given(datagrams(), st.integers(700, 1500), st.integers(68, 699), st.sampled_from(list(PROFILES)))
def test_fragments_of_fragments_make_the_datagram(datagram: bytes, first: int, second: int, kernel: str) -> None:
    again = [
        piece for fragment in fragments_of(datagram, first, kernel) for piece in fragments_of(fragment, second, kernel)
    ]
    assert all(is_sound(piece) and len(piece) <= second for piece in again)
    assert reassembled(again) == payload(datagram)
