"""What the stack does with IP options.

Law: bytes in, bytes out; where an option lies and how long it is comes from wire/options.py.
"""

from __future__ import annotations

from ipkit.core.wire.ipv4 import HEADER_BYTES
from ipkit.core.wire.options import COPIED, OPTION_NOOP, options_in


def ip_options_fragment(header: bytes, optlen: int) -> bytes:
    """Return the header as later fragments carry it: options without the copied bit become no-operations.

    Kernel: net/ipv4/ip_options.c
    Neither the header nor its padding shrinks, and what follows a malformed option stays as it is.
    """
    end = HEADER_BYTES + optlen
    edited = bytearray(header)
    for option in options_in(header[HEADER_BYTES:end]):
        if not option.kind & COPIED:
            begin = HEADER_BYTES + option.at
            edited[begin : begin + option.length] = bytes([OPTION_NOOP]) * option.length
    return bytes(edited)
