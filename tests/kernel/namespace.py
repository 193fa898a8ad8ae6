"""A running kernel's network namespace, built from a host description: frames in; frames, counters and drops out.

The namespace hangs on a file descriptor of this process and on nothing else. The calling thread enters it for the
moments in which something must be made or asked there.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from tests.kernel import conntrack, lookups, system
from tests.kernel.counters import CounterFiles
from tests.kernel.hostfile import HostText, LinkText, from_mapping, from_toml
from tests.kernel.lookups import Answer, Lookup
from tests.kernel.tap import Tap, Wire

UNLIMITED_ICMP: Final = {
    "net.ipv4.icmp_ratelimit": "0",
    "net.ipv4.icmp_msgs_per_sec": "1000000000",
    "net.ipv4.icmp_msgs_burst": "1000000000",
}
"""What lets every ICMP error out, however fast a test is."""

QUIET: Final = {
    "net.ipv6.conf.all.disable_ipv6": "1",
    "net.ipv6.conf.default.disable_ipv6": "1",
    "net.ipv4.igmp_qrv": "1",
    "net.ipv4.conf.all.igmpv3_unsolicited_report_interval": "1",
    "net.ipv4.conf.default.igmpv3_unsolicited_report_interval": "1",
}
"""What keeps the kernel from speaking unasked: no IPv6, and the one report of a joined group at once."""

IP_ROUTER_ALERT: Final = 5
ARP_REQUEST: Final = bytes.fromhex("0806 0001 0800 06 04 0001")
KERNEL_MADE: Final = ("proto kernel", "table local")


class Frame(NamedTuple):
    """One Ethernet frame that came out; of a point-to-point link, one datagram."""

    dev: str
    data: bytes


class Refusal(NamedTuple):
    """A line of the description that the kernel did not take."""

    command: str
    why: str


class HostRefusedError(Exception):
    """The kernel did not take the description."""

    def __init__(self, refusals: Sequence[Refusal]) -> None:
        super().__init__("; ".join(f"{command}: {why}" for command, why in refusals))
        self.refusals = refusals


class Namespace:
    """A network namespace with a TAP device for each link; a context manager.

    `refused` lists what the kernel did not take; with `strict` (the default) that raises HostRefusedError instead.
    """

    def __init__(
        self,
        host: str | Mapping[str, Any] | HostText,
        *,
        sysctl: Mapping[str, str] = UNLIMITED_ICMP,
        strict: bool = True,
    ) -> None:
        self.host = _host_text(host)
        self.refused: list[Refusal] = []
        self.taps: dict[str, Tap] = {}
        self._sockets: list[socket.socket] = []
        self.fd = system.new_namespace()
        try:
            with self.entered():
                self._build(sysctl)
        except BaseException:
            self.close()
            raise
        if strict and self.refused:
            self.close()
            raise HostRefusedError(self.refused)

    def __enter__(self) -> Namespace:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the namespace go; the kernel takes it apart in its own time."""
        for opened in self._sockets:
            opened.close()
        for tap in self.taps.values():
            tap.close()
        if hasattr(self, "_counters"):
            self._counters.close()
        os.close(self.fd)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Let the calling thread, and what it starts, be inside."""
        with system.inside(self.fd):
            yield

    # Building

    def _build(self, sysctl: Mapping[str, str]) -> None:
        host = self.host
        self._counters = CounterFiles()
        of_links = tuple(f"net.ipv4.{tree}.{link.name}." for link in host.links for tree in ("conf", "neigh"))
        early = {name: value for name, value in host.sysctl.items() if not name.startswith(of_links or ("?",))}
        self._write_sysctls({**QUIET, **sysctl, **early})
        for link in host.links:
            if link.kind == "ethernet" and link.name != "lo":
                self.taps[link.name] = Tap(link.name, Wire.DATAGRAMS if link.is_point_to_point else Wire.FRAMES)
                if not link.carrier:
                    self.taps[link.name].set_carrier(0)
        self._batch(["link set lo up", *(line for link in host.links for line in _link_lines(link))])
        self._write_sysctls({name: value for name, value in host.sysctl.items() if name not in early})
        self._batch(f"addr add {text} dev {link.name}" for link in host.links for text in link.address_lines)
        self._join_groups()
        self._batch(f"nexthop add {line}" for line in host.nexthops)
        self._batch(f"route add {line}" for line in host.routes)
        if not host.default_rules:
            self._batch(["rule flush", "rule del pref 0"])
        self._batch(f"rule add {line}" for line in host.rules)
        self._batch(f"neigh replace {line}" for line in host.neigh)
        self._batch(f"xfrm policy add {line}" for line in host.policies)
        self._listen_for_alerts()
        if host.conntrack:
            conntrack.switch_on()
        self.collect()

    def _write_sysctls(self, values: Mapping[str, str]) -> None:
        """Write knobs in order; one that another bounds (a low threshold, a high one) gets a second chance."""
        refused = [name for name, value in values.items() if self._sysctl_refused(name, value)]
        for name in refused:
            if why := self._sysctl_refused(name, values[name]):
                self.refused.append(Refusal(f"sysctl {name}={values[name]}", why))

    def _sysctl_refused(self, name: str, value: str) -> str:
        try:
            self.sysctl(name, value)
        except OSError as error:
            return error.strerror or str(error)
        return ""

    def _batch(self, lines: Iterable[str]) -> None:
        text = list(lines)
        if not text:
            return
        given = "\n".join(text) + "\n"
        tool = ["ip", "-force", "-batch", "-"]
        done = subprocess.run(tool, input=given, capture_output=True, text=True, check=False)
        complaint = ""
        for line in done.stderr.splitlines():
            if match := lookups.FAILED_LINE.match(line):
                command = text[int(match[1]) - 1]
                if not ("File exists" in complaint and any(words in command for words in KERNEL_MADE)):
                    self.refused.append(Refusal(command, complaint))
            else:
                complaint = line
        if done.returncode < 0 or (done.returncode and "Command failed" not in done.stderr):
            self.refused.append(Refusal("; ".join(text), complaint))

    def _join_groups(self) -> None:
        joined = [(link.name, group) for link in self.host.links for group in link.groups]
        for dev, group in joined:
            self.join(group, dev)
        if any(not group.startswith("224.0.0.") for _, group in joined):
            self.collect(quiet_seconds=0.02)  # the reports

    def _listen_for_alerts(self) -> None:
        for entry in self.host.listen:
            if entry.get("router_alert"):
                self.socket(socket.SOCK_RAW, entry["number"]).setsockopt(socket.IPPROTO_IP, IP_ROUTER_ALERT, 1)

    # Asking and telling

    def ip(self, *words: str) -> str:
        """Run `ip` inside and return what it printed."""
        with self.entered():
            return subprocess.run(["ip", *words], capture_output=True, text=True, check=True).stdout

    def refuses(self, command: str) -> str:
        """Try one more command of `ip`; return why it is refused, or nothing where it was done."""
        with self.entered():
            done = subprocess.run(["ip", *command.split()], capture_output=True, text=True, check=False)
        return done.stderr.strip() if done.returncode else ""

    def sysctl(self, name: str, value: str) -> None:
        """Write one knob, by its dotted name; a device name may itself hold dots."""
        path = name.replace(".", "/")
        for link in self.host.links:
            path = path.replace(f"/{link.name.replace('.', '/')}/", f"/{link.name}/")
        with self.entered(), open(f"/proc/sys/{path}", "w") as file:
            file.write(value)

    def route_get(self, *questions: Lookup) -> list[Answer]:
        """Return the answer to each lookup, all asked in one go."""
        with self.entered():
            return lookups.ask(questions)

    def route_get_lines(self, *questions: Lookup) -> list[str]:
        """Return the lines that `ip route get` prints, each as if it were the first that was ever asked."""
        with self.entered():
            return lookups.ask_anew(questions)

    def route_get_learnt(self, *questions: Lookup) -> list[str]:
        """Return the lines that `ip route get` prints, with what was learnt before."""
        with self.entered():
            return lookups.ask_lines(questions)

    def counters(self) -> dict[str, int]:
        """Return every counter under its nstat name."""
        return self._counters.read()

    def inject(self, dev: str, frame: bytes) -> None:
        """Put a frame into a link, as if it had come by the cable."""
        self.taps[dev].write(frame)
        self.settle()

    def collect(self, quiet_seconds: float = 0.0) -> list[Frame]:
        """Return what came out and stop when nothing more came for that long; by default take what is there."""
        self.settle()
        frames: list[Frame] = []
        while True:
            for tap in self.taps.values():
                while (data := tap.read()) is not None:
                    if not self._answered(tap, data):
                        frames.append(Frame(tap.name, data))
            if not select.select([tap.fd for tap in self.taps.values()], [], [], quiet_seconds)[0]:
                return frames

    def collect_for(self, seconds: float) -> list[Frame]:
        """Return what comes out in a stretch of time."""
        deadline = time.monotonic() + seconds
        frames: list[Frame] = []
        while (left := deadline - time.monotonic()) > 0:
            select.select([tap.fd for tap in self.taps.values()], [], [], left)
            frames += self.collect()
        return frames

    def settle(self) -> None:
        """Wait until no processor has received packets (loopback ones) waiting for it."""
        deadline = time.monotonic() + 0.5
        while _backlog() and time.monotonic() < deadline:
            time.sleep(0.0002)

    def _answered(self, tap: Tap, data: bytes) -> bool:
        """Answer an ARP request with the made-up MAC, where unknown neighbours are assumed to be there."""
        if self.host.neigh_default != "assume" or tap.wire is not Wire.FRAMES or data[12:22] != ARP_REQUEST:
            return False
        asker_mac, asker, target = data[22:28], data[28:32], data[38:42]
        made_up = b"\x02\x00" + target
        tap.write(asker_mac + made_up + ARP_REQUEST[:-1] + b"\x02" + made_up + target + asker_mac + asker)
        return True

    # Sockets

    def socket(self, kind: int, proto: int = 0) -> socket.socket:
        """Return a socket of the namespace; it is closed with it."""
        with self.entered():
            made = socket.socket(socket.AF_INET, kind, proto)
        made.setblocking(False)
        self._sockets.append(made)
        return made

    def join(self, group: str, dev: str) -> None:
        """Join a multicast group on a link."""
        with self.entered():
            index = socket.if_nametoindex(dev)
        member = struct.pack("=4s4si", socket.inet_aton(group), bytes(4), index)
        self.socket(socket.SOCK_DGRAM).setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)


def _host_text(host: str | Mapping[str, Any] | HostText) -> HostText:
    match host:
        case str():
            return from_toml(host)
        case HostText():
            return host
        case _:
            return from_mapping(host)


def _link_lines(link: LinkText) -> Iterator[str]:
    if link.kind == "vlan":
        yield f"link add link {link.link} name {link.name} type vlan id {link.id}"
    elif link.kind == "vrf":
        yield f"link add {link.name} type vrf table {link.table}"
    if link.name == "lo":
        return
    words = [f"mtu {link.mtu}" if link.kind != "vrf" else "", "" if link.arp else "arp off"]
    if link.address and not link.is_point_to_point:
        words.append(f"address {link.address}")
    if link.master:
        words.append(f"master {link.master}")
    yield f"link set {link.name} {' '.join(filter(None, words))} {'up' if link.up else 'down'}"


def _backlog() -> int:
    """Return how many received packets wait on all processors: column 12 of softnet_stat."""
    with open("/proc/net/softnet_stat") as file:
        return sum(int(line.split()[11], 16) for line in file)
