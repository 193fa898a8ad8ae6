"""Any words, any values: a host comes out or one HostError, and what comes out can be written and read again."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ipkit.core.host.build import build_host, host_from_routes, host_from_snapshot
from ipkit.core.host.config import HostConfig
from ipkit.core.host.describe import describe_host
from ipkit.core.host.kernel import LINUX_4_14, LINUX_6_18
from ipkit.core.host.match import matches, read_match
from ipkit.core.host.words import WordError
from ipkit.errors import HostError
from tests.unit.test_host_snapshot import PARTS

ADDRESSES = st.sampled_from(["10.0.0.1", "192.0.2.1", "192.0.2.255", "0.0.0.0", "255.255.255.255", "224.0.0.1", "::1"])
PREFIXES = st.sampled_from(["default", "10.0.0.0/8", "10/8", "10.0.0.0/31", "192.0.2.0/24", "0.0.0.0/0", "10.0.0.1/8"])
VOCABULARY = """
via dev t0 t1 lo src table main 100 metric 5 proto kernel boot scope link host global tos 0x10 mtu lock 1300 advmss
hoplimit nexthop weight onlink nhid linkdown dead inet6 fe80::1 blackhole unreachable local broadcast throw nat append
to from not iif oif fwmark 1/2 ipproto udp sport dport 1-5 lookup goto 500 nop prohibit pref l3mdev nud STALE proxy id
suppress_prefixlength uidrange lladdr 02:00:00:00:00:01 group 5/6 peer brd + noprefixroute and fragment length tcp
"""
KEY_NAMES = """
routes rules neigh nexthops conntrack neigh_default default_rules accepted sysctl link listen hook xfrm addr mtu up kind
id table master pointopoint groups features address proto port number at match verdict dir action
"""
WORDS = st.one_of(
    ADDRESSES,
    PREFIXES,
    st.sampled_from(VOCABULARY.split()),
    st.text(max_size=6),
    st.integers().map(str),
)
LINES = st.lists(WORDS, max_size=9).map(" ".join)
LISTS = st.lists(LINES, max_size=4)
LINK = {"t0": {"addr": ["192.0.2.1/24"]}, "t1": {"addr": ["10.0.0.1/8"]}}


def built(description: dict[str, Any]) -> HostConfig | None:
    host, complaint = tried(lambda: build_host(description, file="h.toml", kernel=LINUX_6_18))
    assert complaint.startswith("h.toml: ") or host
    return host


def tried(build: Callable[[], HostConfig]) -> tuple[HostConfig | None, str]:
    """Return the host or what was said against it; anything but a HostError goes through."""
    try:
        return build(), ""
    except HostError as error:
        return None, str(error)


@settings(max_examples=400, deadline=None)
@given(LISTS, LISTS, LISTS, LISTS)
def test_random_words_make_a_host_or_one_error(
    routes: list[str], rules: list[str], neigh: list[str], nexthops: list[str]
) -> None:
    for description in (
        {"routes": routes, "nexthops": nexthops, "link": LINK},
        {"rules": rules},
        {"neigh": neigh, "link": LINK},
        {"link": {"t0": {"addr": routes}}},
    ):
        host = built(description)
        if host is not None:
            again = build_host(tomllib.loads(describe_host(host)), file="saved", kernel=LINUX_6_18)
            assert again == host


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), LINES),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(KEY_NAMES.split())


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(KEYS, VALUES | st.dictionaries(KEYS, VALUES, max_size=4), max_size=4))
def test_random_documents_make_a_host_or_one_error(document: dict[str, Any]) -> None:
    built(document)
    built({"link": {"t0": document}})
    built({"listen": [document], "hook": [document], "xfrm": [document]})
    built({"sysctl": document})


@settings(max_examples=200, deadline=None)
@given(st.lists(LINES | st.text(max_size=30), max_size=6), st.sampled_from(["", "[", "Iface Destination Gateway\n"]))
def test_random_lists_of_routes_make_a_host_or_one_error(lines: list[str], first: str) -> None:
    text = [first, *(f"{line}\n" for line in lines)]
    host, complaint = tried(lambda: host_from_routes(text, file="routes", kernel=LINUX_4_14))
    assert complaint.startswith("routes: ") or host


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(PARTS)), st.data())
def test_damaged_outputs_make_a_host_or_one_error(part: str, data: st.DataObject) -> None:
    text = PARTS[part]
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(start + 20, len(text))))
    damaged = text[:start] + data.draw(st.text(max_size=5) | LINES) + text[end:]
    parts = {**PARTS, part: damaged}
    host, complaint = tried(lambda: host_from_snapshot(parts, folder="snap", kernel=LINUX_6_18))
    assert complaint.startswith(("snap/", "snap: ")) or host


@settings(max_examples=300, deadline=None)
@given(st.lists(WORDS, max_size=8).map(" ".join), st.binary(min_size=20, max_size=40))
def test_a_match_is_read_or_refused_and_answers_for_any_bytes(text: str, data: bytes) -> None:
    try:
        match = read_match(text)
    except WordError:
        return
    assert matches(match, data, "t0") in (True, False)
