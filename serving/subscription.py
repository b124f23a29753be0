"""Subscriptions as the hub sees them: what makes two of them one, and the events as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Callable, Hashable
from contextlib import aclosing
from functools import lru_cache
from typing import Any, cast

import orjson
from graphql import FieldNode, VariableNode, Visitor, visit

from resolvers.context import Context
from resolvers.document import Operation
from resolvers.operation import Prepared, Source, failed
from resolvers.stream import Stream, closable
from serving.hub import Item, SourceFailed
from serving.operation import encode
from trading.permission import Principal

CURSOR = "afterSeq"
"""The argument that says where to begin, and makes no difference to what is told from there."""


def key(prepared: Prepared, stream: Stream[Any]) -> Hashable:
    """Return what all have in common who are told the same: there is one schema in a process."""
    cursor = _cursor_variable(prepared.operation)
    variables = {
        name: value for name, value in prepared.variables.coerced.items() if name != cursor
    }
    written = orjson.dumps(variables, default=str, option=orjson.OPT_SORT_KEYS)
    return prepared.document.sha256, prepared.operation_name, written, stream.scope


@lru_cache(maxsize=256)
def _cursor_variable(operation: Operation) -> str | None:
    """Return the variable that is the root field's cursor, if it is nothing else besides."""
    root = operation.node.selection_set.selections[0]
    arguments = root.arguments if isinstance(root, FieldNode) else None
    for argument in arguments or ():
        if argument.name.value == CURSOR and isinstance(argument.value, VariableNode):
            name = argument.value.name.value
            # Once where it is declared, and once here.
            return name if _uses(operation, name) == 2 else None
    return None


def _uses(operation: Operation, name: str) -> int:
    document = operation.document.node
    found = _Variables()
    if document is not None:
        visit(document, found)
    return found.uses[name]


class _Variables(Visitor):
    """Counts how often variables are named."""

    def __init__(self) -> None:
        super().__init__()
        self.uses: Counter[str] = Counter()

    def enter_variable(self, node: VariableNode, *_: Any) -> None:
        self.uses[node.name.value] += 1


class GraphQLSource:
    """A stream executed: the `Source` of a group.

    It runs in the context of nobody, so that no event can be told as one of its followers alone
    would be told it: who may follow was decided before, and a field that asks for the caller fails.
    """

    def __init__(
        self,
        prepared: Prepared,
        stream: Stream[Any],
        new_context: Callable[[Principal | None], Context],
    ) -> None:
        """Take what is followed, and the selection that is executed on each event."""
        self._stream = stream
        self._source = Source(prepared.executor(new_context(None)), stream)

    async def head(self) -> int | None:
        """Return the last place of the log; None where there is no log. Raises SourceFailed."""
        if self._stream.head is None:
            return None
        try:
            return await self._stream.head()
        except Exception as error:
            raise self._failed(error) from error

    async def items(self, after_seq: int | None) -> AsyncGenerator[Item, None]:
        """Execute what comes after a place. Raises SourceFailed."""
        try:
            async with aclosing(closable(self._stream.follow(after_seq))) as events:
                async for event in events:
                    yield await self._item(event)
        except Exception as error:
            raise self._failed(error) from error

    async def _item(self, event: Any) -> Item:
        stream = self._stream
        seq = None if stream.head is None else cast("int", event.seq)
        if not stream.is_told(event):
            return Item(None, seq)
        result = await self._source.respond(event)
        return Item(encode(result) + b"}", seq, stream.slot(event))

    def _failed(self, error: Exception) -> SourceFailed:
        result = failed(self._source.executor, error)
        return SourceFailed([each.formatted for each in result.errors or ()])
