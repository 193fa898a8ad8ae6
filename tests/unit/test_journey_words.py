"""What a trace says of a drop: the values that decided stand in it, as words and as values."""

from __future__ import annotations

import pytest

from ipkit.core.journey_words import told_outcome
from ipkit.core.outcome.drop_reasons import DropReason
from ipkit.core.outcome.verdict import Drop, StageResult
from ipkit.core.skbuff import PacketType, SkBuff

HEADER = bytes.fromhex("45000073 00004000 4011b861 c0a80001 c0a800c7")
WRONG = HEADER[:10] + b"\xb8\x62" + HEADER[12:]
CASES = {
    "no header": ("ip_rcv_core", "IP_INHDR", HEADER[:10], {}, "10 bytes are no header", {"length": 10}),
    "version": ("ip_rcv_core", "IP_INHDR", b"\x65" + HEADER[1:], {}, "version 6, header of 20 bytes, total length 115, "
                "20 bytes came", {"version": 6, "ihl": 5, "tot_len": 115, "length": 20}),
    "too short": ("ip_rcv_core", "PKT_TOO_SMALL", HEADER, {}, "version 4, header of 20 bytes, total length 115, "
                  "20 bytes came", {"version": 4, "ihl": 5, "tot_len": 115, "length": 20}),
    "checksum": ("ip_rcv_core", "IP_CSUM", WRONG, {}, "checksum 0xb862, right is 0xb861",
                 {"stored": 0xB862, "computed": 0xB861}),
    "another station": ("ip_rcv_core", "OTHERHOST", HEADER, {"pkt_type": PacketType.OTHERHOST},
                        "the frame is for another station", {"pkt_type": "OTHERHOST"}),
    "hops": ("ip_forward", "IP_INHDR", HEADER[:8] + b"\x01" + HEADER[9:], {}, "ttl 1", {"ttl": 1}),
    "frame for all": ("ip_forward", "NOT_SPECIFIED", HEADER, {"pkt_type": PacketType.BROADCAST},
                      "the frame is for everybody", {"pkt_type": "BROADCAST"}),
    "a host": ("ip_error", "IP_INADDRERRORS", HEADER, {}, "eth0 does not forward", {"dev": "eth0", "forwarding": 0}),
    "policy": ("ip_forward", "XFRM_POLICY", HEADER, {}, "a policy blocks it", {"policy": "block"}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_drop_tells_what_it_was_decided_by(
    case: tuple[str, str, bytes, dict[str, PacketType], str, dict[str, object]],
) -> None:
    func, reason, data, more, say, values = case
    skb = SkBuff(data, "eth0", more.get("pkt_type", PacketType.HOST), 0)
    told = told_outcome(StageResult(Drop(DropReason(reason), func)), skb)
    assert told == (f"drop {reason} in {func}: {say}", values)
