"""Verify the checksums of a capture with scapy, or repair them into another: csum_scapy.py IN [OUT]."""

from __future__ import annotations

import sys

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.utils import PcapReader, PcapWriter

LAYERS = (IP, TCP, UDP)


def main() -> None:
    """Build each packet anew without its checksums and compare."""
    writer = PcapWriter(sys.argv[2]) if len(sys.argv) > 2 else None
    bad = 0
    with PcapReader(sys.argv[1]) as packets:
        for packet in packets:
            stored = [packet[layer].chksum for layer in LAYERS if layer in packet]
            for layer in LAYERS:
                if layer in packet:
                    del packet[layer].chksum
            again = Ether(bytes(packet))
            bad += stored != [again[layer].chksum for layer in LAYERS if layer in again]
            if writer is not None:
                writer.write(again)
    print(bad)


if __name__ == "__main__":
    main()
