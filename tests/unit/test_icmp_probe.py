"""Extended echo (RFC 8335): questions, and the answers a 6.18 kernel gave to them, byte by byte."""

from __future__ import annotations

from typing import Any

import pytest

from ipkit.core.host.build import build_host
from ipkit.core.host.kernel import LINUX_4_14, LINUX_6_18, KernelProfile
from ipkit.core.outcome.verdict import Delivered, Drop
from ipkit.core.state.netns import NetNamespace, namespace_of
from tests.support.journeys import came, counted, out
from tests.support.packets import icmp, ip, rfc1071

HOST: dict[str, Any] = {
    "sysctl": {"net.ipv4.icmp_echo_enable_probe": 1},
    "link": {
        "eth0": {"addr": ["192.0.2.1/24"]},
        "eth1": {},
        "eth2": {"up": False, "addr": ["192.0.9.1/24"]},
    },
}
ANSWERED = {
    "name": ("20000000 00080301 65746830", "2b00df4400070506200000000008030165746830"),
    "padded name": ("20000000000c0301 6574683000000000", "2b00df400007050620000000000c03016574683000000000"),
    "no address": ("2000000000080301 65746831", "2b00df4500070504200000000008030165746831"),
    "down": ("2000000000080301 65746832", "2b00df4600070502200000000008030165746832"),
    "loopback": ("2000000000060301 6c6f", "2b00407c0007050620000000000603016c6f"),
    "unknown name": ("2000000000080301 65746839", "2b02df3f00070500200000000008030165746839"),
    "index 2": ("2000000000080302 00000002", "2b00ace600070506200000000008030200000002"),
    "index 5": ("2000000000080302 00000005", "2b02ace700070500200000000008030200000005"),
    "address": ("20000000000c0303 00010400c0000201", "2b00e6e00007050620000000000c030300010400c0000201"),
    "address of a link down": ("20000000000c0303 00010400c0000901", "2b00dfe40007050220000000000c030300010400c0000901"),
    "foreign address": ("20000000000c0303 00010400c0000209", "2b02e6dc0007050020000000000c030300010400c0000209"),
    "broadcast address": ("20000000000c0303 00010400c00002ff", "2b02e5e60007050020000000000c030300010400c00002ff"),
    "in a local prefix": ("20000000000c0303 000104007f090909", "2b0020d00007050620000000000c0303000104007f090909"),
    "IPv6 address": (
        "2000000000180303 0002100000000000000000000000000000000001",
        "2b029cd80007050020000000001803030002100000000000000000000000000000000001",
    ),
    "nothing": ("", "2b01cff700070500"),
    "no object": ("20000000", "2b01aff70007050020000000"),
    "three bytes of it": ("20000000 000703", "2b01acf00007050020000000000703"),
    "length 4": ("20000000 00040301 65746830", "2b01df4d00070500200000000004030165746830"),
    "length 24": ("20000000 00180301" + "65" * 20, "2b01b6e8000705002000000000180301" + "65" * 20),
    "length 25": ("20000000 00190301" + "65" * 21, "2b0151e7000705002000000000190301" + "65" * 21),
    "name of 15": ("20000000 00130301" + "65" * 15, "2b02821c000705002000000000130301" + "65" * 15),
    "name of 16": ("20000000 00140301" + "65" * 16, "2b0181b7000705002000000000140301" + "65" * 16),
    "longer than there is": ("20000000 000c0301 65746830", "2b01df450007050020000000000c030165746830"),
    "unknown kind of name": ("20000000 00080304 65746830", "2b01df4600070500200000000008030465746830"),
    "another class": ("20000000 00080901 65746830", "2b00d94400070506200000000008090165746830"),
    "index of three bytes": ("20000000 00070302 000002", "2b01aaee000705002000000000070302000002"),
    "address of three bytes": ("20000000 000b0303 00010300010203", "2b01a5e60007050020000000000b030300010300010203"),
    "unknown family": ("20000000 000c0303 0003040001020304", "2b01a4df0007050020000000000c03030003040001020304"),
    "half an address header": ("20000000 00070303 000104", "2b01a8ec000705002000000000070303000104"),
    "another version": ("10000000 00080301 65746830", "2b00ef4400070506100000000008030165746830"),
    "bytes behind": ("20000000 00080301 65746830 78797a", "2b00ecca0007050620000000000803016574683078797a"),
}  # fmt: skip


def host(kernel: KernelProfile = LINUX_6_18, **sysctl: int) -> NetNamespace:
    known = {} if kernel is LINUX_4_14 else HOST["sysctl"]
    knobs = {**known, **{f"net.ipv4.{name}": value for name, value in sysctl.items()}}
    return namespace_of(build_host({**HOST, "sysctl": knobs}, file="host.toml", kernel=kernel))


def probe(
    extension: str = "20000000 00080301 65746830", rest: bytes = b"\0\7\5\1", kind: int = 42, **more: Any
) -> bytes:
    message = icmp(bytes.fromhex(extension), kind=kind, rest=rest, code=more.pop("code", 0))
    return ip(message, proto=1, src="192.0.2.9", dst=more.pop("dst", "192.0.2.1"), **more)


@pytest.mark.parametrize(("question", "answer"), ANSWERED.values(), ids=ANSWERED)
def test_answers_are_the_kernels(question: str, answer: str) -> None:
    journal = came(probe(question), host(), dev="eth0")
    ((dev, datagram),) = out(journal)
    assert (dev, datagram[20:].hex()) == ("eth0", answer)
    assert datagram[12:20].hex() == "c0000201c0000209"
    assert rfc1071(datagram[20:]) == 0
    moved = {name: n for name, n in counted(journal).items() if name.startswith("Icmp")}
    assert moved == {
        "IcmpInMsgs": 1, "IcmpMsgInType42": 1, "IcmpOutMsgs": 1, "IcmpOutEchoReps": 1, "IcmpMsgOutType0": 1,
    }  # fmt: skip


def test_only_three_bits_of_the_question_become_others() -> None:
    ((_, datagram),) = out(came(probe(rest=b"\0\7\5\xff", code=5), host(), dev="eth0"))
    assert datagram[20:28].hex() == "2b05df3f" + "00070506"


def test_what_went_to_many_is_answered_as_well() -> None:
    journal = came(probe(dst="192.0.2.255"), host(), dev="eth0")
    assert out(journal)[0][1][20:].hex() == "2b00df4400070506200000000008030165746830"


@pytest.mark.parametrize(
    ("packet", "sysctl"),
    [
        (probe(), {"icmp_echo_enable_probe": 0}),
        (probe(), {"icmp_echo_ignore_all": 1}),
        (probe(rest=b"\0\7\5\0"), {}),  # about another node
    ],
)
def test_questions_that_are_taken_in_silence(packet: bytes, sysctl: dict[str, int]) -> None:
    journal = came(packet, host(LINUX_6_18, **sysctl), dev="eth0")
    assert (out(journal), journal.ends) == ([], [Delivered("icmp", "icmp_echo")])


@pytest.mark.parametrize(
    ("kernel", "kind", "reason"),
    [
        (LINUX_6_18, 43, "NO_SOCKET"),
        (LINUX_6_18, 44, "UNHANDLED_PROTO"),
        (LINUX_4_14, 42, "UNHANDLED_PROTO"),
        (LINUX_4_14, 43, "UNHANDLED_PROTO"),
    ],
)
def test_what_is_nobodys(kernel: KernelProfile, kind: int, reason: str) -> None:
    (end,) = came(probe(kind=kind), host(kernel), dev="eth0").ends
    assert isinstance(end, Drop)
    assert end.reason.value == reason


def test_an_answer_to_a_question_that_was_cut_short_has_the_right_checksum() -> None:
    whole = probe("20000000 00080301 65746830" + "00" * 100)
    ((_, datagram),) = out(came(whole[:60], host(), dev="eth0", on_wire=len(whole)))
    assert rfc1071(datagram[20:] + bytes(len(whole) - 60)) == 0


def test_a_trace_tells_the_answer() -> None:
    steps = came(probe(), host(), dev="eth0", trace=True).steps or []
    assert "code 0 status 0x6" in [step.say for step in steps if step.func == "icmp_build_probe"]
