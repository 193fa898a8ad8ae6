"""The part of a capture that is being looked at.

Law: constant memory. Only what is not yet a whole record is kept; damage further on is told once the bytes before it
are used up.
"""

from __future__ import annotations

from ipkit.edge.capture_source import BLOCK_BYTES, ByteSource
from ipkit.errors import CaptureError


class Window:
    """The part of a capture that is being looked at: records leave at its front, bytes join its end."""

    def __init__(self, source: ByteSource) -> None:
        self.name = source.name
        self.data = b""
        self.position = 0  # where in data the next record begins
        self._base = 0  # where in the capture data begins
        self._source = source
        self._damage: CaptureError | None = None

    def offset(self, position: int) -> int:
        """Return the place in the capture of a place in data."""
        return self._base + position

    def fill(self, need: int) -> bool:
        """Get `need` bytes, and what else is there without waiting; False: the capture ends before."""
        have = len(self.data) - self.position
        if have >= need:
            return True
        if self._damage is not None:
            raise self._damage
        parts = [self.data[self.position :]]
        self._base += self.position
        self.position = 0
        try:
            while have < need or (have < BLOCK_BYTES and self._source.ready()):
                chunk = self._source.read()
                if not chunk:
                    break
                parts.append(chunk)
                have += len(chunk)
        except CaptureError as damage:
            if have < need:
                raise
            self._damage = damage
        finally:
            self.data = b"".join(parts)
        return have >= need
