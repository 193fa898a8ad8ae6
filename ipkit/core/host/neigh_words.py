"""The words of one neighbour, as `ip neigh` prints them and `ip neigh add` takes them.

Law: reading judges single words; whether the link is there is asked by whoever builds the host.
"""

from __future__ import annotations

from typing import Final

from ipkit.core.host.config import Neighbour
from ipkit.core.host.words import WordError, Words, address, link_address, protocol

STATES: Final = frozenset(
    {"permanent", "reachable", "stale", "delay", "probe", "noarp", "failed", "incomplete", "none"}
)
WITHOUT_ADDRESS: Final = frozenset({"failed", "incomplete", "none", "noarp"})
SAYS_WHO_LEARNED: Final = frozenset({"router", "extern_learn", "managed", "use", "offload"})
"""Words that are true and change nothing on the paths."""


def read_neighbour(text: str) -> Neighbour:
    """Return the neighbour of one line."""
    words = Words(text.split())
    found: dict[str, str] = {}
    proxy = False
    for word in words:
        if word in ("dev", "lladdr", "nud"):
            words.once(word)
            found[word] = words.after(word)
        elif word == "proxy":
            proxy = True
        elif word in ("proto", "protocol"):
            protocol(words.after(word))
        elif word.lower() in STATES:
            words.once("nud")
            found["nud"] = word
        elif word not in SAYS_WHO_LEARNED and word != "to":
            if "dst" in found:
                raise WordError(f"unknown word `{word}`")
            found["dst"] = word
    return _neighbour(found, proxy=proxy)


def _neighbour(found: dict[str, str], *, proxy: bool) -> Neighbour:
    for key, name in (("dst", "address"), ("dev", "`dev`")):
        if key not in found:
            raise WordError(f"no {name}")
    target = address(found["dst"])
    state = found.get("nud", "permanent").lower()
    if state not in STATES:
        raise WordError(f"`{found['nud']}` is not a state of a neighbour")
    lladdr = link_address(found["lladdr"]) if "lladdr" in found else None
    if not proxy and lladdr is None and state not in WITHOUT_ADDRESS:
        raise WordError("no `lladdr`")
    return Neighbour(target, found["dev"], lladdr, state, proxy=proxy)
