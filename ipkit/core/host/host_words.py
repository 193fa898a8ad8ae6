"""What a description says of a host, wherever it comes from: single statements, read but not yet put together.

Law: every statement knows its place, so that whoever finds it wrong can say where it stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Generic, NamedTuple, TypeVar

from ipkit.core.host.config import HookAnswer, LinkKind, Listener, Neighbour, PolicyAnswer, Trust
from ipkit.core.host.fib import Rule
from ipkit.core.host.nexthop_words import NexthopWords
from ipkit.core.host.route_columns import RouteColumns
from ipkit.core.host.words import WordError
from ipkit.core.wire.link import ETH_P_8021Q
from ipkit.errors import HostError

T = TypeVar("T")


class Place(NamedTuple):
    """Where something stands."""

    file: str
    key: str

    def error(self, why: object) -> HostError:
        """Return the error that names this place."""
        return HostError(self.file, self.key, str(why))

    def under(self, key: str) -> Place:
        """Return the place of a key inside this one."""
        return Place(self.file, f"{self.key}.{key}" if self.key else key)


@contextmanager
def reading(place: Place) -> Iterator[None]:
    """Let what is wrong with the words of a place be said with the place."""
    try:
        yield
    except WordError as error:
        raise place.error(error) from None


@dataclass(frozen=True, slots=True)
class Said(Generic[T]):
    """Something that was said, and where."""

    place: Place
    value: T


@dataclass(slots=True)
class LinkWords:
    """One link as it is described; None: not said, the usual is meant."""

    name: str
    place: Place
    kind: LinkKind = LinkKind.ETHERNET
    ifindex: int | None = None
    mtu: int | None = None
    address: bytes | None = None
    up: bool = True
    carrier: bool = True
    arp: bool | None = None
    point_to: int | None = None
    addr: list[Said[str]] = field(default_factory=list)
    groups: frozenset[int] = frozenset()
    features: frozenset[str] = frozenset()
    master: str | None = None
    lower: str | None = None
    vlan_id: int = 0
    vlan_protocol: int = ETH_P_8021Q
    vrf_table: int = 0
    group: int = 0


class KnobNames(Enum):
    """What is to be thought of a sysctl that is not modelled."""

    CHECKED = auto()  # a mistake
    DUMPED = auto()  # one of the many that a machine has


class RuleList(Enum):
    """What a list of rules is."""

    ADDED = auto()  # to those that every host has
    WHOLE = auto()  # all there are


@dataclass(slots=True)
class HostWords:
    """Everything that a description says."""

    file: str
    routes: RouteColumns
    route_place: Callable[[int], Place]
    links: list[LinkWords] = field(default_factory=list)
    settings: list[Said[tuple[str, object]]] = field(default_factory=list)
    rules: list[Said[Rule]] = field(default_factory=list)
    neighbours: list[Said[Neighbour]] = field(default_factory=list)
    nexthops: list[Said[NexthopWords]] = field(default_factory=list)
    listeners: list[Said[Listener]] = field(default_factory=list)
    hooks: list[Said[HookAnswer]] = field(default_factory=list)
    policies: list[Said[PolicyAnswer]] = field(default_factory=list)
    neigh_default: str = "assume"
    conntrack: bool = False
    trust: Trust = Trust.JUDGED
    knob_names: KnobNames = KnobNames.CHECKED
    rule_list: RuleList = RuleList.ADDED
