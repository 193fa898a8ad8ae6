"""ICMP, TCP and UDP headers read and built, against scapy's."""

from __future__ import annotations

from scapy.layers import inet

from ipkit.core.wire import icmp
from ipkit.core.wire.transport import (
    TcpHeader,
    UdpHeader,
    build_tcp,
    build_udp,
    read_tcp,
    read_udp,
    tcp_header_bytes,
)


def test_udp() -> None:
    data = bytes(inet.UDP(sport=1024, dport=53, len=8, chksum=0xBEEF))
    assert read_udp(b"\xff" + data, 1) == UdpHeader(1024, 53, 8, 0xBEEF)
    assert build_udp(read_udp(data)) == data


def test_tcp() -> None:
    data = bytes(
        inet.TCP(sport=1024, dport=80, seq=7, ack=9, dataofs=6, flags="SA", window=100, chksum=0xBEEF, urgptr=3)
    )
    header = read_tcp(b"\xff" + data, 1)
    assert header == TcpHeader(1024, 80, 7, 9, 0x60, 0x12, 100, 0xBEEF, 3)
    assert header.header_bytes == tcp_header_bytes(data) == 24
    assert build_tcp(header) == data


def test_every_data_offset() -> None:
    for words in range(16):
        data = bytes(inet.TCP(dataofs=words, reserved=7))
        assert read_tcp(data).header_bytes == tcp_header_bytes(data) == words * 4


def test_icmp() -> None:
    data = bytes(inet.ICMP(type="dest-unreach", code="fragmentation-needed", nexthopmtu=1400, chksum=0xBEEF))
    assert icmp.read(b"\xff" + data, 1) == icmp.IcmpHeader(icmp.DEST_UNREACH, icmp.FRAG_NEEDED, 0xBEEF, 1400)
    assert icmp.build(icmp.read(data)) == data


def test_icmp_types_have_the_registered_numbers() -> None:
    names = {name.replace("-", ""): number for number, name in inet.icmptypes.items()}
    ours = {
        "echoreply": icmp.ECHOREPLY,
        "destunreach": icmp.DEST_UNREACH,
        "sourcequench": icmp.SOURCE_QUENCH,
        "redirect": icmp.REDIRECT,
        "echorequest": icmp.ECHO,
        "timeexceeded": icmp.TIME_EXCEEDED,
        "parameterproblem": icmp.PARAMETERPROB,
        "timestamprequest": icmp.TIMESTAMP,
        "timestampreply": icmp.TIMESTAMPREPLY,
        "informationrequest": icmp.INFO_REQUEST,
        "informationresponse": icmp.INFO_REPLY,
        "addressmaskrequest": icmp.ADDRESS,
        "addressmaskreply": icmp.ADDRESSREPLY,
    }
    assert {name: names[name] for name in ours} == ours
