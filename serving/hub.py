"""The hub: what many follow alike is followed once, executed once and encoded once.

A group is one source and everybody who is told the same of it. Whoever resumes at a cursor reads
the log alone until it is level with its group, and then joins: what the group has told last it
still has at hand, so that nothing falls between the two. What a member is told is the same bytes
as everybody, behind a head that bears its own operation id.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Hashable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol

import orjson

from serving import frame
from serving.mailbox import Mailbox, Sender
from serving.operation import refusal
from serving.tracing import Errors
from trading.ports import IdSource

RECENT_MAX = 256
RECENT_BYTES_MAX = 128 * 1024
_AT_A_TIME = 256


@dataclass(frozen=True, slots=True)
class Item:
    """One event, executed and encoded; without a tail nobody is told, but it has been passed.

    `tail` is the result's JSON and the brace that closes the message. `seq` is the event's place
    in a log, `slot` that of which it is the latest value.
    """

    tail: bytes | None
    seq: int | None = None
    slot: Hashable = None


class Source(Protocol):
    """What a group follows."""

    async def head(self) -> int | None:
        """Return the last place of the log; None where there is no log."""

    def items(
        self, after_seq: int | None, followers: Callable[[], int]
    ) -> AsyncGenerator[Item, None]:
        """Follow what comes after a place, each once and in order. Raises SourceFailed.

        `followers` counts who is told of it, by the time that the next one is asked for.
        """


class SourceFailed(Exception):
    """A source has ended by an error, which its followers are told."""

    def __init__(self, errors: Errors) -> None:
        """Take what they are told."""
        super().__init__("the source of a subscription has failed")
        self.errors = errors


class Member:
    """One operation of one socket; `after` is the last report that it was told or passed."""

    __slots__ = ("_prefix", "after", "mailbox", "on_end", "sender")

    def __init__(self, sender: Sender, mailbox: Mailbox, on_end: Callable[[Errors], None]) -> None:
        """Take where it is told, and who hears that it is over, with errors or without."""
        self.sender, self.mailbox, self.on_end = sender, mailbox, on_end
        self.after = -1
        self._prefix = b'{"type":"next","id":%b,"payload":' % orjson.dumps(sender.id)

    def tell(self, item: Item) -> None:
        """Send an item on, unless it was told before."""
        if item.seq is not None:
            if item.seq <= self.after:
                return
            self.after = item.seq
        if (tail := item.tail) is not None:
            prefix = self._prefix
            framed = frame.head(len(prefix) + len(tail)) + prefix + tail
            self.mailbox.put(framed, self.sender, seq=item.seq, slot=item.slot)


class Group:
    """One source and its members; it ends with its source, or with the last who is attached."""

    def __init__(self, source: Source, on_end: Callable[[], None], ids: IdSource) -> None:
        """Begin to follow; `on_end` is called as soon as nobody may be attached any more."""
        self.position: int | None = None
        """The last place in the log that was told or passed; None where there is no log."""
        self._source, self._on_end, self._ids = source, on_end, ids
        self._attached: set[Member] = set()
        self._level: dict[Member, None] = {}
        self._floor = -1
        self._recent: deque[Item] = deque()
        self._recent_bytes = 0
        self._latest: dict[Hashable, Item] = {}
        self._has_begun = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    def attach(self, member: Member) -> None:
        """Keep the group for a member, until `leave`."""
        self._attached.add(member)

    async def admit(
        self,
        member: Member,
        after_seq: int | None,
        on_begun: Callable[[int | None], None] = lambda _: None,
    ) -> None:
        """Bring an attached member level, and join it; `on_begun` hears where the log then was.

        Raises SourceFailed.
        """
        await self._has_begun.wait()
        if member not in self._attached:
            return
        if self.position is not None:
            member.after = self.position if after_seq is None else after_seq
        on_begun(self.position)
        if not self._covers(member.after):
            await self._catch_up(member)
        if member in self._attached and self._covers(member.after):
            self._join(member)

    async def _catch_up(self, member: Member) -> None:
        """Tell a member what is in the log, as fast as it reads, until the group has the rest."""
        async with aclosing(self._source.items(member.after, _one)) as items:
            async for item in items:
                if member not in self._attached:
                    return
                member.tell(item)
                await member.mailbox.room()
                if self._covers(member.after):
                    return

    def _covers(self, after: int) -> bool:
        """Tell whether all that comes after a place is at hand, or yet to come."""
        return self.position is None or after >= self._floor

    def _join(self, member: Member) -> None:
        for item in (*self._recent, *self._latest.values()):
            member.tell(item)
        self._level[member] = None

    def leave(self, member: Member) -> None:
        """Tell a member nothing more, from now on."""
        self._attached.discard(member)
        self._level.pop(member, None)
        if not self._attached:
            self._on_end()
            self._task.cancel()

    async def _run(self) -> None:
        errors: Errors = ()
        try:
            await self._follow()
        except SourceFailed as failed:
            errors = failed.errors
        except Exception as error:  # noqa: BLE001 - it is masked, and logged
            errors = refusal(error, self._ids)
        self._on_end()
        told, self._attached = self._attached, set()
        self._has_begun.set()
        for member in told:
            member.on_end(errors)

    async def _follow(self) -> None:
        self.position = await self._source.head()
        self._floor = -1 if self.position is None else self.position
        self._has_begun.set()
        level = self._level.__len__
        # Who waits for it joins before anything is told.
        await asyncio.sleep(0)
        async with aclosing(self._source.items(self.position, level)) as items:
            async for item in items:
                self._keep(item)
                if item.tail is not None:
                    await self._tell(item)

    def _keep(self, item: Item) -> None:
        """Have an item at hand for who joins next."""
        if item.seq is not None:
            self.position = item.seq
        if item.tail is None:
            return
        if item.slot is not None:
            self._latest[item.slot] = item
        elif item.seq is not None:
            self._recent.append(item)
            self._recent_bytes += len(item.tail)
            while len(self._recent) > RECENT_MAX or self._recent_bytes > RECENT_BYTES_MAX:
                self._forget(self._recent.popleft())

    def _forget(self, item: Item) -> None:
        self._recent_bytes -= len(item.tail or b"")
        self._floor = item.seq or self._floor

    async def _tell(self, item: Item) -> None:
        """Tell everybody, in portions, so that no crowd holds up an order."""
        level = self._level
        for number, member in enumerate(tuple(level), 1):
            if member in level:
                member.tell(item)
            if number % _AT_A_TIME == 0:
                await asyncio.sleep(0)


def _one() -> int:
    """Count who catches up alone."""
    return 1


class Hub:
    """All groups of this process, each by what its members have in common."""

    def __init__(self, ids: IdSource) -> None:
        """Follow nothing yet; a defect bears one of these ids."""
        self._ids = ids
        self._groups: dict[Hashable, Group] = {}

    def group(self, key: Hashable, source: Callable[[], Source]) -> Group:
        """Return the group of a key, begun if there is none; attach a member before any wait."""
        if (known := self._groups.get(key)) is not None:
            return known
        group = Group(source(), lambda: self._end(key, group), self._ids)
        self._groups[key] = group
        return group

    def _end(self, key: Hashable, group: Group) -> None:
        if self._groups.get(key) is group:
            del self._groups[key]

    def __len__(self) -> int:
        """Count the groups."""
        return len(self._groups)
