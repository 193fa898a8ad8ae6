"""ip_rt_send_redirect: who is told of a better way, how often, and with which bytes; in both kernels."""

from __future__ import annotations

from typing import Any

import pytest

from ipkit.core.host.kernel import LINUX_4_14, LINUX_6_18, KernelProfile
from ipkit.core.outcome.journal import Journal
from ipkit.core.outcome.verdict import Transmitted
from ipkit.core.state.netns import NetNamespace
from tests.support.journeys import KERNELS, came, counted, icmp, out, two_arms
from tests.support.packets import ip, patched, rfc1071, udp

both = pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)

MS = 1_000_000
ROUTES = ["10.7.0.0/16 via 10.0.0.9 dev t0", "10.8.0.0/16 via 10.1.0.9 dev t1", "10.9.0.0/24 via 10.0.0.9 dev t0"]
DETOUR = "10.7.0.5"


def host(kernel: KernelProfile = LINUX_6_18, **more: Any) -> NetNamespace:
    return two_arms(kernel, **{"routes": ROUTES, **more})


def transit(dst: str = DETOUR, src: str = "10.0.0.5", **more: Any) -> bytes:
    return ip(udp(b"12345678"), src=src, dst=dst, **more)


def without_id(datagram: bytes) -> bytes:
    return patched(patched(datagram, 4, b"\0\0"), 10, b"\0\0")


@both
def test_the_sender_is_told_before_its_packet_goes_on(kernel: KernelProfile) -> None:
    journal = came(transit(ttl=64, tos=0x47), host(kernel))
    assert journal.ends == [Transmitted("t0", 1)]
    (first, told), (second, forwarded) = out(journal)
    assert (first, second) == ("t0", "t0")
    assert forwarded == transit(ttl=63, tos=0x47)
    assert without_id(told[:20]).hex() == "45c60040000000004001" + "0000" + "0a0000010a000005"
    assert told[20:22] + told[24:28] == bytes.fromhex("0501 0a000009")
    assert told[28:] == transit(ttl=63, tos=0x47)
    assert rfc1071(told[:20]) == rfc1071(told[20:]) == 0
    assert journal.emitted[1].header[:6].hex() == "02000a000009"
    moved = counted(journal)
    assert (moved["IcmpOutMsgs"], moved["IcmpOutRedirects"], moved["IcmpMsgOutType5"]) == (1, 1, 1)


@both
@pytest.mark.parametrize("dst", ["10.0.0.77", "10.0.0.6"])
def test_a_destination_on_the_link_is_its_own_gateway(dst: str, kernel: KernelProfile) -> None:
    told = out(came(transit(dst), host(kernel)))[0][1]
    assert told[24:28] == bytes(int(part) for part in dst.split("."))


def test_the_first_address_of_a_link_is_a_neighbour_today() -> None:
    told = out(came(transit("10.0.0.0"), host()))[0][1]
    assert told[20:28].hex() == "0501" + told[22:24].hex() + "0a000000"


OFF = {"net.ipv4.conf.all.send_redirects": 0, "net.ipv4.conf.t0.send_redirects": 0}
NOT_SHARED = {"net.ipv4.conf.all.shared_media": 0, "net.ipv4.conf.t0.shared_media": 0}


@both
@pytest.mark.parametrize(
    ("packet", "more"),
    [
        (transit("10.8.0.5"), {}),  # by another link
        (transit(src="10.9.0.5"), {}),  # a sender behind a gateway
        (transit(), {"sysctl": OFF}),
        (transit(), {"sysctl": NOT_SHARED, "routes": ["10.7.0.0/16 via 10.99.0.9 dev t0 onlink"]}),
    ],
    ids=["other link", "sender off the link", "send_redirects", "gateway off the sender's net"],
)
def test_nobody_is_told(packet: bytes, more: dict[str, Any], kernel: KernelProfile) -> None:
    journal = came(packet, host(kernel, **more))
    assert isinstance(journal.ends[0], Transmitted)
    assert icmp(journal) == []


@both
@pytest.mark.parametrize(
    ("sysctl", "routes"),
    [
        ({"net.ipv4.conf.all.send_redirects": 0}, ROUTES),  # the link's own knob is enough
        ({"net.ipv4.conf.t0.send_redirects": 0}, ROUTES),
        (NOT_SHARED, ROUTES),
        ({}, ["10.7.0.0/16 via 10.99.0.9 dev t0 onlink"]),
    ],
)
def test_one_knob_alone_forbids_nothing(sysctl: dict[str, int], routes: list[str], kernel: KernelProfile) -> None:
    assert icmp(came(transit(), host(kernel, sysctl=sysctl, routes=routes))) == [(5, 1)]


@both
def test_a_later_fragment_goes_on_untold_but_counts(kernel: KernelProfile) -> None:
    net = host(kernel)
    assert icmp(came(transit(offset=8), net)) == []
    assert icmp(came(transit(), net, now_ns=40 * MS)) == []
    assert icmp(came(transit(), net, now_ns=44 * MS)) == [(5, 1)]


@both
def test_an_icmp_error_is_not_answered(kernel: KernelProfile) -> None:
    error = ip(b"\x03\x01\xfc\xfe\0\0\0\0", proto=1, src="10.0.0.5", dst=DETOUR)
    assert icmp(came(error, host(kernel))) == [(3, 1)]  # itself, forwarded


@both
@pytest.mark.parametrize("ttl", [0, 1])
def test_what_does_not_go_on_is_told_nothing_but_that(ttl: int, kernel: KernelProfile) -> None:
    assert icmp(came(transit(ttl=ttl), host(kernel))) == [(11, 0)]


def told_at(net: NetNamespace, *moments_ms: int, src: str = "10.0.0.5") -> list[int]:
    return [at for at in moments_ms if icmp(came(transit(src=src), net, now_ns=at * MS))]


@both
def test_pauses_between_redirects_double(kernel: KernelProfile) -> None:
    net = host(kernel)
    assert told_at(net, *range(0, 1000, 4)) == [0, 44, 128, 292, 616]


@both
def test_each_source_has_its_own_pauses(kernel: KernelProfile) -> None:
    net = host(kernel)
    assert told_at(net, 0, 4) == [0]
    assert told_at(net, 8, 12, src="10.0.0.6") == [8]


@both
def test_after_nine_it_is_silent_until_the_source_was(kernel: KernelProfile) -> None:
    net = host(kernel)
    moments = [0, 44, 128, 292, 616, 1260, 2544, 5108, 10232]
    assert told_at(net, *moments) == moments
    assert told_at(net, 25_000, 30_712, 30_716) == []  # 5120 ticks are over, but these kept the silence going
    assert told_at(net, 30_716 + 20_480) == []
    assert told_at(net, 30_716 + 2 * 20_480 + 4) == [30_716 + 2 * 20_480 + 4]


@both
def test_knobs_of_the_pauses(kernel: KernelProfile) -> None:
    knobs = {"number": 2, "load": 1, "silence": 25}
    net = host(kernel, sysctl={f"net.ipv4.route.redirect_{name}": value for name, value in knobs.items()})
    assert told_at(net, *range(0, 400, 4)) == [0, 12]
    assert told_at(net, 396 + 100) == []
    assert told_at(net, 496 + 104) == [600]


@both
def test_any_number_of_them_costs_no_memory(kernel: KernelProfile) -> None:
    net = host(kernel, sysctl={"net.ipv4.route.redirect_number": 2**31 - 1, "net.ipv4.route.redirect_load": 0})
    assert len(told_at(net, *range(0, 4000, 4))) == 1000


def quarrel(net: NetNamespace, now_ms: int) -> Journal:
    return came(transit("10.66.0.5"), net, now_ns=now_ms * MS)


UNREACHABLE = [*ROUTES, "unreachable 10.66.0.0/16"]


@pytest.mark.parametrize(("kernel", "told"), [(LINUX_4_14, []), (LINUX_6_18, [(5, 1)])])
def test_errors_use_up_redirects_where_they_share_a_field(kernel: KernelProfile, told: list[tuple[int, int]]) -> None:
    net = host(kernel, routes=UNREACHABLE)
    assert icmp(quarrel(net, 0)) == [(3, 1)]
    assert icmp(came(transit(), net, now_ns=1_000 * MS)) == told


@both
def test_a_first_redirect_empties_the_purse_of_errors(kernel: KernelProfile) -> None:
    net = host(kernel, routes=UNREACHABLE)
    assert told_at(net, 0) == [0]
    assert icmp(quarrel(net, 4)) == []
    assert icmp(quarrel(net, 1_900)) == []  # the error bucket lets it pass, then the limit on messages does not
    assert icmp(quarrel(net, 3_000)) == [(3, 1)]


def test_a_trace_says_who_is_told_what() -> None:
    net = host()
    steps = [came(transit(), net, now_ns=at, trace=True).steps or [] for at in (0, 1)]
    said = [[step.say for step in trace if step.func == "ip_rt_send_redirect"] for trace in steps]
    assert said == [
        ["10.0.0.5 is to be told of 10.0.0.9"],
        ["10.0.0.5 has been told of 10.0.0.9 too often"],
    ]
