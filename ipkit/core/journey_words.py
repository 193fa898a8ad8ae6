"""A packet's way in words: what each stage came to, and what became of the errors that it owed.

Law: nothing is decided here, and nothing is made unless a trace is wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from errno import errorcode
from types import MappingProxyType
from typing import Final, TypeAlias

from ipkit.core.host.fib_explain import WalkStep
from ipkit.core.icmp_send import IcmpSent, IcmpWithheld
from ipkit.core.outcome.drop_reasons import DropReason
from ipkit.core.outcome.verdict import Delivered, Drop, IcmpDue, Next, Queued, StageResult, Stolen
from ipkit.core.skbuff import PacketType, SkBuff
from ipkit.core.wire.checksum import ip_fast_csum
from ipkit.core.wire.ipv4 import HEADER_BYTES, address_text

Saying: TypeAlias = tuple[str, Mapping[str, object]]

DOORS_OF_ROUTING: Final = frozenset({"ip_route_input_slow", "ip_check_mc_rcu"})
"""What ip_route_input_noref calls itself."""


def below_routing(func: str) -> int:
    """Return how much deeper than input routing's door one of its functions stands."""
    if func in DOORS_OF_ROUTING:
        return 1
    return 2 if func == "ip_mkroute_input" or func.lstrip("_").startswith("fib_") else 0


def told_outcome(result: StageResult, skb: SkBuff) -> Saying:
    """Return what a stage came to, and of a drop the values that decided where only the packet has them."""
    outcome = result.outcome
    counted = "".join(f" {mib.value}" for mib in result.mibs)
    counted = f" ({counted.strip()})" if counted else ""
    match outcome:
        case Next():
            return f"-> {outcome.stage}{counted}", {}
        case Drop():
            errno = f" {errorcode[outcome.errno]}" if outcome.errno else ""
            cause = CAUSES.get((outcome.func, outcome.reason))
            say, values = cause(skb) if cause is not None else ("", {})
            why = f": {say}" if say else ""
            return f"drop {outcome.reason.value} in {outcome.func}{errno}{why}{counted}", values
        case Delivered():
            return f"delivered to {outcome.to}{counted}", {}
        case Queued():
            return f"queued for {outcome.why}{counted}", {}
        case Stolen():
            return "kept by a hook", {}
        case _:
            return f"left by {outcome.dev}", {}


def told_icmp(due: IcmpDue, answer: IcmpSent | IcmpWithheld) -> WalkStep:
    """Return what became of an error that was owed."""
    values: dict[str, object] = {"type": due.type, "code": due.code, "info": due.info}
    what = f"{due.type}/{due.code}"
    if isinstance(answer, IcmpWithheld):
        return "icmp_send", f"{what} not sent: {answer.why.value}", values | {"sent": False}
    source, target = (address_text(int.from_bytes(answer.datagram[at : at + 4], "big")) for at in (12, 16))
    say = f"{what} from {source} to {target}, {len(answer.datagram)} bytes"
    return "icmp_send", say, values | {"sent": True, "saddr": source, "daddr": target}


def _header(skb: SkBuff) -> Saying:
    data, length = skb.data, skb.on_wire or len(skb.data)
    if len(data) < HEADER_BYTES:
        return f"{length} bytes are no header", {"length": length}
    version, ihl, total = data[0] >> 4, data[0] & 0x0F, data[2] << 8 | data[3]
    say = f"version {version}, header of {ihl * 4} bytes, total length {total}, {length} bytes came"
    return say, {"version": version, "ihl": ihl, "tot_len": total, "length": length}


def _header_checksum(skb: SkBuff) -> Saying:
    header = skb.data[: (skb.data[0] & 0x0F) << 2]
    stored, right = header[10] << 8 | header[11], ip_fast_csum(header[:10] + b"\0\0" + header[12:])
    return f"checksum {stored:#06x}, right is {right:#06x}", {"stored": stored, "computed": right}


def _wrong_checksum(_skb: SkBuff) -> Saying:
    return "checksum is wrong", {"checksum_ok": False}


def _station(skb: SkBuff) -> Saying:
    return f"the frame is for {STATIONS[skb.pkt_type]}", {"pkt_type": skb.pkt_type.name}


def _hops(skb: SkBuff) -> Saying:
    return f"ttl {skb.data[8]}", {"ttl": skb.data[8]}


def _not_for_us(skb: SkBuff) -> Saying:
    if skb.pkt_type is not PacketType.HOST or skb.route is None:
        return _station(skb)
    gateway = address_text(skb.route.gateway)
    return f"the source route is strict, the way leads by {gateway}", {"gateway": gateway}


def _policy(_skb: SkBuff) -> Saying:
    return "a policy blocks it", {"policy": "block"}


def _host_alone(skb: SkBuff) -> Saying:
    return f"{skb.dev} does not forward", {"dev": skb.dev, "forwarding": 0}


STATIONS: Final = MappingProxyType(
    {
        PacketType.HOST: "this host",
        PacketType.BROADCAST: "everybody",
        PacketType.MULTICAST: "a group",
        PacketType.OTHERHOST: "another station",
        PacketType.OUTGOING: "others, from here",
        PacketType.LOOPBACK: "many, from here",
    }
)
"""Whom a frame is for, in words."""

CAUSES: Final[Mapping[tuple[str, DropReason], Callable[[SkBuff], Saying]]] = MappingProxyType(
    {
        ("ip_rcv_core", DropReason.OTHERHOST): _station,
        ("ip_rcv_core", DropReason.IP_INHDR): _header,
        ("ip_rcv_core", DropReason.PKT_TOO_SMALL): _header,
        ("ip_rcv_core", DropReason.IP_CSUM): _header_checksum,
        ("ip_rcv_finish", DropReason.UNICAST_IN_L2_MULTICAST): _station,
        ("ip_error", DropReason.IP_INADDRERRORS): _host_alone,
        ("ip_forward", DropReason.NOT_SPECIFIED): _not_for_us,
        ("ip_forward", DropReason.IP_INHDR): _hops,
        ("ip_forward", DropReason.XFRM_POLICY): _policy,
        ("ip_local_deliver_finish", DropReason.XFRM_POLICY): _policy,
        ("icmp_rcv", DropReason.XFRM_POLICY): _policy,
        ("icmp_rcv", DropReason.ICMP_CSUM): _wrong_checksum,
        ("tcp_v4_rcv", DropReason.TCP_CSUM): _wrong_checksum,
        ("__udp4_lib_rcv", DropReason.UDP_CSUM): _wrong_checksum,
        ("udp_recvmsg", DropReason.UDP_CSUM): _wrong_checksum,
    }
)
"""Drops whose cause stands in the packet itself."""
