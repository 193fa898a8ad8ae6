"""Routing policy rules: whom a rule selects, and where a goto leads.

Law: a rule is asked, never followed; walking them is fib_lookup.py's. Only selectors that were given are asked, so a
rule for everybody costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from ipkit.core.host.fib import Rule
from ipkit.core.host.words import mask as mask_of

LEGACY_TOS_BITS: Final = 0x1C
"""What routes and `tos` rules see of a TOS in every kernel."""

ROOT_UID: Final = 0


class FibKey(NamedTuple):
    """What a lookup asks for (struct flowi4)."""

    daddr: int
    saddr: int = 0
    tos: int = 0
    iif: str = ""
    oif: str = ""
    mark: int = 0
    ipproto: int = 0
    sport: int = 0
    dport: int = 0
    uid: int = ROOT_UID
    scope: int = 0
    l3mdev: str = ""  # the VRF whose table is meant
    any_nexthop_device: bool = False  # oif has become a VRF: next hops are not held against it
    ignore_linkstate: bool = False


Selector = tuple[str, Callable[[FibKey], bool]]


def selectors_of(rule: Rule) -> tuple[Selector, ...]:
    """Return the questions that a rule asks of a key, in the order of fib_rule_match and fib4_rule_match."""
    return (*_device_selectors(rule), *_address_selectors(rule), *_protocol_selectors(rule))


def _device_selectors(rule: Rule) -> list[Selector]:
    iif, oif, mark, mask = rule.iif, rule.oif, rule.mark, rule.mark_mask
    asked: list[Selector] = []
    if iif is not None:
        asked.append(("iif", lambda key: iif in (key.iif, key.l3mdev)))
    if oif is not None:
        asked.append(("oif", lambda key: oif in (key.oif, key.l3mdev)))
    if mask:
        asked.append(("fwmark", lambda key: not (key.mark ^ mark) & mask))
    if rule.tun_id:
        asked.append(("tun_id", lambda _key: False))  # a datagram from the wire came by no tunnel
    if rule.l3mdev:
        asked.append(("l3mdev", lambda key: bool(key.l3mdev)))
    if rule.uidrange is not None:
        first, last = rule.uidrange
        asked.append(("uidrange", lambda key: first <= key.uid <= last))
    return asked


def _address_selectors(rule: Rule) -> list[Selector]:
    src, src_mask = rule.src, mask_of(rule.src_len)
    dst, dst_mask = rule.dst, mask_of(rule.dst_len)
    asked: list[Selector] = []
    if dst_mask:
        asked.append(("to", lambda key: not (key.daddr ^ dst) & dst_mask))
    if src_mask:
        asked.append(("from", lambda key: not (key.saddr ^ src) & src_mask))
    return asked


def _protocol_selectors(rule: Rule) -> list[Selector]:
    tos, dscp, ipproto = rule.tos, rule.dscp, rule.ipproto
    asked: list[Selector] = []
    if dscp is not None:
        asked.append(("dscp", lambda key: key.tos >> 2 == dscp))
    if tos:
        asked.append(("tos", lambda key: key.tos & LEGACY_TOS_BITS == tos))
    if ipproto:
        asked.append(("ipproto", lambda key: key.ipproto == ipproto))
    if rule.sport is not None:
        asked.append(("sport", _port_within(rule.sport, lambda key: key.sport)))
    if rule.dport is not None:
        asked.append(("dport", _port_within(rule.dport, lambda key: key.dport)))
    return asked


def _port_within(ports: tuple[int, int], port_of: Callable[[FibKey], int]) -> Callable[[FibKey], bool]:
    first, last = ports
    return lambda key: first <= port_of(key) <= last


class RuleStep(NamedTuple):
    """A rule ready to be asked, and the place its goto leads to."""

    rule: Rule
    selectors: tuple[Selector, ...]
    target: int | None  # index of the rule to go on with; None: no goto, or one that leads nowhere


def rule_steps(rules: Sequence[Rule]) -> tuple[RuleStep, ...]:
    """Return the rules in the order of their walk; a goto only ever leads forward."""
    first_at: dict[int, int] = {}
    for index, rule in enumerate(rules):
        first_at.setdefault(rule.pref, index)
    return tuple(
        RuleStep(rule, selectors_of(rule), first_at.get(rule.target) if rule.target > rule.pref else None)
        for rule in rules
    )


def fib_rule_match(step: RuleStep, key: FibKey) -> bool:
    """Tell whether a rule selects a key."""
    return (not differing(step, key)) is not step.rule.invert


def differing(step: RuleStep, key: FibKey) -> str:
    """Name the first selector that does not fit; empty: all do."""
    for name, fits in step.selectors:
        if not fits(key):
            return name
    return ""
