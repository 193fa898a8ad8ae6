"""The floor plan in ipkit/core/__init__.py says where each kernel function lives, and it is right.

A kernel act is a function whose docstring names its source (`Kernel: ...`), or a room's `def ip_...`.
"""

from __future__ import annotations

import ast
import re

import ipkit.core
from tests.support.source import PACKAGE, Function, Module, modules

KERNEL_NAME = re.compile(r"(__)?ip_\w+$")
ENTRY = re.compile(r"^    (\w+) +(\S+\.py)$", re.MULTILINE)
CORE = PACKAGE / "core"


def is_kernel_act(function: Function, module: Module) -> bool:
    named = module.path.parent == CORE and KERNEL_NAME.match(function.name)
    return bool(named) or "\nKernel:" in (ast.get_docstring(function) or "")


def rooms() -> set[tuple[str, str]]:
    return {
        (node.name, str(module.path.relative_to(CORE)))
        for module in modules()
        if module.path.is_relative_to(CORE)
        for node in module.tree.body
        if isinstance(node, Function) and is_kernel_act(node, module)
    }


def as_docstring(plan: set[tuple[str, str]]) -> str:
    width = max(len(name) for name, _ in plan)
    return "".join(
        f"    {name:{width}}  {room}\n" for name, room in sorted(plan, key=lambda entry: (entry[1], entry[0]))
    )


def test_the_floor_plan_equals_the_code() -> None:
    entries = set(ENTRY.findall(ipkit.core.__doc__ or ""))
    actual = rooms()
    assert entries == actual, f"the plan should read:\n\n{as_docstring(actual)}"


def test_a_kernel_act_has_one_home() -> None:
    names = [name for name, _ in rooms()]
    assert len(names) == len(set(names))
