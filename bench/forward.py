"""forward: plain traffic through the built-in router, with rows and with packets out, and odd packets to it."""

from __future__ import annotations

from collections.abc import Sequence

from bench.captures import MILLION, imix
from bench.comparison import Command, Peer, Work, output
from bench.odd_packets import odd_packets

COMMANDS: dict[str, Command] = {
    "forward": lambda capture: ("ipkit", "forward", str(capture)),
    "forward -w": lambda capture: ("ipkit", "forward", "-q", "-w", output("ipkit"), str(capture)),
}
PACKETS = MILLION // 5
ODD = MILLION // 20


def works() -> Sequence[Work]:
    """Return what is compared."""
    capture = imix(PACKETS)
    reading = Peer("cat (reading alone)", "cat", lambda path: ("cat", str(path)))
    copying = Peer("cp (copying alone)", "cp", lambda path: ("cp", str(path), output("cp")))
    return (
        Work("forward, verdicts", capture, PACKETS, COMMANDS["forward"], (reading,)),
        Work("forward, packets out", capture, PACKETS, COMMANDS["forward -w"], (copying,)),
        Work("forward, odd packets", odd_packets(ODD), ODD, COMMANDS["forward"], (reading,)),
    )
