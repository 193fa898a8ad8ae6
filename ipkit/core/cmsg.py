"""What the control messages of one call say, and which of them the kernel refuses.

Law: a cookie out, or the errno at which reading stopped; the socket stays as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from errno import EINVAL
from types import MappingProxyType
from typing import Final

from ipkit.core.host.kernel import CmsgKinds
from ipkit.core.inet_sock import InetSock, SockKind
from ipkit.core.ip_options import OutgoingOptions, ours_in
from ipkit.core.options_get import ip_options_get
from ipkit.core.state.netns import NetNamespace
from ipkit.core.wire.cmsg import INT_BYTES, PKTINFO_BYTES, cmsgs_in, read_int, read_pktinfo
from ipkit.core.wire.options import MAX_OPTION_BYTES

SOL_IP: Final = 0
SOL_SOCKET: Final = 1
SOL_UDP: Final = 17

IP_TOS: Final = 1
IP_TTL: Final = 2
IP_RETOPTS: Final = 7
IP_PKTINFO: Final = 8
IP_PROTOCOL: Final = 52
UDP_SEGMENT: Final = 103

SCM_RIGHTS: Final = 1
SCM_CREDENTIALS: Final = 2
SO_PRIORITY: Final = 12
SO_MARK: Final = 36
SO_TIMESTAMPING: Final = 37
SO_TIMESTAMPING_NEW: Final = 65
SCM_TXTIME: Final = 61
SCM_TS_OPT_ID: Final = 78

TX_RECORD_BITS: Final[Mapping[CmsgKinds, int]] = MappingProxyType({CmsgKinds.FIRST: 0x303, CmsgKinds.ALL: 0x40303})
"""The time stamps that a call may ask for: hardware, software, scheduling, acknowledgement; later completion."""

TXTIME_BYTES: Final = 8


@dataclass(slots=True)
class IpcmCookie:
    """What one call wants otherwise than its socket (struct ipcm_cookie)."""

    addr: int
    oif: str
    mark: int
    ttl: int = 0  # 0: the socket's
    tos: int = -1
    protocol: int = 0
    gso_size: int = 0
    options: OutgoingOptions | None = None


def ipcm_init_sk(sock: InetSock) -> IpcmCookie:
    """Return what a call begins with.

    Kernel: include/net/ip.h
    """
    return IpcmCookie(sock.saddr, sock.bound_dev, sock.mark, gso_size=sock.gso_size)


def ip_cmsg_send(sock: InetSock, control: bytes, net: NetNamespace, cookie: IpcmCookie) -> int:
    """Read the control messages of a call into its cookie; return 0 or the errno of the first bad one.

    Kernel: net/ipv4/ip_sockglue.c
    """
    for message in cmsgs_in(control):
        if message is None:
            return EINVAL
        reader = _READERS.get((message.level, message.type))
        if reader is None:
            if message.level in (SOL_IP, SOL_SOCKET) or (message.level == SOL_UDP and sock.kind is SockKind.UDP):
                return EINVAL
            continue
        error = reader(message.data, sock, net, cookie)
        if error:
            return error
    return 0


_Reader = Callable[[bytes, InetSock, NetNamespace, IpcmCookie], int]


def _segment(data: bytes, sock: InetSock, _net: NetNamespace, cookie: IpcmCookie) -> int:
    if sock.kind is not SockKind.UDP:
        return 0  # a level that is none of its own
    if len(data) != 2:
        return EINVAL
    cookie.gso_size = int.from_bytes(data, "little")
    return 0


def _retopts(data: bytes, _sock: InetSock, net: NetNamespace, cookie: IpcmCookie) -> int:
    cookie.options = ip_options_get(data[:MAX_OPTION_BYTES], ours_in(net.routing.tables))
    return 0 if cookie.options is not None else EINVAL


def _pktinfo(data: bytes, _sock: InetSock, net: NetNamespace, cookie: IpcmCookie) -> int:
    if len(data) != PKTINFO_BYTES:
        return EINVAL
    ifindex, cookie.addr = read_pktinfo(data)
    if ifindex:
        named = (link.name for link in net.host.links.values() if link.ifindex == ifindex)
        cookie.oif = next(named, f"if{ifindex}")  # routing refuses a device that is not there
    return 0


def _ttl(data: bytes, _sock: InetSock, _net: NetNamespace, cookie: IpcmCookie) -> int:
    if len(data) != INT_BYTES or not 1 <= read_int(data) <= 255:
        return EINVAL
    cookie.ttl = read_int(data)
    return 0


def _tos(data: bytes, _sock: InetSock, _net: NetNamespace, cookie: IpcmCookie) -> int:
    if len(data) not in (1, INT_BYTES):
        return EINVAL
    value = read_int(data) if len(data) == INT_BYTES else data[0]
    if not 0 <= value <= 255:
        return EINVAL
    cookie.tos = value
    return 0


def _protocol(data: bytes, _sock: InetSock, net: NetNamespace, cookie: IpcmCookie) -> int:
    if net.host.kernel.cmsg_kinds is CmsgKinds.FIRST or len(data) != INT_BYTES or not 1 <= read_int(data) <= 255:
        return EINVAL
    cookie.protocol = read_int(data)
    return 0


def _mark(data: bytes, _sock: InetSock, _net: NetNamespace, cookie: IpcmCookie) -> int:
    if len(data) != INT_BYTES:
        return EINVAL
    cookie.mark = read_int(data) & 0xFFFFFFFF
    return 0


def _timestamping(data: bytes, _sock: InetSock, net: NetNamespace, _cookie: IpcmCookie) -> int:
    return EINVAL if len(data) != INT_BYTES or read_int(data) & ~TX_RECORD_BITS[net.host.kernel.cmsg_kinds] else 0


def _timestamping_new(data: bytes, sock: InetSock, net: NetNamespace, cookie: IpcmCookie) -> int:
    if net.host.kernel.cmsg_kinds is CmsgKinds.FIRST:
        return EINVAL
    return _timestamping(data, sock, net, cookie)


def _txtime(data: bytes, sock: InetSock, _net: NetNamespace, _cookie: IpcmCookie) -> int:
    return 0 if sock.txtime and len(data) == TXTIME_BYTES else EINVAL


def _priority(data: bytes, _sock: InetSock, net: NetNamespace, _cookie: IpcmCookie) -> int:
    return EINVAL if net.host.kernel.cmsg_kinds is CmsgKinds.FIRST or len(data) != INT_BYTES else 0


def _ts_opt_id(data: bytes, sock: InetSock, net: NetNamespace, _cookie: IpcmCookie) -> int:
    if net.host.kernel.cmsg_kinds is CmsgKinds.FIRST or not sock.tsflags_id or len(data) != INT_BYTES:
        return EINVAL
    return 0


def _ignored(_data: bytes, _sock: InetSock, _net: NetNamespace, _cookie: IpcmCookie) -> int:
    return 0


_READERS: Final[Mapping[tuple[int, int], _Reader]] = MappingProxyType(
    {
        (SOL_UDP, UDP_SEGMENT): _segment,
        (SOL_IP, IP_RETOPTS): _retopts,
        (SOL_IP, IP_PKTINFO): _pktinfo,
        (SOL_IP, IP_TTL): _ttl,
        (SOL_IP, IP_TOS): _tos,
        (SOL_IP, IP_PROTOCOL): _protocol,
        (SOL_SOCKET, SO_MARK): _mark,
        (SOL_SOCKET, SO_PRIORITY): _priority,
        (SOL_SOCKET, SO_TIMESTAMPING): _timestamping,
        (SOL_SOCKET, SO_TIMESTAMPING_NEW): _timestamping_new,
        (SOL_SOCKET, SCM_TXTIME): _txtime,
        (SOL_SOCKET, SCM_TS_OPT_ID): _ts_opt_id,
        (SOL_SOCKET, SCM_RIGHTS): _ignored,
        (SOL_SOCKET, SCM_CREDENTIALS): _ignored,
    }
)
"""Who reads which message; of these levels every other type is refused."""
