"""ipkit route-lookup: what the tables of a host say of addresses, or of every packet of a capture."""

from __future__ import annotations

from typing import Final

import click

from ipkit.commands._columns import SHARED, Column
from ipkit.commands._lookup_lines import LineLookups, Questions
from ipkit.commands._lookup_options import MachineOptions, machine_options, manner_options, question_options
from ipkit.commands._options import (
    CaptureFile,
    CaptureOptions,
    ReportOptions,
    count_option,
    progress_option,
    report_options,
    seed_option,
)
from ipkit.commands._stream import opened_report, run_captures
from ipkit.core.lanes import Explain, RowWish
from ipkit.core.lookup import Question
from ipkit.core.lookup_lane import Asker, LookupLane, Manner, Wording
from ipkit.core.state.routing import routing_of
from ipkit.errors import ExitStatus


def words_shown(value: object) -> str:
    """Return a list as words: flags by name, metrics with their values, next hops one after the other."""
    if isinstance(value, dict):
        words = [f"{key} {words_shown(one)}" for key, one in value.items() if key != "flags"]
        return " ".join([*words, *value.get("flags", ())])
    return " ".join(words_shown(one) for one in value) if isinstance(value, list) else str(value)


COLUMNS: Final = (
    Column("dst", "string", "dst"),
    Column("from", "string", "from"),
    Column("iif", "string", "iif"),
    Column("type", "string", "type"),
    Column("table", "string", "table"),
    Column("gateway", "string", "gateway"),
    Column("dev", "string", "dev"),
    Column("prefsrc", "string", "prefsrc"),
    Column("metric", "integer", "metric"),
    Column("metrics", "list", "metrics", words_shown),
    Column("flags", "list", "flags", words_shown),
    Column("cache", "list", "cache", words_shown),
    Column("nexthops", "list", "nexthops", words_shown),
    Column("prefix", "string", "prefix"),
    Column("rule", "integer", "rule"),
    Column("error", "string", "error"),
    Column("reason", "string", "reason"),
)
EXPLAIN: Final = Column("explain", "list", "explain", detail=("func", "say"))
LINES: Final = Column(Wording.LINES.value, "string", "ip route get")


@click.command("route-lookup")
@click.argument("addresses", nargs=-1, metavar="[DST]...")
@click.option("-r", "files", type=CaptureFile(), multiple=True, metavar="CAPTURE", help="Every packet of a capture.")
@machine_options
@question_options
@seed_option
@count_option
@progress_option
@report_options(Wording.LINES.value)
@manner_options
def command(
    *,
    addresses: tuple[str, ...],
    files: tuple[str, ...],
    machine: MachineOptions,
    question: Question,
    manner: Manner,
    seed: int,
    count: int | None,
    progress: bool | None,
    report: ReportOptions,
) -> ExitStatus:
    """Look addresses up in the tables of a host.

    Without DST and -r, each line of standard input is a question: DST [SRC [IIF]]. Exit status 1: a lookup failed.
    """
    if files and (addresses or question.src):
        raise click.UsageError("packets of -r bring their own addresses: no DST, no --from")
    if machine.routes == "-" and not (addresses or files):
        raise click.UsageError("--routes - takes standard input: name a DST, or a capture with -r")
    host = machine.load()
    for option in (question.iif, question.oif):
        if option and option not in host.links:
            raise click.UsageError(f"the host has no link {option}")
    asker = Asker(routing_of(host, seed), manner)
    columns = (LINES,) if manner.wording is Wording.LINES else COLUMNS
    columns = (*columns, EXPLAIN) if manner.explain is Explain.YES else columns
    if files:
        captures = CaptureOptions(files, None, count or 0, progress)
        shared = columns if columns[0] is LINES else (*SHARED, *columns[1:])

        def make_lane(wish: RowWish) -> LookupLane:
            return LookupLane(asker, question, wish, machine.host.source or "")

        return run_captures(captures, report, shared, make_lane)
    with opened_report(report, columns, None) as answers:
        lines = LineLookups(asker, question, answers, count or 0)
        interrupted = lines.answer_all(_questions(addresses, saving=machine.save_to is not None))
        answers.close(lines.summary())
    if interrupted:
        return ExitStatus.INTERRUPTED
    return ExitStatus.FINDING if asker.errors else ExitStatus.FINE


def _questions(addresses: tuple[str, ...], *, saving: bool) -> Questions:
    """Return what is asked: the addresses typed, or the lines of standard input; a host can be saved without any."""
    from ipkit.edge.stdin_lines import StdinLines, TypedLines, stdin_is_terminal

    if addresses or saving:
        return TypedLines(addresses)
    if stdin_is_terminal():
        raise click.UsageError("nothing asked: name a DST, a capture with -r, or give lines on standard input")
    return StdinLines()
