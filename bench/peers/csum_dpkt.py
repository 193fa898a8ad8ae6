"""Verify the checksums of a capture with dpkt: csum_dpkt.py IN."""

from __future__ import annotations

import sys
from pathlib import Path

import dpkt


def main() -> None:
    """Build each packet anew without its checksums and compare."""
    bad = 0
    with Path(sys.argv[1]).open("rb") as capture:
        for _, frame in dpkt.pcap.Reader(capture):
            datagram = dpkt.ethernet.Ethernet(frame).data
            stored = datagram.sum, datagram.data.sum
            datagram.sum = datagram.data.sum = 0
            bytes(datagram)
            bad += stored != (datagram.sum, datagram.data.sum)
    print(bad)


if __name__ == "__main__":
    main()
