"""Routing rules of a host: every word of iproute2, their order, and what the kernel refuses."""

from __future__ import annotations

from typing import Any

import pytest

from ipkit.core.host.build import build_host, builtin_host, host_with_rules
from ipkit.core.host.config import HostConfig
from ipkit.core.host.fib import DEFAULT_RULES, Rule, RuleAction
from ipkit.core.host.iproute_text import rule_text
from ipkit.core.host.kernel import LINUX_4_14, LINUX_6_18, KernelProfile
from ipkit.errors import HostError


def host(*rules: str, kernel: KernelProfile = LINUX_6_18, **more: Any) -> HostConfig:
    return build_host({"rules": list(rules), **more}, file="h.toml", kernel=kernel)


def own(*rules: str) -> list[Rule]:
    return [rule for rule in host(*rules).fib.rules if rule not in DEFAULT_RULES]


NET_10 = 10 << 24
READ = [
    ("from 192.0.2.128/25 lookup 100 pref 100", Rule(100, table=100, src=0xC0000280, src_len=25)),
    ("100:\tfrom 192.0.2.128/25 lookup 100", Rule(100, table=100, src=0xC0000280, src_len=25)),
    ("to 10.0.0.0/8 table main priority 7", Rule(7, dst=NET_10, dst_len=8)),
    ("from 10.0.0.1/8 lookup local order 7", Rule(7, table=255, src=NET_10 + 1, src_len=8)),
    ("from default to any lookup 5 preference 7", Rule(7, table=5)),
    ("not from 10.0.0.0/8 lookup 5 pref 7", Rule(7, table=5, invert=True, src=NET_10, src_len=8)),
    ("iif eth0 oif eth1 lookup 5 pref 7", Rule(7, table=5, iif="eth0", oif="eth1")),
    ("from all dev lo lookup 5 pref 7", Rule(7, table=5, iif="lo")),
    ("7: from all iif gone0 [detached] lookup 5", Rule(7, table=5, iif="gone0")),
    ("tos 10 lookup 5 pref 7", Rule(7, table=5, tos=0x10)),
    ("dsfield lowdelay lookup 5 pref 7", Rule(7, table=5, tos=0x10)),
    ("dscp 10 lookup 5 pref 7", Rule(7, table=5, dscp=10)),
    ("dscp EF lookup 5 pref 7", Rule(7, table=5, dscp=46)),
    ("fwmark 5 lookup 5 pref 7", Rule(7, table=5, mark=5, mark_mask=0xFFFFFFFF)),
    ("fwmark 0x5/0xff lookup 5 pref 7", Rule(7, table=5, mark=5, mark_mask=0xFF)),
    ("fwmark 0/0xff lookup 5 pref 7", Rule(7, table=5, mark=0, mark_mask=0xFF)),
    ("fwmark 0 lookup 5 pref 7", Rule(7, table=5)),
    ("ipproto udp sport 1-5 dport 53 lookup 5 pref 7", Rule(7, table=5, ipproto=17, sport=(1, 5), dport=(53, 53))),
    ("ipproto ipproto-200 lookup 5 pref 7", Rule(7, table=5, ipproto=200)),
    ("uidrange 0-99 lookup 5 pref 7", Rule(7, table=5, uidrange=(0, 99))),
    ("tun_id 7 lookup 5 pref 7", Rule(7, table=5, tun_id=7)),
    ("goto 500 pref 7", Rule(7, RuleAction.GOTO, target=500)),
    ("7: from all goto 500 [unresolved]", Rule(7, RuleAction.GOTO, target=500)),
    ("nop pref 7", Rule(7, RuleAction.NOP)),
    ("type blackhole pref 7", Rule(7, RuleAction.BLACKHOLE)),
    ("unicast lookup 9 pref 7", Rule(7, table=9)),
    ("7: from all lookup 5 unreachable", Rule(7, RuleAction.UNREACHABLE, table=5)),
    ("prohibit pref 7", Rule(7, RuleAction.PROHIBIT)),
    ("l3mdev pref 7", Rule(7, l3mdev=True)),
    ("7: from all lookup [l3mdev-table]", Rule(7, l3mdev=True)),
    ("lookup 5 suppress_prefixlength 0 pref 7", Rule(7, table=5, suppress_prefixlength=0)),
    ("lookup 5 sup_pl 8 sup_group default pref 7", Rule(7, table=5, suppress_prefixlength=8, suppress_ifgroup=0)),
    ("lookup 5 proto 99 pref 7", Rule(7, table=5, protocol="openr")),
    ("lookup 5 protocol kernel pref 7", Rule(7, table=5)),
]


@pytest.mark.parametrize(("text", "rule"), READ, ids=[text for text, _ in READ])
def test_a_rule_says_what_its_words_say(text: str, rule: Rule) -> None:
    assert own(text) == [rule]


@pytest.mark.parametrize("rule", [rule for _, rule in READ], ids=[text for text, _ in READ])
def test_a_rule_that_is_written_and_read_again_is_the_same(rule: Rule) -> None:
    assert own(rule_text(rule)) == [rule]


REFUSED = [
    ("bogus lookup 5", "unknown word `bogus`"),
    ("from 10.0.0.0/33 lookup 5", "33 is not between 0 and 32"),
    ("from 10.0.0.0/8 from 10.0.0.0/9 lookup 5", "`from` is said twice"),
    ("lookup 5 lookup 6", "`lookup` is said twice"),
    ("pref 5 lookup 5 order 6", "`pref` is said twice"),
    ("blackhole prohibit", "`action` is said twice"),
    ("nop goto 40000", "`action` is said twice"),
    ("l3mdev lookup 5", "a table and `l3mdev` at once"),
    ("lookup 0", "0 is not between 1 and 4294967295"),
    ("lookup home", "`home` is neither a number nor one of default, main, local"),
    ("type strange", "a rule cannot be of type `strange`"),
    ("tos 0x20 lookup 5", "tos 0x20: a rule may only have the bits of 0x1c"),
    ("tos 0x02 lookup 5", "tos 0x02: a rule may only have the bits of 0x1c"),
    ("tos 0x10 dscp 4 lookup 5", "tos and dscp at once"),
    ("dscp 64 lookup 5", "64 is not between 0 and 63"),
    ("dscp 4/12 lookup 5", "a mask of DSCPs (4/12) is not modelled"),
    ("fwmark x lookup 5", "`x` is not a number"),
    ("ipproto 300 lookup 5", "300 is not between 0 and 255"),
    ("ipproto nonesuch lookup 5", "`nonesuch` is neither a number nor one of icmp"),
    ("ipproto udp sport 0 lookup 5", "0 is not between 1 and 65534"),
    ("ipproto udp sport 65535 lookup 5", "65535 is not between 1 and 65534"),
    ("dport 10-5 lookup 5", "the range 10-5 is upside down"),
    ("dport 80/0xff lookup 5", "a mask of ports (80/0xff) is not modelled"),
    ("uidrange 5 lookup 5", "`5` is not a range of users"),
    ("uidrange 9-5 lookup 5", "the range 9-5 is upside down"),
    ("suppress_prefixlength -1 lookup 5", "-1 is not between 0 and 2147483647"),
    ("goto 5 pref 10", "goto 5 leads back: the rule's own pref is 10"),
    ("goto 10 pref 10", "goto 10 leads back: the rule's own pref is 10"),
    ("from 10.0.0.0/8 realms 3", "`realms` is not modelled"),
    ("from 10.0.0.0/8 nat 192.0.2.1", "`nat` is not modelled"),
    ("pref 4294967296 lookup 5", "4294967296 is not between 0 and 4294967295"),
    ("x: from all lookup 5", "`x` is not a number"),
    ("from all lookup", "nothing stands after `lookup`"),
]


@pytest.mark.parametrize(("text", "why"), REFUSED, ids=[text for text, _ in REFUSED])
def test_a_rule_that_cannot_be_is_refused(text: str, why: str) -> None:
    with pytest.raises(HostError) as refused:
        host("from 10.9.9.9 lookup 5", text)
    assert str(refused.value).startswith(f"h.toml: rules[1]: {why}")


SELECTORS = ["ipproto udp", "sport 5", "dport 5", "dscp 5"]


@pytest.mark.parametrize("selector", SELECTORS)
def test_an_older_kernel_does_not_know_ports_and_dscp(selector: str) -> None:
    name = selector.partition(" ")[0]
    with pytest.raises(HostError, match=rf"rules\[0\]: {name}: the rules of kernel 4\.14 do not know it"):
        host(f"{selector} lookup 5", kernel=LINUX_4_14)


def test_an_older_kernel_takes_another_bit_of_tos() -> None:
    assert host("tos 0x1e lookup 5", kernel=LINUX_4_14).fib.rules[1].tos == 0x1E
    with pytest.raises(HostError, match="tos 0x20: a rule may only have the bits of 0x1e"):
        host("tos 0x20 lookup 5", kernel=LINUX_4_14)


def test_a_rule_without_pref_stands_before_the_second_one() -> None:
    """As observed: 32765, 32764, and so on; behind a rule of pref 7 it is 6; never below 0."""
    assert [rule.pref for rule in host("lookup 5", "lookup 6").fib.rules] == [0, 32764, 32765, 32766, 32767]
    assert [rule.pref for rule in own("lookup 5 pref 7", "lookup 6")] == [6, 7]
    assert [rule.table for rule in host("lookup 5 pref 0", "lookup 6").fib.rules] == [255, 5, 6, 254, 253]


def test_equal_prefs_keep_the_order_of_the_list() -> None:
    rules = own("from 10.0.0.1 lookup 5 pref 9", "from 10.0.0.2 lookup 6 pref 8", "from 10.0.0.3 lookup 7 pref 9")
    assert [(rule.pref, rule.table) for rule in rules] == [(8, 6), (9, 5), (9, 7)]


def test_the_usual_rules_merge_silently() -> None:
    pasted = ["0:\tfrom all lookup local", "32766:\tfrom all lookup main", "32767:\tfrom all lookup default"]
    found = host(*pasted)
    assert found.fib.rules == DEFAULT_RULES
    assert not found.fib.has_custom_rules
    assert host(*pasted, "lookup 5").fib.has_custom_rules


def test_without_the_usual_rules_the_list_is_all_there_is() -> None:
    found = host("32765: from all lookup local", "32766: from all lookup main", default_rules=False)
    assert [(rule.pref, rule.table) for rule in found.fib.rules] == [(32765, 255), (32766, 254)]
    assert found.fib.has_custom_rules


# What `ip rule add` answers with "File exists", and what it takes, on a 6.18 kernel.
TWICE = [
    ["from 10.0.0.1 lookup 5 pref 9", "from 10.0.0.1 lookup 5 pref 9"],
    ["from 10.0.0.1 lookup 5 pref 9", "not from 10.0.0.1 lookup 5 pref 9"],
    ["from 10.0.0.1 lookup 5 pref 9", "from 10.0.0.1 lookup 5 pref 9 suppress_prefixlength 0"],
    ["from 10.0.0.1 tos 0x10 lookup 5 pref 9", "from all lookup 5 pref 9"],
    ["from 10.0.0.1 to 10.0.0.2 lookup 5 pref 9", "to 10.0.0.2 lookup 5 pref 9"],
    ["goto 500 pref 9", "goto 600 pref 9"],
]
NOT_TWICE = [
    ["from all lookup 5 pref 9", "from 10.0.0.1 lookup 5 pref 9"],
    ["from 10.0.0.1 lookup 5 pref 9", "from 10.0.0.1 lookup 6 pref 9"],
    ["from 10.0.0.1 lookup 5 pref 9", "from 10.0.0.1 lookup 5 pref 8"],
    ["from 10.0.0.1 lookup 5 pref 9", "from 10.0.0.1 iif lo lookup 5 pref 9"],
    ["from 10.0.0.5/8 lookup 5 pref 9", "from 10.0.0.6/8 lookup 5 pref 9"],
]


@pytest.mark.parametrize("rules", TWICE, ids=" + ".join)
def test_a_rule_that_is_there_already_is_refused(rules: list[str]) -> None:
    with pytest.raises(HostError, match=r"rules\[1\]: the same rule twice"):
        host(*rules)


@pytest.mark.parametrize("rules", NOT_TWICE, ids=" + ".join)
def test_a_rule_that_differs_is_taken(rules: list[str]) -> None:
    assert len(own(*rules)) == 2


def test_rules_are_added_to_a_host_from_text_and_from_json() -> None:
    text = "0:\tfrom all lookup local\n100:\tfrom 192.0.2.128/25 lookup 100\n"
    as_json = (
        '[{"priority":0,"src":"all","table":"local"},{"priority":100,"src":"192.0.2.128","srclen":25,"table":"100"}]'
    )
    for given in (text, as_json):
        found = host_with_rules(builtin_host(LINUX_6_18), given, file="rules")
        assert [rule.pref for rule in found.fib.rules] == [0, 100, 32766, 32767]
        assert found.fib.has_custom_rules
    with pytest.raises(HostError, match=r"^rules: line 2: unknown word `odd`$"):
        host_with_rules(builtin_host(LINUX_6_18), "lookup 5\nodd\n", file="rules")
    with pytest.raises(HostError, match=r"^rules: rule 1: unknown key `odd`$"):
        host_with_rules(builtin_host(LINUX_6_18), '[{"odd": 1}]', file="rules")
    with pytest.raises(HostError, match=r"^rules: not JSON \(byte 1\)"):
        host_with_rules(builtin_host(LINUX_6_18), "[}", file="rules")
