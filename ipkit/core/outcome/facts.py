"""Evidence: what a stage saw and decided by, put into words by the renderer alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Fact(NamedTuple):
    """One thing learnt at a kernel function, with the values that decided."""

    func: str
    say: str
    values: Mapping[str, object] = {}
