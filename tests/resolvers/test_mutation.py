"""Mutations: what reaches the desk, and what its answers become."""

from dataclasses import fields, replace
from decimal import Decimal
from typing import Any

import pytest

from schema import order as nouns
from tests.resolvers.conftest import Ask
from tests.resolvers.fakes import (
    AAPL,
    TENANT,
    World,
    a_cancel_reject,
    an_approval_request,
    an_input_error,
    an_order,
)
from trading.account import TradingState
from trading.closing import Acknowledgement
from trading.command import (
    CancelAllOrders,
    CancelOrder,
    OrderTarget,
    PlaceOrder,
    ReplaceOrder,
    SetTradingState,
)
from trading.control import MassAction
from trading.ids import AccountID, ClOrdID, OrderID, TenantID
from trading.order import OrdStatus, OrdType, Side, TimeInForce
from trading.outcome import (
    ApprovalRequired,
    BrokerUnavailable,
    ClOrdIdConflict,
    CursorAhead,
    Forbidden,
    GatewayError,
    InvalidInput,
    NotFound,
    OutcomeUnknown,
    Overloaded,
    TradingStateSet,
    WaitFor,
)
from trading.reject import OrdRejReason, RejectedBy
from trading.scope import Scope, ScopeKind

PLACE = """mutation ($input: PlaceOrderInput!, $waitFor: WaitFor! = COMMIT) {
  placeOrder(input: $input, waitFor: $waitFor) {
    __typename
    ... on Order { id ordStatus rejectedBy ordRejReason text }
    ... on InvalidInput { errors { path code message } }
    ... on ClOrdIdConflict { message order { id } }
  }
}"""
ORDER = {
    "accountId": "ours",
    "clOrdId": "c1",
    "symbol": "AAPL",
    "side": "BUY",
    "ordType": "LIMIT",
    "orderQty": "10",
    "price": "150.10",
}


async def test_a_placed_order_reaches_the_desk_with_its_defaults(ask: Ask, world: World) -> None:
    result = await ask(PLACE, {"input": ORDER})

    assert result["data"]["placeOrder"]["__typename"] == "Order"
    [(principal, command, wait_for)] = world.desk.commands
    assert principal.user_id == "u1"
    assert wait_for is WaitFor.COMMIT
    assert command == PlaceOrder(
        account_id=AccountID("ours"),
        cl_ord_id=ClOrdID("c1"),
        symbol="AAPL",
        side=Side.BUY,
        ord_type=OrdType.LIMIT,
        order_qty=Decimal(10),
        price=Decimal("150.10"),
    )


async def test_every_term_of_an_order_reaches_the_desk(ask: Ask, world: World) -> None:
    more = {
        "ordType": "STOP_LIMIT",
        "stopPx": "149",
        "timeInForce": "GOOD_TILL_DATE",
        "expireTime": "2030-01-31T22:00:00.000000001+01:00",
        "reduceOnly": True,
        "strategyId": "s",
        "manualOrderIndicator": False,
    }

    await ask(PLACE, {"input": ORDER | more, "waitFor": "BROKER"})

    [(_, command, wait_for)] = world.desk.commands
    assert wait_for is WaitFor.BROKER
    assert command.ord_type is OrdType.STOP_LIMIT
    assert command.stop_px == Decimal(149)
    assert command.time_in_force is TimeInForce.GOOD_TILL_DATE
    assert command.expire_time == 1_896_123_600_000_000_001
    assert (command.reduce_only, command.strategy_id) == (True, "s")
    assert command.manual_order_indicator is False


async def test_literals_are_read_as_variables_are(ask: Ask, world: World) -> None:
    await ask(
        """mutation { placeOrder(waitFor: BROKER, input: {accountId: "ours", clOrdId: "c1",
          symbol: "AAPL", side: SELL, ordType: MARKET, orderQty: "2", price: null}) {
          ... on Order { id } } }"""
    )

    [(_, command, wait_for)] = world.desk.commands
    assert wait_for is WaitFor.BROKER
    assert (command.side, command.order_qty, command.price) == (Side.SELL, Decimal(2), None)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (nouns.PlaceOrderInput, PlaceOrder),
        (nouns.ReplaceOrderInput, ReplaceOrder),
        (nouns.CancelOrderInput, CancelOrder),
        (nouns.CancelAllOrdersInput, CancelAllOrders),
        (nouns.OrderTarget, OrderTarget),
    ],
)
def test_an_input_has_the_fields_of_its_command(given: Any, expected: Any) -> None:
    definition = given.__strawberry_definition__

    # A command's trace is no part of what its client says.
    said = {f.name for f in fields(expected) if f.compare}
    assert {f.python_name for f in definition.fields} == said


async def test_a_refusal_by_risk_is_an_order(ask: Ask, world: World) -> None:
    world.desk.answer = replace(
        an_order(),
        status=OrdStatus.REJECTED,
        rejected_by=RejectedBy.GATEWAY,
        ord_rej_reason=OrdRejReason.ORDER_EXCEEDS_LIMIT,
        text="too large",
    )

    result = await ask(PLACE, {"input": ORDER})

    assert result["data"]["placeOrder"] == {
        "__typename": "Order",
        "id": "o1",
        "ordStatus": "REJECTED",
        "rejectedBy": "GATEWAY",
        "ordRejReason": "ORDER_EXCEEDS_LIMIT",
        "text": "too large",
    }


async def test_a_wrong_input_is_data(ask: Ask, world: World) -> None:
    world.desk.answer = InvalidInput((an_input_error(),))

    result = await ask(PLACE, {"input": ORDER})

    assert result["data"]["placeOrder"]["__typename"] == "InvalidInput"
    assert result["data"]["placeOrder"]["errors"][0]["path"] == ["input", "price"]


@pytest.mark.parametrize("order", [an_order(), None])
async def test_a_conflict_is_data(ask: Ask, world: World, order: Any) -> None:
    world.desk.answer = ClOrdIdConflict("c1 is another order", order)

    result = await ask(PLACE, {"input": ORDER})

    assert result["data"]["placeOrder"] == {
        "__typename": "ClOrdIdConflict",
        "message": "c1 is another order",
        "order": {"id": "o1"} if order else None,
    }


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ({"origClOrdId": "c1"}, OrderTarget(orig_cl_ord_id=ClOrdID("c1"))),
        ({"orderId": "o1"}, OrderTarget(order_id=OrderID("o1"))),
    ],
)
async def test_a_replace_and_a_cancel_name_their_target(
    ask: Ask, world: World, target: dict[str, str], expected: OrderTarget
) -> None:
    key = {"accountId": "ours", "clOrdId": "c2", "target": target}

    await ask(
        "mutation ($i: ReplaceOrderInput!) { replaceOrder(input: $i) { __typename } }",
        {"i": key | {"price": "151"}},
    )
    result = await ask(
        "mutation ($i: CancelOrderInput!) { cancelOrder(input: $i, waitFor: BROKER) {"
        " ... on Order { ordStatus } } }",
        {"i": key},
    )

    (_, first, wait_first), (_, second, wait_second) = world.desk.commands
    account, cl_ord_id = AccountID("ours"), ClOrdID("c2")
    assert first == ReplaceOrder(
        account_id=account, cl_ord_id=cl_ord_id, target=expected, price=Decimal(151)
    )
    assert second == CancelOrder(account_id=account, cl_ord_id=cl_ord_id, target=expected)
    assert (wait_first, wait_second) == (WaitFor.COMMIT, WaitFor.BROKER)
    assert result["data"]["cancelOrder"] == {"ordStatus": "PENDING_CANCEL"}


@pytest.mark.parametrize(
    "target",
    [{}, {"origClOrdId": "c1", "orderId": "o1"}, {"origClOrdId": None}, {"orderId": None}],
)
async def test_a_target_is_one_of_two(ask: Ask, world: World, target: dict[str, Any]) -> None:
    result = await ask(
        "mutation ($i: CancelOrderInput!) { cancelOrder(input: $i) { __typename } }",
        {"i": {"accountId": "ours", "clOrdId": "c2", "target": target}},
    )

    [error] = result["errors"]
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert error["extensions"]["errors"][0]["path"][:2] == ["i", "target"]
    assert world.desk.commands == []


async def test_a_refused_cancel_is_data(ask: Ask, world: World) -> None:
    world.desk.answer = a_cancel_reject(3)

    result = await ask(
        """mutation { cancelOrder(input: {accountId: "ours", clOrdId: "x1",
          target: {origClOrdId: "c-o1"}}) {
          ... on OrderCancelReject { seq cxlRejReason cxlRejResponseTo order { id } } } }"""
    )

    assert result["data"]["cancelOrder"] == {
        "seq": "3",
        "cxlRejReason": "TOO_LATE_TO_CANCEL",
        "cxlRejResponseTo": "ORDER_CANCEL_REQUEST",
        "order": {"id": "o1"},
    }


async def test_all_orders_are_canceled(ask: Ask, world: World) -> None:
    result = await ask(
        """mutation { cancelAllOrders(input: {accountId: "ours", clOrdId: "k", side: SELL}) {
          ... on OrderMassCancelReport {
            accountId clOrdId totalAffectedOrders orders { id } } } }"""
    )

    assert result["data"]["cancelAllOrders"] == {
        "accountId": "ours",
        "clOrdId": "k",
        "totalAffectedOrders": 1,
        "orders": [{"id": "o1"}],
    }
    [(_, command)] = world.desk.commands
    assert command == CancelAllOrders(
        account_id=AccountID("ours"), cl_ord_id=ClOrdID("k"), side=Side.SELL
    )


STATE = """mutation ($scope: TradingScopeInput!) {
  setTradingState(input: {scope: $scope, state: HALTED, reason: "drill"}) {
    ... on TradingStateSet { changes { id accountId before state reason changedBy changedAt } }
    ... on ApprovalRequired { request { id state requestedBy expiresAt } }
    ... on InvalidInput { errors { code } }
  }
}"""


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ({"accountId": "ours"}, {"account_id": AccountID("ours")}),
        ({"tenantId": "tenant"}, {"tenant_id": TenantID("tenant")}),
    ],
)
async def test_a_trading_state_is_set_for_its_scope(
    ask: Ask, world: World, scope: dict[str, str], expected: dict[str, Any]
) -> None:
    result = await ask(STATE, {"scope": scope})

    assert result["data"]["setTradingState"]["changes"][0]["state"] == "HALTED"
    [(_, command)] = world.desk.commands
    assert command == SetTradingState(state=TradingState.HALTED, reason="drill", **expected)


@pytest.mark.parametrize(
    ("given", "scope"),
    [
        ({"all": True}, Scope(ScopeKind.ALL)),
        ({"broker": "paper"}, Scope(ScopeKind.BROKER, "paper", TENANT)),
        ({"userId": "u9"}, Scope(ScopeKind.USER, "u9", TENANT)),
        ({"strategyId": "s"}, Scope(ScopeKind.STRATEGY, "s", TENANT)),
        ({"symbol": "AAPL"}, Scope(ScopeKind.INSTRUMENT, AAPL, TENANT)),
    ],
)
async def test_a_scope_is_meant_within_the_callers_tenant(
    ask: Ask, world: World, given: dict[str, Any], scope: Scope
) -> None:
    await ask(STATE, {"scope": given})

    [(_, command)] = world.desk.commands
    assert command == SetTradingState(state=TradingState.HALTED, reason="drill", scope=scope)


async def test_a_scope_of_an_unknown_instrument_is_told(ask: Ask, world: World) -> None:
    result = await ask(STATE, {"scope": {"symbol": "NOPE"}})

    assert result["data"]["setTradingState"]["errors"] == [{"code": "UNKNOWN_SYMBOL"}]
    assert world.desk.commands == []


@pytest.mark.parametrize("given", [{"all": False}, {"broker": ""}])
async def test_a_scope_that_names_nothing_is_refused(
    ask: Ask, world: World, given: dict[str, Any]
) -> None:
    result = await ask(STATE, {"scope": given})

    assert result["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    assert world.desk.commands == []


async def test_the_action_is_passed_on_and_the_acknowledgement_shown(
    ask: Ask, world: World
) -> None:
    acknowledgement = Acknowledgement(
        epoch=7,
        scope=Scope(ScopeKind.ALL),
        confirmed=("paper",),
        unconfirmed=(),
        in_flight=(an_order(),),
        in_flight_count=2,
        working=(),
        working_count=0,
    )
    world.desk.answer = TradingStateSet((), acknowledgement)
    result = await ask(
        """mutation { setTradingState(input: {scope: {all: true}, state: HALTED, reason: "r",
             action: CANCEL_ORDERS}) { ... on TradingStateSet { acknowledgement {
             epoch confirmed unconfirmed inFlight { id } inFlightCount workingCount } } } }"""
    )

    assert result["data"]["setTradingState"]["acknowledgement"] == {
        "epoch": "7",
        "confirmed": ["paper"],
        "unconfirmed": [],
        "inFlight": [{"id": "o1"}],
        "inFlightCount": 2,
        "workingCount": 0,
    }
    [(_, command)] = world.desk.commands
    assert command.action is MassAction.CANCEL_ORDERS


async def test_the_states_in_force_are_listed(ask: Ask, world: World) -> None:
    del world
    result = await ask("{ tradingStates { epoch scopeKind scopeId state action cleanAt } }")

    assert result["data"]["tradingStates"] == [
        {
            "epoch": "1",
            "scopeKind": "ALL",
            "scopeId": "",
            "state": "HALTED",
            "action": "NONE",
            "cleanAt": None,
        }
    ]


async def test_loosening_asks_for_approval(ask: Ask, world: World) -> None:
    world.desk.answer = ApprovalRequired(an_approval_request())

    result = await ask(STATE, {"scope": {"accountId": "ours"}})

    request = result["data"]["setTradingState"]["request"]
    assert (request["id"], request["state"], request["requestedBy"]) == ("r1", "ACTIVE", "u1")


async def test_a_request_is_approved(ask: Ask, world: World) -> None:
    result = await ask(
        'mutation { approveTradingState(requestId: "r1") { ... on TradingStateSet'
        " { changes { accountId } } } }"
    )

    assert result["data"]["approveTradingState"] == {"changes": [{"accountId": "ours"}]}
    assert world.desk.commands[0][1] == "r1"


@pytest.mark.parametrize(
    "failure",
    [
        NotFound("there is no such account"),
        Forbidden("you may not"),
        Overloaded("busy", retry_after_ms=250),
        BrokerUnavailable("closed"),
        OutcomeUnknown("ask again"),
        CursorAhead("too far"),
    ],
)
async def test_an_operating_failure_has_its_code(
    ask: Ask, world: World, failure: GatewayError
) -> None:
    world.desk.answer = failure

    result = await ask(PLACE, {"input": ORDER})

    [error] = result["errors"]
    assert error["message"] == str(failure)
    assert error["path"] == ["placeOrder"]
    assert error["extensions"]["code"] == failure.code
    assert error["extensions"].get("retryAfterMs") == failure.retry_after_ms
