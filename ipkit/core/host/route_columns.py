"""Routes as they are read, in columns: a prefix, and which of the few distinct endings of a line belongs to it.

Law: a line costs a split and two lookups where its ending was seen before; everything else goes through the grammar
once. A line that cannot be read is named by its number (RowError). Nothing here asks whether a route may be added.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from ipkit.core.host.fib import SCOPE_LINK, RouteType
from ipkit.core.host.iproute_json import is_ipv6, objects, route_words
from ipkit.core.host.route_words import TYPES, Form, RouteHead, RouteWords, read_head, read_tail
from ipkit.core.host.words import ALL_ONES, MAX_LENGTH, WordError, Words, mask_length, network
from ipkit.core.wire.ipv4 import address_text

OCTETS: Final = {str(value): value for value in range(256)}
LENGTHS: Final = {str(value): value for value in range(MAX_LENGTH + 1)}
HOST_BITS: Final = tuple(ALL_ONES >> length for length in range(MAX_LENGTH + 1))

KERNEL_MADE: Final = "kernel"
PROC_HEADER: Final = ("Iface", "Destination", "Gateway")
"""How /proc/net/route begins."""

RTF_REJECT: Final = 0x0200
HEADERS_OF_TCP: Final = 40
"""/proc/net/route adds them to advmss and calls the sum MTU."""


class RowError(WordError):
    """A row that cannot be used; `row` counts from 1."""

    def __init__(self, row: int, why: str) -> None:
        super().__init__(why)
        self.row = row


@dataclass(slots=True)
class _OpenRoute:
    """A route whose `nexthop` lines may still follow."""

    row: int
    text: str
    rows_before: int


class RouteColumns:
    """Routes as they were read, row by row."""

    def __init__(self, tables: Mapping[str, int], form: Form) -> None:
        self.prefixes = array("I")
        self.lengths = array("B")
        self.kinds = array("I")  # index into `endings`
        self.rows = array("I")  # where each was read
        self.endings: list[RouteWords] = []
        self._tables = tables
        self._form = form
        self._by_text: dict[str, int] = {}
        self._by_head: dict[tuple[object, ...], int] = {}
        self._open: _OpenRoute | None = None

    def __len__(self) -> int:
        return len(self.prefixes)

    def connected(self) -> Iterator[int]:
        """Yield the rows that the kernel made because a link has an address."""
        made = {kind for kind, ending in enumerate(self.endings) if _is_connected(ending)}
        if made:
            yield from (row for row, kind in enumerate(self.kinds) if kind in made)

    def read_lines(self, lines: Iterable[str]) -> None:
        """Read routes as `ip route` prints them, one a line, `nexthop` lines continuing the one before."""
        kinds, octets, lengths, host_bits = self._by_text, OCTETS, LENGTHS, HOST_BITS
        add_prefix, add_length = self.prefixes.append, self.lengths.append
        add_kind, add_row = self.kinds.append, self.rows.append
        for number, line in enumerate(lines, 1):
            try:
                destination, tail = line.split(None, 1)
                kind = kinds[tail]
                base, slash, ones = destination.partition("/")
                a, b, c, d = base.split(".")
                prefix = octets[a] << 24 | octets[b] << 16 | octets[c] << 8 | octets[d]
                length = lengths[ones] if slash else MAX_LENGTH
            except (ValueError, KeyError):
                self._read_line(number, line)
                continue
            if prefix & host_bits[length]:
                self._read_line(number, line)
                continue
            add_prefix(prefix)
            add_length(length)
            add_kind(kind)
            add_row(number)
        self._close()

    def read_json(self, text: str) -> None:
        """Read routes as `ip -j route` prints them."""
        self._read_made(" ".join(route_words(row)) if not is_ipv6(row) else "" for row in objects(text))

    def read_proc(self, lines: Iterable[str]) -> None:
        """Read /proc/net/route; its header is the first line."""
        self._read_made(_proc_words(line.split()) for line in lines)

    def _read_made(self, lines: Iterator[str]) -> None:
        """Read lines that are made from another form; what goes wrong in making one has its number too."""
        made = 0

        def counted() -> Iterator[str]:
            nonlocal made
            for line in lines:
                made += 1
                yield line

        try:
            self.read_lines(counted())
        except RowError:
            raise
        except WordError as error:
            raise RowError(made + 1, str(error)) from None

    def _read_line(self, number: int, line: str) -> None:
        """Read a line that is not of the plain kind."""
        words = line.split()
        if not words or words[0].startswith("#"):
            return
        if words[0] == "nexthop":
            if self._open is None or self._open.rows_before != len(self):
                raise RowError(number, "a `nexthop` that belongs to no route")
            self._open.text += f" {line}"
            return
        self._close()
        if self._may_go_on(words):
            self._open = _OpenRoute(number, line, len(self))
        else:
            self._read_route(number, line)

    def _may_go_on(self, words: list[str]) -> bool:
        """Tell whether `nexthop` lines may follow: the line does not say by itself where the route leads."""
        told = words[0] in TYPES and words[0] != "unicast"
        listed = self._form is Form.LISTED and len(words) > 1 and words[1][0].isdigit()
        return not (told or listed or {"via", "dev", "nexthop"} & set(words))

    def _close(self) -> None:
        """Read the route whose `nexthop` lines have ended."""
        if self._open is not None:
            route, self._open = self._open, None
            self._read_route(route.row, route.text)

    def _read_route(self, number: int, text: str) -> None:
        """Read one whole route by the grammar, its ending only once."""
        words = [word for word in text.split() if word != "\\"]  # what `ip -oneline` puts for a new line
        try:
            taking = Words(words)
            head = read_head(taking)
            if ":" in head.destination or "pref" in words:  # a dump of both families
                return
            prefix, length = network(head.destination)
            key = (*head[:2], *words[words.index(head.destination) + 1 :])
            if key not in self._by_head:
                self._by_head[key] = self._new_ending(head, taking)
        except WordError as error:
            raise RowError(number, str(error)) from None
        kind = self._by_head[key]
        if words[0] == head.destination and not self._may_go_on(words):
            self._by_text[text.split(None, 1)[1]] = kind
        self.prefixes.append(prefix)
        self.lengths.append(length)
        self.kinds.append(kind)
        self.rows.append(number)

    def _new_ending(self, head: RouteHead, words: Words) -> int:
        if self._form is Form.LISTED and words.peek()[:1].isdigit():
            gateway, *rest = words
            words = Words(["via", gateway, *(["dev", *rest] if rest else ())])
        self.endings.append(read_tail(head, words, self._tables, self._form))
        return len(self.endings) - 1


def _is_connected(ending: RouteWords) -> bool:
    return (
        ending.type is RouteType.UNICAST
        and ending.protocol == KERNEL_MADE
        and ending.scope == SCOPE_LINK
        and bool(ending.prefsrc)
        and [bool(hop.dev) for hop in ending.hops] == [True]
    )


def _proc_words(fields: list[str]) -> str:
    """Return a line of /proc/net/route as `ip route` would print it; its addresses lie in the host's byte order."""
    if not fields or fields[0] == PROC_HEADER[0]:
        return ""
    try:
        destination, gateway, flags = (int(field, 16) for field in fields[1:4])
        length = mask_length(_swapped(int(fields[7], 16)))
        words = [f"{address_text(_swapped(destination))}/{length}"]
        gateway_text = address_text(_swapped(gateway))
        metric, mtu, window, rtt = (int(fields[at]) for at in (6, 8, 9, 10))
    except (ValueError, IndexError, OverflowError):
        raise WordError("not a line of /proc/net/route") from None
    if flags & RTF_REJECT:
        words.insert(0, "unreachable")
    else:
        words += [*(("via", gateway_text) if gateway else ()), "dev", fields[0]]
    for name, value in (("metric", metric), ("advmss", max(mtu - HEADERS_OF_TCP, 0)), ("window", window), ("rtt", rtt)):
        words += [name, str(value)] if value else []
    return " ".join(words)


def _swapped(value: int) -> int:
    return int.from_bytes(value.to_bytes(4, "little"))
