"""ip_forward and what follows: every check in its order with literal bytes, in both kernels."""

from __future__ import annotations

import pytest

from ipkit.core.host.kernel import LINUX_4_14, LINUX_6_18, KernelProfile
from ipkit.core.outcome.drop_reasons import DropReason
from ipkit.core.outcome.verdict import Drop, Queued, Stolen, Transmitted
from tests.support.journeys import KERNELS, came, counted, icmp, out, two_arms
from tests.support.packets import ip, rfc1071, udp

both = pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)


def transit(payload: bytes = b"", dst: str = "10.1.0.5", **more: object) -> bytes:
    return ip(payload, src="10.0.0.5", dst=dst, **more)  # type: ignore[arg-type]


@both
def test_a_datagram_leaves_one_hop_older(kernel: KernelProfile) -> None:
    journal = came(transit(b"x", tos=0xFF, ttl=64), two_arms(kernel))
    ((dev, data),) = out(journal)
    assert dev == "t1"
    assert data == transit(b"x", tos=0xFF, ttl=63)
    assert journal.emitted[0].header.hex(":") == "02:00:0a:01:00:05:02:00:00:00:00:03:08:00"
    assert journal.ends == [Transmitted("t1", 1)]


@pytest.mark.parametrize(
    ("kernel", "counters"),
    [
        (LINUX_4_14, {"IpForwDatagrams": 1, "IpOutRequests": 1, "IpExtOutOctets": 2 * 28}),
        (LINUX_6_18, {"IpForwDatagrams": 1, "IpOutTransmits": 1, "IpExtOutOctets": 28}),
    ],
)
def test_a_forwarded_datagram_is_counted_once_or_twice(kernel: KernelProfile, counters: dict[str, int]) -> None:
    assert counted(came(transit(b"12345678"), two_arms(kernel))) == counters


@both
@pytest.mark.parametrize("ttl", [0, 1])
def test_a_used_up_ttl_is_told(ttl: int, kernel: KernelProfile) -> None:
    packet = transit(b"12345678", ttl=ttl, tos=0xFF, df=True)
    journal = came(packet, two_arms(kernel))
    (end,) = journal.ends
    assert isinstance(end, Drop)
    assert (end.reason.value, end.func) == ("IP_INHDR", "ip_forward")
    assert counted(journal)["IpInHdrErrors"] == 1
    ((dev, error),) = out(journal)
    assert dev == "t0"
    assert (error[1], error[6:10].hex(), error[12:20].hex()) == (0xDE, "00004001", "0a0000010a000005")
    assert error[20:28].hex() == "0b00" + error[22:24].hex() + "00000000"
    assert error[28:] == packet
    assert rfc1071(error[:20]) == rfc1071(error[20:]) == 0


@pytest.mark.parametrize(
    ("kernel", "counters"),
    [(LINUX_4_14, {"IpFragFails": 1}), (LINUX_6_18, {"IpFragFails": 1, "IpForwDatagrams": 1})],
)
def test_what_is_too_big_and_must_not_be_cut_is_told_the_mtu(kernel: KernelProfile, counters: dict[str, int]) -> None:
    net = two_arms(kernel, link={"t0": {"addr": ["10.0.0.1/24"]}, "t1": {"addr": ["10.1.0.1/24"], "mtu": 1000}})
    journal = came(transit(bytes(1180), df=True), net)
    (end,) = journal.ends
    assert isinstance(end, Drop)
    assert (end.reason.value, end.func) == ("PKT_TOO_BIG", "ip_forward")
    moved = counted(journal)
    assert {mib: n for mib, n in moved.items() if mib in ("IpFragFails", "IpForwDatagrams")} == counters
    assert icmp(journal) == [(3, 4)]
    error = out(journal)[0][1]
    assert error[24:28].hex() == "000003e8"
    assert len(error) == 576


@pytest.mark.parametrize(("kernel", "passes"), [(LINUX_4_14, True), (LINUX_6_18, False)])
def test_a_route_mtu_binds_forwarded_packets_only_today(kernel: KernelProfile, passes: bool) -> None:
    journal = came(transit(bytes(1180), dst="10.6.0.5", df=True), two_arms(kernel))
    assert isinstance(journal.ends[0], Transmitted) is passes


def test_without_df_it_is_cut_to_the_route_mtu() -> None:
    journal = came(transit(bytes(1180), dst="10.6.0.5"), two_arms(LINUX_6_18))
    assert [len(data) for _, data in out(journal)] == [996, 224]
    assert [one.kind.value for one in journal.emitted] == ["fragment", "fragment"]
    assert counted(journal) == {
        "IpForwDatagrams": 1, "IpFragOKs": 1, "IpFragCreates": 2, "IpOutTransmits": 2, "IpExtOutOctets": 1220,
    }  # fmt: skip


@both
def test_the_exact_mtu_passes(kernel: KernelProfile) -> None:
    assert isinstance(came(transit(bytes(1480), df=True), two_arms(kernel)).ends[0], Transmitted)
    assert isinstance(came(transit(bytes(1481), df=True), two_arms(kernel)).ends[0], Drop)


@both
def test_fragments_in_transit_are_left_alone(kernel: KernelProfile) -> None:
    net = two_arms(kernel)
    for packet in (transit(bytes(16), mf=True), transit(bytes(9), offset=16)):
        assert isinstance(came(packet, net).ends[0], Transmitted)
    assert not net.frags.queues


@both
def test_the_policy_of_the_way_in_comes_before_the_ttl_that_of_the_way_out_after(kernel: KernelProfile) -> None:
    def blocked(direction: str) -> list[tuple[int, int]]:
        policy = [{"dir": direction, "match": "dst 10.1.0.5", "action": "block"}]
        journal = came(transit(b"12345678", ttl=1), two_arms(kernel, xfrm=policy))
        assert isinstance(came(transit(), two_arms(kernel, xfrm=policy)).ends[0], Drop)
        return icmp(journal)

    assert blocked("fwd") == []
    assert blocked("out") == [(11, 0)]


@pytest.mark.parametrize(("kernel", "counters"), [(LINUX_4_14, {}), (LINUX_6_18, {"IpForwDatagrams": 1})])
def test_the_forward_hook_comes_after_the_count_of_today(kernel: KernelProfile, counters: dict[str, int]) -> None:
    hook = [{"at": "FORWARD", "match": "oif t1", "verdict": "drop"}]
    journal = came(transit(), two_arms(kernel, hook=hook))
    (end,) = journal.ends
    assert isinstance(end, Drop)
    assert end.reason.value == "NETFILTER_DROP"
    assert counted(journal) == counters


@both
@pytest.mark.parametrize(("verdict", "end"), [("drop", Drop), ("stolen", Stolen)])
def test_post_routing_may_keep_it(verdict: str, end: type, kernel: KernelProfile) -> None:
    hook = [{"at": "POST_ROUTING", "match": "oif t1", "verdict": verdict}]
    journal = came(transit(), two_arms(kernel, hook=hook))
    assert isinstance(journal.ends[0], end)
    assert journal.emitted == []


@both
def test_an_unknown_neighbour_is_asked_for_where_the_host_says_so(kernel: KernelProfile) -> None:
    journal = came(transit(), two_arms(kernel, neigh_default="resolve"))
    assert [one.kind.value for one in journal.emitted] == ["arp"]
    assert isinstance(journal.ends[0], Queued)


@both
def test_a_packet_from_offload_is_never_too_big(kernel: KernelProfile) -> None:
    journal = came(transit(bytes(5000), proto=6, df=True), two_arms(kernel), gso=1)
    assert [len(data) for _, data in out(journal)] == [5020]


@both
def test_errors_to_ourselves_come_back_in(kernel: KernelProfile) -> None:
    net = two_arms(kernel, sysctl={"net.ipv4.conf.all.accept_local": 1})
    packet = ip(udp(b"", src="10.1.0.1", dst="10.0.0.1"), src="10.1.0.1", dst="10.0.0.1")
    journal = came(packet, net)
    assert journal.emitted == []
    assert counted(journal)["IcmpInDestUnreachs"] == counted(journal)["IcmpOutDestUnreachs"] == 1


def test_a_trace_tells_function_by_function_and_costs_nothing_else() -> None:
    net = two_arms(LINUX_6_18)
    told, untold = came(transit(b"x"), net, trace=True), came(transit(b"x"), net)
    assert untold.steps is None
    assert told.emitted == untold.emitted
    assert told.counters == untold.counters
    names = [step.func for step in told.steps or ()]
    order = ["ip_rcv", "ip_rcv_finish", "ip_route_input_noref", "ip_forward", "ip_forward_finish", "ip_output",
             "ip_finish_output", "ip_finish_output2"]  # fmt: skip
    assert [name for name in names if name in order] == order


def test_a_trace_is_a_tree() -> None:
    told = came(transit(b"x", ttl=1), two_arms(LINUX_6_18), trace=True)
    ours = ("ip_rcv", "ip_rcv_finish", "ip_forward", "icmp_send", "ip_local_out", "ip_output", "ip_finish_output",
            "ip_finish_output2")  # fmt: skip
    assert [step.func for step in told.steps or () if step.func in ours] == list(ours)
    assert [step.depth for step in told.steps or () if step.func in ours] == list(range(len(ours)))


WAY_THROUGH = [
    (0, "ip_rcv"), (1, "ip_rcv_core"), (1, "ip_rcv_finish"), (2, "udp_v4_early_demux"), (2, "ip_route_input_noref"),
    (3, "ip_route_input_slow"), (4, "fib_table_lookup"), (4, "ip_mkroute_input"), (4, "__fib_validate_source"),
    (4, "fib_table_lookup"), (4, "fib_validate_source"), (2, "ip_forward"), (3, "skb_warn_if_lro"),
    (3, "xfrm4_policy_check"), (3, "xfrm4_route_forward"), (3, "ip_dst_mtu_maybe_forward"), (3, "ip_exceeds_mtu"),
    (3, "ip_decrease_ttl"), (3, "ip_forward_finish"), (4, "ip_output"), (5, "ip_finish_output"),
    (6, "BPF_CGROUP_RUN_PROG_INET_EGRESS"), (6, "ip_finish_output2"), (7, "neigh_output"),
]  # fmt: skip


def test_no_function_on_the_way_is_left_out() -> None:
    packet = transit(udp(b"x", src="10.0.0.5", dst="10.1.0.5"))
    steps = came(packet, two_arms(LINUX_4_14), trace=True).steps or ()
    assert [(step.depth, step.func) for step in steps] == WAY_THROUGH


def test_fragments_stand_below_what_makes_them() -> None:
    link = {"t0": {"addr": ["10.0.0.1/24"]}, "t1": {"addr": ["10.1.0.1/24"], "mtu": 600}}
    steps = came(transit(bytes(1000)), two_arms(LINUX_4_14, link=link), trace=True).steps or ()
    told = [(step.depth, step.func) for step in steps]
    at = told.index((6, "ip_fragment"))
    assert told[at:] == [
        (6, "ip_fragment"), (7, "ip_do_fragment"), (8, "ip_finish_output2"), (9, "neigh_output"),
        (8, "ip_finish_output2"), (9, "neigh_output"),
    ]  # fmt: skip


@both
def test_what_this_host_must_not_send_is_discarded(kernel: KernelProfile) -> None:
    for point, requests in (("LOCAL_OUT", kernel is LINUX_6_18), ("POST_ROUTING", True)):
        hook = [{"at": point, "match": "icmp-type 11", "verdict": "drop"}]
        moved = counted(came(transit(ttl=1), two_arms(kernel, hook=hook)))
        assert moved["IpOutDiscards"] == moved["IcmpOutTimeExcds"] == 1
        assert moved.get("IpOutRequests", 0) == requests
        hook[0]["verdict"] = "stolen"
        assert "IpOutDiscards" not in counted(came(transit(ttl=1), two_arms(kernel, hook=hook)))


@both
def test_a_martian_is_told_with_the_log(kernel: KernelProfile) -> None:
    for knobs, logged in (({}, False), ({"net.ipv4.conf.t0.log_martians": 1}, True)):
        packet = ip(b"x", src="127.0.0.1", dst="10.1.0.5")
        steps = came(packet, two_arms(kernel, sysctl=knobs), trace=True).steps or ()
        (told,) = [step for step in steps if step.func == "ip_handle_martian_source"]
        assert told.values == {"martian": "source", "dev": "t0", "logged": logged}


@both
@pytest.mark.parametrize(("knob", "asked"), [("", True), ("ip_early_demux", False), ("udp_early_demux", False)])
def test_early_demux_is_asked_unless_a_knob_forbids(knob: str, asked: bool, kernel: KernelProfile) -> None:
    net = two_arms(kernel, sysctl={f"net.ipv4.{knob}": 0} if knob else {})
    packet = transit(udp(b"x", src="10.0.0.5", dst="10.1.0.5"))
    assert ("udp_v4_early_demux" in [step.func for step in came(packet, net, trace=True).steps or ()]) is asked
    fragment = transit(bytes(8), mf=True, proto=17)
    assert "udp_v4_early_demux" not in [step.func for step in came(fragment, net, trace=True).steps or ()]


DARK = {"t0": {"addr": ["10.0.0.1/24"]}, "t1": {"addr": ["10.1.0.1/24"], "mtu": 600, "carrier": False}}


@both
def test_a_link_without_carrier_loses_what_leaves_by_it(kernel: KernelProfile) -> None:
    """Counted as sent, as a queue's loss is; but no other fragment follows the first. Seen on 6.18."""
    lost = Drop(DropReason.QDISC_DROP, "__dev_queue_xmit")
    small, large = (came(transit(bytes(size)), two_arms(kernel, link=DARK)) for size in (8, 1000))
    assert (small.ends, small.emitted, large.ends, large.emitted) == ([lost], [], [lost], [])
    assert counted(small)["IpExtOutOctets"] in (28, 56)
    assert {name: n for name, n in counted(large).items() if name.startswith("IpFrag")} == {"IpFragFails": 1}


@both
def test_an_answer_that_a_link_without_carrier_loses_is_not_discarded(kernel: KernelProfile) -> None:
    dark = {**DARK, "t0": {"addr": ["10.0.0.1/24"], "carrier": False}}
    journal = came(transit(b"12345678", ttl=1), two_arms(kernel, link=dark))
    assert journal.emitted == []
    assert "IpOutDiscards" not in counted(journal)
    assert counted(journal)["IcmpOutTimeExcds"] == 1


@both
def test_nobody_is_asked_for_on_a_link_without_carrier(kernel: KernelProfile) -> None:
    journal = came(transit(b"12345678"), two_arms(kernel, link=DARK, neigh_default="resolve"))
    assert (journal.ends, journal.emitted) == ([Queued("neighbour", "__neigh_event_send")], [])
