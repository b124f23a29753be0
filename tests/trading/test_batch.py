"""The natural batch: one transaction for what is queued, and an outcome for each command."""

import asyncio

import pytest

from tests.trading.builders import ACCOUNT, OTHER, account, cancel, new, place
from tests.trading.fakes import settle
from tests.trading.house import House, working
from tests.trading.memory import Failure
from trading.command import CommandState
from trading.ids import ClOrdID
from trading.order import Order, OrdStatus
from trading.outcome import BrokerUnavailable, OutcomeUnknown, Overloaded


async def together(house: House, count: int) -> list[object]:
    puts = [house.put(place(f"p{number}")) for number in range(count)]
    return list(await asyncio.gather(*puts, return_exceptions=True))


async def test_what_is_queued_together_goes_into_one_transaction() -> None:
    async with House().open() as house:
        await together(house, 64)
        await settle()

        assert house.store.commits == 1
        assert house.sent == ["NEW"] * 64
        assert house.quotes.wanted == {"AAPL@XNAS"}


async def test_more_than_a_batch_goes_into_several_in_order() -> None:
    async with House().open() as house:
        await together(house, 130)

        assert house.store.commits == 3
        names = [each.cl_ord_id for each in house.store.state.reports]
        assert names == [f"p{number}" for number in range(130)]


async def test_a_command_that_cannot_be_recorded_fails_alone() -> None:
    async with House(account(), account("b")).open() as house:
        house.store.poison = {"bad"}
        bad = house.put(place("bad"))
        good = [house.put(place("good")), house.put(place("theirs", account_id=OTHER))]
        settled = await asyncio.gather(bad, *good, return_exceptions=True)
        await settle()

        assert isinstance(settled[0], ValueError)
        assert {o.cl_ord_id for o in house.store.state.orders.values()} == {"good", "theirs"}
        assert house.sent == ["NEW", "NEW"]


@pytest.mark.parametrize("failure", Failure)
async def test_of_a_lost_answer_the_client_is_told_and_the_next_try_settles_it(
    failure: Failure,
) -> None:
    async with House().open() as house:
        house.store.failures = [failure]
        with pytest.raises(OutcomeUnknown, match="same clOrdId") as lost:
            await house.put(place())
        assert lost.value.retry_after_ms
        await house.clock.advance(1)
        again = (await house.put(place())).decided
        await house.clock.advance(1)

        assert isinstance(again, Order)
        assert house.sent == ["NEW"], "once, whether or not the first commit took effect"
        assert len(house.store.state.orders) == 1
        assert house.state(again.wire_id) is CommandState.SENT


@pytest.mark.parametrize("failure", Failure)
async def test_a_batch_whose_answer_was_lost_is_settled_one_by_one(failure: Failure) -> None:
    async with House().open() as house:
        house.store.failures = [failure]
        settled = await together(house, 5)
        await house.clock.advance(1)

        assert not [each for each in settled if isinstance(each, Exception)]
        assert sorted(house.broker.sent) == sorted(set(house.broker.sent))
        assert len(house.sent) == 5


async def test_a_client_that_goes_away_cancels_only_its_waiting() -> None:
    async with House().open() as house:
        waiting = asyncio.create_task(house.put(place()))
        await asyncio.sleep(0)
        waiting.cancel()
        await settle()

        assert waiting.cancelled()
        assert house.sent == ["NEW"]
        assert isinstance((await house.put(place())).decided, Order)
        assert house.sent == ["NEW"]


async def test_a_client_may_go_away_in_the_middle_of_the_commit() -> None:
    async with House().open() as house:
        async with house.store.transaction() as blocker:
            await blocker.lock([ACCOUNT])
            waiting = asyncio.create_task(house.put(place()))
            await settle()
            waiting.cancel()
            await settle()
        await settle()

        assert house.sent == ["NEW"]


async def test_a_blocked_account_delays_but_does_not_lose_what_comes_later() -> None:
    async with House().open() as house:
        async with house.store.transaction() as blocker:
            await blocker.lock([ACCOUNT])
            waiting = [asyncio.create_task(house.put(place(f"p{n}"))) for n in range(3)]
            await settle()
            assert house.sent == []
        await asyncio.gather(*waiting)

        assert len(house.store.state.orders) == 3


async def test_an_account_that_stays_locked_stalls_no_stranger() -> None:
    async with House(account(), account("b")).open() as house:
        house.store.blocked = {OTHER}
        stuck = [
            asyncio.create_task(house.put(place(f"b{n}", account_id=OTHER))) for n in range(70)
        ]
        await house.put(place("p0"))
        await asyncio.wait(stuck)
        # From now on its lock is waited for without end.
        house.store.patience.clear()
        stuck.append(asyncio.create_task(house.put(place("b70", account_id=OTHER))))
        for number in range(1, 5):
            await house.put(place(f"p{number}"))
        assert not stuck[70].done()

        house.store.patience.set()
        told = await asyncio.gather(*stuck, return_exceptions=True)
        assert all(isinstance(each, Overloaded) for each in told)
        house.store.blocked = set()
        await house.put(place("b71", account_id=OTHER))

        names = [each.cl_ord_id for each in house.store.state.orders.values()]
        assert names == [*(f"p{number}" for number in range(5)), "b71"]


async def test_strangers_wait_but_briefly_for_one_another() -> None:
    async with House(account(), account("b")).open() as house:
        both = (house.put(place("p0")), house.put(place("b0", account_id=OTHER)))
        await asyncio.gather(*both)
        assert house.store.brief == [True]

        await settle()
        await house.put(place("p1"))
        assert house.store.brief.count(True) == 1


async def test_an_account_that_could_go_on_keeps_the_order_of_its_commands() -> None:
    async with House(account(), account("b")).open() as house:
        house.store.poison = {"p9"}
        puts = [house.put(place(f"p{number}")) for number in range(90)]
        puts += [house.put(place("b0", account_id=OTHER))]
        told = await asyncio.gather(*puts, return_exceptions=True)

        assert [n for n, each in enumerate(told) if isinstance(each, ValueError)] == [9]
        mine = [each.cl_ord_id for each in house.store.state.reports if each.account_id == ACCOUNT]
        assert mine == [f"p{number}" for number in range(90) if number != 9]


async def test_a_stop_waits_for_an_account_that_goes_by_itself() -> None:
    async with House(account(), account("b")).open() as house:
        house.store.blocked = {OTHER}
        stuck = asyncio.create_task(house.put(place("b", account_id=OTHER)))
        await house.put(place("p"))
    assert isinstance((await asyncio.gather(stuck, return_exceptions=True))[0], Overloaded)


async def test_commands_of_one_batch_see_one_another() -> None:
    async with House().open() as house:
        placed, again, canceled = await asyncio.gather(
            house.put(place()), house.put(place()), house.put(cancel())
        )

        assert isinstance(placed.decided, Order)
        assert isinstance(again.decided, Order)
        assert isinstance(canceled.decided, Order)
        assert placed.decided.id == again.decided.id == canceled.decided.id
        assert canceled.decided.ord_status is OrdStatus.PENDING_CANCEL
        assert house.store.commits == 1


async def test_without_a_session_nothing_is_taken_in() -> None:
    async with House().open() as house:
        house.session.is_open = False
        with pytest.raises(BrokerUnavailable):
            await house.put(place())
        with pytest.raises(BrokerUnavailable):
            await house.queue.put(place(), "nobody", awaits_broker=False)

        assert house.store.commits == 0


async def test_a_stop_commits_what_is_queued_and_takes_in_no_more() -> None:
    async with House().open() as house:
        waiting = asyncio.create_task(house.put(place()))
        await asyncio.sleep(0)
        await house.queue.stop()

        assert isinstance((await waiting).decided, Order)
        with pytest.raises(BrokerUnavailable):
            await house.put(place("p2"))


async def test_the_brokers_first_word_can_be_awaited() -> None:
    async with House().open() as house:
        settled = await house.queue.put(place(), "fake", awaits_broker=True)
        assert settled.first_word is not None
        assert isinstance(settled.decided, Order)
        await settle()
        assert not settled.first_word.done()
        house.broker.tell(new(settled.decided.wire_id))
        await settle()

        assert settled.first_word.done()


async def test_nothing_is_awaited_of_what_was_decided_here() -> None:
    async with House().open() as house:
        settled = await house.queue.put(place("x", symbol="NOPE"), "fake", awaits_broker=True)
        unknown = cancel("c9", ClOrdID("none"))

        assert settled.first_word is None
        assert (await house.queue.put(unknown, "fake", awaits_broker=True)).first_word is None


async def test_orders_are_shed_when_the_store_has_no_room_and_cancels_still_get_through() -> None:
    async with House().open() as house:
        order = await working(house)
        house.store.is_full = True

        with pytest.raises(Overloaded, match="nothing was done"):
            await house.put(place("p2"))
        canceled = (await house.put(cancel(of=order.cl_ord_id))).decided

        assert isinstance(canceled, Order)
        assert canceled.ord_status is OrdStatus.PENDING_CANCEL
        assert house.store.urgent[-1]
