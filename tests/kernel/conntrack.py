"""Connection tracking in a namespace: one nftables rule that asks for a packet's state switches it on.

Law: the bytes of the request are written here, no tool is needed. The rule itself lets everything pass.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from functools import cache
from typing import Final

from tests.kernel import system

NETLINK_NETFILTER: Final = 12
NFNETLINK_V0: Final = 0
BATCH_BEGIN, BATCH_END = 16, 17
NFTABLES: Final = 10 << 8
NEW_TABLE, NEW_CHAIN, NEW_RULE = NFTABLES, NFTABLES | 3, NFTABLES | 6
REQUEST, ACKNOWLEDGED, CREATE, APPEND = 1, 4, 0x400, 0x800
NESTED: Final = 0x8000
ERROR: Final = 2
SUBSYSTEM: Final = 10
HEADER: Final = struct.Struct("=IHHII")
PRE_ROUTING: Final = 0
CT_STATE: Final = 0
REGISTER: Final = 1


def attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def nested(kind: int, *items: bytes) -> bytes:
    return attribute(kind | NESTED, b"".join(items))


def text(kind: int, words: str) -> bytes:
    return attribute(kind, words.encode() + b"\0")


def number(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack(">I", value))


def message(kind: int, flags: int, body: bytes, resource: int = 0) -> bytes:
    content = struct.pack("=BBH", socket.AF_INET, NFNETLINK_V0, socket.htons(resource)) + body
    return HEADER.pack(HEADER.size + len(content), kind, REQUEST | flags, 0, 0) + content


@cache
def missing() -> str:
    """Return why no namespace of this kernel can track connections; nothing where it can."""
    namespace = system.new_namespace()
    try:
        with system.inside(namespace):
            switch_on()
    except OSError as error:
        return f"no connection tracking by nftables ({error.strerror})"
    finally:
        os.close(namespace)
    return ""


def switch_on() -> None:
    """Let the namespace of the calling thread track connections."""
    table = text(1, "tracked")
    chain = table + text(3, "all") + nested(4, number(1, PRE_ROUTING), number(2, 0)) + text(7, "filter")
    expression = nested(1, text(1, "ct"), nested(2, number(1, REGISTER), number(2, CT_STATE)))
    rule = attribute(1, b"tracked\0") + text(2, "all") + nested(4, expression)
    make = ACKNOWLEDGED | CREATE
    batch = [
        message(BATCH_BEGIN, 0, b"", SUBSYSTEM),
        message(NEW_TABLE, make, table),
        message(NEW_CHAIN, make, chain),
        message(NEW_RULE, make | APPEND, rule),
        message(BATCH_END, 0, b"", SUBSYSTEM),
    ]
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as asked:
        asked.bind((0, 0))
        asked.send(b"".join(batch))
        for errno in _answers(asked, 3):
            if errno:
                raise OSError(errno, os.strerror(errno))


def _answers(asked: socket.socket, wanted: int) -> Iterator[int]:
    """Yield the errno of each request in turn."""
    asked.settimeout(1)
    while wanted:
        answer = asked.recv(1 << 16)
        while answer:
            length, kind, *_ = HEADER.unpack_from(answer)
            if kind == ERROR:
                wanted -= 1
                yield -struct.unpack_from("=i", answer, HEADER.size)[0]
            answer = answer[(length + 3) & ~3 :]
