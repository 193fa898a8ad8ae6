"""A host file as it is written: which keys there are, and what type and range their values have.

Law: knows the file and nothing of routing; whether statements fit together is judged in assemble.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeVar

from ipkit.core.host.config import HookAnswer, LinkKind, Listener, PolicyAnswer, Trust
from ipkit.core.host.host_words import HostWords, LinkWords, Place, RuleList, Said, reading
from ipkit.core.host.match import Match, read_match
from ipkit.core.host.neigh_words import read_neighbour
from ipkit.core.host.nexthop_words import read_nexthop
from ipkit.core.host.route_columns import RouteColumns, RowError
from ipkit.core.host.route_words import Form
from ipkit.core.host.rule_words import read_rule
from ipkit.core.host.section import Section
from ipkit.core.host.words import ALL_ONES, TABLES, WordError, address, link_address
from ipkit.core.wire.ipv4 import PROTO_TCP, PROTO_UDP
from ipkit.core.wire.link import ETH_P_8021Q, TAG_PROTOCOLS

T = TypeVar("T")

TOP_LEVEL: Final = ("routes", "rules", "neigh", "nexthops", "conntrack", "neigh_default", "default_rules", "accepted")
FEATURES: Final = ("sg", "hw_csum", "ip_csum")
HOOK_POINTS: Final = ("PRE_ROUTING", "LOCAL_IN", "FORWARD", "LOCAL_OUT", "POST_ROUTING")
HOOK_VERDICTS: Final = ("drop", "accept", "stolen")
POLICY_DIRECTIONS: Final = ("in", "fwd", "out")
POLICY_ACTIONS: Final = ("block", "allow")
LISTENERS: Final[Mapping[str, int | None]] = {"udp": PROTO_UDP, "tcp": PROTO_TCP, "raw": None}
TAGS: Final = {name: number for number, name in TAG_PROTOCOLS.items()}
USUAL_TAG: Final = TAG_PROTOCOLS[ETH_P_8021Q]
KEYS_OF_KINDS: Final = (
    *((key, LinkKind.VLAN) for key in ("link", "id", "protocol")),
    ("table", LinkKind.VRF),
)
KINDS: Final = {"ethernet": LinkKind.ETHERNET, "vlan": LinkKind.VLAN, "vrf": LinkKind.VRF}
MTUS: Final = {Trust.JUDGED: (68, 65575), Trust.ACCEPTED: (0, (1 << 31) - 1)}
"""From what carries IPv4 to what a VRF has; what a machine had, it had."""

LARGEST_VLAN_ID: Final = 4094
MULTICAST: Final = 0xE


def read_document(description: Mapping[str, object], file: str) -> HostWords:
    """Return what a parsed host file says."""
    top = Section(Place(file, ""), description)
    routes, places = _routes(top)
    said = HostWords(
        file,
        routes,
        lambda row: places[row - 1],
        rules=_read_lines(top, "rules", lambda text: read_rule(text, TABLES)),
        neighbours=_read_lines(top, "neigh", read_neighbour),
        nexthops=_read_lines(top, "nexthops", read_nexthop),
        neigh_default=top.one_of("neigh_default", ("assume", "resolve"), "assume"),
        trust=Trust.ACCEPTED if top.take("accepted", bool, default=False) else Trust.JUDGED,
        conntrack=top.take("conntrack", bool, default=False),
        rule_list=RuleList.ADDED if top.take("default_rules", bool, default=True) else RuleList.WHOLE,
    )
    said.settings = list(_settings(top.at("sysctl"), top.take("sysctl", dict, {})))
    said.links = [_link(name, section, said.trust) for name, section in top.named_sections("link")]
    said.listeners = [_listener(section) for section in top.sections("listen")]
    said.hooks = [_hook(section) for section in top.sections("hook")]
    said.policies = [_policy(section) for section in top.sections("xfrm")]
    top.finish()
    return said


def _routes(top: Section) -> tuple[RouteColumns, list[Place]]:
    columns, lines = RouteColumns(TABLES, Form.TYPED), top.lines("routes")
    places = [line.place for line in lines]
    try:
        columns.read_lines(line.value for line in lines)
    except RowError as error:
        raise places[error.row - 1].error(error) from None
    return columns, places


def _read_lines(top: Section, key: str, read: Callable[[str], T]) -> list[Said[T]]:
    found = []
    for line in top.lines(key):
        if line.value:
            with reading(line.place):
                found.append(Said(line.place, read(line.value)))
    return found


def _settings(place: Place, table: Mapping[str, object], before: str = "") -> Iterator[Said[tuple[str, object]]]:
    """Yield settings; a name written without quotes has become tables inside tables."""
    for key, value in table.items():
        name = f"{before}{key}"
        if isinstance(value, dict):
            yield from _settings(place, value, f"{name}.")
        else:
            yield Said(Place(place.file, name), (name, value))


def _link(name: str, section: Section, trust: Trust) -> LinkWords:
    link = LinkWords(name, section.place)
    link.kind = _kind(name, section)
    if "pointopoint" in section:
        _point_to_point(link, section)
    _kind_keys(link, section)
    link.ifindex = section.bounded("ifindex", 1, (1 << 31) - 1) if "ifindex" in section else None
    link.mtu = section.bounded("mtu", *MTUS[trust]) if "mtu" in section else None
    link.address = _mac(section)
    link.up = section.take("up", bool, default=True)
    link.carrier = section.take("carrier", bool, default=True)
    link.arp = section.take("arp", bool, default=True) if "arp" in section else None
    link.addr = section.lines("addr")
    link.groups = frozenset(_group(line) for line in section.lines("groups"))
    link.features = frozenset(_feature(line) for line in section.lines("features"))
    link.group = section.bounded("group", 0, (1 << 31) - 1) if "group" in section else 0
    section.finish(TOP_LEVEL)
    return link


def _kind(name: str, section: Section) -> LinkKind:
    if name == "lo":
        if "kind" in section or "master" in section:
            raise section.place.error("lo is the loopback device and stays it")
        return LinkKind.LOOPBACK
    return KINDS[section.one_of("kind", tuple(KINDS), "ethernet")]


def _point_to_point(link: LinkWords, section: Section) -> None:
    """Take `pointopoint`: the address at the other end, or true where the addresses name it."""
    if link.kind is not LinkKind.ETHERNET:
        raise section.at("pointopoint").error(f"not for a link of kind {link.kind.value}")
    value = section.wanted("pointopoint", object)
    if isinstance(value, str):
        with reading(section.at("pointopoint")):
            link.point_to = address(value)
    elif value is not True:
        raise section.at("pointopoint").error(f"an address or true is needed, not {value!r:.60}")
    link.kind = LinkKind.POINTOPOINT


def _kind_keys(link: LinkWords, section: Section) -> None:
    """Take the keys that only one kind of link has."""
    if link.kind is LinkKind.VLAN:
        link.lower = section.wanted("link", str)
        link.vlan_id = section.bounded("id", 0, LARGEST_VLAN_ID)
        link.vlan_protocol = TAGS[section.one_of("protocol", TAGS, default=USUAL_TAG)]
    if link.kind is LinkKind.VRF:
        link.vrf_table = section.bounded("table", 1, ALL_ONES)
    else:
        link.master = section.text("master")
    for key, kind in KEYS_OF_KINDS:
        if key in section:
            raise section.at(key).error(f"only for a link of kind {kind.value}")


def _mac(section: Section) -> bytes | None:
    text = section.text("address")
    if text is None:
        return None
    with reading(section.at("address")):
        value = link_address(text)
        if value[0] & 1 or not any(value):
            raise WordError(f"{text} cannot be a link's own address")
    return value


def _group(line: Said[str]) -> int:
    with reading(line.place):
        value = address(line.value)
        if value >> 28 != MULTICAST:
            raise WordError(f"{line.value} is not a multicast group")
    return value


def _feature(line: Said[str]) -> str:
    if line.value not in FEATURES:
        raise line.place.error(f"`{line.value}` is none of {', '.join(FEATURES)}")
    return line.value


def _listener(section: Section) -> Said[Listener]:
    kind = section.one_of("proto", tuple(LISTENERS))
    if kind == "raw":
        listener = Listener(
            None,
            raw_number=section.bounded("number", 0, 255),
            router_alert=section.take("router_alert", bool, default=False),
        )
    else:
        listener = Listener(LISTENERS[kind], port=section.bounded("port", 1, 65535))
    section.finish(TOP_LEVEL)
    return Said(section.place, listener)


def _hook(section: Section) -> Said[HookAnswer]:
    hook = HookAnswer(section.one_of("at", HOOK_POINTS), _match(section), section.one_of("verdict", HOOK_VERDICTS))
    section.finish(TOP_LEVEL)
    return Said(section.place, hook)


def _policy(section: Section) -> Said[PolicyAnswer]:
    policy = PolicyAnswer(
        section.one_of("dir", POLICY_DIRECTIONS), _match(section), section.one_of("action", POLICY_ACTIONS)
    )
    section.finish(TOP_LEVEL)
    return Said(section.place, policy)


def _match(section: Section) -> Match:
    """Return the match of a section; left out, everything matches."""
    text = section.text("match")
    if text is None:
        return Match()
    with reading(section.at("match")):
        return read_match(text)
