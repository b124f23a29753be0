"""The conduct of an account, in one column of its row: read and written with its lock."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from trading.conduct import Alike, Conduct
from trading.quantity import Money, plain


class ConductText(TypeDecorator[Conduct]):
    """A conduct as JSON; an empty text is an account without a past."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Conduct | None, dialect: Dialect) -> str | None:
        """Write a conduct."""
        del dialect
        if value is None:
            return None
        text = {
            "second": value.second,
            "messages": value.messages,
            "messages_before": value.messages_before,
            "alike": [(each.terms, each.since, each.count) for each in value.alike],
            "strategies": value.strategies,
            "session_ends": value.session_ends,
            "session_equity": _plain(value.session_equity),
            "peak_equity": _plain(value.peak_equity),
        }
        return orjson.dumps(text).decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> Conduct:
        """Read a conduct."""
        del dialect
        if not value:
            return Conduct()
        fields: dict[str, Any] = orjson.loads(value)
        fields["alike"] = tuple(Alike(*each) for each in fields["alike"])
        for name in ("session_equity", "peak_equity"):
            fields[name] = None if fields[name] is None else Decimal(fields[name])
        return Conduct(**fields)


def _plain(amount: Money | None) -> str | None:
    return None if amount is None else plain(amount)
