"""Frames onto a wire: one of scapy's link-layer sockets, opened once, bytes in; and the pace at which they go.

Law: a frame was taken by the device or the errno comes back; a device that frames cannot be put on at all is a
SendError before the first of them.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
import time
from collections.abc import Sequence
from typing import Any, Final, Self

from ipkit.core.wire import arp
from ipkit.edge.scapy_raw import link_layer_socket
from ipkit.errors import SendError

SIOCGIFFLAGS: Final = 0x8913
SIOCGIFMTU: Final = 0x8921
IFF_UP: Final = 1
NAME_BYTES: Final = 15
SEND_BUFFER_BYTES: Final = 1 << 20
ASKED_TIMES: Final = 2
ANSWER_WITHIN_S: Final = 0.25
ETHERNET_BYTES: Final = 14
LONGEST_ARP_FRAME: Final = 256
TICK_S: Final = 50e-6
"""Pauses shorter than this are not worth a sleep."""


class WireSender:
    """One device, open for sending."""

    def __init__(self, dev: str) -> None:
        self.dev = dev
        self.mtu = _checked_mtu(dev)
        try:
            self._socket: Any = link_layer_socket(dev)
        except OSError as error:
            raise SendError(f"{dev}: {_why(error)}") from None
        out: socket.socket = self._socket.outs
        out.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        self._send = out.send

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._socket.close()

    def send(self, frame: bytes) -> int:
        """Put a frame on the wire; return 0 or the errno. A full queue is waited for."""
        while True:
            try:
                self._send(frame)
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    return error.errno or errno.EIO
                time.sleep(TICK_S)
            else:
                return 0

    def send_pieces(self, data: bytes, pieces: Sequence[tuple[int, int]]) -> dict[int, int]:
        """Put many frames of one buffer on the wire, told by begin and end; return the errno of those that failed."""
        failed = {}
        view, out = memoryview(data), self._send
        for number, (begin, end) in enumerate(pieces):
            try:
                out(view[begin:end])
            except OSError:
                error = self.send(data[begin:end])
                if error:
                    failed[number] = error
        return failed

    def ask(self, request: bytes, address: int) -> bytes | None:
        """Ask for a neighbour and return the address that the answer gives; None: nobody answers."""
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(arp.ETH_P_ARP)) as ears:
            ears.bind((self.dev, arp.ETH_P_ARP))
            for _ in range(ASKED_TIMES):
                self.send(request)
                deadline = time.monotonic() + ANSWER_WITHIN_S
                while (left := deadline - time.monotonic()) > 0:
                    ears.settimeout(left)
                    try:
                        frame = ears.recv(LONGEST_ARP_FRAME)
                    except TimeoutError:
                        break
                    if len(frame) >= ETHERNET_BYTES + arp.ARP_BYTES:
                        answer = arp.read(frame, ETHERNET_BYTES)
                        if (answer.operation, answer.sender_ip) == (arp.REPLY, address):
                            return answer.sender_hw
        return None


class Pace:
    """When each frame goes: as captured, faster by a factor, so many a second, or at once."""

    def __init__(self, *, per_second: float = 0.0, multiplier: float = 0.0) -> None:
        self._gap_s = 1 / per_second if per_second else 0.0
        self._per_ns = 1e-9 / multiplier if multiplier else 0.0
        self._started: float | None = None
        self._first_ns = 0
        self._sent = 0
        self.waits = bool(self._gap_s or self._per_ns)

    def begin_again(self) -> None:
        """Take the next frame as the first of a new round."""
        self._started = None

    def wait_for(self, tstamp_ns: int) -> None:
        """Return when a frame of this time is due."""
        now = time.monotonic()
        if self._started is None:
            self._started, self._first_ns, self._sent = now, tstamp_ns, 0
        due = self._started + (self._sent * self._gap_s if self._gap_s else (tstamp_ns - self._first_ns) * self._per_ns)
        self._sent += 1
        while (left := due - now) > 0:
            if left > TICK_S:
                time.sleep(left - TICK_S)
            now = time.monotonic()


def _checked_mtu(dev: str) -> int:
    """Return the MTU of a device that is there and up."""
    name = os.fsencode(dev)
    if len(name) > NAME_BYTES:
        raise SendError(f"{dev}: no such device")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        try:
            flags = _interface_number(asker, SIOCGIFFLAGS, name) & 0xFFFF
            mtu = _interface_number(asker, SIOCGIFMTU, name)
        except OSError as error:
            raise SendError(f"{dev}: {_why(error)}") from None
    if not flags & IFF_UP:
        raise SendError(f"{dev}: the device is down")
    return mtu


def _interface_number(asker: socket.socket, request: int, name: bytes) -> int:
    answer = fcntl.ioctl(asker, request, struct.pack("16s24x", name))
    return int(struct.unpack_from("i", answer, 16)[0])


def _why(error: OSError) -> str:
    if error.errno == errno.EPERM:
        return "putting frames on a wire needs root, or the capability CAP_NET_RAW"
    if error.errno == errno.ENODEV:
        return "no such device"
    return error.strerror or str(error)
