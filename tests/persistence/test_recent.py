"""Whoever publishes reports of this process reads what was committed, from memory or the store."""

import pytest
from sqlalchemy.exc import IntegrityError

from persistence.recent import RecentReports
from persistence.store import SqlStore
from tests.persistence.changes import A, B, place, save, statements
from tests.persistence.samples import STOCK, StoppedClock
from trading.books import Books
from trading.instrument import Catalogue

KEYS = [(A, 1), (A, 2), (B, 1), (B, 2)]


async def recorded(store: SqlStore) -> None:
    await save(store, place("1", "2"))
    await save(store, place("3", account_id="b"))


async def test_reports_of_this_process_are_those_of_the_store(store: SqlStore) -> None:
    await recorded(store)
    beside = SqlStore(store._database, Catalogue([STOCK]), StoppedClock())

    with statements() as seen:
        kept = await store.reads.reports_at(KEYS[:3])
    assert seen == []
    assert kept == await beside.reads.reports_at(KEYS)
    assert [(each.account_id, each.seq) for each in kept] == KEYS[:3]


async def test_what_was_not_committed_is_not_known(store: SqlStore) -> None:
    def fail(books: Books) -> None:
        place("1")(books)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await save(store, fail)
    await save(store, place("2"))
    with pytest.raises(IntegrityError):
        # The ClOrdID is taken, which the commit finds out.
        await save(store, place("2"))

    [only] = await store.reads.reports_at(KEYS)
    assert (only.seq, only.cl_ord_id) == (1, "cl-2")


async def test_what_others_committed_is_read_beside_what_is_kept(store: SqlStore) -> None:
    beside = SqlStore(store._database, Catalogue([STOCK]), StoppedClock())
    await save(beside, place("1"))
    await save(store, place("2"))

    assert [each.cl_ord_id for each in await store.reads.reports_at(KEYS)] == ["cl-1", "cl-2"]


async def test_the_oldest_make_room(store: SqlStore) -> None:
    await recorded(store)
    reports, recent = await store.reads.reports_at(KEYS), RecentReports(2)
    recent.keep(reports)

    assert list(recent.find(KEYS).values()) == reports[1:]
