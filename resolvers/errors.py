"""What clients are told when an operation fails: a code, and never an exception's own words.

What a client can mend says where and how. The unexpected is masked with an id that the log bears
too; a client's mistakes are not logged at all.
"""

import logging
import re
from collections.abc import Iterator, Sequence
from typing import Any

from graphql import (
    BREAK,
    ArgumentNode,
    DocumentNode,
    GraphQLError,
    GraphQLSyntaxError,
    Node,
    ObjectFieldNode,
    ValueNode,
    VariableDefinitionNode,
    VariableNode,
    Visitor,
    VisitorAction,
    visit,
)
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError

from trading.ids import base62
from trading.outcome import BadUserInput, GatewayError
from trading.ports import IdSource
from trading.reject import InputError
from trading.store import StoreUnavailable

log = logging.getLogger(__name__)

STORE_RETRY_MS = 1_000

_VARIABLE = re.compile(
    r"Variable '\$(?P<name>\w+)' has invalid (default )?value( at (?P<path>\S+))?: (?P<why>.*)",
    re.DOTALL,
)


class InputRefused(BadUserInput):
    """An input that the desk found wrong, where the answer has no room for an `InvalidInput`."""

    def __init__(self, errors: Sequence[InputError]) -> None:
        """Tell what is wrong."""
        super().__init__("; ".join(f"{'.'.join(e.path)}: {e.message}" for e in errors))
        self.errors = tuple(errors)


def publish(error: GraphQLError, document: DocumentNode | None, ids: IdSource) -> GraphQLError:
    """Turn an error into what the client is told."""
    match error.original_error:
        case InputRefused(errors=errors):
            return _told(error, BadUserInput.code, errors=_inputs(errors))
        case GatewayError() as refused:
            return _told(error, refused.code, retryAfterMs=refused.retry_after_ms)
        case StoreUnavailable():
            log.warning("the store did not answer a read: %s", error.original_error)
            message = "the store did not answer; ask again"
            return _told(error, "STORE_UNAVAILABLE", message, retryAfterMs=STORE_RETRY_MS)
        case CannotGetOperationTypeError() | InvalidOperationTypeError():
            return _told(error, "OPERATION_RESOLUTION_FAILURE")
        case _:
            return _published_request(error, document) or _masked(error, ids)


def _published_request(error: GraphQLError, document: DocumentNode | None) -> GraphQLError | None:
    """Publish what is wrong with the request itself; None where it is our own failure."""
    if isinstance(error, GraphQLSyntaxError):
        return _told(error, "GRAPHQL_PARSE_FAILED")
    if (found := _refused_input(error, document)) is not None:
        return _told(error, BadUserInput.code, errors=_inputs([found]))
    if error.path is None and isinstance(error.original_error, GraphQLError | None):
        return _told(error, "GRAPHQL_VALIDATION_FAILED")
    return None


def _refused_input(error: GraphQLError, document: DocumentNode | None) -> InputError | None:
    """Find the input that a scalar or the schema refused, if that is what happened."""
    match error.nodes:
        case [VariableDefinitionNode(), *_] if found := _VARIABLE.fullmatch(error.message):
            path = re.findall(r"\w+", found["path"] or "")
            return InputError((found["name"], *path), "INVALID_VALUE", found["why"])
        case [VariableNode(), *_] if error.path is None:
            return None  # The document uses a variable wrongly, whatever its value.
        case [ValueNode() | ObjectFieldNode() as node, *_] if document is not None:
            return InputError(_names_to(node, document), "INVALID_VALUE", error.message)
        case _:
            return None


class _Path(Visitor):
    """Finds a node in a document, and the argument and input fields that lead to it."""

    def __init__(self, wanted: Node) -> None:
        super().__init__()
        self.wanted = wanted
        self.names: tuple[str, ...] = ()

    def enter(
        self, node: Node, _key: Any, parent: Any, _path: Any, ancestors: list[Any]
    ) -> VisitorAction:
        if node is not self.wanted:
            return None
        self.names = tuple(_names([*ancestors, parent, node]))
        return BREAK


def _names_to(node: Node, document: DocumentNode) -> tuple[str, ...]:
    finder = _Path(node)
    visit(document, finder)
    return finder.names


def _names(nodes: Sequence[object]) -> Iterator[str]:
    for node in nodes:
        match node:
            case ArgumentNode() | ObjectFieldNode():
                yield node.name.value
            case VariableDefinitionNode():
                yield node.variable.name.value
            case _:
                pass


def _masked(error: GraphQLError, ids: IdSource) -> GraphQLError:
    error_id = base62(ids.next())
    log.error("errorId=%s at %s", error_id, error.path, exc_info=error.original_error or error)
    return _told(
        error, "INTERNAL", f"something went wrong here; quote {error_id}", errorId=error_id
    )


def _told(
    error: GraphQLError, code: str, message: str | None = None, **more: object
) -> GraphQLError:
    extensions = {"code": code} | {key: value for key, value in more.items() if value is not None}
    return GraphQLError(
        message or error.message,
        nodes=error.nodes,
        source=error.source,
        positions=error.positions,
        path=error.path,
        extensions=extensions,
    )


def _inputs(errors: Sequence[InputError]) -> list[dict[str, object]]:
    return [{"path": list(e.path), "code": e.code, "message": e.message} for e in errors]
