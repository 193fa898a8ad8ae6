"""The four knobs of reassembly as they were given on a command line.

Law: the kernel's names, ranges and the one condition between them; any other knob means nothing here and is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ipkit.core.host.host_words import Place, reading
from ipkit.core.host.kernel import KernelProfile
from ipkit.core.host.sysctl import NetConf
from ipkit.core.host.sysctl_tree import SysctlTree, read_setting

KNOBS: Final = ("ipfrag_time", "ipfrag_high_thresh", "ipfrag_low_thresh", "ipfrag_max_dist")


def frag_limits(settings: Sequence[tuple[str, str]], kernel: KernelProfile) -> NetConf:
    """Return the limits for settings of the form NAME=VALUE, each with the option that gave it, the later ones last.

    The low mark follows a high one that is set below it, unless it was set itself.
    """
    links = {"lo": None}
    tree, given, place = SysctlTree(kernel, links), set[str](), Place("--sysctl", "")
    for option, text in settings:
        name, equals, value = text.partition("=")
        place = Place(option, name.strip())
        if not equals:
            raise place.error("NAME=VALUE is needed")
        with reading(place):
            setting = read_setting(name, value.strip(), links, kernel)
        if setting.leaf not in KNOBS:
            raise place.error(f"reassembly has only net.ipv4.{', '.join(KNOBS)}")
        given.add(setting.leaf)
        tree.write(setting)
    high = tree.net().ipfrag_high_thresh
    if "ipfrag_low_thresh" not in given and high < tree.net().ipfrag_low_thresh:
        tree.write(read_setting("net.ipv4.ipfrag_low_thresh", high, links, kernel))
    with reading(place):
        tree.check()
    return tree.net()
