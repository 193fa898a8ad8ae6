"""Sockets inside a namespace: those that listen, and those that a scenario opens to send."""

from __future__ import annotations

import errno
import select
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from tests.kernel.namespace import Namespace
from tests.kernel.recordings import Send

IP_RECVOPTS, IP_RETOPTS, IP_PKTINFO, IP_MTU_DISCOVER, IP_RECVERR = 6, 7, 8, 10, 11
IP_RECVTTL, IP_RECVTOS, IP_MTU = 12, 13, 14
UDP_CORK, UDP_SEGMENT, SO_NO_CHECK, MSG_ERRQUEUE = 1, 103, 11, 0x2000

LEVELS: Final = {"SOL_IP": 0, "SOL_SOCKET": 1, "SOL_UDP": 17}
OPTIONS: Final = {
    "IP_TOS": 1, "IP_TTL": 2, "IP_HDRINCL": 3, "IP_OPTIONS": 4, "IP_RETOPTS": IP_RETOPTS, "IP_PKTINFO": IP_PKTINFO,
    "IP_MTU_DISCOVER": IP_MTU_DISCOVER, "IP_RECVERR": IP_RECVERR, "IP_MTU": IP_MTU, "SO_NO_CHECK": SO_NO_CHECK,
    "IP_NODEFRAG": 22, "SO_BROADCAST": 6, "UDP_CORK": UDP_CORK, "UDP_SEGMENT": UDP_SEGMENT,
}  # fmt: skip


class Listeners:
    """Raw and UDP sockets that note what reaches them, in the shape of the recordings."""

    def __init__(self, namespace: Namespace, raw: tuple[int, ...] = (), udp: tuple[int, ...] = ()) -> None:
        self._raw = [(proto, namespace.socket(socket.SOCK_RAW, proto)) for proto in raw]
        self._udp = [(port, namespace.socket(socket.SOCK_DGRAM)) for port in udp]
        for _, raw_socket in self._raw:
            raw_socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        for port, udp_socket in self._udp:
            for option in (IP_PKTINFO, IP_RECVTTL, IP_RECVTOS, IP_RECVOPTS, IP_RETOPTS, IP_RECVERR):
                udp_socket.setsockopt(socket.IPPROTO_IP, option, 1)
            udp_socket.bind(("", port))

    def received(self) -> list[dict[str, Any]]:
        """Return what has arrived since the last call."""
        rows: list[dict[str, Any]] = []
        for proto, raw_socket in self._raw:
            while (data := _datagram(raw_socket)) is not None:
                rows.append({"proto": proto, "data": data.hex()})
        for port, udp_socket in self._udp:
            while row := _from_udp(udp_socket):
                rows.append({"udp": port, **row})
        return rows


def _datagram(raw_socket: socket.socket) -> bytes | None:
    try:
        return raw_socket.recv(1 << 17)
    except BlockingIOError:
        return None


def _from_udp(udp_socket: socket.socket) -> dict[str, Any] | None:
    try:
        data, ancillary, _, sender = udp_socket.recvmsg(1 << 17, 4096)
        return {"data": data.hex(), "from": f"{sender[0]}:{sender[1]}", "cmsg": _hex(ancillary)}
    except BlockingIOError:
        pass
    except OSError as error:
        return {"errno": _name(error)}
    try:
        data, ancillary, _, _ = udp_socket.recvmsg(1 << 17, 4096, MSG_ERRQUEUE)
        return {"errqueue": data.hex(), "cmsg": _hex(ancillary)}
    except OSError:
        return None


def _hex(ancillary: list[tuple[int, int, bytes]]) -> list[list[int | str]]:
    return [[level, kind, data.hex()] for level, kind, data in ancillary]


def _name(error: OSError) -> str:
    name = errno.errorcode.get(error.errno or 0, str(error.errno))
    return "ENOTSUP" if name == "EOPNOTSUPP" else name


def pattern(count: int, seed: int = 0) -> bytes:
    """Return the payload that the recordings send."""
    return bytes((7 * i + 13 * (i >> 8) + seed) & 255 for i in range(count))


@contextmanager
def sending(namespace: Namespace, order: Send) -> Iterator[list[dict[str, Any]]]:
    """Open a socket, use it as told and give what each call gave; it is closed on leaving."""
    kind = socket.SOCK_RAW if order.type == "raw" else socket.SOCK_DGRAM
    proto = socket.IPPROTO_ICMP if order.type == "ping" else order.proto
    with namespace.entered(), socket.socket(socket.AF_INET, kind, proto) as used:
        try:
            _prepare(used, order)
            calls = [_call(used, call) for call in order.calls]
        except OSError as error:
            calls = [{"errno": _name(error)}]
        yield calls


def _prepare(used: socket.socket, order: Send) -> None:
    if order.hdrincl:
        used.setsockopt(socket.IPPROTO_IP, OPTIONS["IP_HDRINCL"], 1)
    for option in order.sockopts:
        _set(used, *option)
    if order.bind:
        used.bind(_endpoint(order.bind))
    if order.connect:
        used.connect(_endpoint(order.connect))


def _call(used: socket.socket, call: Any) -> dict[str, Any]:
    try:
        if "setsockopt" in call:
            _set(used, *call["setsockopt"])
            return {"rc": 0}
        if "getsockopt" in call:
            level, option, _ = call["getsockopt"]
            return {"val": used.getsockopt(LEVELS[level], OPTIONS[option], 4).hex()}
        if "wait_ms" in call:
            select.select([], [], [], call["wait_ms"] / 1000)
            return {"rc": 0}
        data = bytes.fromhex(call["data"]) if "data" in call else pattern(call["len"], call.get("seed", 0))
        flags = sum(getattr(socket, name) for name in call.get("flags", ()))
        ancillary = [(LEVELS[level], OPTIONS[option], _packed(value)) for level, option, value in call.get("cmsg", ())]
        to = (_endpoint(call["to"]),) if "to" in call else ()
        return {"rc": used.sendmsg([data], ancillary, flags, *to)}
    except OSError as error:
        return {"errno": _name(error)}


def _packed(value: int | str) -> bytes:
    return bytes.fromhex(value) if isinstance(value, str) else struct.pack("i", value)


def _set(used: socket.socket, level: str, option: str, value: int | str) -> None:
    used.setsockopt(LEVELS[level], OPTIONS[option], bytes.fromhex(value) if isinstance(value, str) else value)


def _endpoint(text: str) -> tuple[str, int]:
    host, _, port = text.partition(":")
    return host, int(port or 0)
