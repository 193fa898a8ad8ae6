"""arp_rcv and arp_process: who is answered, with which bytes, and what is learned; by literal packets."""

from __future__ import annotations

from typing import Any

import pytest

from ipkit.core.host.build import build_host
from ipkit.core.host.kernel import LINUX_4_14, LINUX_6_18, KernelProfile
from ipkit.core.journey import run_arp
from ipkit.core.outcome.drop_reasons import DropReason
from ipkit.core.outcome.journal import Emitted, EmittedKind, Journal, Step
from ipkit.core.outcome.verdict import Delivered, Drop
from ipkit.core.skbuff import PacketType, SkBuff
from ipkit.core.state.netns import NetNamespace, namespace_of
from tests.support.journeys import KERNELS
from tests.support.packets import address, mac

both = pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)

SECOND = 1_000_000_000
ETHERNET = "000108000604"
OURS, ASKER, OTHER = "020000000101", "020000000177", "020000000188"
OUR_IP, SECOND_IP, FAR_IP, ASKER_IP = "c0000201", "c0000202", "c6336401", "c000024d"
NOBODY = "000000000000"
TAKEN = Delivered("arp", "arp_process")
REFUSED = Drop(DropReason.NOT_SPECIFIED, "arp_process")


def host(kernel: KernelProfile = LINUX_6_18, **more: Any) -> NetNamespace:
    """Return a router; `sysctl` is about eth0 and has short names, `neigh` replaces the neighbours."""
    knobs = {f"net.ipv4.conf.eth0.{name}": value for name, value in more.pop("sysctl", {}).items()}
    described = {
        "neigh_default": "resolve",
        "sysctl": {"net.ipv4.ip_forward": 1, **more.pop("net", {}), **knobs},
        "routes": ["203.0.113.0/24 via 198.51.100.254 dev eth1", "unreachable 10.66.0.0/16"],
        "link": {
            "eth0": {
                "address": "02:00:00:00:01:01",
                "addr": ["192.0.2.1/24", "192.0.2.2/24", "10.6.0.1/32 scope link"],
            },
            "eth1": {"address": "02:00:00:00:02:01", "addr": ["198.51.100.1/24"]},
            **more.pop("link", {}),
        },
        **more,
    }
    return namespace_of(build_host(described, file="host.toml", kernel=kernel))


def came(packet: str, net: NetNamespace, kind: PacketType = PacketType.BROADCAST, now_ns: int = 0) -> Journal | None:
    """Let a packet come in by eth0; None: ARP does not look at it."""
    journal = Journal(steps=[])
    skb = SkBuff(bytes.fromhex(packet), "eth0", kind, now_ns)
    return journal if run_arp(skb, net, journal) else None


def request(target: str, sender: str = ASKER_IP, sha: str = ASKER) -> str:
    return ETHERNET + "0001" + sha + sender + NOBODY + target


def answer(sender: str, sha: str = ASKER, target: str = OUR_IP, tha: str = OURS) -> str:
    return ETHERNET + "0002" + sha + sender + tha + target


def replies(journal: Journal | None) -> list[str]:
    assert journal is not None
    assert {one.kind for one in journal.emitted} <= {EmittedKind.ARP}
    return [(one.header + one.payload).hex() for one in journal.emitted]


def answered(target: str, sender: str = ASKER_IP, own: str = OURS) -> list[str]:
    return [ASKER + own + "0806" + ETHERNET + "0002" + own + target + ASKER + sender]


def known(net: NetNamespace, sender: str = "192.0.2.77", dev: str = "eth0") -> str:
    entry = net.neighbours.entries.get((dev, int.from_bytes(address(sender), "big")))
    return "" if entry is None else f"{net.neighbours.state_of(dev, entry.address)} {(entry.lladdr or b'').hex()}"


@both
@pytest.mark.parametrize("target", [OUR_IP, SECOND_IP, FAR_IP])
def test_any_address_of_ours_is_answered_on_any_link_and_the_asker_is_known_then(
    target: str, kernel: KernelProfile
) -> None:
    net = host(kernel)
    journal = came(request(target), net)
    assert replies(journal) == answered(target)
    assert journal is not None
    assert journal.ends == [TAKEN]
    assert journal.emitted[0] == Emitted(
        "eth0", EmittedKind.ARP, 28, journal.emitted[0].header, journal.emitted[0].payload
    )
    assert known(net) == "stale " + ASKER


@both
@pytest.mark.parametrize("target", ["c00002c8", "cb007107", "0a420001", "c00002ff", "ffffffff", "00000000"])
def test_others_are_not_answered_for_and_nothing_is_learned(target: str, kernel: KernelProfile) -> None:
    net = host(kernel)
    assert replies(came(request(target), net)) == []
    assert known(net) == ""


@both
def test_a_probe_is_answered_and_teaches_nothing(kernel: KernelProfile) -> None:
    net = host(kernel)
    assert replies(came(request(OUR_IP, sender="00000000"), net)) == answered(OUR_IP, "00000000")
    assert replies(came(request("c00002c8", sender="00000000"), net)) == []
    assert replies(came(answer("00000000", target=OUR_IP), net)) == []
    assert not net.neighbours.entries


@both
@pytest.mark.parametrize(
    "packet",
    [
        request("7f000001"),
        request("e0000001"),
        ETHERNET + "0003" + ASKER + ASKER_IP + NOBODY + OUR_IP,
        "0007080006040001" + ASKER + ASKER_IP + NOBODY + OUR_IP,
        "000186dd06040001" + ASKER + ASKER_IP + NOBODY + OUR_IP,
    ],
)
def test_what_cannot_be_meant_is_dropped(packet: str, kernel: KernelProfile) -> None:
    journal = came(packet, host(kernel))
    assert journal is not None
    assert (journal.ends, journal.emitted) == ([REFUSED], [])


@pytest.mark.parametrize(
    "packet", [request(OUR_IP)[:-2], "000108000806" + request(OUR_IP)[12:], "0001080006060001", ""]
)
def test_what_is_too_short_or_of_other_lengths_is_no_arp(packet: str) -> None:
    assert came(packet, host()) is None


def test_the_hardware_may_call_itself_ieee_802_and_padding_is_nothing() -> None:
    assert replies(came("0006" + request(OUR_IP)[4:] + "00" * 18, host())) == answered(OUR_IP)


def test_a_frame_for_another_station_or_a_link_without_arp_is_nobodys() -> None:
    assert came(request(OUR_IP), host(), PacketType.OTHERHOST) is None
    assert came(request(OUR_IP), host(link={"eth0": {"arp": False, "addr": ["192.0.2.1/24"]}})) is None


@both
@pytest.mark.parametrize(
    ("level", "target", "sender", "is_answered"),
    [
        (1, OUR_IP, ASKER_IP, True),
        (1, SECOND_IP, ASKER_IP, True),
        (1, FAR_IP, ASKER_IP, False),
        (2, OUR_IP, ASKER_IP, True),
        (2, OUR_IP, "c6336409", False),
        (3, OUR_IP, ASKER_IP, True),
        (3, FAR_IP, ASKER_IP, True),
        (3, "0a060001", ASKER_IP, True),
        (4, FAR_IP, ASKER_IP, True),
        (8, OUR_IP, ASKER_IP, False),
        (9, OUR_IP, ASKER_IP, True),
    ],
)
def test_arp_ignore(level: int, target: str, sender: str, is_answered: bool, kernel: KernelProfile) -> None:
    net = host(kernel, sysctl={"arp_ignore": level})
    assert replies(came(request(target, sender), net)) == (answered(target, sender) if is_answered else [])
    assert bool(net.neighbours.entries) is is_answered
    assert len(replies(came(request(target, "00000000"), net))) == (is_answered or level == 2)


def test_addresses_of_the_host_scope_are_kept_from_level_3() -> None:
    link = {"eth0": {"address": "02:00:00:00:01:01", "addr": ["192.0.2.1/24", "10.7.0.1/32 scope host"]}}
    assert replies(came(request("0a070001"), host(link=link))) == answered("0a070001")
    assert replies(came(request("0a070001"), host(link=link, sysctl={"arp_ignore": 3}))) == []


@both
def test_arp_filter_answers_only_where_the_way_back_is_the_way_in(kernel: KernelProfile) -> None:
    net = host(kernel, sysctl={"arp_filter": 1})
    assert replies(came(request(OUR_IP), net)) == answered(OUR_IP)
    journal = came(request(OUR_IP, sender="c6336409"), net)
    assert replies(journal) == []
    assert journal is not None
    assert {mib.value: moved for mib, moved in journal.counters.items()} == {"TcpExtArpFilter": 1}
    assert known(net, "198.51.100.9") == ""
    journal = came(request(OUR_IP, sender="09090909"), net)
    assert replies(journal) == []


@both
def test_a_source_that_cannot_be_one_is_not_answered(kernel: KernelProfile) -> None:
    assert replies(came(request(OUR_IP, sender=OUR_IP), host(kernel))) == []
    assert replies(came(request(OUR_IP, sender="e0000001"), host(kernel))) == []
    assert replies(came(request(OUR_IP, sender="c6336409"), host(kernel, sysctl={"rp_filter": 1}))) == []


@both
@pytest.mark.parametrize(
    ("sysctl", "target", "is_answered"),
    [
        ({}, "cb007107", False),
        ({"proxy_arp": 1}, "cb007107", True),
        ({"proxy_arp": 1}, "c6336409", True),
        ({"proxy_arp": 1, "forwarding": 0}, "cb007107", False),
        ({"proxy_arp": 1}, "c00002c8", False),
        ({"proxy_arp": 1}, "0a420001", False),
        ({"proxy_arp": 1, "medium_id": 3}, "cb007107", True),
        ({"proxy_arp": 1, "medium_id": -1}, "cb007107", False),
        ({"proxy_arp_pvlan": 1}, "c00002c8", True),
        ({"proxy_arp_pvlan": 1}, ASKER_IP, False),
        ({"proxy_arp_pvlan": 1}, "cb007107", False),
    ],
)
def test_a_router_may_answer_for_others(
    sysctl: dict[str, int], target: str, is_answered: bool, kernel: KernelProfile
) -> None:
    net = host(kernel, sysctl=sysctl)
    assert replies(came(request(target), net)) == (answered(target) if is_answered else [])
    assert known(net) == ("stale " + ASKER if is_answered else "")


@pytest.mark.parametrize(("medium", "is_answered"), [(0, True), (2, True), (3, False), (-1, False)])
def test_nobody_is_answered_for_who_is_on_the_same_medium(medium: int, is_answered: bool) -> None:
    net = host(sysctl={"proxy_arp": 1, "medium_id": 3}, net={"net.ipv4.conf.eth1.medium_id": medium})
    assert bool(replies(came(request("cb007107"), net))) is is_answered


@both
@pytest.mark.parametrize(("target", "is_answered"), [("c6336421", True), ("c6336422", False), ("c000022c", False)])
def test_a_proxy_neighbour_is_answered_for_where_it_is_reached_by_another_link(
    target: str, is_answered: bool, kernel: KernelProfile
) -> None:
    proxies = ["proxy 198.51.100.33 dev eth0", "proxy 192.0.2.44 dev eth0", "198.51.100.34 dev eth1 proxy"]
    net = host(kernel, neigh=proxies)
    assert not net.neighbours.entries
    assert replies(came(request(target), net)) == (answered(target) if is_answered else [])


@both
@pytest.mark.parametrize(
    ("packet", "kind", "after"),
    [
        (answer(ASKER_IP), PacketType.HOST, "reachable " + ASKER),
        (answer(ASKER_IP), PacketType.BROADCAST, "stale " + ASKER),
        (request("c00002c8"), PacketType.BROADCAST, "stale " + ASKER),
        (request(ASKER_IP), PacketType.BROADCAST, "stale " + ASKER),
        (answer(ASKER_IP, target=ASKER_IP, tha=ASKER), PacketType.BROADCAST, "stale " + ASKER),
    ],
)
def test_one_who_is_known_is_learned_from(packet: str, kind: PacketType, after: str, kernel: KernelProfile) -> None:
    net = host(kernel, neigh=["192.0.2.77 lladdr 02:00:00:00:01:88 dev eth0 nud stale"])
    came(packet, net, kind, now_ns=2 * SECOND)
    assert known(net) == after


@pytest.mark.parametrize("state", ["permanent", "noarp"])
def test_what_is_fixed_is_not_learned(state: str) -> None:
    net = host(neigh=[f"192.0.2.77 lladdr 02:00:00:00:01:88 dev eth0 nud {state}"])
    came(answer(ASKER_IP), net, PacketType.HOST)
    assert known(net) == f"{state} {OTHER}"


@both
def test_the_first_of_several_answers_counts_for_the_locktime_unless_a_host_speaks_of_itself(
    kernel: KernelProfile,
) -> None:
    net = host(kernel)
    came(request(OUR_IP), net, now_ns=0)
    came(answer(ASKER_IP, sha=OTHER), net, PacketType.HOST, now_ns=SECOND)
    assert known(net) == "stale " + ASKER
    came(answer(ASKER_IP, sha=OTHER, target=ASKER_IP, tha=NOBODY), net, PacketType.HOST, now_ns=SECOND)
    assert known(net) == "stale " + ASKER
    came(answer(ASKER_IP, sha=OTHER, target=ASKER_IP, tha=OTHER), net, PacketType.HOST, now_ns=SECOND)
    assert known(net) == "reachable " + OTHER
    came(answer(ASKER_IP), net, PacketType.HOST, now_ns=2 * SECOND)
    assert known(net) == "reachable " + OTHER
    came(answer(ASKER_IP), net, PacketType.HOST, now_ns=2 * SECOND + 1)
    assert known(net) == "reachable " + ASKER


@pytest.mark.parametrize(
    ("kernel", "knob", "sender", "is_learned"),
    [
        (LINUX_4_14, 0, ASKER_IP, False),
        (LINUX_6_18, 0, ASKER_IP, False),
        (LINUX_4_14, 1, "cb007109", True),
        (LINUX_6_18, 1, "cb007109", True),
        (LINUX_4_14, 2, "cb007109", True),
        (LINUX_6_18, 2, "cb007109", False),
        (LINUX_6_18, 2, ASKER_IP, True),
        (LINUX_4_14, 3, ASKER_IP, True),
        (LINUX_6_18, 3, ASKER_IP, False),
        (LINUX_6_18, 1, OUR_IP, False),
    ],
)
def test_arp_accept_makes_strangers_known(kernel: KernelProfile, knob: int, sender: str, is_learned: bool) -> None:
    who = ".".join(str(part) for part in bytes.fromhex(sender))
    for packet in (answer(sender), request(sender, sender)):
        net = host(kernel, sysctl={"arp_accept": knob})
        came(packet, net, PacketType.BROADCAST)
        assert known(net, who) == ("stale " + ASKER if is_learned else "")
    net = host(kernel, sysctl={"arp_accept": knob})
    came(request("c00002c8", sender), net)
    assert not net.neighbours.entries


@both
def test_gratuitous_ones_may_be_unwelcome(kernel: KernelProfile) -> None:
    net = host(kernel, sysctl={"drop_gratuitous_arp": 1, "arp_accept": 1})
    journal = came(request(ASKER_IP), net)
    assert journal is not None
    assert journal.ends == [REFUSED]
    assert not net.neighbours.entries


@both
def test_a_full_table_answers_no_stranger(kernel: KernelProfile) -> None:
    """All entries have a timer running, or changed just now: nobody can be thrown out."""
    net = host(kernel, net={"net.ipv4.neigh.default.gc_thresh3": 2})
    first, second = ("192.0.2.101", "c0000265"), ("192.0.2.102", "c0000266")
    for _, sender in (first, second):
        came(request(OUR_IP, sender), net)
    for entry in net.neighbours.entries.values():
        net.neighbours.start(entry, SECOND)
    assert replies(came(request(OUR_IP), net)) == []
    assert len(net.neighbours.entries) == 2


@pytest.mark.parametrize(("kernel", "left"), [(LINUX_4_14, 1), (LINUX_6_18, 2)])
def test_who_makes_room_in_a_full_table(kernel: KernelProfile, left: int) -> None:
    """4.14 throws out whoever is idle, at once; 6.18 those that did not change for five seconds."""
    net = host(kernel, net={f"net.ipv4.neigh.default.gc_thresh{number}": 2 for number in (2, 3)})
    came(request(OUR_IP, "c0000265"), net)
    came(request(OUR_IP, "c0000266"), net, now_ns=6 * SECOND)
    assert replies(came(request(OUR_IP), net, now_ns=7 * SECOND)) == answered(OUR_IP)
    assert len(net.neighbours.entries) == left
    assert known(net) == "stale " + ASKER


def test_a_flood_is_bounded() -> None:
    net = host()
    for number in range(5000):
        came(request(OUR_IP, "c000" + f"{0x0203 + number % 200:04x}", sha=f"0200{number:08x}"), net, now_ns=number)
        came(request(OUR_IP, f"0a05{number:04x}"), net, now_ns=number)
    assert len(net.neighbours.entries) <= 1024


@both
def test_a_vlan_answers_with_its_tag(kernel: KernelProfile) -> None:
    vlan = {"kind": "vlan", "link": "eth1", "id": 7, "addr": ["198.18.0.1/24"]}
    net = host(kernel, link={"eth1.7": vlan})
    journal = Journal()
    assert run_arp(SkBuff(bytes.fromhex(request("c6120001", "c6120009")), "eth1.7", PacketType.HOST, 0), net, journal)
    (reply,) = journal.emitted
    assert reply.header.hex() == ASKER + "020000000201" + "810000070806"
    assert mac("02:00:00:00:02:01") in reply.payload


def journey_steps(journal: Journal) -> list[Step]:
    assert journal.steps is not None
    return journal.steps


def test_the_trace_says_what_decided() -> None:
    journal = came(request(FAR_IP), host(sysctl={"arp_ignore": 1}))
    assert journal is not None
    first = journey_steps(journal)[0]
    assert (first.func, first.depth) == ("arp_process", 0)
    assert {type(step.depth) for step in journey_steps(journal)} == {int}
    assert first.say == "who has 198.51.100.1, says 192.0.2.77 (02:00:00:00:01:77): not answered (arp_ignore)"
    assert isinstance(first.values, dict)
    assert (first.values["arp_ignore"], first.values["spa"]) == (1, "192.0.2.77")


@pytest.mark.parametrize(
    ("policy", "answered"),
    [(0, [0, 1, 4, 6, 8, 9, 10, 14]), (1, list(range(16))), (2, [0, 1, 4, 6, 8, 9, 10, 14]), (3, [])],
)
def test_a_question_is_hashed_as_if_it_were_a_datagram(policy: int, answered: list[int]) -> None:
    """Whose way leads out by another link is answered for: seen on 6.18, by the last byte of who asks."""
    net = host(
        net={"net.ipv4.fib_multipath_hash_seed": 84220, "net.ipv4.fib_multipath_hash_policy": policy},
        sysctl={"proxy_arp": 1},
        routes=["10.11.0.0/16 nexthop via 192.0.2.9 dev eth0 nexthop via 198.51.100.9 dev eth1"],
    )
    asked = [request("0a0b0005", sender="0a010007", sha=f"0201000001{last:02x}") for last in range(16)]
    assert [last for last, packet in enumerate(asked) if replies(came(packet, net))] == answered
