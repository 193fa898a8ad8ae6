"""What an address does to its link and to the tables: devinet.

Law: addresses of one link come in one after the other, as `ip addr add` brings them; the list that results is the
order in which the kernel searches a source. No route of the user's is known here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from ipkit.core.host.address_words import LONGEST_WITH_BROADCAST
from ipkit.core.host.config import Address, Link, LinkKind
from ipkit.core.host.fib import (
    SCOPE_HOST,
    SCOPE_LINK,
    SCOPE_NOWHERE,
    TABLE_LOCAL,
    TABLE_MAIN,
    FibEntry,
    NextHop,
    NextHopFlag,
    RouteType,
)
from ipkit.core.host.kernel import KernelProfile, NetworkAddress, ZeroNet
from ipkit.core.host.words import ALL_ONES, MAX_LENGTH, WordError, mask
from ipkit.core.wire.ipv4 import address_text

LOOPBACK: Final = Address(local=0x7F000001, prefix_len=8, peer=0x7F000001, scope=SCOPE_HOST)
ZERONET_OCTET: Final = 24


Subnet = tuple[int, int]
"""Network and prefix length: what makes a second address of a link secondary."""


def subnet(address: Address) -> Subnet:
    """Return the prefix that an address connects."""
    return address.peer & mask(address.prefix_len), address.prefix_len


class AddressList:
    """The addresses of one link while they come in."""

    def __init__(self) -> None:
        self._primary: dict[Subnet, Address] = {}
        self._locals: set[tuple[Subnet, int]] = set()
        self.as_added: list[Address] = []

    def inet_insert_ifa(self, new: Address) -> None:
        """Take one more address: secondary where its subnet is there already.

        Kernel: net/ipv4/devinet.c
        """
        place = subnet(new)
        if (place, new.local) in self._locals:
            raise WordError(f"the link has the address {address_text(new.local)} already")
        self._locals.add((place, new.local))
        first = self._primary.setdefault(place, new)
        if first.scope != new.scope:
            raise WordError(f"another scope than that of {address_text(first.local)}, which is of the same subnet")
        self.as_added.append(new if first is new else replace(new, secondary=True))

    def in_order(self) -> tuple[Address, ...]:
        """Return the kernel's list: narrow scopes first, equal ones as they came, secondary addresses last."""
        return tuple(sorted(self.as_added, key=lambda one: (one.secondary, 0 if one.secondary else -one.scope)))


@dataclass(frozen=True, slots=True)
class Ground:
    """What the entries of a link's addresses depend on besides the addresses."""

    kernel: KernelProfile
    l3mdev_table: int = 0  # of the VRF that the link is or belongs to


def entries_of(link: Link, addresses: Iterable[Address], ground: Ground) -> Iterator[FibEntry]:
    """Yield what the addresses of a link bring, in the order in which they were added."""
    primary = {subnet(address): address for address in link.addresses if not address.secondary}
    for address in addresses:
        yield from fib_add_ifaddr(link, address, primary[subnet(address)], ground)


def fib_add_ifaddr(link: Link, address: Address, primary: Address, ground: Ground) -> Iterator[FibEntry]:
    """Yield the entries that one address brings; `primary` is the first of its subnet, perhaps itself.

    Kernel: net/ipv4/fib_frontend.c
    """
    prefix, bits = address.peer & mask(address.prefix_len), mask(address.prefix_len)
    yield _fib_magic(link, RouteType.LOCAL, (address.local, MAX_LENGTH), primary, ground)
    if not link.up:
        return
    if address.broadcast not in (None, 0, ALL_ONES):
        yield _fib_magic(link, RouteType.BROADCAST, (address.broadcast or 0, MAX_LENGTH), primary, ground)
    if address.secondary or _is_zeronet(prefix, ground.kernel):
        return
    if address.prefix_len == MAX_LENGTH and prefix == address.local:
        return
    if not address.noprefixroute:
        kind = RouteType.LOCAL if link.kind is LinkKind.LOOPBACK else RouteType.UNICAST
        entry = _fib_magic(link, kind, (prefix, address.prefix_len), primary, ground)
        yield replace(entry, priority=address.metric)
    if address.prefix_len <= LONGEST_WITH_BROADCAST:
        if ground.kernel.network_address is NetworkAddress.BROADCAST:
            yield _fib_magic(link, RouteType.BROADCAST, (prefix, MAX_LENGTH), primary, ground)
        yield _fib_magic(link, RouteType.BROADCAST, (prefix | ~bits & ALL_ONES, MAX_LENGTH), primary, ground)


def _is_zeronet(prefix: int, kernel: KernelProfile) -> bool:
    return prefix == 0 or (kernel.zeronet is ZeroNet.WHOLE_PREFIX and prefix >> ZERONET_OCTET == 0)


def _fib_magic(link: Link, kind: RouteType, destination: tuple[int, int], primary: Address, ground: Ground) -> FibEntry:
    """Return an entry as the kernel makes it for itself."""
    local = kind is RouteType.LOCAL
    flags = NextHopFlag.NONE if local or link.carrier else NextHopFlag.LINKDOWN
    hop = NextHop(link.name, scope=SCOPE_NOWHERE if local else SCOPE_HOST, flags=flags)
    return FibEntry(
        *destination,
        table=ground.l3mdev_table or (TABLE_MAIN if kind is RouteType.UNICAST else TABLE_LOCAL),
        type=kind,
        nexthops=(hop,),
        scope=SCOPE_HOST if local else SCOPE_LINK,
        protocol="kernel",
        prefsrc=primary.local,
    )
