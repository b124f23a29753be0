"""Users looked up for many callers at once: thousands of sockets look again every few seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Protocol

from security.authentication import User
from trading.ids import UserID


class Directory[U: User](Protocol):
    """Where users are kept."""

    async def users_of(self, user_ids: Collection[UserID]) -> Mapping[UserID, U]:
        """Return those that are known, in one statement."""


class Lookup[U: User]:
    """The `Users` over a directory: who comes while one question is under way shares the next.

    An answer is never older than its asking.
    """

    def __init__(self, directory: Directory[U]) -> None:
        """Take the directory."""
        self._directory = directory
        self._waiting: dict[UserID, asyncio.Future[U | None]] = {}
        self._asking: asyncio.Task[None] | None = None

    async def user(self, user_id: UserID) -> U | None:
        """Return a user, or None. Raises StoreUnavailable."""
        if (answer := self._waiting.get(user_id)) is None:
            answer = self._waiting[user_id] = asyncio.get_running_loop().create_future()
            # Whoever waits for it may be gone when it comes.
            answer.add_done_callback(lambda done: done.cancelled() or done.exception())
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask())
        return await asyncio.shield(answer)

    async def _ask(self) -> None:
        try:
            while self._waiting:
                asked, self._waiting = self._waiting, {}
                await self._answer(asked)
        finally:
            self._asking = None

    async def _answer(self, asked: Mapping[UserID, asyncio.Future[U | None]]) -> None:
        try:
            found = await self._directory.users_of(asked)
        except Exception as error:  # noqa: BLE001 - it is raised to whoever asked
            for each in asked.values():
                each.set_exception(error)
        else:
            for user_id, each in asked.items():
                each.set_result(found.get(user_id))
