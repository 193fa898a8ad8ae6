"""Where hosts come from: files, folders, this machine, standard input; what is missing is one clear line."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path

import pytest

from ipkit.core.host.build import builtin_host
from ipkit.core.host.kernel import LINUX_4_14, LINUX_6_18
from ipkit.edge.host_source import load_host, load_routes, load_rules
from ipkit.errors import HostError
from tests.support.listings import listed

FILE = 'routes = ["10.0.0.0/8 via 192.0.2.2"]\n[link.eth0]\naddr = ["192.0.2.1/24"]\n'
LINK = [{"ifindex": 1, "ifname": "lo", "flags": ["LOOPBACK", "UP", "LOWER_UP"], "mtu": 65536, "link_type": "loopback"},
        {"ifindex": 2, "ifname": "t0", "flags": ["UP", "LOWER_UP"], "mtu": 1500, "link_type": "none"}]  # fmt: skip
ADDR = [{"ifname": "t0", "addr_info": [{"family": "inet", "local": "192.0.2.1", "prefixlen": 24}]}]
CONNECTED = {"dst": "192.0.2.0/24", "dev": "t0", "protocol": "kernel", "scope": "link", "prefsrc": "192.0.2.1"}


def test_nothing_is_the_built_in_host() -> None:
    assert load_host(None, LINUX_6_18, ["net.ipv4.ip_default_ttl=9"]).net.ip_default_ttl == 9
    assert load_host(None, LINUX_6_18) == builtin_host(LINUX_6_18)


def test_a_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "host.toml"
    file.write_text(FILE)
    host = load_host(str(file), LINUX_4_14, ["net.ipv4.ip_forward=1"])
    assert "10.0.0.0/8 via 192.0.2.2 dev eth0" in listed(host)
    assert host.net.ip_forward == 1


def test_a_folder_is_read(tmp_path: Path) -> None:
    (tmp_path / "link.json").write_text(json.dumps(LINK))
    (tmp_path / "addr.json").write_text(json.dumps(ADDR))
    (tmp_path / "sysctl.txt").write_text("net.ipv4.ip_forward = 1\n")
    with pytest.raises(HostError, match=r": route\.json: missing$"):
        load_host(str(tmp_path), LINUX_4_14)
    (tmp_path / "route.json").write_text(json.dumps([CONNECTED]))
    host = load_host(str(tmp_path), LINUX_4_14)
    assert (list(host.links), host.net.ip_forward) == (["lo", "t0"], 1)
    (tmp_path / "neigh.json").write_bytes(b"\xff")
    with pytest.raises(HostError, match=r"neigh\.json: not text$"):
        load_host(str(tmp_path), LINUX_4_14)


BROKEN = [
    (b"routes = [", "not TOML: "),
    (b"routes = 5 5", "not TOML: "),
    (b"\xff\xfe", "not text"),
    (b"a = " + b"[" * 100_000, "not TOML: "),
    (b"a = " + b"9" * 100_000, "not TOML: "),
    (b"nonesuch = 1", "nonesuch: unknown key"),
]


@pytest.mark.parametrize(("content", "why"), BROKEN, ids=[str(content[:20]) for content, _ in BROKEN])
def test_a_file_that_is_none_is_one_line(tmp_path: Path, content: bytes, why: str) -> None:
    file = tmp_path / "host.toml"
    file.write_bytes(content)
    with pytest.raises(HostError) as refused:
        load_host(str(file), LINUX_4_14)
    assert str(refused.value).startswith(f"{file}: {why}")
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_is_named() -> None:
    for load in (load_host, load_routes):
        with pytest.raises(HostError, match=r"^/nonesuch: No such file or directory$"):
            load("/nonesuch", LINUX_4_14)


def test_routes_are_read_from_a_file_and_from_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "10.0.0.0/8 via 192.0.2.2 dev eth0\n"
    file = tmp_path / "routes"
    file.write_text(text)
    host = load_routes(str(file), LINUX_4_14)
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    assert load_routes("-", LINUX_4_14) == host
    monkeypatch.setattr(sys, "stdin", io.StringIO("odd\n"))
    with pytest.raises(HostError, match=r"^stdin: line 1: `odd` is not an IPv4 address$"):
        load_routes("-", LINUX_4_14)
    file.write_bytes(b"10.0.0.0/8 via 192.0.2.2\n\xff")
    with pytest.raises(HostError, match=r": not text$"):
        load_routes(str(file), LINUX_4_14)


def test_rules_are_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "rules"
    file.write_text("100: from 10.0.0.0/8 lookup 100\n")
    assert load_rules(str(file), builtin_host(LINUX_4_14)).fib.rules[1].table == 100


# This machine, by an `ip` that answers from files.

ANSWERS = {
    "-j -d link": json.dumps(LINK),
    "-j addr": json.dumps(ADDR),
    "-j route show table all": json.dumps([CONNECTED]),
    "-j rule": '[{"priority":0,"src":"all","table":"local"},{"priority":32766,"src":"all","table":"main"}]',
    "-j neigh": "[]",
}


def say(folder: Path, answers: dict[str, str]) -> str:
    """Put an `ip` into a folder that answers what is known and fails at the rest; return a PATH."""
    lines = ["#!/bin/sh", 'case "$*" in']
    for number, (arguments, answer) in enumerate(answers.items()):
        (folder / str(number)).write_text(answer)
        lines.append(f'"{arguments}") cat {folder / str(number)};;')
    lines += ['*) echo "Object is unknown" >&2; exit 1;;', "esac"]
    tool = folder / "ip"
    tool.write_text("\n".join(lines))
    tool.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def test_this_machine_is_asked_by_ip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", say(tmp_path, ANSWERS))
    host = load_host("live", LINUX_6_18)
    assert list(host.links) == ["lo", "t0"]
    assert [rule.pref for rule in host.fib.rules] == [0, 32766]
    assert "192.0.2.0/24 dev t0 proto kernel scope link src 192.0.2.1" in listed(host)


def test_a_locked_mtu_is_asked_for_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    locked = {"dst": "10.0.0.0/8", "gateway": "192.0.2.2", "dev": "t0", "metrics": [{"mtu": 1300}]}
    words = (
        "10.0.0.0/8 via 192.0.2.2 dev t0 mtu lock 1300 \n192.0.2.0/24 dev t0 proto kernel scope link src 192.0.2.1 \n"
    )
    answers = {
        **ANSWERS,
        "-j route show table all": json.dumps([locked]).replace(" ", ""),
        "route show table all": words,
    }
    monkeypatch.setenv("PATH", say(tmp_path, answers))
    assert "10.0.0.0/8 via 192.0.2.2 dev t0 mtu lock 1300" in listed(load_host("live", LINUX_6_18))


def test_an_ip_that_fails_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", say(tmp_path, {key: ANSWERS[key] for key in ("-j -d link", "-j addr")}))
    with pytest.raises(HostError, match=r"^live: ip -j route show table all: Object is unknown$"):
        load_host("live", LINUX_6_18)


def test_a_machine_without_ip_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostError, match=r"^live: ip -j -d link: there is no `ip` on this machine: iproute2 is needed$"):
        load_host("live", LINUX_6_18)


def test_what_ip_says_must_be_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", say(tmp_path, {**ANSWERS, "-j neigh": "[{"}))
    with pytest.raises(HostError, match=r"^live/neigh\.json: not JSON"):
        load_host("live", LINUX_6_18)
