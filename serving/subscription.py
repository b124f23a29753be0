"""Subscriptions as the hub sees them: what makes two of them one, and the events as JSON."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Hashable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, cast

import orjson
from graphql import (
    SKIP,
    ArgumentNode,
    FieldNode,
    VariableNode,
    Visitor,
    VisitorAction,
    visit,
)

from resolvers.context import Context
from resolvers.document import Operation
from resolvers.operation import Prepared, Source, failed
from resolvers.stream import Stream, closable
from serving.hub import Group, Item, Member, SourceFailed
from serving.mailbox import Sender
from serving.operation import encode
from serving.tracing import described
from trading.probe import NO_PROBE, NO_SPAN, Leg, Probe, Span


def key(prepared: Prepared) -> Hashable:
    """Return what all select alike who are told the same of one scope.

    Of the root field's arguments the scope has what makes a difference, and there is one schema in
    a process.
    """
    selecting = _selecting(prepared.operation)
    variables = {
        name: value for name, value in prepared.variables.coerced.items() if name in selecting
    }
    written = orjson.dumps(variables, default=str, option=orjson.OPT_SORT_KEYS)
    return prepared.document.sha256, prepared.operation_name, written


@lru_cache(maxsize=256)
def _selecting(operation: Operation) -> frozenset[str]:
    """Return the variables that are used elsewhere than in the root field's arguments."""
    root = operation.node.selection_set.selections[0]
    document = operation.document.node
    arguments = root.arguments if isinstance(root, FieldNode) else None
    found = _Variables(arguments or ())
    if document is not None:
        visit(document, found)
    return frozenset(found.names)


class _Variables(Visitor):
    """Finds the variables that are used, but for those in some arguments."""

    def __init__(self, passed: Sequence[ArgumentNode]) -> None:
        super().__init__()
        self._passed = {id(each) for each in passed}
        self.names: set[str] = set()

    def enter_variable_definition(self, *_: Any) -> VisitorAction:
        return SKIP

    def enter_argument(self, node: ArgumentNode, *_: Any) -> VisitorAction:
        return SKIP if id(node) in self._passed else None

    def enter_variable(self, node: VariableNode, *_: Any) -> None:
        self.names.add(node.name.value)


@dataclass(slots=True, eq=False)
class Running:
    """An operation of a socket, until it is over."""

    sender: Sender
    task: asyncio.Task[None] | None = None
    seats: Sequence[tuple[Group, Member]] = ()
    """The groups that it is in: one for each part of what it follows."""
    is_over: bool = False
    span: Span = NO_SPAN
    """Until a subscription has joined, or a query or mutation is answered."""

    @property
    def position(self) -> int | None:
        """How far the log is that it follows."""
        return self.seats[0][0].position if self.seats else None

    def leave(self) -> None:
        """Be told nothing more, from now on."""
        for group, member in self.seats:
            group.leave(member)

    def stop(self) -> None:
        """Have it say nothing more, from now on."""
        self.is_over = True
        self.span.end(outcome="CANCELED")
        self.leave()
        if self.task is not None:
            self.task.cancel()


class GraphQLSource:
    """A stream executed: the `Source` of a group.

    It runs in the context of nobody, so that no event can be told as one of its followers alone
    would be told it: who may follow was decided before, and a field that asks for the caller fails.
    What its fields read, they read as the first follower's tenant, which is that of all who follow
    the same accounts.
    """

    def __init__(
        self,
        prepared: Prepared,
        stream: Stream[Any],
        of_first: Context,
        probe: Probe = NO_PROBE,
    ) -> None:
        """Take what is followed, the selection for each event, and its first follower's context."""
        self._stream, self._probe, self._about = stream, probe, described(prepared)
        self._source = Source(prepared.executor(replace(of_first, principal=None)), stream)

    async def head(self) -> int | None:
        """Return the last place of the log; None where there is no log. Raises SourceFailed."""
        if self._stream.head is None:
            return None
        try:
            return await self._stream.head()
        except Exception as error:
            raise self._failed(error) from error

    async def items(
        self, after_seq: int | None, followers: Callable[[], int]
    ) -> AsyncGenerator[Item, None]:
        """Execute what comes after a place. Raises SourceFailed."""
        try:
            async with aclosing(closable(self._stream.follow(after_seq))) as events:
                async for event in events:
                    seq = None if self._stream.head is None else cast("int", event.seq)
                    if not self._stream.is_told(event):
                        yield Item(None, seq)
                        continue
                    # What follows it is asked for once everybody has been told it.
                    with self._probe.begin(Leg.EVENT, **self._about) as span:
                        yield await self._item(event, seq)
                        span.tell(followers=followers())
        except Exception as error:
            raise self._failed(error) from error

    async def _item(self, event: Any, seq: int | None) -> Item:
        result = await self._source.respond(event)
        return Item(encode(result) + b"}", seq, self._stream.slot(event))

    def _failed(self, error: Exception) -> SourceFailed:
        result = failed(self._source.executor, error)
        return SourceFailed([each.formatted for each in result.errors or ()])
