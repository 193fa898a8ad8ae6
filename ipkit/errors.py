"""What a user got wrong, and the exit statuses.

Only mistakes in files, options and host descriptions live here. What happens to a packet is a
value (core/outcome), never an exception. This module imports nothing of ipkit.
"""

from __future__ import annotations

from enum import IntEnum


class ExitStatus(IntEnum):
    """What the process tells its caller."""

    FINE = 0
    FINDING = 1
    USAGE = 2
    BUG = 70
    INTERRUPTED = 130


class IpkitError(Exception):
    """A mistake of the user's: one line on stderr, exit status 2."""


def reason_of(error: OSError) -> str:
    """Return what the system says went wrong, as part of a sentence."""
    text = error.strerror or str(error)
    return text[:1].lower() + text[1:]


class HostError(IpkitError):
    """A host description that cannot be used: names file, key and reason."""

    def __init__(self, file: str, key: str, why: str) -> None:
        super().__init__(f"{file}: {key}: {why}" if key else f"{file}: {why}")


class CaptureError(IpkitError):
    """A capture that cannot be read as one, or not any further."""


class UnknownLinkType(CaptureError):
    """A capture whose link layer ipkit does not take off."""


class CaptureTruncated(CaptureError):
    """The file ends inside a record; everything before it was processed."""

    def __init__(self, name: str, offset: int) -> None:
        super().__init__(f"{name}: record cut short (byte {offset})")


class WriteError(IpkitError):
    """The output could not be written; what stood there before still stands."""


class SendError(IpkitError):
    """A device that frames cannot be put on, or not these frames."""
