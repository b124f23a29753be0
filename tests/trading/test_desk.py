"""The order desk: who may command what, and what a command comes to."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from tests.trading.builders import AAPL, ACCOUNT, TENANT, amend, cancel, new, place, principal
from tests.trading.fakes import settle
from tests.trading.house import House
from trading.command import CancelAllOrders
from trading.execution import OrderCancelReject
from trading.ids import AccountID, ClOrdID
from trading.order import Order, OrdStatus
from trading.outcome import (
    ClOrdIdConflict,
    Forbidden,
    InvalidInput,
    NotFound,
    OrderMassCancelReport,
    WaitFor,
)
from trading.permission import Entitlement, Principal
from trading.ports import InDoubt, Rejected

TRADER = principal()
READER = principal("reader", accounts={ACCOUNT: Entitlement.READ})
STRANGER = principal("stranger", accounts={AccountID("elsewhere"): Entitlement.TRADE})


def mass_cancel(cl_ord_id: str = "m1", symbol: str | None = None) -> CancelAllOrders:
    return CancelAllOrders(account_id=ACCOUNT, cl_ord_id=ClOrdID(cl_ord_id), symbol=symbol)


def every_way(house: House, who: Principal) -> list[Coroutine[Any, Any, object]]:
    desk = house.desk
    return [
        desk.place(who, place(), WaitFor.COMMIT),
        desk.replace(who, amend(), WaitFor.COMMIT),
        desk.cancel(who, cancel(), WaitFor.COMMIT),
        desk.cancel_all(who, mass_cancel()),
        desk.preview(who, place()),
    ]


@pytest.mark.parametrize(("who", "error"), [(STRANGER, NotFound), (READER, Forbidden)])
async def test_who_may_not_trade_changes_nothing(who: Principal, error: type[Exception]) -> None:
    async with House().open() as house:
        for way in every_way(house, who):
            with pytest.raises(error):
                await way

        assert house.store.commits == 0


async def test_an_account_that_is_not_there_looks_like_a_foreign_one() -> None:
    async with House().open() as house:
        for account_id in (ACCOUNT, AccountID("nowhere")):
            with pytest.raises(NotFound, match=f"^there is no account {account_id}$"):
                await house.desk.place(STRANGER, place(account_id=account_id), WaitFor.COMMIT)


async def test_what_is_wrong_by_itself_does_not_use_its_cl_ord_id() -> None:
    async with House().open() as house:
        refused = await house.desk.place(TRADER, place(price=None), WaitFor.COMMIT)
        assert isinstance(refused, InvalidInput)
        assert [each.path for each in refused.errors] == [("input", "price")]

        assert isinstance(await house.desk.place(TRADER, place(), WaitFor.COMMIT), Order)


async def test_an_order_is_answered_once_it_is_recorded() -> None:
    async with House().open() as house:
        placed = await house.desk.place(TRADER, place(), WaitFor.COMMIT)

        assert isinstance(placed, Order)
        assert placed.ord_status is OrdStatus.PENDING_NEW
        assert house.quotes.wanted == {AAPL}


async def test_another_body_is_a_conflict() -> None:
    async with House().open() as house:
        await house.desk.place(TRADER, place(), WaitFor.COMMIT)
        conflict = await house.desk.cancel(TRADER, cancel("p1"), WaitFor.COMMIT)

        assert isinstance(conflict, ClOrdIdConflict)
        assert conflict.order is not None


async def test_who_waits_for_the_broker_gets_its_first_word() -> None:
    async with House().open() as house:
        waiting = asyncio.create_task(house.desk.place(TRADER, place(), WaitFor.BROKER))
        await settle()
        assert not waiting.done()
        [(_, wire_id)] = house.broker.sent
        house.broker.tell(new(wire_id))
        placed = await waiting

        assert isinstance(placed, Order)
        assert placed.ord_status is OrdStatus.NEW


@pytest.mark.parametrize(
    ("error", "status"),
    [(Rejected("no"), OrdStatus.REJECTED), (InDoubt("timeout"), OrdStatus.PENDING_NEW)],
)
async def test_who_waits_for_the_broker_hears_of_refusal_and_of_doubt(
    error: Any, status: OrdStatus
) -> None:
    async with House().open() as house:
        house.broker.answers = [error]
        placed = await house.desk.place(TRADER, place(), WaitFor.BROKER)

        assert isinstance(placed, Order)
        assert placed.ord_status is status
        assert placed.in_doubt is isinstance(error, InDoubt)


async def test_who_waits_for_the_broker_gets_its_refusal_of_a_cancel() -> None:
    async with House().open() as house:
        order = await house.placed()
        house.broker.tell(new(order.wire_id))
        await settle()
        house.broker.answers = [Rejected("too late")]
        refused = await house.desk.cancel(TRADER, cancel(), WaitFor.BROKER)

        assert isinstance(refused, OrderCancelReject)
        assert refused.text == "too late"


async def test_a_mass_cancel_is_repeated_with_the_orders_it_was_about() -> None:
    async with House().open() as house:
        order = await house.placed()
        first = await house.desk.cancel_all(TRADER, mass_cancel())
        await house.placed("p2")
        again = await house.desk.cancel_all(TRADER, mass_cancel())

        assert isinstance(first, OrderMassCancelReport)
        assert isinstance(again, OrderMassCancelReport)
        assert [each.id for each in first.orders] == [each.id for each in again.orders]
        assert [each.id for each in first.orders] == [order.id]
        assert isinstance(
            await house.desk.cancel_all(TRADER, mass_cancel(symbol="AAPL")), ClOrdIdConflict
        )


async def test_a_mass_cancel_of_no_known_symbol_is_invalid() -> None:
    async with House().open() as house:
        refused = await house.desk.cancel_all(TRADER, mass_cancel(symbol="NOPE"))

        assert isinstance(refused, InvalidInput)
        assert refused.errors[0].code == "UNKNOWN_SYMBOL"
        assert house.store.commits == 0


async def test_a_preview_decides_and_records_nothing() -> None:
    async with House().open() as house:
        decision = await house.desk.preview(TRADER, place())
        assert not isinstance(decision, InvalidInput)
        assert decision.accepted
        assert isinstance(await house.desk.preview(TRADER, place(symbol="NOPE")), InvalidInput)

        assert house.store.commits == 0
        assert not house.store.state.orders
        assert TRADER.tenant_id == TENANT
