"""Interrupts: what they break into, and what they let end first."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from ipkit.commands._interrupts import INSISTENT_TIMES, Interrupts


class Numbers:
    """A source that an interrupt meets at its second item."""

    def __init__(self, *, waiting: bool) -> None:
        self.waiting = waiting

    def __iter__(self) -> Iterator[int]:
        yield 1
        signal.raise_signal(signal.SIGINT)
        yield 2
        yield 3


class Quiet:
    """A source that no interrupt meets."""

    waiting = False

    def __iter__(self) -> Iterator[int]:
        return iter([1, 2, 3])


@pytest.mark.parametrize(("waiting", "seen"), [(True, [1]), (False, [1, 2])])
def test_only_the_wait_for_input_is_broken_into(waiting: bool, seen: list[int]) -> None:
    with Interrupts() as interrupts:
        assert list(interrupts.until(Numbers(waiting=waiting))) == seen
        assert interrupts.happened


def test_what_follows_the_input_ends_first() -> None:
    with Interrupts() as interrupts:
        assert list(interrupts.until(Quiet())) == [1, 2, 3]
        signal.raise_signal(signal.SIGINT)
        assert interrupts.happened


def test_before_the_input_there_is_nothing_to_finish() -> None:
    with Interrupts(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_who_insists_breaks_into_everything() -> None:
    with Interrupts() as interrupts:
        list(interrupts.until(Quiet()))
        for _ in range(INSISTENT_TIMES - 1):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
