"""Frames on a real wire: a veth pair in a namespace of the test's own, one end sending, the other listening."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.kernel.namespace import Namespace
from tests.support.captures import pcap_bytes
from tests.support.packets import eth, ip, udp

pytestmark = pytest.mark.kernel

ETH_P_ALL: Final = 3
PEER: Final = "02:00:00:00:00:02"


class Wire:
    """A namespace with v0, which sends, and v1, which listens."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace
        namespace.ip("link", "add", "v0", "address", "02:00:00:00:00:01", "type", "veth", "peer", "name", "v1")
        namespace.ip("link", "set", "v1", "address", PEER, "up")
        namespace.ip("link", "set", "v0", "up")
        namespace.ip("addr", "add", "192.0.2.1/24", "dev", "v0")
        namespace.ip("neigh", "add", "192.0.2.2", "lladdr", PEER, "dev", "v0")
        with namespace.entered():
            self.ears = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
            self.ears.bind(("v1", ETH_P_ALL))
        self.ears.settimeout(1)
        self.heard()

    def ip(self, *words: str) -> None:
        self._namespace.ip(*words)

    def run(self, *arguments: str, under: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        command = [*under, sys.executable, "-m", "ipkit", "send", *arguments]
        with self._namespace.entered():
            return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    def heard(self, count: int = 0) -> list[bytes]:
        """Return so many frames, and all that are there besides; what the kernel says unasked is left out."""
        frames: list[bytes] = []
        self.ears.settimeout(1)
        while True:
            if len(frames) >= count:
                self.ears.settimeout(0.01)
            try:
                frame = self.ears.recv(1 << 16)
            except (TimeoutError, BlockingIOError):
                return frames
            if frame[12:14] == b"\x08\x00":
                frames.append(frame)


@pytest.fixture
def wire() -> Iterator[Wire]:
    with Namespace({"link": {"eth9": {"addr": ["198.51.100.1/24"]}}}) as namespace:
        made = Wire(namespace)
        yield made
        made.ears.close()


def rows(ended: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ended.stdout.splitlines()]


def test_a_message_in_fragments_arrives(wire: Wire, tmp_path: Path) -> None:
    ended = wire.run("--dst", "192.0.2.2", "--size", "3000", "-i", "v0", "-j", "-w", str(tmp_path / "out.pcap"))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert [row["result"] for row in rows(ended)[:-1]] == ["sent"] * 3
    frames = wire.heard(3)
    assert [frame[:6].hex(":") for frame in frames] == [PEER] * 3
    assert [len(frame) - 14 for frame in frames] == [1500, 1500, 68]
    assert (tmp_path / "out.pcap").read_bytes().count(frames[0]) == 1


def test_a_dry_run_puts_nothing_on_the_wire(wire: Wire) -> None:
    assert wire.run("--dst", "192.0.2.2", "--host", "live").returncode == 0
    assert wire.heard() == []


def test_a_neighbour_that_is_not_known_is_asked_for(wire: Wire) -> None:
    wire.ip("neigh", "del", "192.0.2.2", "dev", "v0")
    ended = wire.run("--dst", "192.0.2.2", "-i", "v0")
    assert ended.returncode == 0
    assert "192.0.2.2 on v0 is not known" in ended.stdout
    assert [frame[:6].hex() for frame in wire.heard(1)] == ["0200c0000202"]


def replayed(folder: Path, count: int, size: int = 100) -> tuple[str, list[bytes]]:
    frames = [eth(ip(udp(bytes([n % 251]) * size), ident=n % 65536)) for n in range(count)]
    path = folder / "in.pcap"
    path.write_bytes(pcap_bytes(frames))
    return str(path), frames


@pytest.mark.parametrize("pace", [(), ("--topspeed",), ("--pps", "2000"), ("--multiplier", "10")])
def test_a_replay_arrives_bit_for_bit(wire: Wire, tmp_path: Path, pace: tuple[str, ...]) -> None:
    path, frames = replayed(tmp_path, 20)
    ended = wire.run("-i", "v0", *pace, "--loop", "2", "-j", "-q", path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert rows(ended)[-1]["summary"]["sent"] == 40
    assert wire.heard(40) == frames * 2


@pytest.mark.parametrize(("more", "result", "count"), [((), "too_big", 0), (("--fragment",), "sent", 2)])
def test_frames_too_long_for_the_device(
    wire: Wire, tmp_path: Path, more: tuple[str, ...], result: str, count: int
) -> None:
    path, _ = replayed(tmp_path, 1, 1600)
    ended = wire.run("-i", "v0", "-j", *more, path)
    assert {row["result"] for row in rows(ended)[:-1]} == {result}
    assert ended.returncode == (0 if count else 1)
    assert len(wire.heard(count)) == count


def test_devices_that_nothing_can_be_put_on(wire: Wire) -> None:
    wire.ip("link", "set", "v1", "down")
    wire.ip("link", "set", "v0", "down")
    for dev, why in (("v0", "down"), ("none", "no such device")):
        ended = wire.run("--dst", "198.51.100.2", "-i", dev)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert why in ended.stderr
        assert len(ended.stderr.splitlines()) == 1


def test_the_device_must_be_the_routes(wire: Wire) -> None:
    ended = wire.run("--dst", "198.51.100.2", "-i", "v0")
    assert ended.returncode == 2
    assert "eth9, not v0" in ended.stderr
    assert wire.heard() == []


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv")
def test_without_the_privilege_one_line_says_so(wire: Wire) -> None:
    ended = wire.run("--dst", "192.0.2.2", "-i", "v0", under=("setpriv", "--bounding-set=-net_raw"))
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "CAP_NET_RAW" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
