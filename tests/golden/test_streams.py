"""The program among closed, full and borrowed streams, and under signals: as the shell starts it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.source import ROOT

BIN = Path(sys.executable).parent
WEB = ROOT / "examples" / "web.pcap"
REPAIRED_BYTES = WEB.stat().st_size
PATIENCE_S = 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(WEB, tmp_path)
    return tmp_path


def shell(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    command = ["bash", "-o", "pipefail", "-c", script]
    return subprocess.run(
        command, cwd=folder, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    ("script", "status", "lines"),
    [
        ("ipkit csum -q web.pcap 2>&-", 1, 7),
        ("ipkit csum -q --progress web.pcap 2>&-", 1, 7),
        ("ipkit csum -q --progress web.pcap 2>/dev/full", 1, 7),
        ("ipkit csum -w - web.pcap 2>&- >/dev/null", 0, 0),
        ("ipkit csum -w - web.pcap 2>/dev/full >/dev/null", 2, 0),
        ("ipkit csum nothing.pcap 2>&-", 2, 0),
        ("ipkit csum nothing.pcap 2>/dev/full", 2, 0),
        ("ipkit csum --help >&-", 0, 0),
    ],
)
def test_a_stream_that_is_closed_or_full(script: str, status: int, lines: int, folder: Path) -> None:
    ended = shell(script, folder)
    assert (ended.returncode, ended.stderr) == (status, "")
    assert len(ended.stdout.splitlines()) == lines


@pytest.mark.parametrize("arguments", ["--help", "--version", "csum --help", "csum web.pcap"])
def test_a_full_disk_under_stdout_is_one_line(arguments: str, folder: Path) -> None:
    ended = shell(f"ipkit {arguments} >/dev/full", folder)
    assert ended.returncode == 2
    assert ended.stderr.endswith(": standard output: no space left on device\n")
    assert len(ended.stderr.splitlines()) == 1


def test_what_is_closed_is_not_reused_for_a_file(folder: Path) -> None:
    """A capture opened as descriptor 2 would get what is written to stderr."""
    ended = shell("ipkit csum -w out.pcap --progress -qq web.pcap 2>&- && ipkit csum -qq out.pcap", folder)
    assert ended.returncode == 0


@pytest.mark.parametrize(
    "script",
    [
        "ipkit csum -w /dev/stdout web.pcap 2>/dev/null | cat",
        "ipkit csum -w /dev/fd/1 web.pcap 2>/dev/null | cat",
        "{ ipkit csum -qq -w >(cat >&3) web.pcap; } 3>&1 | cat",
    ],
)
def test_packets_to_a_pipe_by_name(script: str, folder: Path) -> None:
    assert len(shell(f"{script} | ipkit csum -f csv -q - | head -n 2", folder).stdout.splitlines()) == 2
    assert int(shell(f"{script} | wc -c", folder).stdout) == REPAIRED_BYTES


def test_a_report_to_stderr_by_name_leaves_the_log_alone(folder: Path) -> None:
    ended = shell("echo before >log; ipkit csum -q --report /dev/stderr web.pcap 2>>log; cat log", folder)
    assert len(ended.stdout.splitlines()) == 8
    assert ended.stdout.startswith("before\nframes 16")


@pytest.mark.parametrize("targets", ["-w - --report /dev/stdout", "-w out --report ./out", "-w out --report link"])
def test_packets_and_report_in_one_file(targets: str, folder: Path) -> None:
    ended = shell(
        f"echo before >out; ln -s out link; ipkit csum {targets} web.pcap; status=$?; cat out; exit $status", folder
    )
    assert (ended.returncode, ended.stdout) == (2, "before\n")
    assert len(ended.stderr.splitlines()) == 1


def test_a_folder_that_is_gone_is_no_place_for_packets(folder: Path) -> None:
    ended = shell("mkdir gone; cd gone; rmdir ../gone; ipkit csum -q -w out ../web.pcap", folder)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "ipkit csum: out: no such file or directory\n"


def test_packets_and_report_may_both_be_thrown_away(folder: Path) -> None:
    assert shell("ipkit csum -w /dev/null --report /dev/null web.pcap", folder).returncode == 0


def test_the_report_of_a_damaged_capture_appears(folder: Path) -> None:
    ended = shell("head -c 600 web.pcap >cut; ipkit csum -q --report report cut; echo $?; head -1 report", folder)
    assert ended.stdout == "2\nframes 6  ipv4 6  other 0  fixed 0  offloaded 0\n"


def test_the_report_of_no_capture_does_not(folder: Path) -> None:
    ended = shell("echo before >report; ipkit csum -q --report report /dev/null; echo $?; cat report", folder)
    assert ended.stdout == "2\nbefore\n"


def signalled(command: list[str], folder: Path, number: signal.Signals) -> subprocess.Popen[bytes]:
    """Return a program that waits for input, after it was sent a signal."""
    pipe = subprocess.PIPE
    program = subprocess.Popen([str(BIN / "ipkit"), *command], cwd=folder, stdin=pipe, stdout=pipe, stderr=pipe)
    handled = Path(f"/proc/{program.pid}/status")
    ours = 1 << (signal.SIGINT - 1) | 1 << (signal.SIGTERM - 1)
    deadline = time.monotonic() + PATIENCE_S
    while int(handled.read_text().split("SigCgt:")[1].split()[0], 16) & ours != ours:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.7)  # the imports in front of the wait
    program.send_signal(number)
    return program


def test_an_interrupt_while_nobody_opens_the_fifo(folder: Path) -> None:
    os.mkfifo(folder / "fifo")
    program = signalled(["csum", "fifo"], folder, signal.SIGINT)
    assert program.communicate(timeout=PATIENCE_S) == (b"", b"")
    assert program.returncode == 130


def test_an_interrupt_while_nobody_reads_the_fifo(folder: Path) -> None:
    os.mkfifo(folder / "fifo")
    program = signalled(["csum", "-w", "fifo", "web.pcap"], folder, signal.SIGINT)
    assert program.communicate(timeout=PATIENCE_S) == (b"", b"")
    assert program.returncode == 130


def test_a_hangup_that_nohup_has_switched_off(folder: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        program = signalled(["csum", "-q", "-"], folder, signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
    output, _ = program.communicate(WEB.read_bytes(), timeout=PATIENCE_S)
    assert program.returncode == 1
    assert output.startswith(b"frames 16")


def test_a_termination_leaves_what_stood_there(folder: Path) -> None:
    (folder / "out.pcap").write_bytes(b"before")
    program = signalled(["csum", "-w", "out.pcap", "-"], folder, signal.SIGTERM)
    program.communicate(timeout=PATIENCE_S)
    assert program.returncode == 128 + signal.SIGTERM
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        "out.pcap": b"before",
        "web.pcap": WEB.read_bytes(),
    }


def test_an_interrupt_while_the_program_is_being_loaded() -> None:
    """A click that interrupts stands in for a user who is quick."""
    script = """
import signal, sys
from importlib.abc import MetaPathFinder
class Quick(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "click":
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Quick())
from ipkit.__main__ import main
main()
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=PATIENCE_S, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, b"", b"")
