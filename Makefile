# ipkit. Two commands do everything on a machine with make and Python >= 3.11 with venv:
#   make demo   runs the main job on a capture in examples/ and shows the result
#   make test   all tests, types, lint, import floors, manual pages
# Both make their own environment in .venv first; the second time that takes no time.
# Also: make bench (beside other programs), make clean.

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
INSTALLED := pyproject.toml README.md LICENSE $(wildcard man/*.[15]) $(wildcard completions/*)
JOBS ?= 2
PYTEST_ARGS ?=
SAY = @printf '\n== %s\n'

.PHONY: demo test install format types floors manual tests bench clean
.NOTPARALLEL:

demo: $(READY)
	@PATH="$(CURDIR)/$(BIN):$$PATH" sh examples/demo.sh

test: format types floors manual tests

install: $(READY)

$(READY): $(INSTALLED) .ci/python
	$(SAY) 'environment: $(VENV), made once'
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { python=$$(sh .ci/python) && "$$python" -m venv --clear $(VENV); }
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --editable '.[dev]'
	@touch $(READY)

format: $(READY)
	$(SAY) 'ruff: rules and format'
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --diff .

types: $(READY)
	$(SAY) 'mypy --strict'
	@$(BIN)/mypy --no-error-summary

floors: $(READY)
	$(SAY) 'import-linter: which room may import which'
	@$(BIN)/lint-imports --no-logo

manual:
	$(SAY) 'mandoc: manual pages'
	@if command -v mandoc >/dev/null; then mandoc -T lint -W warning man/*.[15]; \
	else echo 'skipped: mandoc is not installed'; fi

tests: $(READY)
	$(SAY) 'pytest'
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -n $(JOBS) $(PYTEST_ARGS)

bench: $(READY)
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m bench

clean:
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
