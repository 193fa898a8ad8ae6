"""The four knobs on a command line: names, ranges, and how the two marks go together."""

from __future__ import annotations

import pytest

from ipkit.core.frag_limits import frag_limits
from ipkit.core.host.kernel import LINUX_4_14
from ipkit.errors import HostError


def limits(*settings: str) -> tuple[int, int, int, int]:
    found = frag_limits([("--sysctl", setting) for setting in settings], LINUX_4_14)
    return found.ipfrag_time, found.ipfrag_high_thresh, found.ipfrag_low_thresh, found.ipfrag_max_dist


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ((), (30, 4194304, 3145728, 64)),
        (("net.ipv4.ipfrag_time=5",), (5, 4194304, 3145728, 64)),
        (("net/ipv4/ipfrag_max_dist = 0",), (30, 4194304, 3145728, 0)),
        (("net.ipv4.ipfrag_high_thresh=8000000",), (30, 8000000, 6000000, 64)),
        (("net.ipv4.ipfrag_high_thresh=0",), (30, 0, 0, 64)),
        (("net.ipv4.ipfrag_high_thresh=9000000", "net.ipv4.ipfrag_low_thresh=1"), (30, 9000000, 1, 64)),
        (("net.ipv4.ipfrag_low_thresh=4194304",), (30, 4194304, 4194304, 64)),
        (("net.ipv4.ipfrag_time=5", "net.ipv4.ipfrag_time=6"), (6, 4194304, 3145728, 64)),
    ],
)
def test_what_settings_come_to(settings: tuple[str, ...], found: tuple[int, int, int, int]) -> None:
    assert limits(*settings) == found


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        (("net.ipv4.ipfrag_low_thresh=4194305",), "ipfrag_low_thresh must not be above ipfrag_high_thresh"),
        (("net.ipv4.ip_forward=1",), "reassembly has only"),
        (("net.ipv4.ipfrag_time",), "NAME=VALUE is needed"),
        (("net.ipv4.ipfrag_time=-1",), "not between 0"),
        (("net.ipv4.ipfrag_time=",), "is not a number"),
        (("net.ipv6.ip6frag_time=5",), "net.ipv6.ip6frag_time"),
    ],
)
def test_what_is_refused(settings: tuple[str, ...], complaint: str) -> None:
    with pytest.raises(HostError, match=complaint):
        limits(*settings)
