"""The model asked as the kernel is asked, answering in the same words."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from ipaddress import IPv4Address
from socket import getprotobyname
from typing import Any

from ipkit.core.host.build import build_host
from ipkit.core.host.fib import TABLE_LOCAL
from ipkit.core.host.kernel import LINUX_6_18
from ipkit.core.host.route_text import route_text
from ipkit.core.host.words import prefix_text
from ipkit.core.lookup import Question, ask, fibmatch_lines, iproute2_lines
from ipkit.core.state.routing import Routing, routing_of
from tests.kernel.lookups import Lookup, errno_name


def routing(host: Mapping[str, Any]) -> Routing:
    """Return the routing of the host under the profile that the running kernel judges."""
    return routing_of(build_host(host, file="host.toml", kernel=LINUX_6_18))


def answer_line(model: Routing, lookup: Lookup, now_ns: int = 0) -> str:
    """Return the model's answer as `ip -oneline route get` prints it, or the name of an errno."""
    question = Question(
        int(IPv4Address(lookup.dst)),
        int(IPv4Address(lookup.src or 0)),
        lookup.iif or "",
        lookup.oif or "",
        lookup.tos,
        lookup.mark,
        getprotobyname(lookup.ipproto or "udp"),
        lookup.sport,
        lookup.dport,
        now_ns=now_ns,
    )
    answer = ask(question, model)
    if answer.errno:
        return errno.errorcode[answer.errno]
    lines = fibmatch_lines(answer) if lookup.fibmatch else iproute2_lines(question, answer)
    if lines.err:
        return errno_name(lines.err.removesuffix("\n"))
    return lines.out.removesuffix("\n").replace("\n", "\\")


def table_lines(model: Routing) -> list[str]:
    """Return all tables as `ip -oneline route show table all` prints them."""
    return [
        route_text(entry, prefix_text(entry.prefix, entry.length), number)
        for number, entries in sorted(model.host.fib.tables.items(), key=lambda item: (item[0] == TABLE_LOCAL, item[0]))
        for entry in entries
    ]
