"""A scenario's send played on the model, in the shape in which a kernel's answers are noted."""

from __future__ import annotations

import errno
import tomllib
from collections.abc import Mapping
from ipaddress import IPv4Address
from typing import Any, Final

from ipkit.core.append_data import SendFlag
from ipkit.core.host.build import build_host
from ipkit.core.host.kernel import LINUX_6_18
from ipkit.core.inet_sock import InetSock, SockKind
from ipkit.core.make_skb import Message, SendResult
from ipkit.core.raw_send import raw_sendmsg
from ipkit.core.sender import connect, open_socket, set_option
from ipkit.core.state.netns import NetNamespace, namespace_of
from ipkit.core.udp_send import udp_sendmsg
from ipkit.core.wire.cmsg import Cmsg, cmsg_bytes, int_bytes
from tests.kernel.namespace import Frame
from tests.kernel.recordings import Observed, Send
from tests.kernel.sockets import LEVELS, OPTIONS, pattern

FLAGS: Final = {"MSG_MORE": SendFlag.MORE}


def namespace(host: str) -> NetNamespace:
    """Return the host of a text under the profile that the running kernel judges."""
    return namespace_of(build_host(tomllib.loads(host), file="host.toml", kernel=LINUX_6_18))


def _endpoint(text: str) -> tuple[int, int]:
    host, _, port = text.partition(":")
    return int(IPv4Address(host)), int(port or 0)


def _bytes(value: int | str) -> bytes:
    return bytes.fromhex(value) if isinstance(value, str) else int_bytes(value)


def played(net: NetNamespace, send: Send) -> Observed:
    """Return what the model makes of a socket's use; as on a kernel, a socket that cannot be made ready ends it."""
    sock = open_socket(SockKind.RAW if send.type == "raw" else SockKind.UDP, send.proto or 17, net.host)
    if send.bind:
        sock.saddr, sock.sport = _endpoint(send.bind)
    seen = Observed()
    preparing = [("IP_HDRINCL", 1)] if send.hdrincl else []
    for option, value in (*preparing, *(option[1:] for option in send.sockopts)):
        result = set_option(sock, option, _bytes(value), net)
        if result.errno:
            seen.calls.append(_answered(result, 0, seen))
            return seen
    if send.connect:
        result = connect(sock, *_endpoint(send.connect), net)
        if result.errno:
            seen.calls.append(_answered(result, 0, seen))
            return seen
    for call in send.calls:
        seen.calls.append(_called(sock, call, net, seen))
    seen.out.sort(key=lambda frame: frame.dev)  # one link after the other, as a namespace is listened to
    return seen


def _called(sock: InetSock, call: Mapping[str, Any], net: NetNamespace, seen: Observed) -> dict[str, Any]:
    if "setsockopt" in call:
        _, option, value = call["setsockopt"]
        return _answered(set_option(sock, option, _bytes(value), net), 0, seen)
    data = bytes.fromhex(call["data"]) if "data" in call else pattern(call["len"], call.get("seed", 0))
    control = b"".join(cmsg_bytes(Cmsg(LEVELS[lv], OPTIONS[op], _bytes(v))) for lv, op, v in call.get("cmsg", ()))
    flags = sum((FLAGS[flag] for flag in call.get("flags", ())), SendFlag.NONE)
    message = Message(data, _endpoint(call["to"]) if "to" in call else None, control, flags)
    result = (raw_sendmsg if sock.kind is SockKind.RAW else udp_sendmsg)(sock, message, net)
    return _answered(result, len(data), seen)


def _answered(result: SendResult, done: int, seen: Observed) -> dict[str, Any]:
    for mib, count in result.mibs.items():
        if count:
            seen.counters[mib.value] = seen.counters.get(mib.value, 0) + count
    if result.output is not None:
        seen.out += [Frame(frame.dev, frame.data) for frame in result.output.frames if frame.dev != "lo"]
    return {"errno": errno.errorcode[result.errno]} if result.errno else {"rc": done}
