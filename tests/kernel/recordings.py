"""Scenarios and what a machine showed in them; the recorded ones of a 6.18.44 kernel are read here.

A scenario is a host, listening sockets and steps; an observation is everything a step made visible. The shape is
the same whether a kernel, a recording or the model answers, so any two can be compared.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeAlias

from tests.kernel.lookups import Answer, Lookup
from tests.kernel.namespace import Frame

FOLDER: Final = Path(__file__).parent.parent / "vectors" / "kernel"


@dataclass(frozen=True)
class Inject:
    """A frame came in by a link."""

    dev: str
    frame: bytes


@dataclass(frozen=True)
class Send:
    """A socket was opened and used."""

    type: str
    proto: int = 0
    hdrincl: bool = False
    bind: str | None = None
    connect: str | None = None
    sockopts: tuple[tuple[str, str, int | str], ...] = ()
    calls: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Wait:
    """Time passed."""

    milliseconds: int


@dataclass(frozen=True)
class Command:
    """The host was changed by `ip WORDS`."""

    words: str


Action: TypeAlias = Inject | Send | Lookup | Wait | Command


@dataclass
class Observed:
    """What one step made visible. Drops are (reason, function); drops of a wait are seen by recordings only."""

    out: list[Frame] = field(default_factory=list)
    counters: dict[str, int] = field(default_factory=dict)
    drops: list[tuple[str, str]] = field(default_factory=list)
    icmp_send: list[tuple[int, int]] = field(default_factory=list)
    sock: list[dict[str, Any]] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)
    answer: Answer | None = None


@dataclass(frozen=True)
class Step:
    """One action, and what was seen when it was recorded."""

    number: int
    action: Action
    seen: Observed
    note: str = ""


@dataclass(frozen=True)
class Scenario:
    """A host and what happens to it."""

    name: str
    host: str
    steps: tuple[Step, ...]
    raw: tuple[int, ...] = ()
    udp: tuple[int, ...] = ()
    join: tuple[tuple[str, str], ...] = ()
    unstable: str = ""
    state: Mapping[str, Any] = field(default_factory=dict)


def names() -> list[str]:
    """Return the names of the recorded scenarios."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


@cache
def load(name: str) -> Scenario:
    """Return one recorded scenario."""
    with open(FOLDER / f"{name}.json") as file:
        recorded = json.load(file)
    return Scenario(
        name=name,
        host=recorded["host"],
        steps=tuple(_steps(recorded["steps"])),
        raw=tuple(recorded["raw"]),
        udp=tuple(recorded["udp"]),
        join=tuple((group, dev) for group, dev in recorded["join"]),
        unstable=recorded["unstable"],
        state=recorded["state"],
    )


def _steps(rows: list[dict[str, Any]]) -> Iterator[Step]:
    for row in rows:
        yield Step(row["i"], _action(row), _seen(row), row.get("note", ""))


def _action(row: dict[str, Any]) -> Action:
    if "frame" in row:
        return Inject(row["iif"], bytes.fromhex(row["frame"]))
    if "route" in row:
        return _lookup(row["route"])
    if "send" in row:
        send = dict(row["send"])
        send["sockopts"] = tuple(tuple(option) for option in send.get("sockopts", ()))
        send["calls"] = tuple(send["calls"])
        return Send(**send)
    return Wait(row["wait_ms"]) if "wait_ms" in row else Command(row["ip"])


def _lookup(asked: dict[str, Any]) -> Lookup:
    given: dict[str, Any] = {name: value for name, value in asked.items() if name in Lookup._fields}
    for name in ("tos", "mark", "sport", "dport"):
        given[name] = int(str(given.get(name, 0)), 0)
    return Lookup(**{**given, "fibmatch": int(asked.get("fibmatch", False))})


def _seen(row: dict[str, Any]) -> Observed:
    return Observed(
        out=[Frame(out["dev"], bytes.fromhex(out["frame"])) for out in row.get("out", ())],
        counters={name.replace(":", "", 1): value for name, value in row.get("counters", {}).items()},
        drops=[(drop["reason"], drop["at"].partition(".")[0]) for drop in row.get("drops", ())],
        icmp_send=[(sent["type"], sent["code"]) for sent in row.get("icmp_send", ())],
        sock=row.get("sock", []),
        calls=[{key: value for key, value in call.items() if key != "frames"} for call in row.get("calls", ())],
        answer=row.get("answer") or row.get("errno") or row.get("error"),
    )
