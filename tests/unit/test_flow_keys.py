"""What the flow dissector reads: plain packets, fragments, ICMP errors, tunnels; expectations are literals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipkit.core.wire.flow_keys import (
    FlowKeys,
    innermost_keys,
    ip_multipath_l3_keys,
    is_tunnel,
    outer_keys,
)

A, B = bytes([192, 0, 2, 1]), bytes([198, 51, 100, 2])
INNER_A, INNER_B = bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2])
SIX_A, SIX_B = bytes(15) + b"\x01", bytes(15) + b"\x02"
PORTS = bytes.fromhex("03e8 0035")


def header(proto: int, payload: bytes, *, frag: int = 0, src: bytes = A, dst: bytes = B, options: bytes = b"") -> bytes:
    """Write an IPv4 header out by hand; its checksum is of no interest here."""
    words = len(options) // 4 + 5
    total = words * 4 + len(payload)
    first = bytes([0x40 | words, 0]) + total.to_bytes(2, "big") + b"\0\1" + frag.to_bytes(2, "big")
    return first + bytes([64, proto, 0, 0]) + src + dst + options + payload


def six(proto: int, payload: bytes, label: int = 0) -> bytes:
    first = (0x60000000 | label).to_bytes(4, "big") + len(payload).to_bytes(2, "big")
    return first + bytes([proto, 64]) + SIX_A + SIX_B + payload


UDP_INSIDE = header(17, PORTS + bytes(4), src=INNER_A, dst=INNER_B)


@pytest.mark.parametrize("proto", [6, 17, 33, 50, 132, 136])
def test_ports_of_a_plain_packet(proto: int) -> None:
    assert outer_keys(header(proto, PORTS + bytes(16))) == FlowKeys(A, B, proto, 1000, 53)


def test_ports_behind_options_and_of_an_authentication_header() -> None:
    assert outer_keys(header(17, PORTS + bytes(4), options=bytes(8))) == FlowKeys(A, B, 17, 1000, 53)
    assert outer_keys(header(51, bytes(4) + PORTS)) == FlowKeys(A, B, 51, 1000, 53)


@pytest.mark.parametrize("frag", [0x2000, 0x2001, 0x0001])
def test_no_fragment_has_ports(frag: int) -> None:
    assert outer_keys(header(17, PORTS + bytes(4), frag=frag)) == FlowKeys(A, B, 17)


@pytest.mark.parametrize("data", [header(1, PORTS), header(17, b"\x03\xe8\x00"), header(17, b"")])
def test_what_has_no_ports(data: bytes) -> None:
    assert outer_keys(data) == FlowKeys(A, B, data[9])


def test_what_is_too_short_for_a_header() -> None:
    nothing = FlowKeys(bytes(4), bytes(4))
    assert outer_keys(b"\x45" + bytes(18)) == nothing
    assert outer_keys(b"\x44" + bytes(30)) == nothing


GRE = bytes.fromhex("0000 0800")


@pytest.mark.parametrize(
    ("data", "inside"),
    [
        (header(4, UDP_INSIDE), FlowKeys(INNER_A, INNER_B, 17, 1000, 53)),
        (header(47, GRE + UDP_INSIDE), FlowKeys(INNER_A, INNER_B, 17, 1000, 53)),
        (header(47, bytes.fromhex("b000 0800") + bytes(12) + UDP_INSIDE), FlowKeys(INNER_A, INNER_B, 17, 1000, 53)),
        (header(47, bytes.fromhex("0000 6558") + bytes(12) + b"\x08\0" + UDP_INSIDE),
         FlowKeys(INNER_A, INNER_B, 17, 1000, 53)),
        (header(41, six(17, PORTS + bytes(4), 0x12345)), FlowKeys(SIX_A, SIX_B, 17, 1000, 53, 0x12345)),
        (header(41, six(0, bytes([6, 0]) + bytes(6) + PORTS + bytes(16))), FlowKeys(SIX_A, SIX_B, 6, 1000, 53)),
        (header(41, six(44, bytes([17]) + bytes(7) + PORTS)), FlowKeys(SIX_A, SIX_B, 17)),
        (header(4, header(4, UDP_INSIDE, src=B, dst=A)), FlowKeys(INNER_A, INNER_B, 17, 1000, 53)),
        (header(4, UDP_INSIDE[:19]), FlowKeys(A, B, 4)),
    ],
)  # fmt: skip
def test_tunnels(data: bytes, inside: FlowKeys) -> None:
    assert is_tunnel(data)
    assert innermost_keys(data) == inside
    assert outer_keys(data) == FlowKeys(A, B, data[9])


@pytest.mark.parametrize(
    "data",
    [
        header(47, bytes.fromhex("4000 0800") + UDP_INSIDE),  # source routing in GRE
        header(47, bytes.fromhex("0001 880b") + UDP_INSIDE),  # PPTP
        header(47, bytes.fromhex("0000 0806") + UDP_INSIDE),  # ARP
        header(47, b"\0\0\x08"),
        header(4, UDP_INSIDE, frag=0x2000),
        header(17, PORTS),
    ],
)
def test_what_is_no_tunnel(data: bytes) -> None:
    assert not is_tunnel(data)


def test_tunnels_in_tunnels_end_somewhere() -> None:
    data = UDP_INSIDE
    for _ in range(100):
        data = header(4, data)
    assert innermost_keys(data) == FlowKeys(A, B, 4)


@pytest.mark.parametrize("kind", [3, 4, 5, 11, 12])
def test_an_icmp_error_is_told_by_the_packet_it_quotes(kind: int) -> None:
    quoting = header(1, bytes([kind, 0]) + bytes(6) + UDP_INSIDE)
    assert ip_multipath_l3_keys(quoting) == (INNER_A, INNER_B)


@pytest.mark.parametrize(
    "data",
    [
        header(1, bytes([8, 0]) + bytes(6) + UDP_INSIDE),
        header(1, bytes([3, 1]) + bytes(6) + UDP_INSIDE[:19]),
        header(1, bytes([3, 1])),
        header(1, bytes([3, 1]) + bytes(6) + UDP_INSIDE, frag=0x0001),
        header(17, bytes([3, 1]) + bytes(6) + UDP_INSIDE),
    ],
)
def test_everything_else_by_its_own_addresses(data: bytes) -> None:
    assert ip_multipath_l3_keys(data) == (A, B)


@given(st.binary(min_size=20, max_size=120))
def test_any_bytes_can_be_read(data: bytes) -> None:
    for keys in (outer_keys(data), innermost_keys(data)):
        assert len(keys.source) == len(keys.destination)
        assert len(keys.source) in (4, 16)
    assert all(len(address) == 4 for address in ip_multipath_l3_keys(data))
    if not is_tunnel(data):
        assert innermost_keys(data) == outer_keys(data)
