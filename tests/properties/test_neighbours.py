"""Neighbours: whatever comes in and whenever, nothing waits for ever and every frame stands in a row."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ipkit.core.forward_lane import AtEnd, ForwardLane, ForwardOptions
from ipkit.core.frames import Frame
from ipkit.core.host.build import build_host
from ipkit.core.lanes import Row, RowWish
from tests.support.batches import batch_of
from tests.support.journeys import KERNELS
from tests.support.packets import eth, ip, udp

HOST: dict[str, Any] = {
    "sysctl": {
        "net.ipv4.ip_forward": 1,
        "net.ipv4.conf.eth0.arp_accept": 1,
        "net.ipv4.conf.eth0.proxy_arp": 1,
        "net.ipv4.neigh.default.gc_thresh1": 2,
        "net.ipv4.neigh.default.gc_thresh2": 3,
        "net.ipv4.neigh.default.gc_thresh3": 4,
        "net.ipv4.neigh.default.unres_qlen_bytes": 2500,
    },
    "routes": ["default via 192.0.2.3 dev eth0"],
    "neigh": ["192.0.2.4 lladdr 02:00:00:00:00:04 dev eth0 nud stale", "192.0.2.5 dev eth0 nud incomplete"],
    "link": {"eth0": {"address": "02:00:00:00:00:01", "addr": ["192.0.2.1/24"]}, "eth1": {"addr": ["10.0.0.1/8"]}},
}
ADDRESSES = st.sampled_from([bytes((192, 0, 2, last)) for last in range(8)] + [bytes((10, 0, 0, 1)), bytes(4)])
MACS = st.sampled_from([b"\x02\0\0\0\0" + bytes((last,)) for last in range(1, 5)])
OPERATIONS = st.sampled_from([b"\0\1", b"\0\2", b"\0\3"])
PACKETS = st.tuples(OPERATIONS, MACS, ADDRESSES, MACS, ADDRESSES).map(
    lambda parts: eth(b"\0\1\x08\0\6\4" + b"".join(parts), ethertype=0x0806)
)
JUNK = st.binary(max_size=40).map(lambda data: eth(b"\0\1\x08\0\6\4" + data, ethertype=0x0806, dst="ff:ff:ff:ff:ff:ff"))
DATAGRAMS = st.tuples(ADDRESSES, ADDRESSES, st.integers(1, 2), st.sampled_from([8, 700, 2000])).map(
    lambda way: eth(
        ip(
            udp(bytes(way[3])),
            src=".".join(map(str, way[0])),
            dst=".".join(map(str, way[1])),
            ttl=way[2],
        )
    )
)
FRAMES = st.lists(
    st.tuples(PACKETS | JUNK | DATAGRAMS, st.sampled_from([0, 1, 400, 1000, 5000, 40_000])), min_size=1, max_size=30
)


@settings(max_examples=60, deadline=None)
@given(FRAMES, st.sampled_from(KERNELS), st.sampled_from(["assume", "resolve"]))
def test_nothing_waits_for_ever_and_every_frame_stands_in_a_row(
    came: list[tuple[bytes, int]], kernel: Any, unknown: str
) -> None:
    host = build_host({**HOST, "neigh_default": unknown}, file="host.toml", kernel=kernel)
    lane = ForwardLane(ForwardOptions(host, at_end=AtEnd.DRAIN), RowWish.ALL)
    now = 0
    rows: list[Row] = []
    frames: list[Frame] = []
    for frame, pause_ms in came:
        now += pause_ms * 1_000_000
        result = lane.process(batch_of([frame.replace(b"\x02\0\0\0\0\x99", b"\x02\0\0\0\0\x02")], tstamp_ns=[now]))
        rows += [row.row for row in result.rows]
        frames += result.changes[0]
        table = lane._net.neighbours
        assert lane._net.timers.due_ns <= min(table.due_ns, lane._net.frags.due_ns)
        assert len(table.entries) <= 6
    end = lane.finish()
    frames += end.late
    rows += [row.row for row in end.rows]
    told = [(one["dev"], one["length"]) for row in rows for one in row.get("emitted", ())]  # type: ignore[attr-defined]
    assert told == [(frame.interface, len(frame.data) - 14) for frame in frames]
    assert [frame.tstamp_ns for frame in frames] == sorted(frame.tstamp_ns for frame in frames)
    assert not any(entry.waiting or entry.timer for entry in lane._net.neighbours.entries.values())
