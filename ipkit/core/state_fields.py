"""Reading a saved state that anyone may have written: every value is asked for by name, type and range.

Law: a value is as it should be, or a StateError says where it stands and what is wrong with it.
"""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Iterator, Mapping
from typing import Final

from ipkit.errors import IpkitError

LARGEST: Final = 1 << 63


class StateError(IpkitError):
    """A state file that this run cannot go on from."""


class Fields:
    """One object of a state, and where it stands."""

    __slots__ = ("_values", "place")

    def __init__(self, value: object, place: str) -> None:
        if not isinstance(value, Mapping):
            raise StateError(f"{place or 'the file'}: not an object")
        self._values: Mapping[str, object] = value
        self.place = place

    def number(self, key: str, low: int = 0, high: int = LARGEST) -> int:
        """Return a whole number in a range."""
        return self._number(self._value(key), key, low, high)

    def text(self, key: str) -> str:
        """Return a text."""
        value = self._value(key)
        if not isinstance(value, str):
            raise self.wrong(key, "not a text")
        return value

    def optional_text(self, key: str) -> str | None:
        """Return a text, or None where there is none."""
        return None if self._value(key) is None else self.text(key)

    def flag(self, key: str) -> bool:
        """Return true or false."""
        value = self._value(key)
        if not isinstance(value, bool):
            raise self.wrong(key, "neither true nor false")
        return value

    def data(self, key: str, low: int = 0, high: int = 1 << 20) -> bytes:
        """Return bytes, stored as Base64."""
        try:
            value = b64decode(self.text(key), validate=True)
        except (Base64Error, ValueError):
            raise self.wrong(key, "not Base64") from None
        if not low <= len(value) <= high:
            raise self.wrong(key, f"{len(value)} bytes, not {low} to {high}")
        return value

    def numbers(self, key: str, low: int = 0, high: int = LARGEST) -> list[int]:
        """Return a list of whole numbers in a range."""
        return [self._number(value, key, low, high) for value in self._list(key)]

    def number_lists(self, key: str, length: int) -> list[list[int]]:
        """Return a list of lists of so many whole numbers."""
        found = []
        for value in self._list(key):
            if not isinstance(value, list) or len(value) != length:
                raise self.wrong(key, f"not lists of {length} numbers")
            found.append([self._number(number, key, -LARGEST, LARGEST) for number in value])
        return found

    def texts(self, key: str) -> list[str]:
        """Return a list of texts."""
        values = self._list(key)
        found = [value for value in values if isinstance(value, str)]
        if len(found) != len(values):
            raise self.wrong(key, "not a list of texts")
        return found

    def objects(self, key: str) -> Iterator[Fields]:
        """Yield the objects of a list."""
        for index, value in enumerate(self._list(key)):
            yield Fields(value, self._at(f"{key}[{index}]"))

    def inner(self, key: str) -> Fields:
        """Return an object."""
        return Fields(self._value(key), self._at(key))

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def keys(self) -> list[str]:
        """Return the names of what is there."""
        return list(self._values)

    def wrong(self, key: str, why: str) -> StateError:
        """Return the complaint about a value."""
        return StateError(f"{self._at(key)}: {why}")

    def _value(self, key: str) -> object:
        if key not in self._values:
            raise self.wrong(key, "missing")
        return self._values[key]

    def _list(self, key: str) -> list[object]:
        value = self._value(key)
        if not isinstance(value, list):
            raise self.wrong(key, "not a list")
        return value

    def _number(self, value: object, key: str, low: int, high: int) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.wrong(key, f"not a whole number from {low} to {high}")
        return value

    def _at(self, key: str) -> str:
        return f"{self.place}.{key}" if self.place else key
