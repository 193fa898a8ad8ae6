"""Links of a VRF: what comes in by them is the VRF's, what leaves by them passes the VRF first; in both kernels."""

from __future__ import annotations

from typing import Any

import pytest

from ipkit.core.host.build import build_host
from ipkit.core.host.kernel import LINUX_4_14, LINUX_6_18, KernelProfile
from ipkit.core.outcome.verdict import Delivered, Drop, Queued, Transmitted
from ipkit.core.state.netns import NetNamespace, namespace_of
from ipkit.errors import HostError
from tests.support.journeys import KERNELS, came, counted, icmp, out
from tests.support.packets import icmp as message
from tests.support.packets import ip, tcp, udp

both = pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)

BLUE: dict[str, Any] = {
    "sysctl": {"net.ipv4.ip_forward": 1},
    "routes": ["default via 10.1.0.9 dev t1 table 10", "unreachable 10.66.0.0/16 table 10", "10.5.0.0/16 via 10.2.0.9"],
    "link": {
        "blue": {"kind": "vrf", "table": 10},
        "t0": {"master": "blue", "addr": ["10.0.0.1/24"]},
        "t1": {"master": "blue", "addr": ["10.1.0.1/24"]},
        "t2": {"addr": ["10.2.0.1/24"]},
    },
}
ECHO = ip(message(), proto=1, src="10.0.0.5", dst="10.0.0.1")


def blue(kernel: KernelProfile, **more: Any) -> NetNamespace:
    sysctl = {**BLUE["sysctl"], **more.pop("sysctl", {})}
    link = {**BLUE["link"], **more.pop("link", {})}
    return namespace_of(build_host({**BLUE, **more, "sysctl": sysctl, "link": link}, file="host.toml", kernel=kernel))


def to(dst: str, payload: bytes = b"12345678", **more: Any) -> bytes:
    return ip(payload, src="10.0.0.5", dst=dst, **more)


def hooks_asked(packet: bytes, net: NetNamespace) -> list[str]:
    return [step.say for step in came(packet, net, trace=True).steps or () if step.func == "nf_hook"]


def hook(at: str, match: str, verdict: str = "drop") -> list[dict[str, str]]:
    return [{"at": at, "match": match, "verdict": verdict}]


@both
def test_a_vrf_has_its_own_table(kernel: KernelProfile) -> None:
    for dst in ("10.1.0.5", "10.2.0.5", "10.5.0.5", "99.9.9.9"):
        ((dev, _),) = out(came(to(dst), blue(kernel)))
        assert dev == "t1"
    packet = ip(b"x", src="10.2.0.5", dst="10.5.0.5")
    assert {dev for dev, _ in out(came(packet, blue(kernel), dev="t2"))} == {"t2"}


@both
def test_pre_routing_is_asked_for_the_link_and_for_the_vrf(kernel: KernelProfile) -> None:
    for dev in ("t0", "blue"):
        (end,) = came(to("10.1.0.5"), blue(kernel, hook=hook("PRE_ROUTING", f"iif {dev}"))).ends
        assert isinstance(end, Drop)
        assert end.reason.value == "NETFILTER_DROP"
    asked = hooks_asked(to("10.1.0.5"), blue(kernel, hook=hook("PRE_ROUTING", "iif t2")))
    assert [say.partition(":")[0] for say in asked] == ["PRE_ROUTING", "PRE_ROUTING", "FORWARD", "POST_ROUTING"]


@both
def test_groups_are_the_links_own_business_with_pre_routing(kernel: KernelProfile) -> None:
    journal = came(to("224.0.0.1", message(), proto=1), blue(kernel, hook=hook("PRE_ROUTING", "iif blue")))
    assert counted(journal)["IpExtInMcastPkts"] == 1


@both
def test_a_group_may_be_joined_on_the_vrf(kernel: KernelProfile) -> None:
    packet = to("239.1.1.1", udp(b"x", src="10.0.0.5", dst="239.1.1.1", dport=99))
    joined = {"blue": {**BLUE["link"]["blue"], "groups": ["239.1.1.1"]}}
    assert "IpInDelivers" not in counted(came(packet, blue(kernel)))
    assert counted(came(packet, blue(kernel, link=joined)))["IpInDelivers"] == 1


@both
@pytest.mark.parametrize(("dev", "drops"), [("blue", True), ("t0", False)])
def test_forward_sees_the_vrf_as_input(dev: str, drops: bool, kernel: KernelProfile) -> None:
    (end,) = came(to("10.1.0.5"), blue(kernel, hook=hook("FORWARD", f"iif {dev} and oif t1"))).ends
    assert isinstance(end, Drop) is drops


@pytest.mark.parametrize(("kernel", "drops"), [(LINUX_4_14, False), (LINUX_6_18, True)])
def test_post_routing_is_told_of_the_input_today(kernel: KernelProfile, drops: bool) -> None:
    (end,) = came(to("10.1.0.5"), blue(kernel, hook=hook("POST_ROUTING", "iif blue"))).ends
    assert isinstance(end, Drop) is drops
    packet = ip(b"x", src="10.2.0.5", dst="10.5.0.5")
    (end,) = came(packet, blue(kernel, hook=hook("POST_ROUTING", "iif t2")), dev="t2").ends
    assert isinstance(end, Drop) is drops


@pytest.mark.parametrize(("kernel", "told"), [(LINUX_4_14, False), (LINUX_6_18, True)])
def test_whose_forwarding_lets_ip_error_speak(kernel: KernelProfile, told: bool) -> None:
    journal = came(to("10.66.0.1"), blue(kernel, sysctl={"net.ipv4.conf.blue.forwarding": 0}))
    assert icmp(journal) == ([(3, 1)] if told else [])
    assert ("IpInAddrErrors" in counted(journal)) is not told


@pytest.mark.parametrize(("kernel", "refused"), [(LINUX_4_14, True), (LINUX_6_18, False)])
def test_whose_settings_refuse_a_source_route(kernel: KernelProfile, refused: bool) -> None:
    knobs = {"net.ipv4.conf.all.accept_source_route": 1, "net.ipv4.conf.blue.accept_source_route": 0}
    packet = to("10.1.0.5", options=bytes.fromhex("83 07 08 0a 00 00 01 00"))
    (end,) = came(packet, blue(kernel, sysctl=knobs)).ends
    assert isinstance(end, Drop) is refused


@both
def test_errors_stay_within_the_vrf(kernel: KernelProfile) -> None:
    ((dev, error),) = out(came(to("10.1.0.5", ttl=1), blue(kernel, routes=["10.0.0.0/8 via 10.2.0.9"])))
    assert dev == "t0"
    assert error[12:20].hex() == "0a0000010a000005"


@both
def test_what_is_for_this_host_is_told_to_come_in_by_the_link(kernel: KernelProfile) -> None:
    journal = came(ECHO, blue(kernel))
    assert journal.ends == [Delivered("icmp", "icmp_reply")]
    ((dev, reply),) = out(journal)
    assert dev == "t0"
    assert reply[12:20].hex() == "0a0000010a000005"


@both
def test_own_packets_pass_the_hooks_of_the_vrf_first(kernel: KernelProfile) -> None:
    asked = hooks_asked(ECHO, blue(kernel, hook=hook("LOCAL_OUT", "oif t2")))
    points = ["PRE_ROUTING", "PRE_ROUTING", "LOCAL_IN", "LOCAL_OUT", "POST_ROUTING", "LOCAL_OUT", "POST_ROUTING"]
    assert [say.partition(":")[0] for say in asked] == points


@both
@pytest.mark.parametrize("point", ["LOCAL_OUT", "POST_ROUTING"])
@pytest.mark.parametrize(("dev", "discards"), [("blue", 0), ("t0", 1)])
def test_a_drop_in_the_vrf_is_hidden_from_the_sender(
    point: str, dev: str, discards: int, kernel: KernelProfile
) -> None:
    journal = came(ECHO, blue(kernel, hook=hook(point, f"oif {dev}")))
    assert journal.emitted == []
    assert counted(journal).get("IpOutDiscards", 0) == discards


@both
def test_fragments_of_two_vrfs_do_not_mix(kernel: KernelProfile) -> None:
    red = {"red": {"kind": "vrf", "table": 11}, "t3": {"master": "red", "addr": ["10.0.0.1/24"]}}
    net = blue(kernel, link=red)
    first, last = to("10.0.0.1", message(bytes(8)), proto=1, mf=True), to("10.0.0.1", bytes(8), proto=1, offset=16)
    assert isinstance(came(first, net).ends[0], Queued)
    assert isinstance(came(last, net, dev="t3").ends[0], Queued)
    assert isinstance(came(last, net).ends[0], Delivered)


@both
def test_what_this_host_sends_to_itself_stays_in_the_vrf(kernel: KernelProfile) -> None:
    net = blue(kernel, sysctl={"net.ipv4.conf.all.accept_local": 1})
    packet = ip(udp(b"", src="10.1.0.1", dst="10.0.0.1"), src="10.1.0.1", dst="10.0.0.1")
    journal = came(packet, net)
    assert journal.emitted == []
    assert counted(journal)["IcmpInDestUnreachs"] == counted(journal)["IcmpOutDestUnreachs"] == 1


@both
def test_a_report_names_the_link_and_a_trace_both(kernel: KernelProfile) -> None:
    journal = came(to("10.1.0.5"), blue(kernel), trace=True)
    assert journal.ends == [Transmitted("t1", 1)]
    steps = {step.func: step for step in journal.steps or ()}
    assert steps["l3mdev_ip_rcv"].say == "t0 is in blue"
    assert "iif t0" in steps["ip_route_input_noref"].say


LISTENERS = [{"proto": "udp", "port": 53}, {"proto": "tcp", "port": 80}, {"proto": "raw", "number": 99}]
TO_53 = udp(b"x", src="10.0.0.5", dst="10.0.0.1", dport=53)
TO_80 = tcp(src="10.0.0.5", dst="10.0.0.1", dport=80)


def taken(payload: bytes, proto: int, net: NetNamespace) -> bool:
    (end,) = came(to("10.0.0.1", payload, proto=proto), net).ends
    return isinstance(end, Delivered)


@both
@pytest.mark.parametrize(("payload", "proto", "knob"), [(TO_53, 17, "udp"), (TO_80, 6, "tcp")])
def test_a_socket_outside_takes_what_came_by_a_vrf_where_it_may(
    payload: bytes, proto: int, knob: str, kernel: KernelProfile
) -> None:
    assert not taken(payload, proto, blue(kernel, listen=LISTENERS))
    assert taken(payload, proto, blue(kernel, listen=LISTENERS, sysctl={f"net.ipv4.{knob}_l3mdev_accept": 1}))


def test_raw_sockets_take_it_unless_told_not_to() -> None:
    for kernel in KERNELS:
        assert taken(b"12345678", 99, blue(kernel, listen=LISTENERS))
    refusing = blue(LINUX_6_18, listen=LISTENERS, sysctl={"net.ipv4.raw_l3mdev_accept": 0})
    assert not taken(b"12345678", 99, refusing)
    with pytest.raises(HostError, match="raw_l3mdev_accept"):
        blue(LINUX_4_14, sysctl={"net.ipv4.raw_l3mdev_accept": 0})
