"""How the routes that were read come into the tables: in which order, beside which others, and as what.

Law: typed routes are added line by line, dumped ones narrow scopes first, since a gateway is looked up among what is
narrower than its route; either way a line may stand before one that it needs. What the kernel made itself merges with
what the addresses brought. Many routes stay columns.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from ipkit.core.host.config import Link, Trust
from ipkit.core.host.fib import (
    NO_METRICS,
    SCOPE_LINK,
    SCOPE_NOWHERE,
    BulkRoutes,
    FibEntry,
    Metrics,
    NextHop,
    NextHopFlag,
    RouteType,
)
from ipkit.core.host.fib_draft import FIRST_OF_ALL, FibDraft, Placed, identity
from ipkit.core.host.route_check import Surroundings, fib_create_info, prefsrc_is_local
from ipkit.core.host.route_columns import KERNEL_MADE, RouteColumns, RowError
from ipkit.core.host.words import WordError, prefix_text
from ipkit.core.wire.ipv4 import address_text

BULK_FROM: Final = 10_000
"""From as many routes on they are kept as columns."""

LENGTH_BITS: Final = 6
ROW_BITS: Final = 32
ROW_MASK: Final = (1 << ROW_BITS) - 1


@dataclass(frozen=True, slots=True)
class Intake:
    """Where routes go."""

    around: Surroundings
    named: Callable[[int], str]  # what a row is called where another one is said to be like it
    made_elsewhere: Callable[[], frozenset[FibEntry]]  # what the addresses would bring on another kernel


def take_routes(columns: RouteColumns, intake: Intake) -> dict[int, BulkRoutes]:
    """Put all routes into the draft's tables, except those that stay columns: they are returned, by table."""
    if intake.around.trust is Trust.JUDGED and len(columns) < BULK_FROM:
        _take_typed(columns, intake)
        return {}
    return _take_dumped(columns, intake)


def _take_typed(columns: RouteColumns, intake: Intake) -> None:
    """Add routes in the order of their lines, as `ip route add` would; what is refused may come after the others."""
    waiting = list(range(len(columns)))
    refused: list[RowError] = []
    shared: dict[tuple[object, ...], list[Metrics]] = {}
    while waiting:
        later = []
        refused.clear()
        for row in waiting:
            kind = columns.kinds[row]
            try:
                entry = _with_shared_metrics(_judged(columns, kind, row, intake.around), shared, intake)
                _take_row(columns, row, entry, intake)
            except RowError as error:
                later.append(row)
                refused.append(error)
        if len(later) == len(waiting):
            raise refused[0]
        waiting = later


def _with_shared_metrics(entry: FibEntry, shared: dict[tuple[object, ...], list[Metrics]], intake: Intake) -> FibEntry:
    """Let a route by a nexthop object that names no metrics have those of the last one that is else the same.

    The kernel takes that one's fib_info without a look at its metrics.
    """
    if entry.nhid not in intake.around.nexthops:
        return entry
    key = (entry.nhid, entry.table, entry.type, entry.scope, entry.protocol, entry.prefsrc, entry.priority)
    known = shared.setdefault(key, [])
    if entry.metrics == NO_METRICS and known:
        return replace(entry, metrics=known[-1])
    if entry.metrics not in known:
        known.append(entry.metrics)
    return entry


def _take_dumped(columns: RouteColumns, intake: Intake) -> dict[int, BulkRoutes]:
    """Put in what a kernel held, narrow scopes first: a dump is not in the order in which it came about."""
    judged: dict[int, FibEntry] = {}
    waiting: list[int] = []
    accepted = intake.around.trust is Trust.ACCEPTED
    for scope in sorted({ending.scope for ending in columns.endings}, reverse=True):
        of_scope = {kind for kind, ending in enumerate(columns.endings) if ending.scope == scope}
        rows = [row for row, kind in enumerate(columns.kinds) if kind in of_scope]
        for kind in of_scope:
            judged[kind] = _judged(columns, kind, columns.kinds.index(kind), intake.around)
        if len(rows) >= BULK_FROM and (accepted or scope < SCOPE_LINK):
            waiting += rows
        else:
            for row in rows:
                _take_row(columns, row, judged[columns.kinds[row]], intake)
    return dict(_as_columns(columns, waiting, judged, intake))


def _judged(columns: RouteColumns, kind: int, row: int, around: Surroundings) -> FibEntry:
    """Return what an ending makes; where it is refused, the row is named."""
    try:
        entry = fib_create_info(columns.endings[kind], around)
        if entry.type is not RouteType.LOCAL:
            _check_prefsrc(entry, around)
    except WordError as error:
        raise RowError(columns.rows[row], str(error)) from None
    return entry


def _check_prefsrc(entry: FibEntry, around: Surroundings) -> None:
    if around.trust is Trust.JUDGED and not prefsrc_is_local(entry, around):
        raise WordError(f"src {address_text(entry.prefsrc)} is not an address of this host")


def _take_row(columns: RouteColumns, row: int, ending: FibEntry, intake: Intake) -> None:
    """Put one route into its table."""
    kind, number = columns.kinds[row], columns.rows[row]
    entry = replace(ending, prefix=columns.prefixes[row], length=columns.lengths[row])
    draft = intake.around.draft
    try:
        if entry.type is RouteType.LOCAL:
            _check_prefsrc(entry, intake.around)
        if entry.protocol == KERNEL_MADE and _merged(entry, number, intake):
            return
        _check_second(entry, intake, append=columns.endings[kind].append)
    except WordError as error:
        raise RowError(number, str(error)) from None
    draft.add(entry, number)


def _merged(entry: FibEntry, number: int, intake: Intake) -> bool:
    """Let a line that the kernel made itself be what an address brought already; it keeps the line's place."""
    equals, wanted = intake.around.draft.equals(entry), identity(entry)
    if wanted in equals:
        equals[wanted] = Placed(equals[wanted].entry, number)
        return True
    return wanted in intake.made_elsewhere()


def _check_second(entry: FibEntry, intake: Intake, *, append: bool) -> None:
    """Refuse a second route of one prefix, TOS and metric where `ip route add` would."""
    equals, wanted = intake.around.draft.equals(entry), identity(entry)
    if wanted in equals:
        raise WordError(f"the same route as in {_where(equals[wanted], intake)}")
    if equals and intake.around.trust is Trust.JUDGED and not append:
        first = next(iter(equals.values()))
        raise WordError(
            f"{_where(first, intake)} has a route to {prefix_text(entry.prefix, entry.length)} with this tos and metric"
            " (`append` in front adds one behind it)"
        )


def _where(placed: Placed, intake: Intake) -> str:
    return "an address" if placed.rank == FIRST_OF_ALL else intake.named(placed.rank)


def _as_columns(
    columns: RouteColumns, rows: Sequence[int], judged: Mapping[int, FibEntry], intake: Intake
) -> Iterator[tuple[int, BulkRoutes]]:
    """Yield the columns of each table; what shares a prefix with another route goes into the draft instead."""
    by_table: dict[int, list[int]] = {}
    prefixes, lengths, kinds = columns.prefixes, columns.lengths, columns.kinds
    tables = {kind: by_table.setdefault(entry.table, []) for kind, entry in judged.items()}
    for row in rows:
        tables[kinds[row]].append((prefixes[row] << LENGTH_BITS | lengths[row]) << ROW_BITS | row)
    for table, keys in by_table.items():
        keys.sort()
        shared = {key >> ROW_BITS for key, following in pairwise(keys) if key >> ROW_BITS == following >> ROW_BITS}
        shared.update(prefix << LENGTH_BITS | length for prefix, length in intake.around.draft.keys(table))
        alone = [key & ROW_MASK for key in keys if key >> ROW_BITS not in shared]
        special = {kind for kind, entry in judged.items() if entry.tos}
        if special:
            alone = [row for row in alone if kinds[row] not in special]
        if len(alone) < len(keys):
            kept = set(alone)
            for row in sorted(key & ROW_MASK for key in keys):
                if row not in kept:
                    _take_row(columns, row, judged[kinds[row]], intake)
        if alone:
            yield table, _gathered(columns, alone, judged)


def _gathered(columns: RouteColumns, rows: Sequence[int], judged: Mapping[int, FibEntry]) -> BulkRoutes:
    """Return the columns of some rows in that order, their templates in the order in which they come up."""
    used = list(dict.fromkeys(map(columns.kinds.__getitem__, rows)))
    renumbered = {kind: number for number, kind in enumerate(used)}
    return BulkRoutes(
        prefixes=array("I", map(columns.prefixes.__getitem__, rows)),
        lengths=array("B", map(columns.lengths.__getitem__, rows)),
        kinds=array("I", (renumbered[columns.kinds[row]] for row in rows)),
        templates=tuple(judged[kind] for kind in used),
    )


def fib_sync_down_dev(draft: FibDraft, links: Mapping[str, Link]) -> None:
    """Take from the tables what goes when links go down: routes whose every way is dead.

    Kernel: net/ipv4/fib_semantics.c
    """
    draft.change(lambda entry: after_down(entry, links))


def columns_after_down(bulk: BulkRoutes, links: Mapping[str, Link]) -> BulkRoutes:
    """Return the columns without the routes that go when links go down."""
    states = [after_down(template, links) for template in bulk.templates]
    if all(states):
        return replace(bulk, templates=tuple(state for state in states if state))
    rows = [row for row, kind in enumerate(bulk.kinds) if states[kind]]
    return BulkRoutes(
        prefixes=array("I", map(bulk.prefixes.__getitem__, rows)),
        lengths=array("B", map(bulk.lengths.__getitem__, rows)),
        kinds=array("I", map(bulk.kinds.__getitem__, rows)),
        templates=tuple(state or template for state, template in zip(states, bulk.templates, strict=True)),
    )


def after_down(entry: FibEntry, links: Mapping[str, Link]) -> FibEntry | None:
    """Return an entry with the ways marked that are dead; None where none is left."""
    if all(hop.scope == SCOPE_NOWHERE or _usable(hop, links, entry) for hop in entry.nexthops):
        return entry
    if entry.nhid:  # nexthop objects leave with their link, and their groups without them
        left = tuple(hop for hop in entry.nexthops if _usable(hop, links, entry))
        return replace(entry, nexthops=left) if left else None
    hops = tuple(hop if _usable(hop, links, entry) else _dead(hop) for hop in entry.nexthops)
    return None if all(hop.flags & NextHopFlag.DEAD for hop in hops) else replace(entry, nexthops=hops)


def _usable(hop: NextHop, links: Mapping[str, Link], entry: FibEntry) -> bool:
    link = links[hop.dev]
    return link.up and (link.carrier or not entry.nhid)


def _dead(hop: NextHop) -> NextHop:
    return replace(hop, flags=hop.flags | NextHopFlag.DEAD | NextHopFlag.LINKDOWN)
