"""The Internet checksum: sums, folds, and the kernel's incremental updates.

Law: numbers and bytes only; who is judged by them is decided elsewhere. A sum of 16-bit big-endian words
with end-around carry is the number modulo 65535, with one twist: of the two zeros, all-zero data gives 0
and anything else gives 0xFFFF.
"""

from __future__ import annotations

_big_endian = int.from_bytes


def csum_partial(data: bytes) -> int:
    """Return the folded one's-complement sum of the data, an odd byte padded with zero: 0..0xFFFF."""
    value = _big_endian(data)
    total = value % 0xFFFF
    if len(data) & 1:
        total = (total << 8) % 0xFFFF
    return total or (0xFFFF if value else 0)


def csum_fold(total: int) -> int:
    """Fold a sum of any width to sixteen bits and complement it."""
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ip_fast_csum(header: bytes) -> int:
    """Return the checksum over the header as it stands: zero where a stored checksum verifies.

    Kernel: ip_fast_csum
    """
    return ~csum_partial(header) & 0xFFFF


def with_header_checksum(header: bytes) -> bytes:
    """Return the header with its checksum field made right (ip_send_check)."""
    return header[:10] + ip_fast_csum(header[:10] + b"\0\0" + header[12:]).to_bytes(2, "big") + header[12:]


def ip_decrease_ttl(checksum: int) -> int:
    """Return the header checksum after one hop: the TTL's word lost 0x0100, so the sum gains it.

    Kernel: ip_decrease_ttl
    """
    total = checksum + 0x0100
    return (total + (total >= 0xFFFF)) & 0xFFFF


def csum_replace2(checksum: int, old: int, new: int) -> int:
    """Return the checksum after one 16-bit word changed (RFC 1624, equation 3).

    Kernel: csum_replace2
    """
    return csum_fold((~checksum & 0xFFFF) + (~old & 0xFFFF) + new)


def csum_replace4(checksum: int, old: int, new: int) -> int:
    """Return the checksum after one 32-bit field changed.

    Kernel: csum_replace4
    """
    return csum_fold((~checksum & 0xFFFF) + (~old & 0xFFFFFFFF) + new)


def pseudo_header_sum(source: int, destination: int, protocol: int, length: int) -> int:
    """Return the unfolded sum of the IPv4 pseudo header."""
    return (source >> 16) + (source & 0xFFFF) + (destination >> 16) + (destination & 0xFFFF) + protocol + length


def csum_tcpudp_magic(addresses: tuple[int, int], protocol: int, length: int, total: int) -> int:
    """Return the checksum of a segment from the sum of its bytes; for UDP a 0 is written as 0xFFFF.

    Kernel: csum_tcpudp_magic
    """
    return csum_fold(pseudo_header_sum(*addresses, protocol, length) + total)


class RawSum:
    """The checksum of a stream of any bytes, taken piece by piece; an odd byte at the very end is padded with zero."""

    __slots__ = ("_bytes", "_total")

    def __init__(self) -> None:
        self._bytes = 0
        self._total = 0

    def add(self, data: bytes) -> None:
        """Take the next piece, wherever the stream was cut."""
        piece = csum_partial(data)
        if self._bytes & 1:
            # The piece begins in the lower half of a word: its sum has the two halves the wrong way round.
            piece = (piece & 0xFF) << 8 | piece >> 8
        self._total += piece
        self._bytes += len(data)

    def value(self) -> int:
        """Return the checksum: zero where the stream holds its own and verifies."""
        return csum_fold(self._total)
