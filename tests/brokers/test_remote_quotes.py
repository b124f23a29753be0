"""Quotes over a socket: one market for all, the latest of each symbol, and its own time."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from brokers.quotes.remote import RemoteQuotes
from tests.brokers.market import LOOPBACK, Hall, patiently, venue
from tests.brokers.peer import WELCOME, impostor, line
from tests.brokers.world import LISTED, NOON, SECOND, FakeClock, quote, settle
from tests.faults.proxy import FaultProxy
from trading.ports import Environment, MarketData, Unavailable
from trading.quote import Quote


class SkewedClock(FakeClock):
    """The exchange's clock as seen from a machine whose own is an hour ahead."""

    def __init__(self, theirs: FakeClock) -> None:
        super().__init__()
        self._theirs = theirs

    def now(self) -> int:
        return self._theirs.now() + 3600 * SECOND

    def monotonic(self) -> int:
        return self._theirs.monotonic()

    async def sleep(self, seconds: float) -> None:
        await self._theirs.sleep(seconds)


@pytest.fixture
async def hall(tmp_path: Path) -> AsyncIterator[Hall]:
    """An exchange that shows nothing yet."""
    clock = FakeClock()
    opened = Hall(venue(tmp_path, clock), clock)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
async def quotes(hall: Hall, proxy: FaultProxy) -> AsyncIterator[RemoteQuotes]:
    made = RemoteQuotes(
        address=type(hall.address)(LOOPBACK, proxy.port),
        environment=Environment.SIM,
        clock=SkewedClock(hall.clock),
    )
    await made.connect()
    yield made
    await made.close()


async def heard(quotes: AsyncIterator[Quote], count: int) -> list[Quote]:
    async with asyncio.timeout(20):
        return [await anext(quotes) for _ in range(count)]


async def test_the_instruments_and_the_time_are_those_of_the_exchange(
    hall: Hall, quotes: RemoteQuotes
) -> None:
    port: MarketData = quotes

    assert tuple(port.instruments) == LISTED
    assert port.clock.now() == NOON
    await hall.clock.advance(1)
    await settle()
    assert port.clock.now() == NOON + SECOND


async def test_a_quote_is_as_old_as_it_is_at_the_exchange_whatever_the_clocks_say(
    hall: Hall, quotes: RemoteQuotes
) -> None:
    shown = quote("99.5", "0.000008", 100, None, last=Decimal(99), last_size=Decimal("1.5"))
    hall.server.show(shown)

    (fresh,) = await heard(quotes.quotes(), 1)

    assert fresh == replace(shown, received_at=NOON + 3600 * SECOND)


async def test_who_comes_late_gets_the_last_quote_with_its_age(
    hall: Hall, proxy: FaultProxy, quotes: RemoteQuotes
) -> None:
    stream = quotes.quotes()
    hall.server.show(quote(99, 5, 100, 3))
    (first,) = await heard(stream, 1)
    await hall.clock.advance(60)
    proxy.reset()

    (again,) = await patiently(hall.clock, heard(stream, 1))

    # On its way it ages unseen, and in this test's time that may be a moment.
    assert 0 <= again.received_at - first.received_at < 30 * SECOND
    assert replace(again, received_at=0) == replace(first, received_at=0)


async def test_a_slow_consumer_gets_the_latest_and_no_backlog(
    hall: Hall, quotes: RemoteQuotes
) -> None:
    stream = quotes.quotes()
    for bid in range(50, 90):
        hall.server.show(quote(bid, 5, 100, 3))
        await settle()

    (only,) = await heard(stream, 1)

    assert only.bid == 89
    assert quotes._latest == {}


async def test_a_market_that_is_gone_gives_no_quotes_until_it_is_back(
    hall: Hall, proxy: FaultProxy, quotes: RemoteQuotes
) -> None:
    stream = quotes.quotes()
    proxy.freeze()
    hall.server.show(quote(99, 5, 100, 3))
    waiting = asyncio.ensure_future(heard(stream, 1))
    await hall.clock.advance(10)
    assert not waiting.done()

    proxy.heal()
    hall.server.show(quote(98, 5, 100, 3))

    assert (await patiently(hall.clock, waiting))[0].bid == 98


async def test_the_stream_ends_with_the_close(quotes: RemoteQuotes) -> None:
    waiting = asyncio.ensure_future(anext(quotes.quotes(), None))
    await settle()

    await quotes.close()

    assert await waiting is None


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (line({"id": 1, "ok": {}}), "no list of instruments"),
        (line({"id": 1, "all": []}), "no list of instruments"),
        (line({"id": 1, "all": [{"symbol": "ABC"}]}), "instruments are unreadable"),
        (line({"id": 1, "error": {"code": "rejected", "text": "not today"}}), "not today"),
        (line({"quotes": [{"symbol": "ABC"}], "market_time": 1}), "not a quote"),
        (line({"quotes": [{"symbol": 1, "age": 0}], "market_time": 1}), "a quote is broken"),
        (b"", "closed the connection"),
    ],
)
async def test_a_market_that_makes_no_sense_is_not_followed(answer: bytes, why: str) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for each in (line(WELCOME), answer):
            await reader.readline()
            writer.write(each)
        await writer.drain()
        writer.close()

    async with impostor(script) as address:
        source = RemoteQuotes(address=address, environment=Environment.SIM, clock=FakeClock())
        with pytest.raises(Unavailable, match=why):
            await source.connect()
        await source.close()
