"""A portfolio that follows changes is the sum that would be made anew after each of them."""

from hypothesis import given
from hypothesis import strategies as st

from tests.trading.builders import AAPL, ACCOUNT, ES
from trading.account import Position
from trading.ids import InstrumentID
from trading.portfolio import Portfolio
from trading.valuation import Burden, total

SYMBOLS = [AAPL, ES, InstrumentID("X@XNAS")]
AMOUNTS = st.none() | st.decimals(-(9**9), 9**9, places=4)
BURDENS = st.builds(Burden, *(AMOUNTS for _ in Burden()))
CHANGES = st.lists(st.tuples(st.sampled_from(SYMBOLS), BURDENS), max_size=12)


@given(CHANGES, CHANGES)
def test_the_sum_of_the_others_is_exact_whatever_came_and_went(
    begun: list[tuple[InstrumentID, Burden]], changes: list[tuple[InstrumentID, Burden]]
) -> None:
    now = dict(begun)

    def weigh(position: Position) -> Burden:
        return now[position.symbol]

    portfolio = Portfolio(0, map(at, now), weigh)
    for symbol, burden in changes:
        now[symbol] = burden
        portfolio.put(at(symbol))
    for symbol in SYMBOLS:
        others = [burden for each, burden in now.items() if each != symbol]
        assert portfolio.without(symbol) == total(others)


def at(symbol: InstrumentID) -> Position:
    return Position(account_id=ACCOUNT, symbol=symbol)
