"""What spans of operations tell: never a document's text, a variable, or anything of a token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from graphql import GraphQLError

from resolvers.operation import Prepared
from trading.probe import Span

OK = "OK"
"""The outcome of what had no error."""

type Errors = Sequence[Mapping[str, object]]
"""GraphQL errors as they are sent."""


def carried(payload: Mapping[str, object]) -> str | None:
    """Return the `traceparent` that a message carries: of `connection_init`, or an `extensions`."""
    given = payload.get("traceparent")
    return given if isinstance(given, str) else None


def carried_along(payload: Mapping[str, object]) -> str | None:
    """Return the `traceparent` among the extensions of an operation."""
    extensions = payload.get("extensions")
    return carried(extensions) if isinstance(extensions, dict) else None


def described(prepared: Prepared) -> dict[str, str | int]:
    """Tell which operation it is: by its kind, its name, and the hash of its document."""
    about: dict[str, str | int] = {
        "operation_type": prepared.kind.value,
        "document": prepared.document.sha256,
    }
    if prepared.operation.node.name is not None:
        about["operation_name"] = prepared.operation.node.name.value
    return about


def name(span: Span, prepared: Prepared) -> None:
    """Tell a span which operation it is of, if anybody traces it."""
    if span.traceparent is not None:
        span.tell(**described(prepared))


def outcome(errors: Sequence[GraphQLError] | None) -> str:
    """Return the code of the first of published errors, or OK where there is none."""
    return code([each.formatted for each in errors[:1]] if errors else ())


def code(errors: Errors) -> str:
    """Return the same of errors as they are sent."""
    for error in errors:
        extensions = error.get("extensions")
        found = extensions.get("code") if isinstance(extensions, Mapping) else None
        return found if isinstance(found, str) else "UNKNOWN"
    return OK
