"""The namespace is what its host description says, and is gone when it is closed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.kernel.counters import moved
from tests.kernel.events import watcher
from tests.kernel.lookups import Lookup
from tests.kernel.machines import observe
from tests.kernel.namespace import Frame, HostRefusedError, Namespace
from tests.kernel.recordings import Inject, Observed, Step
from tests.kernel.sockets import Listeners
from tests.support.packets import eth, ip, udp

pytestmark = pytest.mark.kernel

TWO_ARMS = """
routes = ["default via 198.51.100.254 dev eth1", "blackhole 198.18.66.0/24", "unreachable 198.18.67.0/24"]
[sysctl]
"net.ipv4.ip_forward" = 1
[link.eth0]
address = "02:00:00:00:01:01"
addr = ["192.0.2.1/24"]
[link.eth1]
address = "02:00:00:00:02:01"
mtu = 1400
addr = ["198.51.100.1/24"]
"""


def datagram_frame(src: str, dst: str, ttl: int = 64) -> bytes:
    """Return an empty UDP datagram in a frame for eth0."""
    return eth(ip(udp(src=src, dst=dst), src=src, dst=dst, ttl=ttl), dst="02:00:00:00:01:01")


def play(namespace: Namespace, dev: str, frame: bytes) -> Observed:
    return observe(namespace, Listeners(namespace), Step(0, Inject(dev, frame), Observed()))


def test_a_transit_packet_leaves_by_the_other_arm_to_an_assumed_neighbour() -> None:
    with Namespace(TWO_ARMS) as namespace:
        seen = play(namespace, "eth0", datagram_frame("192.0.2.9", "203.0.113.1"))
    (out,) = seen.out
    assert out.dev == "eth1"
    assert out.data[:12].hex(":") == "02:00:c6:33:64:fe:02:00:00:00:02:01"
    assert out.data[14 + 8] == 63
    assert seen.counters["IpForwDatagrams"] == 1
    assert seen.drops == []


def test_an_unknown_neighbour_is_asked_for_where_the_host_says_resolve() -> None:
    with Namespace('neigh_default = "resolve"\n' + TWO_ARMS) as namespace:
        (out,) = play(namespace, "eth0", datagram_frame("192.0.2.9", "203.0.113.1")).out
    assert out.data[:14].hex() == "ffffffffffff0200000002010806"


def test_a_drop_has_its_reason_counter_and_icmp() -> None:
    with Namespace(TWO_ARMS) as namespace:
        seen = play(namespace, "eth0", datagram_frame("192.0.2.9", "203.0.113.1", ttl=1))
    assert seen.counters["IpInHdrErrors"] == 1
    assert [frame.dev for frame in seen.out] == ["eth0"]
    if watcher():
        assert seen.drops == [("IP_INHDR", "ip_forward")]
        assert seen.icmp_send == [(11, 0)]


def test_lookups_answer_in_order_errors_included() -> None:
    with Namespace(TWO_ARMS) as namespace:
        answers = namespace.route_get(
            Lookup("198.18.66.1"),
            Lookup("203.0.113.1"),
            Lookup("no address"),
            Lookup("198.18.67.1"),
            Lookup("192.0.2.1", src="192.0.2.9", iif="eth0"),
            Lookup("192.0.2.1", src="192.0.2.1", iif="eth0"),
        )
    assert answers[0] == "EINVAL"
    assert isinstance(answers[1], dict)
    assert answers[1]["gateway"] == "198.51.100.254"
    assert isinstance(answers[2], str)
    assert answers[2].startswith("Error")
    assert answers[3] == "EHOSTUNREACH"
    assert isinstance(answers[4], dict)
    assert answers[4]["cache"] == ["local"]
    assert answers[5] == "EINVAL"


def test_what_the_kernel_refuses_is_named() -> None:
    bad = {"routes": ["203.0.113.0/24 via 203.0.113.9"], "link": {"eth0": {"addr": ["192.0.2.1/24"]}}}
    with pytest.raises(HostRefusedError, match=r"203\.0\.113\.9.*invalid gateway"):
        Namespace(bad)
    with Namespace(bad, strict=False) as namespace:
        assert [refusal.command for refusal in namespace.refused] == ["route add 203.0.113.0/24 via 203.0.113.9"]


def test_links_up_down_without_carrier_and_without_arp() -> None:
    host = """
    [link.eth0]
    mtu = 68
    addr = ["192.0.2.1/24"]
    [link.eth1]
    carrier = false
    [link.eth2]
    up = false
    [link.eth3]
    arp = false
    """
    with Namespace(host) as namespace:
        lines = namespace.ip("-o", "link").splitlines()
        flags = {line.split(":")[1].strip(): line.partition("<")[2].partition(">")[0].split(",") for line in lines}
    assert {"UP", "LOWER_UP"} <= set(flags["eth0"])
    assert "mtu 68" in lines[1]
    assert {"UP", "NO-CARRIER"} <= set(flags["eth1"])
    assert "UP" not in flags["eth2"]
    assert "NOARP" in flags["eth3"]


def test_joined_groups_take_packets_and_say_nothing_later() -> None:
    host = '[link.eth0]\naddr = ["192.0.2.1/24"]\ngroups = ["239.1.2.3", "224.0.0.251"]\n'
    with Namespace(host) as namespace:
        before = namespace.counters()
        assert namespace.collect_for(0.05) == []
        assert moved(before, namespace.counters()) == {}
        answers = namespace.route_get(*(Lookup(dst, src="192.0.2.9", iif="eth0") for dst in ("239.1.2.3", "239.1.2.4")))
    assert isinstance(answers[0], dict)
    assert answers[1] == "EINVAL"


def test_the_thread_comes_home() -> None:
    home = os.readlink("/proc/thread-self/ns/net")
    with Namespace(TWO_ARMS) as namespace:
        assert os.readlink("/proc/thread-self/ns/net") == home
        with namespace.entered():
            assert os.readlink("/proc/thread-self/ns/net") != home
            with namespace.entered():
                pass
            assert os.readlink("/proc/thread-self/ns/net") != home
    assert os.readlink("/proc/thread-self/ns/net") == home


def test_nothing_is_left_when_the_process_is_killed() -> None:
    program = (
        "import os, time; from tests.kernel.test_namespace import Namespace, TWO_ARMS\n"
        "held = Namespace(TWO_ARMS); print(os.fstat(held.fd).st_ino, flush=True); time.sleep(60)"
    )
    held = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert held.stdout
    inode = held.stdout.readline().strip()
    assert inode in namespaces_in_use()
    held.send_signal(signal.SIGKILL)
    held.wait()
    held.stdout.close()
    deadline = time.monotonic() + 5
    while inode in namespaces_in_use() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert inode not in namespaces_in_use()


def namespaces_in_use() -> set[str]:
    """Return the inodes of the network namespaces that some process holds by a descriptor."""
    found: set[str] = set()
    for process in os.listdir("/proc"):
        try:
            links = [os.readlink(f"/proc/{process}/fd/{fd}") for fd in os.listdir(f"/proc/{process}/fd")]
        except OSError:
            continue
        found.update(link[5:-1] for link in links if link.startswith("net:["))
    return found


def test_frames_are_named_after_their_link() -> None:
    with Namespace(TWO_ARMS) as namespace:
        namespace.inject("eth0", datagram_frame("192.0.2.9", "198.18.67.1"))
        frames = namespace.collect()
    assert [type(frame) for frame in frames] == [Frame]
    assert [frame.dev for frame in frames] == ["eth0"]


def test_a_point_to_point_link_carries_datagrams_without_a_header() -> None:
    host = """
    [sysctl]
    "net.ipv4.ip_forward" = 1
    [link.eth0]
    address = "02:00:00:00:01:01"
    addr = ["192.0.2.1/24"]
    [link.tun0]
    pointopoint = "198.51.100.2"
    addr = ["198.51.100.1/32"]
    """
    with Namespace(host) as namespace:
        seen = play(namespace, "eth0", datagram_frame("192.0.2.9", "198.51.100.2"))
        assert "POINTOPOINT" in namespace.ip("link", "show", "tun0")
    assert [(frame.dev, frame.data) for frame in seen.out] == [
        ("tun0", datagram_frame("192.0.2.9", "198.51.100.2", ttl=63)[14:])
    ]
