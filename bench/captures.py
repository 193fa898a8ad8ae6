"""The bench's input: seeded, so that everyone measures the same bytes, and kept in .cache/bench.

IMIX over Ethernet: datagrams of 40, 576 and 1500 bytes as 7:4:1, half TCP, half UDP, checksums right but for one packet
in ten thousand. No DF, no padding, no VLAN.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

CACHE: Final = Path(__file__).resolve().parent.parent / ".cache" / "bench"
MILLION: Final = 1_000_000

SEED: Final = 20
SIZES: Final = (40, 576, 1500)
SHARES: Final = (7, 4, 1)
RECORD, LINK, IP, TCP, UDP = 16, 14, 20, 6, 17
CHUNK: Final = 24_000
WRONG_ONE_IN: Final = 10_000
START_S: Final = 1_700_000_000
FILE_HEADER: Final = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1)

Bytes = npt.NDArray[np.uint8]


def imix(packets: int) -> Path:
    """Return a capture of so many packets."""
    path = CACHE / f"imix-{packets}.pcap"
    if not path.exists():
        store(path, _chunks(packets))
    return path


def fragments(datagrams: int) -> Path:
    """Return a capture of datagrams of 4,000 bytes in three fragments each, sixteen datagrams on the way at a time."""
    path = CACHE / f"fragments-{datagrams}.pcap"
    if not path.exists():
        store(path, _fragment_records(datagrams))
    return path


def first(packets: int, capture: Path) -> Path:
    """Return the first packets of a little-endian pcap as a capture of its own."""
    path = capture.with_stem(f"{capture.stem}-first-{packets}")
    if not path.exists():
        with capture.open("rb") as source:
            parts = [source.read(len(FILE_HEADER))]
            for _ in range(packets):
                head = source.read(RECORD)
                parts += [head, source.read(struct.unpack_from("<I", head, 8)[0])]
        store(path, iter(parts))
    return path


def store(path: Path, parts: Iterator[bytes]) -> None:
    """Write a capture so that it stands there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    with partial.open("wb") as out:
        out.writelines(parts)
    os.replace(partial, path)


def _chunks(packets: int) -> Iterator[bytes]:
    rng = np.random.default_rng(SEED)
    kinds = rng.permutation(np.resize(np.repeat(np.arange(len(SIZES)), SHARES), packets))
    yield FILE_HEADER
    for begin in range(0, packets, CHUNK):
        yield _chunk(rng, kinds[begin : begin + CHUNK], begin)


def _chunk(rng: np.random.Generator, kinds: npt.NDArray[np.int64], first_number: int) -> bytes:
    """Return the records of some packets: each size is made as one block of rows, then laid at its places."""
    lengths = np.asarray(SIZES)[kinds] + RECORD + LINK
    starts = np.cumsum(lengths) - lengths
    out = np.empty(int(lengths.sum()), np.uint8)
    for kind, size in enumerate(SIZES):
        (rows,) = np.nonzero(kinds == kind)
        records = _records(rng, rows + first_number, size)
        out[starts[rows][:, None] + np.arange(records.shape[1])] = records
    return out.tobytes()


def _records(rng: np.random.Generator, numbers: npt.NDArray[np.int64], size: int) -> Bytes:
    count = len(numbers)
    out = np.zeros((count, RECORD + LINK + size), np.uint8)
    header = np.zeros((count, 4), "<u4")
    header[:, 0] = START_S + numbers // MILLION
    header[:, 1] = numbers % MILLION
    header[:, 2:] = LINK + size
    out[:, :RECORD] = header.view(np.uint8)
    out[:, RECORD : RECORD + LINK] = np.frombuffer(bytes.fromhex("0200c0000201 0200c000020a 0800"), np.uint8)
    out[:, RECORD + LINK :] = _datagrams(rng, numbers, size)
    return out


IN_FLIGHT: Final = 16
FRAGMENTED: Final = 4000
FRAGMENT: Final = 1480


def _fragment_records(datagrams: int) -> Iterator[bytes]:
    """Yield the records of fragments: the first of sixteen datagrams, their second ones, their last ones."""
    rng = np.random.default_rng(SEED)
    link = bytes.fromhex("0200c0000201 0200c000020a 0800")
    sizes = [FRAGMENT, FRAGMENT, FRAGMENTED - IP - 2 * FRAGMENT]
    yield FILE_HEADER
    number = 0
    for begin in range(0, datagrams, IN_FLIGHT):
        group = range(begin, min(begin + IN_FLIGHT, datagrams))
        for part, size in enumerate(sizes):
            for ident in group:
                offset = part * FRAGMENT // 8 | (0x2000 if part < len(sizes) - 1 else 0)
                words = (0x4500, IP + size, ident & 0xFFFF, offset, 0x4011, 0, 0x0A00, ident >> 16, 0x0A00, 1)
                total = sum(words)
                check = ~(total % 0xFFFF) & 0xFFFF
                header = struct.pack(">10H", *words[:5], check, *words[6:])
                time = (START_S + number // MILLION, number % MILLION)
                captured = LINK + IP + size
                yield struct.pack("<4I", *time, captured, captured) + link + header + rng.bytes(size)
                number += 1


def _datagrams(rng: np.random.Generator, numbers: npt.NDArray[np.int64], size: int) -> Bytes:
    data = rng.integers(0, 256, (len(numbers), size), np.uint8)
    is_tcp = numbers % 2 == 0
    words = data.view(">u2")
    data[:, 0], data[:, 1] = 0x45, 0
    words[:, 1], words[:, 2], words[:, 3] = size, numbers & 0xFFFF, 0
    data[:, 8], data[:, 9] = 64, np.where(is_tcp, TCP, UDP)
    data[:, 12], data[:, 16] = 10, 10  # from 10/8 to 10/8
    data[is_tcp, 32:34] = 0x50, 0x10  # twenty bytes of TCP, ACK
    words[~is_tcp, 12] = size - IP
    words[:, 5] = 0
    words[:, 5] = ~_folded(words[:, :10].sum(1, np.uint64))
    _put_transport_sum(words, is_tcp, 18, TCP + size - IP)
    _put_transport_sum(words, ~is_tcp, 13, UDP + size - IP)
    wrong = rng.integers(0, WRONG_ONE_IN, len(numbers)) == 0
    data[wrong, size - 1] ^= 0x40
    return data


def _put_transport_sum(words: npt.NDArray[np.uint16], which: npt.NDArray[np.bool_], at: int, pseudo: int) -> None:
    words[which, at] = 0
    total = words[which, 6:].sum(1, np.uint64) + np.uint64(pseudo)
    check = ~_folded(total)
    words[which, at] = np.where(check == 0, 0xFFFF, check)


def _folded(total: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint16]:
    for _ in range(3):
        total = (total & np.uint64(0xFFFF)) + (total >> np.uint64(16))
    return total.astype(np.uint16)
