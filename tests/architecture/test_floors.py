"""Who may know whom: what import-linter cannot say of the floors, and what start-up must not load.

The directions between rooms are contracts in pyproject.toml.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.source import PACKAGE, Module, modules

CORE = [module for module in modules() if module.path.is_relative_to(PACKAGE / "core")]

WORLD = {
    "asyncio",
    "io",
    "logging",
    "os",
    "pathlib",
    "shutil",
    "signal",
    "socket",
    "subprocess",
    "sys",
    "tempfile",
    "time",
}
"""Parts of the standard library through which files, clocks and other machines would come in."""

HEAVY = ("scapy", "numpy", "tabulate")


def imported(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "."


def called(module: Module) -> Iterator[ast.Call]:
    return (node for node in ast.walk(module.tree) if isinstance(node, ast.Call))


@pytest.mark.parametrize("module", CORE, ids=str)
def test_the_core_knows_the_standard_library_and_itself(module: Module) -> None:
    others = {
        name
        for name in imported(module)
        if name.split(".")[0] not in sys.stdlib_module_names
        and not name.startswith("ipkit.core")
        and name != "ipkit.errors"
    }
    assert not others


@pytest.mark.parametrize("module", CORE, ids=str)
def test_the_core_does_not_touch_the_world(module: Module) -> None:
    assert not {name for name in imported(module) if name.split(".")[0] in WORLD}
    assert not {node.func.id for node in called(module) if isinstance(node.func, ast.Name)} & {"open", "print", "input"}


@pytest.mark.parametrize("module", CORE, ids=str)
def test_chance_in_the_core_has_a_seed(module: Module) -> None:
    dice = [node for node in called(module) if isinstance(node.func, ast.Name) and node.func.id == "Random"]
    assert all(node.args for node in dice)
    assert "import random" not in module.text
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ImportFrom) and node.module == "random":
            assert [alias.name for alias in node.names] == ["Random"]


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["csum", "--help"]], ids=" ".join)
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    program = (
        "import atexit, sys\n"
        f"atexit.register(lambda: print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr))\n"
        "from ipkit.cli import main\n"
        "main()\n"
    )
    ended = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
    assert ended.returncode == 0
    assert ended.stderr.strip() == "[]"
