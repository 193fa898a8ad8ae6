"""The program as a process: terminals, signals, pipes and disks, which no directory of texts can show."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.source import ROOT
from tests.support.terminal import Terminal

IPKIT = str(Path(sys.executable).with_name("ipkit"))
WEB = ROOT / "examples" / "web.pcap"
FRAMES = 16
PCAP_HEADER_BYTES = 24
RED = "\x1b[31m"

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def run(
    *arguments: str, cwd: Path, env: Mapping[str, str] | None = None, before: Sequence[str] = ()
) -> subprocess.CompletedProcess[bytes]:
    command = [*before, IPKIT, *arguments]
    return subprocess.run(
        command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False
    )


def as_anyone(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[bytes]:
    """Run without the right to pass over the permissions of files, which root has."""
    rights = "-dac_override,-dac_read_search"
    weaker = ("setpriv", f"--inh-caps={rights}", f"--bounding-set={rights}") if os.geteuid() == 0 else ()
    return run(*arguments, cwd=cwd, before=weaker)


def started(*arguments: str, cwd: Path) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    return subprocess.Popen([IPKIT, *arguments], cwd=cwd, stdin=pipe, stdout=pipe, stderr=pipe)


@contextmanager
def small_disk(at: Path, kib: int) -> Iterator[Path]:
    """Mount a file system that is full after some KiB."""
    at.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(at)], check=True)
    try:
        yield at
    finally:
        subprocess.run(["umount", str(at)], check=True)


def test_no_input_on_a_terminal_is_a_usage_error(tmp_path: Path) -> None:
    with Terminal([IPKIT, "csum"], tmp_path) as terminal:
        status, seen = terminal.ended()
    assert status == 2
    assert seen.startswith("ipkit csum: ")
    assert "standard input" in seen
    assert len(seen.splitlines()) == 1


def test_packets_are_not_thrown_at_a_terminal(tmp_path: Path) -> None:
    with Terminal([IPKIT, "csum", "-w", "-", str(WEB)], tmp_path) as terminal:
        status, seen = terminal.ended()
    assert status == 2
    assert seen.startswith("ipkit csum: ")
    assert len(seen.splitlines()) == 1


def test_a_closed_pipe_ends_silently(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    ended = subprocess.run(
        [IPKIT, "csum", "-j", str(WEB)], cwd=tmp_path, stdout=write_end, stderr=subprocess.PIPE, check=False
    )
    os.close(write_end)
    assert ended.stderr == b""
    assert ended.returncode == -signal.SIGPIPE


def test_a_reader_that_leaves_ends_it_silently(tmp_path: Path) -> None:
    captures = " ".join([str(WEB)] * 200)
    script = f"{IPKIT} csum -j {captures} | head -n 1 >/dev/null; echo ${{PIPESTATUS[0]}}"
    ended = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.stderr == ""
    assert ended.stdout.strip() in {"0", "1", str(128 + signal.SIGPIPE)}


def test_an_interrupt_is_the_end_of_the_input(tmp_path: Path) -> None:
    program = started("csum", "-j", "-w", "out.pcap", cwd=tmp_path)
    assert program.stdin is not None
    assert program.stdout is not None
    program.stdin.write(WEB.read_bytes())
    program.stdin.flush()
    lines = [program.stdout.readline()]
    while json.loads(lines[-1]).get("frame") != FRAMES - 1:  # the last frame is not IPv4
        lines.append(program.stdout.readline())
    program.send_signal(signal.SIGINT)
    rest, errors = program.communicate(timeout=30)
    assert program.returncode == 130
    assert b"Traceback" not in errors
    assert json.loads(rest.splitlines()[-1])["summary"]["frames"] == FRAMES
    again = run("csum", "-qq", "out.pcap", cwd=tmp_path)
    assert again.returncode == 0


def test_an_interrupt_before_anything_came(tmp_path: Path) -> None:
    program = started("csum", "-j", cwd=tmp_path)
    time.sleep(1.0)
    program.send_signal(signal.SIGINT)
    _, errors = program.communicate(timeout=30)
    assert program.returncode == 130
    assert b"Traceback" not in errors


@root_only
def test_a_full_disk_leaves_what_stood_there(tmp_path: Path) -> None:
    captures = [str(WEB)] * 20
    with small_disk(tmp_path / "small", 64) as disk:
        (disk / "out.pcap").write_bytes(b"stood here before")
        ended = run("csum", "-qq", "-w", str(disk / "out.pcap"), *captures, cwd=tmp_path)
        assert (disk / "out.pcap").read_bytes() == b"stood here before"
        assert [path.name for path in disk.iterdir()] == ["out.pcap"]
    assert ended.returncode == 2
    assert ended.stderr.startswith(b"ipkit csum: ")
    assert len(ended.stderr.splitlines()) == 1


@root_only
def test_a_full_disk_under_the_report(tmp_path: Path) -> None:
    captures = [str(WEB)] * 100
    with small_disk(tmp_path / "small", 64) as disk:
        ended = run("csum", "-j", "--report", str(disk / "report"), *captures, cwd=tmp_path)
        assert list(disk.iterdir()) == []
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1


def test_a_full_device_under_the_report(tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [IPKIT, "csum", "-j", str(WEB)], cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1
    assert ended.stderr.startswith(b"ipkit csum: ")


def test_a_full_device_under_the_packets(tmp_path: Path) -> None:
    ended = run("csum", "-qq", "-w", "/dev/full", str(WEB), cwd=tmp_path)
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1


def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir()
    shutil.copy(WEB, folder / "in.pcap")
    folder.chmod(0o555)
    ended = as_anyone("csum", "-qq", "-w", "out.pcap", "in.pcap", cwd=folder)
    assert ended.returncode == 2
    assert ended.stderr.startswith(b"ipkit csum: out.pcap: ")
    assert len(ended.stderr.splitlines()) == 1
    assert [path.name for path in folder.iterdir()] == ["in.pcap"]


def test_a_capture_that_may_not_be_read(tmp_path: Path) -> None:
    shutil.copy(WEB, tmp_path / "secret.pcap")
    (tmp_path / "secret.pcap").chmod(0)
    ended = as_anyone("csum", "secret.pcap", cwd=tmp_path)
    assert ended.returncode == 2
    assert ended.stderr.startswith(b"ipkit csum: secret.pcap: ")
    assert len(ended.stderr.splitlines()) == 1


def test_colour_on_a_terminal_only_and_not_with_no_color(tmp_path: Path) -> None:
    shutil.copy(WEB, tmp_path)
    arguments = [IPKIT, "csum", "--no-progress", WEB.name]
    with Terminal(arguments, tmp_path, {"NO_COLOR": ""}) as terminal:
        assert RED in terminal.ended()[1]
    with Terminal(arguments, tmp_path, {"NO_COLOR": "1"}) as terminal:
        assert RED not in terminal.ended()[1]
    with Terminal([*arguments, "--color"], tmp_path, {"NO_COLOR": "1"}) as terminal:
        assert RED in terminal.ended()[1]
    with Terminal([*arguments, "--no-color"], tmp_path, {"NO_COLOR": ""}) as terminal:
        assert RED not in terminal.ended()[1]
    assert RED.encode() not in run("csum", str(WEB), cwd=tmp_path).stdout
    assert RED.encode() in run("csum", "--color", str(WEB), cwd=tmp_path).stdout


IMPATIENT = "import ipkit.commands._progress as bar; bar.SECONDS_BEFORE = 0; from ipkit.cli import main; main()"
"""The program as it is where much input takes long: the bar comes at once."""


@pytest.mark.parametrize(
    ("arguments", "drawn"), [([], True), (["--progress"], True), (["--no-progress"], False)], ids=str
)
def test_progress_on_a_terminal_that_knows_the_size(arguments: list[str], drawn: bool, tmp_path: Path) -> None:
    command = [sys.executable, "-c", IMPATIENT, "csum", "-q", *arguments, str(WEB)]
    with Terminal(command, tmp_path, stdout=subprocess.DEVNULL) as terminal:
        status, seen = terminal.ended()
    assert status == 1
    assert ("100%" in seen) == drawn


def test_no_progress_for_what_takes_no_time_or_where_nobody_looks(tmp_path: Path) -> None:
    with Terminal([IPKIT, "csum", "-q", str(WEB)], tmp_path, stdout=subprocess.DEVNULL) as terminal:
        assert terminal.ended() == (1, "")
    assert run("csum", "-q", str(WEB), cwd=tmp_path).stderr == b""


def test_rows_come_while_the_pipe_is_open(tmp_path: Path) -> None:
    program = started("csum", "-j", cwd=tmp_path)
    assert program.stdin is not None
    assert program.stdout is not None
    capture = WEB.read_bytes()
    second = PCAP_HEADER_BYTES + 16 + int.from_bytes(capture[32:36], "little")
    program.stdin.write(capture[:second])
    program.stdin.flush()
    assert json.loads(program.stdout.readline())["frame"] == 1
    program.stdin.write(capture[second:])
    rest, _ = program.communicate(timeout=30)
    assert json.loads(rest.splitlines()[-1])["summary"]["frames"] == FRAMES


def test_nothing_is_left_in_the_home_directory(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    env = {
        **os.environ,
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / "cache"),
        "XDG_CONFIG_HOME": str(home / "config"),
    }
    ended = run("csum", "-qq", "-w", "out.pcap", str(WEB), cwd=tmp_path, env=env)
    assert ended.returncode == 0
    assert list(home.iterdir()) == []


def test_python_dash_m_is_the_same_program(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "ipkit", "csum", "-q", str(WEB)], cwd=tmp_path, capture_output=True, check=False
    )
    assert ended.returncode == 1
    assert ended.stdout == run("csum", "-q", str(WEB), cwd=tmp_path).stdout
