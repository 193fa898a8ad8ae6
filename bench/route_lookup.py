"""route-lookup: a million addresses in a million routes, text in and text out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.captures import MILLION
from bench.comparison import Command, Peer, Work, peer_script
from bench.routes import addresses, some, table

COMMANDS: dict[str, Command] = {
    "route-lookup -r": lambda capture: ("ipkit", "route-lookup", "-q", "-r", str(capture)),
}


def from_stdin(questions: Path, routes: Path, form: str) -> Sequence[str]:
    """Return the call that reads addresses from standard input."""
    return "sh", "-c", f"exec ipkit route-lookup --routes '{routes}' -f {form} < '{questions}'"


def works() -> Sequence[Work]:
    """Return what is compared."""
    routes = table(MILLION)
    peers = (
        Peer("the same as JSON lines", "ipkit", lambda path: from_stdin(path, routes, "jsonl")),
        Peer("the table alone", "ipkit", lambda _: ("ipkit", "route-lookup", "--routes", str(routes), "8.8.8.8")),
        Peer(
            "pytricia",
            "python:pytricia",
            lambda path: (*peer_script("route_lookup_pytricia.py"), str(routes), str(path)),
        ),
    )
    return (
        Work(
            "route-lookup, routes and addresses as text",
            addresses(MILLION, MILLION),
            MILLION,
            lambda path: from_stdin(path, routes, "csv"),
            peers,
            some,
        ),
    )
