"""reassemble: every datagram in three fragments, sixteen of them on the way at a time."""

from __future__ import annotations

from collections.abc import Sequence

from bench.captures import fragments
from bench.comparison import Command, Peer, Work, output, peer_script

DATAGRAMS = 16_000
FRAGMENTS = 3 * DATAGRAMS

COMMANDS: dict[str, Command] = {
    "reassemble": lambda capture: ("ipkit", "reassemble", str(capture)),
    "reassemble -w": lambda capture: ("ipkit", "reassemble", "-q", "-w", output("ipkit"), str(capture)),
}


def works() -> Sequence[Work]:
    """Return what is compared."""
    capture = fragments(DATAGRAMS)
    readers = (
        Peer("cat (reading alone)", "cat", lambda path: ("cat", str(path))),
        Peer("tshark", "tshark", lambda path: ("tshark", "-n", "-o", "ip.defragment:TRUE", "-r", str(path))),
    )
    writers = (
        Peer("cp (copying alone)", "cp", lambda path: ("cp", str(path), output("cp"))),
        Peer("scapy", "python:scapy", lambda path: (*peer_script("reassemble_scapy.py"), str(path), output("scapy"))),
    )
    return (
        Work("reassemble, report", capture, FRAGMENTS, COMMANDS["reassemble"], readers),
        Work("reassemble, write", capture, FRAGMENTS, COMMANDS["reassemble -w"], writers),
    )
