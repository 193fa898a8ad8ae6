"""What must not differ between two runs of one kernel, and what may: identifications and clock values.

A host draws IP IDs of its own packets from counters with random starts, and writes the time of day into time
stamps. Those are replaced by stand-ins here, with the checksums that follow from them put right; a checksum that
was wrong before stays as it was. Everything else is compared bit by bit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from tests.kernel.namespace import Frame
from tests.kernel.recordings import Inject, Observed, Step, Wait

ETH_IPV4: Final = b"\x08\x00"
ETH_VLAN: Final = b"\x81\x00"
ICMP: Final = 1
ICMP_ERRORS: Final = frozenset({3, 4, 5, 11, 12})
ICMP_TIMESTAMP_REPLY: Final = 14
OPTION_TIMESTAMP: Final = 68
TIME: Final = b"TIME"
UNMODELLED: Final = re.compile("UdpLite|Tcp(?!Ext)")
"""Counters that the recordings leave out."""


def normalised(step: Step, seen: Observed) -> Observed:
    """Return an observation of a step with everything replaced that chance or the clock decides."""
    labels = IdLabels(_identification(step.action.frame) if isinstance(step.action, Inject) else None)
    answer = seen.answer
    if isinstance(answer, dict):
        answer = {key: "later" if key == "expires" else value for key, value in answer.items()}
    return replace(
        seen,
        out=[Frame(dev, normalise(data, labels)) for dev, data in seen.out],
        sock=[_socket_row(row, labels) for row in seen.sock],
        answer=answer,
    )


class IdLabels:
    """Stand-ins for IP IDs: equal ones stay equal, 0 stays 0, the ID of the packet that came in stays itself."""

    def __init__(self, kept: int | None = None) -> None:
        self._kept = kept
        self._labels: dict[int, int] = {}

    def of(self, identification: int) -> int:
        if identification in (0, self._kept):
            return identification
        return self._labels.setdefault(identification, 0xFD00 + len(self._labels))


def normalise(frame: bytes, labels: IdLabels) -> bytes:
    """Return an Ethernet frame without what chance or the clock decides."""
    if frame[12:14] != ETH_IPV4:
        return frame
    return frame[:14] + normalise_datagram(frame[14:], labels)


def normalise_datagram(data: bytes, labels: IdLabels) -> bytes:
    """Return an IPv4 datagram, or a quoted part of one, without what chance or the clock decides."""
    header_bytes = (data[0] & 15) * 4 if data else 0
    if not 20 <= header_bytes <= len(data):
        return data
    header = bytearray(data[:header_bytes])
    header[4:6] = labels.of(int.from_bytes(data[4:6])).to_bytes(2)
    _mask_timestamps(header)
    header = _summed(data[:header_bytes], header, 10)
    whole = data[header_bytes:]
    if data[9] == ICMP and not int.from_bytes(data[6:8]) & 0x3FFF and len(whole) >= 8:
        whole = bytes(_summed(whole, _icmp(whole, labels), 2))
    return bytes(header) + whole


def without_own_id(datagram: bytes) -> bytes:
    """Return a datagram that the host itself made with its ID taken out; what it quotes stays as it is."""
    header_bytes = (datagram[0] & 15) * 4
    header = bytearray(datagram[:header_bytes])
    header[4:6] = b"\0\0"
    return bytes(_summed(datagram[:header_bytes], header, 10)) + datagram[header_bytes:]


def _icmp(message: bytes, labels: IdLabels) -> bytearray:
    if message[0] in ICMP_ERRORS:
        return bytearray(message[:8] + normalise_datagram(message[8:], labels))
    if message[0] == ICMP_TIMESTAMP_REPLY:
        return bytearray(message[:12] + TIME + TIME + message[20:])
    return bytearray(message)


def _mask_timestamps(header: bytearray) -> None:
    """Replace the times that a time stamp option has gathered."""
    at = 20
    while at < len(header) and header[at]:
        if header[at] == 1:
            at += 1
            continue
        length = header[at + 1] if at + 1 < len(header) else 0
        if length < 2 or at + length > len(header):
            return
        if header[at] == OPTION_TIMESTAMP and length >= 8:
            step = 8 if header[at + 3] & 15 else 4
            filled = min(header[at + 2] - 1, length)  # slots end there; an odd pointer makes odd slots
            for end in range(at + filled, at + step, -step):
                header[end - 4 : end] = TIME
        at += length


def _summed(before: bytes, after: bytearray, check_at: int) -> bytearray:
    """Put the checksum right in the changed bytes where it was right in the unchanged ones."""
    if internet_sum(before) == 0 and bytes(after) != before:
        after[check_at : check_at + 2] = b"\0\0"
        after[check_at : check_at + 2] = internet_sum(bytes(after)).to_bytes(2)
    return after


def internet_sum(data: bytes) -> int:
    """Return the RFC 1071 checksum; 0 over bytes that hold their own right checksum."""
    total = int.from_bytes(data + b"\0" * (len(data) & 1)) % 0xFFFF
    return 0 if not total else 0xFFFF - total


def _identification(frame: bytes) -> int | None:
    at = 18 if frame[12:14] == ETH_VLAN else 14
    return int.from_bytes(frame[at + 4 : at + 6]) if len(frame) >= at + 6 else None


def _socket_row(row: dict[str, Any], labels: IdLabels) -> dict[str, Any]:
    if "proto" not in row:
        return row
    return {**row, "data": normalise_datagram(bytes.fromhex(row["data"]), labels).hex()}


def differences(step: Step, left: Observed, right: Observed, parts: Iterable[str]) -> list[str]:
    """Return a line for each part of a step on which two observations differ.

    What timers drop is left out: a kernel machine sees only what happens in its own context.
    """
    if isinstance(step.action, Wait):
        parts = [part for part in parts if part not in ("drops", "icmp_send")]
    one, other = normalised(step, left), normalised(step, right)
    return [
        f"step {step.number} ({step.note}) {part}:\n  {_shown(getattr(one, part))}\n  {_shown(getattr(other, part))}"
        for part in parts
        if _comparable(part, one) != _comparable(part, other)
    ]


def _comparable(part: str, seen: Observed) -> object:
    """Return what must be equal of a part: the order of frames on each link, the counters of the modelled protocols."""
    match part:
        case "out":
            return sorted(seen.out, key=lambda frame: frame.dev)
        case "counters":
            return {name: value for name, value in seen.counters.items() if not UNMODELLED.match(name)}
        case _:
            return getattr(seen, part)


def _shown(value: object) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(f"{v.dev} {v.data.hex()}" if isinstance(v, Frame) else str(v) for v in value) + "]"
    return str(value)
