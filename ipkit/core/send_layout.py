"""The buffers that ip_append_data built, as rows to look at.

Law: numbers from the buffers themselves; nothing is worked out that they do not hold.
"""

from __future__ import annotations

from collections.abc import Sequence

from ipkit.core.append_data import QueuedSkb
from ipkit.core.lanes import RowValue

LAYOUT_KEYS = ("skb", "len", "linear", "paged", "frags", "gap", "trimmed_from", "tail_room", "truesize", "csum")


def layout_rows(queue: Sequence[QueuedSkb]) -> list[dict[str, RowValue]]:
    """Return a row for each buffer of a datagram, in the order of the queue."""
    return [
        {
            "skb": number,
            "len": skb.length,
            "linear": len(skb.linear),
            "paged": skb.paged,
            "frags": len(skb.frags),
            "gap": skb.gap,
            "trimmed_from": skb.trimmed_from,
            "tail_room": skb.tail_room,
            "truesize": skb.truesize,
            "csum": skb.csum_mode.value,
        }
        for number, skb in enumerate(queue)
    ]
