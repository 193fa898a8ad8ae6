"""The command line's outer shell: which commands there are, and how a process ends.

The only place where an error becomes a line on stderr and an exit status. A command is imported when it is called,
so that help and completion cost no more than click itself.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from importlib import import_module
from typing import Any, Final, NoReturn

import click

from ipkit import __version__
from ipkit.errors import ExitStatus, IpkitError, reason_of

COMMANDS: Final = {
    "csum": "Verify, explain or repair checksums.",
    "fragment": "Cut datagrams to an MTU; make test input.",
    "forward": "What Linux would do with each packet.",
    "reassemble": "Put fragments together, by anyone's rules.",
    "route-lookup": "Ask the tables where packets go.",
    "send": "Send a message the kernel's way, or replay.",
}
"""Every command and its line in the overview; the module of the same name in ipkit/commands holds the command."""


COMPLETION: Final = "_IPKIT_COMPLETE"
STDERR: Final = 2


class LazyGroup(click.Group):
    """A group whose commands are imported when one of them is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the overview."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"ipkit.commands.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=LazyGroup,
    no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, message="ipkit %(version)s")
def group() -> None:
    """Ask what Linux would do with a packet, and why.

    Captures go in, the kernel's answer comes out: offline, without root, function by function.
    """


def main() -> NoReturn:
    """Run the program and end the process."""
    _occupy_standard_streams()
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup means it
            signal.signal(number, _unwind)
    try:
        status = _status()
    except click.exceptions.Exit as end:
        status = end.exit_code
    except BrokenPipeError:
        _die_of_closed_pipe()
    except (KeyboardInterrupt, click.Abort):
        status = ExitStatus.INTERRUPTED
    except Exception:
        # A bug of ours must not look like a finding, and 1 is what Python would end with.
        sys.excepthook(*sys.exc_info())
        status = ExitStatus.BUG
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is done; from here on it would only make noise
    sys.exit(int(status or ExitStatus.FINE))


def _status() -> Any:
    """Run, and turn what the user or the system got wrong into a line and a status."""
    try:
        status = _run(sys.argv[1:])
        if sys.stdout is not None:
            sys.stdout.flush()
    except click.ClickException as error:
        return complain(error, _one_line_usage(error))
    except IpkitError as error:
        return complain(error, str(error))
    except BrokenPipeError:
        raise
    except OSError as error:
        # Where files are opened such an error gets a name: this was help on its way to a full disk.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or it would be tried once more in the end
        return complain(error, f"standard output: {reason_of(error)}")
    return status


def _run(arguments: list[str]) -> Any:
    """Parse and call. click's own main would end a closed pipe with the status of a finding."""
    if asked := os.environ.get(COMPLETION):
        from click.shell_completion import shell_complete

        return ExitStatus.USAGE if shell_complete(group, {}, "ipkit", COMPLETION, asked) else ExitStatus.FINE
    with group.make_context("ipkit", arguments) as context:
        return group.invoke(context)


def complain(error: Exception, line: str) -> ExitStatus:
    """Say in one line on stderr what was wrong, and which command says it."""
    from ipkit.core.rows import plain_text

    context: Any = getattr(error, "ctx", None) or click.get_current_context(silent=True)
    name = context.command_path if context is not None else _command_named_in_arguments()
    text = f"{name}: {plain_text(line)}\n"
    with suppress(OSError):  # nobody can be told that nobody can be told
        os.write(sys.stderr.fileno(), text.encode("utf-8", "surrogateescape"))
    return ExitStatus.USAGE


def _one_line_usage(error: click.ClickException) -> str:
    """Return click's complaint, with the way to the help where the call itself was wrong."""
    line = error.format_message().rstrip(".")
    context = getattr(error, "ctx", None)
    return f"{line} (see {context.command_path} --help)" if context is not None else line


def _command_named_in_arguments() -> str:
    """Return the command an error belongs to once click has left its context."""
    named = next((word for word in sys.argv[1:] if word in COMMANDS), None)
    return f"ipkit {named}" if named else "ipkit"


def _occupy_standard_streams() -> None:
    """Let no file of ours get the number of a stream that is closed: what is said there would end up in the file."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= STDERR:
        pass
    os.close(descriptor)
    if sys.stderr is None:
        sys.stderr = os.fdopen(STDERR, "w", closefd=False)


def _unwind(number: int, _frame: object) -> NoReturn:
    """End when told to, but not before half-written files are gone."""
    sys.exit(128 + number)


def _die_of_closed_pipe() -> NoReturn:
    """End as any filter does whose reader has gone: silently, by SIGPIPE."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.raise_signal(signal.SIGPIPE)
    sys.exit(128 + signal.SIGPIPE)
