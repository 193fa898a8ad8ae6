"""The knobs of one host as they are written one after the other: what one write does to others, and what comes out.

Law: raw values only, as /proc/sys holds them; the effective ones of a device are made by sysctl.combined at the end.
In a host file the order of the lines decides nothing: what is general is written first, so that what is particular
wins. Settings of the command line come after it, in the order given, as `sysctl -w` would write them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from enum import Enum, IntEnum
from typing import Final, NamedTuple

from ipkit.core.host.kernel import KernelProfile
from ipkit.core.host.sysctl import (
    DEVICE_KNOBS,
    NEIGH_ALIASES,
    NEIGH_KNOBS,
    NET_KNOBS,
    NET_PATHS,
    DeviceConf,
    Knob,
    NeighConf,
    NetConf,
    combined,
)
from ipkit.core.host.words import WordError, number

EVERY: Final = "all"
NEW: Final = "default"


class Area(Enum):
    """Which part of the tree a knob stands in."""

    NET = ""
    CONF = "conf"
    NEIGH = "neigh"


class Setting(NamedTuple):
    """One knob and the value it gets; `dev` is a device, `all` or `default`, and empty for a knob of the host."""

    area: Area
    dev: str
    leaf: str
    value: int

    @property
    def name(self) -> str:
        """The full name, as sysctl(8) spells it: a dot inside a device's name is a slash."""
        if self.area is Area.NET:
            return NET_KNOBS[self.leaf].path or f"net.ipv4.{self.leaf}"
        return f"net.ipv4.{self.area.value}.{self.dev.replace('.', '/')}.{self.leaf}"


class Breadth(IntEnum):
    """How general a setting is: the general ones are written first."""

    FORWARDING = 0  # sets every device
    NEW_DEVICES = 1
    ONE = 2


class UnknownKnobError(WordError):
    """A knob, or a value of one, that the modelled kernel does not have: in a dump of another it is no mistake."""


def _place(name: str, devices: Collection[str]) -> tuple[Area, str, str]:
    """Return where a name stands in the tree."""
    name = _with_dots(name.strip())
    if name in NET_PATHS:
        return Area.NET, "", NET_PATHS[name]
    for area in (Area.CONF, Area.NEIGH):
        start = f"net.ipv4.{area.value}."
        if not name.startswith(start):
            continue
        dev, _, leaf = name.removeprefix(start).rpartition(".")
        known = devices if area is Area.CONF else (*devices, NEW)
        dev = dev if dev in known else dev.replace("/", ".")
        knobs = DEVICE_KNOBS if area is Area.CONF else {**NEIGH_KNOBS, **NEIGH_ALIASES}
        if leaf not in knobs:
            break
        if dev not in (*devices, NEW) and (area, dev) != (Area.CONF, EVERY):
            raise UnknownKnobError(f"there is no link {dev or '(without a name)'}")
        return area, dev, leaf
    raise UnknownKnobError("unknown, or nothing in the modelled paths reads it")


def _with_dots(name: str) -> str:
    """Return a name in the dotted spelling: written with slashes, a dot belongs to a device."""
    slash, dot = name.find("/"), name.find(".")
    if slash < 0 or 0 <= dot < slash:
        return name
    return name.replace(".", "\0").replace("/", ".").replace("\0", "/")


def read_setting(name: str, value: object, devices: Collection[str], kernel: KernelProfile) -> Setting:
    """Return a setting; WordError where the kernel has no such knob, or does not take the value."""
    area, dev, leaf = _place(name, devices)
    factor = 1
    if area is Area.NEIGH and leaf in NEIGH_ALIASES:
        leaf, factor = NEIGH_ALIASES[leaf]
    knob = _knob(area, leaf)
    if not knob.in_kernel(kernel):
        raise UnknownKnobError(f"kernel {kernel.name} does not have it")
    found = _value(value, knob.low, knob.high // factor) * factor
    if knob.highest and found > knob.highest(kernel):
        raise UnknownKnobError(f"kernel {kernel.name} has no {found}")
    return Setting(area, dev, leaf, found)


def _knob(area: Area, leaf: str) -> Knob:
    return {Area.NET: NET_KNOBS, Area.CONF: DEVICE_KNOBS, Area.NEIGH: NEIGH_KNOBS}[area][leaf]


def _value(value: object, low: int, high: int) -> int:
    if isinstance(value, str):
        return number(value, low, high)
    if isinstance(value, bool) or not isinstance(value, int):
        raise WordError(f"a number is needed, not {value!r}")
    if not low <= value <= high:
        raise WordError(f"{value} is not between {low} and {high}")
    return value


class SysctlTree:
    """The raw values of one host while they are being written."""

    def __init__(self, kernel: KernelProfile, devices: Iterable[str]) -> None:
        self._kernel = kernel
        self._net = {name: knob.default for name, knob in NET_KNOBS.items()}
        every = {name: knob.every for name, knob in DEVICE_KNOBS.items()}
        fresh = {name: knob.default for name, knob in DEVICE_KNOBS.items()}
        self._conf = {EVERY: every, NEW: fresh, **{dev: dict(fresh) for dev in devices}}
        self._conf["lo"].update(disable_policy=1, disable_xfrm=1)
        neigh = {name: knob.default for name, knob in NEIGH_KNOBS.items()}
        self._neigh = {NEW: neigh, **{dev: dict(neigh) for dev in devices}}
        self._own: set[tuple[Area, str, str]] = set()

    def write_file(self, settings: Iterable[Setting]) -> None:
        """Write the settings of a host description: the general ones first."""
        for setting in sorted(settings, key=_breadth):
            self.write(setting)

    def write(self, setting: Setting) -> None:
        """Write one knob, and what the kernel writes with it."""
        area, dev, leaf, value = setting
        if _is_forwarding(setting):
            self._inet_forward_change(value)
        elif area is Area.NET:
            self._net[leaf] = value
        else:
            tree = self._conf if area is Area.CONF else self._neigh
            tree[dev][leaf] = value
            if dev == NEW:
                self._inherit(area, tree, leaf)
            else:
                self._own.add((area, dev, leaf))

    def _inherit(self, area: Area, tree: Mapping[str, dict[str, int]], leaf: str) -> None:
        """Hand a default to the links, as if they came up after it; the loopback device was there before."""
        for dev, values in tree.items():
            if dev not in (EVERY, NEW, "lo") and (area, dev, leaf) not in self._own:
                values[leaf] = tree[NEW][leaf]

    def _inet_forward_change(self, value: int) -> None:
        if value == self._net["ip_forward"]:
            return
        self._net["ip_forward"] = value
        for values in self._conf.values():
            values["forwarding"] = value
        self._conf[EVERY]["accept_redirects"] = int(not value)

    def check(self) -> None:
        """Refuse what no order of writing would have brought about."""
        if self._net["ipfrag_low_thresh"] > self._net["ipfrag_high_thresh"]:
            raise WordError("ipfrag_low_thresh must not be above ipfrag_high_thresh")

    def net(self) -> NetConf:
        """Return what is not per device."""
        return NetConf(**self._net)

    def device(self, dev: str) -> DeviceConf:
        """Return the effective values of one device."""
        return combined(self._conf[EVERY], self._conf[dev], self._kernel)

    def neigh(self, dev: str) -> NeighConf:
        """Return how neighbours of one device are asked for."""
        return NeighConf(**self._neigh[dev])

    def settings(self) -> dict[str, int]:
        """Return the shortest list of settings that brings a fresh host to this state."""
        listed: list[Setting] = []
        for breadth in Breadth:
            fresh = SysctlTree(self._kernel, [dev for dev in self._conf if dev not in (EVERY, NEW)])
            fresh.write_file(listed)
            listed += [
                new
                for new, old in zip(self._all(), fresh._all(), strict=True)
                if new != old and _breadth(new) is breadth
            ]
        return {setting.name: setting.value for setting in listed}

    def _all(self) -> list[Setting]:
        found = [Setting(Area.NET, "", leaf, value) for leaf, value in self._net.items()]
        for area, tree in ((Area.CONF, self._conf), (Area.NEIGH, self._neigh)):
            found += [Setting(area, dev, leaf, value) for dev, values in tree.items() for leaf, value in values.items()]
        return [setting for setting in found if (setting.dev, setting.leaf) != (EVERY, "forwarding")]  # = ip_forward


def _is_forwarding(setting: Setting) -> bool:
    return (setting.leaf, setting.dev) in (("ip_forward", ""), ("forwarding", EVERY))


def _breadth(setting: Setting) -> Breadth:
    if _is_forwarding(setting):
        return Breadth.FORWARDING
    return Breadth.NEW_DEVICES if setting.dev == NEW else Breadth.ONE
