"""What only `ipkit reassemble` takes: the knobs of the fragment queues, and an option whose value may be left out.

Law: declarations only, as in _options.py.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Final

import click

from ipkit.commands._options import Callback, kernel_option, sysctl_option
from ipkit.core.host.kernel import KernelProfile
from ipkit.core.host.sysctl import NetConf

PICTURE_SUFFIX: Final = ".svg"
UNDER_THE_ROWS: Final = "rows"


class MapCommand(click.Command):
    """A command whose --map takes a picture's name, and no other word that follows it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Bind the word behind --map to it only where it names a picture."""
        bound: list[str] = []
        for word in args:
            if bound and bound[-1] == "--map":
                is_picture = word.endswith(PICTURE_SUFFIX)
                bound[-1] = f"--map={word if is_picture else UNDER_THE_ROWS}"
                if is_picture:
                    continue
            bound.append(word)
        if bound and bound[-1] == "--map":
            bound[-1] = f"--map={UNDER_THE_ROWS}"
        return super().parse_args(ctx, bound)


_KNOBS: Final = (
    ("ipfrag_time", "S", "Seconds that a datagram may take (30)."),
    ("ipfrag_high_thresh", "B", "Memory for fragments (4194304)."),
    ("ipfrag_low_thresh", "B", "Memory down to which old queues are thrown out (3145728)."),
    ("ipfrag_max_dist", "N", "Fragments of one source in between (64; 0: any number)."),
)


def _option(leaf: str) -> str:
    return f"--{leaf.replace('_', '-')}"


def frag_limit_options(function: Callback) -> Callback:
    """Add the four knobs, --sysctl and --kernel; the command gets `limits` and `kernel`."""

    @functools.wraps(function)
    def wrapper(*args: Any, **given: Any) -> Any:
        settings = [("--sysctl", setting) for setting in given.pop("sysctls")]
        for leaf, _, _ in _KNOBS:
            value = given.pop(leaf)
            if value is not None:
                settings.append((_option(leaf), f"net.ipv4.{leaf}={value}"))
        return function(*args, limits=_limits(settings, given["kernel"]), **given)

    decorated: Callback = sysctl_option(kernel_option(wrapper))
    for leaf, metavar, meaning in reversed(_KNOBS):
        decorated = click.option(_option(leaf), leaf, metavar=metavar, help=meaning)(decorated)
    return decorated


def _limits(settings: Sequence[tuple[str, str]], kernel: KernelProfile) -> NetConf:
    """Return the limits; their own room is not entered where nothing is set."""
    if not settings:
        return NetConf()
    from ipkit.core.frag_limits import frag_limits

    return frag_limits(settings, kernel)
