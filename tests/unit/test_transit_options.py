"""Source routes, the order in which faults win, and options through fragments and hooks, in both kernels."""

from __future__ import annotations

from typing import Any

import pytest

from ipkit.core.defrag import ip_expire, owed_about
from ipkit.core.host.kernel import LINUX_4_14, LINUX_6_18, KernelProfile
from ipkit.core.journey import run_owed
from ipkit.core.outcome.journal import Journal
from ipkit.core.outcome.verdict import Drop, IcmpDue, Transmitted
from ipkit.core.skbuff import PacketType, SkBuff
from ipkit.core.timers import let_timers_fire
from tests.support.journeys import KERNELS, came, counted, icmp, out, two_arms
from tests.support.packets import icmp as message
from tests.support.packets import ip, patched, rfc1071, tcp, udp

both = pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
NOW_NS = 0x01020304 * 1_000_000
WELCOME = {"net.ipv4.conf.all.accept_source_route": 1}
SILENT = ("NOT_SPECIFIED", "ip_options_rcv_srr")


def packet(options: str, dst: str = "10.0.0.1", payload: bytes = b"12345678", **more: object) -> bytes:
    return ip(payload, src="10.0.0.5", dst=dst, options=bytes.fromhex(options), **more)  # type: ignore[arg-type]


def routed(options: str, kernel: KernelProfile, dst: str = "10.0.0.1", **more: Any) -> Journal:
    """Let a source-routed datagram come in where source routes are welcome."""
    return came(packet(options, dst, **more), two_arms(kernel, sysctl=WELCOME), now_ns=NOW_NS)


def ended(journal: Journal) -> tuple[str, str]:
    (end,) = journal.ends
    assert isinstance(end, Drop)
    return end.reason.value, end.func


def pointer(journal: Journal) -> int:
    """Return the place that the one parameter problem on the wire names."""
    ((_, error),) = out(journal)
    at = (error[0] & 15) * 4
    assert error[at : at + 2].hex() == "0c00"
    return error[at + 4]


# ip_rcv_options


@both
@pytest.mark.parametrize(
    "off", [{}, {"net.ipv4.conf.all.accept_source_route": 1, "net.ipv4.conf.t0.accept_source_route": 0}]
)
@pytest.mark.parametrize("dst", ["10.0.0.1", "10.1.0.5"])
@pytest.mark.parametrize("options", ["8307040a010005", "8907080a010005"])
def test_a_source_route_must_be_welcome_everywhere(
    options: str, dst: str, off: dict[str, int], kernel: KernelProfile
) -> None:
    journal = came(packet(options, dst, ttl=1), two_arms(kernel, sysctl=off))
    assert ended(journal) == ("NOT_SPECIFIED", "ip_rcv_options")
    assert (out(journal), counted(journal)) == ([], {})


@both
def test_a_malformed_one_is_told_all_the_same(kernel: KernelProfile) -> None:
    assert pointer(came(packet("8307030a010005"), two_arms(kernel))) == 22


# ip_options_rcv_srr, row by row


@both
def test_in_a_frame_for_many_it_is_not_followed(kernel: KernelProfile) -> None:
    journal = came(packet("8307040a010005"), two_arms(kernel, sysctl=WELCOME), kind=PacketType.BROADCAST)
    assert (ended(journal), out(journal)) == (SILENT, [])


@both
@pytest.mark.parametrize("options", ["8307040a010007", "8307080a010007", "830705000000"])
def test_a_loose_one_passes_through(options: str, kernel: KernelProfile) -> None:
    assert out(routed(options, kernel, "10.1.0.5", ttl=9)) == [("t1", packet(options, "10.1.0.5", ttl=8))]


@both
@pytest.mark.parametrize("options", ["8907040a010007", "8907080a010007"])
def test_a_strict_one_was_meant_for_us(options: str, kernel: KernelProfile) -> None:
    journal = routed(options, kernel, "10.1.0.5")
    assert (ended(journal), pointer(journal)) == (SILENT, 16)
    assert "IpInHdrErrors" not in counted(journal)


@both
@pytest.mark.parametrize("dst", ["10.0.0.255", "255.255.255.255", "99.0.0.1", "10.66.0.1", "10.67.0.1", "10.68.0.1"])
def test_where_nothing_leads_on_it_ends(dst: str, kernel: KernelProfile) -> None:
    journal = routed("8307040a010005", kernel, dst)
    assert (ended(journal), out(journal), counted(journal)) == (SILENT, [], {})


@both
@pytest.mark.parametrize("options", ["8307080a010005", "8907ff0a010005", "830304"])
def test_one_that_is_used_up_has_arrived(options: str, kernel: KernelProfile) -> None:
    journal = routed(options, kernel, proto=200)
    assert ended(journal) == ("IP_NOPROTO", "ip_local_deliver_finish")


@both
@pytest.mark.parametrize("options", ["8307050a010005", "8907060a010005", "8307070a010005"])
def test_less_than_an_address_is_told_but_not_counted(options: str, kernel: KernelProfile) -> None:
    journal = routed(options, kernel)
    assert (ended(journal), pointer(journal)) == (SILENT, 22)
    assert "IpInHdrErrors" not in counted(journal)


@both
@pytest.mark.parametrize(
    "hop",
    [
        "e0000001", "ef010101", "0a0100ff", "ffffffff", "7f000001", "00000000", "63000001", "0a420001", "0a430001",
        "0a440001",
    ],
)  # fmt: skip
def test_a_hop_that_is_no_host_ends_it(hop: str, kernel: KernelProfile) -> None:
    journal = routed("830704" + hop, kernel)
    assert (ended(journal), out(journal), counted(journal)) == (SILENT, [], {})


@both
def test_where_nothing_is_forwarded_it_is_not_followed(kernel: KernelProfile) -> None:
    net = two_arms(kernel, sysctl={**WELCOME, "net.ipv4.ip_forward": 0})
    journal = came(packet("8307040a010005"), net)
    assert (ended(journal), out(journal), counted(journal)) == (SILENT, [], {})


@both
@pytest.mark.parametrize("kind", ["83", "89"])
def test_the_next_hop_is_gone_to(kind: str, kernel: KernelProfile) -> None:
    journal = routed(kind + "0b040a0100050a010007", kernel, ttl=9)
    assert out(journal) == [("t1", packet(kind + "0b080a0100010a010007", "10.1.0.5", ttl=8))]


@both
def test_it_may_lead_back_by_the_same_link(kernel: KernelProfile) -> None:
    journal = routed("8307040a000007", kernel, ttl=9)
    assert out(journal) == [("t0", packet("8307080a000001", "10.0.0.7", ttl=8))]


@both
def test_a_gateway_serves_a_loose_one_only(kernel: KernelProfile) -> None:
    journal = routed("8307040a080005", kernel, ttl=9)
    assert out(journal) == [("t1", packet("8307080a010001", "10.8.0.5", ttl=8))]
    journal = routed("8907040a080005", kernel)
    # Nothing of the option was visited, so it does not come back.
    assert (ended(journal), icmp(journal)) == (("NOT_SPECIFIED", "ip_forward"), [(3, 5)])


@both
def test_own_addresses_are_hops_made_at_once(kernel: KernelProfile) -> None:
    journal = routed("830b040a0100010a010005", kernel, ttl=9)
    assert out(journal) == [("t1", packet("830b0c0a0100010a010001", "10.1.0.5", ttl=8))]
    journal = routed("830b040a0100010a010005", kernel, ttl=1)
    ((_, error),) = out(journal)
    assert error[20:22].hex() == "0b00"
    # Quoted with the destination that it has by then, under its old checksum.
    assert error[28:] == patched(packet("830b040a0100010a010005", ttl=1), 16, bytes((10, 1, 0, 1)))


@both
def test_a_route_that_ends_with_us_is_delivered_there(kernel: KernelProfile) -> None:
    journal = routed("8307040a010001", kernel, proto=200)
    ((_, error),) = out(journal)
    assert (error[12:16].hex(), error[20:22].hex()) == ("0a010001", "0302")
    assert error[28:] == patched(packet("8307040a010001", proto=200), 16, bytes((10, 1, 0, 1)))


@both
def test_own_addresses_first_and_less_than_an_address_then(kernel: KernelProfile) -> None:
    journal = routed("8309040a0100010a01", kernel)
    assert (ended(journal), pointer(journal)) == (SILENT, 22)


# ip_forward_options


@both
def test_a_record_is_written_before_the_destination_changes(kernel: KernelProfile) -> None:
    journal = routed("070704000000008307040a010005", kernel, ttl=9)
    assert out(journal) == [("t1", packet("0707080a0100018307080a010001", "10.1.0.5", ttl=8))]


@both
def test_with_a_source_route_the_stamp_names_the_way_out(kernel: KernelProfile) -> None:
    journal = routed("440c050100000000000000008307040a010005", kernel, ttl=9)
    assert out(journal) == [("t1", packet("440c0d010a010001010203048307080a010001", "10.1.0.5", ttl=8))]


@both
def test_what_the_forward_hook_keeps_is_not_filled(kernel: KernelProfile) -> None:
    hook = [{"at": "FORWARD", "verdict": "drop"}]
    journal = came(packet("07070400000000", "10.1.0.5"), two_arms(kernel, hook=hook), trace=True)
    assert ended(journal)[0] == "NETFILTER_DROP"
    assert "ip_forward_options" not in [step.func for step in journal.steps or ()]


@both
def test_the_outgoing_side_bears_the_source_of_its_route(kernel: KernelProfile) -> None:
    routes = ["10.9.0.0/16 via 10.1.0.9 dev t1 src 10.0.0.1"]
    journal = came(packet("07070400000000", "10.9.0.5", ttl=9), two_arms(kernel, routes=routes))
    assert out(journal) == [("t1", packet("0707080a000001", "10.9.0.5", ttl=8))]


# Which fault wins


@both
@pytest.mark.parametrize("dst", ["99.0.0.1", "10.66.0.1", "10.67.0.1", "10.68.0.1", "10.69.0.1", "10.6.0.5"])
@pytest.mark.parametrize("ttl", [1, 64])
def test_a_malformed_option_beats_route_ttl_and_mtu(dst: str, ttl: int, kernel: KernelProfile) -> None:
    journal = came(packet("07070300000000", dst, bytes(1300), ttl=ttl, df=True), two_arms(kernel))
    assert (ended(journal), pointer(journal)) == (("IP_INHDR", "ip_rcv_options"), 22)
    assert "IpExtInNoRoutes" not in counted(journal)


@both
def test_it_beats_a_host_that_forwards_nothing(kernel: KernelProfile) -> None:
    net = two_arms(kernel, sysctl={"net.ipv4.ip_forward": 0})
    journal = came(packet("07070300000000", "10.1.0.5"), net)
    assert (pointer(journal), counted(journal).get("IpInAddrErrors")) == (22, None)


@both
@pytest.mark.parametrize(
    ("wrong", "sysctl", "reason"),
    [
        ({"src": "224.0.0.1"}, {}, "IP_INVALID_SOURCE"),
        ({"src": "10.1.0.7"}, {"net.ipv4.conf.all.rp_filter": 1}, "IP_RPFILTER"),
        ({"checksum": 0xBAD}, {}, "IP_CSUM"),
    ],
)
def test_martians_and_bad_checksums_beat_it(
    wrong: dict[str, object], sysctl: dict[str, int], reason: str, kernel: KernelProfile
) -> None:
    data = ip(**{"src": "10.0.0.5", "dst": "10.1.0.5", "options": b"\7\7\3\0\0\0\0", **wrong})  # type: ignore[arg-type]
    journal = came(data, two_arms(kernel, sysctl=sysctl))
    assert (ended(journal)[0], out(journal)) == (reason, [])


@both
def test_the_ttl_beats_a_strict_route_and_that_beats_the_mtu(kernel: KernelProfile) -> None:
    def kind(ttl: int, options: str) -> str:
        journal = routed(options, kernel, payload=bytes(1600), ttl=ttl, df=True)
        ((_, error),) = out(journal)
        return error[20:22].hex()

    assert kind(1, "8907040a080005") == "0b00"
    assert kind(2, "8907040a080005") == "0305"
    assert kind(2, "8907040a010005") == "0304"


@both
@pytest.mark.parametrize(
    "about", [{"offset": 8}, {"proto": 1, "payload": message(kind=3)}, {"dst": "10.0.0.255"}, {"dst": "224.0.0.1"}]
)
def test_not_every_malformed_option_is_told(about: dict[str, object], kernel: KernelProfile) -> None:
    data = ip(**{"options": b"\7\1", "src": "10.0.0.5", "dst": "10.1.0.5", **about})  # type: ignore[arg-type]
    journal = came(data, two_arms(kernel))
    assert (ended(journal), out(journal)) == (("IP_INHDR", "ip_rcv_options"), [])
    assert counted(journal)["IpInHdrErrors"] == 1


# Fragments


NARROW = {"link": {"t0": {"addr": ["10.0.0.1/24"]}, "t1": {"addr": ["10.1.0.1/24"], "mtu": 600}}}


@both
def test_only_the_first_fragment_shows_the_record(kernel: KernelProfile) -> None:
    net = two_arms(kernel, **NARROW)
    data = packet("070b04000000000000000000", "10.1.0.5", bytes(1000), ttl=9)
    first, second = (data for _, data in out(came(data, net)))
    assert first == packet("070b080a0100010000000000", "10.1.0.5", bytes(568), ttl=8, mf=True)
    assert second == packet("01" * 11 + "00", "10.1.0.5", bytes(432), ttl=8, offset=568)


@both
def test_a_later_fragment_records_in_every_piece(kernel: KernelProfile) -> None:
    net = two_arms(kernel, **NARROW)
    data = packet("070b04000000000000000000", "10.1.0.5", bytes(1000), ttl=9, mf=True, offset=1000)
    recorded = "070b080a0100010000000000"
    assert [piece for _, piece in out(came(data, net))] == [
        packet(recorded, "10.1.0.5", bytes(568), ttl=8, mf=True, offset=1000),
        packet(recorded, "10.1.0.5", bytes(432), ttl=8, mf=True, offset=1568),
    ]


@both
def test_together_they_have_the_options_of_the_first(kernel: KernelProfile) -> None:
    net = two_arms(kernel)
    whole = udp(bytes(24), src="10.0.0.5", dst="10.0.0.1")
    came(packet("440c05000000000000000000", payload=whole[16:], offset=16), net)
    journal = came(packet("070b04000000000000000000", payload=whole[:16], mf=True), net)
    ((_, error),) = out(journal)
    assert (error[0], error[20:32].hex(), error[32:34].hex()) == (0x48, "070b0c0a0000010a00000100", "0303")
    assert error[40:] == packet("070b080a0000010000000000", payload=whole)


@both
def test_what_never_comes_together_is_told_with_the_options_of_the_first(kernel: KernelProfile) -> None:
    net = two_arms(kernel)
    first = packet("070b04000000000000000000", payload=bytes(16), mf=True)
    came(first, net)
    (fallen,) = ip_expire(net.frags, 40_000_000_000)
    about = owed_about(fallen.queue)
    assert about is not None
    assert isinstance(about.tag, SkBuff)
    ((_, error),) = out(run_owed(IcmpDue(11, 1, 0, about.tag), net, Journal()))
    assert (error[20:32].hex(), error[32:34].hex()) == ("070b0c0a0000010a00000100", "0b01")
    assert error[40:] == patched(first, 22, b"\x08" + bytes((10, 0, 0, 1)))


@pytest.mark.parametrize(("kernel", "echoed"), [(LINUX_4_14, ""), (LINUX_6_18, "070f100a0100010a0000010a00000100")])
def test_a_fragment_takes_no_notes_of_options_along(kernel: KernelProfile, echoed: str) -> None:
    """4.14 echoes what is noted, which is nothing; 6.18 compiles the fragment's options once more."""
    known = ["10.0.0.5 lladdr 02:00:00:00:00:05 dev t0"]
    net = two_arms(kernel, neigh_default="resolve", neigh=known, **NARROW)
    came(packet("070f04000000000000000000000000", "10.1.0.5", bytes(1000)), net)
    fired = list(let_timers_fire(net, 10_000_000_000, Journal))
    ((_, error),) = [sent for each in fired for sent in out(each.journal) if sent[0] == "t0"]
    header_bytes = (error[0] & 15) * 4
    assert (error[20:header_bytes].hex(), error[header_bytes : header_bytes + 2].hex()) == (echoed, "0301")


# What goes back


@pytest.mark.parametrize(
    ("kernel", "later"), [(LINUX_4_14, "070b0c0a0000010a00000100"), (LINUX_6_18, "01" * 11 + "00")]
)
def test_a_long_answer_is_in_pieces_before_it_is_fragmented(kernel: KernelProfile, later: str) -> None:
    """Its pieces are fragments as they are: what 4.14 does not know of them it does not blank."""
    asked = packet("070b04000000000000000000", payload=message(bytes(2000)), proto=1)
    first, second = (data for _, data in out(came(asked, two_arms(kernel))))
    assert (len(first), first[6:8].hex(), first[20:32].hex()) == (1496, "2000", "070b0c0a0000010a00000100")
    assert (len(second), second[6:8].hex(), second[20:32].hex()) == (576, "00b7", later)


@pytest.mark.parametrize(("kernel", "tos"), [(LINUX_4_14, 0xFF), (LINUX_6_18, 0xFC)])
def test_a_reset_bears_options_and_tos(kernel: KernelProfile, tos: int) -> None:
    segment = tcp(src="10.0.0.5", dst="10.0.0.1")
    ((_, reset),) = out(came(packet("070b04000000000000000000", payload=segment, proto=6, tos=0xFF), two_arms(kernel)))
    assert (reset[1], reset[20:32].hex(), reset[8]) == (tos, "070b0c0a0000010a00000100", 64)


@both
@pytest.mark.parametrize(("last", "dev", "ttl"), [("0a010005", "t1", 64), ("ef010101", "t0", 1)])
def test_an_error_takes_the_way_back_that_was_recorded(last: str, dev: str, ttl: int, kernel: KernelProfile) -> None:
    ((by, error),) = out(routed(f"830708{last}", kernel, proto=200))
    assert (by, error[8], error[16:20].hex(), error[20:28].hex()) == (dev, ttl, last, "8307040a00000500")


@both
def test_a_copy_that_comes_back_shares_the_bytes_that_were_blanked(kernel: KernelProfile) -> None:
    """A long answer to a group on a narrow link: its options are blanked in the copy, too, under the old checksum."""
    narrow = {"t0": {"addr": ["10.0.0.1/24"]}, "t1": {"addr": ["10.1.0.1/24"], "mtu": 600}}
    net = two_arms(kernel, sysctl=WELCOME, link=narrow)
    asked = packet("4408050000000000830708e0000001", payload=message(bytes(700)), proto=1, dst="10.1.0.1")
    journal = came(asked, net)
    assert [len(data) for _, data in out(journal)] == [596, 184]
    assert counted(journal)["IpExtInCsumErrors"] == 1


@both
def test_a_way_back_by_nobody_ends_here(kernel: KernelProfile) -> None:
    """The error to 0.0.0.0 comes back in, from an address of this host's own."""
    journal = routed("83070800000000", kernel, proto=200)
    assert out(journal) == []
    assert counted(journal)["IcmpOutDestUnreachs"] == 1


@both
def test_a_trace_tells_of_options(kernel: KernelProfile) -> None:
    journal = came(packet("8307040a010005"), two_arms(kernel, sysctl=WELCOME), trace=True)
    assert isinstance(journal.ends[0], Transmitted)
    told = [(step.func, step.say) for step in journal.steps or () if step.func in TOLD]
    assert told == [
        ("ip_route_input_noref", "10.0.0.5 > 10.0.0.1 iif t0 tos 0x0: local dev lo"),
        ("ip_options_compile", "8 bytes, srr at 20"),
        ("ip_options_rcv_srr", "next hop 10.1.0.5"),
        ("ip_route_input_noref", "10.0.0.5 > 10.1.0.5 iif t0 tos 0x0: unicast dev t1"),
        ("ip_forward_options", "filled in, and the header checksum put right"),
    ]
    assert all(rfc1071(data[:28]) == 0 for _, data in out(journal))


TOLD = ("ip_route_input_noref", "ip_options_compile", "ip_options_rcv_srr", "ip_rcv_options", "ip_forward_options")


@both
@pytest.mark.parametrize(
    ("options", "dst", "last"),
    [
        ("070705000000", "10.1.0.5", "8 bytes, none to act on; malformed at byte 22 of the header"),
        ("940400000707ff00000000", "10.1.0.5", "nothing to fill in"),
        ("8307040a010005", "10.0.0.255", "nothing leads to the destination"),
        ("8907040a010005", "10.1.0.5", "refused for byte 16 of the header"),
        ("8307050a010005", "10.0.0.1", "refused for byte 22 of the header"),
        ("830704e0000001", "10.0.0.1", "next hop 224.0.0.1 is no host that can be reached"),
    ],
)
def test_a_trace_tells_why_it_ends(options: str, dst: str, last: str, kernel: KernelProfile) -> None:
    net = two_arms(kernel, sysctl=WELCOME)
    told = [step.say for step in came(packet(options, dst), net, trace=True).steps or () if step.func in TOLD[1:]]
    assert told[-1] == last


@pytest.mark.parametrize(("log_martians", "last"), [(0, "not logged"), (1, "logged")])
def test_a_trace_tells_what_is_not_welcome(log_martians: int, last: str) -> None:
    net = two_arms(LINUX_6_18, sysctl={"net.ipv4.conf.all.log_martians": log_martians})
    journal = came(packet("8307040a010005"), net, trace=True)
    said = [step.say for step in journal.steps or () if step.func == "ip_rcv_options"]
    assert said == [f"t0 takes no source routes, {last}"]


def test_a_trace_tells_of_a_frame_for_many() -> None:
    journal = came(
        packet("8307040a010005"), two_arms(LINUX_6_18, sysctl=WELCOME), kind=PacketType.BROADCAST, trace=True
    )
    assert [step.say for step in journal.steps or () if step.func == "ip_options_rcv_srr"] == [
        "the frame was not for this host alone"
    ]
