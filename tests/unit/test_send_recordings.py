"""The send path, step by step beside what a 6.18 kernel did: frames but for their IDs, errnos, counters."""

from __future__ import annotations

import errno
import tomllib
from collections.abc import Mapping
from functools import cache
from ipaddress import IPv4Address
from typing import Any

import pytest

from ipkit.core.append_data import SendFlag
from ipkit.core.host.build import build_host
from ipkit.core.host.kernel import LINUX_6_18
from ipkit.core.inet_sock import InetSock, SockKind
from ipkit.core.make_skb import Message, SendResult
from ipkit.core.raw_send import raw_sendmsg
from ipkit.core.sender import connect, set_option
from ipkit.core.state.netns import NetNamespace, namespace_of
from ipkit.core.udp_send import udp_sendmsg
from ipkit.core.wire.cmsg import Cmsg, cmsg_bytes, int_bytes
from tests.kernel.namespace import Frame
from tests.kernel.normalise import differences
from tests.kernel.recordings import Observed, Send, Step, load
from tests.kernel.sockets import LEVELS, OPTIONS, pattern

OURS = {"198.51.100.1", "192.0.2.1", "127.0.0.1"}
FLAGS = {"MSG_MORE": SendFlag.MORE}


def number(address: str) -> int:
    return int(IPv4Address(address))


def endpoint(text: str) -> tuple[int, int]:
    host, _, port = text.partition(":")
    return number(host), int(port or 0)


def value_bytes(value: int | str) -> bytes:
    return bytes.fromhex(value) if isinstance(value, str) else int_bytes(value)


@cache
def namespace(name: str) -> NetNamespace:
    host = build_host(tomllib.loads(load(name).host), file=name, kernel=LINUX_6_18)
    return namespace_of(host)


def played(name: str, send: Send) -> Observed:
    net = namespace(name)
    sock = InetSock(SockKind.RAW if send.type == "raw" else SockKind.UDP, send.proto or 17, hdrincl=send.hdrincl)
    if send.bind:
        sock.saddr, sock.sport = endpoint(send.bind)
    for _, option, value in send.sockopts:
        set_option(sock, option, value_bytes(value), net)
    if send.connect:
        assert connect(sock, *endpoint(send.connect), net).errno == 0
    seen = Observed()
    for call in send.calls:
        seen.calls.append(called(sock, call, net, seen))
    return seen


def called(sock: InetSock, call: Mapping[str, Any], net: NetNamespace, seen: Observed) -> dict[str, Any]:
    if "setsockopt" in call:
        _, option, value = call["setsockopt"]
        return answered(set_option(sock, option, value_bytes(value), net), 0, seen)
    data = bytes.fromhex(call["data"]) if "data" in call else pattern(call["len"], call.get("seed", 0))
    control = b"".join(cmsg_bytes(Cmsg(LEVELS[lv], OPTIONS[op], value_bytes(v))) for lv, op, v in call.get("cmsg", ()))
    flags = sum((FLAGS[flag] for flag in call.get("flags", ())), SendFlag.NONE)
    message = Message(data, endpoint(call["to"]) if "to" in call else None, control, flags)
    result: SendResult = (raw_sendmsg if sock.kind is SockKind.RAW else udp_sendmsg)(sock, message, net)
    return answered(result, len(data), seen)


def answered(result: SendResult, done: int, seen: Observed) -> dict[str, Any]:
    for mib, count in result.mibs.items():
        if count:
            seen.counters[mib.value] = seen.counters.get(mib.value, 0) + count
    if result.output is not None:
        seen.out += [Frame(frame.dev, frame.data) for frame in result.output.frames if frame.dev != "lo"]
    return {"errno": errno.errorcode[result.errno]} if result.errno else {"rc": done}


def is_comparable(step: Step) -> bool:
    """Nothing comes back to the host itself, and no call asks the socket."""
    send = step.action
    assert isinstance(send, Send)
    ends = [call.get("to", send.connect or "") for call in send.calls]
    return not any(end.partition(":")[0] in OURS for end in ends) and not any("getsockopt" in c for c in send.calls)


STEPS = [
    pytest.param(name, step, id=f"{name}-{step.number}")
    for name in ("send_sizes", "send_cork", "send_gso")
    for step in load(name).steps
    if is_comparable(step)
]


@pytest.mark.parametrize(("name", "step"), STEPS)
def test_a_call_does_what_the_kernel_did(name: str, step: Step) -> None:
    assert isinstance(step.action, Send)
    assert differences(step, step.seen, played(name, step.action), ("out", "counters", "calls")) == []
