"""The state of `ipkit reassemble` between two runs, so that rotated captures chain.

Law: a document of plain values, with a version; what does not fit the run that loads it is refused, not bent. A frame
that is held goes into it whole: who loads the state may want it back.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ipkit.core.compare_policies import Panel, Panels
from ipkit.core.frag_state import (
    Document,
    key_document,
    key_from,
    queue_document,
    queue_from,
    restore_store,
    store_document,
    text_of,
)
from ipkit.core.fragment_map import Arrival
from ipkit.core.frames import Frame
from ipkit.core.overlap import POLICIES
from ipkit.core.reassemble_datagram import Trail, trail_of
from ipkit.core.reassemble_lane import ReassembleLane
from ipkit.core.state_fields import LARGEST, Fields, StateError

FORMAT: Final = "ipkit reassemble state"
VERSION: Final = 1
LONGEST_FRAME: Final = 1 << 19


def lane_document(lane: ReassembleLane) -> Document:
    """Return what a lane has waiting, for a later run."""
    document: Document = {"format": FORMAT, "version": VERSION, **_terms(lane)._asdict()}
    document["arrivals"] = lane.arrivals
    document["store"] = store_document(lane.frags)
    document["datagrams"] = [
        {**queue_document(queue), "frames": _trail_document(trail_of(queue))} for queue in lane.frags.queues.values()
    ]
    if lane.panels is not None:
        document["panels"] = _panels_document(lane.panels)
    return document


def restore_lane(lane: ReassembleLane, document: object) -> None:
    """Let a lane go on from what an earlier run left waiting."""
    fields = Fields(document, "")
    _check_header(fields, _terms(lane))
    lane.arrivals = fields.number("arrivals")
    queues = []
    for datagram in fields.objects("datagrams"):
        queue = queue_from(datagram, lane.arrivals)
        queue.carried = trail = _trail_from(datagram.inner("frames"))
        lane.held_bytes += trail.held_bytes
        queues.append(queue)
    restore_store(fields.inner("store"), lane.frags, queues)
    if lane.panels is not None:
        _restore_panels(fields.inner("panels"), lane.panels, lane.arrivals)


class Terms(NamedTuple):
    """What must be the same in the run that saves and the one that loads."""

    kernel: str
    policy: str
    ipfrag_time: int
    compare: bool


def _terms(lane: ReassembleLane) -> Terms:
    options = lane.options
    return Terms(options.kernel.name, lane.policy.name, options.limits.ipfrag_time, lane.panels is not None)


def _check_header(fields: Fields, terms: Terms) -> None:
    """Refuse what is no state, one of another version, or one of another kind of run."""
    if "format" not in fields or fields.text("format") != FORMAT:
        raise StateError("not a state of ipkit reassemble")
    if fields.number("version") != VERSION:
        raise StateError(f"version {fields.number('version')}, where this program knows version {VERSION}")
    saved = Terms(fields.text("kernel"), fields.text("policy"), fields.number("ipfrag_time"), fields.flag("compare"))
    for name, was, now in zip(Terms._fields, saved, terms, strict=True):
        if was != now:
            raise StateError(f"saved with {name} {was}, not {now}")


def _trail_document(trail: Trail) -> Document:
    """Return what is remembered of a datagram's frames; none of them is in a batch any more."""
    return {
        "fragments": trail.fragments,
        "ttl": trail.ttl,
        "copied": text_of(trail.copied),
        "numbers": [[arrival, number] for arrival, number in trail.numbers.items()],
        "arrivals": [[arrival.tag, *arrival[1:4], int(arrival.is_last)] for arrival in trail.arrivals],
        "last": dict(trail.keys),
        "held": [{"arrival": arrival, **_frame_document(frame)} for arrival, frame in trail.frames().items()],
    }


def _frame_document(frame: Frame) -> Document:
    return {
        "file": frame.file,
        "number": frame.number,
        "tstamp_ns": frame.tstamp_ns,
        "data": text_of(frame.data),
        "on_wire": frame.on_wire,
        "link_type": frame.link_type,
        "interface": frame.interface,
    }


def _trail_from(fields: Fields) -> Trail:
    """Return the frames of a datagram as they were remembered."""
    last = fields.inner("last")
    keys: dict[str, object] = {"file": last.text("file"), "frame": last.number("frame"), "time": last.text("time")}
    if "iface" in last:
        keys["iface"] = last.text("iface")
    trail = Trail(
        fragments=fields.number("fragments"),
        numbers={arrival: number for arrival, number in fields.number_lists("numbers", 2)},  # noqa: C416 - typed
        keys=keys,
        ttl=fields.number("ttl", -1, 0xFF),
        copied=fields.data("copied", 0, 40),
        arrivals=[
            Arrival(tag, number, start, end, bool(is_last))
            for tag, number, start, end, is_last in fields.number_lists("arrivals", 5)
        ],
    )
    for held in fields.objects("held"):
        frame = _frame_from(held)
        trail.held[held.number("arrival")] = frame
        trail.held_bytes += len(frame.data)
    return trail


def _frame_from(fields: Fields) -> Frame:
    return Frame(
        fields.text("file"),
        fields.number("number"),
        fields.number("tstamp_ns", -LARGEST),
        fields.data("data", 0, LONGEST_FRAME),
        fields.number("on_wire"),
        fields.number("link_type", 0, 0xFFFF),
        fields.optional_text("interface"),
    )


def _panels_document(panels: Panels) -> Document:
    """Return what every policy has made of the datagrams so far."""
    return {
        "active": [_panel_document(panel) for panel in panels.active.values()],
        "idle": [_panel_document(panel) for panel in panels.idle.values()],
    }


def _panel_document(panel: Panel) -> Document:
    return {
        "key": key_document(panel.key),
        "since_ns": panel.since_ns,
        "read": dict(panel.read),
        "lost": sorted(panel.lost),
        "queues": {name: queue_document(queue) for name, queue in panel.queues.items()},
    }


def _restore_panels(fields: Fields, panels: Panels, last_arrival: int) -> None:
    """Put the policies back into what they had made so far."""
    for panel_fields in fields.objects("active"):
        panel = _panel_from(panel_fields, last_arrival)
        panels.active[panel.key] = panel
    for panel_fields in fields.objects("idle"):
        panels.lay_by(_panel_from(panel_fields, last_arrival))


def _panel_from(fields: Fields, last_arrival: int) -> Panel:
    panel = Panel(key_from(fields.inner("key")))
    panel.since_ns = fields.number("since_ns", -LARGEST)
    panel.lost = set(_policies(fields, "lost", fields.texts("lost")))
    read, queues = fields.inner("read"), fields.inner("queues")
    panel.read = {name: read.text(name) for name in _policies(fields, "read", read.keys())}
    for name in _policies(fields, "queues", queues.keys()):
        panel.queues[name] = queue_from(queues.inner(name), last_arrival)
    return panel


def _policies(fields: Fields, key: str, names: list[str]) -> list[str]:
    for name in names:
        if name not in POLICIES:
            raise fields.wrong(key, f"{name!r} is no policy")
    return names
