"""The tour with Tradovate as the broker, over PostgreSQL and RabbitMQ: the same tests, on futures.

What Tradovate does not trade is left out, stocks and currencies; and so is that a stop has been
triggered, of which it does not tell. One log-in serves both accounts.
"""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from brokers.instruments import front_future
from gateway.system import SystemClock
from tests.faults.services import database, found
from tests.gateway import test_tour as tour
from tests.gateway.client import Client, eventually
from tests.gateway.process import Running, drawbridge, running
from tests.gateway.simulator import simulated
from tests.gateway.tokens import minted

pytestmark = pytest.mark.services

test_market = tour.test_a_market_order_fills_at_the_quote
test_crossing = tour.test_a_limit_order_that_crosses_fills_no_worse_than_its_price
test_resting = tour.test_a_limit_order_below_the_market_rests_is_replaced_and_canceled
test_stop = tour.test_a_stop_waits_and_one_that_is_reached_fills
test_not_at_once = tour.test_what_cannot_trade_at_once_is_canceled
test_at_once = tour.test_what_can_trade_at_once_does
test_dated = tour.test_a_good_till_date_order_expires_on_its_date
test_cancel_all = tour.test_all_orders_are_canceled_by_symbol_by_side_or_at_once
test_preview = tour.test_a_preview_says_what_risk_would_and_places_nothing
test_gains = tour.test_futures_move_cash_by_gains_alone_and_tie_up_margin
test_halt = tour.test_a_halt_refuses_orders_lets_cancels_pass_and_takes_two_to_lift
test_reduce = tour.test_an_account_that_only_reduces_takes_what_closes
test_stream = tour.test_a_stream_from_the_first_report_goes_on_live
test_resume = tour.test_a_stream_resumes_where_it_broke_without_a_gap_or_a_repeat
test_fills = tour.test_fills_arrive_for_one_who_only_watches
test_cursor = tour.test_a_cursor_beyond_the_log_is_refused
test_followed = tour.test_positions_accounts_quotes_and_states_can_be_followed

ACCOUNTS = "equity=SIM1000001,futures=SIM1000002"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tradovate")


@pytest.fixture(scope="module", autouse=True)
def goods() -> Iterator[tour.Goods]:
    """Have the tour trade the front contracts of the S&P 500, small and large."""
    now = SystemClock().now()
    stocks, tour.GOODS = (
        tour.GOODS,
        tour.Goods(
            first=front_future("MES", now).symbol,
            second=front_future("ES", now).symbol,
            mic="XCME",
            tick=Decimal("0.25"),
            most=50,
        ),
    )
    yield tour.GOODS
    tour.GOODS = stocks


@pytest.fixture(scope="module")
def access(folder: Path, goods: tour.Goods) -> Iterator[dict[str, str]]:
    """Run a simulator, whose tokens last for seconds; say how it is reached, as settings."""
    # More requests than Tradovate allows in an hour, which the tour does not take.
    with simulated("tradovate", folder, "--rate-limit", 100_000, "--token-life", 20) as url:
        yield {
            "broker": "tradovate",
            "broker_url": url,
            "broker_credentials": str(folder / "simulator" / "credentials"),
            "broker_account": ACCOUNTS,
            "symbols": f"{goods.first},{goods.second}",
        }


@pytest.fixture(scope="module")
def gateway(folder: Path, access: dict[str, str]) -> Iterator[Running]:
    """Run a gateway among many, of which there is one, with Tradovate as the broker."""
    with (
        found() as services,
        database(services.postgres) as database_url,
        running(
            folder / "data",
            **access,
            database_url=database_url,
            amqp_url=services.amqp,
            redis_url=services.redis,
        ) as gateway,
    ):
        yield gateway


@pytest.fixture(scope="module")
def trader(gateway: Running) -> Iterator[Client]:
    with Client(gateway.url, minted(gateway.data, "trader")) as client:
        yield client


def test_the_broker_and_what_it_can_do_are_shown(trader: Client) -> None:
    query = """{ gateway { brokers {
        broker environment replace replay dedupesWireId securityTypes } } }"""
    [shown] = trader.data(query)["brokers"]

    assert (shown["broker"], shown["environment"], shown["replace"]) == (
        "tradovate",
        "SIM",
        "SAME_ID",
    )
    assert (shown["dedupesWireId"], shown["securityTypes"]) == (False, ["FUTURE"])


def test_a_contract_is_what_tradovate_says_of_it(trader: Client, goods: tour.Goods) -> None:
    query = """query($symbol: String!) { instrument(symbol: $symbol) {
        symbol mic securityType currency tick lot multiplier expiry } }"""
    found = trader.data(query, symbol=goods.first)

    assert (found["mic"], found["securityType"]) == ("XCME", "FUTURE")
    assert (found["tick"], found["multiplier"], found["lot"]) == ("0.25", "5", "1")
    assert (found["currency"], found["expiry"] is not None) == ("USD", True)


def test_the_accounts_of_a_user_are_asked_for_on_the_command_line(
    access: dict[str, str], tmp_path: Path
) -> None:
    # The second session of the user: a third one would end that of the gateway.
    shown = drawbridge("broker", "--data", tmp_path, **access)

    assert (shown.returncode, shown.stderr) == (0, "")
    assert "SIM1000001, here equity: open, USD: cash " in shown.stdout
    assert "SIM1000002, here futures: open, USD: cash " in shown.stdout


def test_the_token_was_renewed_and_nobody_logged_in_twice(gateway: Running, folder: Path) -> None:
    def asked() -> list[str]:
        logs = sorted((folder / "data").glob("tradovate*.jsonl"))
        lines = [json.loads(line) for log in logs for line in log.read_text().splitlines()]
        return [line["what"] for line in lines if line["is"] == "sent"]

    eventually(asked, lambda said: "GET /v1/auth/renewaccesstoken" in said)

    assert asked().count("POST /v1/auth/accesstokenrequest") == 1
    assert gateway.process.poll() is None
