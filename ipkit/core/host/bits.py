"""Flags that every packet is asked for.

Law: an IntFlag in every respect but one: `&` and `in` are int's own, because the enum's are Python functions that cost
as much as a whole check. What `&` answers is therefore a plain number.
"""

from __future__ import annotations

from enum import IntFlag
from typing import TypeVar

Flags = TypeVar("Flags", bound=IntFlag)


def asked_often(flags: type[Flags]) -> type[Flags]:
    """Give a class of flags the quick operators."""
    for name, operator in (("__and__", int.__and__), ("__rand__", int.__and__), ("__contains__", _contains)):
        setattr(flags, name, operator)
    return flags


def _contains(these: int, bits: int) -> bool:
    return int.__and__(these, bits) == bits
