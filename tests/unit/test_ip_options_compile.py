"""Every option as it may come in: what is refused at which byte, what is written into the others, in both kernels."""

from __future__ import annotations

import pytest

from ipkit.core.host.kernel import KernelProfile
from ipkit.core.ip_options_compile import ip_options_compile
from ipkit.core.options_get import ip_options_get
from ipkit.core.outcome.journal import Journal
from ipkit.core.outcome.verdict import Delivered, Drop, Transmitted
from ipkit.core.skbuff import IpOptions, PacketType, SkBuff
from tests.support.journeys import KERNELS, came, counted, icmp, out, two_arms
from tests.support.packets import icmp as message
from tests.support.packets import ip, patched, rfc1071

both = pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
NOW_NS = 0x01020304 * 1_000_000
"""Its milliseconds since midnight are 01020304."""


def packet(options: str, dst: str = "10.1.0.5", payload: bytes = b"12345678", **more: object) -> bytes:
    return ip(payload, src="10.0.0.5", dst=dst, options=bytes.fromhex(options), **more)  # type: ignore[arg-type]


def ended(journal: Journal) -> tuple[str, str]:
    (end,) = journal.ends
    assert isinstance(end, Drop)
    return end.reason.value, end.func


MALFORMED = [
    ("a number in the last byte", "01010119", 23),
    ("a length of nothing", "19000000", 20),
    ("a length of one", "07010000", 20),
    ("more than there is", "01070604", 21),
    ("record route: no pointer", "07020101", 21),
    ("record route: a pointer into its head", "07070300000000", 22),
    ("record route: a pointer to less than an address", "07070500000000", 22),
    ("record route: the last such pointer", "07070700000000", 22),
    ("a second record route", "0707040000000007070400000000", 27),
    ("a second record route is refused for that, however short", "070704000000000702", 27),
    ("timestamp: no flags", "44030500", 21),
    ("timestamp: a pointer into its head", "4408040000000000", 22),
    ("timestamp: a pointer to less than a time", "440a090000000000000000", 22),
    ("timestamp: an address and no time", "4408050100000000", 22),
    ("timestamp: a prescribed address and no time", "440805030a010001", 22),
    ("timestamp: the overflow overflows", "440405f0", 23),
    ("timestamp: with addresses as well", "440405f1", 23),
    ("timestamp: flags that mean nothing, too", "440405f2", 23),
    ("a second timestamp", "44080500000000004402", 28),
    ("loose source route: no pointer", "83020101", 21),
    ("loose source route: a pointer into its head", "8307030a010005", 22),
    ("strict source route: a pointer into its head", "8907000a010005", 22),
    ("a second source route of the other kind", "8307040a0100058907040a010005", 27),
    ("a second source route is looked at before", "8307040a0100058902", 28),
    ("router alert: no value", "94020000", 21),
    ("router alert: half a value", "94030000", 21),
    ("security label: short", "86070000000100", 21),
    ("security label: nobody knows its domain", "8608000000010000", 22),
]


@both
@pytest.mark.parametrize(("options", "place"), [case[1:] for case in MALFORMED], ids=[case[0] for case in MALFORMED])
def test_a_malformed_option_is_told_where(options: str, place: int, kernel: KernelProfile) -> None:
    journal = came(packet(options), two_arms(kernel))
    assert ended(journal) == ("IP_INHDR", "ip_rcv_options")
    assert counted(journal)["IpInHdrErrors"] == 1
    ((dev, error),) = out(journal)
    at = (error[0] & 15) * 4
    assert (dev, error[12:20].hex(), error[at : at + 2].hex()) == ("t0", "0a0000010a000005", "0c00")
    assert error[at + 4 : at + 8] == bytes((place, 0, 0, 0))
    assert rfc1071(error[:at]) == rfc1071(error[at:]) == 0


GOOD = [
    ("no operations", "01010101", "01010101"),
    ("the end is cleaned behind", "0100ff07", "01000000"),
    ("what follows the end is not looked at", "00070100", "00000000"),
    ("record route", "070f04000000000000000000000000", "070f080a0100010000000000000000"),
    ("record route, the second entry", "070b080a000005ffffffff", "070b0c0a0000050a010001"),
    ("record route, a pointer out of step", "070b050000000000000000", "070b0900" + "0a010001" + "000000"),
    ("record route, full", "070708c0000201", "070708c0000201"),
    ("record route, a pointer far behind", "0707ffc0000201", "0707ffc0000201"),
    ("record route without room", "070304", "070304"),
    ("timestamp", "440c05000000000000000000", "440c09000102030400000000"),
    ("timestamp, a pointer out of step", "440c06000000000000000000", "440c0a000001020304000000"),
    ("timestamp with the address that faces the sender", "440c05010000000000000000", "440c0d010a00000101020304"),
    ("prescribed for another", "440c05030a01000500000000", "440c05030a01000500000000"),
    ("prescribed for us, on whatever link", "440c05030a01000100000000", "440c0d030a01000101020304"),
    ("prescribed for a group", "440c0503e000000100000000", "440c0d03e000000101020304"),
    ("prescribed for nobody", "440c05030000000000000000", "440c0d030000000001020304"),
    ("timestamp, flags that mean nothing", "440c05020000000000000000", "440c05020000000000000000"),
    ("timestamp, all flags", "440c050f0000000000000000", "440c050f0000000000000000"),
    ("timestamp, full: one more has overflowed", "44040500", "44040510"),
    ("timestamp with addresses, full", "440c0de10a00000101020304", "440c0df10a00000101020304"),
    ("timestamp, full and senseless", "44040512", "44040522"),
    ("prescribed, full: nothing to count", "440405f3", "440405f3"),
    ("router alert", "94040000", "94040000"),
    ("router alert of another value", "94040001", "94040001"),
    ("router alert twice", "9404000094040000", "9404000094040000"),
    ("a long router alert", "9408000000000000", "9408000000000000"),
    ("security, stream identifier, unknown ones", "820401028804123419041234", "820401028804123419041234"),
    ("a source route that leads elsewhere", "8307040a010007", "8307040a010007"),
]


@both
@pytest.mark.parametrize(("given", "left"), [case[1:] for case in GOOD], ids=[case[0] for case in GOOD])
def test_what_is_forwarded_bears_witness(given: str, left: str, kernel: KernelProfile) -> None:
    net = two_arms(kernel, sysctl={"net.ipv4.conf.all.accept_source_route": 1})
    journal = came(packet(given, ttl=9), net, now_ns=NOW_NS)
    assert out(journal) == [("t1", packet(left, ttl=8))]


@both
def test_the_quote_shows_what_was_written_under_the_old_checksum(kernel: KernelProfile) -> None:
    came_in = packet("070b04000000000000000007")
    ((_, error),) = out(came(came_in, two_arms(kernel)))
    # Echoed is what was compiled before the fault: the record route with the source of the error.
    assert (error[0], error[20:32].hex()) == (0x48, "070b0c" + "0a0000010a000001" + "00")
    assert error[32:40].hex() == "0c00" + error[34:36].hex() + "1f000000"
    assert error[40:] == patched(patched(came_in, 22, b"\x08"), 23, bytes((10, 0, 0, 1)))


@both
def test_a_refused_label_comes_back(kernel: KernelProfile) -> None:
    ((_, error),) = out(came(packet("860800000001000094040000"), two_arms(kernel)))
    assert (error[0], error[20:28].hex()) == (0x47, "8608000000010000")


@both
@pytest.mark.parametrize(
    ("dst", "given", "answered"),
    [
        ("10.0.0.1", "070f04000000000000000000000000", "070f0c0a0000010a0000010000000000"),
        ("10.1.0.1", "070f04000000000000000000000000", "070f0c0a0100010a0100010000000000"),
        ("10.0.0.1", "440c05000000000000000000", "440c0d000102030401020304"),
        ("10.0.0.1", "44140501" + "00" * 16, "441415010a000001010203040a00000101020304"),
        ("10.0.0.1", "440c05030a00000100000000", "440c0d030a00000101020304"),
        ("10.0.0.1", "94040000", ""),
        (
            "10.0.0.1",
            "440c05000000000000000000070704" + "00" * 5,
            "070708" + "0a00000100"[:8] + "440c0d000102030401020304",
        ),
    ],
)
def test_an_answer_goes_on_where_the_question_ended(dst: str, given: str, answered: str, kernel: KernelProfile) -> None:
    journal = came(packet(given, dst, message(b"data"), proto=1), two_arms(kernel), now_ns=NOW_NS)
    ((_, reply),) = out(journal)
    header_bytes = (reply[0] & 15) * 4
    expected = bytes.fromhex(answered)
    assert reply[20:header_bytes] == expected + bytes(-len(expected) % 4)
    assert rfc1071(reply[:header_bytes]) == 0


@both
def test_a_broadcast_records_the_address_of_its_link(kernel: KernelProfile) -> None:
    net = two_arms(kernel, sysctl={"net.ipv4.icmp_echo_ignore_broadcasts": 0})
    journal = came(packet("070f04000000000000000000000000", "10.0.0.255", message(), proto=1), net)
    ((_, reply),) = out(journal)
    assert reply[20:36].hex() == "070f0c0a0000010a0000010000000000"


@both
def test_without_a_clean_slot_nothing_is_answered(kernel: KernelProfile) -> None:
    journal = came(packet("440c06000000000000000000", "10.0.0.1", message(), proto=1), two_arms(kernel))
    assert (out(journal), journal.ends) == ([], [Delivered("icmp", "icmp_reply")])


@both
def test_the_places_are_noted(kernel: KernelProfile) -> None:
    net = two_arms(kernel)
    data = packet("01070704000000004408050000000000890704c000020194040000000000000000000000")
    came(data, net)
    route = next(iter(net.routing.cached.values()))
    skb = SkBuff(data, "t0", PacketType.HOST, 0, route)
    assert ip_options_compile(skb, net.routing) == 0
    assert skb.cb.options == IpOptions(
        optlen=36, rr=21, ts=28, srr=36, router_alert=43, is_strictroute=True, rr_needaddr=True, ts_needtime=True,
        is_changed=True,
    )  # fmt: skip


@both
def test_compiled_once_more_it_is_filled_once_more(kernel: KernelProfile) -> None:
    """As modern kernels do before they tell of an unreachable host."""
    net = two_arms(kernel)
    came(packet(""), net)
    skb = SkBuff(packet("070f04" + "00" * 12), "t0", PacketType.HOST, 0, next(iter(net.routing.cached.values())))
    assert [ip_options_compile(skb, net.routing) for _ in range(4)] == [0, 0, 0, 0]
    assert skb.data[20:36].hex() == "070f10" + "0a000001" * 3 + "00"
    skb.data = patched(skb.data, 35, b"\x07")
    assert ip_options_compile(skb, net.routing) == 35


def test_options_need_a_route() -> None:
    with pytest.raises(ValueError, match="without a route"):
        ip_options_compile(SkBuff(packet("01"), "t0", PacketType.HOST, 0), two_arms(KERNELS[0]).routing)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("070704", None),
        ("07070400000000", "0707080000000000"),
        ("440c0501" + "00" * 8, "440c0d01" + "00" * 8),
        ("440405f0", None),
        ("44040500", "44040500"),
        ("8307080a010005", None),
        ("830804000000000000", None),
        ("830b040a0100050a010007", "830b040a0100070a01000700"),
        ("860800000001", None),
        ("19041234", "19041234"),
        ("01" * 41, None),
        ("", ""),
    ],
)
def test_a_socket_has_its_slots_reserved_and_nothing_written(given: str, kept: str | None) -> None:
    options = ip_options_get(bytes.fromhex(given), lambda _: False)
    assert (options and options.data.hex()) == kept


@both
def test_a_plain_datagram_is_not_compiled(kernel: KernelProfile) -> None:
    journal = came(packet(""), two_arms(kernel), trace=True)
    assert isinstance(journal.ends[0], Transmitted)
    assert not [step for step in journal.steps or () if "options" in step.func]
    assert icmp(journal) == []
