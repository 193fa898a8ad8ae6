"""A packet's way in words: what each stage came to, and what became of the errors that it owed.

Law: nothing is decided here, and nothing is made unless a trace is wanted.
"""

from __future__ import annotations

from collections.abc import Mapping
from errno import errorcode
from typing import Final, TypeAlias

from ipkit.core.icmp_send import IcmpSent, IcmpWithheld
from ipkit.core.outcome.verdict import Delivered, Drop, IcmpDue, Next, Queued, StageResult, Stolen
from ipkit.core.wire.ipv4 import address_text

Told: TypeAlias = tuple[str, str, Mapping[str, object]]

DOORS_OF_ROUTING: Final = frozenset({"ip_route_input_slow", "ip_check_mc_rcu"})
"""What ip_route_input_noref calls itself."""


def below_routing(func: str) -> int:
    """Return how much deeper than input routing's door one of its functions stands."""
    if func in DOORS_OF_ROUTING:
        return 1
    return 2 if func == "ip_mkroute_input" or func.lstrip("_").startswith("fib_") else 0


def told_outcome(result: StageResult) -> str:
    """Return what a stage came to."""
    outcome = result.outcome
    counted = "".join(f" {mib.value}" for mib in result.mibs)
    counted = f" ({counted.strip()})" if counted else ""
    match outcome:
        case Next():
            return f"-> {outcome.stage}{counted}"
        case Drop():
            errno = f" {errorcode[outcome.errno]}" if outcome.errno else ""
            return f"drop {outcome.reason.value} in {outcome.func}{errno}{counted}"
        case Delivered():
            return f"delivered to {outcome.to}{counted}"
        case Queued():
            return f"queued for {outcome.why}{counted}"
        case Stolen():
            return "kept by a hook"
        case _:
            return f"left by {outcome.dev}"


def told_icmp(due: IcmpDue, answer: IcmpSent | IcmpWithheld) -> Told:
    """Return what became of an error that was owed."""
    values: dict[str, object] = {"type": due.type, "code": due.code, "info": due.info}
    what = f"{due.type}/{due.code}"
    if isinstance(answer, IcmpWithheld):
        return "icmp_send", f"{what} not sent: {answer.why.value}", values | {"sent": False}
    source, target = (address_text(int.from_bytes(answer.datagram[at : at + 4], "big")) for at in (12, 16))
    say = f"{what} from {source} to {target}, {len(answer.datagram)} bytes"
    return "icmp_send", say, values | {"sent": True, "saddr": source, "daddr": target}
