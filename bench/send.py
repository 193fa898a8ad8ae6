"""send: a capture back on a wire at top speed, over a veth pair of its own; messages built and written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.captures import imix
from bench.comparison import Command, Peer, Work, output, peer_script

PACKETS = 200_000
MESSAGES, MESSAGE_BYTES, FRAGMENTS = 1000, 65_000, 44
WIRE = 'ip link add v0 type veth peer name v1 && ip link set v0 up && ip link set v1 up && exec "$@"'

COMMANDS: dict[str, Command] = {"send": lambda capture: ("ipkit", "send", "-q", str(capture))}


def on_a_wire(*command: str) -> tuple[str, ...]:
    """Return a command as it is called where v0 is a wire."""
    return ("unshare", "-n", "sh", "-c", WIRE, "sh", *command)


def build(_capture: Path) -> Sequence[str]:
    """Return the command that builds messages in fragments and writes them."""
    message = ("--dst", "203.0.113.9", "--size", str(MESSAGE_BYTES), "--loop", str(MESSAGES))
    return ("ipkit", "send", "-q", *message, "-w", output("ipkit"))


def works() -> Sequence[Work]:
    """Return what is compared."""
    capture = imix(PACKETS)
    replayers = (
        Peer(
            "tcpreplay",
            "tcpreplay",
            lambda path: on_a_wire("tcpreplay", "-q", "-i", "v0", "--topspeed", str(path)),
        ),
        Peer("scapy", "python:scapy", lambda path: on_a_wire(*peer_script("send_scapy.py"), "v0", str(path))),
    )
    return (
        Work(
            "send, replay at top speed",
            capture,
            PACKETS,
            lambda path: on_a_wire("ipkit", "send", "-q", "-i", "v0", "--topspeed", str(path)),
            replayers,
        ),
        Work("send, messages of 65,000 bytes (packets are fragments)", capture, MESSAGES * FRAGMENTS, build, ()),
    )
