"""A PostgreSQL database for a moment, to change its schema."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.ext.asyncio import create_async_engine

from persistence.bare import BareConnection
from persistence.failures import GIVEN_UP, is_unavailable, sqlstate
from trading.store import StoreBusy, StoreUnavailable

# Migrations may take long, but must not wait long for a table: all others would wait behind them.
_SETTINGS = {
    "application_name": "drawbridge",
    "lock_timeout": "1000",
    "statement_timeout": "600000",
    "idle_in_transaction_session_timeout": "3000",
    "jit": "off",
}
_CONNECT_S = 5.0


class Administration:
    """Connects for each job, as SQLAlchemy does it, because Alembic works on that."""

    def __init__(self, url: sa.URL) -> None:
        """Name the database."""
        self._engine = create_async_engine(
            url,
            poolclass=sa.NullPool,
            hide_parameters=True,
            connect_args={
                "timeout": _CONNECT_S,
                "target_session_attrs": "primary",
                "server_settings": _SETTINGS,
            },
        )

    async def write[*A, T](self, job: Callable[[BareConnection, *A], T], *args: *A) -> T:
        """Run a job as a transaction. Raises StoreBusy, as where a table is in use, and others."""
        try:
            async with self._engine.begin() as connection:
                return await connection.run_sync(lambda bare: job(BareConnection(bare), *args))
        except exc.DBAPIError as error:
            if sqlstate(error.driver_exception) in GIVEN_UP:
                raise StoreBusy(f"the store gave the transaction up: {error.orig}") from error
            if is_unavailable(error.driver_exception):
                raise StoreUnavailable(f"the store does not answer: {error.orig}") from error
            raise
        except OSError as error:
            raise StoreUnavailable(f"the store cannot be reached: {error}") from error
