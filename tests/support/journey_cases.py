"""Packets with literal bytes, and what two kernels do with each: read from tests/vectors/journey.toml.

The sender is 10.0.0.5 behind t0, 10.1.0.0/24 is behind t1. What the host itself sends stands there with zeros for its
identification and its header checksum.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final, NamedTuple

from ipkit.core.skbuff import PacketType
from tests.support.source import ROOT

ROUTES: Final = (
    "10.8.0.0/16 via 10.1.0.9 dev t1",
    "10.9.0.0/16 via 10.1.0.9 dev t1 tos 0x10",
    "10.9.0.0/16 via 10.1.0.8 dev t1",
    "unreachable 10.66.0.0/16",
    "prohibit 10.67.0.0/16",
    "blackhole 10.68.0.0/16",
    "throw 10.69.0.0/16",
    "anycast 10.70.0.0/16 dev t1",
    "10.74.0.0/16 via 10.1.0.9 dev t1 mtu 68",
    "10.75.0.0/16 via 10.1.0.9 dev t1 mtu lock 68",
    "240.0.0.0/4 via 10.1.0.9 dev t1",
)
NEIGHBOURS: Final = ("10.0.0.5", "10.0.0.7", "10.1.0.0", "10.1.0.5", "10.1.0.7", "10.1.0.8", "10.1.0.9")
MACS: Final = {"t0": "02:00:00:00:00:01", "t1": "02:00:00:00:01:01"}
OWN: Final = (bytes((10, 0, 0, 1)), bytes((10, 1, 0, 1)), bytes((127, 0, 0, 1)))
UDP_PORT: Final = 53
RAW_PROTOCOL: Final = 254

CONF: Final = "net.ipv4.conf."
VARIANTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "router": {},
    "host": {"sysctl": {"net.ipv4.ip_forward": 0}},
    "closed": {"sysctl": {f"{CONF}t0.forwarding": 0}},
    "strict": {"sysctl": {f"{CONF}all.drop_unicast_in_l2_multicast": 1}},
    "lenient": {
        "sysctl": {
            f"{CONF}all.accept_local": 1,
            f"{CONF}all.route_localnet": 1,
            "net.ipv4.icmp_echo_ignore_broadcasts": 0,
        }
    },
    "mute": {"sysctl": {"net.ipv4.icmp_echo_ignore_all": 1}},
    "rp1": {"sysctl": {f"{CONF}all.rp_filter": 1}},
    "rp2": {"sysctl": {f"{CONF}t0.rp_filter": 2}},
    "inbound": {"sysctl": {"net.ipv4.icmp_errors_use_inbound_ifaddr": 1}},
    "noredirect": {"sysctl": {f"{CONF}all.send_redirects": 0, f"{CONF}t0.send_redirects": 0}},
    "ttl9": {"sysctl": {"net.ipv4.ip_default_ttl": 9}},
    "narrow": {"t1": 68},
    "thin": {"t0": 68},
    "ruled": {
        "rules": [
            "to 10.71.0.0/16 unreachable pref 100",
            "to 10.72.0.0/16 prohibit pref 101",
            "to 10.73.0.0/16 blackhole pref 102",
        ]
    },
}


def described(variant: str) -> dict[str, Any]:
    """Return a host as a description has it."""
    changes = VARIANTS[variant]
    return {
        "routes": list(ROUTES),
        "rules": changes.get("rules", []),
        "neigh": [f"{address} lladdr {_mac(address)} dev t{address[3]}" for address in NEIGHBOURS],
        "sysctl": {"net.ipv4.ip_forward": 1, **changes.get("sysctl", {})},
        "link": {
            "t0": {"address": MACS["t0"], "addr": ["10.0.0.1/24"], "mtu": changes.get("t0", 1500)},
            "t1": {"address": MACS["t1"], "addr": ["10.1.0.1/24"], "mtu": changes.get("t1", 1500)},
        },
    }


def _mac(address: str) -> str:
    return "02:00:" + ":".join(f"{int(part):02x}" for part in address.split("."))


class Seen(NamedTuple):
    """What becomes of a packet."""

    end: str  # verdict, reason or device, function
    counters: dict[str, int]
    out: list[str]  # device, address of the next hop, the datagram


class Case(NamedTuple):
    """One packet."""

    name: str
    variant: str
    to: PacketType
    data: bytes
    seen: Mapping[str, Seen]  # by kernel

    def __str__(self) -> str:
        return self.name


@cache
def cases() -> list[Case]:
    """Return all of them."""
    with (ROOT / "tests" / "vectors" / "journey.toml").open("rb") as file:
        return list(_read(tomllib.load(file)["case"]))


def _read(rows: list[dict[str, Any]]) -> Iterator[Case]:
    for row in rows:
        seen = {kernel: _seen({**row, **row.get(kernel, {})}) for kernel in ("4.14", "6.18")}
        to = PacketType[row.get("to", "host").upper()]
        yield Case(row["name"], row.get("host", "router"), to, bytes.fromhex(row["data"]), seen)


def _seen(row: Mapping[str, Any]) -> Seen:
    counters = {}
    for word in row.get("counters", "").split():
        name, _, amount = word.partition("=")
        counters[name] = int(amount or 1)
    return Seen(row["end"], counters, row.get("out", []))


def shown(dev: str, header: bytes, datagram: bytes) -> str:
    """Return a frame as the cases have it."""
    if datagram[12:16] in OWN:
        datagram = datagram[:4] + b"\0\0" + datagram[6:10] + b"\0\0" + datagram[12:]
    return f"{dev} {header[:6].hex()} {datagram.hex()}"
