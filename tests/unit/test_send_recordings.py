"""The send path, step by step beside what a 6.18 kernel did: frames but for their IDs, errnos, counters."""

from __future__ import annotations

from functools import cache

import pytest

from ipkit.core.state.netns import NetNamespace
from tests.kernel.normalise import differences
from tests.kernel.recordings import Send, Step, load
from tests.support import sending

OURS = {"198.51.100.1", "192.0.2.1", "127.0.0.1"}


@cache
def namespace(name: str) -> NetNamespace:
    return sending.namespace(load(name).host)


def is_comparable(step: Step) -> bool:
    """Nothing comes back to the host itself, and no call asks the socket."""
    send = step.action
    assert isinstance(send, Send)
    ends = [call.get("to", send.connect or "") for call in send.calls]
    return not any(end.partition(":")[0] in OURS for end in ends) and not any("getsockopt" in c for c in send.calls)


STEPS = [
    pytest.param(name, step, id=f"{name}-{step.number}")
    for name in ("send_sizes", "send_cork", "send_gso")
    for step in load(name).steps
    if is_comparable(step)
]


@pytest.mark.parametrize(("name", "step"), STEPS)
def test_a_call_does_what_the_kernel_did(name: str, step: Step) -> None:
    assert isinstance(step.action, Send)
    seen = sending.played(namespace(name), step.action)
    assert differences(step, step.seen, seen, ("out", "counters", "calls")) == []
