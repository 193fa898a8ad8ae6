"""Where bytes go: a file that appears whole or not at all, a device, a pipe, standard output.

Law: a regular file is written beside its place and renamed into it by commit(); what stood there stands until then.
Devices and FIFOs cannot be renamed onto and are written directly. Every failure to write is a WriteError that names
the target, except a reader who left (BrokenPipeError): that is no error of ours.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Self

from ipkit.errors import WriteError, reason_of


class OutputTarget:
    """One target, open for writing until it is committed or abandoned."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._temporary: Path | None = None
        self._final: Path | None = None
        self._owned = True
        try:
            self._stream = self._open()
        except OSError as error:
            raise self._failure(error) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.abandon()

    def isatty(self) -> bool:
        """Tell whether a person looks at the bytes."""
        return self._stream.isatty()

    def write(self, data: bytes) -> None:
        """Write all of the data: a signal may cut short a write into a pipe."""
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._stream.write(rest) :]
        except OSError as error:
            raise self._failure(error) from None

    def rewrite(self, offset: int, data: bytes) -> None:
        """Change bytes that were written already, where the target is a file; what has left for a pipe stays."""
        if self._temporary is None:
            return
        try:
            self._stream.seek(offset)
            self._stream.write(data)
            self._stream.seek(0, os.SEEK_END)
        except OSError as error:
            raise self._failure(error) from None

    def flush(self) -> None:
        """Let what was written go out."""
        try:
            self._stream.flush()
        except OSError as error:
            raise self._failure(error) from None

    def commit(self) -> None:
        """Let the file appear at its place; a second call does nothing."""
        try:
            self._close()
            if self._temporary is not None and self._final is not None:
                self._temporary.replace(self._final)
                self._temporary = None
        except OSError as error:
            self.abandon()
            raise self._failure(error) from None

    def abandon(self) -> None:
        """Leave what stood there; after commit() there is nothing left to abandon."""
        with suppress(OSError):
            self._close()
        if self._temporary is not None:
            with suppress(OSError):
                self._temporary.unlink()
            self._temporary = None

    def _open(self) -> BinaryIO:
        if self.name == "-":
            self._owned = False
            if sys.stdout is None:
                raise OSError(errno.EBADF, "closed")
            return sys.stdout.buffer
        self._final = Path(self.name).resolve()
        mode = self._mode_of_existing(self._final)
        if mode is not None and not stat.S_ISREG(mode):
            if stat.S_ISDIR(mode):
                raise IsADirectoryError(None, "is a directory")
            return self._final.open("wb", buffering=0 if stat.S_ISFIFO(mode) else -1)
        if mode is not None and not os.access(self._final, os.W_OK):
            raise PermissionError(None, "permission denied")
        return self._open_beside(self._final, mode)

    def _open_beside(self, final: Path, mode: int | None) -> BinaryIO:
        descriptor, name = tempfile.mkstemp(prefix=f".{final.name[:200]}.", dir=final.parent)
        self._temporary = Path(name)
        os.fchmod(descriptor, stat.S_IMODE(mode) if mode is not None else 0o666 & ~_umask())
        return os.fdopen(descriptor, "wb")

    @staticmethod
    def _mode_of_existing(path: Path) -> int | None:
        try:
            return path.stat().st_mode
        except FileNotFoundError:
            return None

    def _close(self) -> None:
        if self._owned:
            self._stream.close()
        else:
            self._stream.flush()

    def _failure(self, error: OSError) -> Exception:
        if isinstance(error, BrokenPipeError):
            return error
        return WriteError(f"{'standard output' if self.name == '-' else self.name}: {reason_of(error)}")


def _umask() -> int:
    """Return the process's umask: it can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
