"""csum: verify every layer with rows for the bad ones, and repair."""

from __future__ import annotations

from collections.abc import Sequence

from bench.captures import MILLION, imix
from bench.comparison import Command, Peer, Work, output, peer_script

TSHARK = (
    *("tshark", "-n", "-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE"),
    *("-T", "fields", "-e", "ip.checksum.status", "-e", "tcp.checksum.status", "-e", "udp.checksum.status", "-r"),
)

COMMANDS: dict[str, Command] = {
    "csum": lambda capture: ("ipkit", "csum", str(capture)),
    "csum -w": lambda capture: ("ipkit", "csum", "-q", "-w", output("ipkit"), str(capture)),
}


def works() -> Sequence[Work]:
    """Return what is compared."""
    capture = imix(MILLION)
    verifiers = (
        Peer("cat (reading alone)", "cat", lambda path: ("cat", str(path))),
        Peer("tshark", "tshark", lambda path: (*TSHARK, str(path))),
        Peer("dpkt", "python:dpkt", lambda path: (*peer_script("csum_dpkt.py"), str(path))),
        Peer("scapy", "python:scapy", lambda path: (*peer_script("csum_scapy.py"), str(path))),
    )
    fixers = (
        Peer("cp (copying alone)", "cp", lambda path: ("cp", str(path), output("cp"))),
        Peer(
            "tcprewrite",
            "tcprewrite",
            lambda path: ("tcprewrite", "--fixcsum", "-i", str(path), "-o", output("tcprewrite")),
        ),
        Peer("scapy", "python:scapy", lambda path: (*peer_script("csum_scapy.py"), str(path), output("scapy"))),
    )
    return (
        Work("csum, verify", capture, MILLION, COMMANDS["csum"], verifiers),
        Work("csum, repair", capture, MILLION, COMMANDS["csum -w"], fixers),
    )
