"""The kill switch over GraphQL, on a gateway that runs: every scope in every mode, and its end."""

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from tests.gateway.client import Client, eventually
from tests.gateway.documents import PLACE
from tests.gateway.process import Running, running
from tests.gateway.tokens import minted

pytestmark = pytest.mark.slow

SET = """
mutation($input: SetTradingStateInput!) { setTradingState(input: $input) {
  __typename
  ... on TradingStateSet { acknowledgement { unconfirmed } }
  ... on ApprovalRequired { request { id } }
  ... on InvalidInput { errors { code } }
} }
"""
APPROVE = """
mutation($requestId: ID!) { approveTradingState(requestId: $requestId) {
  __typename
  ... on TradingStateSet { acknowledgement { unconfirmed } }
} }
"""
SCOPES: dict[str, dict[str, Any]] = {
    "all": {"all": True},
    "broker": {"broker": "paper"},
    "tenant": {"tenantId": "demo"},
    "user": {"userId": "trader"},
    "account": {"accountId": "equity"},
    "strategy": {"strategyId": "momentum"},
    "instrument": {"symbol": "AAPL"},
}
ORDER = {"accountId": "equity", "symbol": "AAPL", "strategyId": "momentum", "orderQty": "1"}
RESTING = {"ordType": "LIMIT", "price": "222", "timeInForce": "GOOD_TILL_CANCEL"}
NUMBERS = count(1)


class Drill:
    """A trader, and the people who stop him."""

    def __init__(self, gateway: Running) -> None:
        users = ("trader", "risk_officer", "risk_officer_2", "operator")
        self._clients = {user: Client(gateway.url, minted(gateway.data, user)) for user in users}

    def close(self) -> None:
        for client in self._clients.values():
            client.close()

    def place(self, side: str = "BUY", **terms: str) -> Any:
        number, kind = next(NUMBERS), {"ordType": "MARKET", "side": side}
        asked = {**ORDER, **kind, **terms, "clOrdId": f"drill-{number}"}
        return self._clients["trader"].data(PLACE, input=asked, waitFor="BROKER")

    def placed(self, side: str = "BUY", **terms: str) -> Any:
        """Place an order that we take."""
        order = self.place(side, **terms)
        assert order["rejectedBy"] is None, order
        return order

    def refused(self, side: str = "BUY") -> str:
        """Place an order that we must refuse, and return the reason."""
        order = self.place(side)
        assert (order["ordStatus"], order["rejectedBy"]) == ("REJECTED", "GATEWAY")
        return str(order["text"]).split(":")[0]

    def status(self, order: Any, status: str) -> None:
        eventually(lambda: self.trader.order(order["id"]), lambda o: o["ordStatus"] == status)

    def holds(self, net_qty: str) -> None:
        eventually(self._net_qty, lambda held: held == net_qty)

    def _net_qty(self) -> str:
        positions = self.trader.account()["positions"]
        return next((each["netQty"] for each in positions if each["symbol"] == "AAPL@XNAS"), "0")

    @property
    def trader(self) -> Client:
        return self._clients["trader"]

    def set(self, scope: str, state: str, action: str = "NONE") -> Any:
        """Set a state as who may; nobody but an operator does for all."""
        officer = self._clients["operator" if scope == "all" else "risk_officer"]
        asked = {"scope": SCOPES[scope], "state": state, "action": action, "reason": "a drill"}
        return officer.data(SET, input=asked)

    def is_set(self, scope: str, state: str, action: str = "NONE") -> None:
        answer = self.set(scope, state, action)
        assert answer["__typename"] == "TradingStateSet", answer
        assert answer["acknowledgement"]["unconfirmed"] == []

    def release(self, scope: str) -> None:
        asked = self.set(scope, "ACTIVE")
        assert asked["__typename"] == "ApprovalRequired"
        answer = self._clients["risk_officer_2"].data(APPROVE, requestId=asked["request"]["id"])
        assert answer["__typename"] == "TradingStateSet", answer


@pytest.fixture(scope="module")
def drill(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drill]:
    with running(tmp_path_factory.mktemp("modes") / "data") as gateway:
        made = Drill(gateway)
        eventually(lambda: made.place("SELL"), lambda order: order["rejectedBy"] is None)
        made.placed()
        yield made
        made.close()


@pytest.mark.parametrize("scope", [each for each in SCOPES if each != "all"])
def test_a_scope_is_stopped_in_every_mode_and_released_by_two(drill: Drill, scope: str) -> None:
    working = drill.placed(**RESTING)
    drill.is_set(scope, "HALTED")
    assert drill.refused() == "TRADING_HALTED"
    assert drill.trader.order(working["id"])["ordStatus"] == "NEW"
    assert drill.trader.cancel(f"cancel-{scope}", working["clOrdId"])["__typename"] == "Order"
    drill.status(working, "CANCELED")
    drill.release(scope)

    drill.placed(orderQty="3")
    drill.holds("3")
    drill.is_set(scope, "REDUCING")
    assert drill.refused() == "TRADING_STATE_REDUCING"
    drill.placed("SELL")
    drill.holds("2")
    drill.release(scope)

    working = drill.placed(**RESTING)
    drill.is_set(scope, "HALTED", "CANCEL_ORDERS")
    drill.status(working, "CANCELED")
    assert drill.refused("SELL") == "TRADING_HALTED"
    drill.release(scope)

    if scope in {"user", "strategy"}:
        # A position is an account's, and nobody else's.
        assert drill.set(scope, "REDUCING", "FLATTEN")["errors"] == [{"code": "NOT_ALLOWED"}]
        drill.placed("SELL", orderQty="2")
    else:
        drill.is_set(scope, "REDUCING", "FLATTEN")
        drill.holds("0")
        drill.release(scope)
    drill.holds("0")
    drill.placed()
    drill.placed("SELL")


def test_everything_is_stopped_by_an_operator_alone(drill: Drill) -> None:
    """The last of all: two operators would be needed to release it over GraphQL."""
    drill.placed(orderQty="2")
    drill.holds("2")
    drill.is_set("all", "REDUCING")
    assert drill.refused() == "TRADING_STATE_REDUCING"
    working = drill.placed("SELL", **RESTING | {"price": "236"})
    drill.is_set("all", "REDUCING", "FLATTEN")
    drill.status(working, "CANCELED")
    drill.holds("0")
    drill.is_set("all", "HALTED")
    assert drill.refused() == "TRADING_HALTED"
    drill.is_set("all", "HALTED", "CANCEL_ORDERS")
    assert drill.set("all", "ACTIVE")["__typename"] == "ApprovalRequired"
