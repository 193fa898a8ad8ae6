"""What differs between the kernels that are modelled, behaviour by behaviour, and nothing else.

A field names a behaviour, its values say what the kernel does; rooms ask for the behaviour and never for the
version. The `replace(...)` that makes a later profile is the list of differences.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Final


class ZeroNet(Enum):
    """Which addresses count as "this network"."""

    WHOLE_PREFIX = "0.0.0.0/8"
    ONE_ADDRESS = "0.0.0.0"


class NetworkAddress(Enum):
    """What the first address of a connected prefix is."""

    BROADCAST = "broadcast"
    UNICAST = "unicast"


class SourceCheckOff(Enum):
    """How a source is checked where rp_filter is 0."""

    REVERSE_LOOKUP = "full reverse lookup"
    OWN_ADDRESS = "own addresses only"


class TosKey(Enum):
    """Which bits of the TOS a lookup carries."""

    THREE_BITS = 0x1C
    DSCP = 0xFC


class ForwardMtu(Enum):
    """Whether a route's mtu metric binds forwarded packets."""

    DEVICE = "device unless locked"
    ROUTE = "route metric first"


class OutputCounting(Enum):
    """Where OutRequests, ForwDatagrams and OutOctets are counted."""

    IP_OUTPUT = "ip_output and ip_forward_finish"
    LOCAL_OUT = "__ip_local_out, ip_forward and ip_finish_output2"


class ForeignSource(Enum):
    """What an output lookup answers for a source that is not ours."""

    EINVAL = "EINVAL"
    ENETUNREACH = "ENETUNREACH"


class RedirectTokens(Enum):
    """Where the number of redirects sent to a source is kept."""

    SHARED = "in the error tokens"
    OWN = "in a field of its own"


class IcmpLimitOrder(Enum):
    """In which order the ICMP limits are asked and paid."""

    GLOBAL_FIRST = "global first, one token"
    HOST_FIRST = "global tested, host paid, then global"


class PeerTokens(Enum):
    """When the tokens of a destination are cut to what its ICMP messages may save up."""

    CUT_ALWAYS = "at each message"
    CUT_WITH_TIME = "at a message of another tick"


class IcmpLimitCounters(Enum):
    """Whether a message that a limit holds back is counted."""

    ABSENT = "absent"
    RATE_LIMIT = "OutRateLimitGlobal and OutRateLimitHost"


class ReverseFilterErrno(Enum):
    """What an input lookup that fails the reverse path check reports to `ip route get`."""

    EXDEV = "EXDEV"
    EINVAL = "EINVAL"


class DefaultRetry(Enum):
    """When table default is asked after main, on a host without rules of its own."""

    ANY_ERROR = "after any error"
    NO_MATCH = "after no match"


class DirectedBroadcast(Enum):
    """Whether bc_forwarding exists."""

    ABSENT = "absent"
    SYSCTL = "bc_forwarding"


class MultipathPolicies(Enum):
    """Which hash policies the kernel knows."""

    L3_L4 = 1
    ALL = 3


class NoSourceForIcmp(Enum):
    """Which source an ICMP error gets on a host without a usable address."""

    ANY = 0
    DUMMY = 0xC0000008  # 192.0.0.8, RFC 7600


class InboundErrorSource(Enum):
    """Which address of the input device icmp_errors_use_inbound_ifaddr takes."""

    FIRST_PRIMARY = "first primary"
    COVERING = "the one that covers the offender"


class TinyQuote(Enum):
    """Whether an ICMP error is sent that could quote no more than a header."""

    SENT = "sent"
    WITHHELD = "withheld"


class Overlap(Enum):
    """What a fragment does that overlaps queued data."""

    TRIM = "cut to fit"
    DISCARD_QUEUE = "whole queue lost"


class BadFragment(Enum):
    """What a fragment with impossible ends does."""

    REFUSED_ALONE = "refused alone, not counted"
    DISCARD_QUEUE = "whole queue lost"


class FragMemory(Enum):
    """How the memory of pending fragments is bounded."""

    EVICT = "new queues refused, old ones evicted, chains of 128"
    REFUSE = "every fragment refused"


class SkbHeads(Enum):
    """In which sizes the memory for a received packet comes."""

    POWERS_OF_TWO = "powers of two from 512"
    SMALL_HEADS = "576 bytes, and powers of two from 1024"


class FastPathOptions(Enum):
    """What the fragment fast path does with options in later fragments of locally made datagrams."""

    UNCHANGED = "copied unchanged"
    NOOPED = "not-copied options overwritten"


class ForcedFragmenting(Enum):
    """Which whole datagrams are fragmented although they fit."""

    FRAG_PMTU = "those marked FRAG_PMTU"
    FRAG_MAX_SIZE = "those that were reassembled"


class TinyFragmentMtu(Enum):
    """What happens where the MTU leaves no room for eight bytes of data."""

    UNTESTED = "not tested"
    EMSGSIZE = "EMSGSIZE"


class IdentOrder(Enum):
    """How a sender chooses the IP identification."""

    DF_FIRST = "DF first, socket counter only with DF"
    SOCKET_FIRST = "a connected socket's counter first"


class MinimumMtu(Enum):
    """What ip_setup_cork does with an MTU below 68."""

    UNTESTED = "not tested"
    ENETUNREACH = "ENETUNREACH"


class UdpGso(Enum):
    """The rules of UDP segmentation offload."""

    SEGMENTS_64 = "64 segments, EINVAL"
    SEGMENTS_128 = "128 segments, EMSGSIZE"


class PriorityByTos(Enum):
    """Whether ip_forward_update_priority exists."""

    ALWAYS = "always"
    SYSCTL = "ip_forward_update_priority"


class FineReasons(Enum):
    """Whether the kernel itself names drop reasons."""

    LABELS_ONLY = "none; reports label drops with the later names"
    NAMED = "named"


class RuleSelectors(Enum):
    """What a routing rule can select by, besides addresses, devices, TOS, mark and user."""

    CLASSIC = "nothing more"
    PORTS_AND_DSCP = "protocol, ports and DSCP"


class GatewayFamily(Enum):
    """Which addresses the gateway of an IPv4 route may have."""

    IPV4 = "IPv4"
    ANY = "IPv4 or IPv6"


class EcnInTos(Enum):
    """Whether the TOS of a route or rule may have the two ECN bits set."""

    ACCEPTED = "accepted"
    REFUSED = "refused"


class PolicyKnobs(Enum):
    """How disable_policy, disable_xfrm and proxy_arp_pvlan of all devices and of one combine."""

    DEVICE_ONLY = "device only"
    EITHER = "either"


class MultipathLessons(Enum):
    """On which next hops of a route with several a lesson about a destination is noted."""

    FIRST_OF_DEVICE = "the first by the device that was in use"
    EVERY_OR_HASHED = "a path MTU on all, a redirect on the one that its own message hashes to"


class PmtuFloor(Enum):
    """What a path MTU below min_pmtu becomes where the MTU in force is smaller still."""

    RAISES = "min_pmtu all the same"
    NEVER_RAISES = "the MTU in force"


class RawErrors(Enum):
    """What becomes of ICMP errors about packets of protocol 255 (IPPROTO_RAW)."""

    HEARD = "raw sockets hear of them"
    REFUSED = "counted as InErrors"


class RawSocketsInVrfs(Enum):
    """Whether raw sockets that are bound to no device take what came in by a VRF."""

    ALWAYS = "they do"
    SYSCTL = "raw_l3mdev_accept"


class IcmpProbe(Enum):
    """Whether icmp_echo_enable_probe exists."""

    ABSENT = "absent"
    SYSCTL = "icmp_echo_enable_probe"


class VrfKey(Enum):
    """What a lookup for a device in a VRF carries."""

    REPLACES_DEVICE = "the VRF in place of the device"
    OWN_KEY = "the VRF beside the device"


class LocalnetSource(Enum):
    """Which scope a host's own addresses have as sources on a link with route_localnet."""

    AS_CONFIGURED = "their own"
    LINK_AT_MOST = "link at most"


class OutputBroadcast(Enum):
    """What a packet of our own to a subnet's broadcast address takes from the route it found."""

    BARE = "the device alone"
    AS_FOUND = "metrics and gateway, too"


class VrfSettings(Enum):
    """Whose settings decide about options and errors of a datagram that came in by a link of a VRF."""

    VRF = "the VRF's"
    LINK = "the link's"


class PostRoutingInput(Enum):
    """Which input device POST_ROUTING is told of a datagram that is forwarded."""

    NONE = "none"
    INPUT_DEVICE = "the one it came in by"


class MultipathSource(Enum):
    """What the source of a locally made packet does to the choice among next hops."""

    IGNORED = "nothing"
    PREFERS_OWN = "a next hop whose own source it is comes first"


class NeighCreateErrno(Enum):
    """What a sender is told when no entry can be made for its next hop."""

    EINVAL = "EINVAL"
    REAL = "the errno of the failure"


class PagedSplit(Enum):
    """How much of a buffer stands in one piece where the rest hangs on it as pages."""

    MAX_HEADER = "as much as the longest header takes"
    HEADERS_AND_GAP = "its headers, and what the buffer before had too much"


class HeaderTooShort(Enum):
    """What becomes of a header that a program wrote with fewer than five words."""

    SENT_AS_IT_IS = "sent as it is"
    EINVAL = "EINVAL"


class AnswerIdent(Enum):
    """Which answers of a socket that is not connected yet say DF and bear no identification."""

    BY_SOCKET = "those of a socket that says DF"
    BY_SIZE = "those, and all of 68 bytes or less"


class CmsgKinds(Enum):
    """Which control messages a sender may use."""

    FIRST = "without IP_PROTOCOL, SO_PRIORITY and SCM_TS_OPT_ID"
    ALL = "with IP_PROTOCOL, SO_PRIORITY and SCM_TS_OPT_ID"


class NeighPause(Enum):
    """How many milliseconds pass at least between two questions for a neighbour."""

    HALF_A_SECOND = 500
    TEN_MILLISECONDS = 10


class NeighGc(Enum):
    """Which neighbours fill the table, and which of them are thrown out where room is needed."""

    EVERY_IDLE_ONE = "all; whoever has no timer running and is not permanent"
    FAILED_OR_OLD = "all but permanent ones; of those without a timer who failed, or did not change for five seconds"


class LinkFailure(Enum):
    """By what options a host unreachable goes whose packet has long waited."""

    NOTED = "those that were found when the packet came in"
    RECOMPILED = "those found now; none is sent where they are at fault"


class ArpAccept(Enum):
    """What arp_accept says of addresses that nobody here asked for."""

    ANY = "nonzero: all of them are learned"
    BY_VALUE = "1: all of them are learned; 2: those in a subnet of the link"


class TimestampReplyCount(Enum):
    """As what a timestamp reply is counted."""

    ITSELF = "OutTimestampReps"
    ECHO_REPLY = "OutEchoReps"


class ResetTos(Enum):
    """Which bits of the TOS of a segment its reset repeats."""

    WHOLE = 0xFF
    WITHOUT_ECN = 0xFC


@dataclass(frozen=True, slots=True)
class KernelProfile:
    """The behaviours of one kernel."""

    name: str
    zeronet: ZeroNet
    network_address: NetworkAddress
    source_check_off: SourceCheckOff
    tos_key: TosKey
    forward_mtu: ForwardMtu
    output_counting: OutputCounting
    foreign_source: ForeignSource
    redirect_tokens: RedirectTokens
    icmp_limit_order: IcmpLimitOrder
    peer_tokens: PeerTokens
    icmp_limit_counters: IcmpLimitCounters
    reverse_filter_errno: ReverseFilterErrno
    default_retry: DefaultRetry
    directed_broadcast: DirectedBroadcast
    multipath_policies: MultipathPolicies
    no_source_for_icmp: NoSourceForIcmp
    inbound_error_source: InboundErrorSource
    tiny_quote: TinyQuote
    overlap: Overlap
    bad_fragment: BadFragment
    frag_memory: FragMemory
    skb_heads: SkbHeads
    fast_path_options: FastPathOptions
    forced_fragmenting: ForcedFragmenting
    tiny_fragment_mtu: TinyFragmentMtu
    ident_order: IdentOrder
    minimum_mtu: MinimumMtu
    udp_gso: UdpGso
    priority_by_tos: PriorityByTos
    fine_reasons: FineReasons
    rule_selectors: RuleSelectors
    gateway_family: GatewayFamily
    ecn_in_tos: EcnInTos
    policy_knobs: PolicyKnobs
    multipath_lessons: MultipathLessons
    pmtu_floor: PmtuFloor
    raw_errors: RawErrors
    icmp_probe: IcmpProbe
    raw_sockets_in_vrfs: RawSocketsInVrfs
    vrf_key: VrfKey
    vrf_settings: VrfSettings
    post_routing_input: PostRoutingInput
    multipath_source: MultipathSource
    output_broadcast: OutputBroadcast
    localnet_source: LocalnetSource
    neigh_create_errno: NeighCreateErrno
    neigh_pause: NeighPause
    neigh_gc: NeighGc
    arp_accept: ArpAccept
    link_failure: LinkFailure
    cmsg_kinds: CmsgKinds
    timestamp_reply_count: TimestampReplyCount
    reset_tos: ResetTos
    answer_ident: AnswerIdent
    header_too_short: HeaderTooShort
    paged_split: PagedSplit


LINUX_4_14: Final = KernelProfile(
    name="4.14",
    zeronet=ZeroNet.WHOLE_PREFIX,
    network_address=NetworkAddress.BROADCAST,
    source_check_off=SourceCheckOff.REVERSE_LOOKUP,
    tos_key=TosKey.THREE_BITS,
    forward_mtu=ForwardMtu.DEVICE,
    output_counting=OutputCounting.IP_OUTPUT,
    foreign_source=ForeignSource.EINVAL,
    redirect_tokens=RedirectTokens.SHARED,
    icmp_limit_order=IcmpLimitOrder.GLOBAL_FIRST,
    peer_tokens=PeerTokens.CUT_ALWAYS,
    icmp_limit_counters=IcmpLimitCounters.ABSENT,
    reverse_filter_errno=ReverseFilterErrno.EXDEV,
    default_retry=DefaultRetry.ANY_ERROR,
    directed_broadcast=DirectedBroadcast.ABSENT,
    multipath_policies=MultipathPolicies.L3_L4,
    no_source_for_icmp=NoSourceForIcmp.ANY,
    inbound_error_source=InboundErrorSource.FIRST_PRIMARY,
    tiny_quote=TinyQuote.SENT,
    overlap=Overlap.TRIM,
    bad_fragment=BadFragment.REFUSED_ALONE,
    frag_memory=FragMemory.EVICT,
    skb_heads=SkbHeads.POWERS_OF_TWO,
    fast_path_options=FastPathOptions.UNCHANGED,
    forced_fragmenting=ForcedFragmenting.FRAG_PMTU,
    tiny_fragment_mtu=TinyFragmentMtu.UNTESTED,
    ident_order=IdentOrder.DF_FIRST,
    minimum_mtu=MinimumMtu.ENETUNREACH,
    udp_gso=UdpGso.SEGMENTS_64,
    priority_by_tos=PriorityByTos.ALWAYS,
    fine_reasons=FineReasons.LABELS_ONLY,
    rule_selectors=RuleSelectors.CLASSIC,
    gateway_family=GatewayFamily.IPV4,
    ecn_in_tos=EcnInTos.ACCEPTED,
    policy_knobs=PolicyKnobs.DEVICE_ONLY,
    multipath_lessons=MultipathLessons.FIRST_OF_DEVICE,
    pmtu_floor=PmtuFloor.RAISES,
    raw_errors=RawErrors.HEARD,
    icmp_probe=IcmpProbe.ABSENT,
    raw_sockets_in_vrfs=RawSocketsInVrfs.ALWAYS,
    vrf_key=VrfKey.REPLACES_DEVICE,
    vrf_settings=VrfSettings.VRF,
    post_routing_input=PostRoutingInput.NONE,
    multipath_source=MultipathSource.IGNORED,
    output_broadcast=OutputBroadcast.BARE,
    localnet_source=LocalnetSource.AS_CONFIGURED,
    neigh_create_errno=NeighCreateErrno.EINVAL,
    neigh_pause=NeighPause.HALF_A_SECOND,
    neigh_gc=NeighGc.EVERY_IDLE_ONE,
    arp_accept=ArpAccept.ANY,
    link_failure=LinkFailure.NOTED,
    cmsg_kinds=CmsgKinds.FIRST,
    timestamp_reply_count=TimestampReplyCount.ITSELF,
    reset_tos=ResetTos.WHOLE,
    answer_ident=AnswerIdent.BY_SOCKET,
    header_too_short=HeaderTooShort.SENT_AS_IT_IS,
    paged_split=PagedSplit.MAX_HEADER,
)

LINUX_6_18: Final = replace(
    LINUX_4_14,
    name="6.18",
    zeronet=ZeroNet.ONE_ADDRESS,
    network_address=NetworkAddress.UNICAST,
    source_check_off=SourceCheckOff.OWN_ADDRESS,
    tos_key=TosKey.DSCP,
    forward_mtu=ForwardMtu.ROUTE,
    output_counting=OutputCounting.LOCAL_OUT,
    foreign_source=ForeignSource.ENETUNREACH,
    redirect_tokens=RedirectTokens.OWN,
    icmp_limit_order=IcmpLimitOrder.HOST_FIRST,
    peer_tokens=PeerTokens.CUT_WITH_TIME,
    icmp_limit_counters=IcmpLimitCounters.RATE_LIMIT,
    reverse_filter_errno=ReverseFilterErrno.EINVAL,
    default_retry=DefaultRetry.NO_MATCH,
    directed_broadcast=DirectedBroadcast.SYSCTL,
    multipath_policies=MultipathPolicies.ALL,
    no_source_for_icmp=NoSourceForIcmp.DUMMY,
    inbound_error_source=InboundErrorSource.COVERING,
    tiny_quote=TinyQuote.WITHHELD,
    overlap=Overlap.DISCARD_QUEUE,
    bad_fragment=BadFragment.DISCARD_QUEUE,
    frag_memory=FragMemory.REFUSE,
    skb_heads=SkbHeads.SMALL_HEADS,
    fast_path_options=FastPathOptions.NOOPED,
    forced_fragmenting=ForcedFragmenting.FRAG_MAX_SIZE,
    tiny_fragment_mtu=TinyFragmentMtu.EMSGSIZE,
    ident_order=IdentOrder.SOCKET_FIRST,
    udp_gso=UdpGso.SEGMENTS_128,
    priority_by_tos=PriorityByTos.SYSCTL,
    fine_reasons=FineReasons.NAMED,
    rule_selectors=RuleSelectors.PORTS_AND_DSCP,
    gateway_family=GatewayFamily.ANY,
    ecn_in_tos=EcnInTos.REFUSED,
    policy_knobs=PolicyKnobs.EITHER,
    multipath_lessons=MultipathLessons.EVERY_OR_HASHED,
    pmtu_floor=PmtuFloor.NEVER_RAISES,
    raw_errors=RawErrors.REFUSED,
    icmp_probe=IcmpProbe.SYSCTL,
    raw_sockets_in_vrfs=RawSocketsInVrfs.SYSCTL,
    vrf_key=VrfKey.OWN_KEY,
    vrf_settings=VrfSettings.LINK,
    post_routing_input=PostRoutingInput.INPUT_DEVICE,
    multipath_source=MultipathSource.PREFERS_OWN,
    output_broadcast=OutputBroadcast.AS_FOUND,
    localnet_source=LocalnetSource.LINK_AT_MOST,
    neigh_create_errno=NeighCreateErrno.REAL,
    neigh_pause=NeighPause.TEN_MILLISECONDS,
    neigh_gc=NeighGc.FAILED_OR_OLD,
    arp_accept=ArpAccept.BY_VALUE,
    link_failure=LinkFailure.RECOMPILED,
    cmsg_kinds=CmsgKinds.ALL,
    timestamp_reply_count=TimestampReplyCount.ECHO_REPLY,
    reset_tos=ResetTos.WITHOUT_ECN,
    answer_ident=AnswerIdent.BY_SIZE,
    header_too_short=HeaderTooShort.EINVAL,
    paged_split=PagedSplit.HEADERS_AND_GAP,
)

PROFILES: Final = {profile.name: profile for profile in (LINUX_4_14, LINUX_6_18)}
