"""setsockopt: every option of the send path, what it accepts, and what it refuses with which errno.

Law: a socket changes or an errno comes back, never both. Root asks: nothing fails for want of a privilege.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from errno import EADDRNOTAVAIL, EINVAL, ENODEV, ENOPROTOOPT, EOPNOTSUPP
from types import MappingProxyType
from typing import Final

from ipkit.core.host.config import HostConfig
from ipkit.core.host.kernel import CmsgKinds
from ipkit.core.inet_sock import InetSock, PmtuDisc, SockKind
from ipkit.core.ip_options import ours_in
from ipkit.core.options_get import ip_options_get
from ipkit.core.state.netns import NetNamespace
from ipkit.core.wire.cmsg import INT_BYTES, read_int

SMALLEST_SNDBUF: Final = 4608
TIMESTAMPING_OPT_ID: Final = 1 << 7
TIMESTAMPING_BIND_PHC: Final = 1 << 15
TIMESTAMPING_OPT_ID_TCP: Final = 1 << 16
TIMESTAMPING_BITS: Final[Mapping[CmsgKinds, int]] = MappingProxyType(
    {CmsgKinds.FIRST: (1 << 15) - 1, CmsgKinds.ALL: (1 << 19) - 1}
)
LARGEST_SEGMENT: Final = 0xFFFF


def setsockopt(sock: InetSock, name: str, value: bytes, net: NetNamespace) -> int:
    """Set one option by its name; return 0 or the errno.

    Kernel: net/ipv4/ip_sockglue.c, net/core/sock.c, net/ipv4/udp.c
    """
    if name in _UDP_ONLY and sock.kind not in (SockKind.UDP, SockKind.UDPLITE):
        return ENOPROTOOPT
    if name in _RAW_ONLY and sock.kind is not SockKind.RAW:
        return ENOPROTOOPT
    by_bytes = _BY_BYTES.get(name)
    if by_bytes is not None:
        return by_bytes(sock, value, net)
    if not value or (len(value) < INT_BYTES and name not in _ONE_BYTE_WILL_DO):
        return EINVAL
    number = read_int(value) if len(value) >= INT_BYTES else value[0]
    flag = _FLAGS.get(name)
    if flag is not None:
        setattr(sock, flag, bool(number))
        return 0
    return _BY_NUMBER[name](sock, number, net)


_ByNumber = Callable[[InetSock, int, NetNamespace], int]
_ByBytes = Callable[[InetSock, bytes, NetNamespace], int]


def _tos(sock: InetSock, value: int, _net: NetNamespace) -> int:
    sock.tos = value & 0xFF
    return 0


def _ttl(sock: InetSock, value: int, _net: NetNamespace) -> int:
    if value != -1 and not 1 <= value <= 255:
        return EINVAL
    sock.uc_ttl = value
    return 0


def _multicast_ttl(sock: InetSock, value: int, _net: NetNamespace) -> int:
    if not -1 <= value <= 255:
        return EINVAL
    sock.mc_ttl = 1 if value == -1 else value
    return 0


def _mtu_discover(sock: InetSock, value: int, _net: NetNamespace) -> int:
    if not PmtuDisc.DONT <= value <= PmtuDisc.OMIT:
        return EINVAL
    sock.pmtudisc = PmtuDisc(value)
    return 0


def _sndbuf(sock: InetSock, value: int, net: NetNamespace) -> int:
    sock.memory.sndbuf = max(min(value & 0xFFFFFFFF, net.host.net.wmem_max) * 2, SMALLEST_SNDBUF)
    return 0


def _mark(sock: InetSock, value: int, _net: NetNamespace) -> int:
    sock.mark = value & 0xFFFFFFFF
    return 0


def _segment(sock: InetSock, value: int, _net: NetNamespace) -> int:
    if not 0 <= value <= LARGEST_SEGMENT:
        return EINVAL
    sock.gso_size = value
    return 0


def _timestamping(sock: InetSock, value: int, net: NetNamespace) -> int:
    if value & ~TIMESTAMPING_BITS[net.host.kernel.cmsg_kinds]:
        return EINVAL
    if value & TIMESTAMPING_OPT_ID_TCP and not value & TIMESTAMPING_OPT_ID:
        return EINVAL
    if value & TIMESTAMPING_BIND_PHC:
        return EOPNOTSUPP  # no device of the model has a clock of its own
    sock.tsflags_id = bool(value & TIMESTAMPING_OPT_ID)
    return 0


def _zerocopy(sock: InetSock, value: int, _net: NetNamespace) -> int:
    if sock.kind not in (SockKind.UDP, SockKind.TCP):
        return EOPNOTSUPP
    if value not in (0, 1):
        return EINVAL
    sock.zerocopy = bool(value)
    return 0


def _unicast_if(sock: InetSock, value: int, net: NetNamespace) -> int:
    """Take the device whose index stands there in network order."""
    ifindex = int.from_bytes((value & 0xFFFFFFFF).to_bytes(4, "little"), "big")
    name = link_name(net.host, ifindex)
    if ifindex and name is None:
        return EADDRNOTAVAIL
    sock.uc_dev = name or ""
    return 0


def _options(sock: InetSock, value: bytes, net: NetNamespace) -> int:
    options = ip_options_get(value, ours_in(net.routing.tables))
    if options is None:
        return EINVAL
    sock.options = options
    return 0


def _multicast_if(sock: InetSock, value: bytes, net: NetNamespace) -> int:
    """Take an address of ours, or a struct ip_mreqn with the index of a device."""
    if len(value) < 4:
        return EINVAL
    address = int.from_bytes(value[4:8] if len(value) >= 8 else value[:4], "big")
    ifindex = read_int(value[8:12]) if len(value) >= 12 else 0
    name = link_name(net.host, ifindex) if ifindex else net.routing.tables.own_addresses.get(address)
    if name is None and (ifindex or address):
        return EADDRNOTAVAIL
    sock.mc_dev, sock.mc_addr = name or "", address
    return 0


def _bind_to_device(sock: InetSock, value: bytes, net: NetNamespace) -> int:
    name = value.split(b"\0", 1)[0].decode("ascii", "replace")
    if name and name not in net.host.links:
        return ENODEV
    sock.bound_dev = name
    return 0


def _txtime(sock: InetSock, value: bytes, _net: NetNamespace) -> int:
    """Take a struct sock_txtime: a clock and its flags."""
    if len(value) != 2 * INT_BYTES or read_int(value[INT_BYTES:]) & ~3:
        return EINVAL
    sock.txtime = True
    return 0


def link_name(host: HostConfig, ifindex: int) -> str | None:
    """Return the name of the device with an index."""
    return next((link.name for link in host.links.values() if link.ifindex == ifindex), None)


_FLAGS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "IP_HDRINCL": "hdrincl",
        "IP_NODEFRAG": "nodefrag",
        "IP_RECVERR": "recverr",
        "IP_MULTICAST_LOOP": "mc_loop",
        "SO_BROADCAST": "broadcast",
        "SO_DONTROUTE": "dontroute",
        "SO_NO_CHECK": "no_check",
        "UDP_CORK": "corked",
    }
)

_BY_NUMBER: Final[Mapping[str, _ByNumber]] = MappingProxyType(
    {
        "IP_TOS": _tos,
        "IP_TTL": _ttl,
        "IP_MTU_DISCOVER": _mtu_discover,
        "IP_MULTICAST_TTL": _multicast_ttl,
        "IP_UNICAST_IF": _unicast_if,
        "SO_SNDBUF": _sndbuf,
        "SO_MARK": _mark,
        "SO_TIMESTAMPING": _timestamping,
        "SO_ZEROCOPY": _zerocopy,
        "UDP_SEGMENT": _segment,
    }
)

_BY_BYTES: Final[Mapping[str, _ByBytes]] = MappingProxyType(
    {
        "IP_OPTIONS": _options,
        "IP_MULTICAST_IF": _multicast_if,
        "SO_BINDTODEVICE": _bind_to_device,
        "SO_TXTIME": _txtime,
    }
)

_UDP_ONLY: Final = frozenset({"UDP_CORK", "UDP_SEGMENT"})
_RAW_ONLY: Final = frozenset({"IP_HDRINCL", "IP_NODEFRAG"})
_ONE_BYTE_WILL_DO: Final = _RAW_ONLY | {
    "IP_TOS", "IP_TTL", "IP_MTU_DISCOVER", "IP_MULTICAST_TTL", "IP_MULTICAST_LOOP", "IP_RECVERR",
}  # fmt: skip

SOCKET_OPTIONS: Final = (*_FLAGS, *_BY_NUMBER, *_BY_BYTES)
"""Every option that can be set."""
