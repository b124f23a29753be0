"""What a subscription follows, and what its server must know to have many follow it together."""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Hashable,
    Sequence,
)
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import cast


def _all(_: object) -> bool:
    return True


def _none(_: object) -> None:
    return None


@dataclass(slots=True, eq=False, kw_only=True)
class Stream[T](AsyncIterator[T]):
    """The events of a subscription, not followed before the first is asked for.

    Whoever has been given a stream is entitled to it, and all whose streams have the same scope
    are told the same: so it names everything of the caller and of the resolved arguments that makes
    a difference, but for `after_seq`. Nothing else of the root field's arguments is looked at.
    """

    scope: Hashable
    follow: Callable[[int | None], AsyncIterator[T]]
    """Follows what comes after a place in the log, if there is a log; None is from now."""
    after_seq: int | None = None
    head: Callable[[], Awaitable[int]] | None = None
    """Reads how far the log is, whose events have a `seq`; None where there is no log."""
    is_told: Callable[[T], bool] = _all
    """Whether an event is told. What is not told still has its place in the log."""
    slot: Callable[[T], Hashable] = _none
    """Names that of which an event is the latest value; None where each event counts."""
    parts: Sequence[Stream[T]] = ()
    """Streams without a log that together come to the same, some of which others may follow."""
    _told: AsyncGenerator[T, None] | None = field(default=None, init=False)

    def __aiter__(self) -> Stream[T]:
        """Follow it, for one caller alone."""
        return self

    async def __anext__(self) -> T:
        """Return the next event that is told."""
        if self._told is None:
            self._told = self._follow()
        return await anext(self._told)

    async def aclose(self) -> None:
        """Follow it no longer."""
        if self._told is not None:
            await self._told.aclose()

    async def _follow(self) -> AsyncGenerator[T, None]:
        async with aclosing(closable(self.follow(self.after_seq))) as events:
            async for event in events:
                if self.is_told(event):
                    yield event


def closable[T](events: AsyncIterator[T]) -> AsyncGenerator[T, None]:
    """Take a stream's iterator for the generator that every one of them is."""
    return cast("AsyncGenerator[T, None]", events)
