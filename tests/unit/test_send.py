"""Messages from a program's order to frames: every way down, and how each refusal shows."""

from __future__ import annotations

from errno import EACCES, EINVAL, EMSGSIZE, ENETUNREACH, ENODEV, ENOPROTOOPT, EPERM, EPROTONOSUPPORT
from ipaddress import IPv4Address
from typing import Any

import pytest

from ipkit.core.host.build import build_host
from ipkit.core.host.kernel import LINUX_4_14, LINUX_6_18, KernelProfile
from ipkit.core.outcome.counters import Mib
from ipkit.core.send import After, Call, Destination, SendOrder, Via, calls
from ipkit.core.send_words import parse_cmsg, parse_option, parse_sockopt
from ipkit.core.state.netns import NetNamespace, namespace_of
from ipkit.core.wire.cmsg import int_bytes
from tests.support.packets import rfc1071

LINKS = {"eth0": {"addr": ["192.0.2.1/24"], "mtu": 1500}, "eth1": {"addr": ["198.51.100.1/24"], "mtu": 600}}
ROUTES = ["default via 192.0.2.254", "203.0.113.0/24 via 192.0.2.253 mtu 1000"]


def number(text: str) -> int:
    return int(IPv4Address(text))


def network(kernel: KernelProfile = LINUX_6_18, **more: Any) -> NetNamespace:
    description = {"routes": ROUTES, "link": LINKS, **more}
    return namespace_of(build_host(description, file="host.toml", kernel=kernel))


def sent(net: NetNamespace, dst: str = "192.0.2.9", **order: Any) -> list[Call]:
    return [call for message in calls(SendOrder(number(dst), **order), net) for call in message]


def datagrams(called: list[Call]) -> list[bytes]:
    return [frame.datagram for call in called if call.result.output for frame in call.result.output.frames]


def errors(called: list[Call]) -> list[int]:
    return [call.result.errno for call in called]


def options(*specs: str, net: NetNamespace) -> tuple[tuple[str, bytes], ...]:
    return tuple(parse_sockopt(spec, net.host) for spec in specs)


@pytest.mark.parametrize("via", [Via.AUTO, Via.APPEND, Via.FAST, Via.QUEUE_XMIT])
def test_every_way_down_sends_the_same_udp_datagram(via: Via) -> None:
    (datagram,) = datagrams(sent(network(), writes=(b"hello",), via=via, sport=4000, dport=53))
    assert datagram[20:] == b"\x0f\xa0\0\x35\0\x0d" + datagram[26:28] + b"hello"
    pseudo = datagram[12:20] + b"\0\x11" + datagram[24:26]
    assert rfc1071(pseudo + datagram[20:]) == 0
    assert rfc1071(datagram[:20]) == 0


def test_several_writes_are_one_datagram_and_fast_ones_are_not() -> None:
    assert len(datagrams(sent(network(), writes=(b"a", b"b")))) == 1
    assert len(datagrams(sent(network(), writes=(b"a", b"b"), via=Via.FAST))) == 2


@pytest.mark.parametrize("protocol", [17, 1, 253])
def test_more_to_come_holds_the_datagram_back(protocol: int) -> None:
    called = sent(network(), writes=(b"abc",), after=After.HOLD, protocol=protocol)
    assert datagrams(called) == []
    assert called[-1].held
    assert sum(skb.length for skb in called[-1].result.built) == 20 + 8 * (protocol in (17, 1)) + 3


def test_a_corked_source_route_has_the_final_address_where_an_uncorked_one_has_the_hop() -> None:
    net = network()
    given = (("IP_OPTIONS", parse_option("lsrr:192.0.2.7")),)
    (uncorked,) = datagrams(sent(net, "203.0.113.9", options=given))
    (corked,) = datagrams(sent(net, "203.0.113.9", options=given, writes=(b"", b"")))
    assert uncorked[16:20] == IPv4Address("192.0.2.7").packed
    assert corked[16:20] == IPv4Address("203.0.113.9").packed
    assert uncorked[20:28] == corked[20:28] == b"\x83\x07\x04" + IPv4Address("203.0.113.9").packed + b"\0"


@pytest.mark.parametrize(
    ("mode", "flags", "length"),
    [(0, 0x2000, 996), (1, 0x2000, 996), (3, 0x4000, 1228), (4, 0, 1228), (5, 0, 1228)],
)
def test_the_modes_of_path_mtu_discovery(mode: int, flags: int, length: int) -> None:
    """A route of MTU 1000 over a device of 1500, and 1200 bytes."""
    called = sent(network(), "203.0.113.9", writes=(bytes(1200),), options=(("IP_MTU_DISCOVER", int_bytes(mode)),))
    first = datagrams(called)[0]
    assert (int.from_bytes(first[6:8]), len(first)) == (flags, length)


def test_do_refuses_what_the_route_does_not_take() -> None:
    called = sent(network(), "203.0.113.9", writes=(bytes(1200),), options=(("IP_MTU_DISCOVER", int_bytes(2)),))
    assert errors(called) == [EMSGSIZE]
    assert not +called[0].result.mibs


@pytest.mark.parametrize(
    ("dst", "order", "old", "new"),
    [
        ("192.0.2.9", {"saddr": number("9.9.9.9")}, EINVAL, ENETUNREACH),
        ("192.0.2.255", {}, EACCES, EACCES),
        ("192.0.2.9", {"dport": 0}, EINVAL, EINVAL),
        ("192.0.2.9", {"writes": (bytes(65508),)}, EMSGSIZE, EMSGSIZE),
        ("192.0.2.9", {"writes": (bytes(65516),), "protocol": 253}, EMSGSIZE, EMSGSIZE),
        ("192.0.2.9", {"writes": (bytes(65536),)}, EMSGSIZE, EMSGSIZE),
        ("192.0.2.9", {"options": (("IP_OPTIONS", bytes([1] * 41)),)}, EINVAL, EINVAL),
        ("192.0.2.9", {"options": (("IP_TTL", int_bytes(256)),)}, EINVAL, EINVAL),
        ("192.0.2.9", {"options": (("IP_HDRINCL", int_bytes(1)),)}, ENOPROTOOPT, ENOPROTOOPT),
        ("192.0.2.9", {"options": (("SO_BINDTODEVICE", b"nope"),)}, ENODEV, ENODEV),
    ],
)
def test_refusals(dst: str, order: dict[str, Any], old: int, new: int) -> None:
    assert errors(sent(network(LINUX_4_14), dst, **order)) == [old]
    assert errors(sent(network(LINUX_6_18), dst, **order)) == [new]


def test_an_unknown_device_in_pktinfo() -> None:
    net = network()
    assert errors(sent(net, control=parse_cmsg("IP_PKTINFO=99,0.0.0.0", net.host))) == [ENODEV]


@pytest.mark.parametrize(("verdict", "error"), [("drop", EPERM), ("stolen", 0)])
@pytest.mark.parametrize("at", ["LOCAL_OUT", "POST_ROUTING"])
def test_a_hook_keeps_the_datagram(at: str, verdict: str, error: int) -> None:
    net = network(hook=[{"at": at, "match": "udp", "verdict": verdict}])
    called = sent(net)
    assert (errors(called), datagrams(called)) == ([error], [])
    assert called[0].result.mibs[Mib.OUT_DISCARDS] == bool(error)


def test_ipsec_policy_blocks_before_anything_is_built() -> None:
    net = network(xfrm=[{"dir": "out", "match": "dst 192.0.2.9 and dport 9", "action": "block"}])
    assert errors(sent(net)) == [EPERM]
    assert errors(sent(net, dport=10)) == [0]


def test_identifications_of_connected_sockets() -> None:
    """4.14 takes the shared counter even so, 6.18 the socket's own."""
    for kernel, ours in ((LINUX_4_14, False), (LINUX_6_18, True)):
        net = network(kernel)
        ids = [d[4:6] for d in datagrams(sent(net, destination=Destination.CONNECTED, repeat=3))]
        shared = [d[4:6] for d in datagrams(sent(network(kernel), repeat=3))]
        assert (ids != shared) is ours
        assert [int.from_bytes(i) - int.from_bytes(ids[0]) & 0xFFFF for i in ids] == [0, 1, 2]


HDRINCL = "4500 0000 0000 0000 4011 0000 00000000 c0000209"


def test_what_the_kernel_fills_in_of_a_programs_header() -> None:
    net = network()
    written = bytes.fromhex(HDRINCL) + b"data"
    called = sent(net, writes=(written,), via=Via.RAW, protocol=255, options=options("IP_HDRINCL=1", net=net))
    (datagram,) = datagrams(called)
    assert datagram[2:4] == b"\0\x18"
    assert datagram[4:6] != b"\0\0"
    assert datagram[12:16] == IPv4Address("192.0.2.1").packed
    assert rfc1071(datagram[:20]) == 0
    assert datagram[20:] == b"data"


@pytest.mark.parametrize(
    ("header", "old", "new"),
    [
        ("45", EINVAL, EINVAL),
        ("4f" + HDRINCL[2:], EINVAL, EINVAL),
        ("44" + HDRINCL[2:], 0, EINVAL),
        ("65" + HDRINCL[2:], 0, 0),
    ],
)
def test_headers_that_are_none(header: str, old: int, new: int) -> None:
    for kernel, error in ((LINUX_4_14, old), (LINUX_6_18, new)):
        net = network(kernel)
        given: dict[str, Any] = {"via": Via.RAW, "protocol": 255, "options": options("IP_HDRINCL=1", net=net)}
        assert errors(sent(net, writes=(bytes.fromhex(header),), **given)) == [error]


def test_a_programs_header_is_never_fragmented() -> None:
    net = network()
    written = bytes.fromhex(HDRINCL) + bytes(1481)
    called = sent(net, writes=(written,), via=Via.RAW, protocol=255, options=options("IP_HDRINCL=1", net=net))
    assert errors(called) == [EMSGSIZE]


def test_multicast_has_its_own_ttl_and_comes_back() -> None:
    net = network(link={"eth0": {"addr": ["192.0.2.1/24"], "groups": ["224.0.0.251"]}}, routes=["default dev eth0"])
    (call,) = sent(net, "224.0.0.251", writes=(bytes(3000),))
    output = call.result.output
    assert output is not None
    assert [frame.header[:6].hex() for frame in output.frames] == ["01005e0000fb"] * 3
    assert {frame.datagram[8] for frame in output.frames} == {1}
    assert [len(copy.data) for copy in output.looped] == [3028]
    assert call.result.mibs[Mib.OUT_MCAST_PKTS] == 3


def test_multicast_ttl_0_stays_at_home() -> None:
    net = network(link={"eth0": {"addr": ["192.0.2.1/24"], "groups": ["224.0.0.251"]}}, routes=["default dev eth0"])
    (call,) = sent(net, "224.0.0.251", options=options("IP_MULTICAST_TTL=0", net=net))
    output = call.result.output
    assert output is not None
    assert (output.frames, len(output.looped), call.result.errno) == ([], 1, 0)


def test_a_broadcast_comes_back_too() -> None:
    net = network()
    (call,) = sent(net, "192.0.2.255", options=options("SO_BROADCAST=1", "IP_MULTICAST_LOOP=0", net=net))
    output = call.result.output
    assert output is not None
    assert [frame.header[:6] for frame in output.frames] == [b"\xff" * 6]
    assert len(output.looped) == 1


@pytest.mark.parametrize(
    ("kernel", "card", "given", "error", "frames"),
    [
        (LINUX_6_18, [], (3000, 1473), EMSGSIZE, 0),
        (LINUX_6_18, [], (500, 1473), 0, 1),
        (LINUX_6_18, [], (1280, 10), 0, 128),
        (LINUX_6_18, [], (1290, 10), EINVAL, 0),
        (LINUX_6_18, [], (2500, 1000), 0, 3),
        (LINUX_4_14, ["sg", "hw_csum"], (2500, 1000), 0, 3),
        (LINUX_4_14, ["sg", "hw_csum"], (500, 1473), EINVAL, 0),
        (LINUX_4_14, ["sg", "hw_csum"], (1280, 10), EINVAL, 0),
    ],
)
def test_segments(kernel: KernelProfile, card: list[str], given: tuple[int, int], error: int, frames: int) -> None:
    """So many bytes in segments of another size."""
    net = network(kernel, link={**LINKS, "eth0": {**LINKS["eth0"], "features": card}})
    called = sent(net, writes=(bytes(given[0]),), options=options(f"UDP_SEGMENT={given[1]}", net=net))
    assert (errors(called), len(datagrams(called))) == ([error], frames)


@pytest.mark.parametrize(("protocol", "error"), [(0, EPROTONOSUPPORT), (255, EINVAL), (254, 0)])
def test_protocols_that_are_none(protocol: int, error: int) -> None:
    """No raw socket is for protocol 0; one for 255 wants the header from the program, and here there is none."""
    assert errors(sent(network(), writes=(b"x",), protocol=protocol)) == [error]


def test_an_old_kernel_wants_the_card_to_sum_segments() -> None:
    called = sent(network(LINUX_4_14), writes=(bytes(2500),), options=(("UDP_SEGMENT", int_bytes(1000)),))
    assert [call.result.errno for call in called] == [5]


@pytest.mark.parametrize("features", [[], ["sg"], ["sg", "hw_csum"]])
@pytest.mark.parametrize("pieces", [(1000,), (3000,), (978, 983, 1), (600, 600, 600)])
def test_checksums_are_right_whoever_sums(features: list[str], pieces: tuple[int, ...]) -> None:
    net = network(link={"eth0": {"addr": ["192.0.2.1/24"], "mtu": 1006, "features": features}})
    data = tuple(bytes((7 * i + 13 + at) & 255 for i in range(size)) for at, size in enumerate(pieces))
    out = datagrams(sent(net, writes=data))
    segment = b"".join(datagram[20:] for datagram in out)
    pseudo = out[0][12:20] + b"\0\x11" + segment[4:6]
    assert segment[8:] == b"".join(data)
    assert rfc1071(pseudo + segment) == 0


def test_an_unknown_neighbour_is_asked_for_and_the_datagram_waits() -> None:
    net = network(neigh_default="resolve")
    (call,) = sent(net)
    output = call.result.output
    assert output is not None
    assert (call.result.errno, len(output.queued)) == (0, 1)
    assert [frame.data.hex() for frame in output.frames] == [
        "ffffffffffff" "020000000002" "0806" "0001080006040001" "020000000002c0000201" "000000000000c0000209"
    ]  # fmt: skip


def test_too_narrow_a_route() -> None:
    routes = [*ROUTES, "198.18.0.0/15 via 192.0.2.254 mtu 67"]
    assert errors(sent(network(routes=routes), "198.18.0.1")) == [ENETUNREACH]
