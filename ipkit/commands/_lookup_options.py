"""The options of route-lookup that belong together: what is asked, of which machine, and how the answer is put.

Law: declarations and the values made of them; each decorator hands over one frozen value.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from ipkit.commands._options import CaptureFile, HostOptions, host_options
from ipkit.core.host.words import ALL_ONES, TOS_NAMES, address, ip_protocol, number
from ipkit.core.lanes import Explain
from ipkit.core.lookup import Question
from ipkit.core.lookup_lane import Manner, Match, Wording
from ipkit.core.wire.ipv4 import PROTO_UDP

if TYPE_CHECKING:
    from ipkit.core.host.config import HostConfig

Callback = Callable[..., Any]


def read_by(reader: Callable[[str], Any]) -> Callable[[click.Context, click.Parameter, str | None], Any]:
    """Return the callback that reads an option's text as the host description's words are read."""

    def read(_context: click.Context, _param: click.Parameter, text: str | None) -> Any:
        try:
            return None if text is None else reader(text)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

    return read


def tos_byte(text: str) -> int:
    """Return a TOS by number or by name."""
    return TOS_NAMES[text] if text in TOS_NAMES else number(text, 0, 0xFF)


read_port: Final = read_by(lambda text: number(text, 0, 0xFFFF))
read_mark: Final = read_by(lambda text: number(text, 0, ALL_ONES))

QUESTION_OPTIONS: Final = (
    click.option("--from", "src", callback=read_by(address), metavar="A", help="The source."),
    click.option("--iif", metavar="DEV", help="A packet that came in there: the input path."),
    click.option("--oif", metavar="DEV", help="A packet that is to leave there."),
    click.option("--tos", callback=read_by(tos_byte), metavar="N", help="The TOS, or a DSCP by name."),
    click.option("--mark", callback=read_mark, metavar="N", help="The mark."),
    click.option("--proto", "protocol", callback=read_by(ip_protocol), metavar="P", help="The protocol (udp)."),
    click.option("--sport", callback=read_port, metavar="N", help="The source port."),
    click.option("--dport", callback=read_port, metavar="N", help="The destination port."),
)


def question_options(function: Callback) -> Callback:
    """Add what a question can say besides its destination; the command gets `question`, with destination 0."""

    @functools.wraps(function)
    def wrapper(*args: Any, **given: Any) -> Any:
        names = ("src", "iif", "oif", "tos", "mark", "protocol", "sport", "dport")
        said = {name: value for name in names if (value := given.pop(name)) is not None}
        return function(*args, question=Question(0, **{"protocol": PROTO_UDP, **said}), **given)

    for option in reversed(QUESTION_OPTIONS):
        wrapper = option(wrapper)
    return wrapper


def manner_options(function: Callback) -> Callback:
    """Add how answers are put; the command gets `manner`."""

    @functools.wraps(function)
    def wrapper(*args: Any, **given: Any) -> Any:
        match = Match.FIB if given.pop("fibmatch") else Match.ROUTE
        explain = Explain.YES if given.pop("explain") else Explain.NO
        wording = Wording.LINES if given["report"].format == Wording.LINES.value else Wording.ROW
        if explain is Explain.YES and wording is Wording.LINES:
            raise click.UsageError("--explain has no place in the lines of iproute2", click.get_current_context())
        return function(*args, manner=Manner(match, explain, wording), **given)

    wrapper = click.option("--explain", is_flag=True, help="Rules and tables walked; what lost, and why.")(wrapper)
    return click.option("--fibmatch", is_flag=True, help="The route of the table that matches, as it stands there.")(
        wrapper
    )


@dataclass(frozen=True, slots=True)
class MachineOptions:
    """The machine that is asked: a host, or no more than its routes."""

    host: HostOptions
    routes: str | None
    rules: str | None
    save_to: str | None

    def load(self) -> HostConfig:
        """Read the description; write it as a host file where that is wanted."""
        from ipkit.edge.host_source import load_routes, load_rules

        if self.routes is None:
            machine = self.host.load()
        else:
            machine = load_routes(self.routes, self.host.kernel, self.host.sysctls)
        if self.rules is not None:
            machine = load_rules(self.rules, machine)
        if self.save_to is not None:
            _save(machine, self.save_to)
        return machine


def _save(machine: HostConfig, place: str) -> None:
    from ipkit.core.host.describe import describe_host
    from ipkit.edge.output_target import OutputTarget

    with OutputTarget(place) as target:
        target.write(describe_host(machine).encode())
        target.commit()


def machine_options(function: Callback) -> Callback:
    """Add the options of the machine; the command gets `machine`."""

    @functools.wraps(function)
    def wrapper(*args: Any, **given: Any) -> Any:
        machine = MachineOptions(given.pop("host"), given.pop("routes"), given.pop("rules"), given.pop("save_to"))
        if machine.routes is not None and machine.host.source is not None:
            raise click.UsageError("--routes stands in for a host: not with --host", click.get_current_context())
        return function(*args, machine=machine, **given)

    options = (
        click.option("--routes", type=CaptureFile(), metavar="FILE|-", help="Routes instead of a host."),
        click.option("--rules", type=CaptureFile(), metavar="FILE", help="Rules besides those of the host."),
        click.option("--save-host", "save_to", type=CaptureFile(), metavar="FILE", help="Write the host in use."),
    )
    decorated = host_options(wrapper)
    for option in reversed(options):
        decorated = option(decorated)
    return decorated
