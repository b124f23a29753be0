"""Pages by keyset: cursors in and out, and the bounds of `first`."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated

import strawberry

from schema.page import Connection, Edge
from trading.outcome import BadUserInput
from trading.store import Page

FIRST_MAX = 100
FIRST_DEFAULT = 50

First = Annotated[
    int | None,
    strawberry.argument(description=f"How many: 1 to {FIRST_MAX}, {FIRST_DEFAULT} if left out."),
]
After = Annotated[str | None, strawberry.argument(description="The cursor to continue behind.")]


def size(first: int | None, most: int = FIRST_MAX) -> int:
    """Check how many items are wanted, of which a document may ask so many. Raises BadUserInput."""
    if first is None:
        return min(FIRST_DEFAULT, most)
    if not 1 <= first <= most:
        raise BadUserInput(f"first: ask for 1 to {most} items, not {first}")
    return first


def cursor(kind: str, key: str) -> str:
    """Wrap the key of a list's item, so that no client builds on what is inside."""
    return base64.urlsafe_b64encode(f"{kind}:{key}".encode()).decode().rstrip("=")


def key(kind: str, after: str | None) -> str | None:
    """Unwrap a cursor of that kind of list; None stays None. Raises BadUserInput."""
    if after is None:
        return None
    try:
        padded = after + "=" * (-len(after) % 4)
        found, _, inside = (
            base64.b64decode(padded, altchars=b"-_", validate=True).decode().partition(":")
        )
    except (binascii.Error, ValueError):
        found, inside = "", ""
    if found != kind or not inside:
        raise BadUserInput(
            "after: not a cursor of this list; leave it out, or pass on `pageInfo.endCursor`"
        )
    return inside


def connection[T](
    page: Page[T], cursor_of: Callable[[T], str], *, continued: bool
) -> Connection[T]:
    """Make a connection of a page."""
    return Connection(
        edges=edges(page.items, cursor_of),
        has_next_page=page.has_next,
        has_previous_page=continued,
        as_of_seq=page.as_of_seq,
    )


def edges[T](items: Sequence[T], cursor_of: Callable[[T], str]) -> Sequence[Edge[T]]:
    """Give each item its cursor."""
    return [Edge(cursor_of(item), item) for item in items]
