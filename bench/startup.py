"""What a user waits for before anything happens: `ipkit --help` beside the bare import of click."""

from __future__ import annotations

import sys

from bench.process import in_turn

RUNS = 20


def start_up() -> str:
    """Return the medians of both, run in turn."""
    commands = {
        "ipkit --help": ("ipkit", "--help"),
        'python3 -c "import click"': (sys.executable, "-c", "import click"),
    }
    measured = in_turn(commands, RUNS)
    ours, click = (measured[name].seconds for name in commands)
    lines = "".join(
        f"{name:26} {seconds * 1000:6.1f} ms\n" for name, seconds in zip(commands, (ours, click), strict=True)
    )
    return f"\nstart-up, medians of {RUNS} in turn\n\n{lines}{'ratio':26} {ours / click:6.2f}\n"
