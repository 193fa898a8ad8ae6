"""ICMP errors and redirects that come in: who hears them, what is learnt, which bytes follow from it; both kernels."""

from __future__ import annotations

from typing import Any

import pytest

from ipkit.core.host.fib import Route, RouteFlag
from ipkit.core.host.kernel import LINUX_4_14, LINUX_6_18, KernelProfile
from ipkit.core.neigh_update import arp_error_report
from ipkit.core.outcome.journal import Journal
from ipkit.core.outcome.verdict import Delivered, Drop
from ipkit.core.route import InputFlow, OutputFlow, dst_mtu, ip_route_input_noref, ip_route_output_key
from ipkit.core.skbuff import PacketType, SkBuff
from ipkit.core.state.netns import NetNamespace
from tests.support.journeys import KERNELS, came, counted, icmp, out, two_arms
from tests.support.packets import address, ip, u16, u32, udp
from tests.support.packets import icmp as icmp_message
from tests.support.routes import number

both = pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)

S = 1_000_000_000
FAR = "10.7.0.5"
ROUTER, HOST_ONLY = {"net.ipv4.ip_forward": 1}, {"net.ipv4.ip_forward": 0}
LISTEN = [{"proto": "udp", "port": 5000}, {"proto": "tcp", "port": 80}, {"proto": "raw", "number": 253}]  # fmt: skip
ECHO_REPLY = b"\0\0\0\0\0\1\0\1"
FROM_PORT_5000 = b"\x13\x88\0\x07\0\x08\0\0"


def host(kernel: KernelProfile = LINUX_6_18, **more: Any) -> NetNamespace:
    given: dict[str, Any] = {"routes": ["10.7.0.0/16 via 10.0.0.9 dev t0"], "listen": LISTEN, **more}
    return two_arms(kernel, **given)


def quoted(payload: bytes = ECHO_REPLY, proto: int = 1, **more: Any) -> bytes:
    return ip(payload, proto=proto, src=more.pop("src", "10.0.0.1"), dst=more.pop("dst", FAR), **more)


def report(about: bytes, *, kind: int = 3, code: int = 4, info: int = 1200, src: str = "10.0.0.9") -> bytes:
    return ip(icmp_message(about, kind=kind, code=code, rest=u32(info)), proto=1, src=src, dst="10.0.0.1")


def redirect(about: bytes, gateway: str = "10.0.0.8", code: int = 1, src: str = "10.0.0.9") -> bytes:
    return report(about, kind=5, code=code, info=number(gateway), src=src)


def known(net: NetNamespace, dst: str = FAR, now_ns: int = 0) -> Route:
    route = ip_route_output_key(OutputFlow(number(dst), now_ns=now_ns), net.routing)
    assert isinstance(route, Route)
    return route


def errors(journal: Journal) -> int:
    return counted(journal).get("IcmpInErrors", 0)


@both
@pytest.mark.parametrize(
    ("about", "learnt", "counted_as_error"),
    [
        (quoted(), 1200, 0),
        (quoted(b"\x08" + ECHO_REPLY[1:]), 0, 0),  # a request: some ping socket's business
        (quoted(b"\x0e" + ECHO_REPLY[1:]), 0, 0),
        (quoted(FROM_PORT_5000, 17), 1200, 0),
        (quoted(b"\x13\x89" + FROM_PORT_5000[2:], 17), 0, 1),  # no socket there
        (quoted(FROM_PORT_5000, 136), 0, 1),
        (quoted(b"\0\x50" + bytes(18), 6), 0, 1),  # what listens is not connected
        (quoted(bytes(8), 253), 1200, 0),
        (quoted(bytes(8), 252), 0, 0),
        (quoted(bytes(8), 2), 0, 0),
        (quoted(src="10.0.0.77"), 0, 0),  # not a packet of ours
        (quoted(src="0.0.0.0"), 1200, 0),
        (quoted(src="10.1.0.1"), 1200, 0),
        (quoted(version=5), 1200, 0),
        (quoted(offset=800), 1200, 0),
        (quoted(checksum=1), 1200, 0),
        (quoted(options=b"\x01\x01\x01\x01"), 1200, 0),
        (quoted(ECHO_REPLY[:7]), 0, 1),
        (quoted(ihl=15), 0, 1),
    ],
)
def test_who_learns_a_path_mtu(about: bytes, learnt: int, counted_as_error: int, kernel: KernelProfile) -> None:
    net = host(kernel)
    journal = came(report(about), net)
    assert (known(net).pmtu, errors(journal)) == (learnt, counted_as_error)
    assert isinstance(journal.ends[0], Delivered)


@pytest.mark.parametrize(("kernel", "learnt", "counted_as_error"), [(LINUX_4_14, 1200, 0), (LINUX_6_18, 0, 1)])
def test_sockets_of_protocol_255_hear_nothing_today(kernel: KernelProfile, learnt: int, counted_as_error: int) -> None:
    net = host(kernel, listen=[{"proto": "raw", "number": 255}])
    journal = came(report(quoted(bytes(8), 255)), net)
    assert (known(net).pmtu, errors(journal)) == (learnt, counted_as_error)


@both
@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (report(quoted()[:19]), "NOT_SPECIFIED"),
        (report(b""), "NOT_SPECIFIED"),
        (report(quoted(ihl=4)), "IP_INHDR"),
        (redirect(quoted()[:19]), "PKT_TOO_SMALL"),
    ],
)
def test_what_quotes_no_header_is_dropped(packet: bytes, reason: str, kernel: KernelProfile) -> None:
    journal = came(packet, host(kernel))
    (end,) = journal.ends
    assert isinstance(end, Drop)
    assert (end.reason.value, errors(journal)) == (reason, 1)


@both
def test_a_redirect_may_quote_a_header_of_any_length(kernel: KernelProfile) -> None:
    journal = came(redirect(quoted(ihl=4)), host(kernel))
    assert (errors(journal), isinstance(journal.ends[0], Delivered)) == (0, True)


UNHEARD = quoted(b"\x13\x89" + FROM_PORT_5000[2:], 17)


@both
@pytest.mark.parametrize(
    ("kind", "code", "heard"),
    [(3, 0, True), (3, 15, True), (3, 16, False), (3, 20, False), (11, 0, True), (11, 1, False), (12, 0, True),
     (4, 0, True)],
)  # fmt: skip
def test_which_errors_reach_sockets(kind: int, code: int, heard: bool, kernel: KernelProfile) -> None:
    assert errors(came(report(UNHEARD, kind=kind, code=code), host(kernel))) == int(heard)


@both
@pytest.mark.parametrize(("knob", "heard"), [(1, 1), (0, 0)])
def test_errors_about_broadcasts_may_be_called_bogus(knob: int, heard: int, kernel: KernelProfile) -> None:
    net = host(kernel, sysctl={"net.ipv4.icmp_ignore_bogus_error_responses": knob})
    about = quoted(b"\x13\x89" + FROM_PORT_5000[2:], 17, dst="10.0.0.255")
    assert errors(came(report(about, code=3), net)) == heard


@both
@pytest.mark.parametrize(
    ("mode", "told", "learnt"),
    [
        (0, 1200, (1200, False)),
        (1, 1200, (552, True)),  # what is told is not believed: it is the least
        (1, 1600, (552, True)),
        (9, 1200, (552, True)),
        (2, 1200, (0, False)),
        (3, 1200, (0, False)),  # only protocols that check what is quoted, and TCP has no socket here
    ],
)
def test_ip_no_pmtu_disc(mode: int, told: int, learnt: tuple[int, bool], kernel: KernelProfile) -> None:
    net = host(kernel, sysctl={"net.ipv4.ip_no_pmtu_disc": mode})
    came(report(quoted(), info=told), net)
    assert (known(net).pmtu, known(net).pmtu_locked) == learnt


@both
@pytest.mark.parametrize(("mode", "errors_counted"), [(0, 1), (1, 1), (2, 0), (3, 0)])
def test_what_is_not_listened_to_reaches_no_socket(mode: int, errors_counted: int, kernel: KernelProfile) -> None:
    net = host(kernel, sysctl={"net.ipv4.ip_no_pmtu_disc": mode})
    assert errors(came(report(UNHEARD), net)) == errors_counted
    assert errors(came(report(quoted(b"\0\x50" + bytes(18), 6)), net)) == int(mode != 2)


@both
def test_the_mtu_is_sixteen_bits(kernel: KernelProfile) -> None:
    net = host(kernel)
    came(report(quoted(), info=0x1_0000 + 1300), net)
    assert known(net).pmtu == 1300


def ping(size: int) -> bytes:
    return ip(icmp_message(bytes(size)), proto=1, src=FAR, dst="10.0.0.1")


@both
def test_replies_are_cut_to_what_was_learnt_until_it_expires(kernel: KernelProfile) -> None:
    net = host(kernel)
    assert [len(data) for _, data in out(came(ping(1400), net))] == [1428]
    came(report(quoted()), net)
    assert [len(data) for _, data in out(came(ping(1400), net, now_ns=599 * S))] == [1196, 252]
    assert [len(data) for _, data in out(came(ping(1400), net, now_ns=600 * S))] == [1428]


def transit(size: int = 1000, **more: Any) -> bytes:
    return ip(udp(bytes(size)), src="10.1.0.5", dst=FAR, df=True, **more)


@both
@pytest.mark.parametrize(
    ("told", "use_pmtu", "refused_mtu"),
    [(900, 0, 0), (900, 1, 900), (500, 0, 552), (500, 1, 552), (1028, 1, 0), (1027, 1, 1027)],
)
def test_packets_in_transit_obey_it_only_where_told_or_locked(
    told: int, use_pmtu: int, refused_mtu: int, kernel: KernelProfile
) -> None:
    net = host(kernel, sysctl={"net.ipv4.ip_forward_use_pmtu": use_pmtu})
    assert icmp(came(transit(), net, dev="t1")) == []
    came(report(quoted(), info=told), net)
    journal = came(transit(), net, dev="t1")
    assert icmp(journal) == ([(3, 4)] if refused_mtu else [])
    if refused_mtu:
        assert out(journal)[0][1][26:28] == u16(refused_mtu)
    after = came(transit(), net, dev="t1", now_ns=600 * S)
    # A lock outlives its MTU: on the way to a gateway it means 576.
    assert icmp(after) == ([(3, 4)] if refused_mtu == 552 else [])


@both
def test_a_gateway_that_fails_ends_it_for_packets_in_transit(kernel: KernelProfile) -> None:
    net = host(kernel, sysctl={"net.ipv4.ip_forward_use_pmtu": 1})
    came(report(quoted(), info=900), net)
    waited = SkBuff(transit(), "t0", PacketType.HOST, 5 * S)
    flow = InputFlow(number(FAR), number("10.1.0.5"), 0, "t1", now_ns=5 * S)
    route = ip_route_input_noref(flow, net.routing)
    assert isinstance(route, Route)
    assert route.pmtu == 900
    waited.route = route
    assert arp_error_report(waited, net) is not None
    assert icmp(came(transit(), net, dev="t1", now_ns=5 * S)) == []
    assert dst_mtu(known(net, now_ns=5 * S), net.host, 5 * S) == 900  # our own packets go on as before


@both
def test_on_a_point_to_point_link_there_is_nobody_to_ask(kernel: KernelProfile) -> None:
    links = {"t0": {"addr": ["10.0.0.1/24"], "pointopoint": True}}
    net = host(kernel, sysctl=HOST_ONLY, neigh_default="resolve", link=links)
    assert out(came(redirect(quoted()), net)) == []
    assert known(net).gateway == number("10.0.0.8")


@both
def test_only_the_destination_that_was_quoted_learns(kernel: KernelProfile) -> None:
    net = host(kernel, sysctl={"net.ipv4.ip_forward_use_pmtu": 1})
    for _ in range(2):  # the routes of both are remembered
        assert icmp(came(transit(), net, dev="t1")) == []
    came(report(quoted(), info=900), net)
    beside = ip(udp(bytes(1000)), src="10.1.0.5", dst="10.7.0.6", df=True)
    assert icmp(came(beside, net, dev="t1")) == []
    assert icmp(came(transit(), net, dev="t1")) == [(3, 4)]
    assert icmp(came(beside, net, dev="t1")) == []


@both
@pytest.mark.parametrize("about", [quoted(), quoted(FROM_PORT_5000, 17), quoted(bytes(8), 253)], ids=str)
def test_a_host_obeys_its_gateway(about: bytes, kernel: KernelProfile) -> None:
    net = host(kernel, sysctl=HOST_ONLY)
    journal = came(redirect(about), net)
    route = known(net)
    assert (route.gateway, bool(route.flags & RouteFlag.REDIRECTED)) == (number("10.0.0.8"), True)
    assert (errors(journal), out(journal)) == (0, [])
    reply = came(ping(100), net)
    assert reply.emitted[0].header[:6].hex() == "02000a000008"
    late = came(ping(100), net, now_ns=300 * S + 1)
    assert late.emitted[0].header[:6].hex() == "02000a000009"


@both
@pytest.mark.parametrize(
    ("packet", "sysctl"),
    [
        (redirect(quoted()), ROUTER),
        (redirect(quoted(), src="10.0.0.7"), HOST_ONLY),
        (redirect(quoted(), code=4), HOST_ONLY),
        (redirect(quoted(), "10.0.0.1"), HOST_ONLY),
        (redirect(quoted(), "10.0.0.255"), HOST_ONLY),
        (redirect(quoted(), "224.0.0.1"), HOST_ONLY),
        (redirect(quoted(b"\x08" + ECHO_REPLY[1:])), HOST_ONLY),
        (redirect(quoted(bytes(8), 252)), HOST_ONLY),
        (redirect(quoted(src="10.0.0.77")), HOST_ONLY),
        (redirect(quoted()), {**HOST_ONLY, "net.ipv4.conf.all.accept_redirects": 0,
                              "net.ipv4.conf.t0.accept_redirects": 0}),
    ],
)  # fmt: skip
def test_redirects_that_change_nothing(packet: bytes, sysctl: dict[str, int], kernel: KernelProfile) -> None:
    net = host(kernel, sysctl=sysctl)
    came(packet, net)
    assert known(net).gateway == number("10.0.0.9")


@both
def test_without_forwarding_one_knob_is_enough_to_accept(kernel: KernelProfile) -> None:
    net = host(kernel, sysctl={**HOST_ONLY, "net.ipv4.conf.all.accept_redirects": 0})
    came(redirect(quoted()), net)
    assert known(net).gateway == number("10.0.0.8")


@both
def test_a_router_accepts_only_where_both_knobs_say_so(kernel: KernelProfile) -> None:
    for every, obeyed in ((0, "10.0.0.9"), (1, "10.0.0.8")):
        net = host(kernel, sysctl={**ROUTER, "net.ipv4.conf.all.accept_redirects": every})
        came(redirect(quoted()), net)
        assert known(net).gateway == number(obeyed)


@both
def test_a_gateway_nobody_knows_is_asked_for_and_the_redirect_is_lost(kernel: KernelProfile) -> None:
    neigh = ["10.0.0.9 lladdr 02:00:00:00:00:09 dev t0"]
    net = host(kernel, sysctl=HOST_ONLY, neigh_default="resolve", neigh=neigh)
    journal = came(redirect(quoted()), net, trace=True)
    ((dev, request),) = out(journal)
    assert (dev, journal.emitted[0].kind.value) == ("t0", "arp")
    assert journal.emitted[0].header[:6] == b"\xff" * 6
    assert request[6:8] + request[14:18] + request[24:28] == b"\0\x01" + address("10.0.0.1") + address("10.0.0.8")
    assert known(net).gateway == number("10.0.0.9")
    assert out(came(redirect(quoted()), net)) == []  # it is being asked for


@both
def test_a_gateway_behind_a_link_without_arp_needs_no_answer(kernel: KernelProfile) -> None:
    links = {"t0": {"addr": ["10.0.0.1/24"], "arp": False}}
    net = host(kernel, sysctl=HOST_ONLY, neigh_default="resolve", link=links)
    assert out(came(redirect(quoted()), net)) == []
    assert known(net).gateway == number("10.0.0.8")


@both
def test_what_the_capture_cut_off_teaches_nothing(kernel: KernelProfile) -> None:
    whole = report(quoted())
    for kept in (28, 47, 48, 55):
        net = host(kernel)
        journal = came(whole[:kept], net, on_wire=len(whole))
        assert (isinstance(journal.ends[0], Delivered), errors(journal), known(net).pmtu) == (True, 0, 0)


@pytest.mark.parametrize(
    ("packet", "say"),
    [
        (report(quoted()), "10.7.0.5 mtu 1200: learnt as mtu 1200 for 600 seconds"),
        (report(quoted(), info=500), "10.7.0.5 mtu 500: learnt as mtu 552, locked for 600 seconds"),
        (report(quoted(), info=1600), "10.7.0.5 mtu 1600: a smaller mtu is in force"),
        (report(quoted(dst="99.1.1.1")), "99.1.1.1 mtu 1200: no route of ours leads there"),
        (redirect(quoted()), "10.7.0.5 via 10.0.0.8: learnt for 300 seconds"),
        (redirect(quoted(), src="10.0.0.7"), "10.7.0.5 via 10.0.0.8: not from the gateway in use"),
    ],
)
def test_a_trace_says_what_was_learnt(packet: bytes, say: str) -> None:
    steps = came(packet, host(sysctl=HOST_ONLY), trace=True).steps or []
    assert say in [step.say for step in steps if step.func in ("ip_rt_update_pmtu", "ipv4_redirect")]


def test_a_flood_of_lessons_is_bounded() -> None:
    net = host()
    for last in range(600):
        came(report(quoted(dst=f"10.7.{last >> 8}.{last & 255}")), net)
    assert len(net.routing.exceptions.by_destination) == 600


def test_a_trace_says_which_mtu_was_learnt() -> None:
    net = host(sysctl={"net.ipv4.ip_forward_use_pmtu": 1})
    came(report(quoted(), info=900), net)
    steps = came(transit(), net, dev="t1", trace=True).steps or []
    said = {step.func: step.say for step in steps}
    assert said["ip_dst_mtu_maybe_forward"] == "mtu 900 learnt from the way"
    assert said["ip_exceeds_mtu"] == "1028 bytes are too many"
