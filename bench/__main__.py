"""`make bench`, or `python -m bench [--rounds N] [NAME]...`: every comparison, or those of some commands."""

from __future__ import annotations

import argparse
import os
import platform
from importlib import import_module

from bench.comparison import compare
from bench.memory import memory
from bench.startup import start_up

COMMANDS = ("csum", "fragment", "forward", "reassemble", "route-lookup", "send")


def main() -> None:
    """Measure and print, table by table."""
    parser = argparse.ArgumentParser(prog="bench")
    parser.add_argument("--rounds", type=int, default=3, help="medians of so many runs in turn")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"start-up memory {' '.join(COMMANDS)}; default: all")
    given = parser.parse_args()
    wanted = given.names or ["start-up", *COMMANDS, "memory"]
    modules = {name: import_module(f"bench.{name.replace('-', '_')}") for name in COMMANDS}
    print(f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    for name in wanted:
        if name == "start-up":
            print(start_up(), flush=True)
        elif name == "memory":
            print(memory({key: command for module in modules.values() for key, command in module.COMMANDS.items()}))
        elif name in modules:
            for work in modules[name].works():
                print(compare(work, given.rounds), flush=True)
        else:
            parser.error(f"{name}: no such comparison")


if __name__ == "__main__":
    main()
