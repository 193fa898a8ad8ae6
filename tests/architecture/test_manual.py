"""The manual and the program say the same: every option is described, nothing else is, and the examples run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest

from ipkit.cli import COMMANDS, group
from ipkit.core.host import document, match, neigh_words, nexthop_words, route_words, rule_words, snapshot, sysctl
from ipkit.core.host.build import BUILT_IN, build_host
from ipkit.core.host.kernel import PROFILES
from tests.support.manual import described_options, displays, examples, named_options, page, pages
from tests.support.source import ROOT

EXAMPLES = [
    pytest.param(script, id=f"{path.stem}-{number}")
    for path in pages()
    for number, script in enumerate(examples(path.read_text()), 1)
]


def command_named(name: str) -> click.Command:
    command = group.get_command(click.Context(group), name)
    assert command is not None
    return command


def options_of(name: str) -> set[str]:
    command = command_named(name)
    with click.Context(command, info_name=name, help_option_names=["-h", "--help"]) as context:
        parameters = [parameter for parameter in command.get_params(context) if isinstance(parameter, click.Option)]
    return {spelling for option in parameters for spelling in (*option.opts, *option.secondary_opts)}


COMMON = {"-h", "--help", "--version"}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_described(name: str) -> None:
    described = described_options(page(f"ipkit {name}")) | described_options(page("ipkit"))
    assert options_of(name) - described - COMMON == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_the_page_of_a_command_names_all_it_takes(name: str) -> None:
    command = command_named(name)
    mentioned = named_options(page(f"ipkit {name}"))
    for option in (parameter for parameter in command.params if isinstance(parameter, click.Option)):
        assert mentioned & set(option.opts), f"{name} {option.opts}"


@pytest.mark.parametrize("name", COMMANDS)
def test_a_page_describes_no_option_that_is_not_there(name: str) -> None:
    assert named_options(page(f"ipkit {name}")) - options_of(name) == set()


def test_the_overview_describes_no_option_that_is_not_there() -> None:
    known = set[str]().union(*(options_of(name) for name in COMMANDS)) | COMMON
    assert described_options(page("ipkit")) - known == set()


def test_the_overview_lists_the_commands() -> None:
    assert [line.removeprefix(".It Cm ") for line in page("ipkit").splitlines() if line.startswith(".It Cm ")][
        : len(COMMANDS)
    ] == list(COMMANDS)


@pytest.mark.parametrize("script", EXAMPLES)
def test_an_example_runs_as_printed(script: str, tmp_path: Path) -> None:
    if "ip -j" in script and shutil.which("ip") is None:
        pytest.skip("needs iproute2")
    for file in (*(ROOT / "examples").glob("*.pcap*"), *(ROOT / "examples").glob("*.toml")):
        shutil.copy(file, tmp_path)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ended = subprocess.run(
        ["bash", "-o", "pipefail", "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode in (0, 1), ended.stderr
    assert not re.search("^ipkit|Traceback", ended.stderr, re.MULTILINE), ended.stderr


HOSTS = [shown for shown in displays(page("ipkit-host")) if "[link." in shown]

WORDS_OF_A_HOST = {
    "keys": {*document.TOP_LEVEL, *re.findall(r'\bsection\.\w+\("(\w+)"', Path(document.__file__).read_text())},
    "values": (
        *(*document.KINDS, *document.LISTENERS, *document.HOOK_POINTS, *document.HOOK_VERDICTS),
        *(*document.POLICY_DIRECTIONS, *document.POLICY_ACTIONS, *document.FEATURES),
    ),
    "matches": [field.value for field in match.Field],
    "routes": {*route_words.TYPES, *route_words._ROUTE_WORDS, *route_words.METRICS_READ, *route_words.METRICS_KEPT},
    "flags of routes": route_words.FLAGS,
    "rules": {*rule_words.FIELDS.values(), *rule_words.ACTIONS},
    "neighbours": neigh_words.STATES,
    "refused": {*route_words.NOT_MODELLED, *rule_words.NOT_MODELLED, *nexthop_words.NOT_MODELLED},
    "files": {*snapshot.NEEDED, *snapshot.OPTIONAL},
    "knobs of links": {*sysctl.DEVICE_KNOBS, *sysctl.NEIGH_KNOBS, *sysctl.NEIGH_ALIASES},
    "knobs": [path.rpartition(".")[2] for path in sysctl.NET_PATHS],
}


@pytest.mark.parametrize("kind", WORDS_OF_A_HOST)
def test_the_page_of_a_host_names_every_word_of_a_kind(kind: str) -> None:
    named = set(re.findall(r"[\w.-]*\w", page("ipkit-host")))
    assert set(WORDS_OF_A_HOST[kind]) - named == set()


@pytest.mark.parametrize("kernel", PROFILES)
@pytest.mark.parametrize("text", HOSTS, ids=[str(number) for number in range(len(HOSTS))])
def test_a_host_of_the_manual_can_be_built(text: str, kernel: str) -> None:
    assert len(build_host(tomllib.loads(text), file="manual", kernel=PROFILES[kernel]).links) > 1


def test_the_manual_shows_the_built_in_host() -> None:
    assert tomllib.loads(HOSTS[0]) == BUILT_IN


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.stem)
def test_a_page_is_without_a_fault(path: Path) -> None:
    if shutil.which("mandoc") is None:
        pytest.skip("needs mandoc")
    ended = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "warning", str(path)], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "")
