"""Which routing rules a host has, in which order, from the list that was given.

Law: single words are rule_words.py's business; here a rule meets the others and the kernel.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import product
from typing import Final, NamedTuple

from ipkit.core.host.config import Link, LinkKind, Trust
from ipkit.core.host.fib import DEFAULT_RULES, Rule, RuleAction
from ipkit.core.host.host_words import Said, reading
from ipkit.core.host.kernel import EcnInTos, KernelProfile, RuleSelectors
from ipkit.core.host.rule_words import NO_PREF
from ipkit.core.host.words import WordError

L3MDEV_RULE: Final = Rule(pref=1000, l3mdev=True)
"""What the first VRF of a host brings."""


def usual_rules(links: Iterable[Link]) -> tuple[Rule, ...]:
    """Return the rules that the kernel makes for itself."""
    return (*DEFAULT_RULES, L3MDEV_RULE) if has_vrf(links) else DEFAULT_RULES


def has_vrf(links: Iterable[Link]) -> bool:
    """Tell whether one of the links is a VRF."""
    return any(link.kind is LinkKind.VRF for link in links)


TOS_BITS: Final = {EcnInTos.ACCEPTED: 0x1E, EcnInTos.REFUSED: 0x1C}


class Judge(NamedTuple):
    """Who takes the rules: a kernel that looks at each, or one that took them long ago."""

    kernel: KernelProfile
    trust: Trust


def take_rules(said: Sequence[Said[Rule]], made: Sequence[Rule], judge: Judge) -> tuple[Rule, ...]:
    """Return a host's rules in the order in which a lookup asks them; what is `made` already merges with the same."""
    rules = sorted(made, key=_pref)
    merging = {replace(rule, protocol="") for rule in made}
    seen: set[Likeness] = set()
    for one in said:
        with reading(one.place):
            rule = _checked(_placed(one.value, rules), judge.kernel)
            if replace(rule, protocol="") in merging:
                continue
            alike = _alike(rule)
            if judge.trust is Trust.JUDGED and alike[_given(rule)] in seen:
                raise WordError("the same rule twice: no selector sets it apart from one above")
        seen.update(alike.values())
        insort(rules, rule, key=_pref)
    return tuple(rules)


Given = tuple[bool, ...]
Likeness = tuple[object, ...]
EVERY_CHOICE: Final = tuple(product((False, True), repeat=3))


def _given(rule: Rule) -> Given:
    """Tell which of source, destination and TOS a rule names: only those must differ from a rule that is there."""
    return bool(rule.src_len), bool(rule.dst_len), bool(rule.tos)


def _alike(rule: Rule) -> dict[Given, Likeness]:
    """Return what the kernel compares (rule_exists) with a new rule, by what the new one names.

    Neither `not` nor a target or a suppressor is part of it.
    """
    always = (
        *(rule.pref, rule.action, rule.table, rule.iif, rule.oif, rule.mark, rule.mark_mask, rule.tun_id, rule.l3mdev),
        *(rule.uidrange, rule.ipproto, rule.sport, rule.dport, rule.dscp, rule.protocol),
    )
    sides = ((rule.src, rule.src_len), (rule.dst, rule.dst_len), rule.tos)
    return {
        given: (always, given, tuple(side for side, named in zip(sides, given, strict=True) if named))
        for given in EVERY_CHOICE
    }


def _pref(rule: Rule) -> int:
    return rule.pref


def _placed(rule: Rule, rules: Sequence[Rule]) -> Rule:
    """Return a rule with its place: where none is named, one before the second rule."""
    if rule.pref != NO_PREF:
        return rule
    return replace(rule, pref=max(rules[1].pref - 1, 0) if len(rules) > 1 else 0)


def _checked(rule: Rule, kernel: KernelProfile) -> Rule:
    """Return a rule that the kernel takes."""
    modern = {"ipproto": rule.ipproto, "sport": rule.sport, "dport": rule.dport, "dscp": rule.dscp is not None}
    if kernel.rule_selectors is RuleSelectors.CLASSIC:
        for name, wanted in modern.items():
            if wanted:
                raise WordError(f"{name}: the rules of kernel {kernel.name} do not know it")
    if rule.tos & ~TOS_BITS[kernel.ecn_in_tos]:
        raise WordError(f"tos {rule.tos:#04x}: a rule may only have the bits of {TOS_BITS[kernel.ecn_in_tos]:#04x}")
    if rule.tos and rule.dscp is not None:
        raise WordError("tos and dscp at once")
    if rule.action is RuleAction.GOTO and rule.target <= rule.pref:
        raise WordError(f"goto {rule.target} leads back: the rule's own pref is {rule.pref}")
    return rule
