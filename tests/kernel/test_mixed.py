"""Everything at once: seeded hosts and frames of all kinds, on the running kernel and on the model.

`IPKIT_KERNEL_HOSTS` says how many hosts are tried (default 24).
"""

from __future__ import annotations

import os
from typing import Final

import pytest

from tests.kernel.mixed_cases import scenario
from tests.kernel.together import first_difference

pytestmark = pytest.mark.kernel

HOSTS: Final = int(os.environ.get("IPKIT_KERNEL_HOSTS", "24"))


@pytest.mark.parametrize("seed", range(HOSTS))
def test_what_one_frame_leaves_behind_another_finds(seed: int) -> None:
    """A difference must show three times: on a busy machine the kernel's clock and ours are not one."""
    which = scenario(seed)
    found = first_difference(which) and first_difference(which) and first_difference(which)
    assert not found, f"{found}\n\n{which.host}"
