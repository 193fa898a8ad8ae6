"""Rooms ask a kernel profile for a behaviour; which kernel it is they cannot tell."""

from __future__ import annotations

import ast

import pytest

from ipkit.core.host.kernel import PROFILES
from tests.support.source import PACKAGE, Module, modules

PROFILE_NAMES = set(PROFILES)
CONSTANTS = {f"LINUX_{name.replace('.', '_')}" for name in PROFILE_NAMES}
ROOMS = [
    module
    for module in modules()
    if module.path.is_relative_to(PACKAGE / "core") and module.path != PACKAGE / "core" / "host" / "kernel.py"
]


def asks_which(node: ast.AST) -> bool:
    if isinstance(node, ast.Constant):
        return node.value in PROFILE_NAMES
    if isinstance(node, ast.Name):
        return node.id in CONSTANTS
    if isinstance(node, ast.Attribute):
        owner = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
        return node.attr == "name" and owner in {"kernel", "profile"}
    return False


@pytest.mark.parametrize("module", ROOMS, ids=str)
def test_no_room_asks_for_the_version(module: Module) -> None:
    asking = [
        f"line {decision.lineno}"
        for decision in ast.walk(module.tree)
        if isinstance(decision, ast.Compare | ast.Match | ast.Subscript)
        if any(asks_which(node) for node in ast.walk(decision))
    ]
    assert not asking


def test_the_profiles_differ_and_each_goes_by_its_name() -> None:
    assert {name: profile.name for name, profile in PROFILES.items()} == {name: name for name in PROFILES}
    assert len(set(PROFILES.values())) == len(PROFILES)
