"""What holds for every test: repeatable property tests, and kernel tests that run or say what they miss.

A run must give the same answer twice, so hypothesis draws from a fixed seed. Tests that ask the running kernel need
root and iproute2; a run that is meant to have both (root, with CI=true) never skips them.
"""

from __future__ import annotations

import os
import shutil

import pytest
from hypothesis import settings

settings.register_profile("repeatable", deadline=None, derandomize=True, database=None)
settings.load_profile("repeatable")


def _why_not_the_kernel() -> str:
    if os.geteuid() != 0:
        return "needs root"
    if os.environ.get("CI") == "true":
        return ""
    return "" if shutil.which("ip") else "needs ip (iproute2)"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what asks the running kernel where it cannot be asked."""
    reason = _why_not_the_kernel()
    if reason:
        for item in items:
            if item.get_closest_marker("kernel"):
                item.add_marker(pytest.mark.skip(reason=reason))
