"""The bytes of a capture on their way to a target: joined, counted, and set right where the target is a file.

Law: it knows no format. What is added goes out in order, in few large writes.
"""

from __future__ import annotations

from typing import Final

from ipkit.edge.output_target import OutputTarget

PENDING_BYTES: Final = 1 << 20


class PacketOutput:
    """Bytes for one target."""

    def __init__(self, target: OutputTarget) -> None:
        self.name = target.name
        self.offset = 0  # where the next byte will stand
        self._target = target
        self._pending: list[bytes] = []
        self._pending_bytes = 0

    def add(self, data: bytes) -> None:
        """Let bytes follow what was added before."""
        self._pending.append(data)
        self._pending_bytes += len(data)
        self.offset += len(data)
        if self._pending_bytes > PENDING_BYTES:
            self.send()

    def send(self) -> None:
        """Hand everything to the target."""
        pending, self._pending, self._pending_bytes = self._pending, [], 0
        if pending:
            self._target.write(b"".join(pending))

    def rewrite(self, offset: int, data: bytes) -> None:
        """Set bytes right that were added before, where that is possible."""
        self.send()
        self._target.rewrite(offset, data)
