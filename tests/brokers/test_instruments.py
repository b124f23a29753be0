"""The built-in catalogue: what a symbol says, and when contracts end."""

import pytest

from brokers.instants import parse_instant
from brokers.instruments import front_future, instrument_of
from trading.calendar import calendar
from trading.instrument import Instrument

JULY = parse_instant("2024-07-01T23:58:01.218485389Z")


def known(symbol: str, at: int = JULY) -> Instrument:
    instrument = instrument_of(symbol, at)
    assert instrument is not None
    calendar(instrument.calendar)
    return instrument


@pytest.mark.parametrize(
    ("symbol", "name", "tick", "lot", "multiplier", "currency"),
    [
        ("ESU4", "ESU4@XCME", "0.25", "1", "50", "USD"),
        ("MESU4", "MESU4@XCME", "0.25", "1", "5", "USD"),
        ("NQZ24", "NQZ24@XCME", "0.25", "1", "20", "USD"),
        ("CLQ4", "CLQ4@XNYM", "0.01", "1", "1000", "USD"),
        ("GCQ4", "GCQ4@XCEC", "0.1", "1", "100", "USD"),
        ("AAPL", "AAPL@XNAS", "0.01", "1", "1", "USD"),
        ("EURUSD", "EURUSD@XXXX", "0.00001", "1000", "1", "USD"),
        ("USDJPY", "USDJPY@XXXX", "0.001", "1000", "1", "JPY"),
        ("BTCUSDT", "BTCUSDT@XXXX", "0.01", "0.000001", "1", "USDT"),
    ],
)
def test_a_symbol_says_its_terms(
    symbol: str, name: str, tick: str, lot: str, multiplier: str, currency: str
) -> None:
    instrument = known(symbol)

    assert instrument.id == name
    terms = [str(each) for each in (instrument.tick, instrument.lot, instrument.multiplier)]
    assert terms == [tick, lot, multiplier]
    assert instrument.currency == currency
    assert instrument.is_margined == (instrument.initial_margin is not None)
    assert instrument.is_margined == (instrument.expiry is not None)


@pytest.mark.parametrize("symbol", ["", "ES", "ESA4", "ESV4", "ESU", "ESU456", "USDUSD", "XAUUSD"])
def test_other_symbols_are_not_guessed_at(symbol: str) -> None:
    assert instrument_of(symbol, JULY) is None


@pytest.mark.parametrize(
    ("symbol", "at", "expiry"),
    [
        ("ESU4", "2024-07-01T00:00:00Z", "2024-09-20T13:30:00Z"),
        ("ESU4", "2024-09-20T13:29:59Z", "2024-09-20T13:30:00Z"),
        ("ESU4", "2024-09-20T13:30:00Z", "2034-09-15T13:30:00Z"),
        ("ESH1", "2029-12-01T00:00:00Z", "2031-03-21T13:30:00Z"),
        ("ESU24", "2026-01-01T00:00:00Z", "2024-09-20T13:30:00Z"),
        ("CLQ4", "2024-07-01T00:00:00Z", "2024-07-22T13:30:00Z"),
        ("CLZ4", "2024-07-01T00:00:00Z", "2024-11-20T13:30:00Z"),
        ("CLF5", "2024-07-01T00:00:00Z", "2024-12-20T13:30:00Z"),
        ("GCQ4", "2024-07-01T00:00:00Z", "2024-08-28T13:30:00Z"),
    ],
)
def test_a_future_ends_by_the_rule_of_its_root(symbol: str, at: str, expiry: str) -> None:
    assert known(symbol, parse_instant(at)).expiry == parse_instant(expiry)


@pytest.mark.parametrize(
    ("at", "symbol"),
    [
        ("2026-11-20T00:00:00Z", "ESZ6"),
        ("2026-12-09T23:59:59Z", "ESZ6"),
        ("2026-12-10T00:00:00Z", "ESH7"),
        ("2026-12-31T00:00:00Z", "ESH7"),
        ("2027-03-01T00:00:00Z", "ESH7"),
    ],
)
def test_the_front_contract_rolls_eight_days_before_it_ends(at: str, symbol: str) -> None:
    assert front_future("ES", parse_instant(at)).symbol == symbol
