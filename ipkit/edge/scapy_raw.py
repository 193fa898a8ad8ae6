"""scapy's raw capture classes, without what loading and using them brings along.

Law: this is the only room that loads scapy, and it does so when it is called, not when it is imported. Nothing is
read from or written to the home directory, and no route, interface or socket is touched but the one asked for.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from io import BytesIO
from types import ModuleType
from typing import Any, Final, NamedTuple

PCAP_HEADER_BYTES: Final = 24
GZIP_MAGIC: Final = b"\x1f\x8b"
SECTION_BYTE_ORDER: Final = 0x1A2B3C4D

STAND_IN: Final[dict[str, int]] = {"MTU": 0xFFFF, "DLT_EN10MB": 1, "DLT_RAW": 12}
"""All that scapy.utils takes from scapy.data."""

NOWHERE: Final = "/dev/null/none"
HOME_FOLDERS: Final = ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")


class PcapHeader(NamedTuple):
    """The fields of a pcap file header, as scapy reads them."""

    byte_order: str  # as struct spells it
    nano: bool
    snaplen: int
    network: int  # link type, and above it bits about the frame check sequence


def read_pcap_header(raw: bytes) -> PcapHeader | None:
    """Let scapy read the header of a pcap file; None: it is not one."""
    scapy = _scapy_utils()
    if raw.startswith(GZIP_MAGIC):  # unpacked once already: scapy would go on unpacking
        return None
    try:
        reader = scapy.RawPcapReader(BytesIO(raw))
    except scapy.Scapy_Exception:
        return None
    return PcapHeader(reader.endian, reader.nano, reader.snaplen, reader.linktype)


def pcap_header(header: PcapHeader) -> bytes:
    """Let scapy write the header of a pcap file."""
    stream = BytesIO()
    writer = _scapy_utils().RawPcapWriter(
        stream, nano=header.nano, snaplen=header.snaplen, endianness=header.byte_order
    )
    writer.linktype = header.network  # the constructor takes link type 0 for none given
    writer.write_header(None)
    return stream.getvalue()


def pcapng_section(byte_order: str) -> bytes:
    """Let scapy write a section header block."""
    stream = BytesIO()
    _block_writer(byte_order, stream)._write_block_shb()  # noqa: SLF001 - its public way writes an interface that was not asked for
    return stream.getvalue()


def pcapng_block(byte_order: str, kind: bytes, body: bytes, options: bytes) -> bytes:
    """Let scapy frame a block."""
    return bytes(_block_writer(byte_order, BytesIO()).build_block(kind, body, options))


def _block_writer(byte_order: str, stream: BytesIO) -> Any:
    """Return scapy's pcapng writer on a stream: its constructor takes a path and knows one byte order."""
    scapy = _scapy_utils()
    writer = scapy.RawPcapNgWriter.__new__(scapy.RawPcapNgWriter)
    writer.endian, writer.f = byte_order, stream
    writer.endian_magic = SECTION_BYTE_ORDER.to_bytes(4, "little" if byte_order == "<" else "big")
    return writer


def link_layer_socket(dev: str) -> Any:
    """Let scapy open a socket that puts whole frames on a device; it receives none."""
    with _home_kept_out():
        linux = import_module("scapy.arch.linux")
        # It warns that it could not dissect what comes in; nothing does.
        logging.getLogger("scapy.runtime").setLevel(logging.ERROR)
        return linux.L2Socket(iface=dev, type=0, promisc=False, nofilter=1)


@cache
def _scapy_utils() -> ModuleType:
    with _side_effects_kept_out():
        try:
            return import_module("scapy.utils")
        except ImportError:  # it takes more from scapy.data than it used to
            sys.modules.pop("scapy.data", None)
            return import_module("scapy.utils")


@contextmanager
def _side_effects_kept_out() -> Iterator[None]:
    """Stand in for scapy.data, which parses megabytes of names and caches them in the home directory."""
    stand_in = ModuleType("scapy.data")
    vars(stand_in).update(STAND_IN)
    in_place = sys.modules.setdefault("scapy.data", stand_in)
    try:
        with _home_kept_out():
            yield
    finally:
        if in_place is stand_in and sys.modules.get("scapy.data") is stand_in:
            del sys.modules["scapy.data"]


@contextmanager
def _home_kept_out() -> Iterator[None]:
    """Let nothing be read from or written to the home directory."""
    folders = {name: os.environ.get(name) for name in HOME_FOLDERS}
    os.environ.update(dict.fromkeys(HOME_FOLDERS, NOWHERE))
    try:
        yield
    finally:
        for name, value in folders.items():
            del os.environ[name]
            if value is not None:
                os.environ[name] = value
