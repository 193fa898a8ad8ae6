"""Skips what asks the kernel where the kernel cannot be asked, and says exactly what is missing."""

from __future__ import annotations

import os

import pytest

from tests.kernel.system import KNOWN_KERNELS, kernel_release, missing


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """On CI, root has everything or the tests fail; elsewhere they skip aloud."""
    lacks = list(missing())
    if kernel_release() < KNOWN_KERNELS:
        lacks.append(f"kernel {os.uname().release}, not {KNOWN_KERNELS[0]}.{KNOWN_KERNELS[1]} or later")
    must_run = os.environ.get("CI") == "true" and os.geteuid() == 0
    if lacks and not must_run:
        skip = pytest.mark.skip(reason=f"the running kernel cannot be asked: {', '.join(lacks)}")
        for item in items:
            if item.get_closest_marker("kernel"):
                item.add_marker(skip)
