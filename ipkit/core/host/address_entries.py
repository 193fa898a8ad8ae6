"""What the addresses of all links put into the tables, before any route is added.

Law: what one address brings is addresses.py's to say; here it meets what others brought before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from ipkit.core.host.addresses import Ground, entries_of
from ipkit.core.host.config import Address, Trust
from ipkit.core.host.fib import FibEntry
from ipkit.core.host.fib_draft import identity
from ipkit.core.host.kernel import KernelProfile, NetworkAddress
from ipkit.core.host.route_check import Surroundings, prefsrc_is_local

Added = Mapping[str, Iterable[Address]]
"""The addresses of each link in the order in which they were added."""


def add_addresses(around: Surroundings, added: Added) -> None:
    """Put the entries of all addresses into the draft's tables."""
    draft = around.draft
    for entry in _entries(around, added, around.kernel):
        # An address that is another link's broadcast address cannot be a source: what needs it does not come about.
        if identity(entry) not in draft.equals(entry) and prefsrc_is_local(entry, around):
            draft.add(entry)


def made_elsewhere(around: Surroundings, added: Added) -> frozenset[FibEntry]:
    """Return what the addresses would bring besides on a kernel that has broadcast entries for networks."""
    elsewhere = replace(around.kernel, network_address=NetworkAddress.BROADCAST)
    here = {identity(entry) for entry in _entries(around, added, around.kernel)}
    return frozenset(identity(entry) for entry in _entries(around, added, elsewhere)) - here


def _entries(around: Surroundings, added: Added, kernel: KernelProfile) -> Iterator[FibEntry]:
    """Yield what the addresses bring; where a kernel took the routes, its links were up then."""
    was_up = around.trust is Trust.ACCEPTED
    for name, link in around.links.items():
        state = replace(link, up=link.up or was_up)
        yield from entries_of(state, added[name], Ground(kernel, around.l3mdev_table(name)))
