"""Lists of records in JSON files; what is wrong is named by file, record and field."""

from __future__ import annotations

import json
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any

from brokers.instants import parse_instant
from trading.quantity import parse


class DocumentError(ValueError):
    """A file that cannot be used: which, where in it, what is wrong, and what would be right."""


class Record:
    """One object of a list: fields are asked for by name, and `end` refuses any other."""

    def __init__(self, where: str, values: dict[str, Any]) -> None:
        """Read fields of these values; `where` is how errors name the record."""
        self.where = where
        self._values = values
        self._known: set[str] = set()

    def error(self, problem: str) -> DocumentError:
        """Return an error about this record."""
        return DocumentError(f"{self.where}: {problem}")

    def text(self, name: str) -> str:
        """Return a text that must be there."""
        value = self._take(name)
        if not isinstance(value, str) or not value:
            raise self.error(f"{name} must be a text, and is {_shown(value)}")
        return value

    def optional_text(self, name: str) -> str | None:
        """Return a text, or None where there is none."""
        return None if self._absent(name) else self.text(name)

    def integer(self, name: str, default: int | None = None, least: int = 0) -> int:
        """Return an integer of at least `least`; it must be there unless a default is given."""
        value = default if self._absent(name) else self._take(name)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise self.error(f"{name} must be an integer from {least}, and is {_shown(value)}")
        return value

    def optional_integer(self, name: str, least: int = 0) -> int | None:
        """Return an integer, or None where there is none."""
        return None if self._absent(name) else self.integer(name, least=least)

    def decimal(self, name: str, *, positive: bool = True) -> Decimal:
        """Return a number that must be there, above zero unless told otherwise."""
        value = self._take(name)
        try:
            number = parse(value if isinstance(value, str) else str(value))
        except ValueError as error:
            raise self.error(f"{name} is {_shown(value)}: {error}") from None
        if positive and number <= 0:
            raise self.error(f"{name} must be above zero, and is {_shown(value)}")
        return number

    def optional_decimal(self, name: str, *, positive: bool = True) -> Decimal | None:
        """Return a number, or None where there is none."""
        return None if self._absent(name) else self.decimal(name, positive=positive)

    def choice[E: StrEnum](self, name: str, choices: type[E]) -> E:
        """Return a member of an enum that must be there, by its value."""
        value = self.text(name)
        try:
            return choices(value)
        except ValueError:
            known = ", ".join(choices)
            raise self.error(f"{name} must be one of {known}, and is {_shown(value)}") from None

    def optional_choice[E: StrEnum](self, name: str, choices: type[E]) -> E | None:
        """Return a member of an enum, or None where there is none."""
        return None if self._absent(name) else self.choice(name, choices)

    def optional_instant(self, name: str) -> int | None:
        """Return an RFC 3339 instant in UTC nanoseconds, or None where there is none."""
        if (text := self.optional_text(name)) is None:
            return None
        try:
            return parse_instant(text)
        except ValueError as error:
            raise self.error(f"{name}: {error}") from None

    def end(self) -> None:
        """Refuse fields that nobody asked for, which are misspelled or belong elsewhere."""
        if unknown := sorted(self._values.keys() - self._known):
            known = ", ".join(sorted(self._known))
            raise self.error(f"no such field: {', '.join(unknown)}; known are {known}")

    def _absent(self, name: str) -> bool:
        self._known.add(name)
        return self._values.get(name) is None

    def _take(self, name: str) -> Any:
        if self._absent(name):
            raise self.error(f"{name} is missing")
        return self._values[name]


def read_records(path: Path, key: str) -> list[Record]:
    """Read a file that holds an object with one list of objects, under this key.

    Raises DocumentError.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    except OSError as error:
        raise DocumentError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise DocumentError(f"{path} is not JSON: {error}") from None
    match document:
        case {**only} if only.keys() == {key} and isinstance(records := only[key], list):
            return [_record(path, key, n, each) for n, each in enumerate(records, 1)]
        case _:
            raise DocumentError(f'{path} must be an object with one list: {{"{key}": […]}}')


def _record(path: Path, key: str, number: int, values: object) -> Record:
    where = f"{path}, {key} entry {number}"
    if not isinstance(values, dict):
        raise DocumentError(f"{where}: must be an object, and is {_shown(values)}")
    return Record(where, values)


def _shown(value: object) -> str:
    return json.dumps(value, default=str)
