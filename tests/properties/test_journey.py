"""Any bytes at all end in a verdict, and a datagram that is forwarded is the same but for one hop."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from ipkit.core.defrag import ip_expire
from ipkit.core.frag_timeout import owed_for_timeout
from ipkit.core.host.kernel import KernelProfile
from ipkit.core.outcome.verdict import Transmitted
from ipkit.core.skbuff import PacketType
from tests.support import cut
from tests.support.journeys import KERNELS, came, out, two_arms
from tests.support.packets import ip, rfc1071

kernels = st.sampled_from(KERNELS)
options = st.builds(
    lambda kind, pointer, body: bytes((kind, 3 + len(body), pointer)) + body,
    st.sampled_from((7, 68, 131, 137, 148, 134, 130)),
    st.integers(0, 15) | st.integers(0, 255),
    st.lists(st.sampled_from((b"\0\x0a\1\0", b"\x0a\1\0\5", b"\x0a\0\0\1")), max_size=4).map(b"".join),
)
headers = st.builds(
    ip,
    st.binary(max_size=90),
    src=st.sampled_from(("10.0.0.5", "10.1.0.7", "0.0.0.0", "10.0.0.255", "10.0.0.1", "224.0.0.1")),
    dst=st.sampled_from(("10.1.0.5", "10.0.0.1", "10.6.1.1", "10.66.0.1", "255.255.255.255", "10.1.0.255", "99.0.0.1")),
    proto=st.sampled_from((1, 2, 6, 17, 136, 200)),
    ttl=st.integers(0, 255),
    tos=st.integers(0, 255),
    df=st.booleans(),
    mf=st.booleans(),
    offset=st.sampled_from((0, 8, 65528)),
    options=st.binary(max_size=40) | st.lists(options, max_size=4).map(b"".join).map(lambda joined: joined[:40]),
)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80) | headers, kernels, st.sampled_from(PacketType), st.booleans())
def test_any_bytes_end_in_a_verdict(data: bytes, kernel: KernelProfile, kind: PacketType, resolve: bool) -> None:
    knobs = {"net.ipv4.conf.all.accept_source_route": 1}
    net = two_arms(kernel, sysctl=knobs, neigh_default="resolve" if resolve else "assume")
    journal = came(data, net, kind=kind, trace=True)
    assert journal.ends
    assert all(amount > 0 for amount in journal.counters.values() if amount)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60), st.integers(2, 255), st.integers(0, 255), kernels)
def test_forwarding_changes_the_ttl_and_the_checksum_alone(
    payload: bytes, ttl: int, tos: int, kernel: KernelProfile
) -> None:
    before = ip(payload, src="10.0.0.5", dst="10.1.0.5", ttl=ttl, tos=tos)
    journal = came(before, two_arms(kernel))
    assert isinstance(journal.ends[0], Transmitted)
    ((_, after),) = out(journal)
    assert after[:8] + after[9:10] + after[12:] == before[:8] + before[9:10] + before[12:]
    assert after[8] == ttl - 1
    assert rfc1071(after[:20]) == 0


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=80) | headers, min_size=1, max_size=6), kernels, st.sampled_from(PacketType))
def test_any_bytes_end_in_a_verdict_where_connections_are_tracked(
    datagrams: list[bytes], kernel: KernelProfile, kind: PacketType
) -> None:
    net = two_arms(kernel, conntrack=True)
    journals = [came(data, net, kind=kind, trace=True) for data in (*datagrams, *datagrams)]
    assert all(journal.ends for journal in journals)
    for fallen in ip_expire(net.frags, 1 << 40):
        owed_for_timeout(fallen.queue, net)
    assert net.frags.memory == 0


@settings(max_examples=100, deadline=None)
@given(
    st.binary(min_size=9, max_size=400),
    st.sets(st.integers(1, 49), max_size=6),
    st.randoms(use_true_random=False),
    st.integers(68, 600),
    kernels,
)
def test_tracked_fragments_bring_the_same_datagram_in_any_order(
    payload: bytes, cuts: set[int], chance: Random, mtu: int, kernel: KernelProfile
) -> None:
    ends = [*sorted(8 * eight for eight in cuts if 8 * eight < len(payload)), len(payload)]
    pieces = [
        ip(payload[start:end], src="10.0.0.5", dst="10.1.0.5", offset=start, mf=end < len(payload))
        for start, end in zip([0, *ends], ends, strict=False)
    ]
    chance.shuffle(pieces)
    links = {"t0": {"addr": ["10.0.0.1/24"]}, "t1": {"addr": ["10.1.0.1/24"], "mtu": mtu}}
    net = two_arms(kernel, conntrack=True, link=links, routes=[])
    *held, last = [came(piece, net) for piece in pieces]
    assert not any(out(journal) for journal in held)
    left = [data for _, data in out(last)]
    assert all(len(data) <= mtu and rfc1071(data[:20]) == 0 and data[8] == 63 for data in left)
    assert cut.reassembled(left) == payload
