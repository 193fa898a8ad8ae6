"""Where a host description comes from: a TOML file, a folder of outputs, this machine, or a list of routes.

Law: files, /proc and the `ip` tool are read here; what they mean is core/host/build.py's business.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ipkit.core.host.build import build_host, builtin_host, host_from_routes, host_from_snapshot, host_with_rules
from ipkit.core.host.config import HostConfig
from ipkit.core.host.kernel import KernelProfile
from ipkit.core.host.snapshot import (
    ADDRESSES,
    GROUPS,
    LINKS,
    NEEDED,
    NEIGHBOURS,
    NEXTHOPS,
    OPTIONAL,
    ROUTES,
    RULES,
    SYSCTLS,
    TABLE_NAMES,
)
from ipkit.errors import HostError

LIVE: Final = "live"
STDIN: Final = "-"

COMMANDS: Final = {
    LINKS: "-j -d link",
    ADDRESSES: "-j addr",
    ROUTES: "-j route show table all",
    RULES: "-j rule",
    NEIGHBOURS: "-j neigh",
}
SPARED: Final = {NEXTHOPS: "-j nexthop", GROUPS: "-j maddr"}
"""What an older tool or kernel may not have."""

ROUTES_AS_TEXT: Final = "route show table all"
LOCKABLE: Final = '"mtu":'
"""JSON of routes does not tell whether an mtu is locked: where there is one, the text is asked instead."""

PROC_ROOT: Final = Path("/proc/sys")
PROC_KNOBS: Final = ("net/ipv4", "net/core/wmem_default", "net/core/wmem_max")
TABLE_NAME_FILES: Final = ("/etc/iproute2/rt_tables", "/usr/share/iproute2/rt_tables")
TABLE_NAME_FOLDERS: Final = ("/etc/iproute2/rt_tables.d", "/usr/share/iproute2/rt_tables.d")
SECONDS_TO_ANSWER: Final = 60


def load_host(source: str | None, kernel: KernelProfile, sysctls: Sequence[str] = ()) -> HostConfig:
    """Return the host of a TOML file, a snapshot folder, this machine (`live`), or the built-in one."""
    if source is None:
        return builtin_host(kernel, sysctls)
    if source == LIVE:
        return host_from_snapshot(_live_parts(), folder=LIVE, kernel=kernel, sysctls=sysctls)
    if Path(source).is_dir():
        return host_from_snapshot(_folder_parts(source), folder=source, kernel=kernel, sysctls=sysctls)
    text = _text(source)
    try:
        description = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise HostError(source, "", f"not TOML: {error}") from None
    return build_host(description, file=source, kernel=kernel, sysctls=sysctls)


def load_routes(source: str, kernel: KernelProfile, sysctls: Sequence[str] = ()) -> HostConfig:
    """Return the host that a list of routes makes; `-` is standard input."""
    name = "stdin" if source == STDIN else source
    try:
        if source == STDIN:
            return host_from_routes(sys.stdin, file=name, kernel=kernel, sysctls=sysctls)
        with Path(source).open(encoding="utf-8") as lines:
            return host_from_routes(lines, file=name, kernel=kernel, sysctls=sysctls)
    except OSError as error:
        raise HostError(name, "", error.strerror or str(error)) from None
    except UnicodeDecodeError:
        raise HostError(name, "", "not text") from None


def load_rules(source: str, host: HostConfig) -> HostConfig:
    """Return a host with the rules of a file besides its own."""
    return host_with_rules(host, _text(source), file=source)


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise HostError(path, "", error.strerror or str(error)) from None
    except UnicodeDecodeError:
        raise HostError(path, "", "not text") from None


def _folder_parts(folder: str) -> dict[str, str]:
    return {part: _text(str(Path(folder, part))) for part in (*NEEDED, *OPTIONAL) if Path(folder, part).exists()}


def _live_parts() -> dict[str, str]:
    """Return the same outputs of this machine."""
    parts = {part: _ip(arguments) for part, arguments in COMMANDS.items()}
    if LOCKABLE in parts[ROUTES]:
        parts[ROUTES] = _ip(ROUTES_AS_TEXT)
    for part, arguments in SPARED.items():
        try:
            parts[part] = _ip(arguments)
        except HostError:
            continue
    parts[SYSCTLS] = "\n".join(_knobs())
    parts[TABLE_NAMES] = _table_names()
    return parts


def _ip(arguments: str) -> str:
    key = f"ip {arguments}"
    try:
        ended = subprocess.run(
            ["ip", *arguments.split()], capture_output=True, text=True, check=False, timeout=SECONDS_TO_ANSWER
        )
    except FileNotFoundError:
        raise HostError(LIVE, key, "there is no `ip` on this machine: iproute2 is needed") from None
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError) as error:
        raise HostError(LIVE, key, str(error)) from None
    if ended.returncode:
        said = ended.stderr.strip().splitlines()
        raise HostError(LIVE, key, said[-1] if said else f"exit status {ended.returncode}")
    return ended.stdout


def _knobs() -> list[str]:
    """Return what is readable of the knobs, as sysctl(8) prints them."""
    lines = []
    for root in PROC_KNOBS:
        start = PROC_ROOT / root
        for path in sorted(start.rglob("*")) if start.is_dir() else [start]:
            try:
                value = path.read_text(encoding="ascii").strip() if path.is_file() else ""
            except (OSError, UnicodeDecodeError):
                continue
            if value:
                parts = path.relative_to(PROC_ROOT).parts
                lines.append(f"{'.'.join(part.replace('.', '/') for part in parts)} = {value}")
    return lines


def _table_names() -> str:
    files = [Path(name) for name in TABLE_NAME_FILES]
    files += [path for folder in TABLE_NAME_FOLDERS for path in sorted(Path(folder).glob("*.conf"))]
    return "\n".join(_text(str(path)) for path in files if path.is_file())
