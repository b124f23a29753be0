"""Files of limits: CSV with a line for each limit, read whole before anything is done with it."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from pathlib import Path

from gateway.arguments import LIMIT_COLUMNS
from schema.scalar import read_decimal, read_instant, write_instant
from trading.ids import AccountID, InstrumentID, TenantID
from trading.instrument import SecurityType
from trading.limits import Limit, LimitName, LimitScope
from trading.quantity import plain

LINES_MAX = 10_000
NONE = "none"
"""The value that takes a limit away; an empty one is a mistake."""


class LimitFileError(Exception):
    """A file of limits that cannot be read; each line names the line, the column and the remedy."""


def read_limits(path: Path) -> list[Limit]:
    """Read a file of limits: its lines are numbered from 2 on. Raises LimitFileError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LimitFileError(f"{path}: cannot be read as UTF-8 ({error})") from error
    rows = csv.DictReader(io.StringIO(text, newline=""), restkey="more", strict=True)
    found, errors = [], []
    try:
        if tuple(rows.fieldnames or ()) != LIMIT_COLUMNS:
            raise LimitFileError(f"{path}:1: the first line must be {','.join(LIMIT_COLUMNS)}")
        for number, row in enumerate(rows, 2):
            if number > LINES_MAX + 1:
                raise LimitFileError(f"{path}: give at most {LINES_MAX} limits in a file")
            limit, wrong = read_limit(row)
            errors += [f"{path}:{number}: {each}" for each in wrong]
            found += [limit] if limit else []
    except csv.Error as error:
        raise LimitFileError(f"{path}:{rows.line_num}: not CSV ({error})") from error
    if errors:
        raise LimitFileError("\n".join(errors))
    return found


def read_limit(row: Mapping[str, str | None]) -> tuple[Limit | None, list[str]]:
    """Read one limit from its columns, or say what is wrong with them."""
    errors: list[str] = []
    if None in row.values() or "more" in row:
        return None, [f"a line has {len(LIMIT_COLUMNS)} columns"]

    def column[T](name: str, read: Callable[[str], T], *, needed: bool = False) -> T | None:
        text = row.get(name) or ""
        if not text:
            errors.extend([f"{name}: say a value"] if needed else [])
            return None
        try:
            return read(text)
        except ValueError as error:
            errors.append(f"{name}: {error}")
            return None

    scope = LimitScope(
        broker=column("broker", str),
        tenant_id=column("tenant", TenantID),
        strategy_id=column("strategy", str),
        account_id=column("account", AccountID),
        security_type=column("security_type", _security_type),
        symbol=column("symbol", InstrumentID),
    )
    name = column("name", _name, needed=True)
    limit = Limit(
        scope=scope,
        name=name or LimitName.MAX_ORDER_QTY,
        value=column("value", _value, needed=True),
        owner=row.get("owner") or "",
        reason=row.get("reason") or "",
        effective_at=column("effective_at", read_instant),
        expires_at=column("expires_at", read_instant),
    )
    return (None if errors else limit), errors


def write_limits(limits: Iterable[Limit], at: int) -> str:
    """Write a file of limits as they are in force at an instant."""
    out = io.StringIO(newline="")
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(LIMIT_COLUMNS)
    for limit in limits:
        scope = limit.scope
        begins = None if limit.holds(at) else limit.effective_at
        rows.writerow(
            (
                scope.broker,
                scope.tenant_id,
                scope.strategy_id,
                scope.account_id,
                scope.security_type,
                scope.symbol,
                limit.name,
                NONE if limit.value is None else plain(limit.value),
                limit.owner,
                limit.reason,
                None if begins is None else write_instant(begins),
                None if limit.expires_at is None else write_instant(limit.expires_at),
            )
        )
    return out.getvalue()


def _name(text: str) -> LimitName:
    try:
        return LimitName(text)
    except ValueError:
        raise ValueError(f"say one of {', '.join(LimitName)}") from None


def _security_type(text: str) -> SecurityType:
    try:
        return SecurityType(text)
    except ValueError:
        raise ValueError(f"say one of {', '.join(SecurityType)}") from None


def _value(text: str) -> Decimal | None:
    try:
        return None if text == NONE else read_decimal(text)
    except ValueError as error:
        raise ValueError(f"{error}; or {NONE}, to take the limit away") from None
