"""PROBE (RFC 8335): what this host says of its interfaces to those who may ask.

Law: the answer is the question with a new type, code and status; nothing is sent. Links have no IPv6 here, so no status
tells of any.
"""

from __future__ import annotations

from typing import Final

from ipkit.core.host.config import Link
from ipkit.core.host.fib_lookup import ip_dev_find
from ipkit.core.host.fib_tables import FibTables
from ipkit.core.wire import icmp

STATUS_AT: Final = icmp.HEADER_BYTES - 1
EXTENSION_BYTES: Final = 4
OBJECT_BYTES: Final = 4
MOST_OBJECT_BYTES: Final = 24
BY_NAME, BY_INDEX, BY_ADDRESS = 1, 2, 3
"""How a question names an interface (C-Type)."""

MOST_NAME_BYTES: Final = 15
INDEX_BYTES: Final = 4
ADDRESS_HEADER_BYTES: Final = 4
ADDRESS_BYTES: Final = {1: 4, 2: 16}
"""How long an address of each family is (AFI)."""

IPV4_FAMILY: Final = 1
ASKS_THIS_NODE: Final = 1
ACTIVE: Final = 4
HAS_IPV4: Final = 2
MALFORMED: Final = 1
NO_SUCH_INTERFACE: Final = 2


def icmp_build_probe(question: bytes, tables: FibTables) -> bytes | None:
    """Return the answer to an extended echo request, its checksum still the question's; None: it gets none.

    Kernel: net/ipv4/icmp.c
    """
    if not question[STATUS_AT] & ASKS_THIS_NODE:
        return None
    code, status = question[1], 0
    asked = _object_of(question)
    if asked is None or not _is_well_formed(*asked):
        code = MALFORMED
    else:
        link = _asked_for(*asked, tables)
        if link is None:
            code = NO_SUCH_INTERFACE
        else:
            status = ACTIVE * link.up + HAS_IPV4 * bool(link.addresses)
    head = bytes((icmp.EXT_ECHOREPLY, code)) + question[2:STATUS_AT] + bytes((status,))
    return head + question[icmp.HEADER_BYTES :]


def _object_of(question: bytes) -> tuple[int, bytes] | None:
    """Return how an interface is named and the name; None: they are not there."""
    begin = icmp.HEADER_BYTES + EXTENSION_BYTES
    header = question[begin : begin + OBJECT_BYTES]
    if len(header) < OBJECT_BYTES:
        return None
    length = header[0] << 8 | header[1]
    if not OBJECT_BYTES < length <= MOST_OBJECT_BYTES or begin + length > len(question):
        return None
    return header[3], question[begin + OBJECT_BYTES : begin + length]


def _is_well_formed(kind: int, name: bytes) -> bool:
    if kind == BY_NAME:
        return len(name) <= MOST_NAME_BYTES
    if kind == BY_INDEX:
        return len(name) == INDEX_BYTES
    if kind != BY_ADDRESS or len(name) < ADDRESS_HEADER_BYTES or len(name) != ADDRESS_HEADER_BYTES + name[2]:
        return False
    return ADDRESS_BYTES.get(_family(name)) == name[2]


def _family(name: bytes) -> int:
    return name[0] << 8 | name[1]


def _asked_for(kind: int, name: bytes, tables: FibTables) -> Link | None:
    """Return the interface that a well-formed question means."""
    links = tables.host.links
    if kind == BY_NAME:
        return links.get(name.partition(b"\0")[0].decode("latin-1"))
    number = int.from_bytes(name[-4:], "big")
    if kind == BY_INDEX:
        return next((link for link in links.values() if link.ifindex == number), None)
    return links.get(ip_dev_find(tables, number) or "") if _family(name) == IPV4_FAMILY else None
