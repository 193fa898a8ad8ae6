"""Where a capture's bytes come from: a file, a device, a pipe or stdin, unpacked where they are gzipped.

Law: bytes are handed over as they come, each once. Nothing waits for more than it was asked for, so that a live pipe
is never held back, and nothing here knows a packet. Every failure to read is a CaptureError that names the source.
"""

from __future__ import annotations

import errno
import os
import select
import stat
import sys
import zlib
from typing import BinaryIO, Final, Protocol

from ipkit.errors import CaptureError, reason_of

BLOCK_BYTES: Final = 2 << 20
"""How much is read at once: finding records is fastest where a block stays in the processor's cache."""

PACKED_BYTES: Final = 1 << 16
"""The same for gzipped input, which may unpack to a thousand times as much."""

GZIP_MAGIC: Final = b"\x1f\x8b"
_GZIP_WINDOW: Final = 31  # the largest window, and a gzip header and trailer around the data


class _Decoder(Protocol):
    def decompress(self, data: bytes, /) -> bytes: ...


class ByteSource(Protocol):
    """Bytes in order."""

    name: str

    @property
    def position(self) -> int:
        """Bytes of the input read so far."""
        ...

    @property
    def waiting(self) -> bool:
        """Tell whether a read is under way that may take forever: one that an interrupt may end."""
        ...

    def read(self) -> bytes:
        """Return some bytes; none at the end. Waits only where there are none yet."""
        ...

    def ready(self) -> bool:
        """Tell whether read() would return at once."""
        ...

    def close(self) -> None:
        """Let go of the input; stdin stays open."""
        ...


def unpacked(source: FileSource) -> ByteSource:
    """Return the source's bytes without gzip; content tells whether it is there."""
    if source.peek(len(GZIP_MAGIC)) == GZIP_MAGIC:
        return GzipSource(source)
    source.block_bytes = BLOCK_BYTES
    return source


class FileSource:
    """The bytes of a descriptor, or of an object that stands for stdin and has none."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.position = 0
        self.block_bytes = PACKED_BYTES
        self.waiting = False  # inside a read that may take forever
        self._ahead = b""
        self._ended = False
        self._descriptor: int | None = None
        self._stream: BinaryIO | None = None
        self._regular = False
        try:
            self._open()
        except OSError as error:
            raise self._failure(error) from None

    def peek(self, size: int) -> bytes:
        """Return the first bytes without taking them; fewer where there are no more."""
        while len(self._ahead) < size:
            chunk = self._take()
            if not chunk:
                break
            self._ahead += chunk
        return self._ahead[:size]

    def read(self) -> bytes:
        """Return some bytes; none at the end. Waits only where there are none yet."""
        chunk, self._ahead = self._ahead, b""
        return chunk or self._take()

    def ready(self) -> bool:
        """Tell whether read() would return at once."""
        return bool(self._ahead) or self._ended or self._regular or self._readable(0)

    def close(self) -> None:
        """Let go of the input; stdin stays open."""
        if self._descriptor is not None and self.name != "-":
            os.close(self._descriptor)
        self._descriptor = None
        self._stream = None
        self._ended = True

    def _open(self) -> None:
        if self.name == "-":
            if sys.stdin is None:
                raise OSError(errno.EBADF, "stdin is closed")
            self._stream = sys.stdin.buffer
            try:
                self._descriptor = self._stream.fileno()
            except OSError:  # stdin replaced by an object in memory
                return
        else:
            self._descriptor = os.open(self.name, os.O_RDONLY | os.O_CLOEXEC)
        mode = os.fstat(self._descriptor).st_mode
        if stat.S_ISDIR(mode):
            self.close()
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        self._regular = stat.S_ISREG(mode)

    def _take(self) -> bytes:
        if self._ended:
            return b""
        try:
            chunk = self._read_descriptor() if self._descriptor is not None else self._read_stream()
        except OSError as error:
            raise self._failure(error) from None
        self.position += len(chunk)
        self._ended = not chunk
        return chunk

    def _read_descriptor(self) -> bytes:
        assert self._descriptor is not None
        while True:
            try:
                self.waiting = not self._regular
                return os.read(self._descriptor, self.block_bytes)
            except BlockingIOError:  # the other end made the pipe non-blocking
                self._readable(None)
            finally:
                self.waiting = False

    def _read_stream(self) -> bytes:
        return b"" if self._stream is None else self._stream.read(self.block_bytes)

    def _readable(self, timeout_ms: int | None) -> bool:
        if self._descriptor is None:
            return True
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        return bool(poll.poll(timeout_ms))

    def _failure(self, error: OSError) -> CaptureError:
        where = f" (byte {self.position})" if self.position else ""
        return CaptureError(f"{self.name}: {reason_of(error)}{where}")


class GzipSource:
    """The unpacked bytes of a gzipped source, which may hold several members one after the other."""

    def __init__(self, packed: FileSource) -> None:
        self.name = packed.name
        self._packed = packed
        self._input = b""
        self._output = b""
        self._decoder = zlib.decompressobj(_GZIP_WINDOW)
        self._inside = False  # a member has begun
        self._full = False  # the decoder may hold output back
        self._ended = False
        self._damage: CaptureError | None = None

    @property
    def position(self) -> int:
        """Bytes of the input read so far: packed ones."""
        return self._packed.position

    @property
    def waiting(self) -> bool:
        """Tell whether a read is under way that may take forever."""
        return self._packed.waiting

    def read(self) -> bytes:
        """Return some bytes; none at the end. Waits only where there are none yet."""
        while not self._output and not self._ended:
            self._step()
        unpacked, self._output = self._output, b""
        return unpacked

    def ready(self) -> bool:
        """Tell whether read() would return at once: what has arrived may not unpack to anything yet."""
        while not self._output and not self._ended and (self._input or self._full or self._packed.ready()):
            self._step()
        return bool(self._output) or self._ended

    def close(self) -> None:
        """Let go of the input."""
        self._packed.close()
        self._ended = True

    def _step(self) -> None:
        """Unpack one piece of input."""
        if self._damage is not None:
            raise self._damage
        if not self._input and not self._full:
            self._input = self._packed.read()
            if not self._input:
                self._ended = True
                if self._inside:
                    raise CaptureError(f"{self.name}: gzip data cut short (byte {self.position})")
                return
        if not self._inside:
            self._begin_member()
        if self._inside:
            self._unpack()

    def _begin_member(self) -> None:
        self._input = self._input.lstrip(b"\0")  # members may be padded with zeros
        if self._input:
            self._decoder = zlib.decompressobj(_GZIP_WINDOW)
            self._inside = True

    def _unpack(self) -> None:
        before = self._decoder.copy()
        try:
            self._output = self._decoder.decompress(self._input, BLOCK_BYTES)
        except zlib.error as error:
            reason = str(error).rpartition(": ")[2]
            self._damage = CaptureError(f"{self.name}: damaged gzip data: {reason} (before byte {self.position})")
            self._output = _good_part(before, self._input)
            return
        self._full = len(self._output) == BLOCK_BYTES
        self._input = self._decoder.unconsumed_tail
        if self._decoder.eof:
            self._input = self._decoder.unused_data
            self._inside = self._full = False


def _good_part(decoder: _Decoder, packed: bytes) -> bytes:
    """Unpack what stands before the damage: zlib gives nothing at all where some of it is bad."""
    good = bytearray()
    try:
        for at in range(len(packed)):
            good += decoder.decompress(packed[at : at + 1])
    except zlib.error:
        pass
    return bytes(good)
