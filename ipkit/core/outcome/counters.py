"""The counters, by the names that nstat prints.

One place for each name; which event moves which counter is said where the event is.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple, TypeAlias


class Mib(Enum):
    """SNMP and Linux extension counters that the modelled paths move."""

    __hash__ = object.__hash__  # an Enum's own is a Python function, and every packet looks counters up

    IN_RECEIVES = "IpInReceives"
    IN_HDR_ERRORS = "IpInHdrErrors"
    IN_ADDR_ERRORS = "IpInAddrErrors"
    FORW_DATAGRAMS = "IpForwDatagrams"
    IN_UNKNOWN_PROTOS = "IpInUnknownProtos"
    IN_DISCARDS = "IpInDiscards"
    IN_DELIVERS = "IpInDelivers"
    OUT_REQUESTS = "IpOutRequests"
    OUT_DISCARDS = "IpOutDiscards"
    OUT_NO_ROUTES = "IpOutNoRoutes"
    REASM_TIMEOUT = "IpReasmTimeout"
    REASM_REQDS = "IpReasmReqds"
    REASM_OKS = "IpReasmOKs"
    REASM_FAILS = "IpReasmFails"
    FRAG_OKS = "IpFragOKs"
    FRAG_FAILS = "IpFragFails"
    FRAG_CREATES = "IpFragCreates"
    OUT_TRANSMITS = "IpOutTransmits"
    IN_NO_ROUTES = "IpExtInNoRoutes"
    IN_TRUNCATED_PKTS = "IpExtInTruncatedPkts"
    IN_MCAST_PKTS = "IpExtInMcastPkts"
    OUT_MCAST_PKTS = "IpExtOutMcastPkts"
    IN_BCAST_PKTS = "IpExtInBcastPkts"
    OUT_BCAST_PKTS = "IpExtOutBcastPkts"
    IN_OCTETS = "IpExtInOctets"
    OUT_OCTETS = "IpExtOutOctets"
    IN_MCAST_OCTETS = "IpExtInMcastOctets"
    OUT_MCAST_OCTETS = "IpExtOutMcastOctets"
    IN_BCAST_OCTETS = "IpExtInBcastOctets"
    OUT_BCAST_OCTETS = "IpExtOutBcastOctets"
    IN_CSUM_ERRORS = "IpExtInCsumErrors"
    IN_NO_ECT_PKTS = "IpExtInNoECTPkts"
    IN_ECT1_PKTS = "IpExtInECT1Pkts"
    IN_ECT0_PKTS = "IpExtInECT0Pkts"
    IN_CE_PKTS = "IpExtInCEPkts"
    REASM_OVERLAPS = "IpExtReasmOverlaps"
    IP_REVERSE_PATH_FILTER = "TcpExtIPReversePathFilter"
    ARP_FILTER = "TcpExtArpFilter"
    ICMP_IN_MSGS = "IcmpInMsgs"
    ICMP_IN_ERRORS = "IcmpInErrors"
    ICMP_IN_CSUM_ERRORS = "IcmpInCsumErrors"
    ICMP_OUT_MSGS = "IcmpOutMsgs"
    ICMP_OUT_ERRORS = "IcmpOutErrors"
    ICMP_OUT_RATE_LIMIT_GLOBAL = "IcmpOutRateLimitGlobal"
    ICMP_OUT_RATE_LIMIT_HOST = "IcmpOutRateLimitHost"
    ICMP_OUT_DEST_UNREACHS = "IcmpOutDestUnreachs"
    ICMP_OUT_TIME_EXCDS = "IcmpOutTimeExcds"
    ICMP_OUT_PARM_PROBS = "IcmpOutParmProbs"
    ICMP_OUT_REDIRECTS = "IcmpOutRedirects"
    ICMP_OUT_SRC_QUENCHS = "IcmpOutSrcQuenchs"
    ICMP_OUT_ECHOS = "IcmpOutEchos"
    ICMP_OUT_ECHO_REPS = "IcmpOutEchoReps"
    ICMP_OUT_TIMESTAMPS = "IcmpOutTimestamps"
    ICMP_OUT_TIMESTAMP_REPS = "IcmpOutTimestampReps"
    ICMP_OUT_ADDR_MASKS = "IcmpOutAddrMasks"
    ICMP_OUT_ADDR_MASK_REPS = "IcmpOutAddrMaskReps"
    ICMP_IN_ECHO_REPS = "IcmpInEchoReps"
    ICMP_IN_DEST_UNREACHS = "IcmpInDestUnreachs"
    ICMP_IN_SRC_QUENCHS = "IcmpInSrcQuenchs"
    ICMP_IN_REDIRECTS = "IcmpInRedirects"
    ICMP_IN_ECHOS = "IcmpInEchos"
    ICMP_IN_TIME_EXCDS = "IcmpInTimeExcds"
    ICMP_IN_PARM_PROBS = "IcmpInParmProbs"
    ICMP_IN_TIMESTAMPS = "IcmpInTimestamps"
    ICMP_IN_TIMESTAMP_REPS = "IcmpInTimestampReps"
    ICMP_IN_ADDR_MASKS = "IcmpInAddrMasks"
    ICMP_IN_ADDR_MASK_REPS = "IcmpInAddrMaskReps"
    ICMP_MSG_OUT_TYPE0 = "IcmpMsgOutType0"
    ICMP_MSG_OUT_TYPE3 = "IcmpMsgOutType3"
    ICMP_MSG_OUT_TYPE4 = "IcmpMsgOutType4"
    ICMP_MSG_OUT_TYPE5 = "IcmpMsgOutType5"
    ICMP_MSG_OUT_TYPE8 = "IcmpMsgOutType8"
    ICMP_MSG_OUT_TYPE11 = "IcmpMsgOutType11"
    ICMP_MSG_OUT_TYPE12 = "IcmpMsgOutType12"
    ICMP_MSG_OUT_TYPE13 = "IcmpMsgOutType13"
    ICMP_MSG_OUT_TYPE14 = "IcmpMsgOutType14"
    ICMP_MSG_OUT_TYPE17 = "IcmpMsgOutType17"
    ICMP_MSG_OUT_TYPE18 = "IcmpMsgOutType18"
    UDP_NO_PORTS = "UdpNoPorts"
    UDP_IN_ERRORS = "UdpInErrors"
    UDP_IN_CSUM_ERRORS = "UdpInCsumErrors"
    UDP_IGNORED_MULTI = "UdpIgnoredMulti"
    UDP_IN_DATAGRAMS = "UdpInDatagrams"
    UDP_OUT_DATAGRAMS = "UdpOutDatagrams"
    UDP_SNDBUF_ERRORS = "UdpSndbufErrors"
    XFRM_IN_POL_BLOCK = "XfrmInPolBlock"
    XFRM_OUT_POL_BLOCK = "XfrmOutPolBlock"

    @property
    def bare(self) -> str:
        """The name without its group, as summaries list it."""
        for group in ("IpExt", "TcpExt", "IcmpMsg", "Icmp", "Udp", "Ip"):
            if self.value.startswith(group):
                return self.value.removeprefix(group)
        return self.value


class TypeMib(NamedTuple):
    """The counter of one ICMP type: there is one for each of the 256."""

    value: str


ICMP_MSG_IN: Final = tuple(TypeMib(f"IcmpMsgInType{number}") for number in range(256))

Counted: TypeAlias = Mib | TypeMib
"""Anything that is counted; `value` is its name."""
