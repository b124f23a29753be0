"""Column types: what a value is in Python, on SQLite and on PostgreSQL."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from decimal import Decimal
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

from trading.account import ScopedState, TradingState
from trading.instrument import SecurityType
from trading.limits import Limit, LimitName, LimitScope
from trading.quantity import plain

ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
"""An identifier, ordered by its bytes in both databases, whatever the server's language is."""

TEXT = sa.Text()
INSTANT = sa.BigInteger()
"""UTC nanoseconds."""

COUNT = sa.BigInteger()
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""A number that the database gives out, rising; SQLite does so for INTEGER alone."""

FLAG = sa.Boolean(create_constraint=False)


class Exact(TypeDecorator[Decimal]):
    """A decimal with all its digits: NUMERIC without bounds on PostgreSQL, text on SQLite.

    SQLite would make a float of a number. Text orders lexically, so that no statement may compare,
    order or add these. Raises TypeError for anything but a Decimal, ValueError for NaN and
    infinities, on the way in and on the way out.
    """

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the database's own type."""
        numeric = dialect.name == "postgresql"
        return dialect.type_descriptor(sa.Numeric() if numeric else sa.Text())

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        """Write a decimal."""
        if value is None:
            return None
        if not isinstance(value, Decimal):
            raise TypeError(f"a Decimal is needed, not the {type(value).__name__} {value!r}")
        _refuse_non_finite(value)
        return value if dialect.name == "postgresql" else plain(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        """Read a decimal."""
        del dialect
        if value is None:
            return None
        if not isinstance(value, str | Decimal):
            raise TypeError(f"the store has a {type(value).__name__} where a decimal belongs")
        number = Decimal(value)
        _refuse_non_finite(number)
        return number


def _refuse_non_finite(value: Decimal) -> None:
    if not value.is_finite():
        raise ValueError(f"a finite number is needed, not {value}")


class OneOf[E: StrEnum](TypeDecorator[E]):
    """A member of an enum, as its value. Raises ValueError for what is no member."""

    impl = sa.Text
    cache_ok = True

    def __init__(self, members: type[E]) -> None:
        """Take the enum."""
        self.members = members
        super().__init__()

    def process_bind_param(self, value: E | None, dialect: Dialect) -> str | None:
        """Write a member."""
        del dialect
        return None if value is None else self.members(value).value

    def process_result_value(self, value: str | None, dialect: Dialect) -> E | None:
        """Read a member."""
        del dialect
        return None if value is None else self.members(value)


class Octets(TypeDecorator[bytes]):
    """Bytes, as hexadecimal text, which either database shows alike."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: bytes | None, dialect: Dialect) -> str | None:
        """Write bytes."""
        del dialect
        return None if value is None else value.hex()

    def process_result_value(self, value: str | None, dialect: Dialect) -> bytes | None:
        """Read bytes."""
        del dialect
        return None if value is None else bytes.fromhex(value)


class ScopedStates(TypeDecorator[tuple[ScopedState, ...]]):
    """What holds for some of an account's orders, as JSON; empty where nothing does."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(
        self, value: tuple[ScopedState, ...] | None, dialect: Dialect
    ) -> str | None:
        """Write the states."""
        del dialect
        return json.dumps(value) if value else ""

    def process_result_value(
        self, value: str | None, dialect: Dialect
    ) -> tuple[ScopedState, ...] | None:
        """Read the states."""
        del dialect
        held = json.loads(value) if value else ()
        return tuple((kind, name, TradingState(state)) for kind, name, state in held)


class OrAny[E: str](TypeDecorator[E]):
    """A part of a scope that a limit may leave open, which is then `*`, so that it can be a key."""

    impl = sa.Text
    cache_ok = True

    def __init__(self, type_: type[E]) -> None:
        """Take the type of what is given."""
        self.type_ = type_
        super().__init__()

    def process_bind_param(self, value: E | None, dialect: Dialect) -> str | None:
        """Write what is given."""
        del dialect
        return ANY if value is None else self.type_(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> E | None:
        """Read what is given."""
        del dialect
        return None if value in {None, ANY} else self.type_(value)


ANY = "*"


class Asked(TypeDecorator[tuple[Limit, ...]]):
    """The limits that a request asks for, as JSON with decimals in plain digits."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: tuple[Limit, ...] | None, dialect: Dialect) -> str | None:
        """Write the limits."""
        del dialect
        return None if value is None else json.dumps([_limit_to_json(limit) for limit in value])

    def process_result_value(self, value: str | None, dialect: Dialect) -> tuple[Limit, ...] | None:
        """Read the limits."""
        del dialect
        return None if value is None else tuple(_limit_of_json(each) for each in json.loads(value))


def _limit_to_json(limit: Limit) -> dict[str, Any]:
    value = None if limit.value is None else plain(limit.value)
    return asdict(limit) | {"value": value}


def _limit_of_json(limit: dict[str, Any]) -> Limit:
    scope = LimitScope(**limit["scope"])
    security_type = scope.security_type and SecurityType(scope.security_type)
    typed = {
        "scope": replace(scope, security_type=security_type),
        "name": LimitName(limit["name"]),
        "value": None if limit["value"] is None else Decimal(limit["value"]),
    }
    return Limit(**limit | typed)
