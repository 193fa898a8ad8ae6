"""Who keeps which bytes: the cases that others' code and tests answered, for every policy on offer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from ipkit.core.host.kernel import LINUX_4_14, LINUX_6_18, KernelProfile
from ipkit.core.overlap import POLICIES, Policy, kernel_policy
from tests.support.fragments import Bench

VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "overlap"
STRICT = ("linux-modern", "rfc5722")
TOLERANT = ("first", "last", "bsd", "bsd-right", "linux", "linux-trim", "windows", "solaris")

Case = Mapping[str, Any]


def expected(case: Case, policy: str) -> str | None:
    answers: Mapping[str, str] = case["expect"]
    group = "strict" if policy in STRICT else "tolerant"
    return answers.get(policy) or answers.get(group) or answers.get("any")


def vector_cases() -> list[Any]:
    return [
        pytest.param(case, policy, id=f"{case['name']}-{policy}")
        for path in sorted(VECTORS.glob("*.json"))
        for case in json.loads(path.read_text())["cases"]
        for policy in (*TOLERANT, *STRICT)
        if expected(case, policy)
    ]


def bench_of(case: Case, policy: Policy, kernel: KernelProfile = LINUX_4_14) -> Bench:
    bench = Bench(kernel, policy)
    for piece in case["fragments"]:
        payload = bytes.fromhex(piece["hex"]) if "hex" in piece else piece["fill"].encode() * piece["len"]
        bench.send(
            payload,
            offset=piece["offset"],
            mf=bool(piece["mf"]),
            ident=piece.get("id", 1),
            src=f"192.0.2.{sum(map(ord, piece.get('src', 'a')))}",
            proto=piece.get("proto", 253),
            tos=piece.get("ecn", 0),
            df=bool(piece.get("df", 0)),
            ttl=piece.get("ttl", 64),
        )
    return bench


def in_letters(datagrams: Sequence[bytes], case: Case) -> str:
    if any("hex" in piece for piece in case["fragments"]):
        return " | ".join(f"hex:{datagram[20:].hex()}" for datagram in datagrams)
    return " | ".join(
        " ".join(f"{chr(letter)}{len(list(run))}" for letter, run in groupby(datagram[20:])) for datagram in datagrams
    )


def result(bench: Bench, case: Case) -> str:
    if bench.delivered:
        return in_letters(bench.delivered, case)
    return "drop" if bench.lost or not bench.holds_something else "incomplete"


def test_the_policies_are_those_of_the_manual() -> None:
    assert set(POLICIES) == {*TOLERANT, *STRICT}
    assert all(POLICIES[name].name == name for name in POLICIES)


@pytest.mark.parametrize(("case", "policy"), vector_cases())
def test_vector(case: Case, policy: str) -> None:
    bench = bench_of(case, POLICIES[policy])
    answer = expected(case, policy) or ""
    assert result(bench, case) == ("drop" if answer.startswith("drop") else answer)
    for field, value in case.get("meta", {}).get(policy, {}).items():
        header = bench.delivered[0]
        assert {"ecn": header[1] & 3, "df": header[6] >> 6 & 1, "ttl": header[8]}[field] == value


@pytest.mark.parametrize(("kernel", "policy"), [(LINUX_4_14, "linux-trim"), (LINUX_6_18, "linux-modern")], ids=str)
def test_a_kernel_follows_the_rule_that_goes_by_its_name(kernel: KernelProfile, policy: str) -> None:
    for path in sorted(VECTORS.glob("*.json")):
        for case in json.loads(path.read_text())["cases"]:
            own, named = bench_of(case, kernel_policy(kernel), kernel), bench_of(case, POLICIES[policy])
            assert result(own, case) == result(named, case), case["name"]
