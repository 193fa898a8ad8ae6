"""Which fragments belong together, who is refused, and when waiting ends.

Law: no clock of its own: whoever calls says how late it is. take() is the engine on its own, for fragments of any
origin; ip_defrag() is what the stack calls, with a packet in and a packet out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum
from typing import Any, Final, NamedTuple, cast

from ipkit.core.defrag_queue import ip_frag_queue, keeps_df
from ipkit.core.host.fib_explain import Trace
from ipkit.core.host.kernel import FragMemory
from ipkit.core.outcome.counters import Mib
from ipkit.core.outcome.defrag_exits import EVICTED, NO_ROOM, QUEUED, TIMED_OUT, TOO_FAR, Exit, Fate
from ipkit.core.outcome.drop_reasons import DropReason
from ipkit.core.outcome.verdict import Drop, Queued
from ipkit.core.overlap import Policy, kernel_policy
from ipkit.core.skbuff import IpControlBlock, IpSkbFlag, PacketType, SkBuff
from ipkit.core.state.frag_queue import FragKey, Fragment, FragQueue, made_fragment
from ipkit.core.state.frag_queues import FragQueues
from ipkit.core.state.netns import NetNamespace
from ipkit.core.wire.ipv4 import OFFSET_MASK, read, unpack_keyed_from


class DefragUser(IntEnum):
    """Who asks; users share no queue. Ranges are by their first number, a conntrack zone is added to it."""

    LOCAL_DELIVER = 0
    CALL_RA_CHAIN = 1
    CONNTRACK_IN = 2
    CONNTRACK_OUT = 65538
    CONNTRACK_BRIDGE_IN = 131074
    VS_IN = 196610
    VS_OUT = 196611
    VS_FWD = 196612
    AF_PACKET = 196613
    MACVLAN = 196614


class Fallen(NamedTuple):
    """A queue that ended, and how."""

    queue: FragQueue
    exit: Exit


Taken = tuple[Exit, FragQueue | None, Sequence[Fallen]]
"""What became of a fragment; the queue it came to, None where it was refused before there was one; which queues ended
on its account, besides that one. A plain tuple: one is made for every fragment."""


def fragment_of(frags: FragQueues, fields: Sequence[Any], payload: bytes, head: bytes, tag: object) -> Fragment:
    """Return a fragment for its header's nine fields, its data, and the caller's tag.

    Data that the capture cut off is filled up with zeros; `head` is the first fragment from its header on, else empty.
    """
    version_ihl, tos, tot_len, _, frag_off, _, _, _, _ = fields
    header_bytes = (version_ihl & 0x0F) << 2
    start = (frag_off & OFFSET_MASK) << 3
    size = tot_len - header_bytes
    if len(payload) < size:
        payload += bytes(size - len(payload))
    truesize = frags.truesize(tot_len)
    return made_fragment((start, start + size, payload, frag_off, tos, header_bytes, truesize, tag, head, False))


def take(frags: FragQueues, key: FragKey, fragment: Fragment, policy: Policy) -> Taken:
    """Decide a fragment: which queue, whether there is room, what it does there, and who falls for it."""
    is_scarce = frags.memory > frags.low_thresh
    queue = ip_find(frags, key)
    if queue is None:
        return NO_ROOM, None, inet_frag_worker(frags)
    fallen: tuple[Fallen, ...] = ()
    if queue.peer is not None and not fragment.is_own and ip_frag_too_far(queue, frags.max_dist):
        fallen = (Fallen(queue, TOO_FAR),)
        queue = frags.restarted(queue)
    before = queue.memory
    exit_ = ip_frag_queue(queue, fragment, policy)
    frags.memory += queue.memory - before
    if exit_ is not QUEUED and exit_.fate is not Fate.REFUSED:
        frags.remove(queue)
    if is_scarce:
        fallen += tuple(inet_frag_worker(frags))
    return exit_, queue, fallen


def ip_find(frags: FragQueues, key: FragKey) -> FragQueue | None:
    """Find or make the queue of a fragment; None where it is refused for memory or a long chain.

    Kernel: net/ipv4/ip_fragment.c, with inet_frag_find and inet_frag_create
    """
    high = frags.high_thresh
    is_full = not high or frags.memory > high
    if is_full and frags.kernel.frag_memory is FragMemory.REFUSE:
        return None
    queue = frags.queues.get(key)
    if queue is not None:
        return queue
    if is_full:
        return None
    chain = None
    if frags.chains is not None:
        chain = frags.chains.chain_of(key)
        if frags.chains.is_too_deep(chain, frags.now_ns):
            return None
    return frags.add(key, chain)


def ip_frag_too_far(queue: FragQueue, max_dist: int) -> bool:
    """Tell whether too many other fragments of the same source came since this queue last grew.

    Kernel: net/ipv4/ip_fragment.c
    """
    peer = queue.peer
    if peer is None:
        return False
    before = queue.rid
    peer.rid += 1
    queue.rid = peer.rid
    return bool(queue.pieces) and peer.rid - before > max_dist


def inet_frag_worker(frags: FragQueues) -> list[Fallen]:
    """Throw queues out until memory is below the low mark; later kernels have no such worker.

    Kernel: net/ipv4/inet_fragment.c
    """
    if frags.chains is None:
        return []
    victims = frags.chains.victims(frags.memory, frags.low_thresh)
    for queue in victims:
        frags.remove(queue)
    frags.chains.rebuild_if_wanted(frags.now_ns)
    return [Fallen(queue, EVICTED) for queue in victims]


def ip_expire(frags: FragQueues, now_ns: int) -> Iterator[Fallen]:
    """Let the clock run on to a time seen, and end the queues whose own time is over, in the order of their timers.

    A time exceeded error is owed for each whose `owed_about` is there; whether a device and a route for it still
    exist, and what a queue of that user may say, is for the caller to find out.
    Kernel: net/ipv4/ip_fragment.c
    """
    frags.now_ns = max(frags.now_ns, now_ns)
    for queue in frags.expired():
        yield Fallen(queue, TIMED_OUT)


def owed_about(queue: FragQueue) -> Fragment | None:
    """Return the fragment that a time exceeded error would quote: the first of the datagram."""
    return queue.pieces[0] if queue.pieces and not queue.pieces[0].start else None


def answers_locally_only(user: int) -> bool:
    """Tell whether a queue of this user is answered for only where the datagram was for this host."""
    return (
        user == DefragUser.AF_PACKET
        or DefragUser.CONNTRACK_IN <= user < DefragUser.CONNTRACK_OUT
        or DefragUser.CONNTRACK_BRIDGE_IN <= user < DefragUser.VS_IN
    )


class Defragged(NamedTuple):
    """What the stack gets for a fragment."""

    outcome: SkBuff | Queued | Drop
    mibs: tuple[Mib, ...]
    fallen: Sequence[Fallen] = ()


WAITS: Final = Queued("reassembly", "ip_defrag")


def put_together(skb: SkBuff, user: int, net: NetNamespace, trace: Trace | None) -> Defragged:
    """Give a fragment to those of its datagram that wait on this host."""
    vif = net.host.links[vrf].ifindex if (vrf := net.routing.tables.vrfs.get(skb.dev, "")) else 0
    answer = ip_defrag(skb, user, vif, net.frags)
    if trace is not None:
        trace.append(("ip_defrag", *_told(skb, answer, len(net.frags.queues))))
    return answer


def _told(skb: SkBuff, answer: Defragged, waiting: int) -> tuple[str, Mapping[str, object]]:
    values: dict[str, object] = {"fallen": len(answer.fallen), "waiting": waiting}
    whole = answer.outcome
    if isinstance(whole, SkBuff):
        largest = whole.cb.frag_max_size
        say = f"the datagram is whole, {whole.length} bytes, its largest fragment {largest}"
        return say, values | {"length": whole.length, "frag_max_size": largest}
    header = read(skb.data)
    start, size = header.offset_bytes, skb.length - header.header_bytes
    what = "wait" if isinstance(whole, Queued) else "are refused"
    return f"{size} bytes at {start} {what}; datagrams waiting: {waiting}", values | {"offset": start, "length": size}


def ip_defrag(skb: SkBuff, user: int, vif: int, frags: FragQueues) -> Defragged:
    """Put a fragment with its like; the whole datagram goes on in its place.

    Kernel: net/ipv4/ip_fragment.c
    Exits: the datagram; Queued; Drop(NOT_SPECIFIED, DUP_FRAG)
    """
    fields = unpack_keyed_from(skb.data)
    header_bytes = (fields[0] & 0x0F) << 2
    head = b"" if fields[4] & OFFSET_MASK else skb.data
    fragment = fragment_of(frags, fields, skb.data[header_bytes:], head, skb)
    if skb.cb.flags & IpSkbFlag.FRAG_COMPLETE:
        fragment = fragment._replace(is_own=True)
    key = (fields[8], fields[3], fields[6], user, vif)
    frags.now_ns = max(frags.now_ns, skb.tstamp_ns)
    exit_, queue, fallen = take(frags, key, fragment, kernel_policy(frags.kernel))
    if frags.ended is not None:
        frags.ended += [(each.queue, each.exit) for each in fallen]
        if exit_.fate is Fate.LOST and queue is not None:
            frags.ended.append((queue, exit_))
    mibs = (Mib.REASM_REQDS, *exit_.mibs, *(mib for each in fallen for mib in each.exit.mibs))
    if exit_.fate is Fate.QUEUED:
        return Defragged(WAITS, mibs, fallen)
    if exit_.fate is not Fate.COMPLETE or queue is None:
        return Defragged(Drop(exit_.reason or DropReason.NOT_SPECIFIED, exit_.func, exit_.errno), mibs, fallen)
    return Defragged(_whole(queue, skb, user), mibs, fallen)


def _whole(queue: FragQueue, last: SkBuff, user: int) -> SkBuff:
    """Return the datagram: the first fragment's notes, the last arrival's device, time and route.

    For local delivery the pieces are joined. Others get them as the list that ip_do_fragment can take apart again,
    unless the capture has not all of them.
    """
    head = queue.pieces[0]
    first = cast("SkBuff", head.tag)
    data, followers = queue.datagram, queue.pieces[1:]
    known = _known_bytes(queue.pieces)
    if user == DefragUser.LOCAL_DELIVER or known < queue.len:
        data, followers = data[: head.header_bytes + known], []
    else:
        data = data[: head.header_bytes + head.end]
    return SkBuff(
        data,
        last.dev,
        first.pkt_type,
        last.tstamp_ns,
        route=last.route,
        cb=IpControlBlock(
            first.cb.flags | IpSkbFlag.FRAG_PMTU if keeps_df(queue) else first.cb.flags,
            queue.max_size,
            first.cb.options,
            first.cb.iif,
        ),
        frag_list=tuple([_follower(piece, last, first.pkt_type) for piece in followers]),
        buffer=first.buffer,
        mark=first.mark,
        on_wire=len(queue.datagram) if known < queue.len else 0,
    )


def _follower(piece: Fragment, last: SkBuff, pkt_type: PacketType) -> SkBuff:
    """Return a piece of the list; what it lost in front of its data is room for another header."""
    buffer = cast("SkBuff", piece.tag).buffer
    if buffer is not None:
        lost = piece.header_bytes + piece.start - ((piece.frag_off & OFFSET_MASK) << 3)
        buffer = buffer._replace(headroom=buffer.headroom + lost)
    return SkBuff(piece.payload, last.dev, pkt_type, last.tstamp_ns, buffer=buffer)


def _known_bytes(pieces: Sequence[Fragment]) -> int:
    """Return how far the data reaches before the first byte that the capture cut off."""
    for piece in pieces:
        came = cast("SkBuff", piece.tag)
        if came.on_wire:
            header = unpack_keyed_from(came.data)
            stop: int = ((header[4] & OFFSET_MASK) << 3) + len(came.data) - ((header[0] & 0x0F) << 2)
            if stop < piece.end:
                return max(stop, piece.start)
    return pieces[-1].end
