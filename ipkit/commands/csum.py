"""ipkit csum: verify, explain or repair checksums."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import click

from ipkit.commands._columns import SHARED, Column, yes_or_no
from ipkit.commands._options import CaptureOptions, Names, ReportOptions, capture_options, report_options
from ipkit.commands._stream import opened_report, run_captures
from ipkit.core.checksum_explain import explain_bytes
from ipkit.core.checksum_report import CHECKS, ChecksumLane, Repair
from ipkit.core.checksum_rules import Status
from ipkit.core.lanes import Explain, ReportRow, RowValue, RowWish
from ipkit.core.rows import hex16
from ipkit.core.wire.checksum import RawSum
from ipkit.core.wire.ipv4 import MAX_TOTAL_BYTES
from ipkit.errors import ExitStatus

COLUMNS = (
    *SHARED,
    Column("check", "string", "check"),
    Column("stored", "string", "stored"),
    Column("computed", "string", "computed"),
    Column("status", "string", "status"),
    Column("fixed", "boolean", "fixed", yes_or_no),
)
NO_CAPTURE = CaptureOptions(files=(), write=None, count=0, progress=None)
EXPLAIN = Column("explain", "list", "explain", detail=("at", "what", "word", "carry", "sum"))


def hex_bytes(_context: click.Context, _param: click.Parameter, texts: tuple[str, ...]) -> tuple[bytes, ...]:
    """Read hexadecimal text, blanks and colons between the digits allowed."""
    try:
        return tuple(bytes.fromhex(text.replace(":", " ")) for text in texts)
    except ValueError:
        raise click.BadParameter("not pairs of hexadecimal digits") from None


@click.command("csum")
@click.option("--fix", is_flag=True, help="Repair: -w gets the capture with every wrong checksum put right.")
@click.option("--only", type=Names(CHECKS), metavar="NAME,...", help=f"Only these checks: {', '.join(CHECKS)}.")
@click.option("--explain", is_flag=True, help="Show how each checksum reported comes about, word by word.")
@click.option("--hex", "datagrams", multiple=True, metavar="HEX", callback=hex_bytes, help="Check a packet typed here.")
@click.option("--raw", "raw_file", metavar="FILE", help="Sum any bytes (RFC 1071); - is standard input.")
@capture_options
@report_options()
def command(
    *,
    fix: bool,
    only: frozenset[str] | None,
    explain: bool,
    datagrams: tuple[bytes, ...],
    raw_file: str | None,
    captures: CaptureOptions,
    report: ReportOptions,
) -> ExitStatus:
    """Verify, explain or repair checksums.

    The IPv4 header, and TCP, UDP, UDP-Lite, ICMP and IGMP where the datagram is whole. Exit status 1: something is bad
    or malformed.
    """
    if fix and not captures.write:
        raise click.UsageError("--fix writes the repaired capture: name it with -w")
    repair = _repair(captures.write)
    columns = (*COLUMNS, EXPLAIN) if explain else COLUMNS

    def make_lane(wish: RowWish) -> ChecksumLane:
        return ChecksumLane(only or frozenset(CHECKS), wish, repair, Explain.YES if explain else Explain.NO)

    if not datagrams and raw_file is None:
        return run_captures(captures, report, columns, make_lane)
    if captures != NO_CAPTURE:
        raise click.UsageError("--hex and --raw take no capture and write none")
    if only and not datagrams:
        raise click.UsageError("--only is about packets, and --raw sums any bytes")
    lane = make_lane(RowWish.ALL)
    with opened_report(replace(report, every_row=True), columns, None) as typed:
        rows = [row for i, data in enumerate(datagrams, 1) for row in lane.check_datagram(data, i).rows]
        sums = [_raw_row(raw_file, Explain.YES if explain else Explain.NO)] if raw_file is not None else []
        typed.rows([*rows, *sums])
        typed.close(_summary(lane, datagrams, sums))
    bad_sum = any(row.needs_look for row in sums)
    return ExitStatus.FINDING if bad_sum or lane.has_finding() else ExitStatus.FINE


def _repair(write: str | None) -> Repair:
    """Return what can be repaired in a target: what has gone into a pipe stays."""
    if write is None:
        return Repair.LEAVE
    from ipkit.edge.output_target import is_file

    return Repair.FIX if is_file(write) else Repair.FIX_IN_PASSING


def _raw_row(name: str, explained: Explain) -> ReportRow:
    """Sum a file as it is, gzipped or not: what holds its own checksum comes to zero."""
    from ipkit.edge.capture_source import FileSource

    source, total, front = FileSource(name), RawSum(), b""
    while piece := source.read():
        total.add(piece)
        if explained is Explain.YES:
            front += piece
            if len(front) > MAX_TOTAL_BYTES:
                raise click.UsageError(f"--explain goes through {MAX_TOTAL_BYTES} bytes at most; {name} has more")
    source.close()
    status = Status.BAD if total.value() else Status.OK
    row = {"file": name, "check": "raw", "computed": hex16(total.value()), "status": status.value}
    words = {"explain": list(explain_bytes(front))} if explained is Explain.YES else {}
    return ReportRow(status is Status.BAD, {**row, **words})


def _summary(lane: ChecksumLane, datagrams: tuple[bytes, ...], sums: list[ReportRow]) -> Mapping[str, RowValue]:
    counts = {status: sum(row.row["status"] == status for row in sums) for status in ("ok", "bad")}
    return {**(lane.summary() if datagrams else {}), **({"raw": counts} if sums else {})}
