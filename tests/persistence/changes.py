"""Changes of the books, made and saved in one transaction, and the statements that it takes."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from persistence.direct import DirectConnection
from persistence.store import SqlStore
from tests.persistence.samples import claim, command, order
from trading.books import Books, Wants
from trading.execution import ExecType
from trading.ids import AccountID, ClOrdID
from trading.reject import CxlRejReason, CxlRejResponseTo, RejectedBy

A, B = AccountID("a"), AccountID("b")


async def save(store: SqlStore, change: Callable[[Books], object], **wants: Any) -> Books:
    """Change the books of both accounts in one transaction."""
    async with store.transaction() as transaction:
        await transaction.lock([A, B])
        wanted = {"accounts": frozenset({A, B})} | {
            k: frozenset(v) if isinstance(v, Collection) and not isinstance(v, Mapping) else v
            for k, v in wants.items()
        }
        books = await transaction.load(Wants(**wanted))
        change(books)
        await transaction.save(books)
    return books


async def load(store: SqlStore, **wants: Any) -> Books:
    return await save(store, lambda _: None, **wants)


@contextmanager
def statements() -> Iterator[list[tuple[str, Any]]]:
    """Note every statement that is run, and its parameters."""
    seen: list[tuple[str, Any]] = []

    def note(_c: object, _cursor: object, statement: str, values: Any, *_: object) -> None:
        seen.append((statement, values))

    ask = DirectConnection._ask

    def asked(self: DirectConnection, text: str, *values: object) -> Any:
        seen.append((text, values))
        return ask(self, text, *values)

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    DirectConnection._ask = asked  # type: ignore[method-assign]
    try:
        yield seen
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)
        DirectConnection._ask = ask  # type: ignore[method-assign]


def refuse_cancel(books: Books, cl_ord_id: str) -> None:
    report = books.record_cancel_reject(
        (A, ClOrdID(cl_ord_id), None),
        None,
        CxlRejResponseTo.ORDER_CANCEL_REQUEST,
        CxlRejReason.UNKNOWN_ORDER,
        RejectedBy.GATEWAY,
        "no such order",
        9,
    )
    books.put_claim(
        replace(
            claim(order("none")),
            cl_ord_id=ClOrdID(cl_ord_id),
            order_id=None,
            reject_seq=report.seq,
        )
    )


def place(*names: str, account_id: str = "a", **fields: Any) -> Callable[[Books], None]:
    def placed(books: Books) -> None:
        for name in names:
            new = order(name, account_id, **fields)
            books.put_claim(claim(new))
            books.record(new, ExecType.PENDING_NEW, 2)
            books.put_command(command(new))

    return placed
