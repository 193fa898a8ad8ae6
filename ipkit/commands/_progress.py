"""A bar on stderr that never gets between the report's lines."""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from typing import Final

BAR_CELLS: Final = 30
SECONDS_BEFORE: Final = 0.5
SECONDS_BETWEEN: Final = 0.1
MEGABYTE: Final = 1_000_000
CLEAR_LINE: Final = "\r\x1b[K"


class Progress:
    """How much of the input has been read, drawn at most ten times a second.

    Nobody who did not ask for it sees it flash by over what takes no time.
    """

    def __init__(self, total: int | None, wanted: bool | None) -> None:  # noqa: FBT001 - three states: yes, no, as it fits
        fits = sys.stderr.isatty() and total is not None
        self._on = fits if wanted is None else wanted
        self._total = total
        self._next = 0.0 if wanted else time.monotonic() + SECONDS_BEFORE
        self._drawn = False

    def show(self, position: int) -> None:
        """Draw the bar anew if the last one is old enough."""
        if not self._on or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + SECONDS_BETWEEN
        _draw(CLEAR_LINE + self._text(position))
        self._drawn = True

    def hide(self) -> None:
        """Take the bar away before something else is written."""
        if self._drawn:
            _draw(CLEAR_LINE)
            self._drawn = False

    def _text(self, position: int) -> str:
        read = f"{position / MEGABYTE:.1f} MB"
        if not self._total:
            return read
        share = min(position / self._total, 1.0)
        filled = int(share * BAR_CELLS)
        return f"[{'#' * filled}{'.' * (BAR_CELLS - filled)}] {share:4.0%} {read}"


def _draw(text: str) -> None:
    with suppress(OSError):  # a bar that cannot be seen is no reason to stop
        os.write(sys.stderr.fileno(), text.encode())
