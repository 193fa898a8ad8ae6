"""The match language: what its terms mean for datagrams of every kind, and what it refuses."""

from __future__ import annotations

import pytest

from ipkit.core.host.match import Match, match_text, matches, read_match
from ipkit.core.host.words import WordError


def datagram(
    proto: int, payload: bytes = b"", *, src: str = "192.0.2.1", dst: str = "203.0.113.9", frag: int = 0
) -> bytes:
    """Return a datagram whose checksum nobody looks at."""
    length = 20 + len(payload)
    addresses = bytes(int(octet) for octet in f"{src}.{dst}".split("."))
    return b"\x45\0" + length.to_bytes(2) + b"\0\1" + frag.to_bytes(2) + bytes((64, proto, 0, 0)) + addresses + payload


UDP = datagram(17, bytes.fromhex("1388 0035 0008 0000"))  # port 5000 to 53
TCP = datagram(6, bytes.fromhex("01bb d903") + bytes(16))  # port 443 to 55555
ICMP = datagram(1, bytes.fromhex("0800 0000 0000 0000"))
FIRST = datagram(17, bytes.fromhex("1388 0035 0008 0000"), frag=0x2000)
LATER = datagram(17, bytes.fromhex("1388 0035 0008 0000"), frag=0x0001)
SHORT = datagram(17, bytes.fromhex("1388 00"))
ESP = datagram(50, bytes.fromhex("1388 0035 0000 0001"))

MEANT = [
    ("udp", UDP, True),
    ("udp", TCP, False),
    ("not udp", TCP, True),
    ("proto udp", UDP, True),
    ("proto 17", UDP, True),
    ("proto 17", ICMP, False),
    ("icmp", ICMP, True),
    ("esp", ESP, True),
    ("src 192.0.2.1", UDP, True),
    ("src 192.0.2.0/24", UDP, True),
    ("src 192.0.2.2/31", UDP, False),
    ("src default", UDP, True),
    ("dst 203.0.113.0/25", UDP, True),
    ("dst 203.0.113.128/25", UDP, False),
    ("not dst 203.0.113.128/25", UDP, True),
    ("sport 5000", UDP, True),
    ("sport 4000-5000", UDP, True),
    ("sport 4000-4999", UDP, False),
    ("dport 53", UDP, True),
    ("dport 53", TCP, False),
    ("sport 443 and tcp", TCP, True),
    ("udp and dport 53 and src 192.0.2.0/24", UDP, True),
    ("udp and dport 53 and src 10.0.0.0/8", UDP, False),
    ("dport 53", FIRST, True),
    ("dport 53", LATER, False),
    ("not dport 53", LATER, True),
    ("dport 53", SHORT, False),
    ("dport 53", ESP, False),
    ("dport 0-65535", ICMP, False),
    ("icmp-type 8", ICMP, True),
    ("icmp-type 0", ICMP, False),
    ("icmp-type 0", UDP, False),
    ("icmp-type 8", datagram(1, b"\x08", frag=5), False),
    ("icmp-type 8", datagram(1), False),
    ("fragment", FIRST, True),
    ("fragment", LATER, True),
    ("fragment", UDP, False),
    ("fragment", datagram(17, frag=0x4000), False),  # DF alone is none
    ("length 28", UDP, True),
    ("length 29-65535", UDP, False),
    ("iif eth0", UDP, True),
    ("iif eth1", UDP, False),
    ("oif eth1", UDP, True),
    ("not oif eth1", UDP, False),
]


@pytest.mark.parametrize(("text", "data", "meant"), MEANT)
def test_a_match_means_what_it_says(text: str, data: bytes, meant: bool) -> None:
    assert matches(read_match(text), data, "eth0", "eth1") is meant


def test_no_term_matches_everything() -> None:
    assert matches(Match(), UDP)


def test_without_a_device_no_device_is_meant() -> None:
    assert not matches(read_match("iif eth0"), UDP)
    assert matches(read_match("not oif eth0"), UDP)


def test_a_length_of_zero_is_the_length_of_the_bytes() -> None:
    """What segmentation offload leaves in captures."""
    assert matches(read_match("length 28"), UDP[:2] + b"\0\0" + UDP[4:])


def test_a_header_longer_than_the_datagram_has_no_ports() -> None:
    assert not matches(read_match("sport 0-65535"), b"\x4f" + UDP[1:])


@pytest.mark.parametrize("text", list(dict.fromkeys(text for text, _, _ in MEANT)))
def test_a_match_that_is_written_and_read_again_is_the_same(text: str) -> None:
    match = read_match(text)
    assert read_match(match_text(match)) == match


def test_a_match_is_written_as_a_person_would() -> None:
    text = "not src 203.0.113.0/24 and proto 17 and dport 53-99 and fragment and iif eth0"
    assert match_text(read_match(text)) == text


REFUSED = [
    ("", "a term is missing"),
    ("udp and", "a term is missing"),
    ("and udp", "unknown term `and`"),
    ("udp or tcp", "terms are joined by `and`; for `or`, write two entries"),
    ("udp tcp", "terms are joined by `and`; for `or`, write two entries"),
    ("not", "nothing stands after `not`"),
    ("not not udp", "unknown term `not`"),
    ("src", "nothing stands after `src`"),
    ("src 192.0.2.1/24", "192.0.2.1/24 has bits set behind its prefix length: 192.0.2.0/24?"),
    ("src home", "`home` is not an IPv4 address"),
    ("proto nonesuch", "`nonesuch` is neither a number nor one of icmp"),
    ("proto 256", "256 is not between 0 and 255"),
    ("sport 65536", "65536 is not between 0 and 65535"),
    ("sport 9-5", "the range 9-5 is upside down"),
    ("sport -5", "`` is not a number"),
    ("icmp-type echo", "`echo` is not a number"),
    ("length x", "`x` is not a number"),
    ("port 53", "unknown term `port`"),
]


@pytest.mark.parametrize(("text", "why"), REFUSED, ids=[text for text, _ in REFUSED])
def test_a_match_that_cannot_be_read_is_refused(text: str, why: str) -> None:
    with pytest.raises(WordError) as refused:
        read_match(text)
    assert str(refused.value).startswith(why)
