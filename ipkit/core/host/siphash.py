"""Two keyed hashes of the kernel's: SipHash-2-4, and the last mix of Jenkins' hash.

Law: numbers in, numbers out.
"""

from __future__ import annotations

MASK64 = 0xFFFFFFFFFFFFFFFF
MASK32 = 0xFFFFFFFF
JHASH_INITVAL = 0xDEADBEEF


def siphash(key: tuple[int, int], message: bytes) -> int:
    """Return the 64 bits of SipHash-2-4 over a message.

    Kernel: lib/siphash.c
    """
    low, high = key
    state = (low ^ 0x736F6D6570736575, high ^ 0x646F72616E646F6D, low ^ 0x6C7967656E657261, high ^ 0x7465646279746573)
    whole = len(message) & ~7
    last = int.from_bytes(message[whole:], "little") | (len(message) & 255) << 56
    words = [int.from_bytes(message[at : at + 8], "little") for at in range(0, whole, 8)]
    for word in (*words, last):
        v0, v1, v2, v3 = state
        v0, v1, v2, v3 = _sip_rounds((v0, v1, v2, v3 ^ word), 2)
        state = (v0 ^ word, v1, v2, v3)
    v0, v1, v2, v3 = state
    v0, v1, v2, v3 = _sip_rounds((v0, v1, v2 ^ 0xFF, v3), 4)
    return v0 ^ v1 ^ v2 ^ v3


def _sip_rounds(state: tuple[int, int, int, int], rounds: int) -> tuple[int, int, int, int]:
    v0, v1, v2, v3 = state
    for _ in range(rounds):
        v0 = v0 + v1 & MASK64
        v1 = (v1 << 13 & MASK64 | v1 >> 51) ^ v0
        v0 = v0 << 32 & MASK64 | v0 >> 32
        v2 = v2 + v3 & MASK64
        v3 = (v3 << 16 & MASK64 | v3 >> 48) ^ v2
        v0 = v0 + v3 & MASK64
        v3 = (v3 << 21 & MASK64 | v3 >> 43) ^ v0
        v2 = v2 + v1 & MASK64
        v1 = (v1 << 17 & MASK64 | v1 >> 47) ^ v2
        v2 = v2 << 32 & MASK64 | v2 >> 32
    return v0, v1, v2, v3


def jhash_2words(first: int, second: int, initval: int) -> int:
    """Return Jenkins' hash of two words.

    Kernel: include/linux/jhash.h
    """
    start = initval + JHASH_INITVAL + (2 << 2)
    a, b, c = first + start & MASK32, second + start & MASK32, start & MASK32
    c = (c ^ b) - _rotated(b, 14) & MASK32
    a = (a ^ c) - _rotated(c, 11) & MASK32
    b = (b ^ a) - _rotated(a, 25) & MASK32
    c = (c ^ b) - _rotated(b, 16) & MASK32
    a = (a ^ c) - _rotated(c, 4) & MASK32
    b = (b ^ a) - _rotated(a, 14) & MASK32
    return (c ^ b) - _rotated(b, 24) & MASK32


def _rotated(word: int, by: int) -> int:
    return word << by & MASK32 | word >> 32 - by
