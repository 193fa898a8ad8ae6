"""The hosts that captured datagrams were for, as far as their sources hear from them.

Law: each destination is a host of its own that has the address, one link and a way back to everyone, and its own
limits. Where a command is told of no host, these stand for all of them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from ipkit.core.frames import Frame
from ipkit.core.host.build import build_host
from ipkit.core.host.fib_lookup import LIMITED_BROADCAST
from ipkit.core.host.kernel import KernelProfile
from ipkit.core.icmp_frames import IcmpFrames
from ipkit.core.outcome.verdict import IcmpDue
from ipkit.core.route_flow import is_loopback, is_multicast
from ipkit.core.wire.ipv4 import address_text, read

LINK: Final = "eth0"
MOST_HOSTS: Final = 1000
"""Beyond these the host that was asked longest ago is forgotten, with its limits."""


class ReceivingHosts:
    """Whoever a datagram was addressed to."""

    def __init__(self, kernel: KernelProfile) -> None:
        self._kernel = kernel
        self._hosts: dict[int, IcmpFrames] = {}  # the one asked last is the last

    def frame_for(self, due: IcmpDue, frame: Frame) -> Frame | None:
        """Return the error about a frame as its receiver would send it; None where none would."""
        receiver = read(due.about.data).daddr
        if receiver == LIMITED_BROADCAST or not receiver >> 24 or is_multicast(receiver) or is_loopback(receiver):
            return None
        due = due._replace(about=replace(due.about, dev=LINK))
        answer = self._host(receiver).frame_for(due, frame)
        return None if answer is None else answer._replace(interface=frame.interface)

    def _host(self, address: int) -> IcmpFrames:
        host = self._hosts.pop(address, None)
        if host is None:
            description = {
                "routes": [f"default dev {LINK}"],
                "link": {LINK: {"addr": [f"{address_text(address)}/32"]}},
            }
            host = IcmpFrames(build_host(description, file=address_text(address), kernel=self._kernel))
        self._hosts[address] = host
        if len(self._hosts) > MOST_HOSTS:
            del self._hosts[next(iter(self._hosts))]
        return host
