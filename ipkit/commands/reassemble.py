"""ipkit reassemble: put fragments together as ip_defrag does, or as others would."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import click

from ipkit.commands._datagram_columns import COLUMNS, COMPARED, DRAWN
from ipkit.commands._frag_options import UNDER_THE_ROWS, MapCommand, frag_limit_options
from ipkit.commands._options import CaptureFile, CaptureOptions, ReportOptions, capture_options, report_options
from ipkit.commands._stream import run_captures
from ipkit.core.fragment_map import map_svg
from ipkit.core.host.kernel import KernelProfile
from ipkit.core.host.sysctl import NetConf
from ipkit.core.lanes import RowWish
from ipkit.core.overlap import POLICIES
from ipkit.core.reassemble_lane import ReassembleLane, ReassembleOptions
from ipkit.errors import CaptureError, ExitStatus

KERNEL: Final = "kernel"


@click.command("reassemble", cls=MapCommand)
@click.option("--drain", is_flag=True, help="Let the timers run on after the last packet.")
@click.option(
    "--policy",
    type=click.Choice([KERNEL, *POLICIES]),
    default=KERNEL,
    show_default=True,
    metavar="NAME",
    help=f"Whose rule for overlaps: {', '.join([KERNEL, *POLICIES])}.",
)
@click.option("--compare", is_flag=True, help="Every policy on every datagram, and where they disagree.")
@click.option("--map", "map_to", metavar="[FILE.svg]", help="Draw each datagram, in the report or as a picture.")
@click.option("--drop-incomplete", is_flag=True, help="Leave fragments of failed datagrams out of -w.")
@click.option("--state", type=CaptureFile(), metavar="FILE", help="Go on from FILE, and leave there what still waits.")
@click.option("--icmp", type=CaptureFile(), metavar="FILE", help="Write the ICMP errors that the receivers send.")
@frag_limit_options
@capture_options
@report_options()
def command(
    *,
    drain: bool,
    policy: str,
    compare: bool,
    map_to: str | None,
    drop_incomplete: bool,
    state: str | None,
    icmp: str | None,
    limits: NetConf,
    kernel: KernelProfile,
    captures: CaptureOptions,
    report: ReportOptions,
) -> ExitStatus:
    """Put fragments together, as ip_defrag does.

    By the kernel's own rules, or by the policy of another system. Exit status 1: a datagram did not become whole.
    """
    options = ReassembleOptions(
        kernel=kernel,
        limits=limits,
        policy=POLICIES.get(policy),
        drains=drain,
        keeps_frames=captures.write is not None,
        drops_incomplete=drop_incomplete,
        draws=map_to is not None,
        saves=state is not None,
    )
    columns = (*COLUMNS, *(COMPARED if compare else ()))
    if map_to == UNDER_THE_ROWS:
        columns, report = (*columns, DRAWN), replace(report, every_row=True)
    lanes: list[ReassembleLane] = []

    def make_lane(wish: RowWish) -> ReassembleLane:
        lane = _lane(options, wish, tells=icmp is not None, compares=compare)
        if state is not None:
            from ipkit.edge.state_file import load_state

            load_state(state, lane)
        lanes.append(lane)
        return lane

    try:
        status = run_captures(captures, report, columns, make_lane, icmp_to=icmp)
    except (CaptureError, BrokenPipeError):
        _keep(lanes, state, map_to)
        raise
    _keep(lanes, state, map_to)
    return status


def _lane(options: ReassembleOptions, wish: RowWish, *, tells: bool, compares: bool) -> ReassembleLane:
    errors = panels = None
    if tells:
        from ipkit.core.receiving_hosts import ReceivingHosts

        errors = ReceivingHosts(options.kernel)
    if compares:
        from ipkit.core.compare_policies import Panels

        panels = Panels(options.limits)
    return ReassembleLane(options, wish, errors, panels)


def _keep(lanes: Sequence[ReassembleLane], state: str | None, map_to: str | None) -> None:
    """Write what outlives the run, where the lane has come to its end."""
    for lane in (lane for lane in lanes if lane.is_finished):
        if state is not None:
            from ipkit.edge.state_file import save_state

            save_state(state, lane)
        if map_to is not None and map_to != UNDER_THE_ROWS:
            from ipkit.edge.state_file import write_text

            write_text(map_to, map_svg(lane.drawn, lane.not_drawn))
