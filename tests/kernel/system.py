"""The few system calls that Python 3.11 does not offer, and whether this machine lets a test use them.

Nothing made here outlives its process: a namespace lives by a file descriptor, the tracing file system is
mounted nowhere, a tracepoint is closed with its descriptor. A killed test run leaves nothing behind.
"""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Final

CLONE_NEWNET: Final = 0x40000000
SYS_PERF_EVENT_OPEN: Final = 241 if os.uname().machine == "aarch64" else 298
SYS_FSOPEN: Final = 430
SYS_FSCONFIG: Final = 431
SYS_FSMOUNT: Final = 432
FSCONFIG_CMD_CREATE: Final = 6
CLOEXEC: Final = 1

KNOWN_KERNELS: Final = (6, 13)
"""From here on kernels behave like the 6.18 that the tests know, as far as they ask."""

_LIBC = ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> int:
    if result < 0:
        errno = ctypes.get_errno()
        raise OSError(errno, os.strerror(errno))
    return result


def system_call(number: int, *arguments: object) -> int:
    """Return what a system call answers, or raise its errno."""
    return _checked(_LIBC.syscall(number, *arguments))


def open_namespace() -> int:
    """Return a descriptor of this thread's network namespace."""
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


@contextmanager
def inside(namespace: int) -> Iterator[None]:
    """Let this thread, and what it starts, live in another network namespace for a while."""
    home = open_namespace()
    try:
        _checked(_LIBC.setns(namespace, CLONE_NEWNET))
        yield
    finally:
        _checked(_LIBC.setns(home, CLONE_NEWNET))
        os.close(home)


def new_namespace() -> int:
    """Return a descriptor of a fresh network namespace; the thread stays where it was."""
    home = open_namespace()
    try:
        _checked(_LIBC.unshare(CLONE_NEWNET))
        return open_namespace()
    finally:
        _checked(_LIBC.setns(home, CLONE_NEWNET))
        os.close(home)


@cache
def tracing_folder() -> str:
    """Return a path to the tracing file system, mounted for this process alone and on no folder."""
    context = system_call(SYS_FSOPEN, b"tracefs", CLOEXEC)
    try:
        system_call(SYS_FSCONFIG, context, FSCONFIG_CMD_CREATE, None, None, 0)
        mount = system_call(SYS_FSMOUNT, context, CLOEXEC, 0)
    finally:
        os.close(context)
    return f"/proc/self/fd/{mount}"


@cache
def missing() -> tuple[str, ...]:
    """Return what this machine lacks for asking its kernel; empty where everything is there."""
    lacks = []
    if os.geteuid() != 0:
        lacks.append("not root")
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        lacks.append("no /dev/net/tun")
    if shutil.which("ip") is None:
        lacks.append("no iproute2 (ip)")
    if not lacks:
        try:
            os.close(new_namespace())
        except OSError as error:
            lacks.append(f"no network namespace ({error.strerror})")
    return tuple(lacks)


@cache
def kernel_release() -> tuple[int, int]:
    """Return the running kernel's version as two numbers."""
    major, minor = os.uname().release.split(".")[:2]
    return int(major), int(minor)
