"""The tasks that run as long as the gateway: the death of one ends it all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Self

logger = logging.getLogger(__name__)


class Background:
    """Runs tasks; `failed` is set when one has ended, and the process must be started again."""

    def __init__(self) -> None:
        """Run nothing yet."""
        self.failed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    @asynccontextmanager
    async def opened(cls) -> AsyncIterator[Self]:
        """Cancel on the exit what was started."""
        background = cls()
        try:
            yield background
        finally:
            await background.stop()

    def start(self, *works: Coroutine[None, None, None]) -> None:
        """Run these until `stop`."""
        for work in works:
            task = asyncio.create_task(work)
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    async def stop(self) -> None:
        """Cancel all tasks and wait for their end."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            logger.critical("%s has ended", task.get_coro(), exc_info=task.exception())
            self.failed.set()
