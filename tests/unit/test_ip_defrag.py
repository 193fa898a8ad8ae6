"""ip_defrag as the stack calls it: a packet in, a packet out, and what the packet carries besides its bytes."""

from __future__ import annotations

from typing import Any

import pytest

from ipkit.core.defrag import DefragUser, answers_locally_only, ip_defrag, ip_expire, owed_about
from ipkit.core.host.fib import Route, RouteFlag, RouteType
from ipkit.core.host.kernel import LINUX_4_14, LINUX_6_18, KernelProfile
from ipkit.core.host.sysctl import NetConf
from ipkit.core.outcome.counters import Mib
from ipkit.core.outcome.drop_reasons import DropReason
from ipkit.core.outcome.verdict import Drop, Queued
from ipkit.core.skbuff import IpControlBlock, IpOptions, IpSkbFlag, PacketType, SkBuff
from ipkit.core.state.frag_queues import FragQueues
from tests.support.packets import ip

BOTH = pytest.mark.parametrize("kernel", [LINUX_4_14, LINUX_6_18], ids=lambda kernel: kernel.name)
LOCAL = DefragUser.LOCAL_DELIVER
SECOND = 1_000_000_000


def skb(payload: bytes, offset: int, *, last: bool = False, **more: Any) -> SkBuff:
    names = ("dev", "pkt_type", "tstamp_ns", "route", "cb", "mark", "on_wire")
    values = {"dev": "eth0", "pkt_type": PacketType.HOST, "tstamp_ns": 0}
    values |= {name: more.pop(name) for name in names if name in more}
    return SkBuff(ip(payload, offset=offset, mf=not last, proto=253, **more), **values)  # type: ignore[arg-type]


@BOTH
def test_the_datagram_has_the_first_fragments_notes_and_the_last_arrivals_device(kernel: KernelProfile) -> None:
    frags = FragQueues(kernel, NetConf())
    route = Route(RouteType.LOCAL, RouteFlag.LOCAL, "lo")
    block = IpControlBlock(IpSkbFlag.FORWARDED, options=IpOptions(4), iif="eth0")
    first = skb(b"A" * 16, 0, dev="eth0", cb=block, mark=7, tstamp_ns=1, options=b"\x94\x04\0\0")
    last = skb(b"B" * 8, 16, last=True, dev="eth1", tstamp_ns=5, route=route, pkt_type=PacketType.MULTICAST)
    waiting = ip_defrag(first, LOCAL, 0, frags)
    assert isinstance(waiting.outcome, Queued)
    assert waiting.mibs == (Mib.REASM_REQDS,)
    done = ip_defrag(last, LOCAL, 0, frags)
    assert done.mibs == (Mib.REASM_REQDS, Mib.REASM_OKS)
    whole = done.outcome
    assert isinstance(whole, SkBuff)
    assert whole.data == ip(b"A" * 16 + b"B" * 8, proto=253, options=b"\x94\x04\0\0")
    assert (whole.dev, whole.tstamp_ns, whole.route) == ("eth1", 5, route)
    assert (whole.pkt_type, whole.mark) == (PacketType.HOST, 7)
    assert whole.cb == IpControlBlock(IpSkbFlag.FORWARDED, 16 + 24, IpOptions(4), "eth0")
    assert whole.frag_list == ()


@BOTH
def test_df_of_the_largest_is_kept_with_a_mark(kernel: KernelProfile) -> None:
    frags = FragQueues(kernel, NetConf())
    ip_defrag(skb(b"A" * 16, 0, df=True), LOCAL, 0, frags)
    whole = ip_defrag(skb(b"B" * 8, 16, last=True), LOCAL, 0, frags).outcome
    assert isinstance(whole, SkBuff)
    assert whole.cb.flags is IpSkbFlag.FRAG_PMTU
    assert whole.data[6:8] == b"\x40\0"


@BOTH
def test_connection_tracking_gets_the_pieces_as_they_came(kernel: KernelProfile) -> None:
    frags = FragQueues(kernel, NetConf())
    ip_defrag(skb(b"C" * 8, 24, last=True), DefragUser.CONNTRACK_IN, 0, frags)
    ip_defrag(skb(b"B" * 8, 16), DefragUser.CONNTRACK_IN, 0, frags)
    whole = ip_defrag(skb(b"A" * 16, 0), DefragUser.CONNTRACK_IN, 0, frags).outcome
    assert isinstance(whole, SkBuff)
    assert whole.data == ip(b"A" * 16 + b"B" * 8 + b"C" * 8, proto=253)[:36]
    assert [piece.data for piece in whole.frag_list] == [b"B" * 8, b"C" * 8]
    assert whole.length == 52


@BOTH
def test_users_and_vrfs_are_apart(kernel: KernelProfile) -> None:
    frags = FragQueues(kernel, NetConf())
    ip_defrag(skb(b"A" * 8, 0), LOCAL, 0, frags)
    for user, vif in ((DefragUser.CONNTRACK_IN, 0), (LOCAL, 4), (DefragUser.CONNTRACK_IN + 5, 0)):
        assert isinstance(ip_defrag(skb(b"B" * 8, 8, last=True), user, vif, frags).outcome, Queued)
    assert len(frags.queues) == 4


def test_a_duplicate_is_dropped_by_name() -> None:
    frags = FragQueues(LINUX_6_18, NetConf())
    ip_defrag(skb(b"A" * 8, 0), LOCAL, 0, frags)
    again = ip_defrag(skb(b"A" * 8, 0), LOCAL, 0, frags)
    assert isinstance(again.outcome, Drop)
    assert (again.outcome.reason, again.outcome.func) == (DropReason.DUP_FRAG, "ip_frag_queue")
    assert again.mibs == (Mib.REASM_REQDS,)


def test_an_overlap_is_counted_twice() -> None:
    frags = FragQueues(LINUX_6_18, NetConf())
    ip_defrag(skb(b"A" * 16, 0), LOCAL, 0, frags)
    overlap = ip_defrag(skb(b"B" * 16, 8), LOCAL, 0, frags)
    assert overlap.outcome == Drop(DropReason.NOT_SPECIFIED, "ip_frag_queue", 22)
    assert overlap.mibs == (Mib.REASM_REQDS, Mib.REASM_FAILS, Mib.REASM_OVERLAPS)


@BOTH
def test_fragments_made_by_this_host_are_never_too_far(kernel: KernelProfile) -> None:
    frags = FragQueues(kernel, NetConf(ipfrag_max_dist=1))
    own = IpControlBlock(IpSkbFlag.FRAG_COMPLETE)
    ip_defrag(skb(b"A" * 8, 0), LOCAL, 0, frags)
    ip_defrag(skb(b"X" * 8, 0, ident=2), LOCAL, 0, frags)
    assert isinstance(ip_defrag(skb(b"B" * 8, 8, last=True, cb=own), LOCAL, 0, frags).outcome, SkBuff)


@BOTH
def test_who_falls_for_a_fragment_is_told(kernel: KernelProfile) -> None:
    frags = FragQueues(kernel, NetConf(ipfrag_max_dist=1))
    first = skb(b"A" * 8, 0)
    ip_defrag(first, LOCAL, 0, frags)
    ip_defrag(skb(b"X" * 8, 0, ident=2), LOCAL, 0, frags)
    far = ip_defrag(skb(b"B" * 8, 8, last=True), LOCAL, 0, frags)
    [fallen] = far.fallen
    assert fallen.exit.reason is DropReason.FRAG_TOO_FAR
    assert [piece.tag for piece in fallen.queue.pieces] == [first]
    assert far.mibs == (Mib.REASM_REQDS, Mib.REASM_FAILS)
    assert isinstance(far.outcome, Queued)


@BOTH
def test_what_the_capture_cut_off_is_not_made_up(kernel: KernelProfile) -> None:
    frags = FragQueues(kernel, NetConf())
    cut = skb(b"A" * 16, 0, on_wire=36)
    cut.data = cut.data[:25]
    ip_defrag(cut, LOCAL, 0, frags)
    whole = ip_defrag(skb(b"B" * 8, 16, last=True), LOCAL, 0, frags).outcome
    assert isinstance(whole, SkBuff)
    assert (whole.data[20:], whole.on_wire, whole.length) == (b"A" * 5, 44, 44)


@BOTH
def test_expiry_tells_about_which_fragment_an_error_is_owed(kernel: KernelProfile) -> None:
    frags = FragQueues(kernel, NetConf())
    first = skb(b"A" * 8, 0)
    ip_defrag(first, LOCAL, 0, frags)
    ip_defrag(skb(b"B" * 8, 8, ident=2), LOCAL, 0, frags)
    assert not list(ip_expire(frags, 29 * SECOND))
    owed = [owed_about(fallen.queue) for fallen in ip_expire(frags, 30 * SECOND)]
    assert [fragment and fragment.tag for fragment in owed] == [first, None]
    assert owed[0] is not None
    assert owed[0].head == first.data


def test_whose_queues_are_answered_for_only_where_the_datagram_was_local() -> None:
    local_only = {
        DefragUser.AF_PACKET, DefragUser.CONNTRACK_IN, DefragUser.CONNTRACK_BRIDGE_IN,
        DefragUser.CONNTRACK_IN + 65535, DefragUser.CONNTRACK_BRIDGE_IN + 65535,
    }  # fmt: skip
    always = {
        LOCAL, DefragUser.CALL_RA_CHAIN, DefragUser.CONNTRACK_OUT, DefragUser.VS_IN, DefragUser.VS_OUT,
        DefragUser.VS_FWD, DefragUser.MACVLAN,
    }  # fmt: skip
    assert all(answers_locally_only(user) for user in local_only)
    assert not any(answers_locally_only(user) for user in always)
