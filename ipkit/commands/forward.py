"""ipkit forward: captures through the input path of a host, then forwarded, delivered or dropped."""

from __future__ import annotations

import click

from ipkit.commands._forward_words import COLUMNS, TRACE, conclusion, shown_columns
from ipkit.commands._options import (
    MACHINE_FORMATS,
    CaptureFile,
    CaptureOptions,
    HostOptions,
    Names,
    ReportOptions,
    capture_options,
    host_options,
    report_options,
    seed_option,
)
from ipkit.commands._stream import run_captures
from ipkit.core.forward_lane import AtEnd, Detail, ForwardLane, ForwardOptions
from ipkit.core.forward_report import TIMER, VERDICTS
from ipkit.core.host.describe import describe_host
from ipkit.core.lanes import RowWish
from ipkit.errors import ExitStatus


@click.command("forward")
@click.option("--iif", metavar="DEV", help="The link that frames come in by (default: what the capture names).")
@click.option("--drain", is_flag=True, help="At the end let the clock run on until no timer is left.")
@click.option("--save-host", type=CaptureFile(), metavar="FILE", help="Write the host in use as a TOML file.")
@click.option("--trace", is_flag=True, help="Show each packet's way, function by function.")
@click.option("--counters", is_flag=True, help="Add what /proc/net/snmp and netstat would have counted.")
@click.option(
    "--only", type=Names((*VERDICTS, TIMER)), metavar="VERDICT,...", help=f"Only rows of: {', '.join(VERDICTS)}, timer."
)
@seed_option
@host_options
@capture_options
@report_options()
def command(
    *,
    iif: str | None,
    drain: bool,
    save_host: str | None,
    trace: bool,
    counters: bool,
    only: frozenset[str] | None,
    seed: int,
    host: HostOptions,
    captures: CaptureOptions,
    report: ReportOptions,
) -> ExitStatus:
    """Take captures through a host: forwarded, delivered or dropped, and why.

    -w gets everything that the host puts on its wires. Exit status 1: a packet was dropped.
    """
    config = host.load()
    if save_host is not None:
        from ipkit.edge.state_file import write_text

        write_text(save_host, describe_host(config))
    options = ForwardOptions(
        host=config,
        iif=iif or "",
        named=host.source or "",
        seed=seed,
        at_end=AtEnd.DRAIN if drain else AtEnd.STOP,
        detail=Detail.TRACE if trace else Detail.VERDICT,
        only=only or frozenset(),
        counters=counters,
        keeps_frames=captures.write is not None,
    )
    every_column = report.format in MACHINE_FORMATS or report.every_row
    short = shown_columns(len(captures.files), several_verdicts=trace or only is not None)
    columns = COLUMNS if every_column else short
    if trace:
        columns = (*columns, TRACE)

    def make_lane(wish: RowWish) -> ForwardLane:
        return ForwardLane(options, wish)

    return run_captures(captures, report, columns, make_lane, conclude=conclusion)
