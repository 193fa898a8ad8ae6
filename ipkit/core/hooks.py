"""What netfilter says of a datagram, from the host description.

Law: the first entry that matches decides; without one everything is accepted.
"""

from __future__ import annotations

from enum import Enum

from ipkit.core.host.config import HostConfig
from ipkit.core.host.match import matches


class HookPoint(Enum):
    """Where netfilter is asked (NF_INET_*)."""

    PRE_ROUTING = "PRE_ROUTING"
    LOCAL_IN = "LOCAL_IN"
    FORWARD = "FORWARD"
    LOCAL_OUT = "LOCAL_OUT"
    POST_ROUTING = "POST_ROUTING"


class HookVerdict(Enum):
    """What it answers (NF_*)."""

    DROP = "drop"
    ACCEPT = "accept"
    STOLEN = "stolen"


def nf_hook(host: HostConfig, point: HookPoint, data: bytes, iif: str = "", oif: str = "") -> HookVerdict:
    """Return what the entries of one hook point say of a datagram.

    Kernel: include/linux/netfilter.h
    """
    for hook in host.hooks:
        if hook.at == point.value and matches(hook.match, data, iif, oif):
            return HookVerdict(hook.verdict)
    return HookVerdict.ACCEPT
