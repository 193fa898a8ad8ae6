"""Laws of fragmenting, for any datagram, MTU and options."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from ipkit.core.fragment import FragPath, ip_fragment
from ipkit.core.fragment_lane import DfRule, FragmentLane, FragmentOptions
from ipkit.core.fragment_shaper import Choice, Favour, Order, Overlap, Piece, Shape, Which
from ipkit.core.host.build import builtin_host
from ipkit.core.host.kernel import LINUX_6_18, PROFILES
from ipkit.core.icmp_frames import IcmpFrames
from ipkit.core.lanes import RowWish
from ipkit.core.skbuff import IpControlBlock, IpOptions, PacketType, SkBuff
from tests.support.batches import batch_of
from tests.support.cut import is_sound, more, offset, options, payload, reassembled, same_but_for_cutting
from tests.support.packets import eth, ip

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


HOST = builtin_host(LINUX_6_18)
PIECES = st.builds(Piece, st.integers(0, 8191).map(lambda at: at * 8), st.none() | st.integers(0, 65475), st.booleans())
CHOICES = st.none() | st.builds(Choice, st.sampled_from(Which), st.integers(0, 9), st.integers(0, 100))
OVERLAPS = st.none() | st.builds(Overlap, st.sampled_from(Favour), st.lists(PIECES, max_size=4).map(tuple))
SHAPES = st.none() | st.builds(Shape, st.sampled_from(Order), CHOICES, CHOICES, OVERLAPS, st.integers(0, 9))
OPTIONS_OF_LANE = st.builds(
    FragmentOptions,
    st.integers(68, 200),
    st.sampled_from(list(PROFILES.values())),
    st.sampled_from(DfRule),
    st.just(0) | st.integers(1, 300),
    st.sampled_from(FragPath),
    SHAPES,
)
HEADERS = st.builds(
    ip,
    st.binary(max_size=400),
    src=st.ip_addresses(v=4).map(str),
    dst=st.ip_addresses(v=4).map(str),
    proto=st.sampled_from((1, 6, 17, 253)),
    options=OPTIONS,
    df=st.booleans(),
    mf=st.booleans(),
    offset=st.integers(0, 8191).map(lambda at: at * 8),
    ihl=st.none() | st.integers(0, 15),
    version=st.sampled_from((4, 4, 4, 6)),
    tot_len=st.none() | st.integers(0, 65535),
)


@settings(max_examples=150, deadline=None)
@given(HEADERS, st.integers(0, 500), st.integers(0, 900), OPTIONS_OF_LANE)
def test_every_frame_has_an_end(datagram: bytes, kept: int, on_wire: int, options: FragmentOptions) -> None:
    frame = eth(datagram)[:kept]
    lane = FragmentLane(options, RowWish.ALL, IcmpFrames(HOST))
    result = lane.process(batch_of([frame], on_wire=[max(on_wire, len(frame))]))
    summary = dict(lane.summary())
    assert len(result.rows) + int(str(summary["other"])) == 1
    assert sum(len(frames) for frames in result.changes.values()) == summary["fragments"]
    for frame_out in result.changes.get(0, []):
        assert is_sound(frame_out.data[14:])


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=120), st.sampled_from((0, 1, 9, 12, 50, 101, 108, 113, 228, 276)), OPTIONS_OF_LANE)
def test_any_bytes_have_an_end(data: bytes, link_type: int, options: FragmentOptions) -> None:
    lane = FragmentLane(options, RowWish.LOOK, IcmpFrames(HOST))
    lane.process(batch_of([data], link_type=link_type, on_wire=[len(data) + 7]))
    assert lane.summary()["frames"] == 1
