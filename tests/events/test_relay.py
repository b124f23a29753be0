"""The relay publishes each row, in order, whatever fails, and marks it only then."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from events.broadcaster import Handoff
from events.codec import Channel, Reports, StateChanges, decode
from events.relay import (
    REPORTS_PER_MESSAGE,
    ROWS_PER_ROUND,
    TRACES_PER_MESSAGE,
    BusUnavailable,
    Relay,
)
from tests.events.fakes import (
    ONE,
    OTHER,
    FakeClock,
    FakeStore,
    FaultyBus,
    change,
    settle,
)
from tests.trading.probe import FakeProbe
from trading.ids import AccountID
from trading.store import Reads


class Bench:
    """A relay between a fake store and a bus that is told how to behave."""

    def __init__(self) -> None:
        self.store, self.clock, self.bus = FakeStore(), FakeClock(), FaultyBus(Handoff())
        self.unheard: set[AccountID] = set()
        self.probe = FakeProbe()
        self.relay = Relay(
            outbox=self.store,
            reads=cast("Reads", self.store),
            bus=self.bus,
            clock=self.clock,
            is_followed=lambda account_id: account_id not in self.unheard,
            probe=self.probe,
        )

    def sent(self, account_id: AccountID) -> list[int]:
        """List the sequence numbers published of an account, in the order of publishing."""
        return [
            report.seq
            for message in self.messages
            for batch in message.batches
            if batch.account_id == account_id
            for report in batch.reports
        ]

    @property
    def messages(self) -> list[Reports]:
        """The messages of reports that were published."""
        decoded = (decode(message) for _, message in self.bus.sent)
        return [message for message in decoded if isinstance(message, Reports)]


@asynccontextmanager
async def running() -> AsyncIterator[Bench]:
    bench = Bench()
    task = asyncio.create_task(bench.relay.run())
    try:
        yield bench
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_ring_publishes_all_that_has_come_together_as_one_message() -> None:
    async with running() as bench:
        bench.store.commit(2)
        bench.store.commit(1, OTHER)
        bench.store.commit(3)
        bench.relay.ring({ONE, OTHER})
        await settle()
        (message,) = bench.messages
        assert [batch.account_id for batch in message.batches] == [ONE, OTHER]
        assert bench.sent(ONE) == [1, 2, 3, 4, 5]
        assert bench.sent(OTHER) == [1]
        await bench.clock.advance(0.25)
        assert bench.store.rows == []
        assert len(bench.bus.sent) == 1


async def test_without_a_ring_it_looks_by_itself() -> None:
    async with running() as bench:
        bench.store.commit(1)
        await bench.clock.advance(0.24)
        assert bench.sent(ONE) == []
        await bench.clock.advance(0.02)
        assert bench.sent(ONE) == [1]


async def test_one_ring_drains_what_many_rounds_hold() -> None:
    async with running() as bench:
        for _ in range(ROWS_PER_ROUND * 2 + 1):
            bench.store.commit(1)
        bench.relay.ring({ONE})
        for _ in range(10):
            await settle()
        assert bench.sent(ONE) == list(range(1, ROWS_PER_ROUND * 2 + 2))
        assert bench.store.reads.count("reports_at") == len(bench.messages) == 3


async def test_rows_are_marked_together() -> None:
    async with running() as bench:
        for count in range(1, 11):
            bench.store.commit(1)
            bench.relay.ring({ONE})
            await settle()
            assert len(bench.store.rows) == count
        await bench.clock.advance(0.25)
        assert bench.store.marks == 1
        assert bench.sent(ONE) == list(range(1, 11))


async def test_what_nobody_hears_of_is_neither_read_nor_sent_and_still_marked() -> None:
    async with running() as bench:
        bench.unheard = {ONE, OTHER}
        bench.store.commit(2)
        bench.store.commit(1, OTHER)
        bench.relay.ring({ONE, OTHER})
        await settle()
        assert bench.store.reads == []
        await bench.clock.advance(0.25)
        assert bench.store.reads == ["pending"]
        assert bench.bus.sent == []
        assert bench.store.rows == []


async def test_one_who_is_heard_of_is_published_beside_one_who_is_not() -> None:
    async with running() as bench:
        bench.unheard = {OTHER}
        bench.store.commit(1)
        bench.store.commit(1, OTHER)
        bench.relay.ring({ONE, OTHER})
        await settle()
        assert (bench.sent(ONE), bench.sent(OTHER)) == ([1], [])
        bench.unheard = set()
        bench.store.commit(1, OTHER)
        bench.relay.ring({OTHER})
        await settle()
        assert bench.sent(OTHER) == [2]


async def test_a_large_commit_is_read_in_pages_and_sent_whole_and_by_itself() -> None:
    async with running() as bench:
        bench.store.commit(1)
        bench.store.commit(REPORTS_PER_MESSAGE * 2 + 1)
        bench.store.commit(1)
        bench.relay.ring({ONE})
        await settle()
        sizes = [len(batch.reports) for each in bench.messages for batch in each.batches]
        assert sizes == [1, REPORTS_PER_MESSAGE * 2 + 1, 1]
        assert bench.store.reads.count("reports_at") == 5


async def test_a_bus_that_refuses_is_tried_again_from_the_same_row() -> None:
    async with running() as bench:
        bench.bus.fate = "refuse"
        bench.store.commit(1)
        bench.store.commit(1)
        bench.relay.ring({ONE})
        await bench.clock.advance(20)
        assert len(bench.store.rows) == 2
        bench.bus.fate = "drop"
        await bench.clock.advance(6)
        assert bench.sent(ONE) == [1, 2]
        assert bench.store.rows == []


async def test_what_follows_a_failure_waits_for_it() -> None:
    async with running() as bench:
        publish, fail = bench.bus.publish, True

        async def refuse_the_second(channel: Channel, message: bytes, _: str | None = None) -> None:
            if fail and bench.bus.sent:
                raise BusUnavailable("refused")
            await publish(channel, message)

        bench.bus.publish = refuse_the_second  # type: ignore[assignment, method-assign]
        for account_id in (ONE, OTHER, ONE):
            bench.store.commit(REPORTS_PER_MESSAGE, account_id)
        bench.relay.ring({ONE})
        await bench.clock.advance(1)
        assert len(bench.sent(ONE)) == REPORTS_PER_MESSAGE
        assert bench.sent(OTHER) == []
        fail = False
        await bench.clock.advance(6)
        assert bench.sent(ONE) == list(range(1, 2 * REPORTS_PER_MESSAGE + 1))
        assert bench.sent(OTHER) == list(range(1, REPORTS_PER_MESSAGE + 1))
        assert bench.store.rows == []


async def test_a_store_that_is_down_is_asked_again() -> None:
    async with running() as bench:
        bench.store.commit(1)
        bench.store.is_down = True
        await bench.clock.advance(20)
        bench.store.is_down = False
        await bench.clock.advance(6)
        assert bench.sent(ONE) == [1]


async def test_a_row_that_cannot_be_written_holds_up_nobody() -> None:
    async with running() as bench:
        bench.store.commit(2)
        bench.store.commit(1, OTHER)
        bench.store.log[ONE].clear()
        bench.relay.ring({ONE, OTHER})
        await settle()
        assert (bench.sent(ONE), bench.sent(OTHER)) == ([], [1])
        await bench.clock.advance(0.25)
        assert bench.store.rows == []


async def test_a_change_of_state_is_published_before_reports() -> None:
    async with running() as bench:
        bench.store.commit(1)
        bench.relay.ring({ONE})
        bench.relay.ring_states([change(1), change(2)])
        await settle()
        channels = [channel for channel, _ in bench.bus.sent]
        assert channels == [Channel.STATES, Channel.REPORTS]
        assert decode(bench.bus.sent[0][1]) == StateChanges((change(1), change(2)))


async def test_a_change_of_state_outlives_a_bus_that_refuses() -> None:
    async with running() as bench:
        bench.bus.fate = "refuse"
        bench.relay.ring_states([change(1)])
        await bench.clock.advance(1)
        bench.bus.fate = "drop"
        await bench.clock.advance(6)
        assert [decode(message) for _, message in bench.bus.sent] == [StateChanges((change(1),))]


class Crash(Exception):
    """The process dies at this point."""


FAILURES = st.lists(st.sampled_from(["commit", "other", "refuse", "drop", "crash"]), max_size=30)


@given(FAILURES)
async def test_every_report_is_published_in_order_of_its_account(steps: list[str]) -> None:
    async with running() as bench:
        mark = bench.store.published

        async def crash(ids: Collection[int]) -> None:
            bench.store.published = mark  # type: ignore[method-assign]
            raise Crash(ids)

        for step in steps:
            match step:
                case "commit":
                    bench.store.commit(2)
                case "other":
                    bench.store.commit(1, OTHER)
                case "crash":
                    bench.store.published = crash  # type: ignore[method-assign]
                case fate:
                    bench.bus.fate = fate
            bench.relay.ring({ONE})
            await settle()
        bench.bus.fate = "drop"
        await bench.clock.advance(12)
        for account_id in (ONE, OTHER):
            sent = bench.sent(account_id)
            assert sorted(set(sent)) == [each.seq for each in bench.store.log.get(account_id, [])]
            # A crash before marking repeats; it never skips ahead.
            assert all(after <= before + 1 for before, after in zip([0, *sent], sent, strict=False))
        assert bench.store.rows == []


async def test_what_is_traced_is_published_in_its_traces() -> None:
    async with running() as bench:
        bench.bus.fate = "refuse"
        bench.store.commit(2)
        bench.store.commit(1, OTHER, traceparents="one two")
        bench.store.commit(1, OTHER, traceparents="two three")
        bench.relay.ring({ONE, OTHER})
        await settle()
        assert len(bench.probe.told()) == 3

        bench.bus.fate, bench.probe.legs = "deliver", []
        await bench.clock.advance(1)

        assert [each[:2] for each in bench.probe.told()] == [
            ("publish", "one"),
            ("publish", "two"),
            ("publish", "three"),
        ]
        assert bench.bus.traceparents[-1] == "one/publish"


async def test_a_message_is_told_of_to_so_many_traces_and_no_more() -> None:
    async with running() as bench:
        for number in range(40):
            bench.store.commit(1, traceparents=f"{number}")
        bench.relay.ring({ONE})
        await settle()

        assert len(bench.messages) == 1
        assert len(bench.probe.legs) == TRACES_PER_MESSAGE
