"""What the options of send say, in the words of the core.

Law: texts become values here; a word that stands for nothing is a usage error that names the option.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from click.parser import _OptionParser

from ipkit.core.host.config import HostConfig
from ipkit.core.inet_sock import PmtuDisc
from ipkit.core.send_words import parse_cmsg, parse_hex, parse_option, parse_sockopt
from ipkit.core.wire.cmsg import int_bytes
from ipkit.core.wire.ipv4 import PROTOCOL_NAMES, address_number
from ipkit.errors import IpkitError, reason_of

Value = TypeVar("Value")

WRITES: Final = "ipkit.writes"
PROTOCOLS: Final = {name: number for number, name in PROTOCOL_NAMES.items()}
MODES: Final = tuple(mode.name.lower() for mode in PmtuDisc)


class WriteOption(click.Option):
    """One write of the program; several of them keep the order in which they were typed, whatever they are called."""

    def add_to_parser(self, parser: _OptionParser, ctx: click.Context) -> None:
        """Let the parser note each use beside storing it."""
        super().add_to_parser(parser, ctx)
        for name in self.opts:
            known = parser._long_opt[name]  # noqa: SLF001 - click forgets the order among different options
            known.process = _noting(known.process, name, ctx)  # type: ignore[method-assign, assignment]


def _noting(process: Callable[[Any, Any], None], name: str, ctx: click.Context) -> Callable[[Any, Any], None]:
    def noted(value: Any, state: Any) -> None:
        ctx.meta.setdefault(WRITES, []).append((name, value))
        process(value, state)

    return noted


def writes_of(ctx: click.Context, size: int | None) -> tuple[bytes, ...]:
    """Return the data of each write: what was typed, or so many bytes of a pattern."""
    typed: list[tuple[str, str]] = ctx.meta.get(WRITES, [])
    if typed and size is not None:
        raise click.UsageError("--size makes data up: it does not go with --data, --hex or --file", ctx)
    if size is not None:
        return (bytes(range(256)) * (size // 256) + bytes(range(size % 256)),)
    return tuple(_write_data(name, value) for name, value in typed) or (b"",)


def _write_data(option: str, value: str) -> bytes:
    if option == "--data":
        return value.encode("utf-8", "surrogateescape")
    if option == "--hex":
        return _parsed(parse_hex, value, option)
    try:
        return Path(value).read_bytes()
    except OSError as error:
        raise IpkitError(f"{value}: {reason_of(error)}") from None


def _parsed(parse: Callable[[str], Value], text: str, option: str) -> Value:
    try:
        return parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error), click.get_current_context(), param_hint=f"'{option}'") from None


class AddressParam(click.ParamType[int]):
    """An IPv4 address."""

    name = "address"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return its number."""
        try:
            return value if isinstance(value, int) else address_number(value)
        except ValueError:
            self.fail(f"{value!r} is not an IPv4 address", param, ctx)


class ProtocolParam(click.ParamType[int]):
    """A protocol's name or number."""

    name = "protocol"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return its number."""
        if isinstance(value, int):
            return value
        number = PROTOCOLS.get(value, int(value) if value.isascii() and value.isdigit() else -1)
        if not 0 <= number <= 255:
            self.fail(f"{value!r} is none of {', '.join(PROTOCOLS)} and no number up to 255", param, ctx)
        return number


def options_of(given: dict[str, Any], host: HostConfig) -> tuple[tuple[str, bytes], ...]:
    """Return the socket options in the order in which they are set."""
    found: list[tuple[str, bytes]] = []
    if given["pmtudisc"] is not None:
        found.append(("IP_MTU_DISCOVER", int_bytes(PmtuDisc[given["pmtudisc"].upper()])))
    for key, name in (("ttl", "IP_TTL"), ("tos", "IP_TOS"), ("gso_size", "UDP_SEGMENT")):
        if given[key] is not None:
            found.append((name, int_bytes(given[key])))
    if given["ip_options"]:
        found.append(("IP_OPTIONS", b"".join(_parsed(parse_option, text, "--option") for text in given["ip_options"])))
    sockopts: Sequence[str] = given["sockopts"]
    return (*found, *(_parsed(lambda text: parse_sockopt(text, host), text, "--sockopt") for text in sockopts))


def control_of(cmsgs: Sequence[str], host: HostConfig) -> bytes:
    """Return the control messages as they stand in a program's buffer."""
    return b"".join(_parsed(lambda text: parse_cmsg(text, host), text, "--cmsg") for text in cmsgs)


def refuse_strangers(ctx: click.Context, names: tuple[str, ...], why: str) -> None:
    """Refuse options that mean nothing in the form of the command that was called."""
    for parameter in ctx.command.params:
        typed = parameter.name in names and ctx.get_parameter_source(parameter.name)
        if typed is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{parameter.opts[0]} {why}", ctx)
