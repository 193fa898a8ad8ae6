"""What this host sends to many: the copy that comes back, the TTL that keeps it home, and what hooks say."""

from __future__ import annotations

from typing import Any

import pytest

from ipkit.core.host.fib import Route
from ipkit.core.host.kernel import KernelProfile
from ipkit.core.output import NO_OWNER, Output, ip_local_out
from ipkit.core.route import OutputFlow, ip_route_output_key
from ipkit.core.skbuff import PacketType, SkBuff
from tests.support.journeys import KERNELS, two_arms
from tests.support.packets import address, ip

both = pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)

JOINED: dict[str, Any] = {
    "link": {"t0": {"addr": ["10.0.0.1/24"], "groups": ["239.1.1.1"]}, "t1": {"addr": ["10.1.0.1/24"]}}
}


def sent(kernel: KernelProfile, dst: str, *, ttl: int = 1, hears: bool = True, **more: Any) -> Output:
    net = two_arms(kernel, **{**JOINED, **more})
    route = ip_route_output_key(OutputFlow(int.from_bytes(address(dst), "big"), oif="t0"), net.routing)
    assert isinstance(route, Route)
    skb = SkBuff(ip(b"12345678", src="10.0.0.1", dst=dst, ttl=ttl), "t0", PacketType.OUTGOING, 0, route)
    return ip_local_out(skb, net, NO_OWNER._replace(hears_itself=hears))


@both
@pytest.mark.parametrize(
    ("dst", "ttl", "hears", "comes_back_and_leaves"),
    [
        ("239.1.1.1", 1, True, (1, 1)),
        ("239.1.1.1", 1, False, (0, 1)),
        ("239.1.1.1", 0, True, (1, 0)),
        ("239.1.1.1", 0, False, (0, 0)),
        ("239.2.2.2", 1, True, (0, 1)),
        ("239.2.2.2", 0, True, (0, 1)),
        ("224.0.0.1", 1, True, (1, 1)),
        ("10.0.0.255", 1, False, (1, 1)),
        ("10.0.0.255", 0, False, (1, 1)),
        ("255.255.255.255", 1, True, (1, 1)),
    ],
)
def test_what_comes_back_and_what_leaves(
    dst: str, ttl: int, hears: bool, comes_back_and_leaves: tuple[int, int], kernel: KernelProfile
) -> None:
    out = sent(kernel, dst, ttl=ttl, hears=hears)
    assert (len(out.looped), len(out.frames)) == comes_back_and_leaves
    assert out.errno == 0
    assert all(copy.dev == "t0" and copy.route is not None for copy in out.looped)


@both
@pytest.mark.parametrize(("dst", "copies", "frames"), [("239.2.2.2", 1, 0), ("224.0.0.9", 0, 1)])
def test_where_groups_are_forwarded_all_but_local_ones_come_back(
    dst: str, copies: int, frames: int, kernel: KernelProfile
) -> None:
    knobs = {f"net.ipv4.conf.{dev}.mc_forwarding": 1 for dev in ("all", "t0")}
    out = sent(kernel, dst, ttl=0, sysctl=knobs)
    assert (len(out.looped), len(out.frames)) == (copies, frames)


@both
def test_the_copy_is_whole_and_the_hook_sees_both(kernel: KernelProfile) -> None:
    small = {"t0": {"addr": ["10.0.0.1/24"], "groups": ["239.1.1.1"], "mtu": 68}}
    net_out = sent(kernel, "239.1.1.1", link={**JOINED["link"], **small})
    assert [len(copy.data) for copy in net_out.looped] == [28]
    hook = [{"at": "POST_ROUTING", "match": "dst 239.1.1.1", "verdict": "drop"}]
    dropped = sent(kernel, "239.1.1.1", hook=hook)
    assert (dropped.looped, dropped.frames) == ((), [])
    assert dropped.errno == 1
