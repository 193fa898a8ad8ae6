"""Seeded hosts and lookups: small worlds in which prefixes nest, collide, lose and fall through.

Law: a seed decides everything. A host is a mapping of the shape of a host file; what of it the kernel refuses is
taken out by the test, and is then a line that the model must refuse as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from random import Random
from typing import Any, Final

from tests.kernel.lookups import Lookup

NETWORKS: Final = (
    "10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.128/25", "10.1.2.192/26", "10.1.2.200/30", "10.1.2.202/31",
    "192.0.2.0/24", "192.0.2.128/25", "198.51.100.0/24", "198.51.100.0/30", "172.16.0.0/12", "203.0.113.0/24",
    "100.64.0.0/10", "240.0.1.0/24", "0.1.2.0/24", "169.254.0.0/16",
)  # fmt: skip
SPECIAL: Final = (
    "0.0.0.0", "0.1.2.3", "127.0.0.1", "127.9.9.9", "127.255.255.255", "255.255.255.255", "255.255.255.254",
    "224.0.0.1", "224.0.0.5", "224.0.0.251", "239.1.2.3", "240.0.0.1", "169.254.1.1", "8.8.8.8",
)  # fmt: skip
TABLES: Final = (100, 101, 102, 103)
DSFIELDS: Final = (0x04, 0x08, 0x0C, 0x10, 0x18, 0x1C, 0x20, 0x28, 0x30, 0x50, 0xB8, 0xC0, 0xFC)
ROUTE_TOS: Final = (0x04, 0x08, 0x0C, 0x10, 0x14, 0x18, 0x1C)


@dataclass(frozen=True)
class LookupCase:
    """A host and what is asked of it."""

    seed: int
    host: dict[str, Any]
    lookups: tuple[Lookup, ...]


def lookup_case(seed: int, count: int = 100) -> LookupCase:
    """Return the host and the lookups of a seed."""
    world = _World(Random(seed))
    return LookupCase(seed, world.host, tuple(world.lookups(count)))


class _World:
    """One host in the making, and the places in it worth asking about."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.devs = [f"eth{number}" for number in range(rng.randint(1, 4))]
        self.places: list[str] = []  # prefixes and addresses that mean something to this host
        self.own: list[str] = []
        self.groups: list[str] = []
        self.objects_used: set[str] = set()
        self.subnets: dict[str, list[IPv4Network]] = {dev: [] for dev in self.devs}
        self.links = {dev: self._link(dev) for dev in self.devs}
        if self.often(0.2):
            self.links["lo"] = {"addr": [f"{self._own('10.255.0.1')}/32"]}
        self.hops = self._nexthops() if self.often(0.25) else []
        routes = sorted((self._route() for _ in range(rng.randint(0, 24))), key=_breadth)
        rules = [self._rule(700 + at) for at in range(rng.randint(1, 7))] if self.often(0.5) else []
        neigh = dict(self._neighbour() for _ in range(rng.randint(1, 4))) if self.often(0.3) and self._wired else {}
        self.host: dict[str, Any] = {
            "routes": routes,
            "rules": rules,
            "nexthops": self.hops,
            "neigh": [*neigh.values()],
        }
        self.host = {key: lines for key, lines in self.host.items() if lines}
        self.host |= {"sysctl": self._sysctls(), "link": self.links}

    def often(self, share: float) -> bool:
        return self.rng.random() < share

    def _own(self, address: str) -> str:
        self.own.append(address)
        self.places.append(address)
        return address

    # Links

    def _link(self, dev: str) -> dict[str, Any]:
        number = self.devs.index(dev) + 1
        link: dict[str, Any] = {"address": f"02:00:00:00:{number:02x}:01"}
        if self.often(0.06):
            link = {"pointopoint": self.rng.choice((True, "10.1.2.201", "203.0.113.9"))}
        if self.often(0.5):
            link["mtu"] = self.rng.choice((68, 576, 1280, 1400, 9000))
        if self.often(0.08):
            link["up"] = False
        elif self.often(0.12):
            link["carrier"] = False
        if self.often(0.05):
            link["arp"] = False
        link["addr"] = [self._address(dev) for _ in range(self.rng.choice((0, 1, 1, 1, 2, 2, 3, 4)))]
        if self.often(0.2):
            link["groups"] = self.rng.sample(("224.0.0.5", "224.0.0.251", "239.1.2.3"), self.rng.randint(1, 2))
            self.groups += link["groups"]
        return link

    def _address(self, dev: str) -> str:
        known = [net for nets in self.subnets.values() for net in nets]
        net = self.rng.choice(known) if known and self.often(0.3) else IPv4Network(self.rng.choice(NETWORKS))
        local = str(self._inside(net))
        if self.often(0.08):
            peer = self._inside(net)
            text = f"{self._own(local)} peer {peer}/{self.rng.choice((24, 30, 31, 32))}"
            self.places.append(str(peer))
        else:
            length = self.rng.choice((net.prefixlen, net.prefixlen, net.prefixlen, 8, 16, 24, 25, 30, 31, 32))
            text = f"{self._own(local)}/{length}"
            self.subnets[dev].append(IPv4Network(f"{local}/{length}", strict=False))
        self.places.append(str(net))
        words = [
            (0.1, f"broadcast {self._inside(net)}"), (0.1, "broadcast +"), (0.08, "scope link"), (0.04, "scope host"),
            (0.03, "scope site"), (0.06, "noprefixroute"), (0.06, f"metric {self.rng.choice((10, 50, 200))}"),
        ]  # fmt: skip
        taken = [word for share, word in words if self.often(share)]
        if len([word for word in taken if word.startswith("broadcast")]) == 2:
            taken.remove("broadcast +")
        if len([word for word in taken if word.startswith("scope")]) > 1:
            taken = [word for word in taken if not word.startswith("scope")]
        return " ".join([text, *taken])

    def _inside(self, net: IPv4Network) -> IPv4Address:
        """Return an address of a network, near its ends more often than not."""
        size = net.num_addresses
        place = self.rng.choice((0, 1, 2, size // 2, size // 2 - 1, size - 2, size - 1, self.rng.randrange(size)))
        found = net[min(max(place, 0), size - 1)]
        return found if int(found) else found + 1

    # Routes

    def _way(self) -> str:
        """Return words for a way out: a gateway that is likely on a link, a device, or both."""
        dev = self.rng.choice(self.devs)
        if self.often(0.3):
            return f"dev {dev}"
        nets = self.subnets[dev] or [IPv4Network(self.rng.choice(NETWORKS))]
        gateway = self._inside(self.rng.choice(nets))
        onlink = " onlink" if self.often(0.08) else ""
        return f"via {gateway} dev {dev}{onlink}" if self.often(0.7) else f"via {gateway}"

    def _nexthops(self) -> list[str]:
        """Return objects: single ways first, then perhaps a blackhole and a group over those."""
        ways = self.rng.randint(1, 4)
        objects = [f"id {number} {self._way()}" for number in range(1, ways + 1)]
        if self.often(0.2):
            objects.append(f"id {len(objects) + 1} blackhole")
        if self.often(0.5):
            members = self.rng.sample(range(1, ways + 1), self.rng.randint(1, ways))
            group = "/".join(f"{member},{self.rng.randint(1, 4)}" for member in members)
            objects.append(f"id {len(objects) + 1} group {group}")
        return objects

    @property
    def _wired(self) -> list[str]:
        return [dev for dev, link in self.links.items() if dev != "lo" and "pointopoint" not in link]

    def _neighbour(self) -> tuple[tuple[str, str], str]:
        """Return a neighbour, and what makes it the only one of its kind."""
        dev = self.rng.choice(self._wired)
        nets = self.subnets[dev] or [IPv4Network("192.0.2.0/24")]
        state = "nud failed" if self.often(0.3) else "lladdr 02:00:00:00:09:01"
        address = str(self._inside(self.rng.choice(nets)))
        return (address, dev), f"{address} {state} dev {dev}"

    def _route(self) -> str:
        prefix = self._prefix()
        self.places.append(prefix)
        kind = self.rng.choices(
            ("unicast", "blackhole", "unreachable", "prohibit", "throw", "local", "broadcast", "multicast"),
            (80, 4, 5, 4, 5, *((0, 0, 0) if self.hops else (3, 2, 1))),
        )[0]
        if kind in ("blackhole", "unreachable", "prohibit", "throw"):
            words = [kind, prefix]
        elif kind == "local":
            words = [kind, prefix, f"dev {self.rng.choice(('lo', *self.devs))}"]
        elif kind in ("broadcast", "multicast"):
            words = [kind, prefix, f"dev {self.rng.choice(self.devs)}"]
        else:
            way = self._unicast()
            extras = [*self._route_extras(kind), *self._metrics(way)]
            return " ".join([prefix, *extras, way])  # before `nexthop`, or they would be the next hop's
        return " ".join([*words, *self._route_extras(kind)])

    def _unicast(self) -> str:
        if self.hops and self.often(0.4):
            return f"nhid {self.rng.randint(1, len(self.hops))}"
        if self.often(0.15):
            ways = (f"nexthop {self._way()} weight {self.rng.randint(1, 5)}" for _ in range(self.rng.randint(2, 4)))
            return " ".join(ways)
        return self._way()

    def _route_extras(self, kind: str) -> list[str]:
        words = [
            (0.15, f"metric {self.rng.choice((0, 1, 50, 100))}"), (0.25, f"table {self.rng.choice(TABLES)}"),
            (0.1, f"tos {self.rng.choice(ROUTE_TOS):#x}"),
        ]  # fmt: skip
        if kind == "unicast":
            words.append((0.06, f"scope {self.rng.choice(('link', 'host', 'global'))}"))
        if self.own and kind in ("unicast", "local"):
            words.append((0.15, f"src {self.rng.choice(self.own)}"))
        return [word for share, word in words if self.often(share)]

    def _metrics(self, way: str) -> list[str]:
        """Return metrics for a way.

        Only the first route by a nexthop object may have some. A later one without shares those of an earlier one;
        of which, where there are several, is a matter of the kernel's hash chains.
        """
        if way in self.objects_used:
            return []
        self.objects_used |= {way} if way.startswith("nhid") else set()
        mtu = self.rng.choice(("", "", "", "", "", "mtu 552", "mtu 1000", "mtu 1300", "mtu 1400", "mtu lock 900"))
        others = [word for word in ("advmss 1200", "hoplimit 33") if self.often(0.05)]
        return [mtu, *others] if mtu else others

    def _prefix(self) -> str:
        match self.rng.randrange(8):
            case 0:
                return "default"
            case 1 if self.places:
                return self.rng.choice(self.places)
            case 2:
                return self.rng.choice(("0.0.0.0/1", "128.0.0.0/1", "224.0.0.0/4", "239.0.0.0/8", "255.255.255.255"))
            case 3 if self.own:
                length = self.rng.randint(8, 32)
                return str(IPv4Network(f"{self.rng.choice(self.own)}/{length}", strict=False))
            case _:
                return self.rng.choice(NETWORKS)

    # Rules

    def _rule(self, own_pref: int) -> str:
        selectors = [
            (0.35, f"from {self._selected_prefix()}"), (0.25, f"to {self._selected_prefix()}"),
            (0.15, f"iif {self.rng.choice(('lo', *self.devs, 'nosuch0'))}"), (0.1, f"oif {self.rng.choice(self.devs)}"),
            (0.12, f"tos {self.rng.choice(ROUTE_TOS):#x}"),
            (0.15, f"fwmark {self.rng.choice(('0x5', '0x4/0xc', '0/0x1'))}"),
            (0.12, f"ipproto {self.rng.choice(('udp', 'tcp', 'icmp', '47'))}"),
            (0.1, f"sport {self.rng.choice(('53', '1000-2000'))}"),
            (0.12, f"dport {self.rng.choice(('53', '80', '50-60'))}"),
            (0.04, f"uidrange {self.rng.choice(('0-0', '1000-2000'))}"),
        ]  # fmt: skip
        words = [word for share, word in selectors if self.often(share)] or ["from all"]
        if self.often(0.12):
            words.insert(0, "not")
        action = self.rng.choices(
            (
                f"lookup {self.rng.choice((*TABLES, 'main', 'local', 'default', 999))}",
                f"lookup {self.rng.choice((*TABLES, 'main'))} suppress_prefixlength {self.rng.choice((0, 8, 24))}",
                f"goto {self.rng.choice((500, 32766, 32767, 600))}",
                "nop", "blackhole", "unreachable", "prohibit",
            ),
            (70, 8, 6, 2, 3, 4, 3),
        )[0]  # fmt: skip
        if "suppress" in action:  # two of one pref and table that differ in this alone are hard to tell apart
            return " ".join([*words, action, f"pref {own_pref}"])
        pref = f"pref {self.rng.choice((10, 100, 100, 200, 300, 500, 600, 32766, 40000))}" if self.often(0.75) else ""
        return " ".join(filter(None, [*words, action, pref]))

    def _selected_prefix(self) -> str:
        return self.rng.choice([*self.places, *NETWORKS, "all"])

    # Knobs

    def _sysctls(self) -> dict[str, int]:
        chance = self.rng.choice
        wanted: list[tuple[float, str, int]] = [
            (0.75, "ip_forward", 1), (0.3, "conf.all.rp_filter", chance((0, 1, 2))),
            (0.12, "conf.all.accept_local", 1), (0.12, "conf.all.route_localnet", 1),
            (0.15, "conf.all.ignore_routes_with_linkdown", 1), (0.1, "conf.all.bc_forwarding", 1),
            (0.15, "conf.all.send_redirects", 0), (0.15, "conf.all.shared_media", 0),
        ]  # fmt: skip
        for dev in self.devs:
            wanted += [
                (0.1, f"conf.{dev}.forwarding", chance((0, 1))), (0.2, f"conf.{dev}.rp_filter", chance((0, 1, 2))),
                (0.08, f"conf.{dev}.accept_local", 1), (0.08, f"conf.{dev}.route_localnet", 1),
                (0.1, f"conf.{dev}.ignore_routes_with_linkdown", 1), (0.15, f"conf.{dev}.bc_forwarding", 1),
                (0.15, f"conf.{dev}.send_redirects", 0), (0.15, f"conf.{dev}.shared_media", 0),
            ]  # fmt: skip
        wanted += [
            (1.0, "fib_multipath_hash_seed", self.rng.randint(1, 0xFFFFFFFF)),
            (0.6, "fib_multipath_hash_policy", chance((0, 1, 2, 3))),
            (0.2, "fib_multipath_hash_fields", self.rng.randint(1, 63)),
            (0.1, "fib_multipath_use_neigh", 1),
        ]
        return {f"net.ipv4.{name}": value for share, name, value in wanted if self.often(share)}

    # Questions

    def lookups(self, count: int) -> Iterator[Lookup]:
        for _ in range(count):
            yield self._input() if self.often(0.5) else self._output()

    def _interesting(self) -> str:
        """Return an address near something this host knows: an end of a prefix, a neighbour of an address."""
        if self.often(0.2):
            return self.rng.choice((*SPECIAL, *self.groups))
        place = self.rng.choice([*self.places, *NETWORKS])
        if place == "default":
            return "8.8.4.4"
        net = IPv4Network(place)
        near = int(self._inside(net)) + (self.rng.choice((-1, 0, 0, 0, 1)) if net.prefixlen < 32 else 0)
        return str(IPv4Address(min(max(near, 0), 0xFFFFFFFF)))

    def _extras(self) -> dict[str, Any]:
        extras: dict[str, Any] = {}
        if self.often(0.2):
            extras["tos"] = self.rng.choice(DSFIELDS)
        if self.often(0.2):
            extras["mark"] = self.rng.choice((1, 4, 5, 12, 0x105))
        if self.often(0.3):
            extras["ipproto"] = self.rng.choice(("udp", "tcp", "icmp"))
            if extras["ipproto"] != "icmp":
                extras["sport"] = self.rng.choice((53, 1000, 1500, 4000))
                extras["dport"] = self.rng.choice((53, 55, 80, 443))
        return extras

    def _output(self) -> Lookup:
        src = self.rng.choice((*self.own, self._interesting())) if self.often(0.35) else None
        oif = self.rng.choice((*self.devs, "lo")) if self.often(0.25) else None
        return Lookup(self._interesting(), src, None, oif, **self._extras(), fibmatch=int(self.often(0.05)))

    def _input(self) -> Lookup:
        src = self._interesting() if self.often(0.6) else self._source_on_a_link()
        return Lookup(
            self._interesting(), src, self.rng.choice(self.devs), **self._extras(), fibmatch=int(self.often(0.03))
        )

    def _source_on_a_link(self) -> str:
        nets = [net for nets in self.subnets.values() for net in nets if net.prefixlen < 31]
        return str(self._inside(self.rng.choice(nets))) if nets else "192.0.2.77"


def _breadth(route: str) -> int:
    """Return the scope of a route, narrow ones first: in a host file that is the order whatever the lines' own is."""
    words = route.split()
    if words[0] == "local" or "scope host" in route:
        return -2
    return -1 if words[0] in ("broadcast", "multicast") or not {"via", "nexthop", "nhid", "scope"} & set(words) else 0
