"""The options that a program gives a socket: checked, and made ready to be filled in when a datagram is built.

Law: an option is refused, taken as it is, or has the slot that this host will fill reserved; addresses and times come
later, from ip_options_build.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ipkit.core.ip_options import OutgoingOptions
from ipkit.core.skbuff import IpOptions
from ipkit.core.wire.ipv4 import HEADER_BYTES
from ipkit.core.wire.options import (
    MAX_OPTION_BYTES,
    OPTION_CIPSO,
    OPTION_END,
    OPTION_LSRR,
    OPTION_NOOP,
    OPTION_ROUTER_ALERT,
    OPTION_RR,
    OPTION_SSRR,
    OPTION_TIMESTAMP,
)

IsOurs = Callable[[int], bool]

TS_ONLY: Final = 0
TS_AND_ADDRESS: Final = 1
TS_PRESPECIFIED: Final = 3
ADDRESS_BYTES: Final = 4


def ip_options_get(given: bytes, is_ours: IsOurs) -> OutgoingOptions | None:
    """Return the options as a socket keeps them, padded to whole words; None: malformed, or too long.

    Kernel: net/ipv4/ip_options.c
    """
    if len(given) > MAX_OPTION_BYTES:
        return None
    data = bytearray(given + bytes([OPTION_END]) * (-len(given) % 4))
    places = IpOptions(optlen=len(data))
    at = 0
    while at < len(data):
        kind = data[at]
        if kind == OPTION_END:
            data[at:] = bytes(len(data) - at)
            break
        if kind == OPTION_NOOP:
            at += 1
            continue
        length = data[at + 1] if at + 1 < len(data) else 0
        if length < 2 or length > len(data) - at:
            return None
        option = data[at : at + length]
        if not _COMPILERS.get(kind, _taken_as_it_is)(option, HEADER_BYTES + at, places, is_ours):
            return None
        data[at : at + length] = option
        at += length
    return OutgoingOptions(bytes(data), places)


def _source_route(option: bytearray, at: int, places: IpOptions, _is_ours: IsOurs) -> bool:
    """Take the first hop out: it is where the packet is sent; the place of the last is the final destination's."""
    if places.srr or len(option) < 7 or option[2] != 4 or (len(option) - 3) % ADDRESS_BYTES:
        return False
    places.srr = at
    places.is_strictroute = option[0] == OPTION_SSRR
    places.faddr = int.from_bytes(option[3:7], "big")
    option[3:-4] = option[7:]
    return True


def _record_route(option: bytearray, at: int, places: IpOptions, _is_ours: IsOurs) -> bool:
    if places.rr or len(option) < 3 or option[2] < 4:
        return False
    if option[2] <= len(option):
        if option[2] + 3 > len(option):
            return False
        option[2] += ADDRESS_BYTES
        places.rr_needaddr = True
    places.rr = at
    return True


def _timestamp(option: bytearray, at: int, places: IpOptions, is_ours: IsOurs) -> bool:
    if places.ts or len(option) < 4 or option[2] < 5:
        return False
    flag = option[3] & 0x0F
    if option[2] <= len(option):
        if not _reserve_stamp(option, flag, places, is_ours):
            return False
    elif flag != TS_PRESPECIFIED and option[3] >> 4 == 15:
        return False
    places.ts = at
    return True


def _reserve_stamp(option: bytearray, flag: int, places: IpOptions, is_ours: IsOurs) -> bool:
    """Move the pointer over what this host will write; tell whether there is room for it."""
    pointer = option[2]
    if pointer + 3 > len(option):
        return False
    if flag == TS_ONLY:
        places.ts_needtime = True
        option[2] += ADDRESS_BYTES
        return True
    if flag not in (TS_AND_ADDRESS, TS_PRESPECIFIED):
        return True
    if pointer + 7 > len(option):
        return False
    if flag == TS_PRESPECIFIED and not is_ours(int.from_bytes(option[pointer - 1 : pointer + 3], "big")):
        return True
    places.ts_needaddr = flag == TS_AND_ADDRESS
    places.ts_needtime = True
    option[2] += 2 * ADDRESS_BYTES
    return True


def _router_alert(option: bytearray, at: int, places: IpOptions, _is_ours: IsOurs) -> bool:
    if len(option) < 4:
        return False
    if not option[2] and not option[3]:
        places.router_alert = at
    return True


def _refused(_option: bytearray, _at: int, _places: IpOptions, _is_ours: IsOurs) -> bool:
    """Refuse a security label: no domain of interpretation is configured."""
    return False


def _taken_as_it_is(_option: bytearray, _at: int, _places: IpOptions, _is_ours: IsOurs) -> bool:
    return True


_COMPILERS: Final = {
    OPTION_SSRR: _source_route,
    OPTION_LSRR: _source_route,
    OPTION_RR: _record_route,
    OPTION_TIMESTAMP: _timestamp,
    OPTION_ROUTER_ALERT: _router_alert,
    OPTION_CIPSO: _refused,
}
