"""What a 6.18 kernel told of its routes and sent by them after each lesson, step by step beside the model."""

from __future__ import annotations

import pytest

from ipkit.core.host.build import build_host
from ipkit.core.host.kernel import LINUX_6_18
from ipkit.core.state.netns import namespace_of
from tests.kernel.journey_model import described, received
from tests.kernel.lookups import Answer, Lookup
from tests.kernel.model import answer_line
from tests.kernel.normalise import differences
from tests.kernel.recordings import Inject, Send, load
from tests.support.sending import played


def words_of(answer: Answer | None) -> str:
    """Return what `ip route get` prints of a recorded answer in JSON."""
    assert isinstance(answer, dict)
    shown = f"{answer['dst']} via {answer['gateway']} dev {answer['dev']} src {answer['prefsrc']} uid {answer['uid']} "
    expires = "expires " if "expires" in answer else ""
    mtu = f"mtu {answer['metrics'][0]['mtu']} " if "metrics" in answer else ""
    return shown + "\\    cache " + expires + mtu


@pytest.mark.parametrize("name", ["pmtu_fwd", "pmtu_fwd_use"])
def test_lessons_bind_lookups_and_what_the_host_sends(name: str) -> None:
    scenario = load(name)
    net, asked, sent = namespace_of(build_host(described(scenario), file=name, kernel=LINUX_6_18)), 0, 0
    for step in scenario.steps:
        match step.action:
            case Inject(dev, frame):
                received(net, net.host, (dev, frame), 0)
            case Lookup() as lookup:
                line = answer_line(net.routing, lookup).replace("lock ", "").replace("expires 600sec", "expires")
                assert line == words_of(step.seen.answer), step.note
                asked += 1
            case Send() as send:
                assert differences(step, step.seen, played(net, send), ("out", "counters", "calls")) == []
                sent += 1
    assert asked
    assert sent
