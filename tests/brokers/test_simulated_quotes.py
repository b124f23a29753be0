"""Simulated quotes: several a second of each instrument, and the same for the same seed."""

from collections import Counter

from brokers.instants import parse_instant
from brokers.quotes.simulated import SimulatedQuotes
from tests.brokers.world import FakeClock
from trading.quantity import is_multiple
from trading.quote import Quote

START = parse_instant("2026-11-20T10:00:00Z")


class RunningClock(FakeClock):
    """Time that goes on by itself while somebody sleeps."""

    async def sleep(self, seconds: float) -> None:
        self.time += round(seconds * 1_000_000_000)


async def heard(seed: int, count: int) -> tuple[SimulatedQuotes, list[Quote]]:
    source = SimulatedQuotes(RunningClock(START), seed)
    quotes = source.quotes()
    return source, [await anext(quotes) for _ in range(count)]


async def test_the_instruments_are_those_promised() -> None:
    source, quotes = await heard(1, 6)

    assert [each.id for each in source.instruments] == [
        "AAPL@XNAS",
        "MSFT@XNAS",
        "NVDA@XNAS",
        "ESZ6@XCME",
        "MESZ6@XCME",
        "EURUSD@XXXX",
    ]
    assert [quote.symbol for quote in quotes] == [each.id for each in source.instruments]
    assert {quote.time for quote in quotes} == {START}


async def test_quotes_stay_on_the_grid_and_uncrossed_and_near_their_start() -> None:
    source, quotes = await heard(2, 6000)
    listed = {each.id: each for each in source.instruments}
    first = {quote.symbol: quote.bid for quote in reversed(quotes)}

    for quote in quotes:
        instrument, start = listed[quote.symbol], first[quote.symbol]
        assert quote.bid is not None
        assert quote.ask is not None
        assert quote.bid_size is not None
        assert quote.ask_size is not None
        assert start is not None
        assert quote.bid < quote.ask
        assert abs(quote.bid - start) < start / 10
        assert is_multiple(quote.bid, instrument.tick)
        assert is_multiple(quote.ask, instrument.tick)
        assert is_multiple(quote.bid_size, instrument.lot)
        assert is_multiple(quote.ask_size, instrument.lot)
        assert min(quote.bid_size, quote.ask_size) > 0
    assert all(len({q.bid for q in quotes if q.symbol == name}) > 5 for name in listed)


async def test_each_instrument_is_quoted_four_times_a_second_in_the_markets_own_time() -> None:
    source, quotes = await heard(3, 6 + 6 * 40)
    assert source.clock.now() == quotes[-1].time == quotes[-1].received_at

    seconds = round((quotes[-1].time - START) / 1_000_000_000)
    assert seconds == 10
    assert set(Counter(quote.symbol for quote in quotes[6:]).values()) == {4 * seconds}


async def test_both_index_futures_follow_one_index() -> None:
    _, quotes = await heard(4, 6000)
    bids: dict[str, list[int]] = {"ES": [], "ME": []}
    for quote in quotes:
        if quote.bid is not None and quote.symbol[:2] in bids:
            bids[quote.symbol[:2]].append(int(quote.bid * 4))

    assert all(abs(es - mes) <= 1 for es, mes in zip(bids["ES"], bids["ME"], strict=True))


async def test_the_same_seed_gives_the_same_market() -> None:
    _, one = await heard(5, 500)
    _, same = await heard(5, 500)
    _, other = await heard(6, 500)

    assert one == same
    assert one != other
