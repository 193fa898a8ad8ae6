"""Why a packet ended: the kernel's own names, and a sentence for each.

Names are those of the kernel's enum skb_drop_reason without its prefix. Kernel 4.14 names none; its reports are
labelled with the same words.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final


class DropReason(Enum):
    """The reasons that the modelled paths give."""

    NOT_SPECIFIED = "NOT_SPECIFIED"
    OTHERHOST = "OTHERHOST"
    IP_INHDR = "IP_INHDR"
    IP_CSUM = "IP_CSUM"
    PKT_TOO_SMALL = "PKT_TOO_SMALL"
    PKT_TOO_BIG = "PKT_TOO_BIG"
    IP_RPFILTER = "IP_RPFILTER"
    IP_INVALID_SOURCE = "IP_INVALID_SOURCE"
    IP_INVALID_DEST = "IP_INVALID_DEST"
    IP_LOCALNET = "IP_LOCALNET"
    IP_LOCAL_SOURCE = "IP_LOCAL_SOURCE"
    IP_INADDRERRORS = "IP_INADDRERRORS"
    IP_INNOROUTES = "IP_INNOROUTES"
    IP_OUTNOROUTES = "IP_OUTNOROUTES"
    IP_NOPROTO = "IP_NOPROTO"
    UNICAST_IN_L2_MULTICAST = "UNICAST_IN_L2_MULTICAST"
    UNHANDLED_PROTO = "UNHANDLED_PROTO"
    INVALID_PROTO = "INVALID_PROTO"
    ARP_PVLAN_DISABLE = "ARP_PVLAN_DISABLE"
    XFRM_POLICY = "XFRM_POLICY"
    NETFILTER_DROP = "NETFILTER_DROP"
    ICMP_CSUM = "ICMP_CSUM"
    UDP_CSUM = "UDP_CSUM"
    TCP_CSUM = "TCP_CSUM"
    NO_SOCKET = "NO_SOCKET"
    NEIGH_CREATEFAIL = "NEIGH_CREATEFAIL"
    NEIGH_FAILED = "NEIGH_FAILED"
    NEIGH_QUEUEFULL = "NEIGH_QUEUEFULL"
    QDISC_DROP = "QDISC_DROP"
    NEIGH_DEAD = "NEIGH_DEAD"
    QUEUE_PURGE = "QUEUE_PURGE"
    DUP_FRAG = "DUP_FRAG"
    FRAG_TOO_FAR = "FRAG_TOO_FAR"
    FRAG_REASM_TIMEOUT = "FRAG_REASM_TIMEOUT"
    BPF_CGROUP_EGRESS = "BPF_CGROUP_EGRESS"
    NOMEM = "NOMEM"


SENTENCES: Final[Mapping[DropReason, str]] = MappingProxyType(
    {
        DropReason.NOT_SPECIFIED: "the kernel gives no reason",
        DropReason.OTHERHOST: "the frame is addressed to another host",
        DropReason.IP_INHDR: "the IPv4 header is malformed, or its TTL is used up",
        DropReason.IP_CSUM: "the header checksum does not verify",
        DropReason.PKT_TOO_SMALL: "fewer bytes than the header promises",
        DropReason.PKT_TOO_BIG: "larger than the MTU, and not to be fragmented",
        DropReason.IP_RPFILTER: "the way back to the source is another one",
        DropReason.IP_INVALID_SOURCE: "the source cannot be a sender",
        DropReason.IP_INVALID_DEST: "the destination cannot be a receiver",
        DropReason.IP_LOCALNET: "a loopback address on the wire",
        DropReason.IP_LOCAL_SOURCE: "the source is one of this host's own addresses",
        DropReason.IP_INADDRERRORS: "not for this host, and forwarding is off",
        DropReason.IP_INNOROUTES: "no route to the destination",
        DropReason.IP_OUTNOROUTES: "no route for a packet of this host",
        DropReason.IP_NOPROTO: "nothing here takes this protocol",
        DropReason.UNICAST_IN_L2_MULTICAST: "a unicast packet in a multicast frame",
        DropReason.UNHANDLED_PROTO: "nothing here takes this kind of frame or message",
        DropReason.INVALID_PROTO: "the protocol is not allowed here",
        DropReason.ARP_PVLAN_DISABLE: "proxy ARP for a private VLAN is off",
        DropReason.XFRM_POLICY: "an IPsec policy forbids it",
        DropReason.NETFILTER_DROP: "a netfilter hook dropped it",
        DropReason.ICMP_CSUM: "the ICMP checksum does not verify",
        DropReason.UDP_CSUM: "the UDP checksum does not verify",
        DropReason.TCP_CSUM: "the TCP checksum does not verify",
        DropReason.NO_SOCKET: "no socket listens there",
        DropReason.NEIGH_CREATEFAIL: "no entry for the next hop could be made",
        DropReason.NEIGH_FAILED: "the next hop does not answer",
        DropReason.NEIGH_QUEUEFULL: "too many packets wait for the next hop",
        DropReason.QDISC_DROP: "the link has no carrier",
        DropReason.NEIGH_DEAD: "the entry for the next hop is going away",
        DropReason.QUEUE_PURGE: "the queue that it was in was emptied",
        DropReason.DUP_FRAG: "these bytes are queued already",
        DropReason.FRAG_TOO_FAR: "too many other fragments of this source came in between",
        DropReason.FRAG_REASM_TIMEOUT: "the missing fragments did not come in time",
        DropReason.BPF_CGROUP_EGRESS: "an egress program refused it",
        DropReason.NOMEM: "out of memory",
    }
)
