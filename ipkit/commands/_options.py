"""The options that several commands share; each decorator hands over one frozen value.

Law: declarations only. An option that means nothing to a command is not decorated onto it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from ipkit.core.host.config import HostConfig
    from ipkit.core.host.kernel import KernelProfile

Callback = Callable[..., Any]

MACHINE_FORMATS: Final = ("jsonl", "json", "csv", "tsv")
USUAL_FORMATS: Final = ("table", *MACHINE_FORMATS, "simple", "plain", "github", "grid", "pipe", "html", "latex", "rst")
KERNELS: Final = ("4.14", "6.18")


class ReportFormat(click.ParamType[str]):
    """A name that -f takes: one of ours, the command's own extra ones, or any of tabulate's."""

    name = "format"

    def __init__(self, extra: tuple[str, ...] = ()) -> None:
        self.own = ("table", *MACHINE_FORMATS, *extra)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Accept a known name; tabulate is asked only about names that are not ours."""
        if value in self.own:
            return str(value)
        from tabulate import tabulate_formats

        if value not in tabulate_formats:
            self.fail(f"{value!r} is not a format: {', '.join(self.own)}, or a format of tabulate", param, ctx)
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Offer the usual names."""
        names = dict.fromkeys((*self.own, *USUAL_FORMATS))
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


class CaptureFile(click.ParamType[str]):
    """A file's name, or - ; whether it can be read is found out when it is opened."""

    name = "file"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Let the shell complete file names."""
        return [CompletionItem(incomplete, type="file")]


class Names(click.ParamType[frozenset[str]]):
    """Some of a few names, separated by commas."""

    name = "names"

    def __init__(self, known: Sequence[str]) -> None:
        self.known = tuple(known)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> frozenset[str]:
        """Accept known names only."""
        names = value.split(",")
        for name in names:
            if name not in self.known:
                self.fail(f"{name!r} is none of {', '.join(self.known)}", param, ctx)
        return frozenset(names)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Offer what may follow the last comma."""
        before, comma, last = incomplete.rpartition(",")
        return [CompletionItem(before + comma + name) for name in self.known if name.startswith(last)]


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """How the report looks and where it goes."""

    format: str
    place: str | None
    every_row: bool
    limit: int
    quiet: int
    colour: bool | None


@dataclass(frozen=True, slots=True)
class CaptureOptions:
    """Which captures go in, and where packets come out."""

    files: tuple[str, ...]
    write: str | None
    count: int
    progress: bool | None


@dataclass(frozen=True, slots=True)
class HostOptions:
    """The machine the packets meet."""

    source: str | None
    sysctls: tuple[str, ...]
    kernel: KernelProfile

    def load(self) -> HostConfig:
        """Read the host description."""
        from ipkit.edge.host_source import load_host

        return load_host(self.source, self.kernel, self.sysctls)


def _stacked(function: Callback, options: list[Callable[[Any], Any]]) -> Callback:
    for option in reversed(options):
        function = option(function)
    return function


def report_options(*extra_formats: str) -> Callable[[Callback], Callback]:
    """Add the options of the report; the command gets `report`."""

    def decorate(function: Callback) -> Callback:
        @functools.wraps(function)
        def wrapper(*args: Any, **given: Any) -> Any:
            report = _report_from(given)
            return function(*args, report=report, **given)

        return _stacked(
            wrapper,
            [
                click.option("-j", "--json", "json_lines", is_flag=True, help="JSON lines: the same as -f jsonl."),
                click.option(
                    "-f",
                    "--format",
                    "format_name",
                    type=ReportFormat(extra_formats),
                    metavar="FORMAT",
                    help=f"table (default), {', '.join((*MACHINE_FORMATS, *extra_formats))}, or a tabulate format.",
                ),
                click.option("--report", "place", type=CaptureFile(), metavar="FILE", help="Write the report there."),
                click.option("-a", "--all", "every_row", is_flag=True, help="A table row for every packet."),
                click.option(
                    "--limit",
                    type=click.IntRange(min=0),
                    metavar="N",
                    help="At most N rows in a table (100; 0: all; with -a: all).",
                ),
                click.option("-q", "--quiet", "quiet", count=True, help="Summary only; -qq: exit status only."),
                click.option("--color/--no-color", "colour", default=None, help="Colour (default: on a terminal)."),
            ],
        )

    return decorate


def _report_from(given: dict[str, Any]) -> ReportOptions:
    json_lines, name = given.pop("json_lines"), given.pop("format_name")
    if json_lines and name not in (None, "jsonl"):
        raise click.UsageError(f"-j asks for JSON lines and -f for {name}", click.get_current_context())
    every_row, limit = given.pop("every_row"), given.pop("limit")
    return ReportOptions(
        format="jsonl" if json_lines else name or "table",
        place=given.pop("place"),
        every_row=every_row,
        limit=limit if limit is not None else 0 if every_row else 100,
        quiet=given.pop("quiet"),
        colour=given.pop("colour"),
    )


def capture_options(function: Callback) -> Callback:
    """Add FILE..., -w, -c and --progress; the command gets `captures`."""

    @functools.wraps(function)
    def wrapper(*args: Any, **given: Any) -> Any:
        captures = CaptureOptions(
            files=given.pop("files"),
            write=given.pop("write"),
            count=given.pop("count") or 0,
            progress=given.pop("progress"),
        )
        return function(*args, captures=captures, **given)

    return _stacked(
        wrapper,
        [
            click.argument("files", nargs=-1, metavar="[FILE]...", type=CaptureFile()),
            click.option("-w", "--write", type=CaptureFile(), metavar="FILE", help="Write the packets; - is stdout."),
            count_option,
            progress_option,
        ],
    )


count_option = click.option("-c", "--count", type=click.IntRange(min=1), metavar="N", help="Stop after N packets.")
progress_option = click.option(
    "--progress/--no-progress", default=None, help="A bar on stderr (default: on a terminal)."
)


def _profile(_ctx: click.Context, _param: click.Parameter, name: str) -> KernelProfile:
    from ipkit.core.host.kernel import PROFILES

    return PROFILES[name]


kernel_option = click.option(
    "--kernel",
    type=click.Choice(KERNELS),
    default=KERNELS[0],
    envvar="IPKIT_KERNEL",
    show_default=True,
    callback=_profile,
    help="Whose behaviour, where kernels differ.",
)
"""--kernel; the command gets the profile as `kernel`."""

sysctl_option = click.option(
    "--sysctl", "sysctls", multiple=True, metavar="NAME=VALUE", help="Set one knob by its real name (repeatable)."
)

seed_option = click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, metavar="N", help="Where chance begins."
)
"""--seed; the command gets `seed`."""


def host_options(function: Callback) -> Callback:
    """Add --host, --sysctl and --kernel; the command gets `host`."""

    @functools.wraps(function)
    def wrapper(*args: Any, **given: Any) -> Any:
        host = HostOptions(given.pop("host_source"), given.pop("sysctls"), given.pop("kernel"))
        return function(*args, host=host, **given)

    source = click.option(
        "--host", "host_source", type=CaptureFile(), metavar="FILE|DIR|live", help="The machine the packets meet."
    )
    return _stacked(wrapper, [source, sysctl_option, kernel_option])
