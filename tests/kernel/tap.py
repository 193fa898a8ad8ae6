"""One device of a namespace whose cable ends in this process: Ethernet, or bare IP datagrams as in a tunnel."""

from __future__ import annotations

import fcntl
import os
import struct
from enum import IntEnum
from typing import Final

TUNSETIFF: Final = 0x400454CA
TUNSETPERSIST: Final = 0x400454CB
TUNSETCARRIER: Final = 0x400454E2
IFF_NO_PI: Final = 0x1000
LARGEST_FRAME: Final = 1 << 17


class Wire(IntEnum):
    """What goes over the cable."""

    DATAGRAMS = 0x0001  # IFF_TUN
    FRAMES = 0x0002  # IFF_TAP


class Tap:
    """A TAP device; made while the thread is inside the namespace, used from anywhere.

    It is persistent: closing the cable is quick then, and the device goes when the namespace goes.
    """

    def __init__(self, name: str, wire: Wire = Wire.FRAMES) -> None:
        self.name = name
        self.wire = wire
        self.fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.ioctl(self.fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), wire | IFF_NO_PI))
        fcntl.ioctl(self.fd, TUNSETPERSIST, 1)

    def set_carrier(self, on: int) -> None:
        """Plug the cable in (1) or pull it out (0)."""
        fcntl.ioctl(self.fd, TUNSETCARRIER, struct.pack("i", on))

    def write(self, frame: bytes) -> None:
        """Put a frame into the device; the kernel has dealt with it when this returns.

        TAP receives in the writer's own context. Frames below fourteen bytes are refused by the driver.
        """
        os.write(self.fd, frame)

    def read(self) -> bytes | None:
        """Return the next frame that came out, or None."""
        try:
            return os.read(self.fd, LARGEST_FRAME)
        except BlockingIOError:
            return None

    def close(self) -> None:
        os.close(self.fd)
