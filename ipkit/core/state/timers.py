"""When the next timer of a host goes off: what a lane asks before each packet, in one comparison.

Law: a bound and no more. Who has a timer keeps it, and tells here how early it may go off.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

ALWAYS: Final = -(1 << 63)
NEVER: Final = 1 << 63


@dataclass(slots=True)
class Timers:
    """The bound that all timers of a host share."""

    due_ns: int = NEVER  # no timer goes off before

    def at(self, when_ns: int) -> None:
        """Note a timer."""
        self.due_ns = min(self.due_ns, when_ns)
