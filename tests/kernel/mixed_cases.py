"""Seeded hosts and frames of all kinds that meet on them: what one frame leaves behind, another finds."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Final

from tests.kernel.hostfile import to_toml
from tests.kernel.recordings import Inject, Observed, Scenario, Step, Wait
from tests.kernel.test_options import any_options
from tests.support.packets import address, eth, icmp, ip, mac, patched, rfc1071, tcp, u16, u32, udp, udplite

TO_ALL: Final = "ff:ff:ff:ff:ff:ff"
DEVS: Final = ("t0", "t1", "t2")
MACS: Final = {dev: f"02:00:00:00:01:0{number}" for number, dev in enumerate(DEVS, 1)}
NETS: Final = {dev: f"10.{number}.0" for number, dev in enumerate(DEVS)}
STATIONS: Final = (5, 6, 7, 8, 9, 253, 254)
RAW, UDP_PORT, ALERT = 253, 5000, 254

ROUTES: Final = (
    "10.6.0.0/16 via 10.1.0.9 dev t1 mtu 600",
    "10.6.1.0/24 via 10.1.0.9 dev t1 mtu lock 400",
    "10.7.0.0/16 via 10.0.0.254 dev t0",
    "10.7.1.0/24 via 10.0.0.253 dev t0",
    "10.8.0.0/16 via 10.1.0.254 dev t1",
    "10.8.0.0/24 via 10.1.0.8 dev t1 src 10.0.0.1",
    "10.8.1.0/24 via 10.2.0.9 dev t2 tos 0x10",
    "10.9.0.0/16 via 10.2.0.9 dev t2 mtu 552",
    "10.10.0.0/16 dev t1",
    "10.11.0.0/16 nexthop via 10.1.0.9 dev t1 nexthop via 10.2.0.9 dev t2 weight 2",
    "10.11.1.0/24 nexthop via 10.1.0.9 dev t1 nexthop via 10.1.0.8 dev t1",
    "10.12.0.0/16 via 10.77.0.1 dev t0 onlink",
    "unreachable 10.66.0.0/16",
    "prohibit 10.67.0.0/16",
    "blackhole 10.68.0.0/16",
    "throw 10.69.0.0/16",
    "local 10.70.0.0/24 dev t1",
    "broadcast 10.70.1.1 dev t1",
    "default via 10.1.0.254 dev t1",
)
SECOND_TABLE: Final = (
    "default via 10.2.0.254 dev t2 table 100",
    "10.8.0.0/16 via 10.2.0.8 dev t2 table 100 mtu 700",
    "unreachable 10.9.0.0/16 table 100",
)
RIVALS: Final = (
    "default via 10.1.0.8 dev t1 metric 5",
    "default via 10.2.0.8 dev t2 metric 5 tos 0x10",
    "default via 10.2.0.9 dev t2 metric 6",
)
PROXIES: Final = ("proxy 10.0.0.88 dev t0", "proxy 10.8.0.5 dev t0", "proxy 10.0.0.5 dev t1")
POLICIES: Final = (
    "dst 10.8.0.0/16",
    "src 10.0.0.0/24",
    "src 10.0.0.5/32 and proto udp",
    "dst 10.0.0.1/32 and proto icmp",
    "src 10.1.0.1/32",
)
RULES: Final = (
    "from 10.0.0.6 lookup 100",
    "from 10.0.0.7 unreachable",
    "from 10.1.0.7 prohibit",
    "from 10.2.0.7 blackhole",
    "iif t1 lookup 100",
    "to 10.8.0.0/16 tos 0x10 lookup 100",
    "ipproto udp dport 5000 lookup 100",
    "to 10.6.0.0/16 lookup main suppress_prefixlength 16",
)
FAR: Final = ("10.6.0.5", "10.6.1.5", "10.7.0.5", "10.7.1.5", "10.8.0.5", "10.8.1.5", "10.9.0.5", "10.10.0.5",
              "10.11.0.5", "10.11.1.5", "10.12.0.5", "10.66.0.5", "10.67.0.5", "10.68.0.5", "10.69.0.5",
              "10.99.0.5")  # fmt: skip
ODD: Final = ("0.0.0.0", "255.255.255.255", "127.0.0.1", "127.0.0.9", "224.0.0.1", "224.0.0.9", "239.1.1.1",
              "232.1.1.1", "10.0.0.255", "10.1.0.255", "10.1.0.0", "10.70.0.5", "10.70.1.1", "240.0.0.1",
              "0.1.2.3")  # fmt: skip
OWN: Final = ("10.0.0.1", "10.0.0.2", "10.1.0.1", "10.2.0.1")

DEVICE_KNOBS: Final[dict[str, tuple[int, ...]]] = {
    "forwarding": (0, 1, 1, 1),
    "rp_filter": (0, 1, 2),
    "send_redirects": (0, 1),
    "shared_media": (0, 1),
    "accept_source_route": (0, 1, 1),
    "accept_redirects": (0, 1),
    "secure_redirects": (0, 1),
    "bc_forwarding": (0, 1, 1),
    "accept_local": (0, 1),
    "route_localnet": (0, 1),
    "drop_unicast_in_l2_multicast": (0, 1),
    "arp_ignore": (0, 1, 2, 8),
    "arp_announce": (0, 1, 2),
    "arp_filter": (0, 1),
    "arp_accept": (0, 1, 2),
    "proxy_arp": (0, 1),
    "drop_gratuitous_arp": (0, 1),
}
HOST_KNOBS: Final[dict[str, tuple[int, ...]]] = {
    "ip_forward_use_pmtu": (0, 1),
    "ip_forward_update_priority": (0, 1),
    "ip_no_pmtu_disc": (0, 1, 2, 3),
    "ip_default_ttl": (64, 33, 255),
    "ip_early_demux": (0, 1),
    "icmp_echo_ignore_all": (0, 1),
    "icmp_echo_ignore_broadcasts": (0, 0, 1),
    "icmp_echo_enable_probe": (0, 1),
    "icmp_errors_use_inbound_ifaddr": (0, 1),
    "icmp_ignore_bogus_error_responses": (0, 1),
    "fib_multipath_hash_policy": (0, 1, 2),
    "fib_multipath_use_neigh": (0, 1),
    "ipfrag_max_dist": (0, 1, 64),
    "route.min_pmtu": (68, 552, 1000),
}


def scenario(seed: int, frames: int = 45) -> Scenario:
    """Return a host and what comes to it."""
    rng = Random(seed)
    host = described(rng)
    talk = Talk(rng, host)
    steps = []
    for number in range(frames):
        action = Wait(rng.choice((20, 60, 100))) if rng.random() < 0.02 else talk.frame()
        steps.append(Step(number, action, Observed()))
    return Scenario(f"mixed {seed}", to_toml(host), tuple(steps), raw=(RAW,), udp=(UDP_PORT,))


def described(rng: Random) -> dict[str, Any]:
    """Return a host; what some part of it cannot do without the other is there as well."""
    devs = DEVS if rng.random() < 0.8 else DEVS[:2]
    links = {dev: _link(rng, dev) for dev in devs}
    routes = [line for line in ROUTES if rng.random() < 0.75] + [line for line in SECOND_TABLE if rng.random() < 0.7]
    routes = [line for line in routes if len(devs) == 3 or "t2" not in line]
    rules = [line for line in RULES if rng.random() < 0.2]
    known = [number for number in STATIONS if rng.random() < 0.7]
    neigh = [f"{NETS[dev]}.{last} lladdr {station(dev, last)} dev {dev}" for dev in devs for last in known]
    neigh += [line for line in PROXIES if rng.random() < 0.2]
    if rng.random() < 0.2:
        routes[:0] = [line for line in RIVALS if "t2" in devs or "t2" not in line]
    host: dict[str, Any] = {"neigh_default": "resolve", "routes": routes, "rules": rules, "neigh": neigh}
    host |= _rarely(rng, devs, links)
    return host | {"sysctl": _knobs(rng, devs), "link": links}


def _rarely(rng: Random, devs: tuple[str, ...], links: dict[str, Any]) -> dict[str, Any]:
    """Return what few hosts have; some of it is a link's."""
    rare: dict[str, Any] = {}
    if rng.random() < 0.1:
        rare["conntrack"] = True
    if rng.random() < 0.2:
        rare["listen"] = [{"proto": "raw", "number": ALERT, "router_alert": True}]
    if rng.random() < 0.1:
        ways, actions = ("fwd", "in", "out"), ("block", "allow")
        taken = rng.sample(POLICIES, 2)
        rare["xfrm"] = [{"dir": rng.choice(ways), "match": one, "action": rng.choice(actions)} for one in taken]
    if rng.random() < 0.1:
        links[devs[-1]]["arp"] = False
    if rng.random() < 0.05:
        links[devs[-1]]["carrier"] = False
    return rare


def _link(rng: Random, dev: str) -> dict[str, Any]:
    addresses = [f"{NETS[dev]}.1/24"] + (["10.0.0.2/24"] if dev == "t0" else [])
    link: dict[str, Any] = {"address": MACS[dev], "mtu": rng.choice((1500, 1500, 1280, 600, 296)), "addr": addresses}
    if rng.random() < 0.4:
        link["groups"] = ["239.1.1.1"]
    return link


def _knobs(rng: Random, devs: tuple[str, ...]) -> dict[str, int]:
    knobs = {
        "net.ipv4.ip_forward": int(rng.random() < 0.8),
        "net.ipv4.fib_multipath_hash_seed": 1 + rng.randrange(99999),
    }
    for name, values in DEVICE_KNOBS.items():
        for dev in ("all", *devs):
            if rng.random() < 0.2:
                knobs[f"net.ipv4.conf.{dev}.{name}"] = rng.choice(values)
    for name, values in HOST_KNOBS.items():
        if rng.random() < 0.25:
            knobs[f"net.ipv4.{name}"] = rng.choice(values)
    retrans, locktime = (120 if rng.random() < 0.08 else 60_000), rng.choice((0, 100))
    for dev in devs:
        knobs[f"net.ipv4.neigh.{dev}.retrans_time_ms"] = retrans
        knobs[f"net.ipv4.neigh.{dev}.locktime"] = locktime
        knobs[f"net.ipv4.neigh.{dev}.mcast_solicit"] = 1 + (retrans < 1000)
    return knobs


def station(dev: str, last: int) -> str:
    return f"02:00:00:00:{DEVS.index(dev) + 0x20:02x}:{last:02x}"


class Talk:
    """What is said on the links of one host, from frame to frame."""

    def __init__(self, rng: Random, host: dict[str, Any]) -> None:
        self._rng = rng
        self._devs = [dev for dev in DEVS if dev in host["link"]]
        self._ident = 0x1000
        self._said: list[bytes] = []
        self._far = rng.sample(FAR, 6)
        self._pieces: list[tuple[str, bytes]] = []
        self._gateways = [words[words.index("via") + 1] for words in map(str.split, host["routes"]) if "via" in words]

    def frame(self) -> Inject:
        rng = self._rng
        if self._pieces and rng.random() < 0.5:
            return Inject(*self._pieces.pop(rng.randrange(len(self._pieces))))
        dev = rng.choice((*self._devs, "t0"))
        if rng.random() < 0.1:
            return Inject(dev, self._arp(dev))
        datagram = rng.choice(self._kinds())(dev)
        self._said.append(datagram)
        if rng.random() < 0.2 and self._in_pieces(dev, datagram):
            return Inject(*self._pieces.pop(rng.randrange(len(self._pieces))))
        if rng.random() < 0.06:
            datagram = self._damaged(datagram)
        return Inject(dev, self._framed(dev, datagram))

    def _kinds(self) -> tuple[Callable[[str], bytes], ...]:
        return (self._packet, self._packet, self._packet, self._echo, self._frag_needed, self._redirect, self._error)

    def _framed(self, dev: str, datagram: bytes) -> bytes:
        rng = self._rng
        to = rng.choice((*(MACS[dev],) * 24, TO_ALL, TO_ALL, "01:00:5e:01:01:01", "02:99:00:00:00:01"))
        last = datagram[15] if len(datagram) > 15 else 5
        tags = [(0x8100, rng.choice((0, 0xE000, 5)))] if rng.random() < 0.03 else []
        return eth(datagram, dst=to, src=station(dev, last), pad_to=rng.choice((0, 0, 60)), tags=tags)

    def _source(self, dev: str) -> str:
        rng = self._rng
        kind = rng.random()
        if kind < 0.75:
            return f"{NETS[dev]}.{rng.choice(STATIONS)}"
        if kind < 0.92:
            return rng.choice((*self._far, *(f"{NETS[other]}.5" for other in self._devs)))
        return rng.choice((*ODD, *OWN))

    def _target(self) -> str:
        rng = self._rng
        kind = rng.random()
        if kind < 0.6:
            return rng.choice(self._far)
        if kind < 0.76:
            return f"{NETS[rng.choice(self._devs)]}.{rng.choice((*STATIONS, 77))}"
        return rng.choice(OWN) if kind < 0.91 else rng.choice(ODD)

    def _header(self) -> dict[str, Any]:
        rng = self._rng
        self._ident += 1
        options = any_options(rng) if rng.random() < 0.14 else b""
        return {
            "ttl": rng.choice((64,) * 12 + (255, 2, 1, 0)),
            "tos": rng.choice((0, 0, 0, 0x10, 0x03, 0x1E, 0xB8, 0xFF)),
            "df": rng.random() < 0.35,
            "reserved": rng.random() < 0.02,
            "ident": self._ident,
            "options": options,
        }

    def _body(self) -> bytes:
        return self._rng.randbytes(self._rng.choice((0, 1, 8, 40, 250, 268, 372, 532, 580, 700, 1240, 1300, 1460)))

    def _packet(self, dev: str) -> bytes:
        rng = self._rng
        src, dst, body = self._source(dev), self._target(), self._body()
        spoilt: dict[str, Any] = {"checksum": rng.choice((0, 0xBAD))} if rng.random() < 0.06 else {}
        dport = rng.choice((UDP_PORT, 53))
        proto, payload = rng.choice((
            (17, udp(body, src=src, dst=dst, sport=rng.choice((UDP_PORT, 9)), dport=dport, **spoilt)),
            (17, udp(body, src=src, dst=dst, dport=dport, **spoilt)),
            (6, tcp(body, src=src, dst=dst, flags=rng.choice((2, 4, 0x10, 0x12)), **spoilt)),
            (rng.choice((RAW, ALERT, 2, 4, 136, 255)), body),
            (136, udplite(body, src=src, dst=dst, **spoilt)),
        ))  # fmt: skip
        if rng.random() < 0.05:
            return ip(
                payload, src=src, dst=dst, proto=proto, **self._header(), mf=True, offset=rng.choice((0, 8, 65528))
            )
        return ip(payload, src=src, dst=dst, proto=proto, **self._header())

    def _echo(self, dev: str) -> bytes:
        rng = self._rng
        kind = rng.choice((8, 8, 8, 8, 13, 42, 0, 14, 15, 200))
        message = icmp(self._body() if kind != 13 else bytes(12), kind=kind, code=rng.choice((0, 0, 0, 1)))
        dst = rng.choice(OWN) if rng.random() < 0.7 else self._target()
        return ip(message, src=self._source(dev), dst=dst, proto=1, **self._header())

    def _quoted(self) -> bytes:
        """Return a packet that an error may be about: one that came by, or one that this host may have sent."""
        rng = self._rng
        if self._said and rng.random() < 0.3:
            return rng.choice(self._said)[: rng.choice((28, 28, 48, 100, 19, 27))]
        proto, payload = rng.choice((
            (1, icmp(kind=0)), (1, icmp(kind=0)), (17, u16(UDP_PORT) + u16(9) + u16(8) + u16(0)), (RAW, bytes(8)),
            (6, bytes(20)), (1, icmp(bytes(20), kind=11)),
        ))  # fmt: skip
        dst = rng.choice(self._far) if rng.random() < 0.7 else self._target()
        return ip(payload, src=rng.choice(OWN), dst=dst, proto=proto, tos=rng.choice((0, 0, 0x10)))

    def _told(self, dev: str, message: bytes, src: str) -> bytes:
        dst = rng_own(self._rng, dev) if self._rng.random() < 0.85 else self._target()
        plain = {"ttl": 64, "ident": self._ident} if self._rng.random() < 0.8 else self._header()
        return ip(message, src=src, dst=dst, proto=1, **plain)

    def _frag_needed(self, dev: str) -> bytes:
        rng = self._rng
        mtu = rng.choice((0, 67, 68, 300, 552, 600, 700, 1000, 1280, 1400, 1500, 9000))
        message = icmp(self._quoted(), kind=3, code=4, rest=u32(mtu))
        return self._told(dev, message, self._source(dev))

    def _redirect(self, dev: str) -> bytes:
        rng = self._rng
        own = [gateway for gateway in self._gateways if gateway.startswith(NETS[dev])]
        src = rng.choice(own) if own and rng.random() < 0.9 else self._source(dev)
        new = f"{NETS[dev]}.{rng.choice((*STATIONS, 77))}" if rng.random() < 0.9 else self._target()
        message = icmp(self._quoted(), kind=5, code=rng.choice((0, 1, 1, 2, 3)), rest=address(new))
        return self._told(dev, message, src)

    def _error(self, dev: str) -> bytes:
        rng = self._rng
        kind, code = rng.choice(((3, 0), (3, 1), (3, 3), (3, 13), (3, 5), (11, 0), (11, 1), (12, 0), (4, 0), (3, 16)))
        rest = u32(rng.choice((0, 0x14000000, 0x05000000)))
        return self._told(dev, icmp(self._quoted(), kind=kind, code=code, rest=rest), self._source(dev))

    def _in_pieces(self, dev: str, datagram: bytes) -> bool:
        """Cut a datagram; its pieces come in any order, some twice, some never, some overlapping."""
        rng = self._rng
        header_bytes = (datagram[0] & 15) * 4
        payload = datagram[header_bytes:]
        if len(payload) < 16 or datagram[6] & 0x3F or datagram[7]:
            return False
        cuts = sorted(rng.sample(range(8, len(payload), 8), min(rng.choice((1, 1, 2, 3)), (len(payload) - 1) // 8)))
        for start, end in zip((0, *cuts), (*cuts, len(payload)), strict=True):
            early = start - 8 if start and rng.random() < 0.06 else start
            late = end + 8 if end < len(payload) and rng.random() < 0.04 else end
            header = self._piece_header(datagram[:header_bytes], early, payload[early:late], late < len(payload))
            if rng.random() < 0.95:
                self._pieces += [(dev, self._framed(dev, header + payload[early:late]))] * rng.choice((1,) * 15 + (2,))
        return bool(self._pieces)

    def _piece_header(self, header: bytes, start: int, piece: bytes, more: bool) -> bytes:
        rng = self._rng
        flags = (header[6] << 8 & 0xC000) | 0x2000 * more | start // 8
        if start and len(header) > 20 and rng.random() < 0.5:
            header = bytes((0x45,)) + header[1:20]
        if rng.random() < 0.1:
            flags ^= 0x4000
        if rng.random() < 0.1:
            header = patched(header, 1, bytes((header[1] & ~3 | rng.randrange(4),)))
        header = patched(patched(header, 2, u16(len(header) + len(piece))), 6, u16(flags))
        return resummed(header)

    def _arp(self, dev: str) -> bytes:
        rng = self._rng
        last = rng.choice((*STATIONS, 77, 77))
        who = f"{NETS[dev]}.{last}" if rng.random() < 0.8 else self._target()
        whom = rng_own(rng, dev) if rng.random() < 0.8 else self._target()
        kind = rng.choice((1, 1, 2, 2, 2))
        sha = station(dev, last)
        if kind == 1 and rng.random() < 0.2:
            whom = who
        body = u16(1) + u16(0x0800) + b"\x06\x04" + u16(kind) + mac(sha) + address(who) + mac(MACS[dev]) + address(whom)
        to = TO_ALL if kind == 1 and rng.random() < 0.7 else rng.choice((MACS[dev], MACS[dev], MACS[dev], TO_ALL))
        return eth(body, dst=to, src=sha, ethertype=0x0806, pad_to=rng.choice((0, 60)))

    def _damaged(self, data: bytes) -> bytes:
        rng = self._rng
        match rng.randrange(5):
            case 0:
                return data[: rng.randrange(len(data) + 1)]
            case 1:
                return data + rng.randbytes(rng.choice((1, 4, 18)))
            case 2:
                return patched(data, rng.randrange(20), rng.randbytes(1))
            case 3:
                return resummed(patched(data[:20], rng.randrange(20), rng.randbytes(1)), 20) + data[20:]
            case _:
                at = rng.randrange(len(data))
                return patched(data, at, rng.randbytes(1))


def rng_own(rng: Random, dev: str) -> str:
    return rng.choice((f"{NETS[dev]}.1",) * 4 + OWN)


def resummed(header: bytes, count: int = 0) -> bytes:
    """Return a header with its checksum put right."""
    header = patched(header, 10, b"\0\0")
    return patched(header, 10, u16(rfc1071(header[: count or len(header)])))
