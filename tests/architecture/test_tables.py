"""An enum says what there is, a table what it means; the table has all of it."""

from __future__ import annotations

import ast
import re

import pytest

from ipkit.core.outcome.counters import Mib
from ipkit.core.outcome.drop_reasons import SENTENCES, DropReason
from tests.support.source import PACKAGE, modules


def test_every_drop_reason_has_a_sentence() -> None:
    assert set(SENTENCES) == set(DropReason)


@pytest.mark.parametrize("reason", DropReason, ids=str)
def test_a_reason_goes_by_the_kernels_name(reason: DropReason) -> None:
    assert reason.name == reason.value
    assert SENTENCES[reason].strip()


@pytest.mark.parametrize("mib", Mib, ids=str)
def test_a_counter_goes_by_nstats_name(mib: Mib) -> None:
    assert re.fullmatch(r"(Ip|IpExt|TcpExt|Tcp|Icmp|Udp|UdpLite|Xfrm)[A-Z]\w+", mib.value)
    assert mib.value.endswith(mib.bare)


def test_no_two_members_of_an_enum_share_a_value() -> None:
    for module in modules():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ClassDef) and any(getattr(base, "id", "") == "Enum" for base in node.bases):
                given = [item.value for item in node.body if isinstance(item, ast.Assign)]
                values = [value.value for value in given if isinstance(value, ast.Constant)]
                assert len(values) == len(set(values)), f"{module.name}: {node.name}"


def test_the_reasons_are_all_in_one_place() -> None:
    home = PACKAGE / "core" / "outcome" / "drop_reasons.py"
    for module in modules():
        if module.path != home:
            assert not re.search(r"[\"']SKB_DROP_REASON_", module.text), module.name
