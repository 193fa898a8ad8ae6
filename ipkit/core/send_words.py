"""The words by which a send call is described: IP options, control messages, socket options.

Law: text in, the bytes that a program would hand to the kernel out. What the kernel refuses is not judged here: only
words that stand for no bytes at all are a ValueError.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from ipkit.core import cmsg
from ipkit.core.host.config import HostConfig
from ipkit.core.sockopts import SOCKET_OPTIONS
from ipkit.core.wire.cmsg import Cmsg, cmsg_bytes, int_bytes, pktinfo_bytes
from ipkit.core.wire.ipv4 import address_number
from ipkit.core.wire.options import (
    OPTION_LSRR,
    OPTION_NOOP,
    OPTION_ROUTER_ALERT,
    OPTION_RR,
    OPTION_SSRR,
    OPTION_TIMESTAMP,
)

MOST_SLOTS: Final = 63
"""More than a length byte can say."""

RECORD_SLOTS: Final = 9
STAMP_SLOTS: Final = 9
ADDRESS_STAMP_SLOTS: Final = 4


def parse_hex(text: str) -> bytes:
    """Return the bytes that pairs of hexadecimal digits spell, blanks and colons between them allowed."""
    try:
        return bytes.fromhex(text.replace(":", " "))
    except ValueError:
        raise ValueError(f"{text!r} is not pairs of hexadecimal digits") from None


def parse_address(text: str) -> int:
    """Return the number of an address."""
    try:
        return address_number(text)
    except ValueError:
        raise ValueError(f"{text!r} is not an IPv4 address") from None


def parse_option(text: str) -> bytes:
    """Return one IP option as a program would write it."""
    name, _, rest = text.partition(":")
    make = _OPTIONS.get(name)
    if make is None:
        raise ValueError(f"{text!r} is none of {', '.join(_OPTIONS)}")
    return make(rest)


def _record_route(text: str) -> bytes:
    slots = _slots(text, RECORD_SLOTS)
    return bytes((OPTION_RR, 3 + 4 * slots, 4)) + bytes(4 * slots)


def _slots(text: str, otherwise: int) -> int:
    if not text:
        return otherwise
    if not re.fullmatch(r"\d{1,3}", text, re.ASCII) or int(text) > MOST_SLOTS:
        raise ValueError(f"{text!r} is not a number of slots up to {MOST_SLOTS}")
    return int(text)


def _timestamp(text: str) -> bytes:
    kind, _, listed = text.partition(",")
    if kind in ("", "only") and not listed:
        return bytes((OPTION_TIMESTAMP, 4 + 4 * STAMP_SLOTS, 5, 0)) + bytes(4 * STAMP_SLOTS)
    if kind == "addr" and not listed:
        return bytes((OPTION_TIMESTAMP, 4 + 8 * ADDRESS_STAMP_SLOTS, 5, 1)) + bytes(8 * ADDRESS_STAMP_SLOTS)
    if kind != "prespec":
        raise ValueError(f"{text!r} is none of only, addr, prespec,A,B")
    slots = [address + bytes(4) for address in _addresses(listed, MOST_SLOTS // 2)]
    return bytes((OPTION_TIMESTAMP, 4 + 8 * len(slots), 5, 3)) + b"".join(slots)


def _addresses(text: str, most: int = MOST_SLOTS) -> list[bytes]:
    addresses = [parse_address(word).to_bytes(4, "big") for word in text.split(",")]
    if len(addresses) > most:
        raise ValueError(f"more than {most} addresses do not fit into an option")
    return addresses


def _source_route(kind: int) -> Callable[[str], bytes]:
    def make(text: str) -> bytes:
        hops = _addresses(text)
        return bytes((kind, 3 + 4 * len(hops), 4)) + b"".join(hops)

    return make


def _plain(data: bytes) -> Callable[[str], bytes]:
    def make(text: str) -> bytes:
        if text:
            raise ValueError(f"nothing follows this option, not {text!r}")
        return data

    return make


_OPTIONS: Final[Mapping[str, Callable[[str], bytes]]] = MappingProxyType(
    {
        "rr": _record_route,
        "ts": _timestamp,
        "lsrr": _source_route(OPTION_LSRR),
        "ssrr": _source_route(OPTION_SSRR),
        "ra": _plain(bytes((OPTION_ROUTER_ALERT, 4, 0, 0))),
        "nop": _plain(bytes((OPTION_NOOP,))),
        "hex": parse_hex,
    }
)


class _CmsgKind(NamedTuple):
    level: int
    type: int
    bytes: int = 4


_CMSGS: Final[Mapping[str, _CmsgKind]] = MappingProxyType(
    {
        "IP_TOS": _CmsgKind(cmsg.SOL_IP, cmsg.IP_TOS),
        "IP_TTL": _CmsgKind(cmsg.SOL_IP, cmsg.IP_TTL),
        "IP_RETOPTS": _CmsgKind(cmsg.SOL_IP, cmsg.IP_RETOPTS, 0),
        "IP_PKTINFO": _CmsgKind(cmsg.SOL_IP, cmsg.IP_PKTINFO, 0),
        "IP_PROTOCOL": _CmsgKind(cmsg.SOL_IP, cmsg.IP_PROTOCOL),
        "UDP_SEGMENT": _CmsgKind(cmsg.SOL_UDP, cmsg.UDP_SEGMENT, 2),
        "SO_MARK": _CmsgKind(cmsg.SOL_SOCKET, cmsg.SO_MARK),
        "SO_PRIORITY": _CmsgKind(cmsg.SOL_SOCKET, cmsg.SO_PRIORITY),
        "SO_TIMESTAMPING": _CmsgKind(cmsg.SOL_SOCKET, cmsg.SO_TIMESTAMPING),
        "SCM_TXTIME": _CmsgKind(cmsg.SOL_SOCKET, cmsg.SCM_TXTIME, 8),
        "SCM_TS_OPT_ID": _CmsgKind(cmsg.SOL_SOCKET, cmsg.SCM_TS_OPT_ID),
        "SCM_RIGHTS": _CmsgKind(cmsg.SOL_SOCKET, cmsg.SCM_RIGHTS),
        "SCM_CREDENTIALS": _CmsgKind(cmsg.SOL_SOCKET, cmsg.SCM_CREDENTIALS, 12),
    }
)


def parse_cmsg(text: str, host: HostConfig) -> bytes:
    """Return one control message as it stands in a program's buffer: `NAME=VALUE`, `LEVEL:TYPE=VALUE` or `raw:HEX`."""
    if text.startswith("raw:"):
        return parse_hex(text.removeprefix("raw:"))
    name, equals, value = text.partition("=")
    kind = _CMSGS.get(name) or _numbered(name)
    if kind is None or not equals:
        raise ValueError(f"{text!r} is not NAME=VALUE with one of {', '.join(_CMSGS)}, nor LEVEL:TYPE=VALUE or raw:HEX")
    return cmsg_bytes(Cmsg(kind.level, kind.type, _cmsg_value(name, value, kind, host)))


def _numbered(name: str) -> _CmsgKind | None:
    found = re.fullmatch(r"(\d{1,9}):(\d{1,9})", name, re.ASCII)
    return _CmsgKind(int(found[1]), int(found[2])) if found else None


def _cmsg_value(name: str, value: str, kind: _CmsgKind, host: HostConfig) -> bytes:
    if value.startswith("hex:"):
        return parse_hex(value.removeprefix("hex:"))
    if name == "IP_RETOPTS":
        return parse_option(value)
    if name == "IP_PKTINFO":
        dev, _, address = value.partition(",")
        return pktinfo_bytes(_ifindex(dev, host) if dev else 0, parse_address(address) if address else 0)
    return (_number(value) & (1 << 8 * kind.bytes) - 1).to_bytes(kind.bytes, "little")


def _number(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        raise ValueError(f"{text!r} is neither a number nor hex:...") from None


def _ifindex(text: str, host: HostConfig) -> int:
    if text in host.links:
        return host.links[text].ifindex
    if text.isdecimal():
        return int(text) & 0x7FFFFFFF
    raise ValueError(f"the host has no device {text!r}")


def parse_sockopt(text: str, host: HostConfig) -> tuple[str, bytes]:
    """Return a socket option's name and the value a program would pass: `NAME=VALUE`."""
    name, equals, value = text.partition("=")
    if name not in SOCKET_OPTIONS or not equals:
        raise ValueError(f"{text!r} is not NAME=VALUE with one of {', '.join(SOCKET_OPTIONS)}")
    if value.startswith("hex:") and name != "IP_OPTIONS":
        return name, parse_hex(value.removeprefix("hex:"))
    return name, _SOCKOPT_VALUES.get(name, _int_value)(value, host)


def _int_value(text: str, _host: HostConfig) -> bytes:
    return int_bytes(_number(text))


def _unicast_if(text: str, host: HostConfig) -> bytes:
    return _ifindex(text, host).to_bytes(4, "big")


def _multicast_if(text: str, host: HostConfig) -> bytes:
    """Return an address, or the structure that names a device."""
    return bytes(8) + int_bytes(_ifindex(text, host)) if text in host.links else parse_address(text).to_bytes(4, "big")


_SOCKOPT_VALUES: Final[Mapping[str, Callable[[str, HostConfig], bytes]]] = MappingProxyType(
    {
        "IP_OPTIONS": lambda text, _host: parse_option(text),
        "IP_UNICAST_IF": _unicast_if,
        "IP_MULTICAST_IF": _multicast_if,
        "SO_BINDTODEVICE": lambda text, _host: text.encode(),
        "SO_TXTIME": lambda text, _host: int_bytes(_number(text)) + int_bytes(0),
    }
)
