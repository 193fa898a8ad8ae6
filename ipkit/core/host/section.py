"""One table of a host file, taken key by key: every value of the right type, every key known.

Law: knows TOML's types and nothing of hosts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TypeVar

from ipkit.core.host.host_words import Place, Said

T = TypeVar("T")
TYPE_NAMES = {str: "text", int: "a number", bool: "true or false", list: "a list", dict: "a table"}


class Section:
    """A table whose keys are taken one after the other; `finish` names those that nobody wanted."""

    def __init__(self, place: Place, table: Mapping[str, object]) -> None:
        self.place = place
        self._table = dict(table)

    def __contains__(self, key: str) -> bool:
        return key in self._table

    def at(self, key: str) -> Place:
        """Return the place of a key."""
        return self.place.under(key)

    def take(self, key: str, kind: type[T], default: T) -> T:
        """Return the value of a key, which must be of one type; the default where the key is not there."""
        return _typed(self.at(key), self._table.pop(key), kind) if key in self._table else default

    def text(self, key: str) -> str | None:
        """Return a text, None where the key is not there."""
        return self.take(key, str, "") if key in self._table else None

    def wanted(self, key: str, kind: type[T]) -> T:
        """Return the value of a key that must be there."""
        if key not in self._table:
            raise self.at(key).error("missing")
        return _typed(self.at(key), self._table.pop(key), kind)

    def bounded(self, key: str, low: int, high: int) -> int:
        """Return a number within bounds; the key must be there."""
        value = self.wanted(key, int)
        if not low <= value <= high:
            raise self.at(key).error(f"{value} is not between {low} and {high}")
        return value

    def one_of(self, key: str, values: Collection[str], default: str | None = None) -> str:
        """Return one of some words."""
        if key not in self._table and default is not None:
            return default
        value = self.wanted(key, str)
        if value not in values:
            raise self.at(key).error(f"`{value}` is none of {', '.join(values)}")
        return value

    def lines(self, key: str) -> list[Said[str]]:
        """Return a list of texts, each with its place; one text with several lines is as good."""
        found = self._table.pop(key, [])
        if isinstance(found, str):
            found = found.strip().splitlines()
        items = _typed(self.at(key), found, list)
        return [
            Said(place, _typed(place, item, str).strip())
            for at, item in enumerate(items)
            if (place := self.place.under(f"{key}[{at}]"))
        ]

    def sections(self, key: str) -> Iterator[Section]:
        """Yield the tables of an array of tables."""
        for at, table in enumerate(self.take(key, list, [])):
            place = self.place.under(f"{key}[{at}]")
            yield Section(place, _typed(place, table, dict))

    def named_sections(self, key: str) -> Iterator[tuple[str, Section]]:
        """Yield the tables of a table, by name."""
        tables: Mapping[str, object] = self.take(key, dict, {})
        for name, table in tables.items():
            place = self.at(key).under(_quoted(name))
            yield name, Section(place, _typed(place, table, dict))

    def finish(self, elsewhere: Collection[str] = ()) -> None:
        """Refuse keys that nobody took; of those that belong `elsewhere`, say where they should stand."""
        for key in self._table:
            if key in elsewhere:
                raise self.at(key).error("stands inside a table: put it before the first [table] of the file")
            raise self.at(key).error("unknown key")


def _quoted(name: str) -> str:
    return name if name.replace("_", "a").replace("-", "a").isalnum() else f'"{name}"'


def _typed(place: Place, value: object, kind: type[T]) -> T:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise place.error(f"{TYPE_NAMES[kind]} is needed, not {value!r:.60}")
    return value
