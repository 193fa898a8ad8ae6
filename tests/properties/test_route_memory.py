"""A remembered route is the route: packets of one class of addresses are routed as if each were the first."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from random import Random
from typing import Any

import pytest

from ipkit.core.host.build import build_host
from ipkit.core.host.config import HostConfig
from ipkit.core.host.fib import Route, RouteFlag
from ipkit.core.host.kernel import LINUX_6_18, KernelProfile
from ipkit.core.outcome.verdict import Next
from ipkit.core.receive import ip_rcv_finish
from ipkit.core.skbuff import IpControlBlock, PacketType, SkBuff
from ipkit.core.state.netns import NetNamespace, namespace_of
from ipkit.errors import HostError
from tests.kernel.lookup_cases import NETWORKS, SPECIAL, lookup_case
from tests.support.journeys import KERNELS, two_arms
from tests.support.packets import ip

EDGES = [int.from_bytes(bytes(int(part) for part in net.split("/")[0].split(".")), "big") for net in NETWORKS]


def world(seed: int, kernel: KernelProfile) -> HostConfig:
    """Return the host of a seed with every line that this kernel takes."""
    said = lookup_case(seed, count=0).host
    links = {dev: {**link, "addr": _once(link.get("addr", ()))} for dev, link in said["link"].items()}
    taken: dict[str, Any] = {"link": links, "sysctl": {}}
    lines = [(key, line) for key in ("nexthops", "routes", "rules", "neigh") for line in said.get(key, ())]
    tries = [{**taken, "sysctl": {"net.ipv4.ip_forward": 1}}]
    tries += [{"sysctl": {name: value}} for name, value in said["sysctl"].items()]
    tries += [{key: [line]} for key, line in lines]
    for more in tries:
        grown = {key: _grown(taken.get(key), more.get(key)) for key in {**taken, **more}}
        with suppress(HostError):
            build_host(grown, file="host.toml", kernel=kernel)
            taken = grown
    return build_host(taken, file="host.toml", kernel=kernel)


def _once(addresses: Iterable[str]) -> list[str]:
    """Return addresses of which no two are the same but for the length of their prefix."""
    return list({line.split("/")[0]: line for line in addresses}.values())


def _grown(old: Any, new: Any) -> Any:
    if old is None or new is None:
        return new if old is None else old
    return {**old, **new} if isinstance(old, dict) else [*old, *new]


def addresses(rng: Random, net: NetNamespace) -> list[str]:
    """Return addresses close to where decisions change, and some from anywhere."""
    edges = EDGES + (net.routing.tables.class_starts or [])
    near = [(rng.choice(edges) + rng.choice((-1, 0, 1, 2, 77))) % (1 << 32) for _ in range(40)]
    numbers = near + [rng.randrange(1 << 32) for _ in range(10)]
    return [".".join(map(str, number.to_bytes(4, "big"))) for number in numbers] + list(SPECIAL)


def judged(datagram: bytes, dev: str, net: NetNamespace) -> tuple[object, str]:
    skb = SkBuff(datagram, dev, PacketType.HOST, 0, cb=IpControlBlock(iif=dev))
    outcome = ip_rcv_finish(skb, net, None).outcome
    return skb.route, outcome.stage if isinstance(outcome, Next) else repr(outcome)


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
@pytest.mark.parametrize("seed", range(40))
def test_a_host_with_a_memory_routes_as_one_without(seed: int, kernel: KernelProfile) -> None:
    host = world(seed, kernel)
    remembers, forgets = namespace_of(host), namespace_of(host)
    rng = Random(seed)
    places = addresses(rng, remembers)
    devs = list(host.links)
    for _ in range(400):
        datagram = ip(b"12345678", src=rng.choice(places), dst=rng.choice(places), tos=rng.choice((0, 0, 16, 8)))
        dev = rng.choice(devs)
        forgets.routing.cached.clear()
        assert judged(datagram, dev, remembers) == judged(datagram, dev, forgets)


def test_packets_between_other_hosts_of_the_same_networks_share_one_route() -> None:
    net = two_arms(LINUX_6_18)
    for last in range(2, 200):
        judged(ip(b"12345678", src=f"10.0.0.{last}", dst=f"10.1.0.{last}"), "t0", net)
    assert len(net.routing.cached) == 1


def test_sources_inside_and_outside_the_gateways_subnet_are_told_apart() -> None:
    net = two_arms(
        LINUX_6_18,
        sysctl={"net.ipv4.conf.all.shared_media": 0, "net.ipv4.conf.t0.shared_media": 0},
        link={"t0": {"addr": ["10.0.0.1/31 noprefixroute"]}},
        routes=["8.0.0.0/6 dev t0", "10.7.0.0/16 via 10.0.0.0 dev t0"],
    )
    for source, redirects in (("9.255.255.255", False), ("10.0.0.0", True)):
        route, _ = judged(ip(b"12345678", src=source, dst="10.7.0.1"), "t0", net)
        assert isinstance(route, Route)
        assert bool(route.flags & RouteFlag.DOREDIRECT) is redirects
