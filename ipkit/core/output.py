"""From a datagram with a route to frames on a wire, for our own packets and forwarded ones alike.

Law: sockets are unknown here; what the one behind a packet decides comes along as an Owner. What leaves, what is
counted, owed, looped back or dropped is collected in an Output and acted upon by nobody here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from errno import EPERM
from types import MappingProxyType
from typing import Final, NamedTuple

from ipkit.core.fragment import ETHERNET_RESERVED_SPACE, FragPath, ip_copy_metadata, ip_fragment, must_fragment
from ipkit.core.gso import skb_gso_segment, skb_gso_validate_network_len
from ipkit.core.hooks import HookPoint, HookVerdict, nf_hook
from ipkit.core.host.config import LinkKind
from ipkit.core.host.fib import Route, RouteFlag, RouteType
from ipkit.core.host.kernel import OutputCounting, PostRoutingInput
from ipkit.core.ip_options import ip_options_fragment
from ipkit.core.neigh_words import told_lost, told_request, told_waiting
from ipkit.core.neighbour import NeighbourResult, neigh_output
from ipkit.core.outcome.counters import Mib
from ipkit.core.outcome.drop_reasons import DropReason
from ipkit.core.outcome.journal import Lost, Step, Waiting
from ipkit.core.outcome.verdict import Drop, IcmpDue
from ipkit.core.route import Direction, ip_dst_mtu_maybe_forward
from ipkit.core.route_mtu import IP_MAX_MTU
from ipkit.core.skbuff import Buffer, IpControlBlock, IpSkbFlag, PacketType, SkBuff
from ipkit.core.state.netns import NetNamespace
from ipkit.core.wire.checksum import with_header_checksum
from ipkit.core.wire.ipv4 import HEADER_BYTES, address_text, read

NET_XMIT_CN: Final = -2
"""No errno, and nothing was sent: it ends the sending of fragments, and nobody else hears of it."""


class SizedBy(Enum):
    """Which MTU binds a packet."""

    ROUTE = "route"
    DEVICE = "device"


class Owner(NamedTuple):
    """What the socket behind a packet decides on its way out."""

    sized_by: SizedBy = SizedBy.ROUTE
    hears_itself: bool = True  # a copy of its multicasts comes back (sk_mc_loop)


NO_OWNER: Final = Owner()
NOTHING: Final[Mapping[str, object]] = MappingProxyType({})
GROUPS: Final = 0xE
"""How multicast addresses begin, in four bits; those that never leave a link, in bytes; the address of everybody."""
LOCAL_GROUPS: Final = b"\xe0\0\0"
LIMITED_BROADCAST: Final = b"\xff\xff\xff\xff"
QUEUE_FULL: Final = Drop(DropReason.NEIGH_QUEUEFULL, "__neigh_event_send")
TO_MANY: Final = RouteFlag.MULTICAST | RouteFlag.BROADCAST


class OutFrame(NamedTuple):
    """One frame on a wire."""

    dev: str  # the device of the route
    nexthop: int
    header: bytes
    datagram: bytes

    @property
    def data(self) -> bytes:
        """The frame's bytes."""
        return self.header + self.datagram


@dataclass(slots=True)
class Output:
    """What became of a datagram on its way out."""

    errno: int = 0
    frames: list[OutFrame] = field(default_factory=list)
    mibs: dict[Mib, int] = field(default_factory=dict)
    icmp: tuple[IcmpDue, ...] = ()
    looped: tuple[SkBuff, ...] = ()  # copies that come back in by their device
    drops: tuple[Drop, ...] = ()
    queued: tuple[Waiting, ...] = ()  # datagrams that wait for their neighbour
    lost: tuple[Lost, ...] = ()  # those that waited before, and made room
    trace: list[Step] | None = None  # None: nobody wants the way told
    depth: int = 0

    def count(self, mib: Mib, amount: int = 1) -> None:
        """Note that a counter moves."""
        self.mibs[mib] = self.mibs.get(mib, 0) + amount

    def dropped(self, func: str, errno: int, reason: DropReason = DropReason.NOT_SPECIFIED) -> int:
        """Note an end and return the errno it gives."""
        self.drops += (Drop(reason, func, errno),)
        self.tell(func, f"drop {reason.value}", {"errno": errno})
        return errno

    def tell(self, func: str, say: str, values: Mapping[str, object] = NOTHING) -> None:
        """Write down what a function does."""
        if self.trace is not None:
            self.trace.append(Step(self.depth, func, say, values))

    def enter(self, func: str, say: str, values: Mapping[str, object] = NOTHING) -> None:
        """Write down what a function does; what it calls stands below."""
        self.tell(func, say, values)
        self.depth += 1


def ip_local_out(skb: SkBuff, net: NetNamespace, owner: Owner = NO_OWNER, trace: list[Step] | None = None) -> Output:
    """Send a datagram of this host that has everything but its length and checksum.

    Kernel: net/ipv4/ip_output.c
    """
    out = Output(trace=trace)
    if trace is not None:
        requests = net.host.kernel.output_counting is OutputCounting.LOCAL_OUT
        out.enter("ip_local_out", f"{skb.length} bytes{' (IpOutRequests)' if requests else ''}", {"length": skb.length})
    answer = __ip_local_out(skb, net, out)
    out.errno = max(0, _dst_output(skb, net, owner, out)) if answer is HookVerdict.ACCEPT else _errno_of(answer, out)
    return out


def __ip_local_out(skb: SkBuff, net: NetNamespace, out: Output) -> HookVerdict:
    if net.host.kernel.output_counting is OutputCounting.LOCAL_OUT:
        out.count(Mib.OUT_REQUESTS)
    header_bytes = read(skb.data).header_bytes
    header = skb.data[:2] + skb.length.to_bytes(2, "big") + skb.data[4:header_bytes]
    skb.data = with_header_checksum(header) + skb.data[header_bytes:]
    if net.routing.tables.vrfs and l3mdev_ip_out(skb, net, out) is not HookVerdict.ACCEPT:
        return HookVerdict.STOLEN  # the sender is told that all is well
    return _hooked(skb, net, HookPoint.LOCAL_OUT, out)


def l3mdev_ip_out(skb: SkBuff, net: NetNamespace, out: Output) -> HookVerdict:
    """Let a datagram that leaves by a link of a VRF leave by the VRF first; what goes to groups or everybody does not.

    Kernel: include/net/l3mdev.h, drivers/net/vrf.c
    """
    link = skb.dev
    vrf = net.routing.tables.vrfs.get(link, link)
    to_everybody = skb.data[16] >> 4 == GROUPS or skb.data[16:20] == LIMITED_BROADCAST
    if vrf == link or to_everybody:
        return HookVerdict.ACCEPT
    if out.trace is not None:
        out.tell("l3mdev_ip_out", f"{link} is in {vrf}", {"dev": vrf, "slave": link})
    skb.dev = vrf
    for point in (HookPoint.LOCAL_OUT, HookPoint.POST_ROUTING):
        answer = _hooked(skb, net, point, out)
        if answer is not HookVerdict.ACCEPT:
            _errno_of(answer, out)
            return answer
    skb.dev = link
    return HookVerdict.ACCEPT


def dst_output(skb: SkBuff, net: NetNamespace, owner: Owner = NO_OWNER, trace: list[Step] | None = None) -> Output:
    """Send a datagram that is complete by the way its route names.

    Kernel: include/net/dst.h
    """
    out = Output(trace=trace)
    out.errno = max(0, _dst_output(skb, net, owner, out))
    return out


def _dst_output(skb: SkBuff, net: NetNamespace, owner: Owner, out: Output) -> int:
    route = _route_of(skb)
    if route.flags & TO_MANY and route.iif is None and _is_heard_here(skb, route, net):
        return ip_mc_output(skb, net, owner, out)
    return ip_output(skb, net, owner, out)


def _is_heard_here(skb: SkBuff, route: Route, net: NetNamespace) -> bool:
    """Tell whether what goes to many comes back: to this host, or to its multicast routing."""
    link = net.host.links[route.dev]
    if route.flags & RouteFlag.LOCAL:
        return link.kind is not LinkKind.LOOPBACK
    return bool(link.conf.mc_forwarding) and skb.data[16:19] != LOCAL_GROUPS


def ip_output(skb: SkBuff, net: NetNamespace, owner: Owner, out: Output) -> int:
    """Take a datagram past POST_ROUTING.

    Kernel: net/ipv4/ip_output.c
    """
    iif = _input_of(skb, net) if net.host.hooks else ""
    _count_request(skb, net, out)
    if out.trace is not None:
        out.enter("ip_output", f"by {skb.dev}", {"dev": skb.dev})
    return _post_routed(skb, net, owner, out, iif)


def _input_of(skb: SkBuff, net: NetNamespace) -> str:
    """Return the input device that POST_ROUTING is told of."""
    if net.host.kernel.post_routing_input is PostRoutingInput.NONE:
        return ""
    return skb.dev if skb.cb.flags & IpSkbFlag.FORWARDED else net.routing.tables.vrfs.get(skb.dev, "")


def ip_mc_output(skb: SkBuff, net: NetNamespace, owner: Owner, out: Output) -> int:
    """Take a multicast or broadcast past POST_ROUTING; a copy comes back to this host.

    Kernel: net/ipv4/ip_output.c
    """
    _count_request(skb, net, out)
    if out.trace is not None:
        out.enter("ip_mc_output", f"by {skb.dev}, to many", {"dev": skb.dev})
    route = _route_of(skb)
    if route.flags & RouteFlag.MULTICAST:
        if owner.hears_itself:
            ip_mc_finish_output(skb, net, out)
        if not read(skb.data).ttl:
            out.dropped("ip_mc_output", 0)
            return 0
    else:
        ip_mc_finish_output(skb, net, out)
    return _post_routed(skb, net, owner, out)


def _count_request(skb: SkBuff, net: NetNamespace, out: Output) -> None:
    skb.dev = _route_of(skb).dev
    if net.host.kernel.output_counting is OutputCounting.IP_OUTPUT:
        out.count(Mib.OUT_REQUESTS)
        out.count(Mib.OUT_OCTETS, skb.length)


def ip_mc_finish_output(skb: SkBuff, net: NetNamespace, out: Output) -> None:
    """Let a copy that POST_ROUTING lets pass, unfragmented as it is, come back in by its device.

    Kernel: net/ipv4/ip_output.c
    """
    if _hooked(skb, net, HookPoint.POST_ROUTING, out) is HookVerdict.ACCEPT:
        cb = IpControlBlock(iif=skb.dev)
        copy = SkBuff(skb.linear, skb.dev, PacketType.LOOPBACK, skb.tstamp_ns, skb.route, cb, mark=skb.mark)
        out.looped += (copy,)
        skb.buffer = Buffer(ETHERNET_RESERVED_SPACE, cloned=True)
        out.tell("ip_mc_finish_output", f"a copy comes back in by {skb.dev}", {"dev": skb.dev})


def _post_routed(skb: SkBuff, net: NetNamespace, owner: Owner, out: Output, iif: str = "") -> int:
    if net.host.hooks and not skb.cb.flags & IpSkbFlag.REROUTED:
        answer = _hooked(skb, net, HookPoint.POST_ROUTING, out, iif)
        if answer is not HookVerdict.ACCEPT:
            return _errno_of(answer, out)
    return ip_finish_output(skb, net, owner, out)


def ip_finish_output(skb: SkBuff, net: NetNamespace, owner: Owner, out: Output) -> int:
    """Decide whether a datagram leaves whole, in segments or in fragments.

    Kernel: net/ipv4/ip_output.c
    """
    mtu = ip_skb_dst_mtu(skb, net, owner)
    if out.trace is not None:
        _tell_size(out, skb, mtu)
        BPF_CGROUP_RUN_PROG_INET_EGRESS(out)
    if skb.gso_size:
        return ip_finish_output_gso(skb, net, mtu, out)
    if must_fragment(skb, mtu, net.host.kernel):
        return _fragmented(skb, net, mtu, out)
    return ip_finish_output2(skb, net, out)


def _tell_size(out: Output, skb: SkBuff, mtu: int) -> None:
    """Write down what decides whether a datagram leaves whole."""
    say, values = f"{skb.length} bytes, mtu {mtu}", {"length": skb.length, "mtu": mtu}
    if skb.cb.frag_max_size:
        say += f", came in fragments of {skb.cb.frag_max_size}"
        values["frag_max_size"] = skb.cb.frag_max_size
    out.enter("ip_finish_output", say, values)


def BPF_CGROUP_RUN_PROG_INET_EGRESS(out: Output) -> None:  # noqa: N802
    """Ask the program of the sender's control group: a host description has none, so everything passes.

    Kernel: include/linux/bpf-cgroup.h
    """
    out.tell("BPF_CGROUP_RUN_PROG_INET_EGRESS", "no program")


def ip_skb_dst_mtu(skb: SkBuff, net: NetNamespace, owner: Owner) -> int:
    """Return the MTU that binds a packet.

    Kernel: include/net/ip.h
    """
    route = _route_of(skb)
    if owner.sized_by is SizedBy.DEVICE:
        return min(net.host.links[route.dev].mtu, IP_MAX_MTU)
    direction = Direction.FORWARDED if skb.cb.flags & IpSkbFlag.FORWARDED else Direction.OWN
    return ip_dst_mtu_maybe_forward(route, net.host, direction, skb.tstamp_ns)


def ip_finish_output_gso(skb: SkBuff, net: NetNamespace, mtu: int, out: Output) -> int:
    """Let a packet that stands for many leave as one where its segments fit, else fragment each of them.

    Kernel: net/ipv4/ip_output.c
    """
    fits = skb_gso_validate_network_len(skb, mtu)
    if out.trace is not None:
        out.enter("ip_finish_output_gso", "its segments fit" if fits else "each segment is fragmented", {"fits": fits})
    if fits:
        return ip_finish_output2(skb, net, out)
    result = 0
    for segment in skb_gso_segment(skb):
        result = _fragmented(segment, net, mtu, out) or result
    return result


def _fragmented(skb: SkBuff, net: NetNamespace, mtu: int, out: Output) -> int:
    """Hand a datagram to ip_fragment and its fragments to the device."""
    refused: list[int] = []
    before, depth = len(out.trace or ()), out.depth
    out.depth += 2
    template = ip_copy_metadata(b"", skb)

    def output(fragment: bytes) -> int:
        template.data = fragment
        if skb.on_wire:
            template.on_wire = fragment[2] << 8 | fragment[3]
        error = ip_finish_output2(template, net, out)
        if error:
            refused.append(error)
        return error

    result = ip_fragment(skb, mtu, net.host.kernel, output)
    if skb.buffer is not None and skb.buffer.cloned and result.path is FragPath.SLOW:
        _blank(out.looped, skb.cb.options.optlen)
    out.depth = depth
    for mib in result.mibs:
        out.count(mib)
    if out.trace is not None:
        moved = Counter(mib.value for mib in result.mibs)
        said = ", ".join(f"{name} {amount}" for name, amount in moved.items())
        cut = result.icmp is None
        out.trace.insert(before, Step(depth, "ip_fragment", "may be cut" if cut else f"must not be cut, {said}"))
        if cut:
            out.trace.insert(before + 1, Step(depth + 1, "ip_do_fragment", said, dict(moved)))
    if result.icmp is not None:
        out.icmp += (result.icmp,)
    if result.errno and not refused:
        out.dropped("ip_fragment" if result.icmp is not None else "ip_do_fragment", result.errno)
    return result.errno


def _blank(copies: Iterable[SkBuff], optlen: int) -> None:
    """Let copies see what cutting did to the bytes that they share: options blanked, the checksum as it was."""
    header_bytes = HEADER_BYTES + optlen
    for copy in copies:
        copy.data = ip_options_fragment(copy.data[:header_bytes], optlen) + copy.data[header_bytes:]


def ip_finish_output2(skb: SkBuff, net: NetNamespace, out: Output) -> int:
    """Find the next hop and put its link header in front.

    Kernel: net/ipv4/ip_output.c
    """
    route = _route_of(skb)
    if route.type is not RouteType.UNICAST:
        _count_to_many(route, skb, out)
    if net.host.kernel.output_counting is OutputCounting.LOCAL_OUT:
        out.count(Mib.OUT_TRANSMITS)
        out.count(Mib.OUT_OCTETS, skb.length)
    nexthop = route.gateway or int.from_bytes(skb.data[16:20], "big")
    answer = neigh_output(net, skb, nexthop)
    header = answer.header
    if out.trace is not None:
        _tell_neighbour(out, skb, nexthop, answer, net)
    if header is not None:
        if skb.gso_size or route.dev in net.routing.tables.without_carrier:
            return _sent_otherwise(skb, nexthop, header, net, out)
        out.frames.append(OutFrame(route.dev, nexthop, header, skb.linear))
        return 0
    if answer.drop is not None:
        return out.dropped(answer.drop.func, answer.drop.errno, answer.drop.reason)
    if answer.request is not None:
        out.frames.append(OutFrame(route.dev, nexthop, answer.request, b""))
    if answer.queued is not None:
        out.queued += (answer.queued,)
    if answer.discarded:
        out.lost += tuple(Lost(waiting, QUEUE_FULL) for waiting in answer.discarded)
    return 0


def _sent_otherwise(skb: SkBuff, nexthop: int, header: bytes, net: NetNamespace, out: Output) -> int:
    """Send what stands for many packets, or lose a packet at the queue of a link without carrier."""
    if _route_of(skb).dev in net.routing.tables.without_carrier:
        out.dropped("__dev_queue_xmit", 0, DropReason.QDISC_DROP)
        return NET_XMIT_CN
    out.frames += frames_of(skb, nexthop, header, net)
    return 0


def frames_of(skb: SkBuff, nexthop: int, header: bytes, net: NetNamespace) -> list[OutFrame]:
    """Return what a device puts on its wire for a packet that has its link header."""
    if not skb.gso_size:
        return [OutFrame(skb.dev, nexthop, header, skb.linear)]
    return [OutFrame(skb.dev, nexthop, header, data) for data in _on_device(skb, net)]


def _tell_neighbour(out: Output, skb: SkBuff, nexthop: int, answer: NeighbourResult, net: NetNamespace) -> None:
    """Write down to whom a datagram or fragment goes, or that it waits."""
    if answer.header is not None:
        to = address_text(nexthop)
        lladdr = answer.header[:6].hex(":")
        out.enter("ip_finish_output2", f"{skb.length} bytes to {to} dev {skb.dev}", {"nexthop": to, "dev": skb.dev})
        out.tell("neigh_output", f"its address is {lladdr}" if lladdr else "no link header", {"lladdr": lladdr})
        out.depth -= 1
    elif answer.drop is None:
        for waiting in answer.discarded:
            out.tell(*told_lost(Lost(waiting, QUEUE_FULL)))
        out.tell(*told_waiting(net, skb.dev, nexthop))
        if answer.request is not None:
            out.tell(*told_request(skb.dev, answer.request))


def _count_to_many(route: Route, skb: SkBuff, out: Output) -> None:
    if route.type is RouteType.MULTICAST:
        out.count(Mib.OUT_MCAST_PKTS)
        out.count(Mib.OUT_MCAST_OCTETS, skb.length)
    elif route.type is RouteType.BROADCAST:
        out.count(Mib.OUT_BCAST_PKTS)
        out.count(Mib.OUT_BCAST_OCTETS, skb.length)


def _on_device(skb: SkBuff, net: NetNamespace) -> list[bytes]:
    """Return what becomes of many in one: no device but the loopback one takes it as it is.

    One that came in so leaves so: how large its segments were no capture says.
    """
    if net.host.links[skb.dev].kind is LinkKind.LOOPBACK or skb.cb.flags & IpSkbFlag.FORWARDED:
        return [skb.linear]
    return [segment.data for segment in skb_gso_segment(skb)]


def _hooked(skb: SkBuff, net: NetNamespace, point: HookPoint, out: Output, iif: str = "") -> HookVerdict:
    """Ask a hook about a datagram that leaves by its device."""
    if not net.host.hooks:
        return HookVerdict.ACCEPT
    answer = nf_hook(net.host, point, skb.linear, iif, skb.dev)
    out.tell("nf_hook", f"{point.value}: {answer.value}", {"hook": point.value, "verdict": answer.value})
    return answer


def _errno_of(answer: HookVerdict, out: Output) -> int:
    """Return what a sender is told of a packet that a hook kept."""
    if answer is HookVerdict.STOLEN:
        return 0
    return out.dropped("nf_hook_slow", EPERM, DropReason.NETFILTER_DROP)


def _route_of(skb: SkBuff) -> Route:
    if skb.route is None:
        raise ValueError("a datagram without a route was sent")
    return skb.route
