"""No room grows until nobody reads it: modules of 400 lines of code, functions of 50, command files of 80."""

from __future__ import annotations

import pytest

from tests.support.source import PACKAGE, Module, code_lines, functions, modules

MODULE_LINES = 400
FUNCTION_LINES = 50
COMMAND_LINES = 80

COMMANDS = [module for module in modules() if module.path.parent == PACKAGE / "commands" and module.path.name[0] != "_"]


@pytest.mark.parametrize("module", modules(), ids=str)
def test_a_module_stays_readable(module: Module) -> None:
    assert len(code_lines(module)) <= MODULE_LINES


@pytest.mark.parametrize("module", modules(), ids=str)
def test_a_function_fits_on_a_page(module: Module) -> None:
    code = code_lines(module)
    too_long = {
        function.name: lines
        for function in functions(module)
        if (lines := len(code & set(range(function.lineno, (function.end_lineno or 0) + 1)))) > FUNCTION_LINES
    }
    assert not too_long


@pytest.mark.parametrize("module", COMMANDS, ids=str)
def test_a_command_is_thin(module: Module) -> None:
    assert len(code_lines(module)) <= COMMAND_LINES


@pytest.mark.parametrize("module", modules(), ids=str)
def test_a_file_opens_with_its_law(module: Module) -> None:
    first = module.tree.body[0] if module.tree.body else None
    assert first is not None
    assert module.text.lstrip().startswith('"""')
