"""Where quotes come from: a gateway's from where its orders go, a market's from itself."""

from dataclasses import replace

import pytest

from brokers.quotes.remote import RemoteQuotes
from brokers.quotes.simulated import SimulatedQuotes
from gateway.config import Settings
from gateway.market import market_data, own_market
from gateway.setting import HostPort
from gateway.system import SystemClock

SHARED = replace(Settings(), exchange=HostPort("127.0.0.1", 8100))
"""What gateways and their exchange have in their environment alike."""


def test_a_gateway_takes_the_quotes_of_the_exchange_that_its_orders_meet() -> None:
    assert isinstance(market_data(SHARED, SystemClock()), RemoteQuotes)
    assert isinstance(market_data(Settings(), SystemClock()), SimulatedQuotes)


@pytest.mark.parametrize("settings", [SHARED, replace(SHARED, broker="alpaca")])
def test_a_market_never_asks_itself(settings: Settings) -> None:
    assert own_market(settings, SystemClock()).instruments
