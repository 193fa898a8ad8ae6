"""Put the frames of a capture on a wire with scapy: send_scapy.py DEV FILE."""

from __future__ import annotations

import sys

from scapy.layers.l2 import Ether
from scapy.sendrecv import sendp
from scapy.utils import RawPcapReader


def main() -> None:
    """Send them all in one call."""
    device, capture = sys.argv[1:]
    with RawPcapReader(capture) as reader:
        frames = [Ether(data) for data, _ in reader]
    sendp(frames, iface=device, verbose=False)


if __name__ == "__main__":
    main()
