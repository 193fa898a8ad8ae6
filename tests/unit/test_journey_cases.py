"""The input path row by row: literal bytes, and everything that becomes of them, in both kernels."""

from __future__ import annotations

import pytest

from ipkit.core.forward_report import ending_of
from ipkit.core.host.build import build_host
from ipkit.core.host.kernel import KernelProfile
from ipkit.core.outcome.verdict import Transmitted
from ipkit.core.state.netns import NetNamespace, namespace_of
from tests.support.journey_cases import RAW_PROTOCOL, UDP_PORT, Case, Seen, cases, described, shown
from tests.support.journeys import KERNELS, came


def network(case: Case, kernel: KernelProfile) -> NetNamespace:
    listen = [{"proto": "udp", "port": UDP_PORT}, {"proto": "raw", "number": RAW_PROTOCOL}]
    return namespace_of(build_host({**described(case.variant), "listen": listen}, file="host.toml", kernel=kernel))


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
@pytest.mark.parametrize("case", cases(), ids=str)
def test_what_becomes_of_a_packet(case: Case, kernel: KernelProfile) -> None:
    journal = came(case.data, network(case, kernel), kind=case.to)
    (end,) = journal.ends
    ending = ending_of(journal)
    words = ("forwarded", end.dev) if isinstance(end, Transmitted) else (ending.verdict, ending.reason, ending.func)
    counters = {mib.value: amount for mib, amount in journal.counters.items() if amount}
    out = [shown(one.dev, one.header, one.payload) for one in journal.emitted]
    assert Seen(" ".join(filter(None, words)), counters, out) == case.seen[kernel.name]


def test_every_case_has_a_name_of_its_own() -> None:
    names = [case.name for case in cases()]
    assert len(names) == len(set(names)) > 200
