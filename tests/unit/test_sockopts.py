"""Socket options: what is taken, what is refused with which errno, by both kernels."""

from __future__ import annotations

from errno import EADDRNOTAVAIL, EINVAL, ENODEV, ENOPROTOOPT, EOPNOTSUPP
from typing import NamedTuple

import pytest

from ipkit.core.host.build import builtin_host
from ipkit.core.host.kernel import LINUX_4_14, LINUX_6_18, KernelProfile
from ipkit.core.inet_sock import InetSock, SockKind
from ipkit.core.send_words import parse_sockopt
from ipkit.core.sockopts import setsockopt
from ipkit.core.state.netns import namespace_of


class Case(NamedTuple):
    """An option as it is typed, and the errno under 4.14 and 6.18 (the latter as a running kernel answered)."""

    spec: str
    old: int = 0
    new: int = 0
    kind: SockKind = SockKind.UDP


CASES = (
    Case("IP_TTL=-1"),
    Case("IP_TTL=0", EINVAL, EINVAL),
    Case("IP_TTL=256", EINVAL, EINVAL),
    Case("IP_TOS=300"),
    Case("IP_MTU_DISCOVER=5"),
    Case("IP_MTU_DISCOVER=6", EINVAL, EINVAL),
    Case("IP_MTU_DISCOVER=-1", EINVAL, EINVAL),
    Case("IP_MULTICAST_TTL=0"),
    Case("IP_MULTICAST_TTL=256", EINVAL, EINVAL),
    Case("IP_MULTICAST_TTL=-2", EINVAL, EINVAL),
    Case("IP_MULTICAST_LOOP=2"),
    Case("IP_MULTICAST_LOOP=hex:01"),
    Case("IP_MULTICAST_IF=hex:010203", EINVAL, EINVAL),
    Case("IP_MULTICAST_IF=1.2.3.4", EADDRNOTAVAIL, EADDRNOTAVAIL),
    Case("IP_UNICAST_IF=99", EADDRNOTAVAIL, EADDRNOTAVAIL),
    Case("IP_HDRINCL=1", ENOPROTOOPT, ENOPROTOOPT),
    Case("IP_HDRINCL=1", kind=SockKind.RAW),
    Case("IP_NODEFRAG=1", ENOPROTOOPT, ENOPROTOOPT),
    Case("IP_NODEFRAG=1", kind=SockKind.RAW),
    Case("IP_OPTIONS=hex:0701", EINVAL, EINVAL),
    Case("IP_OPTIONS=hex:" + "01" * 41, EINVAL, EINVAL),
    Case("SO_BINDTODEVICE=nope", ENODEV, ENODEV),
    Case("SO_BROADCAST=hex:01", EINVAL, EINVAL),
    Case("SO_SNDBUF=1"),
    Case("SO_TXTIME=hex:0100000004000000", EINVAL, EINVAL),
    Case("SO_TIMESTAMPING=0x4000"),
    Case("SO_TIMESTAMPING=0x8000", EINVAL, EOPNOTSUPP),
    Case("SO_TIMESTAMPING=0x10000", EINVAL, EINVAL),
    Case("SO_TIMESTAMPING=0x10080", EINVAL, 0),
    Case("SO_TIMESTAMPING=0x40000", EINVAL, 0),
    Case("SO_TIMESTAMPING=0x80000", EINVAL, EINVAL),
    Case("SO_TIMESTAMPING=-1", EINVAL, EINVAL),
    Case("SO_ZEROCOPY=1"),
    Case("SO_ZEROCOPY=2", EINVAL, EINVAL),
    Case("SO_ZEROCOPY=1", EOPNOTSUPP, EOPNOTSUPP, SockKind.RAW),
    Case("UDP_CORK=hex:01", EINVAL, EINVAL),
    Case("UDP_CORK=1", ENOPROTOOPT, ENOPROTOOPT, SockKind.RAW),
    Case("UDP_SEGMENT=65535"),
    Case("UDP_SEGMENT=65536", EINVAL, EINVAL),
    Case("UDP_SEGMENT=-1", EINVAL, EINVAL),
)


def errno_of(case: Case, kernel: KernelProfile) -> int:
    net = namespace_of(builtin_host(kernel))
    name, value = parse_sockopt(case.spec, net.host)
    return setsockopt(InetSock(case.kind, 17), name, value, net)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.kind.value}-{case.spec}"[:50])
def test_the_errno_of_a_socket_option(case: Case) -> None:
    assert (errno_of(case, LINUX_4_14), errno_of(case, LINUX_6_18)) == (case.old, case.new)
