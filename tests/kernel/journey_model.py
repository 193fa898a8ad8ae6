"""The model as a machine of the same shape as a kernel, and what of the scenarios it is to be compared in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from tomllib import loads
from typing import Any, Final

from ipkit.core.eth_type_trans import eth_type_trans, vlan_do_receive, vlans_of
from ipkit.core.host.build import build_host
from ipkit.core.host.config import HostConfig
from ipkit.core.host.kernel import LINUX_6_18, KernelProfile
from ipkit.core.journey import run, run_arp
from ipkit.core.link_receive import NOT_ARP, NOT_IPV4, arp_at, ipv4_at
from ipkit.core.outcome.counters import Counted
from ipkit.core.outcome.journal import Journal
from ipkit.core.outcome.verdict import Drop
from ipkit.core.skbuff import IpControlBlock, PacketType, SkBuff
from ipkit.core.state.netns import NetNamespace, namespace_of
from ipkit.core.timers import let_timers_fire
from ipkit.core.wire.link import vlan_tags
from tests.kernel.machines import Machine
from tests.kernel.namespace import Frame
from tests.kernel.recordings import Command, Inject, Observed, Scenario, Step, Wait, load, names

ETHERNET: Final = 1
UNLIMITED: Final = {
    "net.ipv4.icmp_ratelimit": 0,
    "net.ipv4.icmp_msgs_per_sec": 1_000_000,
    "net.ipv4.icmp_msgs_burst": 1_000_000,
}
BETWEEN_FRAMES_NS: Final = 1_000_000

PARTS: Final = ("out", "counters", "icmp_send")

BY_CHANCE: Final = {"reasm_thresh": (8,), "reasm_timer": (15,)}
"""What the driver's buffers are charged with decides; two timers go off in one moment."""

SCENARIOS: Final = [name for name in names() if any(isinstance(step.action, Inject) for step in load(name).steps)]

OTHER_STACKS: Final = re.compile(
    "arp_rcv|llc_rcv|ip6_rcv_core|__netif_receive_skb_core|inet_frag_rbtree_purge|skb_release_data"
    "|tun_net_xmit|__dev_queue_xmit"
)
"""Functions that drop what is not IPv4, fragments that came before and what is made of them, or
what a device without a reader or a cable is given."""

INLINED: Final = {
    "ip_rcv_finish": "ip_rcv_finish_core",
    "ip_mr_input": "ip_rcv_finish_core",
    "ip_options_rcv_srr": "ip_rcv_finish_core",
    "ip_rcv_options": "ip_rcv_finish_core",
    "ip_frag_queue": "ip_defrag",
    "icmp_unreach": "icmp_rcv",
    "icmp_redirect": "icmp_rcv",
    "icmp_timestamp": "icmp_rcv",
}
"""Where a drop event names the function that another was compiled into."""

WITHOUT_EVENT: Final = frozenset({"ip_frag_reasm", "udp_recvmsg"})


def described(scenario: Scenario) -> dict[str, Any]:
    """Return the host description with what was in force besides its text."""
    host: dict[str, Any] = {"neigh_default": "resolve", **loads(scenario.host)}
    host["sysctl"] = UNLIMITED | host.get("sysctl", {})
    host["listen"] = [
        *host.get("listen", ()),
        *({"proto": "raw", "number": number} for number in scenario.raw),
        *({"proto": "udp", "port": port} for port in scenario.udp),
    ]
    for group, dev in scenario.join:
        host["link"][dev].setdefault("groups", []).append(group)
    return host


class Model:
    """What this project says the kernel does."""

    name = "model"

    def __init__(self, kernel: KernelProfile = LINUX_6_18) -> None:
        self._kernel = kernel

    def play(self, scenario: Scenario) -> Iterator[Observed]:
        description = described(scenario)
        host = build_host(description, file=scenario.name, kernel=self._kernel)
        net, now_ns = namespace_of(host), 0
        for step in scenario.steps:
            match step.action:
                case Inject(dev, frame):
                    now_ns += BETWEEN_FRAMES_NS
                    yield received(net, host, (dev, frame), now_ns)
                case Wait(milliseconds):
                    now_ns += milliseconds * 1_000_000
                    yield _waited(net, now_ns)
                case Command(words):
                    _, _, _, dev, _, mtu = words.split()  # link set dev DEV mtu MTU
                    description["link"][dev]["mtu"] = int(mtu)
                    host = build_host(description, file=scenario.name, kernel=self._kernel)
                    net = namespace_of(host)
                    yield step.seen
                case _:
                    yield step.seen


def received(net: NetNamespace, host: HostConfig, came: tuple[str, bytes], now_ns: int) -> Observed:
    dev, frame = came
    journal = Journal(steps=[])
    for _ in let_timers_fire(net, now_ns, lambda: journal):
        pass
    is_ipv4 = (at := ipv4_at(ETHERNET, frame, 0, len(frame))) != NOT_IPV4
    if not is_ipv4 and (at := arp_at(ETHERNET, frame, 0, len(frame))) == NOT_ARP:
        return seen_in(journal)
    link = vlan_do_receive(vlan_tags(ETHERNET, frame, 0, len(frame)), host.links[dev], vlans_of(host))
    kind = PacketType.OTHERHOST if link is None else eth_type_trans(ETHERNET, frame, 0, link, host)
    skb = SkBuff(frame[at:], dev if link is None else link.name, kind, now_ns, cb=IpControlBlock(iif=dev))
    come_in = run if is_ipv4 else run_arp
    come_in(skb, net, journal)
    return seen_in(journal)


def _waited(net: NetNamespace, now_ns: int) -> Observed:
    journal = Journal(steps=[])
    for _ in let_timers_fire(net, now_ns, lambda: journal):
        pass
    return seen_in(journal)


def seen_in(journal: Journal) -> Observed:
    steps = journal.steps or []
    ends = (*journal.ends, *journal.looped, *(lost.end for lost in journal.lost))
    return Observed(
        out=[Frame(one.dev, one.header + one.payload) for one in journal.emitted],
        counters=_named(journal.counters),
        drops=[(end.reason.value, end.func) for end in ends if isinstance(end, Drop)],
        icmp_send=[
            (step.values["type"], step.values["code"])
            for step in steps
            if step.func == "icmp_send" and isinstance(step.values, dict) and step.values["sent"]
        ],
    )


def _named(counters: Mapping[Counted, int]) -> dict[str, int]:
    return {mib.value: amount for mib, amount in counters.items() if amount}


def judged(name: str, *machines: Machine) -> Iterator[tuple[Step, Observed, Observed]]:
    """Yield the steps of a scenario in which two machines are to agree, and what each showed."""
    scenario = load(name)
    skipped = BY_CHANCE.get(name, ())
    one, other = (machine.play(scenario) for machine in machines)
    for step, left, right in zip(scenario.steps, one, other, strict=True):
        if isinstance(step.action, Inject | Wait) and step.number not in skipped:
            yield step, left, right


def drops_of(step: Step, seen: Observed) -> list[tuple[str, str]]:
    """Return the drops of a step that two machines must agree upon, in the names of a compiled kernel."""
    if not isinstance(step.action, Inject):
        return []
    ours = [drop for drop in seen.drops if not OTHER_STACKS.match(drop[1])]
    if any(reason == "QDISC_DROP" for reason, _ in seen.drops):
        ours = [drop for drop in ours if drop[1] != "ip_do_fragment"]  # the fragments that were still to come
    return [(reason, INLINED.get(func, func)) for reason, func in ours if func not in WITHOUT_EVENT]
