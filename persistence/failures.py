"""What PostgreSQL's driver says when something fails, and what the core calls it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import asyncpg
from sqlalchemy import exc

from trading.store import StoreBusy, StoreUnavailable

CONFLICTS = frozenset({"40001", "40P01"})
"""A serialization failure, a deadlock: the server has rolled back, and begins again gladly."""

GIVEN_UP = CONFLICTS | {"55P03", "57014"}
"""Also a lock and a statement that took too long: rolled back as well, but after a while."""

# Connections, resources, an operator's hand, the system below; and a server that may not write,
# as one that is no longer the primary.
_UNAVAILABLE = ("08", "53", "57", "58", "25006", "25P03")

FAILURES = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
)


@contextmanager
def telling(driver: asyncpg.Connection[Any]) -> Iterator[None]:
    """Turn the database's failure to answer into StoreUnavailable; a mistake of ours stays one.

    Nobody knows what state a connection is in that did not answer, and a rollback would wait for
    the same silence: it is cut off.
    """
    try:
        yield
    except FAILURES as error:
        if sqlstate(error) in GIVEN_UP:
            raise StoreBusy(f"the store gave the transaction up: {said(error)}") from error
        if driver.is_closed() or is_unavailable(error):
            driver.terminate()
            raise StoreUnavailable(f"the store does not answer: {said(error)}") from error
        # As SQLAlchemy would have it, so that both databases speak alike; without the original,
        # whose details repeat the values.
        kind = exc.IntegrityError if _is_conflict(error) else exc.ProgrammingError
        raise kind(None, None, _Said(type(error), said(error))) from None


class _Said(Exception):
    """What the server said, and by which error of the driver."""

    def __init__(self, kind: type[BaseException], text: str) -> None:
        super().__init__(f"{kind.__name__}: {text}")


def sqlstate(error: BaseException | None) -> str:
    """Return the server's code of an error, five letters and digits, or nothing."""
    return getattr(error, "sqlstate", None) or ""


def _is_conflict(error: BaseException) -> bool:
    return isinstance(error, asyncpg.IntegrityConstraintViolationError)


def is_unavailable(error: BaseException) -> bool:
    """Whether the server, or what lies between, is at fault; or the driver would not even ask."""
    match error:
        case asyncpg.InvalidCachedStatementError():
            return True  # A migration has changed what a statement returns: a new connection knows.
        case asyncpg.PostgresError():
            return sqlstate(error).startswith(_UNAVAILABLE)
        case _:
            # A value that it cannot write is our mistake.
            return not isinstance(error, ValueError)


def said(error: BaseException) -> str:
    """Return what an error says, without the details in which a server repeats the values."""
    return str(error.args[0]) if error.args else repr(error)
