"""The options that a program gives a socket: checked, and made ready to be filled in when a datagram is built.

Law: an option is refused, taken as it is, or has the slot that this host will fill reserved; addresses and times come
later, from ip_options_build.
"""

from __future__ import annotations

from ipkit.core.ip_options import IsOurs, OutgoingOptions
from ipkit.core.ip_options_compile import Compiling, __ip_options_compile
from ipkit.core.skbuff import IpOptions
from ipkit.core.wire.ipv4 import HEADER_BYTES
from ipkit.core.wire.options import MAX_OPTION_BYTES, OPTION_END


def ip_options_get(given: bytes, is_ours: IsOurs) -> OutgoingOptions | None:
    """Return the options as a socket keeps them, padded to whole words; None: malformed, or too long.

    Kernel: net/ipv4/ip_options.c
    """
    if len(given) > MAX_OPTION_BYTES:
        return None
    data = given + bytes([OPTION_END]) * (-len(given) % 4)
    work = Compiling(bytearray(HEADER_BYTES) + data, IpOptions(optlen=len(data)), is_ours)
    return None if __ip_options_compile(work) else OutgoingOptions(bytes(work.header[HEADER_BYTES:]), work.found)
