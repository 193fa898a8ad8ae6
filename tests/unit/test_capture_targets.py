"""Where a written capture goes: whole or not at all, whatever happens on the way."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ipkit.edge.capture_reader import CaptureStream
from ipkit.edge.capture_writer import CaptureWriter
from ipkit.errors import WriteError
from tests.support.captures import pcap_bytes, pcap_header, pcapng_bytes

CAPTURE = pcap_bytes([bytes(1000)] * 3000)
COPY = """
import sys
from ipkit.edge.capture_reader import CaptureStream
from ipkit.edge.capture_writer import CaptureWriter
from ipkit.errors import WriteError
try:
    with CaptureWriter(sys.argv[2]) as writer:
        for batch in CaptureStream([sys.argv[1]]):
            writer.write_batch(batch, {})
        writer.commit()
except WriteError as error:
    sys.exit(str(error))
except BrokenPipeError:
    sys.exit("the reader left")
print("done", file=sys.stderr if sys.argv[2] == "-" else sys.stdout)
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.pcap"
    path.write_bytes(CAPTURE)
    return path


def copy(source: Path, target: Path | str) -> None:
    with CaptureWriter(str(target)) as writer:
        for batch in CaptureStream([str(source)]):
            writer.write_batch(batch, {})
        writer.commit()


def copy_command(source: Path, target: Path | str) -> list[str]:
    return [sys.executable, "-c", COPY, str(source), str(target)]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("a small file system can only be mounted by root")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk(source: Path, small_disk: Path) -> None:
    target = small_disk / "out.pcap"
    target.write_bytes(b"old")
    with pytest.raises(WriteError, match=r"/disk/out.pcap: no space left on device$"):
        copy(source, target)
    assert [path.name for path in small_disk.iterdir()] == ["out.pcap"]
    assert target.read_bytes() == b"old"


def test_a_limit_on_the_size_of_files(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "out"
    limited = ["sh", "-c", 'ulimit -f 100; exec "$@"', "sh", *copy_command(source, target)]
    run = subprocess.run(limited, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (1, f"{target}: file too large\n")
    assert [path.name for path in tmp_path.iterdir()] == ["in.pcap"]


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("/nonexistent/out", "no such file or directory"),
        ("/sys/out", "permission denied"),
        ("/", "is a directory"),
        ("/dev/full", "no space left on device"),
    ],
)
def test_places_that_cannot_be_written(source: Path, target: str, why: str) -> None:
    with pytest.raises(WriteError) as caught:
        copy(source, target)
    assert str(caught.value) == f"{target}: {why}"


def test_an_interrupt_leaves_nothing_behind(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.write_bytes(b"old")

    def interrupted() -> None:
        with CaptureWriter(str(target)) as writer:
            writer.write_batch(next(iter(CaptureStream([str(source)]))), {})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.pcap", "out"]
    assert target.read_bytes() == b"old"


def test_a_device(source: Path) -> None:
    copy(source, "/dev/null")
    assert not Path("/dev/null").is_file()


def test_a_fifo(source: Path, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    heard: list[bytes] = []
    reader = threading.Thread(target=lambda: heard.append(fifo.read_bytes()))
    reader.start()
    copy(source, fifo)
    reader.join()
    assert heard == [CAPTURE]


def test_signals_cost_a_pipe_no_byte(source: Path, tmp_path: Path) -> None:
    """A signal cuts a write into a pipe short, and the rest has to follow."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    heard: list[bytes] = []

    def read_slowly() -> None:
        with fifo.open("rb", buffering=0) as pipe:
            while chunk := pipe.read(30_000):
                heard.append(chunk)
                time.sleep(0.001)

    reader = threading.Thread(target=read_slowly)
    reader.start()
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 0.003, 0.003)
    try:
        copy(source, fifo)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    reader.join()
    assert b"".join(heard) == CAPTURE


def test_a_frame_that_grew_leaves_a_pipe_as_it_is(tmp_path: Path) -> None:
    """What has gone into a pipe cannot be set right: the header keeps the snap length of the input."""
    source, fifo = tmp_path / "in", tmp_path / "fifo"
    source.write_bytes(pcap_bytes([b"x"], snaplen=1))
    os.mkfifo(fifo)
    heard: list[bytes] = []
    reader = threading.Thread(target=lambda: heard.append(fifo.read_bytes()))
    reader.start()
    with CaptureWriter(str(fifo)) as writer:
        for batch in CaptureStream([str(source)]):
            writer.write_batch(batch, {0: [batch.frame(0)._replace(data=b"grown")]})
        writer.commit()
    reader.join()
    assert heard[0].startswith(pcap_header(snaplen=1))
    assert heard[0].endswith(b"grown")


def test_a_symbolic_link(source: Path, tmp_path: Path) -> None:
    target, link = tmp_path / "real", tmp_path / "link"
    link.symlink_to(target)
    copy(source, link)
    assert link.is_symlink()
    assert target.read_bytes() == CAPTURE


class TestStdout:
    def test_a_pipe(self, source: Path) -> None:
        run = subprocess.run(copy_command(source, "-"), capture_output=True, check=True)
        assert (run.stdout, run.stderr) == (CAPTURE, b"done\n")

    def test_stdout_stays_open(self, source: Path) -> None:
        closing = COPY.replace('"-" else', '"never" else')
        command = [sys.executable, "-c", closing, str(source), "-"]
        assert subprocess.run(command, capture_output=True, check=True).stdout.startswith(CAPTURE[:24])

    def test_a_reader_who_leaves(self, source: Path) -> None:
        run = subprocess.Popen(copy_command(source, "-"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert run.stdout is not None
        assert run.stderr is not None
        run.stdout.close()
        said = run.stderr.read()
        run.stderr.close()
        assert said.startswith(b"the reader left\n")
        assert run.wait() != 0

    def test_a_terminal_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        master, slave = pty.openpty()
        with os.fdopen(slave, "w") as terminal, os.fdopen(master, "rb"):
            monkeypatch.setattr(sys, "stdout", terminal)
            with pytest.raises(WriteError, match="standard output is a terminal"):
                CaptureWriter("-")

    def test_a_live_reader_hears_every_batch(self, tmp_path: Path) -> None:
        """What comes in by one pipe goes out by the other at once."""
        fifo = tmp_path / "live"
        os.mkfifo(fifo)
        first, both = pcapng_bytes([b"1"]), pcapng_bytes([b"1", b"2"])
        run = subprocess.Popen(copy_command(fifo, "-"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert run.stdout is not None
        with fifo.open("wb", buffering=0) as pipe:
            pipe.write(first)
            assert run.stdout.read(len(first)) == first
            pipe.write(both[len(first) :])
            assert run.stdout.read(len(both) - len(first)) == both[len(first) :]
        assert run.stdout.read() == b""
        run.stdout.close()
        assert run.wait() == 0
