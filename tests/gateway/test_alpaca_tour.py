"""The tour with Alpaca as the broker, over PostgreSQL and RabbitMQ: the same tests, word for word.

What Alpaca does not trade is left out: futures, currencies, and orders that are good till a date;
and so is that a stop has been triggered, of which it does not tell.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.services import database, found
from tests.gateway import test_tour as tour
from tests.gateway.client import Client
from tests.gateway.process import Running, drawbridge, free_port, running
from tests.gateway.simulator import simulated
from tests.gateway.tokens import minted

pytestmark = pytest.mark.services

test_market = tour.test_a_market_order_fills_at_the_quote
test_crossing = tour.test_a_limit_order_that_crosses_fills_no_worse_than_its_price
test_resting = tour.test_a_limit_order_below_the_market_rests_is_replaced_and_canceled
test_stop = tour.test_a_stop_waits_and_one_that_is_reached_fills
test_not_at_once = tour.test_what_cannot_trade_at_once_is_canceled
test_at_once = tour.test_what_can_trade_at_once_does
test_cancel_all = tour.test_all_orders_are_canceled_by_symbol_by_side_or_at_once
test_preview = tour.test_a_preview_says_what_risk_would_and_places_nothing
test_balance = tour.test_positions_and_cash_are_what_the_fills_come_to
test_halt = tour.test_a_halt_refuses_orders_lets_cancels_pass_and_takes_two_to_lift
test_reduce = tour.test_an_account_that_only_reduces_takes_what_closes
test_stream = tour.test_a_stream_from_the_first_report_goes_on_live
test_resume = tour.test_a_stream_resumes_where_it_broke_without_a_gap_or_a_repeat
test_fills = tour.test_fills_arrive_for_one_who_only_watches
test_cursor = tour.test_a_cursor_beyond_the_log_is_refused


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("alpaca")


@pytest.fixture(scope="module")
def access(folder: Path) -> Iterator[dict[str, str]]:
    """Run a simulator; say how it is reached, as settings."""
    # More than Alpaca allows in a minute, which the tour does not take.
    with simulated("alpaca", folder, "--rate-limit", 1000) as url:
        key = folder / "simulator" / "credentials"
        yield {"broker": "alpaca", "broker_url": url, "broker_credentials": str(key)}


@pytest.fixture(scope="module")
def gateway(folder: Path, access: dict[str, str]) -> Iterator[Running]:
    """Run a gateway among many, of which there is one, with Alpaca as the broker."""
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
    query = "{ gateway { brokers { broker environment replace replay securityTypes } } }"
    [shown] = trader.data(query)["brokers"]

    assert (shown["broker"], shown["environment"], shown["replace"]) == ("alpaca", "SIM", "NEW_ID")
    assert set(shown["securityTypes"]) == {"COMMON_STOCK", "CRYPTO_SPOT"}


def test_what_the_broker_does_not_take_is_refused_by_risk(trader: Client) -> None:
    refused = trader.place(
        **tour.terms(
            ordType="LIMIT",
            price=tour.below(trader),
            timeInForce="GOOD_TILL_DATE",
            expireTime="2099-01-01T00:00:00Z",
        )
    )

    assert (refused["ordStatus"], refused["rejectedBy"]) == ("REJECTED", "GATEWAY")
    failed = [each for each in refused["riskDecision"]["checks"] if each["verdict"] != "PASS"]
    assert [each["code"] for each in failed] == ["UNSUPPORTED_BY_BROKER"]


def test_the_account_of_a_key_is_asked_for_on_the_command_line(
    access: dict[str, str], tmp_path: Path
) -> None:
    shown = drawbridge("broker", "--data", tmp_path, **access)
    here = drawbridge("broker", "--data", tmp_path)

    assert (shown.returncode, shown.stderr) == (0, "")
    assert "SIM000000001, here equity: open, USD: cash " in shown.stdout
    assert here.returncode == 2
    assert "paper keeps no accounts of its own" in here.stderr


@pytest.mark.slow
def test_a_key_of_another_world_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "key_id").write_text("AKMADEUP\n")
    (tmp_path / "secret_key").write_text("made-up\n")
    refused = drawbridge(
        "serve",
        "--data",
        tmp_path / "data",
        "--port",
        free_port(),
        broker="alpaca",
        broker_url="http://127.0.0.1:1",
        broker_credentials=str(tmp_path),
    )

    assert refused.returncode == 2
    assert "the key is of Alpaca's environment live, and this gateway of sim" in refused.stderr
