"""Where bytes go: a file that appears whole or not at all, a device, a pipe, standard output.

Law: a regular file is written beside its place and renamed into it by commit(); what stood there stands until then.
Devices and FIFOs cannot be renamed onto and are written directly, and so is a descriptor that has a name (/dev/fd/3):
what it leads to was opened by someone else, perhaps to be appended to. Every failure to write is a WriteError that
names the target, except a reader who left (BrokenPipeError): that is no error of ours.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final, Self

from ipkit.errors import WriteError, reason_of

STDOUT: Final = 1
DESCRIPTORS: Final = {"-": STDOUT, "/dev/stdout": STDOUT, "/dev/stderr": 2}
DESCRIPTOR_FOLDERS: Final = ("/dev/fd", "/proc/self/fd")


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

    @property
    def called(self) -> str:
        """What errors call it."""
        return "standard output" if self.name == "-" else self.name

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
        number = descriptor_of(self.name)
        if number is not None:
            return _opened(os.dup(number))
        there = self._status()
        if there is None or stat.S_ISREG(there.st_mode):
            return self._open_beside(there)
        if stat.S_ISDIR(there.st_mode):
            raise IsADirectoryError(None, "is a directory")
        return _opened(os.open(self.name, os.O_WRONLY | os.O_CLOEXEC))

    def _open_beside(self, there: os.stat_result | None) -> BinaryIO:
        final = Path(os.path.realpath(self.name))
        if there is not None and not os.access(final, os.W_OK):
            raise PermissionError(None, "permission denied")
        descriptor, name = tempfile.mkstemp(prefix=".ipkit-", dir=final.parent)
        self._final, self._temporary = final, Path(name)
        if there is None:
            os.fchmod(descriptor, 0o666 & ~_umask())
        else:
            with suppress(OSError):  # giving a file away takes privileges
                os.fchown(descriptor, there.st_uid, there.st_gid)
            os.fchmod(descriptor, stat.S_IMODE(there.st_mode))
        return os.fdopen(descriptor, "wb")

    def _status(self) -> os.stat_result | None:
        """Return what stands at the place; None: nothing, and a link that leads nowhere is nothing yet."""
        try:
            return Path(self.name).stat()
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
        return WriteError(f"{self.called}: {reason_of(error)}")


def descriptor_of(name: str) -> int | None:
    """Return the open descriptor that a name stands for."""
    folder, _, number = name.rpartition("/")
    is_open = folder in DESCRIPTOR_FOLDERS and number.isdecimal() and os.path.lexists(name)
    return int(number) if is_open else DESCRIPTORS.get(name)


def is_file(name: str) -> bool:
    """Tell whether a target of that name will be a file of our own, which can be changed until it is committed."""
    if descriptor_of(name) is not None:
        return False
    try:
        return stat.S_ISREG(Path(name).stat().st_mode)
    except OSError:  # what hinders that one can be looked at will be said when it is opened
        return True


def are_one(name: str, other: str) -> bool:
    """Tell whether two names are the same target, which cannot hold what is meant for both."""
    if descriptor_of(name) is not None:
        return descriptor_of(name) == descriptor_of(other)
    try:
        there = os.path.realpath(name)
        return there == os.path.realpath(other) and (not os.path.lexists(there) or Path(there).is_file())
    except OSError:  # the folder we are in is gone: opening them will say so
        return False


def _opened(descriptor: int) -> BinaryIO:
    """Return a stream on a descriptor; what is written into a pipe is there at once."""
    is_pipe = stat.S_ISFIFO(os.fstat(descriptor).st_mode)
    return os.fdopen(descriptor, "wb", buffering=0 if is_pipe else -1)


def _umask() -> int:
    """Return the process's umask: it can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
