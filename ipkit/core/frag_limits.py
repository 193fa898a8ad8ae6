"""The four knobs of reassembly as they were given on a command line.

Law: the kernel's names, ranges and the one condition between them; any other knob means nothing here and is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ipkit.core.host.kernel import KernelProfile
from ipkit.core.host.sysctl import NET_KNOBS, NetConf
from ipkit.core.host.sysctl_tree import Setting, SysctlTree, read_setting
from ipkit.core.host.words import WordError
from ipkit.errors import HostError

KNOBS: Final = tuple(leaf for leaf in NET_KNOBS if leaf.startswith("ipfrag_"))
LINKS: Final = {"lo": None}


def frag_limits(settings: Sequence[tuple[str, str]], kernel: KernelProfile) -> NetConf:
    """Return the limits for settings of the form NAME=VALUE, each with the option that gave it, the later ones last.

    A high mark that is set takes the low one with it, unless that is set as well: three quarters, as by default.
    """
    tree, given = SysctlTree(kernel, LINKS), set[str]()
    for option, text in settings:
        setting = _setting(option, text, kernel)
        given.add(setting.leaf)
        tree.write(setting)
    if "ipfrag_high_thresh" in given and "ipfrag_low_thresh" not in given:
        low = tree.net().ipfrag_high_thresh * 3 // 4
        tree.write(read_setting("net.ipv4.ipfrag_low_thresh", low, LINKS, kernel))
    try:
        tree.check()
    except WordError as error:
        raise HostError(settings[-1][0], "", str(error)) from None
    return tree.net()


def _setting(option: str, text: str, kernel: KernelProfile) -> Setting:
    name, equals, value = text.partition("=")
    if not equals:
        raise HostError(option, name, "NAME=VALUE is needed")
    try:
        setting = read_setting(name, value.strip(), LINKS, kernel)
    except WordError as error:
        raise HostError(option, name.strip(), str(error)) from None
    if setting.leaf not in KNOBS:
        raise HostError(option, name.strip(), f"reassembly has only net.ipv4.{', '.join(KNOBS)}")
    return setting
