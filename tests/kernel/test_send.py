"""Sockets used at random, on the running kernel and on the model: the same frames, errnos and counters."""

from __future__ import annotations

from random import Random
from typing import Any, Final

import pytest

from tests.kernel.machines import Kernel
from tests.kernel.normalise import differences
from tests.kernel.recordings import Observed, Scenario, Send, Step
from tests.support import sending

pytestmark = pytest.mark.kernel

HOST: Final = """
routes = [
    "default via 198.51.100.254 dev eth1",
    "203.0.113.0/24 via 198.51.100.2 dev eth1 mtu 1300",
    "203.0.113.128/25 via 198.51.100.2 dev eth1 mtu lock 1200",
    "198.18.64.0/24 via 198.51.100.2 dev eth1 hoplimit 9",
    "unreachable 198.18.67.0/24",
    "prohibit 198.18.68.0/24",
    "blackhole 198.18.66.0/24",
]
neigh = [
    "198.51.100.254 lladdr 02:00:00:00:02:fe dev eth1",
    "198.51.100.2 lladdr 02:00:00:00:02:02 dev eth1",
    "192.0.2.9 lladdr 02:00:00:00:01:09 dev eth0",
    "192.0.2.9 lladdr 02:00:00:00:01:09 dev eth1",
]
[link.eth0]
address = "02:00:00:00:01:01"
addr = ["192.0.2.1/24"]
[link.eth1]
address = "02:00:00:00:02:01"
mtu = 1400
addr = ["198.51.100.1/24"]
"""

DESTINATIONS: Final = (
    *("192.0.2.9", "198.51.100.2", "203.0.113.7", "203.0.113.200", "198.18.64.1", "9.9.9.9", "192.0.2.255"),
    *("198.18.66.1", "198.18.67.1", "198.18.68.1", "224.0.0.251", "239.1.2.3", "255.255.255.255"),
)
SIZES: Final = (0, 1, 100, 1153, 1172, 1272, 1273, 1372, 1373, 1379, 1380, 1472, 1473, 3000, 9000, 65507, 65508, 65515)
OPTIONS: Final = (
    *("01", "0707040000000000", "070b0400000000000000000000", "8307" + "04" + "c0000209", "8907" + "04" + "c0000209"),
    *(
        "8907" + "04" + "c6336402",
        "94040000",
        "440c050000000000" + "00000000",
        "4414050100000000" + "00" * 12,
        "860600",
    ),
    *("0703", "82040000", "8804beef", "01" * 40, "01" * 41, "830b04c633640201020304", "070705" + "00" * 4, "0708"),
)
SOCKET_OPTIONS: Final = (
    *(("SOL_IP", "IP_MTU_DISCOVER", mode) for mode in (0, 1, 2, 3, 4, 5, 6)),
    *(("SOL_IP", "IP_TTL", value) for value in (0, 1, 255, 256, -1)),
    *(("SOL_IP", "IP_TOS", value) for value in (0, 16, 255, 256, -1)),
    *(("SOL_IP", "IP_OPTIONS", text) for text in OPTIONS),
    *(("SOL_UDP", "UDP_SEGMENT", value) for value in (0, 100, 1372, 65535, 65536, -1)),
    ("SOL_SOCKET", "SO_NO_CHECK", 1),
    ("SOL_SOCKET", "SO_BROADCAST", 1),
)
CMSGS: Final = (
    *(("SOL_IP", "IP_TTL", value) for value in (0, 1, 255, 256, "05")),
    *(("SOL_IP", "IP_TOS", value) for value in (0, 255, 256, -1, "10", "1010")),
    *(("SOL_IP", "IP_RETOPTS", text) for text in (*OPTIONS, "")),
    *(("SOL_IP", "IP_PKTINFO", text) for text in ("00" * 12, "00000000c000020100000000", "00" * 11, "63" + "00" * 11)),
    *(("SOL_UDP", "UDP_SEGMENT", text) for text in ("6400", "640000", "64")),
)


def usage(rng: Random) -> Send:
    """Return one socket's use; the address it is bound to keeps ports apart from run to run."""
    kind = rng.choice(("udp", "udp", "raw"))
    destination = rng.choice(DESTINATIONS)
    options = tuple(rng.sample(SOCKET_OPTIONS, rng.choice((0, 0, 1, 2))))
    to = f"{destination}:7" if kind == "udp" else destination
    connected = rng.random() < 0.25
    calls = []
    for _ in range(rng.choice((1, 1, 2, 3))):
        call: dict[str, Any] = {"len": rng.choice(SIZES)}
        if not connected:
            call["to"] = to
        if rng.random() < 0.3:
            call["flags"] = ["MSG_MORE"]
        if rng.random() < 0.4:
            call["cmsg"] = [rng.choice(CMSGS)]
        calls.append(call)
    proto = 253 if kind == "raw" else 0
    bind = rng.choice((None, "198.51.100.1")) if kind == "raw" else rng.choice(("0.0.0.0:5000", "192.0.2.1:5000"))
    return Send(kind, proto, False, bind, to if connected else None, options, tuple(calls))


def header(rng: Random) -> Send:
    """Return the use of a raw socket that writes its own header."""
    first = rng.choice(("45", "46", "4f", "44", "40", "65"))
    ident, flags = rng.choice(("0000", "1234")), rng.choice(("0000", "4000", "2000", "0010"))
    source = rng.choice(("00000000", "09090909"))
    text = f"{first}10 ffff {ident} {flags} {rng.choice(('00', '40'))}fd 1234 {source} c0000209"
    data = (bytes.fromhex(text) + bytes(rng.choice((0, 4, 40, 1380, 1381))))[: rng.choice((10, 20, 9999, 9999))]
    return Send("raw", 255, True, None, None, (), ({"data": data.hex(), "to": rng.choice(DESTINATIONS[:6])},))


def is_comparable(seen: Observed) -> bool:
    """Nothing came back to the host itself: a broadcast and a group it is in do, and so may an error."""
    return not any(name.startswith(("IpIn", "IpExtIn", "Icmp")) for name in seen.counters)


@pytest.mark.parametrize("seed", range(4))
def test_a_socket_does_what_the_kernels_does(seed: int) -> None:
    rng = Random(seed)
    steps = tuple(Step(n, (header if n % 5 == 4 else usage)(rng), Observed()) for n in range(250))
    net = sending.namespace(HOST)
    wrong = []
    for step, seen in zip(steps, Kernel().play(Scenario("send", HOST, steps)), strict=True):
        assert isinstance(step.action, Send)
        model = sending.played(net, step.action)
        parts = ("out", "counters", "calls") if is_comparable(seen) else ("out", "calls")
        wrong += [f"{line}\n{step.action}" for line in differences(step, seen, model, parts)]
    assert not wrong, "\n\n".join(wrong[:6])
