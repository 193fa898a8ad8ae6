"""ipkit: what would Linux do with this packet, and why."""

__version__ = "0.1.0"
