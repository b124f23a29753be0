"""The seam: bounded, supervised, and no subscriber of a channel ever waits for another."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from events.broadcaster import MESSAGES_HELD, Handoff, News
from events.codec import Channel, QuoteFrame, ReportBatch, Reports, encode
from events.inbox import REPORTS_KEPT, ReportInbox
from tests.events.fakes import AAPL, MSFT, ONE, OTHER, FakeClock, quote, report, settle


def batch(first: int, last: int) -> ReportBatch:
    return ReportBatch(ONE, tuple(report(seq) for seq in range(first, last + 1)))


def message(first: int, last: int) -> bytes:
    return encode(Reports((batch(first, last),)))


@asynccontextmanager
async def listening() -> AsyncIterator[tuple[Handoff, News, FakeClock]]:
    bus, clock = Handoff(), FakeClock()
    news = News(bus, clock)
    task = asyncio.create_task(news.run())
    await settle()
    try:
        yield bus, news, clock
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await settle()
        assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_message_reaches_the_inboxes_of_its_account_alone() -> None:
    async with listening() as (bus, news, _):
        with news.reports_of(ONE) as one, news.reports_of(ONE) as two, news.reports_of(OTHER) as no:
            await bus.publish(Channel.REPORTS, message(1, 2))
            await settle()
            assert [one.after(0), one.after(1), one.after(2)] == [report(1), report(2), None]
            assert two.after(0) == report(1)
            assert (no.after(0), no.head) == (None, 0)
        assert not news.watched


async def test_a_subscriber_that_takes_nothing_keeps_its_head_alone() -> None:
    async with listening() as (bus, news, _):
        with news.reports_of(ONE) as slow, news.reports_of(ONE) as quick:
            last = 0
            for first in range(1, 2 * REPORTS_KEPT, 64):
                await bus.publish(Channel.REPORTS, message(first, first + 63))
                await settle()
                assert len(slow._reports) <= REPORTS_KEPT
                while (taken := quick.after(last)) is not None:
                    last = taken.seq
            assert last == slow.head == 2 * REPORTS_KEPT


def test_an_inbox_gives_nothing_out_of_turn() -> None:
    inbox = ReportInbox()
    for each in (batch(5, 6), batch(3, 4), batch(5, 6)):
        inbox.hear(each)
    assert (inbox.after(2), inbox.head) == (None, 6)
    assert inbox.after(4) == report(5)
    assert inbox.after(5) == report(6)
    assert inbox.after(6) is None
    inbox.hear(batch(6, 7))
    assert inbox.after(6) == report(7)


async def test_with_nobody_listening_a_publisher_does_not_wait() -> None:
    bus = Handoff()
    for _ in range(2 * MESSAGES_HELD):
        await bus.publish(Channel.QUOTES, b"{}")


async def test_a_publisher_waits_while_too_much_is_held() -> None:
    bus = Handoff()
    await bus.subscribe(Channel.QUOTES)
    publishing = asyncio.create_task(publish(bus, MESSAGES_HELD + 1))
    await settle()
    for _ in range(10):
        await settle()
    assert not publishing.done()
    await bus.connect()
    await bus.next_published()
    await settle()
    assert publishing.done()


async def publish(bus: Handoff, count: int) -> None:
    for _ in range(count):
        await bus.publish(Channel.QUOTES, b"{}")


async def test_the_next_message_stays_until_the_one_before_is_dealt_out() -> None:
    bus = Handoff()
    await bus.connect()
    await bus.subscribe(Channel.QUOTES)
    await publish(bus, 2)
    await bus.next_published()
    following = asyncio.create_task(bus.next_published())
    await settle()
    assert not following.done()
    bus.dealt()
    await settle()
    assert following.done()


async def test_a_message_that_cannot_be_read_is_passed_over() -> None:
    async with listening() as (bus, news, _):
        with news.quotes_of({AAPL}) as inbox:
            await bus.publish(Channel.QUOTES, b"nonsense")
            await bus.publish(Channel.QUOTES, encode(QuoteFrame((quote(AAPL, "1"),))))
            await settle()
            assert inbox.take() == quote(AAPL, "1")


async def test_a_listener_that_dies_is_replaced() -> None:
    class Dying(Handoff):
        deaths = 1

        async def next_published(self) -> object:  # type: ignore[override]
            if self.deaths:
                self.deaths -= 1
                raise ConnectionResetError
            return await super().next_published()

    bus, clock = Dying(), FakeClock()
    news = News(bus, clock)
    task = asyncio.create_task(news.run())
    with news.quotes_of({AAPL}) as inbox:
        await clock.advance(1)
        await bus.publish(Channel.QUOTES, encode(QuoteFrame((quote(AAPL, "1"),))))
        await settle()
        assert inbox.take() == quote(AAPL, "1")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_quotes_are_the_latest_of_each_symbol_in_the_order_of_waiting() -> None:
    async with listening() as (bus, news, _):
        with news.quotes_of({AAPL, MSFT}) as inbox:
            for bid in ("1", "2"):
                frame = QuoteFrame((quote(MSFT, bid), quote(AAPL, bid)))
                await bus.publish(Channel.QUOTES, encode(frame))
            await settle()
            assert inbox.take() == quote(MSFT, "2")
            assert inbox.take() == quote(AAPL, "2")
            assert inbox.take() is None
        assert news.last(AAPL) == quote(AAPL, "2")
