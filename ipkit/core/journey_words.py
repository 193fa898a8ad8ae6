"""A packet's way in words: what each stage came to, and what happened between the stages and the wire.

Law: nothing is decided here, and nothing is made unless a trace is wanted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from errno import errorcode
from typing import TypeAlias

from ipkit.core.host.kernel import OutputCounting
from ipkit.core.icmp_send import IcmpSent, IcmpWithheld
from ipkit.core.outcome.counters import Mib
from ipkit.core.outcome.verdict import Delivered, Drop, IcmpDue, Next, Queued, StageResult, Stolen
from ipkit.core.output import NO_OWNER, Output, ip_skb_dst_mtu
from ipkit.core.skbuff import PacketType, SkBuff
from ipkit.core.state.netns import NetNamespace
from ipkit.core.wire.ipv4 import address_text

Told: TypeAlias = tuple[str, str, Mapping[str, object]]


def told_outcome(result: StageResult) -> str:
    """Return what a stage came to."""
    outcome = result.outcome
    counted = "".join(f" {mib.value}" for mib in result.mibs)
    counted = f" ({counted.strip()})" if counted else ""
    match outcome:
        case Next():
            return f"-> {outcome.stage}{counted}"
        case Drop():
            errno = f" {errorcode[outcome.errno]}" if outcome.errno else ""
            return f"drop {outcome.reason.value} in {outcome.func}{errno}{counted}"
        case Delivered():
            return f"delivered to {outcome.to}{counted}"
        case Queued():
            return f"queued for {outcome.why}{counted}"
        case Stolen():
            return "kept by a hook"
        case _:
            return f"left by {outcome.dev}"


def told_icmp(due: IcmpDue, answer: IcmpSent | IcmpWithheld) -> Told:
    """Return what became of an error that was owed."""
    values: dict[str, object] = {"type": due.type, "code": due.code, "info": due.info}
    what = f"{due.type}/{due.code}"
    if isinstance(answer, IcmpWithheld):
        return "icmp_send", f"{what} not sent: {answer.why.value}", values | {"sent": False}
    source, target = (address_text(int.from_bytes(answer.datagram[at : at + 4], "big")) for at in (12, 16))
    say = f"{what} from {source} to {target}, {len(answer.datagram)} bytes"
    return "icmp_send", say, values | {"sent": True, "saddr": source, "daddr": target}


def told_output(skb: SkBuff, out: Output, net: NetNamespace) -> Iterator[tuple[int, Told]]:
    """Yield the output path of one datagram, from what it came to, each act with how deep in it it stands."""
    if skb.route is None:
        return
    deep = 0
    if skb.pkt_type is PacketType.OUTGOING:
        requests = net.host.kernel.output_counting is OutputCounting.LOCAL_OUT
        say = f"{skb.length} bytes{' (IpOutRequests)' if requests else ''}"
        yield deep, ("ip_local_out", say, {"length": skb.length})
        deep += 1
    yield deep, ("ip_output", f"by {skb.route.dev}", {"dev": skb.route.dev})
    mtu = ip_skb_dst_mtu(skb, net, NO_OWNER)
    values = {"length": skb.length, "mtu": mtu}
    say = f"{skb.length} bytes, mtu {mtu}"
    if skb.cb.frag_max_size:
        say += f", came in fragments of {skb.cb.frag_max_size}"
        values["frag_max_size"] = skb.cb.frag_max_size
    yield deep + 1, ("ip_finish_output", say, values)
    deep += 2
    for mib in (Mib.FRAG_CREATES, Mib.FRAG_FAILS):
        if mib in out.mibs:
            yield deep, ("ip_fragment", f"{mib.value} {out.mibs[mib]}", {mib.value: out.mibs[mib]})
    for told in _told_ends(out):
        yield deep + (Mib.FRAG_CREATES in out.mibs), told


def _told_ends(out: Output) -> Iterator[Told]:
    """Yield what became of a datagram, or of each of its fragments, at the neighbour."""
    for drop in out.drops:
        yield drop.func, f"drop {drop.reason.value}", {"errno": drop.errno}
    for dev, nexthop, header, datagram in out.frames:
        to = header[:6].hex(":") if header else "no link header"
        what = f"{len(datagram)} bytes to" if datagram else "asks for"
        values = {"nexthop": address_text(nexthop), "dev": dev, "lladdr": to}
        yield "ip_finish_output2", f"{what} {address_text(nexthop)} ({to}) dev {dev}", values
    if out.queued:
        yield "neigh_resolve_output", "waits for the neighbour's answer", {"queued": out.queued}
    if out.looped:
        yield "ip_mc_output", "a copy comes back in", {"copies": len(out.looped)}
