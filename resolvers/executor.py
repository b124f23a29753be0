"""graphql-core's executor with a short way to plain attributes, which is most of what is asked.

The short way only reads attributes and writes leaves. Whatever it finds out of the ordinary is left
to graphql-core, which then says what is wrong: the two ways never differ in what they answer.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, TypeGuard, cast

from graphql import (
    ExecutionResult,
    GraphQLError,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLResolveInfoHelpers,
    GraphQLScalarType,
    GraphQLSchema,
    OperationType,
    get_named_type,
    get_nullable_type,
    is_leaf_type,
)
from graphql.execution import Executor, default_field_resolver, default_type_resolver
from graphql.execution.collect_fields import (
    FieldDetailsList,
    GroupedFieldSet,
    collect_fields,
)
from graphql.execution.values import VariableValues
from graphql.pyutils import Path, gather_with_cancel, is_awaitable
from strawberry.schema.schema_converter import GraphQLCoreConverter

from resolvers.document import Document, Leaf, Operation, Row, Selected

type Leaves = Mapping[str, Mapping[str, Leaf]]
"""The fields of each type that are no more than an attribute."""

ROWS_AT_ONCE = 100
"""How many rows of leaves are completed before others have their turn."""

RICH_ROWS_AT_ONCE = 25
"""How many rows with more to them are, and gather what they read."""

_SENT = (str, int, bool)
_NEVER_AWAITED = frozenset({str, int, bool, dict, list, tuple, type(None)})


class NotPlain(Exception):
    """A value is not what its type promises; graphql-core says how."""


def leaves(schema: GraphQLSchema) -> Leaves:
    """Find the fields that are an attribute of their parent, and make what reads them."""
    return {
        named.name: dict(_leaves(named))
        for named in schema.type_map.values()
        if isinstance(named, GraphQLObjectType) and not named.name.startswith("__")
    }


def _leaves(named: GraphQLObjectType) -> Iterator[tuple[str, Leaf]]:
    yield "__typename", _constant(named.name)
    for name, field in named.fields.items():
        if _is_plain(field) and is_leaf_type(get_nullable_type(field.type)):
            yield name, _leaf(field)


def _constant(text: str) -> Leaf:
    return lambda _source: text


def _is_plain(field: GraphQLField) -> bool:
    """Whether Strawberry would do no more than read an attribute."""
    origin = field.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
    return origin is not None and origin.is_basic_field and not field.args


def _leaf(field: GraphQLField) -> Leaf:
    read = attrgetter(field.extensions[GraphQLCoreConverter.DEFINITION_BACKREF].python_name)
    is_required = isinstance(field.type, GraphQLNonNull)
    write = cast("GraphQLScalarType", get_named_type(field.type)).coerce_output_value

    def leaf(source: Any) -> Any:
        value = read(source)
        if value is None and not is_required:
            return None
        sent = write(value)
        if not isinstance(sent, _SENT):
            raise NotPlain
        return sent

    return leaf


def mend_attributes(schema: GraphQLSchema) -> None:
    """Have plain fields that are no leaves read their attribute without Strawberry's detour."""
    for named in schema.type_map.values():
        if not isinstance(named, GraphQLObjectType | GraphQLInterfaceType):
            continue
        for field in named.fields.values():
            if _is_plain(field):
                origin = field.extensions[GraphQLCoreConverter.DEFINITION_BACKREF]
                field.resolve = _attribute(origin.python_name)


def _attribute(name: str) -> Callable[..., Any]:
    read = attrgetter(name)
    return lambda source, _info: read(source)


class LeanExecutor(Executor[None]):
    """Runs one operation of a prepared document; a copy of it, one event of a subscription."""

    @classmethod
    def of(
        cls,
        schema: GraphQLSchema,
        leaves: Leaves,
        operation: Operation,
        variables: VariableValues,
        context: object,
    ) -> LeanExecutor:
        """Build it of what is prepared already."""
        document = operation.document
        executor = cls(
            schema,
            document.fragment_definitions,
            document.fragments,
            None,
            context,
            operation.node,
            variables,
            default_field_resolver,
            default_type_resolver,
            default_field_resolver,
            is_awaitable=_is_awaitable,
        )
        executor.document, executor.leaves = document, leaves
        executor.selected = operation.selected or Selected()
        executor._relevant_sub_fields = executor.selected.below
        return executor

    document: Document
    leaves: Leaves
    selected: Selected

    @property
    def async_helpers(self) -> GraphQLResolveInfoHelpers:
        """What a resolver may ask of its execution, made for whoever asks.

        Kept, as graphql-core would, it would hold in a ring of references the executor, its context
        and all that was read for it, until the garbage collector comes round.
        """
        return GraphQLResolveInfoHelpers(gather=self.gather_async_work, track=self.track_async_work)

    @async_helpers.setter
    def async_helpers(self, made: GraphQLResolveInfoHelpers) -> None:
        pass

    async def run(self) -> ExecutionResult:
        """Resolve everything that was asked for, mutations in turn."""
        node, schema = self.operation, self.schema
        try:
            root = cast("GraphQLObjectType", schema.get_root_type(node.operation))
            serially = node.operation is OperationType.MUTATION
            data = self.execute_collected_root_fields(
                root, self.root_value, self.root_fields(root), serially, ()
            )
            found: Any = await data if self.is_awaitable(data) else data
        except GraphQLError as error:
            self.collected_errors.add(error, None)
            found = None
        return ExecutionResult(found, self.collected_errors.errors or None)

    def plain_event(self, event: object) -> dict[str, Any] | None:
        """Answer an event of a subscription, if only leaves of it are asked for; else None."""
        root = cast("GraphQLObjectType", self.schema.subscription_type)
        asked = list(self.root_fields(root).items())
        if len(asked) != 1:
            return None
        [(name, details)] = asked
        of = root.fields[details[0].node.name.value].type
        rows = self._plain_rows(of, details, None, [event])
        return None if rows is None else {name: rows[0]}

    def root_fields(self, root: GraphQLObjectType) -> GroupedFieldSet:
        """Return the fields that are asked for of the root."""
        if self.selected.root is None:
            collected = collect_fields(
                self.schema, self.fragments, self.variable_values, root, self.operation
            )
            self.selected.root = collected.grouped_field_set
        return self.selected.root

    def execute_fields(
        self,
        parent_type: GraphQLObjectType,
        source_value: Any,
        path: Path | None,
        grouped_field_set: GroupedFieldSet,
        position_context: None,
    ) -> Any:
        """Resolve the fields of an object: at once, if all of them are leaves."""
        row = self._row(parent_type, grouped_field_set)
        if row is not None:
            with contextlib.suppress(Exception):  # it is met again below, and told properly
                return {name: leaf(source_value) for name, leaf in row}
        return super().execute_fields(
            parent_type, source_value, path, grouped_field_set, position_context
        )

    def execute_field(
        self,
        parent_type: GraphQLObjectType,
        source: Any,
        field_details_list: FieldDetailsList,
        path: Path,
        position_context: None,
    ) -> Any:
        """Resolve a field: at once, if it is a leaf."""
        named = self.leaves.get(parent_type.name, {})
        leaf = named.get(field_details_list[0].node.name.value)
        if leaf is not None:
            with contextlib.suppress(Exception):  # as above
                return leaf(source)
        return super().execute_field(
            parent_type, source, field_details_list, path, position_context
        )

    def complete_list_value(
        self,
        return_type: GraphQLList[Any],
        field_details_list: FieldDetailsList,
        info: GraphQLResolveInfo[Any],
        path: Path,
        result: Any,
        position_context: None,
    ) -> Any:
        """Complete a list: a long one in parts, between which others have their turn."""
        if isinstance(result, list | tuple):
            rows = None
            if len(result) <= ROWS_AT_ONCE:
                rows = self._plain_rows(return_type.of_type, field_details_list, info, result)
            if rows is not None:
                return rows
            if len(result) > RICH_ROWS_AT_ONCE:
                return self._in_parts(return_type.of_type, field_details_list, info, path, result)
        return super().complete_list_value(
            return_type, field_details_list, info, path, result, position_context
        )

    def _plain_rows(
        self,
        item_type: Any,
        field_details_list: FieldDetailsList,
        info: GraphQLResolveInfo[Any] | None,
        items: Sequence[Any],
    ) -> list[Any] | None:
        """Complete items of which only leaves are asked for; None where that is not so simple.

        `info` is for types that would look at it; ours do not.
        """
        named = get_nullable_type(item_type)
        if not isinstance(named, GraphQLObjectType):
            return None
        row = self._row(named, self.collect_subfields(named, field_details_list).grouped_field_set)
        is_type_of = named.is_type_of
        if row is None or is_type_of is None:
            return None
        with contextlib.suppress(Exception):  # as above
            if all(is_type_of(item, cast("Any", info)) for item in items):
                return [{name: leaf(item) for name, leaf in row} for item in items]
        return None

    async def _in_parts(
        self,
        item_type: Any,
        field_details_list: FieldDetailsList,
        info: GraphQLResolveInfo[Any],
        path: Path,
        items: Sequence[Any],
    ) -> list[Any]:
        completed: list[Any] = []
        while len(completed) < len(items):
            start = len(completed)
            some = items[start : start + ROWS_AT_ONCE]
            rows = self._plain_rows(item_type, field_details_list, info, some)
            if rows is None:
                some = some[:RICH_ROWS_AT_ONCE]
                rows = await self._rich_rows(item_type, field_details_list, info, path, some, start)
            completed += rows
            await asyncio.sleep(0)
        return completed

    async def _rich_rows(
        self,
        item_type: Any,
        field_details_list: FieldDetailsList,
        info: GraphQLResolveInfo[Any],
        path: Path,
        items: Sequence[Any],
        start: int,
    ) -> list[Any]:
        """Complete items from a place in their list on, as graphql-core does."""
        rows: list[Any] = []
        waiting = []
        try:
            for index, item in enumerate(items):
                key = path.add_key(start + index, None)
                if self.complete_list_item_value(
                    item, rows, item_type, field_details_list, info, key, None
                ):
                    waiting.append(index)
        except Exception:
            self.settle_in_background([rows[index] for index in waiting])
            raise
        found = await gather_with_cancel(*(rows[index] for index in waiting))
        for index, value in zip(waiting, found, strict=True):
            rows[index] = value
        return rows

    def _row(self, parent: GraphQLObjectType, fields: GroupedFieldSet) -> Row | None:
        """Return what reads these fields of an object, if they are all leaves."""
        key = parent.name, id(fields)
        known = self.selected.rows.get(key)
        if known is not None:
            return known[1]
        named = self.leaves.get(parent.name, {})
        found = [(name, named.get(each[0].node.name.value)) for name, each in fields.items()]
        row = None
        if all(leaf is not None for _, leaf in found):
            row = cast("Row", found)
        self.selected.rows[key] = fields, row  # the fields are kept, so that their id stays theirs
        return row


def _is_awaitable(value: Any) -> TypeGuard[Awaitable[Any]]:
    return type(value) not in _NEVER_AWAITED and is_awaitable(value)
