"""A store for a command that works beside running gateways."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.config import Settings
from gateway.system import SystemClock
from persistence.attaching import attach
from persistence.store import SqlStore


@asynccontextmanager
async def attached(settings: Settings) -> AsyncIterator[SqlStore]:
    """Open the store that the settings name, and close it. Raises StoreRefused."""
    store = await attach(
        settings.data,
        settings.database_url,
        environment=settings.environment,
        clock=SystemClock(),
    )
    try:
        yield store
    finally:
        await store.close()
