"""The captures beside this file, packet by packet: `python examples/make_captures.py` writes them again, byte for byte.

Law: the standard library only and nothing of ipkit, so that what the program says of these captures can be believed.
"""

from __future__ import annotations

import struct
from pathlib import Path

HERE = Path(__file__).resolve().parent
START_NS = 1_700_000_000_000_000_000

CLIENT, LOGGER, SERVER, RESOLVER = "192.0.2.10", "192.0.2.20", "198.51.100.80", "192.0.2.53"
TCP, UDP, ICMP = 6, 17, 1
SYN, ACK, PSH = 0x02, 0x10, 0x08


def internet_sum(data: bytes) -> int:
    """Add the 16-bit words of the data with end-around carry."""
    if len(data) % 2:
        data += b"\0"
    total = 0
    for (word,) in struct.iter_unpack("!H", data):
        total += word
        total = (total & 0xFFFF) + (total >> 16)
    return total


def address(text: str) -> bytes:
    """Return the four bytes of a dotted address."""
    return bytes(int(part) for part in text.split("."))


def ipv4(flow: tuple[str, str, int], payload: bytes, *, ident: int, frag: int = 0x4000, ttl: int = 64) -> bytes:
    """Return a datagram with a right header checksum."""
    source, destination, protocol = flow
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), ident, frag, ttl, protocol, 0)
    head += address(source) + address(destination)
    check = ~internet_sum(head) & 0xFFFF
    return head[:10] + struct.pack("!H", check) + head[12:] + payload


def pseudo(flow: tuple[str, str, int], length: int) -> bytes:
    """Return the pseudo header that TCP and UDP are summed with."""
    source, destination, protocol = flow
    return address(source) + address(destination) + struct.pack("!BBH", 0, protocol, length)


def summed(segment: bytes, at: int, flow: tuple[str, str, int] | None) -> bytes:
    """Return the segment with its checksum, which lies at an offset, made right."""
    front = pseudo(flow, len(segment)) if flow else b""
    check = ~internet_sum(front + segment) & 0xFFFF
    return segment[:at] + struct.pack("!H", check or 0xFFFF) + segment[at + 2 :]


def tcp(
    flow: tuple[str, str, int], ports: tuple[int, int], numbers: tuple[int, int], flags: int, data: bytes = b""
) -> bytes:
    """Return a TCP segment."""
    return summed(struct.pack("!HHIIBBHHH", *ports, *numbers, 0x50, flags, 64240, 0, 0) + data, 16, flow)


def udp(flow: tuple[str, str, int], ports: tuple[int, int], data: bytes) -> bytes:
    """Return a UDP datagram."""
    return summed(struct.pack("!HHHH", *ports, 8 + len(data), 0) + data, 6, flow)


def echo(kind: int, data: bytes) -> bytes:
    """Return an ICMP echo message."""
    return summed(struct.pack("!BBHHH", kind, 0, 0, 0x2A, 1) + data, 2, None)


def ethernet(payload: bytes, kind: int = 0x0800, tags: bytes = b"") -> bytes:
    """Return a frame without padding."""
    return bytes.fromhex("0200c0000201 0200c000020a") + tags + struct.pack("!H", kind) + payload


def with_bytes(packet: bytes, at: int, new: bytes) -> bytes:
    """Return the packet with some of its bytes changed and nothing put right."""
    return packet[:at] + new + packet[at + len(new) :]


def dns(answer: bytes = b"") -> bytes:
    """Return a query for www.example, or the answer to it."""
    flags, answers = (0x8180, 1) if answer else (0x0100, 0)
    question = b"\3www\7example\0" + struct.pack("!HH", 1, 1)
    record = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 300, 4) + answer if answer else b""
    return struct.pack("!HHHHHH", 0x1234, flags, 1, answers, 0, 0) + question + record


ARP_REQUEST = bytes.fromhex("0001 0800 0604 0001 0200c000020a c000020a 000000000000 c0000201")


def web() -> list[tuple[bytes, int]]:
    """Return a name looked up and a page fetched, with what goes wrong on real links: frames and their wire lengths."""
    out, back = (CLIENT, SERVER, TCP), (SERVER, CLIENT, TCP)
    ask, tell = (CLIENT, RESOLVER, UDP), (RESOLVER, CLIENT, UDP)
    ping, pong = (CLIENT, SERVER, ICMP), (SERVER, CLIENT, ICMP)
    log = (LOGGER, RESOLVER, UDP)
    ports, troop = (49152, 80), (80, 49152)
    get = b"GET / HTTP/1.1\r\nHost: www.example\r\n\r\n"
    body = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + bytes(range(97, 122)) * 16
    rest = bytes(range(65, 90)) * 24
    second = ipv4(back, tcp(back, troop, (5000 + len(body), 1038), ACK | PSH, rest), ident=0x2003, ttl=54)
    request = ipv4(ping, echo(8, b"ipkit" * 8), ident=0x1006)
    line = udp(log, (514, 514), b"<13>logger: checksums left to the network card")
    partial = with_bytes(line, 6, struct.pack("!H", internet_sum(pseudo(log, len(line)))))
    long_answer = udp(tell, (53, 40000), dns(address(SERVER)) + b"\0" * 1600)
    upload = ethernet(ipv4(out, tcp(out, ports, (1038, 6000), ACK, rest * 2), ident=0x1007))
    packets = [
        ipv4(ask, udp(ask, (40000, 53), dns()), ident=0x1001),
        ipv4(tell, with_bytes(udp(tell, (53, 40000), dns(address(SERVER))), 6, b"\0\0"), ident=0x3001),
        ipv4(out, tcp(out, ports, (1000, 0), SYN), ident=0x1002),
        ipv4(back, tcp(back, troop, (4999, 1001), SYN | ACK), ident=0, ttl=54),
        ipv4(out, tcp(out, ports, (1001, 5000), ACK), ident=0x1003),
        ipv4(out, tcp(out, ports, (1001, 5000), ACK | PSH, get), ident=0x1004),
        ipv4(back, tcp(back, troop, (5000, 1038), ACK, body), ident=0x2002, ttl=54),
        with_bytes(second, 300, b"\x40"),  # one bit of the payload turned on the way
        second,
        with_bytes(request, 8, b"\x3f"),  # a hop that took one from the TTL and left the sum
        ipv4(pong, echo(0, b"ipkit" * 8), ident=0x2004, ttl=54),
        ipv4(log, partial, ident=0x4001),
        ipv4(tell, long_answer[:1480], ident=0x3002, frag=0x2000),
        ipv4(tell, long_answer[1480:], ident=0x3002, frag=1480 // 8),
    ]
    frames = [(ethernet(packet), 0) for packet in packets]
    frames.append((upload[:96], len(upload)))  # the snap length cut it
    frames.append((ethernet(ARP_REQUEST, 0x0806), 0))
    return [(frame, wire or len(frame)) for frame, wire in frames]


def pcap(frames: list[tuple[bytes, int]]) -> bytes:
    """Return a little-endian capture with microseconds, one frame each twelve milliseconds."""
    parts = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1)]
    for number, (frame, wire) in enumerate(frames):
        seconds, rest = divmod(START_NS + number * 12_345_000, 1_000_000_000)
        parts.append(struct.pack("<IIII", seconds, rest // 1000, len(frame), wire) + frame)
    return b"".join(parts)


def block(kind: int, body: bytes) -> bytes:
    """Return a pcapng block."""
    return struct.pack("<II", kind, len(body) + 12) + body + struct.pack("<I", len(body) + 12)


def option(code: int, value: bytes) -> bytes:
    """Return a pcapng option, padded."""
    return struct.pack("<HH", code, len(value)) + value + b"\0" * (-len(value) % 4)


def interface(link_type: int, name: str, digits: int) -> bytes:
    """Return the block that describes an interface, its times counted in that many decimal digits."""
    options = option(2, name.encode()) + option(9, bytes([digits])) + option(0, b"")
    return block(1, struct.pack("<HHI", link_type, 0, 262144) + options)


def captured(where: tuple[int, int], number: int, data: bytes, comment: str = "") -> bytes:
    """Return the block of one packet on an interface of so many time digits."""
    index, digits = where
    ticks = (START_NS + number * 1_000_000_007) // 10 ** (9 - digits)
    options = option(1, comment.encode()) + option(0, b"") if comment else b""
    head = struct.pack("<IIIII", index, ticks >> 32, ticks & 0xFFFFFFFF, len(data), len(data))
    return block(6, head + data + b"\0" * (-len(data) % 4) + options)


def mixed() -> bytes:
    """Return a router seen from both sides: VLAN tags and nanoseconds inside, bare IP outside."""
    lan, wan = (0, 9), (1, 6)
    flow, away = (CLIENT, SERVER, UDP), ("203.0.113.1", SERVER, UDP)
    data = b"seen twice: before and after address translation"
    inside = ipv4(flow, udp(flow, (5004, 5004), data), ident=0x5001)
    outside = ipv4(away, udp(flow, (5004, 5004), data), ident=0x5001, ttl=63)  # the sum still covers the old address
    neighbour = bytes.fromhex("6000000000183afffe80000000000000000000000000000aff0200000000000000000001ff000001")
    neighbour += bytes.fromhex("87007d9a00000000fe800000000000000000000000000001")
    vlan, double = bytes.fromhex("8100 000a"), bytes.fromhex("88a8 0064 8100 000a")
    return b"".join(
        [
            block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1) + option(4, b"examples") + option(0, b"")),
            interface(1, "lan0", 9),
            interface(101, "wan0", 6),
            captured(lan, 0, ethernet(ARP_REQUEST, 0x0806)),
            captured(lan, 1, ethernet(inside, tags=vlan), "as the sender made it"),
            captured(wan, 2, outside, "the router changed the source and left the sum"),
            captured(lan, 3, ethernet(inside, tags=double)),
            captured(lan, 4, ethernet(neighbour, 0x86DD)),
        ]
    )


def main() -> None:
    """Write both captures."""
    (HERE / "web.pcap").write_bytes(pcap(web()))
    (HERE / "mixed.pcapng").write_bytes(mixed())


if __name__ == "__main__":
    main()
