"""Every knob of the host: its name, its default, and how `all` and the device combine."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any


class Combine(Enum):
    """How the value for all devices and the device's own make the effective one (IN_DEV_MAXCONF family)."""

    DEV = "device only"
    AND = "both"
    OR = "either"
    MAX = "larger"


def knob(default: int, combine: Combine) -> Any:
    """Declare a per-device knob with the kernel's default and its combining rule."""
    return field(default=default, metadata={"combine": combine})


@dataclass(frozen=True, slots=True)
class DeviceConf:
    """net.ipv4.conf.DEV.*: field names are the knobs' own."""

    forwarding: int = knob(0, Combine.DEV)
    rp_filter: int = knob(0, Combine.MAX)
    accept_local: int = knob(0, Combine.OR)


def combined(every: DeviceConf, device: DeviceConf) -> DeviceConf:
    """Return the effective values of one device."""
    rules = {
        Combine.DEV: lambda _all, dev: dev,
        Combine.AND: lambda every_, dev: int(bool(every_) and bool(dev)),
        Combine.OR: lambda every_, dev: int(bool(every_) or bool(dev)),
        Combine.MAX: max,
    }
    return DeviceConf(
        **{
            f.name: rules[f.metadata["combine"]](getattr(every, f.name), getattr(device, f.name))
            for f in fields(DeviceConf)
        }
    )


@dataclass(frozen=True, slots=True)
class NetConf:
    """net.ipv4.*: what is not per device."""

    ip_default_ttl: int = 64
