"""Cut the datagrams of a capture with scapy: fragment_scapy.py DATA-BYTES IN OUT."""

from __future__ import annotations

import sys

from scapy.layers.inet import IP, fragment
from scapy.layers.l2 import Ether
from scapy.utils import PcapReader, PcapWriter


def main() -> None:
    """Cut what is longer, and write the rest as it came."""
    size, source, target = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    writer = PcapWriter(target)
    with PcapReader(source) as packets:
        for packet in packets:
            if IP in packet and packet[IP].len - 20 > size:
                link = Ether(bytes(packet)[:14])
                pieces = [link / piece for piece in fragment(packet[IP], size)]
            else:
                pieces = [packet]
            for piece in pieces:
                piece.time = packet.time
                writer.write(piece)


if __name__ == "__main__":
    main()
