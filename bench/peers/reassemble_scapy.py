"""Put the fragments of a capture together with scapy: reassemble_scapy.py IN OUT."""

from __future__ import annotations

import sys

from scapy.layers.inet import IP, defragment  # noqa: F401 - IP is what binds the layers
from scapy.utils import rdpcap, wrpcap


def main() -> None:
    """Read all, since scapy's defragment wants a list."""
    wrpcap(sys.argv[2], defragment(rdpcap(sys.argv[1])))


if __name__ == "__main__":
    main()
