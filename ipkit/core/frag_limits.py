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


def frag_limits(settings: Sequence[str], kernel: KernelProfile) -> NetConf:
    """Return the limits for settings of the form NAME=VALUE, the later ones last.

    The low mark follows a high one that is set below it, unless it was set itself.
    """
    links = {"lo": None}
    tree, given = SysctlTree(kernel, links), dict[str, int]()
    for text in settings:
        name, equals, value = text.partition("=")
        place = Place("--sysctl", name.strip())
        if not equals:
            raise place.error("NAME=VALUE is needed")
        with reading(place):
            setting = read_setting(name, value.strip(), links, kernel)
        if setting.leaf not in KNOBS:
            raise place.error(f"reassembly has only net.ipv4.{', '.join(KNOBS)}")
        given[setting.leaf] = setting.value
        tree.write(setting)
    limits = tree.net()
    if "ipfrag_low_thresh" not in given and limits.ipfrag_high_thresh < limits.ipfrag_low_thresh:
        low = read_setting("net.ipv4.ipfrag_low_thresh", limits.ipfrag_high_thresh, links, kernel)
        tree.write(low)
    with reading(Place("--sysctl", "")):
        tree.check()
    return tree.net()
