"""What is told of neighbours in a packet's way: who is asked, what waits, what leaves at last.

Law: nothing is decided here, and nothing is made unless a trace is wanted.
"""

from __future__ import annotations

from ipkit.core.host.fib_explain import WalkStep
from ipkit.core.neigh_update import Released, TimerAct
from ipkit.core.outcome.journal import Lost
from ipkit.core.state.neighbour_table import NeighbourEntry, state_text
from ipkit.core.state.netns import NetNamespace
from ipkit.core.wire import arp
from ipkit.core.wire.ipv4 import address_text


def told_request(dev: str, frame: bytes) -> WalkStep:
    """Return whom an ARP request goes to, and in whose name."""
    asked = arp.read(frame[-arp.ARP_BYTES :])
    receiver = frame[: arp.ADDRESS_BYTES]
    to = "everybody" if receiver == arp.BROADCAST_ADDRESS else receiver.hex(":")
    source, target = address_text(asked.sender_ip), address_text(asked.target_ip)
    say = f"asks {to} for {target} from {source} dev {dev}"
    return "arp_solicit", say, {"target": target, "source": source, "dev": dev, "to": receiver.hex(":")}


def told_waiting(net: NetNamespace, dev: str, nexthop: int) -> WalkStep:
    """Return in which state a neighbour is that a packet waits for, and how full its queue is by now."""
    to = address_text(nexthop)
    entry = net.neighbours.entries[dev, nexthop]
    state = state_text(entry.state)
    most = net.host.links[dev].neigh.unres_qlen_bytes
    packets = f"{len(entry.waiting)} packet{'' if len(entry.waiting) == 1 else 's'}"
    say = f"waits for {to} dev {dev}, {state}: {packets}, {entry.waiting_bytes} of {most} bytes"
    values = {"nexthop": to, "dev": dev, "state": state, "probes": entry.probes, "bytes": entry.waiting_bytes}
    return "neigh_event_send", say, {**values, "waiting": len(entry.waiting), "unres_qlen_bytes": most}


def told_lost(lost: Lost) -> WalkStep:
    """Return that a packet has waited in vain."""
    waiting, end = lost
    to = address_text(int.from_bytes(waiting.skb.data[16:20], "big"))
    say = f"drop {end.reason.value}: {waiting.skb.length} bytes that waited, to {to}"
    return end.func, say, {"dst": to, "dev": waiting.skb.dev, "truesize": waiting.truesize}


def told_release(released: Released) -> WalkStep:
    """Return that a packet has waited long enough."""
    waiting, nexthop, header = released
    lladdr = header[: arp.ADDRESS_BYTES].hex(":") or "no link header"
    to, dev = address_text(nexthop), waiting.skb.dev
    say = f"{waiting.skb.length} bytes that waited leave to {to} ({lladdr}) dev {dev}"
    return "neigh_resolve_output", say, {"nexthop": to, "dev": dev, "lladdr": lladdr}


def told_timer(entry: NeighbourEntry, act: TimerAct) -> WalkStep:
    """Return what a neighbour's timer came to."""
    state, who = state_text(entry.state), f"{address_text(entry.address)} dev {entry.dev}"
    say = f"{who} does not answer" if act.failed else f"{who} is {state}"
    return "neigh_timer_handler", say, {"state": state, "probes": entry.probes}
