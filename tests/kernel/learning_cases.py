"""Seeded hosts, and what is said to them: path MTUs, redirects, and packets that show what was learnt."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from random import Random
from typing import Any, Final, NamedTuple

from tests.kernel.lookups import Lookup
from tests.support.packets import eth, icmp, ip, u16, u32, udp
from tests.support.routes import number

NETS: Final = {"eth0": "192.0.2", "eth1": "198.51.100"}
MACS: Final = {"eth0": "02:00:00:00:01:01", "eth1": "02:00:00:00:02:01"}
GATEWAYS: Final = range(2, 8)
UNRESOLVED: Final = 9
SENDERS: Final = range(100, 200)
FAR: Final = tuple(f"203.0.113.{last}" for last in (1, 17, 18, 33, 34, 65, 129, 200))
ODD: Final = ("192.0.2.1", "198.51.100.1", "192.0.2.255", "198.51.100.0", "224.0.0.9", "127.0.0.5", "255.255.255.255")
MTUS: Final = (0, 1, 67, 68, 100, 500, 551, 552, 553, 576, 700, 999, 1000, 1001, 1279, 1280, 1300, 1399, 1400, 1499,
               1500, 1501, 9000, 65535)  # fmt: skip
RAW, UDP_PORT = 253, 5000


class Said(NamedTuple):
    """One frame, and what is asked after it."""

    dev: str
    frame: bytes
    lookups: tuple[Lookup, ...]


def learning_host(seed: int) -> dict[str, Any]:
    """Return a host that can learn: routers and hosts, with all the knobs that matter."""
    rng = Random(seed)
    links: dict[str, Any] = {
        dev: {"address": MACS[dev], "mtu": rng.choice((1500, 1500, 1400, 1280, 600, 540)), "addr": [f"{net}.1/24"]}
        for dev, net in NETS.items()
    }
    links["eth0"]["addr"].append("192.0.2.99/24")
    neigh = [
        f"{net}.{last} lladdr 02:00:00:00:{index:02x}:{last:02x} dev {dev}"
        for index, (dev, net) in enumerate(NETS.items(), 1)
        for last in (*GATEWAYS, *SENDERS)
    ]
    routes = ["default via 192.0.2.2 dev eth0", "203.0.113.128/25 via 198.51.100.3 dev eth1"]
    routes += [f"203.0.113.16/28 {_way(rng)}", f"203.0.113.32/28 {_way(rng)}"]
    routes += [f"203.0.113.64/28 nexthop via 192.0.2.4 dev eth0 nexthop via {_second(rng)} weight 2"]
    routes += [f"203.0.113.16/28 tos 0x10 {_way(rng)}"] if rng.random() < 0.5 else []
    asks = rng.choice(("", "", "", "from 192.0.2.99", "ipproto icmp", "ipproto udp", "tos 0x10"))
    rules = [f"{asks} lookup 100"] if asks else []
    routes += ["default via 192.0.2.5 dev eth0 table 100 mtu 1200"] if rules else []
    return {"routes": routes, "rules": rules, "neigh": neigh, "sysctl": _knobs(rng), "link": links}


def _second(rng: Random) -> str:
    return rng.choice(("198.51.100.4 dev eth1", "198.51.100.4 dev eth1", "192.0.2.6 dev eth0"))


def _way(rng: Random) -> str:
    dev = rng.choice(tuple(NETS))
    mtu = rng.choice(("", "", "mtu 1000", "mtu lock 1000", "mtu 700", "mtu lock 400"))
    return f"via {NETS[dev]}.{rng.choice(GATEWAYS)} dev {dev} {mtu}".strip()


def _knobs(rng: Random) -> dict[str, int]:
    knobs = {
        "net.ipv4.ip_forward": rng.choice((0, 0, 1)),
        "net.ipv4.ip_no_pmtu_disc": rng.choice((0, 0, 0, 1, 2, 3)),
        "net.ipv4.ip_forward_use_pmtu": rng.randint(0, 1),
        "net.ipv4.fib_multipath_hash_seed": 1 + rng.randrange(1 << 31),
        "net.ipv4.fib_multipath_hash_policy": rng.choice((0, 0, 1, 2, 3)),
        **{f"net.ipv4.neigh.{dev}.retrans_time_ms": 60_000 for dev in NETS},
        "net.ipv4.route.min_pmtu": rng.choice((552, 552, 68, 1000)),
        "net.ipv4.icmp_ignore_bogus_error_responses": rng.randint(0, 1),
    }
    for name in ("accept_redirects", "secure_redirects", "shared_media", "send_redirects"):
        for dev in ("all", *NETS):
            if rng.random() < 0.3:
                knobs[f"net.ipv4.conf.{dev}.{name}"] = rng.randint(0, 1)
    return knobs


def sayings(seed: int, host: dict[str, Any], count: int) -> list[Said]:
    """Return what a host hears: lessons, and packets in transit and to itself."""
    rng = Random(seed * 7919 + 1)
    senders = {dev: [f"{net}.{last}" for last in SENDERS] for dev, net in NETS.items()}
    near = tuple(f"{net}.{last}" for net in NETS.values() for last in GATEWAYS)
    made = []
    for _ in range(count):
        dst = rng.choice(FAR) if rng.random() < 0.8 else rng.choice((*near, *ODD))
        dev = rng.choice(tuple(NETS))
        kind = rng.random()
        if kind < 0.3:
            datagram = _frag_needed(rng, dev, dst)
        elif kind < 0.6:
            datagram = _redirect(rng, dev, dst, host)
        elif kind < 0.85 and senders[dev]:
            payload = udp(bytes(rng.choice(MTUS[4:18]) - 28))
            datagram = ip(payload, src=senders[dev].pop(), dst=dst, df=rng.random() < 0.7, tos=rng.choice((0, 0, 0x10)))
        else:
            message = icmp(bytes(rng.choice((0, 700, 1100, 1372))))
            datagram = ip(message, proto=1, src=dst, dst=f"{NETS[dev]}.1", tos=rng.choice((0, 0, 0x10)))
        asked = (Lookup(dst), Lookup(dst, src="192.0.2.99"), Lookup(dst, tos=0x10))
        through = Lookup(dst, src="198.51.100.250", iif="eth1")
        made.append(Said(dev, eth(datagram, dst=MACS[dev]), (*asked, through)))
    return made


def _quoted(rng: Random, dst: str) -> bytes:
    """Return a packet of the host's as an error quotes it, or what is none."""
    src = rng.choice(("192.0.2.1", "192.0.2.1", "198.51.100.1", "192.0.2.99", "192.0.2.77", "0.0.0.0"))
    proto, payload = rng.choice(
        (
            (1, b"\0\0\0\0\0\1\0\1"),
            (1, b"\0\0\0\0\0\1\0\1"),
            (17, u16(UDP_PORT) + b"\0\7\0\x08\0\0"),
            (RAW, bytes(8)),
            (1, b"\x08\0\0\0\0\1\0\1"),
            (17, u16(UDP_PORT + 1) + b"\0\7\0\x08\0\0"),
            (6, bytes(20)),
            (255, bytes(8)),
        )
    )
    whole = ip(payload, proto=proto, src=src, dst=dst, tos=rng.choice((0, 0, 0, 0x10)))
    return whole if rng.random() < 0.95 else whole[: rng.randrange(len(whole))]


def _report(rng: Random, dev: str, message: bytes, sender: str) -> bytes:
    own = rng.choice((f"{NETS[dev]}.1", f"{NETS[dev]}.1", "192.0.2.99"))
    return ip(message, proto=1, src=sender, dst=own)


def _frag_needed(rng: Random, dev: str, dst: str) -> bytes:
    code = 4 if rng.random() < 0.95 else rng.choice((0, 3, 15, 16, 20))
    rest = u32(rng.choice(MTUS) + rng.choice((0, 0, 0, 0x10000)))
    sender = rng.choice((f"{NETS[dev]}.{rng.choice(GATEWAYS)}", "203.0.113.250"))
    return _report(rng, dev, icmp(_quoted(rng, dst), kind=3, code=code, rest=rest), sender)


def _gateways_to(host: dict[str, Any], dst: str) -> list[str]:
    """Return the gateways of the routes whose prefix is the longest that covers a destination."""
    found: list[tuple[int, str]] = []
    for line in host["routes"]:
        prefix = IPv4Network(line.split()[0].replace("default", "0.0.0.0/0"))
        if IPv4Address(dst) in prefix:
            words = line.split()
            found += [(prefix.prefixlen, words[at + 1]) for at, word in enumerate(words) if word == "via"]
    longest = max(length for length, _ in found)
    return [gateway for length, gateway in found if length == longest]


def _redirect(rng: Random, dev: str, dst: str, host: dict[str, Any]) -> bytes:
    way = _gateways_to(host, dst) or [dst]
    sender = rng.choice(way) if rng.random() < 0.85 else rng.choice((dst, f"{NETS[dev]}.{rng.choice(GATEWAYS)}"))
    last = rng.choice((*GATEWAYS, *GATEWAYS, 1, 255, 0, UNRESOLVED))
    new = f"{rng.choice(tuple(NETS.values()))}.{last}"
    new = new if rng.random() < 0.95 else rng.choice(("224.0.0.5", "255.255.255.255", "0.0.0.0", "127.0.0.9"))
    code = 1 if rng.random() < 0.9 else rng.randrange(12)
    return _report(rng, dev, icmp(_quoted(rng, dst), kind=5, code=code, rest=u32(number(new))), sender)
