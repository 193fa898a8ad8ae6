"""What routes learn: path MTUs, redirects, failing next hops."""

from __future__ import annotations

from typing import Any

import pytest

from ipkit.core.host.fib import Route, RouteFlag, RouteType
from ipkit.core.host.kernel import LINUX_4_14, LINUX_6_18
from ipkit.core.route import (
    Direction,
    InputFlow,
    Learnt,
    OutputFlow,
    Redirect,
    dst_mtu,
    ip_dst_mtu_maybe_forward,
    ip_route_input_noref,
    ip_route_output_key,
    ipv4_link_failure,
    ipv4_negative_advice,
    ipv4_redirect,
    ipv4_update_pmtu,
)
from ipkit.core.state.route_exceptions import MOST_EXCEPTIONS, RouteException, RouteExceptions
from ipkit.core.state.routing import Routing
from tests.support.packets import ip
from tests.support.routes import hop, number, route, two_armed

S = 1_000_000_000
DST = "10.7.0.5"


def flow(dst: str = DST, now: int = 0) -> OutputFlow:
    return OutputFlow(number(dst), now_ns=now)


def route_to(routing: Routing, dst: str = DST, now: int = 0) -> Route:
    found = ip_route_output_key(flow(dst, now), routing)
    assert isinstance(found, Route)
    return found


def host(metrics: str = "", **more: Any) -> Routing:
    return two_armed(more.pop("kernel", LINUX_6_18), routes=[f"10.7.0.0/16 via 10.0.0.9 {metrics}"], **more)


@pytest.mark.parametrize("kernel", [LINUX_4_14, LINUX_6_18], ids=lambda kernel: kernel.name)
@pytest.mark.parametrize(
    ("metrics", "told", "outcome", "left"),
    [
        ("", 1200, Learnt.STORED, (1200, False)),
        ("", 1500, Learnt.STORED, (1500, False)),
        ("", 1501, Learnt.SMALLER_MTU, (0, False)),
        ("", 552, Learnt.STORED, (552, False)),
        ("", 551, Learnt.STORED, (552, True)),
        ("", 68, Learnt.STORED, (552, True)),
        ("", 0, Learnt.STORED, (552, True)),
        ("mtu 1000", 1200, Learnt.SMALLER_MTU, (0, False)),
        ("mtu 1000", 1000, Learnt.STORED, (1000, False)),
        ("mtu lock 1000", 800, Learnt.MTU_LOCKED, (0, False)),
    ],
)
def test_what_a_path_mtu_leaves_behind(
    metrics: str, told: int, outcome: Learnt, left: tuple[int, bool], kernel: Any
) -> None:
    routing = host(metrics, kernel=kernel)
    assert ipv4_update_pmtu(routing, flow(), told) is outcome
    known = route_to(routing)
    assert (known.pmtu, known.pmtu_locked) == left
    assert known.expires_ns == (600 * S if left[0] else 0)
    assert route_to(routing, "10.7.0.6").pmtu == 0


@pytest.mark.parametrize(("kernel", "learnt"), [(LINUX_4_14, 552), (LINUX_6_18, 500)])
def test_a_link_smaller_than_the_least_path_mtu_keeps_its_own_today(kernel: Any, learnt: int) -> None:
    routing = host(link={"t0": {"mtu": 500}}, kernel=kernel)
    ipv4_update_pmtu(routing, flow(), 400)
    assert (route_to(routing).pmtu, route_to(routing).pmtu_locked) == (learnt, True)


def test_a_path_mtu_ends() -> None:
    routing = host()
    ipv4_update_pmtu(routing, flow(), 1200)
    assert dst_mtu(route_to(routing, now=600 * S - 1), routing.host, 600 * S - 1) == 1200
    assert dst_mtu(route_to(routing, now=600 * S), routing.host, 600 * S) == 1500
    assert route_to(routing, now=600 * S + 1).pmtu == 0
    assert not routing.exceptions.by_destination


def test_the_same_path_mtu_again_starts_its_life_anew_only_in_its_second_half() -> None:
    routing = host()
    ipv4_update_pmtu(routing, flow(), 1200)
    assert ipv4_update_pmtu(routing, flow(now=299 * S), 1200) is Learnt.KNOWN
    assert ipv4_update_pmtu(routing, flow(now=300 * S), 1200) is Learnt.STORED
    assert route_to(routing).expires_ns == 900 * S


SEVERAL_WAYS = ["10.7.0.0/16 nexthop via 10.0.0.9 nexthop via 10.1.0.9"]


def known_by(routing: Routing, dev: str) -> Route:
    known = ip_route_output_key(flow()._replace(oif=dev), routing)
    assert isinstance(known, Route)
    assert known.dev == dev
    return known


@pytest.mark.parametrize(("kernel", "elsewhere"), [(LINUX_4_14, 0), (LINUX_6_18, 1200)])
def test_a_path_mtu_is_known_on_every_next_hop_today(kernel: Any, elsewhere: int) -> None:
    knobs = {} if kernel is LINUX_4_14 else {"fib_multipath_hash_seed": 1}
    routing = two_armed(kernel, routes=SEVERAL_WAYS, sysctl=knobs)
    used = route_to(routing).dev
    ipv4_update_pmtu(routing, flow(), 1200)
    other = "t1" if used == "t0" else "t0"
    assert (known_by(routing, used).pmtu, known_by(routing, other).pmtu) == (1200, elsewhere)


def test_a_redirect_is_noted_where_its_own_message_hashes_to() -> None:
    knobs = {"ip_forward": 0, "fib_multipath_hash_seed": 1}
    links = {"t0": {"addr": ["10.0.0.1/24", "10.0.0.99/24"]}, "t1": {"addr": ["10.1.0.1/24"]}}
    gateways = {"t0": number("10.0.0.9"), "t1": number("10.1.0.9")}
    quoted = flow()._replace(saddr=number("10.0.0.99"))  # no next hop's own source, which would come first
    noted = set()
    for last in range(8):
        routing = two_armed(LINUX_6_18, routes=SEVERAL_WAYS, sysctl=knobs, link=links)
        used = ip_route_output_key(quoted, routing)
        assert isinstance(used, Route)
        message = ip(b"", proto=1, src="10.0.0.9", dst=f"10.0.0.{last}")
        redirect = Redirect(used.dev, used.gateway, used.gateway - 1, 1, message[:20])
        assert ipv4_redirect(routing, quoted, redirect) is Learnt.STORED
        noted.add(tuple(known_by(routing, dev).gateway == used.gateway - 1 for dev in gateways))
    assert noted == {(True, False), (False, True)}


def test_a_destination_without_a_route_learns_nothing() -> None:
    assert ipv4_update_pmtu(two_armed(), flow("99.1.1.1"), 1200) is Learnt.NO_ROUTE
    assert ipv4_update_pmtu(two_armed(), flow("99.1.1.1")._replace(oif="t0"), 1200) is Learnt.NO_ROUTE
    assert redirected(two_armed(), "10.0.0.8") is Learnt.NO_ROUTE


@pytest.mark.parametrize("kernel", [LINUX_4_14, LINUX_6_18], ids=lambda kernel: kernel.name)
def test_nothing_is_learnt_about_this_host_itself(kernel: Any) -> None:
    routing = host(kernel=kernel)
    assert ipv4_update_pmtu(routing, flow("10.0.0.1"), 1200) is Learnt.NO_ROUTE
    assert not routing.exceptions.by_destination


HOST_ONLY = {"ip_forward": 0}


def redirected(routing: Routing, new: str, old: str = "10.0.0.9", dev: str = "t0", code: int = 1) -> Learnt:
    return ipv4_redirect(routing, flow(), Redirect(dev, number(old), number(new), code))


@pytest.mark.parametrize(
    ("new", "old", "code", "outcome"),
    [
        ("10.0.0.8", "10.0.0.9", 1, Learnt.STORED),
        ("10.0.0.8", "10.0.0.9", 0, Learnt.STORED),
        ("10.0.0.8", "10.0.0.9", 4, Learnt.UNKNOWN_CODE),
        ("10.0.0.8", "10.0.0.9", 7, Learnt.UNKNOWN_CODE),
        ("10.0.0.8", "10.0.0.9", 8, Learnt.STORED),  # three bits are looked at
        ("10.0.0.8", "10.0.0.9", 255, Learnt.UNKNOWN_CODE),
        ("10.0.0.8", "10.0.0.7", 1, Learnt.OTHER_GATEWAY),  # not from the gateway in use
        ("10.0.0.9", "10.0.0.9", 1, Learnt.NOT_CREDIBLE),
        ("10.0.0.1", "10.0.0.9", 1, Learnt.NOT_CREDIBLE),  # our own address
        ("10.0.0.255", "10.0.0.9", 1, Learnt.NOT_CREDIBLE),
        ("224.0.0.1", "10.0.0.9", 1, Learnt.NOT_CREDIBLE),
        ("255.255.255.255", "10.0.0.9", 1, Learnt.NOT_CREDIBLE),
        ("0.0.0.0", "10.0.0.9", 1, Learnt.NOT_CREDIBLE),
        ("99.1.1.1", "10.0.0.9", 1, Learnt.STORED),  # shared media: on the link, whatever its address
    ],
)
def test_which_redirects_are_obeyed(new: str, old: str, code: int, outcome: Learnt) -> None:
    routing = host(sysctl=HOST_ONLY)
    assert redirected(routing, new, old, code=code) is outcome
    known = route_to(routing)
    obeyed = outcome is Learnt.STORED
    assert (known.gateway, bool(known.flags & RouteFlag.REDIRECTED)) == (number(new if obeyed else "10.0.0.9"), obeyed)
    assert known.expires_ns == (300 * S if obeyed else 0)


def test_a_router_obeys_no_redirect() -> None:
    assert redirected(host(), "10.0.0.8") is Learnt.NOT_ACCEPTED


@pytest.mark.parametrize(
    ("new", "secure", "outcome"),
    [("10.0.0.8", 0, Learnt.STORED), ("10.0.0.8", 1, Learnt.NOT_CREDIBLE), ("10.0.0.6", 1, Learnt.STORED),
     ("99.1.1.1", 0, Learnt.NOT_CREDIBLE)],
)  # fmt: skip
def test_without_shared_media_the_new_gateway_must_be_known(new: str, secure: int, outcome: Learnt) -> None:
    knobs = {**HOST_ONLY, "conf.all.shared_media": 0, "conf.t0.shared_media": 0,
             "conf.all.secure_redirects": secure, "conf.t0.secure_redirects": secure}  # fmt: skip
    routes = ["10.7.0.0/16 via 10.0.0.9", "10.8.0.0/16 via 10.0.0.6"]
    assert redirected(two_armed(routes=routes, sysctl=knobs), new) is outcome


def test_a_gateway_that_has_to_be_resolved_first() -> None:
    routing = host(sysctl=HOST_ONLY, neigh_default="resolve")
    assert redirected(routing, "10.0.0.8") is Learnt.ASK_NEIGHBOUR
    known = host(sysctl=HOST_ONLY, neigh_default="resolve", neigh=["10.0.0.8 lladdr 02:00:00:00:00:08 dev t0"])
    assert redirected(known, "10.0.0.8") is Learnt.STORED


def test_a_destination_on_the_link_has_no_gateway_to_redirect() -> None:
    routing = two_armed(sysctl=HOST_ONLY)
    redirect = Redirect("t0", number("10.0.0.5"), number("10.0.0.8"), 1)
    assert ipv4_redirect(routing, flow("10.0.0.5"), redirect) is Learnt.OTHER_GATEWAY
    ipv4_update_pmtu(routing, flow("10.0.0.5"), 1200)  # now it is its own gateway
    assert ipv4_redirect(routing, flow("10.0.0.5"), redirect) is Learnt.STORED


def test_a_redirect_and_a_path_mtu_are_one_lesson() -> None:
    routing = host(sysctl=HOST_ONLY)
    ipv4_update_pmtu(routing, flow(), 1200)
    redirected(routing, "10.0.0.8")
    known = route_to(routing)
    assert (known.pmtu, known.gateway, known.expires_ns) == (1200, number("10.0.0.8"), 300 * S)


def test_a_next_hop_that_fails_ends_the_path_mtu_for_its_direction_alone() -> None:
    routing = host(sysctl={"ip_forward_use_pmtu": 1})
    assert not ipv4_negative_advice(route_to(routing))
    ipv4_update_pmtu(routing, flow(), 1200)

    def mtus(now: int) -> tuple[int, int]:
        transit = ip_route_input_noref(InputFlow(number(DST), number("10.1.0.5"), 0, "t1", now_ns=now), routing)
        assert isinstance(transit, Route)
        forwarded = ip_dst_mtu_maybe_forward(transit, routing.host, Direction.FORWARDED, now)
        return dst_mtu(route_to(routing, now=now), routing.host, now), forwarded

    assert ipv4_negative_advice(route_to(routing))
    assert mtus(5) == (1200, 1200)
    transit = ip_route_input_noref(InputFlow(number(DST), number("10.1.0.5"), 0, "t1", now_ns=5), routing)
    assert isinstance(transit, Route)
    ipv4_link_failure(routing, transit, number(DST), 5)
    assert mtus(5) == (1200, 1500)
    ipv4_link_failure(routing, route_to(routing, now=6), number(DST), 6)
    assert mtus(6) == (1500, 1500)
    ipv4_update_pmtu(routing, flow(now=7), 1100)
    assert mtus(7) == (1100, 1100)


def test_a_failing_route_that_learnt_nothing_stays_as_it_is() -> None:
    routing = host()
    ipv4_link_failure(routing, route_to(routing), number(DST), 5)
    unreachable = Route(RouteType.UNREACHABLE, RouteFlag.NONE, "t0")
    ipv4_link_failure(routing, unreachable, number(DST), 5)
    assert not routing.exceptions.by_destination


def test_the_store_is_bounded() -> None:
    entry = route("10.0.0.0/8", hop("t0", "10.0.0.9"))
    store = RouteExceptions()
    for daddr in range(MOST_EXCEPTIONS + 10):
        store.update_or_create(daddr, RouteException(entry, entry.nexthops[0], 0, 1200, expires_ns=10), 0)
    assert len(store.by_destination) == MOST_EXCEPTIONS
    assert store.find(entry, entry.nexthops[0], 9, 0) is None
    assert store.find(entry, entry.nexthops[0], 10, 0) is not None


def test_another_route_by_the_same_next_hop_learns_for_itself() -> None:
    store, nexthop = RouteExceptions(), hop("t0", "10.0.0.9")
    one, other = route("10.0.0.0/8", nexthop), route("10.0.0.0/8", nexthop, tos=0x10, priority=5)
    store.update_or_create(7, RouteException(one, nexthop, 0, 1200, expires_ns=10), 0)
    store.update_or_create(7, RouteException(other, nexthop, 0, 1300, expires_ns=10), 0)
    found = [store.find(entry, nexthop, 7, 0) for entry in (one, other)]
    assert [known and known.pmtu for known in found] == [1200, 1300]
    assert store.find(one, nexthop, 7, 11) is None
    assert [known.pmtu for known in store.by_destination[7]] == [1300]
