"""Control messages: what is taken, what is refused with which errno, by both kernels."""

from __future__ import annotations

from errno import EINVAL
from typing import NamedTuple

import pytest

from ipkit.core.cmsg import IpcmCookie, ip_cmsg_send, ipcm_init_sk
from ipkit.core.host.build import builtin_host
from ipkit.core.host.kernel import LINUX_4_14, LINUX_6_18, KernelProfile
from ipkit.core.inet_sock import InetSock, SockKind
from ipkit.core.send_words import parse_cmsg
from ipkit.core.state.netns import namespace_of


class Case(NamedTuple):
    """A message as it is typed, and the errno under 4.14 and 6.18."""

    spec: str
    old: int = 0
    new: int = 0


CASES = (
    Case("IP_TTL=1"),
    Case("IP_TTL=255"),
    Case("IP_TTL=0", EINVAL, EINVAL),
    Case("IP_TTL=256", EINVAL, EINVAL),
    Case("IP_TTL=hex:05", EINVAL, EINVAL),
    Case("IP_TTL=hex:0500000000", EINVAL, EINVAL),
    Case("IP_TOS=255"),
    Case("IP_TOS=256", EINVAL, EINVAL),
    Case("IP_TOS=-1", EINVAL, EINVAL),
    Case("IP_TOS=hex:10"),
    Case("IP_TOS=hex:1000", EINVAL, EINVAL),
    Case("IP_PKTINFO=eth0,192.0.2.1"),
    Case("IP_PKTINFO=99,0.0.0.0"),
    Case("IP_PKTINFO=hex:00", EINVAL, EINVAL),
    Case("IP_RETOPTS=rr:3"),
    Case("IP_RETOPTS=hex:"),
    Case("IP_RETOPTS=hex:" + "01" * 44),
    Case("IP_RETOPTS=hex:0703", EINVAL, EINVAL),
    Case("IP_RETOPTS=hex:070303", EINVAL, EINVAL),
    Case("IP_RETOPTS=hex:8606000000000000", EINVAL, EINVAL),
    Case("IP_PROTOCOL=17", EINVAL, 0),
    Case("IP_PROTOCOL=256", EINVAL, EINVAL),
    Case("UDP_SEGMENT=1200"),
    Case("UDP_SEGMENT=hex:00000000", EINVAL, EINVAL),
    Case("17:1=hex:00", EINVAL, EINVAL),
    Case("SO_MARK=7"),
    Case("SO_MARK=hex:07", EINVAL, EINVAL),
    Case("SO_PRIORITY=3", EINVAL, 0),
    Case("SO_TIMESTAMPING=1"),
    Case("SO_TIMESTAMPING=16", EINVAL, EINVAL),
    Case("SO_TIMESTAMPING=0x40000", EINVAL, 0),
    Case("SO_TIMESTAMPING=0x80000", EINVAL, EINVAL),
    Case("SCM_TXTIME=0", EINVAL, EINVAL),
    Case("SCM_TS_OPT_ID=1", EINVAL, EINVAL),
    Case("SCM_RIGHTS=0"),
    Case("SCM_CREDENTIALS=0"),
    Case("0:99=hex:00", EINVAL, EINVAL),
    Case("1:99=hex:00", EINVAL, EINVAL),
    Case("41:50=hex:00"),
    Case("raw:0f00000000000000 00000000 02000000", EINVAL, EINVAL),
    Case("raw:ff00000000000000 00000000 02000000 05000000", EINVAL, EINVAL),
    Case("raw:00"),
)


def read(spec: str, kernel: KernelProfile, kind: SockKind = SockKind.UDP) -> tuple[int, IpcmCookie]:
    net = namespace_of(builtin_host(kernel))
    sock = InetSock(kind, 17)
    cookie = ipcm_init_sk(sock)
    return ip_cmsg_send(sock, parse_cmsg(spec, net.host), net, cookie), cookie


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.spec)
def test_the_errno_of_a_control_message(case: Case) -> None:
    assert (read(case.spec, LINUX_4_14)[0], read(case.spec, LINUX_6_18)[0]) == (case.old, case.new)


def test_what_a_message_asks_for() -> None:
    assert read("IP_TTL=5", LINUX_6_18)[1].ttl == 5
    assert read("IP_TOS=hex:10", LINUX_6_18)[1].tos == 16
    assert read("UDP_SEGMENT=1200", LINUX_6_18)[1].gso_size == 1200
    _, cookie = read("IP_PKTINFO=eth0,192.0.2.1", LINUX_6_18)
    assert (cookie.oif, cookie.addr) == ("eth0", 0xC0000201)
    options = read("IP_RETOPTS=rr:1", LINUX_6_18)[1].options
    assert options is not None
    assert options.data == bytes.fromhex("0707080000000000")


def test_a_raw_socket_passes_over_messages_for_udp() -> None:
    error, cookie = read("UDP_SEGMENT=1200", LINUX_6_18, SockKind.RAW)
    assert (error, cookie.gso_size) == (0, 0)
    assert read("17:1=hex:00", LINUX_6_18, SockKind.RAW)[0] == 0
