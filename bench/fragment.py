"""fragment: everything longer than an MTU cut, nothing else touched.

The MTU is one at which fragroute's ip_frag, which counts data alone, cuts the same packets at the same places.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench.captures import CACHE, MILLION, imix
from bench.comparison import Command, Peer, Work, output, peer_script

MTU: Final = 580
DATA: Final = MTU - 20

COMMANDS: dict[str, Command] = {
    "fragment -w": lambda capture: ("ipkit", "fragment", "-q", "-m", str(MTU), "-w", output("ipkit"), str(capture)),
}


def works() -> Sequence[Work]:
    """Return what is compared."""
    capture = imix(MILLION)
    peers = (
        Peer("cp (copying alone)", "cp", lambda path: ("cp", str(path), output("cp"))),
        Peer("tcprewrite", "tcprewrite", tcprewrite),
        Peer(
            "scapy",
            "python:scapy",
            lambda path: (*peer_script("fragment_scapy.py"), str(DATA), str(path), output("scapy")),
        ),
    )
    return (Work(f"fragment, MTU {MTU}", capture, MILLION, COMMANDS["fragment -w"], peers),)


def tcprewrite(capture: Path) -> Sequence[str]:
    """Return the call, its rules written down beside the output."""
    rules = CACHE / "fragroute.conf"
    rules.write_text(f"ip_frag {DATA}\n")
    return "tcprewrite", f"--fragroute={rules}", "-i", str(capture), "-o", output("tcprewrite")
