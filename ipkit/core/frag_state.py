"""Waiting datagrams as plain values and back: the part of a saved state that is the engine's own.

Law: what is read back is checked, so that no file, however made, leads the engine where fragments could not.
Times are nanoseconds, bytes are Base64; what follows from other values is not stored.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Final, cast

from ipkit.core.outcome.defrag_exits import FragNote
from ipkit.core.state.frag_chains import CHAINS, SECRETS, FragChains
from ipkit.core.state.frag_queue import FragKey, Fragment, FragQueue
from ipkit.core.state.frag_queues import QUEUE_BYTES, FragQueues
from ipkit.core.state_fields import LARGEST, Fields
from ipkit.core.wire.ipv4 import HEADER_BYTES, MAX_TOTAL_BYTES, OFFSET_MASK

HIGHEST_END: Final = (OFFSET_MASK << 3) + MAX_TOTAL_BYTES
LONGEST_HEADER: Final = 60

Document = dict[str, object]


def text_of(data: bytes) -> str:
    """Return bytes as a state holds them."""
    return b64encode(data).decode()


def key_document(key: FragKey) -> Document:
    """Return what tells a datagram from others."""
    addresses, ident, protocol, user, vif = key
    return {"addresses": text_of(addresses), "id": ident, "proto": protocol, "user": user, "vif": vif}


def queue_document(queue: FragQueue) -> Document:
    """Return what a queue holds."""
    return {
        "key": key_document(queue.key),
        "expires_ns": queue.expires_ns,
        "others_since": queue.peer.rid - queue.rid if queue.peer is not None else 0,
        "len": queue.len,
        "last_in": queue.last_in,
        "ecn": queue.ecn,
        "max_size": queue.max_size,
        "max_df_size": queue.max_df_size,
        "run_starts": queue.run_starts,
        "overlaps": queue.overlaps,
        "overlap": queue.overlap,
        "duplicates": queue.duplicates,
        "notes": [note.value for note in FragNote if queue.notes is not None and note in queue.notes],
        "pieces": [_piece_document(piece) for piece in queue.pieces],
    }


def _piece_document(piece: Fragment) -> Document:
    return {
        "start": piece.start,
        "payload": text_of(piece.payload),
        "frag_off": piece.frag_off,
        "tos": piece.tos,
        "header_bytes": piece.header_bytes,
        "truesize": piece.truesize,
        "arrival": piece.tag,
        "head": text_of(piece.head),
    }


def queue_from(fields: Fields, last_arrival: int) -> FragQueue:
    """Return a queue as it was; arrivals behind the last are none of this state's."""
    queue = FragQueue(key_from(fields.inner("key")), fields.number("expires_ns", -LARGEST))
    queue.rid = -fields.number("others_since")  # the count of its source begins anew, at 0
    queue.len = fields.number("len", 0, HIGHEST_END)
    queue.last_in = fields.flag("last_in")
    queue.ecn = fields.number("ecn", 0, 15)
    queue.max_size = fields.number("max_size", 0, MAX_TOTAL_BYTES)
    queue.max_df_size = fields.number("max_df_size", 0, MAX_TOTAL_BYTES)
    queue.overlaps = fields.number("overlaps")
    queue.overlap = fields.number("overlap")
    queue.duplicates = fields.number("duplicates")
    for piece_fields in fields.objects("pieces"):
        piece = _piece_from(piece_fields, last_arrival)
        if queue.pieces and piece.start < queue.pieces[-1].end:
            raise piece_fields.wrong("start", "in front of the end of the piece before")
        queue.put(len(queue.pieces), len(queue.pieces), (piece,))
    if queue.last_in and not queue.len:
        raise fields.wrong("len", "no datagram ends where it begins")
    if queue.pieces:
        queue.newest = max(queue.pieces, key=lambda piece: cast("int", piece.tag))
        queue.extend_whole()
    queue.run_starts = fields.numbers("run_starts", 0, HIGHEST_END)
    if sorted(set(queue.run_starts)) != queue.run_starts:
        raise fields.wrong("run_starts", "not in order")
    known = {note.value: note for note in FragNote}
    for name in fields.texts("notes"):
        if name not in known:
            raise fields.wrong("notes", f"{name!r} is no note")
        queue.note(known[name])
    return queue


def key_from(key: Fields) -> FragKey:
    """Return a key as it was."""
    return (
        key.data("addresses", 8, 8),
        key.number("id", 0, 0xFFFF),
        key.number("proto", 0, 0xFF),
        key.number("user", 0, 0xFFFFFFFF),
        key.number("vif", 0, 0xFFFFFFFF),
    )


def _piece_from(fields: Fields, last_arrival: int) -> Fragment:
    start = fields.number("start", 0, HIGHEST_END)
    payload = fields.data("payload", 1, MAX_TOTAL_BYTES)
    header_bytes = fields.number("header_bytes", HEADER_BYTES, LONGEST_HEADER)
    head = fields.data("head", 0 if start else HEADER_BYTES, 0 if start else MAX_TOTAL_BYTES)
    if start + len(payload) > HIGHEST_END:
        raise fields.wrong("payload", "reaches further than an offset can")
    return Fragment(
        start,
        start + len(payload),
        payload,
        fields.number("frag_off", 0, 0xFFFF),
        fields.number("tos", 0, 0xFF),
        header_bytes,
        fields.number("truesize", 0, 1 << 18),
        fields.number("arrival", 0, last_arrival),
        head,
    )


def store_document(frags: FragQueues) -> Document:
    """Return what a store holds besides the contents of its queues, which are listed in the order of their timers."""
    places = {queue.key: place for place, queue in enumerate(frags.queues.values())}
    document: Document = {"now_ns": frags.now_ns}
    chains = frags.chains
    if chains is not None:
        document["chains"] = {
            "secret": chains.secret,
            "next": chains.next,
            "rebuilt_ns": chains.rebuilt_ns,
            "rebuild_wanted": chains.rebuild_wanted,
            "order": [places[queue.key] for queue in chains.in_order()],
        }
    return document


def restore_store(fields: Fields, frags: FragQueues, queues: list[FragQueue]) -> None:
    """Put queues back into a store that is empty."""
    frags.now_ns = fields.number("now_ns", -LARGEST)
    if len({queue.key for queue in queues}) != len(queues):
        raise fields.wrong("queues", "two of one key")
    before = -LARGEST
    for queue in queues:
        if not before <= queue.expires_ns <= frags.now_ns + frags.period_ns:
            raise fields.wrong("queues", "timers not in order, or further away than ipfrag_time")
        before = queue.expires_ns
        if frags.max_dist:
            queue.peer = frags.peers.record((queue.key[0][:4], queue.key[4]))
        queue.memory += QUEUE_BYTES
        frags.keep(queue)
    if frags.chains is not None:
        _restore_chains(fields.inner("chains"), frags.chains, queues)


def _restore_chains(fields: Fields, chains: FragChains, queues: list[FragQueue]) -> None:
    chains.secret = fields.number("secret", 1, SECRETS - 1)
    chains.next = fields.number("next", 0, CHAINS - 1)
    chains.rebuilt_ns = fields.number("rebuilt_ns", -LARGEST)
    chains.rebuild_wanted = fields.flag("rebuild_wanted")
    order = fields.numbers("order")
    if sorted(order) != list(range(len(queues))):
        raise fields.wrong("order", "not each queue once")
    for place in order:
        chains.add(queues[place])
