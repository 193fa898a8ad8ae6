"""Which links a host has, from what was said of each: the usual where nothing was said, and how they stand together.

Law: no table, no sysctl; the addresses are read here, what they bring to the tables is addresses.py's business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from ipkit.core.host.address_words import read_address
from ipkit.core.host.addresses import LOOPBACK, AddressList
from ipkit.core.host.config import Address, Link, LinkKind
from ipkit.core.host.host_words import LinkWords, Place, reading
from ipkit.core.host.words import WordError

LOOPBACK_MTU: Final = 65536
USUAL_MTU: Final = 1500
LONGEST_NAME: Final = 15
ALL_HOSTS: Final = 0xE0000001
"""224.0.0.1: joined on every link that is up."""

WITHOUT_ARP: Final = frozenset({LinkKind.LOOPBACK, LinkKind.POINTOPOINT, LinkKind.VRF})


class Taken(NamedTuple):
    """A link, and its addresses in the order in which they were added."""

    link: Link
    added: tuple[Address, ...]


def take_links(said: Sequence[LinkWords], file: str) -> dict[str, Taken]:
    """Return the links by name, in the order of their indexes; the loopback device is always there."""
    for link in said:
        _check_name(link.name, link.place)
    words = {link.name: link for link in said}
    words.setdefault("lo", LinkWords("lo", Place(file, "link.lo"), LinkKind.LOOPBACK))
    indexes = _indexes(words)
    _check_vlans(words)
    _check_masters(words)
    made: dict[str, Taken] = {}
    for name in sorted(words, key=lambda name: len(_below(words[name], words))):  # a VLAN link after what it stands on
        made[name] = _link(words[name], indexes[name], made)
    return {name: made[name] for name in sorted(made, key=lambda name: indexes[name])}


def _check_name(name: str, place: Place) -> None:
    if not name.isprintable() or not 0 < len(name.encode()) <= LONGEST_NAME or name in (".", "..", "all", "default"):
        raise place.error("not a name for a link: 1 to 15 bytes, and not all or default")
    if any(sign.isspace() or sign in "/:" for sign in name):
        raise place.error("not a name for a link: it has a blank, a slash or a colon in it")


def _indexes(words: Mapping[str, LinkWords]) -> dict[str, int]:
    """Give every link an index: its own, or the next free one in the order of the file."""
    indexes = {"lo": words["lo"].ifindex or 1}
    taken = {link.ifindex: link.name for link in words.values() if link.ifindex}
    for name, link in words.items():
        if link.ifindex and taken[link.ifindex] != name:
            raise link.place.under("ifindex").error(f"{taken[link.ifindex]} has {link.ifindex} already")
    if taken.setdefault(indexes["lo"], "lo") != "lo":
        raise words[taken[1]].place.under("ifindex").error("1 is the index of lo")
    following = 1
    for name, link in words.items():
        if name in indexes:
            continue
        index = link.ifindex
        while index is None:
            following += 1
            index = following if following not in taken else None
        indexes[name] = index
    return indexes


def _below(link: LinkWords, words: Mapping[str, LinkWords]) -> set[str]:
    """Return what a VLAN link stands on, down to the card."""
    below: set[str] = set()
    while link.lower is not None:
        if link.lower in below or link.lower not in words:
            break
        below.add(link.lower)
        link = words[link.lower]
    return below


def _check_vlans(words: Mapping[str, LinkWords]) -> None:
    seen: dict[tuple[str, int, int], str] = {}
    for link in words.values():
        if link.lower is None:
            continue
        if link.lower not in words:
            raise link.place.under("link").error(f"there is no link {link.lower}")
        if words[link.lower].kind not in (LinkKind.ETHERNET, LinkKind.VLAN):
            raise link.place.under("link").error(f"no VLAN can stand on {link.lower}")
        if link.name in _below(link, words):
            raise link.place.under("link").error("the link stands on itself")
        other = seen.setdefault((link.lower, link.vlan_protocol, link.vlan_id), link.name)
        if other != link.name:
            raise link.place.under("id").error(f"{other} is VLAN {link.vlan_id} of {link.lower} already")


def _check_masters(words: Mapping[str, LinkWords]) -> None:
    tables: dict[int, str] = {}
    for link in words.values():
        if link.kind is LinkKind.VRF and tables.setdefault(link.vrf_table, link.name) != link.name:
            raise link.place.under("table").error(f"{tables[link.vrf_table]} has table {link.vrf_table} already")
        if link.master is None:
            continue
        if link.master not in words:
            raise link.place.under("master").error(f"there is no link {link.master}")
        if words[link.master].kind is not LinkKind.VRF:
            raise link.place.under("master").error(f"{link.master} is not of kind vrf")


def usual_mtu(kind: LinkKind, lower: Link | None) -> int:
    """Return the MTU of a link that names none."""
    if kind is LinkKind.LOOPBACK:
        return LOOPBACK_MTU
    return lower.mtu if lower else USUAL_MTU


def _link(words: LinkWords, ifindex: int, made: Mapping[str, Taken]) -> Taken:
    lower = made[words.lower].link if words.lower else None
    addresses = _addresses(words)
    up = words.up and (lower is None or lower.up)
    link = Link(
        name=words.name,
        ifindex=ifindex,
        kind=words.kind,
        mtu=words.mtu if words.mtu is not None else usual_mtu(words.kind, lower),
        address=words.address or (lower.address if lower else None),
        up=up,
        carrier=words.carrier and (lower is None or lower.carrier),
        arp=words.arp if words.arp is not None else words.kind not in WITHOUT_ARP,
        groups=words.groups | {ALL_HOSTS} if up else words.groups,
        features=words.features,
        master=words.master,
        lower=words.lower,
        vlan_id=words.vlan_id,
        vlan_protocol=words.vlan_protocol,
        vrf_table=words.vrf_table,
        group=words.group,
        addresses=addresses.in_order(),
    )
    return Taken(link, tuple(addresses.as_added))


def _addresses(words: LinkWords) -> AddressList:
    found = AddressList()
    read = []
    for line in words.addr:
        with reading(line.place):
            read.append((line.place, read_address(line.value, words.name, words.point_to)))
    has_loopback = any(address.local == LOOPBACK.local for _, address in read)
    if words.kind is LinkKind.LOOPBACK and words.up and not has_loopback:
        found.inet_insert_ifa(LOOPBACK)
    for place, address in read:
        with reading(place):
            found.inet_insert_ifa(address)
    return found


def check_device(name: str, links: Mapping[str, Link]) -> None:
    """Refuse a name that no link has."""
    if name not in links:
        raise WordError(f"there is no link {name}")
