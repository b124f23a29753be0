"""Any process says what it needs a price of, and the owner of the feed learns of it in time."""

from typing import Any

from persistence import tables
from persistence.connection import Connection
from persistence.store import SqlStore
from persistence.wanted import SqlWanted
from tests.persistence.changes import statements
from tests.persistence.samples import AAPL, StoppedClock
from trading.ids import InstrumentID

MSFT = InstrumentID("MSFT@XNAS")
MINUTE_S = 60


def process(store: SqlStore, now: int = 0) -> tuple[SqlWanted, StoppedClock]:
    clock = StoppedClock(now)
    return SqlWanted(store._database, clock), clock


async def rows(store: SqlStore) -> set[str]:
    found = await store._database.read(Connection.rows, tables.wanted_symbols.select())
    return {row.symbol for row in found}


async def test_what_one_process_wants_another_knows_at_once(store: SqlStore) -> None:
    (one, _), (other, _), (owner, _) = process(store), process(store, 10**18), process(store)

    assert not await owner.wanted()
    await one.want([AAPL])
    assert set(await owner.wanted()) == {AAPL}
    await other.want([MSFT, AAPL])
    assert set(await owner.wanted()) == {AAPL, MSFT}


async def test_what_nobody_asks_for_any_more_is_forgotten(store: SqlStore) -> None:
    (one, clock), (owner, owners) = process(store), process(store)
    await one.want([AAPL, MSFT])
    await owner.wanted()

    for _ in range(4):
        for each in (clock, owners):
            await each.sleep(MINUTE_S)
        await one.want([AAPL])
        assert set(await owner.wanted()) == {AAPL, MSFT}
    await owners.sleep(MINUTE_S)
    assert set(await owner.wanted()) == {AAPL}
    assert await rows(store) == {AAPL}
    await one.want([MSFT])
    assert set(await owner.wanted()) == {AAPL, MSFT}


async def test_what_is_wanted_again_while_it_is_being_forgotten_stays(store: SqlStore) -> None:
    (one, clock), (owner, owners) = process(store), process(store)
    await one.want([AAPL])
    await owner.wanted()
    await owners.sleep(5 * MINUTE_S)
    await clock.sleep(MINUTE_S)
    ask = owner._database.ask

    class Overtaken:
        async def ask(self, *args: Any) -> Any:
            seen = await ask(*args)
            await one.want([AAPL])
            return seen

        write = owner._database.write

    owner._database = Overtaken()  # type: ignore[assignment]
    assert not await owner.wanted()
    assert await rows(store) == {AAPL}
    assert set(await owner.wanted()) == {AAPL}


async def test_a_new_owner_of_the_feed_goes_on_with_what_was_wanted(store: SqlStore) -> None:
    await process(store)[0].want([AAPL])
    owner, clock = process(store, 10**18)

    assert set(await owner.wanted()) == {AAPL}
    await clock.sleep(4 * MINUTE_S)
    assert set(await owner.wanted()) == {AAPL}


async def test_to_want_the_same_again_costs_nothing(store: SqlStore) -> None:
    one, clock = process(store)
    await one.want([AAPL])
    with statements() as seen:
        for _ in range(100):
            await one.want([AAPL])
        await one.want([])
    assert not seen

    await clock.sleep(MINUTE_S)
    with statements() as seen:
        await one.want([AAPL, MSFT])
    assert len([each for each, _ in seen if each.startswith("INSERT")]) == 1
