"""What the kernel counted, under the names that nstat prints (IpInReceives, IpExtInOctets, TcpExt...)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

FILES: Final = ("/proc/thread-self/net/snmp", "/proc/thread-self/net/netstat")
XFRM_FILE: Final = "/proc/thread-self/net/xfrm_stat"
SETTINGS: Final = frozenset({"IpForwarding", "IpDefaultTTL", "TcpRtoAlgorithm", "TcpRtoMin", "TcpRtoMax", "TcpMaxConn"})
"""Values that /proc/net/snmp prints among the counters and that count nothing."""


class CounterFiles:
    """The counters of one namespace; opened while the thread is inside it, read from anywhere."""

    def __init__(self) -> None:
        self._files = [os.open(name, os.O_RDONLY | os.O_CLOEXEC) for name in FILES]
        self._xfrm = os.open(XFRM_FILE, os.O_RDONLY | os.O_CLOEXEC) if os.path.exists(XFRM_FILE) else None

    def read(self) -> dict[str, int]:
        """Return every counter, zeros too."""
        counters: dict[str, int] = {}
        for file in self._files:
            lines = os.pread(file, 1 << 17, 0).decode().splitlines()
            for names, values in zip(lines[::2], lines[1::2], strict=True):
                group, *fields = names.replace(":", "", 1).split()
                counters.update(zip((group + name for name in fields), map(int, values.split()[1:]), strict=True))
        if self._xfrm is not None:
            rows = os.pread(self._xfrm, 1 << 14, 0).decode().splitlines()
            counters.update((name, int(value)) for name, value in map(str.split, rows))
        return {name: value for name, value in counters.items() if name not in SETTINGS}

    def close(self) -> None:
        if self._xfrm is not None:
            os.close(self._xfrm)
        for file in self._files:
            os.close(file)


def moved(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """Return what changed, and by how much."""
    return {name: value - before.get(name, 0) for name, value in after.items() if value != before.get(name, 0)}
