"""Router alert packets in transit: who takes them, put together first, in both kernels."""

from __future__ import annotations

from typing import Any

import pytest

from ipkit.core.host.kernel import KernelProfile
from ipkit.core.outcome.verdict import Delivered, Drop, Queued, Transmitted
from ipkit.core.state.netns import NetNamespace
from tests.support.journeys import KERNELS, came, counted, icmp, two_arms
from tests.support.packets import ip

both = pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)

ALERT = bytes.fromhex("94040000")
RSVP = 46


def transit(payload: bytes = b"12345678", dst: str = "10.1.0.5", options: bytes = ALERT, **more: Any) -> bytes:
    return ip(payload, src="10.0.0.5", dst=dst, options=options, **{"proto": RSVP, **more})


def listening(kernel: KernelProfile, **more: Any) -> NetNamespace:
    return two_arms(kernel, **{"listen": [{"proto": "raw", "number": RSVP, "router_alert": True}], **more})


@both
def test_an_alerted_socket_takes_what_is_in_transit(kernel: KernelProfile) -> None:
    journal = came(transit(), listening(kernel))
    assert journal.ends == [Delivered("raw", "ip_call_ra_chain")]
    assert journal.emitted == []
    assert counted(journal) == {}


@both
@pytest.mark.parametrize(
    "packet",
    [
        transit(options=b""), transit(proto=47), transit(options=bytes.fromhex("94040001")),
        transit(options=bytes.fromhex("01010101")),
    ],
    ids=["no option", "another protocol", "another value", "another option"],
)  # fmt: skip
def test_nobody_is_alerted(packet: bytes, kernel: KernelProfile) -> None:
    assert came(packet, listening(kernel)).ends == [Transmitted("t1", 1)]


@both
def test_a_raw_socket_that_did_not_ask_is_passed_by(kernel: KernelProfile) -> None:
    net = two_arms(kernel, listen=[{"proto": "raw", "number": RSVP}])
    assert came(transit(), net).ends == [Transmitted("t1", 1)]


@both
def test_it_comes_before_the_ttl_and_after_the_policy(kernel: KernelProfile) -> None:
    assert came(transit(ttl=1), listening(kernel)).ends == [Delivered("raw", "ip_call_ra_chain")]
    policy = [{"dir": "fwd", "match": "dst 10.1.0.5", "action": "block"}]
    (end,) = came(transit(), listening(kernel, xfrm=policy)).ends
    assert isinstance(end, Drop)
    assert (end.reason.value, end.func) == ("XFRM_POLICY", "ip_forward")


@both
def test_it_needs_a_route(kernel: KernelProfile) -> None:
    assert icmp(came(transit(dst="10.66.0.1"), listening(kernel))) == [(3, 1)]


@both
def test_fragments_are_put_together_first(kernel: KernelProfile) -> None:
    net = listening(kernel)
    first, last = transit(bytes(16), mf=True), transit(bytes(8), offset=16)
    journal = came(first, net)
    assert journal.ends == [Queued("reassembly", "ip_defrag")]
    assert counted(journal) == {"IpReasmReqds": 1}
    assert came(last, net).ends == [Delivered("raw", "ip_call_ra_chain")]
    assert not net.frags.queues


@both
def test_their_fragments_do_not_mix_with_those_for_this_host(kernel: KernelProfile) -> None:
    net = listening(kernel)
    came(transit(bytes(16), mf=True), net)
    came(transit(bytes(16), mf=True, dst="10.0.0.1"), net)
    assert len(net.frags.queues) == 2


@both
def test_a_policy_may_keep_it_from_every_socket(kernel: KernelProfile) -> None:
    policy = [{"dir": "in", "match": "dst 10.1.0.5", "action": "block"}]
    two = [{"proto": "raw", "number": RSVP, "router_alert": True}] * 2
    journal = came(transit(), listening(kernel, xfrm=policy, listen=two))
    (end,) = journal.ends
    assert isinstance(end, Drop)
    assert (end.reason.value, end.func) == ("XFRM_POLICY", "raw_rcv")
    assert counted(journal) == {"XfrmInPolBlock": 2}


@both
def test_groups_in_transit_alert_too(kernel: KernelProfile) -> None:
    knobs = {"net.ipv4.conf.all.mc_forwarding": 1, "net.ipv4.conf.t0.mc_forwarding": 1}
    packet = transit(dst="239.1.1.1")
    assert came(packet, listening(kernel, sysctl=knobs)).ends == [Delivered("raw", "ip_call_ra_chain")]
    (end,) = came(packet, two_arms(kernel, sysctl=knobs)).ends
    assert isinstance(end, Drop)
    assert end.func == "ip_mr_input"
    (end,) = came(packet, listening(kernel)).ends
    assert isinstance(end, Drop)
    assert end.func == "ip_rcv_finish"
