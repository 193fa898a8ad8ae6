"""A program on a terminal of its own: what is typed to it, and what it draws."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

PATIENCE_S = 20.0
BELL = "\a"
COLUMNS = 200


class Terminal:
    """A child process whose stdin, stdout and stderr are a terminal, unless one of them is given."""

    def __init__(
        self,
        command: Sequence[str],
        cwd: Path,
        env: Mapping[str, str] | None = None,
        stdin: int | None = None,
        stdout: int | None = None,
    ) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
        self.process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**os.environ, "TERM": "xterm", "COLUMNS": str(COLUMNS), **(env or {})},
            stdin=theirs if stdin is None else stdin,
            stdout=theirs if stdout is None else stdout,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self.seen = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)

    def type(self, text: str) -> None:
        """Send keys."""
        os.write(self._ours, text.encode())

    def wait_for(self, text: str) -> str:
        """Read until a text stands on the terminal; return all that was drawn so far."""
        end = time.monotonic() + PATIENCE_S
        while text not in self.seen:
            if not self._read(end - time.monotonic()):
                raise AssertionError(f"{text!r} did not appear in {self.seen!r}")
        return self.seen

    def ended(self) -> tuple[int, str]:
        """Read to the end; return the exit status and all that was drawn."""
        end = time.monotonic() + PATIENCE_S
        while self._read(end - time.monotonic()):
            pass
        return self.process.wait(timeout=PATIENCE_S), self.seen

    def _read(self, seconds: float) -> bool:
        ready, _, _ = select.select([self._ours], [], [], max(0.0, seconds))
        if not ready:
            return False
        try:
            data = os.read(self._ours, 65536)
        except OSError:  # the other side has closed
            return False
        self.seen += data.decode(errors="replace").replace(BELL, "")
        return bool(data)
