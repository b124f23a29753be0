"""The log of decisions comes page by page, in the order in which they were recorded."""

from persistence.store import SqlStore
from tests.persistence.changes import A, place, save
from tests.persistence.samples import decision
from trading.books import Books
from trading.ids import ClOrdID


async def test_the_log_is_read_in_pages_to_its_end(store: SqlStore) -> None:
    def decided(books: Books) -> None:
        for number in range(5):
            place(f"{number}")(books)
            books.new_decisions.append((A, ClOrdID(f"cl-{number}"), decision(number)))

    await save(store, decided)
    first = await store.decisions.page(0, 3)
    second = await store.decisions.page(first[-1].id, 3)

    assert [each.cl_ord_id for each in (*first, *second)] == [f"cl-{n}" for n in range(5)]
    assert [each.decision for each in second] == [decision(3), decision(4)]
    assert {each.account_id for each in first} == {A}
    assert await store.decisions.page(second[-1].id, 3) == []
