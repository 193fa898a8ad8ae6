"""ipkit fragment: cut datagrams to an MTU as ip_fragment does, or make test input for reassemblers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import click

from ipkit.commands._columns import SHARED, Column, yes_or_no
from ipkit.commands._options import (
    CaptureFile,
    CaptureOptions,
    HostOptions,
    ReportOptions,
    capture_options,
    host_options,
    report_options,
    seed_option,
)
from ipkit.commands._stream import run_captures
from ipkit.core.fragment import FragPath
from ipkit.core.fragment_lane import DfRule, FragmentLane, FragmentOptions
from ipkit.core.fragment_shaper import Choice, Order, Overlap, Shape, parse_choice, parse_overlap
from ipkit.core.lanes import RowWish
from ipkit.errors import ExitStatus

SHOWN_FRAGMENTS: Final = 8


def fragments_shown(value: object) -> str:
    """Return fragments as offset+length, a star where more follow; of very many, the first and the last."""
    if not isinstance(value, list):
        return str(value)
    texts = [f"{piece['offset']}+{piece['length']}{'*' if piece['mf'] else ''}" for piece in value]
    if len(texts) > SHOWN_FRAGMENTS:
        texts[SHOWN_FRAGMENTS - 2 : -1] = [f"...({len(texts) - SHOWN_FRAGMENTS + 1})"]
    return " ".join(texts)


COLUMNS = (
    *SHARED,
    Column("length", "integer", "length"),
    Column("mtu", "integer", "mtu"),
    Column("df", "boolean", "df", yes_or_no),
    Column("result", "string", "result"),
    Column("path", "string", "path"),
    Column("reason", "string", "reason"),
    Column("fragments", "list", "fragments", fragments_shown),
)


def said(parse: Callable[[str], Any]) -> Callable[[click.Context, click.Parameter, str | None], Any]:
    """Return the callback that reads an option's text with the core's own reader."""

    def read(_context: click.Context, _param: click.Parameter, text: str | None) -> Any:
        try:
            return None if text is None else parse(text)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

    return read


@click.command("fragment")
@click.option(
    "-m",
    "--mtu",
    type=click.IntRange(68, 65535),
    default=1500,
    show_default=True,
    metavar="MTU",
    help="Header included.",
)
@click.option(
    "--df",
    type=click.Choice([rule.value for rule in DfRule]),
    default=DfRule.HONOUR.value,
    show_default=True,
    help="What becomes of datagrams that must not be fragmented.",
)
@click.option(
    "--frag-max-size",
    type=click.IntRange(1, 65535),
    metavar="N",
    help="Longer datagrams were put together from fragments, the largest of N bytes.",
)
@click.option(
    "--path",
    type=click.Choice([path.value for path in FragPath]),
    default=FragPath.SLOW.value,
    show_default=True,
    help="Cut anew, or as ip_append_data would have built it.",
)
@click.option("--icmp", type=CaptureFile(), metavar="FILE", help="Write the ICMP errors that the host sends.")
@click.option(
    "--order", type=click.Choice([order.value for order in Order]), default=Order.FORWARD.value, help="How they leave."
)
@click.option("--duplicate", metavar="N", callback=said(parse_choice), help="Send N fragments of each datagram twice.")
@click.option("--drop", metavar="N", callback=said(parse_choice), help="Leave N fragments of each datagram out.")
@click.option("--overlap", metavar="SPEC", callback=said(parse_overlap), help="old, new, or pieces: SIZE@OFFSET[+],...")
@seed_option
@host_options
@capture_options
@report_options()
def command(
    *,
    mtu: int,
    df: str,
    frag_max_size: int | None,
    path: str,
    icmp: str | None,
    order: str,
    duplicate: Choice | None,
    drop: Choice | None,
    overlap: Overlap | None,
    seed: int,
    host: HostOptions,
    captures: CaptureOptions,
    report: ReportOptions,
) -> ExitStatus:
    """Cut datagrams to an MTU, as ip_fragment does.

    The last line of options makes test input for reassemblers. Exit status 1: a datagram is too big and must not be
    fragmented, or could not be.
    """
    shape = Shape(Order(order), duplicate, drop, overlap, seed)
    options = FragmentOptions(
        mtu, host.kernel, DfRule(df), frag_max_size or 0, FragPath(path), None if shape == Shape(seed=seed) else shape
    )
    errors = None
    if icmp is not None or host.source is not None or host.sysctls:
        from ipkit.core.icmp_frames import IcmpFrames

        errors = IcmpFrames(host.load(), seed)

    def make_lane(wish: RowWish) -> FragmentLane:
        return FragmentLane(options, wish, errors)

    return run_captures(captures, report, COLUMNS, make_lane, icmp_to=icmp)
