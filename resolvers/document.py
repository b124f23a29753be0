"""Documents: each is parsed, measured, validated and walked once, then known by its text."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    DocumentNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLObjectType,
    GraphQLSchema,
    OperationDefinitionNode,
    parse,
    validate,
)
from graphql.execution.collect_fields import (
    CollectedFields,
    FieldDetailsList,
    FragmentDetails,
    GroupedFieldSet,
)
from graphql.execution.get_variable_signature import (
    GraphQLVariableSignature,
    get_variable_signature,
)

from resolvers import bounds
from resolvers.bounds import Bounds
from resolvers.policy import Needs, needs
from schema.context import DocumentCache

ERRORS_MAX = 8
"""How many errors an answer has at most."""

# A document of as many tokens as are allowed takes less than a megabyte, so this bounds the memory.
DOCUMENTS_MAX = 128


type Leaf = Callable[[Any], Any]
"""Reads a leaf off its parent's value, as it is sent. Raises where that is not so simple."""

type Row = Sequence[tuple[str, Leaf]]
"""The leaves that are asked for of an object, by the names they are answered under."""


@dataclass(slots=True, eq=False)
class Selected:
    """What an operation selects, with its fragments laid open: found while it first runs."""

    root: GroupedFieldSet | None = None
    below: dict[tuple[GraphQLObjectType, int], tuple[FieldDetailsList, CollectedFields]] = field(
        default_factory=dict
    )
    rows: dict[tuple[str, int], tuple[GroupedFieldSet, Row | None]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Operation:
    """An operation of a valid document: what it needs of its caller, and what running it takes."""

    document: Document
    node: OperationDefinitionNode
    needs: Needs
    signatures: Sequence[GraphQLVariableSignature]
    """Its variables."""
    selected: Selected | None
    """Kept from one run to the next; None where a directive may select differently each time."""


@dataclass(slots=True, eq=False, kw_only=True)
class Document:
    """A document: `errors` say why nobody can run any of it."""

    text: str
    sha256: str
    rows: int
    """How many rows a page may have that it asks for."""
    node: DocumentNode | None = None
    errors: Sequence[GraphQLError] = ()
    errors_unaided: Sequence[GraphQLError] | None = None
    """The same without suggestions of what the schema has, once somebody needed them."""
    operations: Mapping[str | None, Operation] = field(default_factory=dict)
    """By name; None stands for the only one, where there is but one."""
    fragments: dict[str, FragmentDetails] = field(default_factory=dict)
    fragment_definitions: dict[str, FragmentDefinitionNode] = field(default_factory=dict)

    @property
    def is_parsed(self) -> bool:
        """Whether it has no error of syntax."""
        return self.node is not None


def sha256(text: str) -> str:
    """Return the hash that a document is known by, in hexadecimal."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


class Documents:
    """Prepares documents for one schema, and keeps those that were asked for last."""

    def __init__(
        self, schema: GraphQLSchema, policies: Mapping[str, str], limits: Bounds | None = None
    ) -> None:
        """Take the policy of each field as `Type.field`, and how large documents may be."""
        self._schema = schema
        self._policies = policies
        self.bounds = limits or Bounds()
        self._known: OrderedDict[str, Document] = OrderedDict()
        self.counts = DocumentCache()

    def get(self, text: str) -> Document:
        """Return a document, prepared."""
        known = self._known.get(text)
        if known is not None:
            self.counts.hits += 1
            self._known.move_to_end(text)
            return known
        self.counts.misses += 1
        document = self.prepare(text, self.bounds)
        self._known[text] = document
        if len(self._known) > DOCUMENTS_MAX:
            self._known.popitem(last=False)
        self.counts.size = len(self._known)
        return document

    def prepare(self, text: str, limits: Bounds) -> Document:
        """Parse, measure, validate and walk a document, and do not keep it."""
        document = Document(text=text, sha256=sha256(text), rows=limits.rows)
        try:
            node = parse(text, max_tokens=limits.tokens)
        except GraphQLError as error:
            document.errors = [error]
            return document
        document.node = node
        document.errors = bounds.refusals(self._schema, node.definitions, limits) or self._validate(
            node
        )
        if not document.errors:
            document.fragment_definitions = _fragments(node)
            document.fragments = {
                name: FragmentDetails(each) for name, each in document.fragment_definitions.items()
            }
            document.operations = self._operations(document, node)
        return document

    def errors(self, document: Document, *, unaided: bool) -> Sequence[GraphQLError]:
        """Say why a document cannot be run; `unaided` without naming what the schema has."""
        if not unaided or document.node is None or not document.errors:
            return document.errors
        if isinstance(document.errors[0].original_error, bounds.TooLarge):
            return document.errors
        if document.errors_unaided is None:
            document.errors_unaided = self._validate(document.node, hide=True)
        return document.errors_unaided

    def _validate(self, node: DocumentNode, *, hide: bool = False) -> Sequence[GraphQLError]:
        # One more than the bound says that there were more.
        return validate(self._schema, node, max_errors=ERRORS_MAX - 1, hide_suggestions=hide)

    def _operations(self, document: Document, node: DocumentNode) -> Mapping[str | None, Operation]:
        found: dict[str | None, Operation] = {}
        is_steady = not _has_directives(document.text)
        for each in node.definitions:
            if isinstance(each, OperationDefinitionNode):
                needed = needs(self._schema, self._policies, node, each)
                name = each.name.value if each.name else None
                found[name] = Operation(
                    document=document,
                    node=each,
                    needs=needed,
                    signatures=self._signatures(each),
                    selected=Selected() if is_steady else None,
                )
        if len(found) == 1:
            found[None] = next(iter(found.values()))
        return found

    def _signatures(self, node: OperationDefinitionNode) -> Sequence[GraphQLVariableSignature]:
        found = (
            get_variable_signature(self._schema, each) for each in node.variable_definitions or ()
        )
        return [each for each in found if isinstance(each, GraphQLVariableSignature)]


def _has_directives(text: str) -> bool:
    """Whether a directive may be in a document: without its sign there is none."""
    return "@" in text


def _fragments(node: DocumentNode) -> dict[str, FragmentDefinitionNode]:
    return {
        each.name.value: each
        for each in node.definitions
        if isinstance(each, FragmentDefinitionNode)
    }
