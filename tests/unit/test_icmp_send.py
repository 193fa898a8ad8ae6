"""icmp_send: whether an error is sent, and its bytes; literal ones, and those of a recorded kernel."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ipkit.core.host.config import HostConfig
from ipkit.core.host.fib import Metrics, Route, RouteFlag, RouteType
from ipkit.core.host.kernel import LINUX_4_14, LINUX_6_18, KernelProfile
from ipkit.core.icmp_send import IcmpSent, IcmpWithheld, Silence, icmp_send
from ipkit.core.outcome.counters import Mib
from ipkit.core.outcome.verdict import IcmpDue
from ipkit.core.skbuff import IpControlBlock, IpOptions, PacketType, SkBuff
from ipkit.core.state.icmp_tokens import IcmpTokens
from ipkit.core.state.ip_ident import IpIdents
from ipkit.core.state.routing import routing_of
from tests.support.packets import icmp, ip, patched, rfc1071, udp
from tests.support.routes import address, hop, host, link, route

BOTH = pytest.mark.parametrize("kernel", [LINUX_4_14, LINUX_6_18], ids=lambda kernel: kernel.name)
SECOND = 1_000_000_000
VECTORS = Path(__file__).parent.parent / "vectors" / "kernel"
DATA = bytes((7 * i + 13 * (i >> 8)) & 255 for i in range(3000))


def router(*, mtu: int = 1500, kernel: KernelProfile = LINUX_6_18, **net: int) -> HostConfig:
    """Return a router: 192.0.2.1/24 on eth0, 198.51.100.1/24 on eth1 with a second address, a way to 203.0.113/24."""
    return host(
        [
            route("192.0.2.1/32", hop("eth0"), type=RouteType.LOCAL, table=255),
            route("198.51.100.1/32", hop("eth1"), type=RouteType.LOCAL, table=255),
            route("198.51.100.9/32", hop("eth1"), type=RouteType.LOCAL, table=255),
            route("192.0.2.0/24", hop("eth0"), prefsrc=0xC0000201),
            route("198.51.100.0/24", hop("eth1"), prefsrc=0xC6336401),
            route("203.0.113.0/24", hop("eth1", "198.51.100.2"), metrics=Metrics(mtu=300, hoplimit=9)),
        ],
        links=[
            link("eth0", 2, address("192.0.2.1/24"), mtu=mtu),
            link("eth1", 3, address("198.51.100.1/24"), address("198.51.100.9/24", secondary=True)),
        ],
        kernel=kernel,
        net=net,
    )


PLACES = {7: "rr", 68: "ts", 131: "srr"}
"""What is noted of a datagram whose first option is its only one."""


def about(
    datagram: bytes,
    *,
    flags: RouteFlag = RouteFlag.NONE,
    iif: str | None = "eth0",
    pkt_type: PacketType = PacketType.HOST,
    now_ns: int = 0,
) -> SkBuff:
    optlen = datagram[0] % 16 * 4 - 20
    found = IpOptions(optlen)
    if optlen and datagram[20] in PLACES:
        setattr(found, PLACES[datagram[20]], 20)
    cb = IpControlBlock(options=found)
    towards = Route(RouteType.UNICAST, flags, "eth1", iif=iif)
    return SkBuff(datagram, "eth0", pkt_type, now_ns, route=towards, cb=cb)


def answer(
    packet: SkBuff | bytes,
    configured: HostConfig | None = None,
    *,
    kind: int = 3,
    code: int = 4,
    info: int = 600,
    tokens: IcmpTokens | None = None,
) -> IcmpSent | IcmpWithheld:
    skb = about(packet) if isinstance(packet, bytes) else packet
    routing = routing_of(configured or router())
    return icmp_send(IcmpDue(kind, code, info, skb), routing, tokens or IcmpTokens(), IpIdents())


def sent(packet: SkBuff | bytes, configured: HostConfig | None = None, **due: Any) -> bytes:
    result = answer(packet, configured, **due)
    assert isinstance(result, IcmpSent), result
    assert rfc1071(result.datagram[: result.datagram[0] % 16 * 4]) == 0
    assert rfc1071(result.datagram[result.datagram[0] % 16 * 4 :]) == 0
    return result.datagram


def silence(packet: SkBuff | bytes, configured: HostConfig | None = None, **due: Any) -> Silence:
    result = answer(packet, configured, **due)
    assert isinstance(result, IcmpWithheld), result
    return result.why


BIG = ip(DATA[:1000], df=True, src="192.0.2.9", dst="198.51.100.7", ident=0x1234)


@BOTH
def test_fragmentation_needed_byte_for_byte(kernel: KernelProfile) -> None:
    datagram = sent(BIG, router(kernel=kernel))
    assert datagram[:4].hex() == "45c00240"
    assert datagram[6:10].hex() == "00004001"
    assert datagram[12:20].hex() == "c0000201c0000209"
    assert datagram[20:22].hex() == "0304"
    assert datagram[24:28].hex() == "00000258"
    assert datagram[28:] == BIG[:548]


def test_what_is_counted() -> None:
    result = answer(BIG)
    assert isinstance(result, IcmpSent)
    assert result.mibs == (Mib.ICMP_OUT_MSGS, Mib.ICMP_OUT_DEST_UNREACHS, Mib.ICMP_MSG_OUT_TYPE3)
    assert result.route.dev == "eth0"


@pytest.mark.parametrize(("tos", "expected"), [(0x00, 0xC0), (0x47, 0xC6), (0xFF, 0xDE), (0xA3, 0xC2), (0x1E, 0xDE)])
def test_the_tos_of_an_error(tos: int, expected: int) -> None:
    assert sent(ip(DATA[:1000], src="192.0.2.9", tos=tos))[1] == expected


@pytest.mark.parametrize(("size", "quoted"), [(0, 20), (1, 21), (527, 547), (528, 548), (529, 548), (3000, 548)])
def test_how_much_is_quoted(size: int, quoted: int) -> None:
    original = ip(DATA[:size], src="192.0.2.9")
    assert sent(original)[28:] == original[:quoted]


def test_the_error_fits_the_route_it_takes() -> None:
    datagram = sent(ip(DATA[:1000], src="203.0.113.5"))
    assert len(datagram) == 300
    assert datagram[8] == 9  # the route's hop limit
    assert datagram[12:16].hex() == "c6336401"


def test_the_default_ttl_is_the_hosts() -> None:
    assert sent(BIG, router(ip_default_ttl=17))[8] == 17


def test_identifications_run_on() -> None:
    routing, tokens, idents = routing_of(router()), IcmpTokens(), IpIdents()
    numbers = []
    for _ in range(3):
        result = icmp_send(IcmpDue(3, 4, 600, about(BIG)), routing, tokens, idents)
        assert isinstance(result, IcmpSent)
        numbers.append(int.from_bytes(result.datagram[4:6]))
    assert [number - numbers[0] & 0xFFFF for number in numbers] == [0, 1, 2]


def test_a_packet_to_this_host_is_answered_from_the_address_it_was_sent_to() -> None:
    packet = about(ip(DATA[:1000], src="192.0.2.9", dst="198.51.100.9"), flags=RouteFlag.LOCAL)
    assert sent(packet)[12:16].hex() == "c6336409"


@pytest.mark.parametrize(
    ("kernel", "expected"), [(LINUX_4_14, "c6336401"), (LINUX_6_18, "c6336461")], ids=["4.14", "6.18"]
)
def test_the_address_of_the_device_it_came_in_by(kernel: KernelProfile, expected: str) -> None:
    """4.14 takes the first address of the device, 6.18 the one whose subnet covers the offender."""
    configured = router(kernel=kernel, icmp_errors_use_inbound_ifaddr=1)
    inbound = link("eth2", 4, address("198.51.100.1/27"), address("198.51.100.97/27"))
    configured = replace(configured, links={**configured.links, "eth2": inbound})
    packet = about(ip(DATA[:1000], src="198.51.100.99"), iif="eth2")
    assert sent(packet, configured)[12:16].hex() == expected
    own = about(ip(DATA[:1000], src="198.51.100.99"), iif=None)
    assert sent(own, configured)[12:16].hex() == "c6336401"


@pytest.mark.parametrize(
    ("kernel", "expected"), [(LINUX_4_14, "00000000"), (LINUX_6_18, "c0000008")], ids=["4.14", "6.18"]
)
def test_a_host_without_an_address(kernel: KernelProfile, expected: str) -> None:
    bare = host([route("192.0.2.0/24", hop("eth0"))], links=[link("eth0", 2)], kernel=kernel)
    bare = replace(bare, links={**bare.links, "lo": replace(bare.links["lo"], addresses=())})
    assert sent(BIG, bare)[12:16].hex() == expected


SUPPRESSED = [
    ("not routed", replace(about(BIG), route=None), Silence.NOT_ROUTED),
    ("a broadcast frame", about(BIG, pkt_type=PacketType.BROADCAST), Silence.NOT_FOR_US),
    ("a multicast frame", about(BIG, pkt_type=PacketType.MULTICAST), Silence.NOT_FOR_US),
    ("somebody else's frame", about(BIG, pkt_type=PacketType.OTHERHOST), Silence.NOT_FOR_US),
    ("a broadcast", about(BIG, flags=RouteFlag.BROADCAST), Silence.MANY_RECEIVERS),
    ("a multicast", about(BIG, flags=RouteFlag.MULTICAST), Silence.MANY_RECEIVERS),
    ("a later fragment", about(ip(DATA[:1000], src="192.0.2.9", offset=8)), Silence.LATER_FRAGMENT),
    ("no way back", about(ip(DATA[:1000], src="100.64.0.1")), Silence.NO_WAY_BACK),
]


@BOTH
@pytest.mark.parametrize(("packet", "why"), [c[1:] for c in SUPPRESSED], ids=[c[0] for c in SUPPRESSED])
def test_what_is_not_answered(packet: SkBuff, why: Silence, kernel: KernelProfile) -> None:
    assert silence(packet, router(kernel=kernel)) is why


def test_a_first_fragment_is_answered() -> None:
    assert sent(ip(DATA[:1000], src="192.0.2.9", mf=True))


@pytest.mark.parametrize("kind", range(256))
def test_about_which_icmp_messages_errors_are_sent(kind: int) -> None:
    packet = ip(icmp(DATA[:100], kind=kind), proto=1, src="192.0.2.9")
    if kind in (0, 8, 13, 14, 15, 16, 17, 18):
        assert sent(packet)
    else:
        assert silence(packet) is Silence.ABOUT_AN_ERROR


def test_icmp_without_a_type_is_not_answered() -> None:
    assert silence(ip(b"", proto=1, src="192.0.2.9")) is Silence.ABOUT_AN_ERROR
    assert sent(ip(b"\x08", proto=1, src="192.0.2.9"))


def test_options_come_back_and_take_room() -> None:
    record = bytes.fromhex("070b08c000026300000000") + bytes(1)
    original = ip(DATA[:1000], src="192.0.2.9", options=record)
    datagram = sent(original)
    assert datagram[0] == 0x48
    assert datagram[20:32] == record
    assert datagram[40:] == original[:536]
    assert len(datagram) == 576


def test_an_error_goes_back_along_a_source_route() -> None:
    original = ip(DATA[:1000], src="192.0.2.9", options=bytes.fromhex("830b0ccb007101c6336402 01"))
    datagram = sent(original)
    assert datagram[16:20].hex() == "c6336402"
    assert datagram[12:16].hex() == "c6336401"
    assert datagram[20:32].hex() == "830b04cb007101c000020900"


def test_an_option_without_a_clean_slot_silences() -> None:
    packet = about(ip(DATA[:100], src="192.0.2.9", options=bytes.fromhex("440c0a00 0000000000000000")))
    packet.cb.options.ts_needtime = True
    assert silence(packet) is Silence.NO_CLEAN_SLOT


@pytest.mark.parametrize(
    ("listed", "expected"), [("c0000201", "440c0d03c000020100000001"), ("c0000263", "440c0503c000026300000000")]
)
def test_a_prescribed_timestamp_is_ours_to_give_or_not(listed: str, expected: str) -> None:
    packet = about(ip(DATA[:100], src="192.0.2.9", options=bytes.fromhex(f"440c0503 {listed} 00000000")))
    packet.cb.options.ts_needtime = True
    packet.tstamp_ns = 1_000_000
    assert sent(packet)[20:32].hex() == expected


def test_timestamps_tell_the_time_of_day() -> None:
    packet = about(ip(DATA[:100], src="192.0.2.9", options=bytes.fromhex("440c0500 0000000000000000")))
    packet.cb.options.ts_needtime = True
    packet.tstamp_ns = 86_400 * SECOND + 1_234_567_890
    assert sent(packet)[20:32].hex() == "440c0900000004d200000000"


@pytest.mark.parametrize(("kernel", "size"), [(LINUX_4_14, 20), (LINUX_6_18, None)], ids=["4.14", "6.18"])
def test_no_more_than_a_header_to_quote(kernel: KernelProfile, size: int | None) -> None:
    """Twenty bytes of options over an MTU of 68 leave room for twenty bytes."""
    record = bytes.fromhex("0714080a000001") + bytes(13)
    original = ip(DATA[:100], src="192.0.2.9", options=record)
    if size is None:
        assert silence(original, router(mtu=68, kernel=kernel)) is Silence.NO_ROOM
    else:
        assert len(sent(original, router(mtu=68, kernel=kernel))) == 20 + 20 + 8 + size


def test_one_byte_more_than_a_header_is_quoted() -> None:
    original = ip(DATA[:100], src="192.0.2.9", options=bytes.fromhex("070f080a000001") + bytes(8))
    assert len(sent(original, router(mtu=68))) == 68


def test_a_packet_that_the_capture_cut_short_is_quoted_as_far_as_it_is_there() -> None:
    packet = replace(about(BIG[:100]), on_wire=1020)
    assert sent(packet)[28:] == BIG[:100]


def outcomes(configured: HostConfig, count: int, *, now_ns: int = 0, kind: int = 11, code: int = 0) -> list[str]:
    tokens, idents, routing = IcmpTokens(), IpIdents(), routing_of(configured)
    told = []
    for number in range(count):
        packet = about(ip(DATA[:100], src=f"192.0.2.{9 + number % 4}"), now_ns=now_ns)
        result = icmp_send(IcmpDue(kind, code, 0, packet), routing, tokens, idents)
        told.append("sent" if isinstance(result, IcmpSent) else result.why.name)
    return told


@BOTH
def test_a_source_is_told_six_times_at_once(kernel: KernelProfile) -> None:
    told = outcomes(router(kernel=kernel), 40)
    assert told == ["sent"] * 24 + ["HOST_LIMIT"] * 16


def test_the_host_is_limited_in_all() -> None:
    """4.14 pays the host's bucket first, 6.18 only for what is sent."""
    told = outcomes(router(kernel=LINUX_4_14, icmp_msgs_burst=30), 40)
    assert told == ["sent"] * 24 + ["HOST_LIMIT"] * 6 + ["GLOBAL_LIMIT"] * 10
    told = outcomes(router(kernel=LINUX_6_18, icmp_msgs_burst=30), 40)
    assert told == ["sent"] * 24 + ["HOST_LIMIT"] * 16
    told = outcomes(router(kernel=LINUX_6_18, icmp_msgs_burst=20), 40)
    assert told == ["sent"] * 20 + ["GLOBAL_LIMIT"] * 20


@BOTH
def test_what_is_not_limited(kernel: KernelProfile) -> None:
    assert outcomes(router(kernel=kernel), 60, kind=3, code=4) == ["sent"] * 60
    assert outcomes(router(kernel=kernel), 60, kind=5, code=1) == ["sent"] * 60
    assert outcomes(router(kernel=kernel, icmp_ratemask=0), 60) == ["sent"] * 60
    assert outcomes(router(kernel=kernel, icmp_ratelimit=0), 45) == ["sent"] * 45
    assert outcomes(router(kernel=kernel, icmp_ratelimit=0), 60)[45:] == ["sent"] * 5 + ["GLOBAL_LIMIT"] * 10


def test_only_the_later_kernel_counts_what_limits_hold_back() -> None:
    for kernel, expected in ((LINUX_4_14, ()), (LINUX_6_18, (Mib.ICMP_OUT_RATE_LIMIT_GLOBAL,))):
        result = answer(BIG, router(kernel=kernel, icmp_msgs_burst=0), kind=11, code=0)
        assert result == IcmpWithheld(Silence.GLOBAL_LIMIT, expected)
    tokens = IcmpTokens()
    results = [answer(BIG, kind=11, code=0, tokens=tokens) for _ in range(7)]
    assert results[6] == IcmpWithheld(Silence.HOST_LIMIT, (Mib.ICMP_OUT_RATE_LIMIT_HOST,))


@BOTH
def test_nobody_is_limited_on_loopback(kernel: KernelProfile) -> None:
    configured = router(kernel=kernel, icmp_msgs_burst=0)
    own = replace(about(ip(udp(DATA[:100]), src="198.51.100.9", dst="192.0.2.1"), flags=RouteFlag.LOCAL), dev="lo")
    tokens = IcmpTokens()
    assert [type(answer(own, configured, kind=3, code=3, tokens=tokens)) for _ in range(9)] == [IcmpSent] * 9


def recorded() -> list[Any]:
    """Return what kernel 6.18 sent about datagrams too long, or too old, to be forwarded."""
    cases = []
    for scenario in ("df", "ttl"):
        for step in json.loads((VECTORS / f"{scenario}.json").read_text())["steps"]:
            errors = [(one["type"], one["code"]) for one in step.get("icmp_send") or []]
            frames = [bytes.fromhex(one["frame"]) for one in step.get("out", [])]
            if "frame" in step and errors in ([(3, 4)], [(11, 0)]) and len(frames) == 1 and frames[0][23] == 1:
                label = f"{scenario} {step['i']}: {step.get('note', '')}"
                cases.append(pytest.param(bytes.fromhex(step["frame"]), frames[0], id=label))
    return cases


def comparable(datagram: bytes) -> bytes:
    return patched(patched(datagram, 4, b"\0\0"), 10, b"\0\0")


@pytest.mark.parametrize(("frame", "out"), recorded())
def test_recorded_errors(frame: bytes, out: bytes) -> None:
    datagram, error = frame[14:], out[14:]
    total = int.from_bytes(datagram[2:4])
    header = error[0] % 16 * 4
    info = int.from_bytes(error[header + 4 : header + 8])
    local = RouteFlag.LOCAL if datagram[16:20] in (bytes((192, 0, 2, 1)), bytes((198, 51, 100, 1))) else RouteFlag.NONE
    packet = about(datagram[:total], flags=local)
    if datagram[20] == 7 and datagram[0] > 0x45:
        # On the way in, the router has written the address that faces the sender into the record.
        packet.data = patched(patched(packet.data, 22, b"\x08"), 23, bytes((192, 0, 2, 1)))
        packet.cb.options.rr_needaddr = True
    made = sent(packet, kind=error[header], code=error[header + 1], info=info)
    assert comparable(made) == comparable(error)
