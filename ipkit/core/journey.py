"""The order of rooms: which stage is which function, which hook stands before it, and the loop that follows.

Law: stages say what should happen, here it happens: counting, paying ICMP errors, sending, asking hooks, telling the
way. Nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

from ipkit.core.arp_receive import ArpResult, arp_rcv
from ipkit.core.deliver import ip_local_deliver, ip_local_deliver_finish
from ipkit.core.forward import ip_forward, ip_forward_finish
from ipkit.core.hooks import HookPoint, HookVerdict, nf_hook
from ipkit.core.host.config import LinkKind
from ipkit.core.host.fib import Route
from ipkit.core.host.fib_explain import Trace, WalkStep
from ipkit.core.icmp_send import IcmpSent, icmp_send
from ipkit.core.journey_words import below_routing, told_icmp, told_outcome
from ipkit.core.neigh_update import Released, arp_error_report
from ipkit.core.neigh_words import told_lost, told_release, told_request
from ipkit.core.nf_defrag import ipv4_conntrack_defrag
from ipkit.core.outcome.counters import Counted, Mib
from ipkit.core.outcome.drop_reasons import DropReason
from ipkit.core.outcome.journal import Emitted, EmittedKind, End, Journal, Lost, Step
from ipkit.core.outcome.verdict import ArpRequest, Drop, IcmpDue, Next, Queued, StageResult, Stolen, Transmitted
from ipkit.core.output import Output, dst_output, frames_of, ip_local_out
from ipkit.core.ra_chain import ip_mr_input
from ipkit.core.receive import ip_error, ip_rcv, ip_rcv_finish, ip_rcv_finish_core
from ipkit.core.skbuff import IpControlBlock, PacketType, SkBuff
from ipkit.core.state.netns import NetNamespace
from ipkit.core.wire.arp import ARP_BYTES
from ipkit.core.wire.ipv4 import PROTO_ICMP

Stage: TypeAlias = Callable[[SkBuff, NetNamespace, Trace | None], StageResult]

_STAGES: Final[dict[str, Stage]] = {
    "ip_rcv": ip_rcv,
    "ipv4_conntrack_defrag": ipv4_conntrack_defrag,
    "ip_rcv_finish": ip_rcv_finish,
    "ip_rcv_finish_core": ip_rcv_finish_core,
    "ip_mr_input": ip_mr_input,
    "ip_error": ip_error,
    "ip_local_deliver": ip_local_deliver,
    "ip_local_deliver_finish": ip_local_deliver_finish,
    "ip_forward": ip_forward,
    "ip_forward_finish": ip_forward_finish,
}
"""Every stage; what is named and does not stand here is dst_output, where a packet leaves the stages."""

HOOKED: Final[Mapping[str, HookPoint]] = MappingProxyType(
    {
        "ip_rcv_finish": HookPoint.PRE_ROUTING,
        "ip_rcv_finish_core": HookPoint.PRE_ROUTING,  # again, with the VRF as input
        "ip_local_deliver_finish": HookPoint.LOCAL_IN,
        "ip_forward_finish": HookPoint.FORWARD,
    }
)
"""Which hook is asked before a stage (NF_HOOK)."""

MOST_LOOPS: Final = 64
"""How many packets one packet may make this host send to itself; the kernel has no such bound."""

BELOW_ITS_CAUSE: Final = 2
"""How much deeper than a stage the sending stands that one of its functions asked for."""

FORWARDED: Final[tuple[Counted, ...]] = (Mib.FORW_DATAGRAMS,)
SAYS_WHY: Final = frozenset({Mib.FRAG_FAILS})
COMES_BACK: Final = frozenset({LinkKind.LOOPBACK, LinkKind.VRF})
"""Devices that hand everything back to this host."""

WAITS_FOR_NEIGHBOUR: Final = Queued("neighbour", "__neigh_event_send")


def run(skb: SkBuff, net: NetNamespace, journal: Journal) -> Journal:
    """Take one packet through the host, with everything that it brings about."""
    journey = _Journey(net, journal)
    journal.ends = journey.follow("ip_rcv", skb)
    if journey.looped:
        journey.let_loops_in()
    return journal


def run_owed(due: IcmpDue, net: NetNamespace, journal: Journal) -> Journal:
    """Send the error that a timer owes."""
    journey = _Journey(net, journal)
    journey.pay(due)
    journey.let_loops_in()
    return journal


def run_arp(skb: SkBuff, net: NetNamespace, journal: Journal) -> bool:
    """Let an ARP packet come in, with everything that it brings about; tell whether it is one that ARP looks at."""
    journey = _Journey(net, journal)
    trace: Trace | None = [] if journal.steps is not None else None
    result = arp_rcv(skb, net, trace)
    if result is None:
        return False
    journal.ends = [result.outcome]
    journey.arp_done(result, trace or ())
    return True


def run_request(net: NetNamespace, dev: str, request: bytes, journal: Journal) -> None:
    """Ask for a neighbour once more."""
    journey = _Journey(net, journal)
    journey.write(1, told_request(dev, request))
    journey.emit_arp(dev, request)


def run_lost(lost: Iterable[Lost], net: NetNamespace, journal: Journal) -> None:
    """Let packets go that waited in vain, and tell the sources of those whose neighbour failed."""
    journey = _Journey(net, journal)
    for each in lost:
        journal.lost = (*journal.lost, each)
        if journal.steps is not None:
            journey.write(1, told_lost(each))
        due = arp_error_report(each.waiting.skb, net) if each.end.reason is DropReason.NEIGH_FAILED else None
        if due is not None:
            journey.pay(due)
            journey.let_loops_in()


class _Journey:
    """One packet's way, and that of what this host sends to itself on its account."""

    __slots__ = ("_depth", "_journal", "_net", "looped")

    def __init__(self, net: NetNamespace, journal: Journal) -> None:
        self._net = net
        self._journal = journal
        self.looped: list[SkBuff] = []
        self._depth = 0

    def follow(self, stage: str, skb: SkBuff) -> list[End]:
        """Go from stage to stage and return how it ended."""
        net, journal, stages = self._net, self._journal, _STAGES
        counters, steps, has_hooks = journal.counters, journal.steps, bool(net.host.hooks)
        while True:
            act = stages.get(stage)
            if act is None:
                return self._leave(skb)
            if steps is None:
                outcome, mibs, octets, icmp, replies, requests = act(skb, net, None)
            else:
                outcome, mibs, octets, icmp, replies, requests = self._told(stage, act, skb)
            for mib in mibs:  # Journal.count, but this is done for every packet many times
                counters[mib] = counters.get(mib, 0) + 1
            for mib, amount in octets:
                counters[mib] = counters.get(mib, 0) + amount
            if icmp or replies or requests:
                self._answer(icmp, replies, requests)
            if not isinstance(outcome, Next):
                journal.moved = mibs
                return [outcome]
            stage, became = outcome
            skb = became or skb
            if has_hooks and stage in HOOKED:
                kept = self._asked(HOOKED[stage], skb)
                if kept is not None:
                    journal.moved = ()
                    return [kept]
            self._depth += 1

    def let_loops_in(self) -> None:
        """Let what this host sent to itself come in."""
        for _ in range(MOST_LOOPS):
            if not self.looped:
                return
            moved = self._journal.moved
            self._depth = 0
            self._journal.looped = (*self._journal.looped, *self.follow("ip_rcv", self.looped.pop(0)))
            self._journal.moved = moved

    def _answer(self, icmp: tuple[IcmpDue, ...], replies: tuple[SkBuff, ...], requests: tuple[ArpRequest, ...]) -> None:
        """Send what a stage owes, answers and asks for."""
        for due in icmp:
            self.pay(due)
        for reply in replies:
            self._send_own(reply)
        for dev, frame in requests:
            self.write(self._depth + 1, told_request(dev, frame))
            self.emit_arp(dev, frame)

    def pay(self, due: IcmpDue) -> None:
        """Send an error that is owed, if icmp_send finds it deserved."""
        answer = icmp_send(due, self._net.routing, self._net.icmp_tokens, self._net.idents)
        self._journal.count(answer.mibs)
        if self._journal.steps is not None:
            self.write(self._depth + 1, told_icmp(due, answer))
        if isinstance(answer, IcmpSent):
            self._send_own(_own(answer.datagram, answer.route, due.about))

    def _send_own(self, skb: SkBuff) -> None:
        """Send a datagram of this host's own, told below the function that wanted it."""
        self._depth += BELOW_ITS_CAUSE
        out = ip_local_out(skb, self._net, trace=self._wanted())
        if out.errno:
            out.count(Mib.OUT_DISCARDS)  # ip_send_skb, by which the stack's own datagrams all go
        self._put_out(skb, out)
        self._depth -= BELOW_ITS_CAUSE

    def _told(self, stage: str, act: Stage, skb: SkBuff) -> StageResult:
        """Do a stage and write down what it did."""
        trace: Trace = []
        result = act(skb, self._net, trace)
        self.write(self._depth, (stage, *told_outcome(result, skb)))
        for step in trace:
            self.write(self._depth + 1 + below_routing(step[0]), step)
        return result

    def _wanted(self) -> list[Step] | None:
        """Return where the output path writes down its steps, if anybody wants them."""
        return None if self._journal.steps is None else []

    def write(self, depth: int, step: WalkStep) -> None:
        """Write down one function of the way, where somebody wants it told."""
        if self._journal.steps is not None:
            self._journal.steps.append(Step(depth, *step))

    def _asked(self, point: HookPoint, skb: SkBuff) -> Drop | Stolen | None:
        """Ask a hook; nothing is returned where it lets the packet pass."""
        oif = skb.route.dev if skb.route is not None and point is HookPoint.FORWARD else ""
        answer = nf_hook(self._net.host, point, skb.linear, skb.dev, oif)
        values = {"hook": point.value, "verdict": answer.value}
        self.write(self._depth + 1, ("nf_hook", f"{point.value}: {answer.value}", values))
        if answer is HookVerdict.DROP:
            return Drop(DropReason.NETFILTER_DROP, "nf_hook_slow")
        return Stolen("nf_hook_slow") if answer is HookVerdict.STOLEN else None

    def arp_done(self, result: ArpResult, trace: Iterable[WalkStep]) -> None:
        """Send what waited for who spoke, and the answer."""
        self._journal.count(result.mibs)
        for number, step in enumerate(trace):
            self.write(min(number, 1) + step[0].lstrip("_").startswith("fib_"), step)
        for released in result.released:
            self._release(released)
        if result.reply is not None:
            self.emit_arp(result.dev, result.reply)

    def emit_arp(self, dev: str, frame: bytes) -> None:
        """Note an ARP packet on a wire."""
        if dev in self._net.routing.tables.without_carrier:
            return
        header, packet = frame[:-ARP_BYTES], frame[-ARP_BYTES:]
        self._journal.emitted.append(Emitted(dev, EmittedKind.ARP, ARP_BYTES, header, packet))

    def _release(self, released: Released) -> None:
        """Note the frames of a packet that has waited."""
        waiting, nexthop, header = released
        skb = waiting.skb
        if self._journal.steps is not None:
            self.write(1, told_release(released))
        if skb.dev in self._net.routing.tables.without_carrier:
            return
        for dev, _, _, datagram in frames_of(skb, nexthop, header, self._net):
            total = datagram[2] << 8 | datagram[3]
            length = total if waiting.kind is EmittedKind.FRAGMENT else skb.on_wire or len(datagram)
            self._journal.emitted.append(Emitted(dev, waiting.kind, length, header, datagram))

    def _leave(self, skb: SkBuff) -> list[End]:
        """Let a forwarded packet go out and return what became of it."""
        out = dst_output(skb, self._net, trace=self._wanted())
        self._put_out(skb, out)
        self._journal.moved = FORWARDED
        if out.queued:
            self._journal.waiting = out.queued
            return [WAITS_FOR_NEIGHBOUR]  # what had to make room for it is another packet's end
        if out.drops:
            self._journal.moved = tuple(mib for mib in out.mibs if mib in SAYS_WHY)
            return list(out.drops)
        return [Transmitted(skb.dev, len(out.frames)) if out.frames else Stolen("nf_hook_slow")]

    def _put_out(self, skb: SkBuff, out: Output) -> None:
        """Act upon what the output path collected."""
        counters = self._journal.counters
        for mib, amount in out.mibs.items():
            counters[mib] = counters.get(mib, 0) + amount
        if out.trace and self._journal.steps is not None:
            self._journal.steps += [step._replace(depth=self._depth + step.depth) for step in out.trace]
        self.looped += out.looped
        self._emit(skb, out)
        if out.lost:
            self._journal.lost = (*self._journal.lost, *out.lost)
        for due in out.icmp:
            self.pay(due)

    def _emit(self, skb: SkBuff, out: Output) -> None:
        """Note the frames on a wire; what went to the loopback device comes back in by it."""
        links, emitted = self._net.host.links, self._journal.emitted
        kind = EmittedKind.PACKET
        if Mib.FRAG_CREATES in out.mibs:
            kind = EmittedKind.FRAGMENT
        elif skb.pkt_type is PacketType.OUTGOING and skb.data[9] == PROTO_ICMP:
            kind = EmittedKind.ICMP
        for waiting in out.queued:
            waiting.kind = kind
        for dev, _, header, datagram in out.frames:
            if not datagram:
                self.emit_arp(dev, header)
            elif links[dev].kind in COMES_BACK:
                self.looped.append(_looped_in(skb, datagram, dev))
            else:
                length = len(datagram)
                if skb.on_wire:
                    length = skb.on_wire if kind is not EmittedKind.FRAGMENT else datagram[2] << 8 | datagram[3]
                emitted.append(Emitted(dev, kind, length, header, datagram))


def _own(datagram: bytes, route: Route, about: SkBuff) -> SkBuff:
    """Return a datagram of this host's own about a packet that came in."""
    return SkBuff(datagram, route.dev, PacketType.OUTGOING, about.tstamp_ns, route, IpControlBlock())


def _looped_in(skb: SkBuff, datagram: bytes, dev: str) -> SkBuff:
    """Return a datagram as the loopback device brings it back: its route is still on it."""
    return SkBuff(datagram, dev, PacketType.HOST, skb.tstamp_ns, skb.route, IpControlBlock(iif=dev), mark=skb.mark)
