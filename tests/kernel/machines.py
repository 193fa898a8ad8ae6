"""Machines that can be put into one scenario: the running kernel, and the recorded one.

A machine has a name and plays a scenario: it returns what each step made visible. The model is a machine of the same
shape (journey_model.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from tests.kernel.counters import moved
from tests.kernel.events import Watcher, watcher
from tests.kernel.lookups import Lookup
from tests.kernel.namespace import Namespace
from tests.kernel.recordings import Action, Command, Inject, Observed, Scenario, Send, Step, Wait
from tests.kernel.sockets import Listeners, sending

SOCKET_ENDS: Final = ("inet_sock_destruct", "unix_", "netlink_")
"""Functions that free packets long after their step, or for other processes."""


class Machine(Protocol):
    """Anything that a scenario can happen to."""

    name: str

    def play(self, scenario: Scenario) -> Iterator[Observed]:
        """Yield what each step made visible."""
        ...


class Recorded:
    """The kernel that made the recordings."""

    name = "recorded"

    def play(self, scenario: Scenario) -> Iterator[Observed]:
        return (step.seen for step in scenario.steps)


class Kernel:
    """The kernel that runs this test."""

    name = "kernel"

    def play(self, scenario: Scenario) -> Iterator[Observed]:
        with Namespace('neigh_default = "resolve"\n' + scenario.host) as namespace:
            listeners = Listeners(namespace, scenario.raw, scenario.udp)
            for group, dev in scenario.join:
                namespace.join(group, dev)
            namespace.collect(quiet_seconds=0.03 if scenario.join else 0)
            for step in scenario.steps:
                yield observe(namespace, listeners, step)


def observe(namespace: Namespace, listeners: Listeners, step: Step) -> Observed:
    """Do one step in a namespace and return everything it made visible."""
    watching = watcher()
    if watching:
        watching.drain()
    before = namespace.counters()
    seen = Observed()
    with _done(namespace, step.action, seen):
        seen.out += namespace.collect()
        if watching:  # before the sockets are read or closed: that frees packets too
            _note_events(watching, step.action, seen)
        seen.sock = listeners.received()
        seen.counters = moved(before, namespace.counters())  # after: a datagram counts when it is read
    return seen


@contextmanager
def _done(namespace: Namespace, action: Action, seen: Observed) -> Iterator[None]:
    match action:
        case Inject(dev, frame):
            namespace.inject(dev, frame)
        case Lookup():
            (seen.answer,) = namespace.route_get(action)
        case Wait(milliseconds):
            seen.out = namespace.collect_for(milliseconds / 1000)
        case Command(words):
            namespace.ip(*words.split())
        case Send():
            with sending(namespace, action) as seen.calls:
                yield
                return
    yield


def _note_events(watching: Watcher, action: Action, seen: Observed) -> None:
    """Note drops and ICMP errors, less what an interrupt in our context may have brought from elsewhere."""
    events = watching.drain()
    about_tcp = isinstance(action, Inject) and b"\x06" in (action.frame[23:24], action.frame[27:28])  # also tagged
    foreign = SOCKET_ENDS if about_tcp else (*SOCKET_ENDS, "tcp_")
    seen.drops = [(drop.reason, drop.at) for drop in events.drops if not drop.at.startswith(foreign)]
    seen.icmp_send = [(sent.type, sent.code) for sent in events.icmp]
