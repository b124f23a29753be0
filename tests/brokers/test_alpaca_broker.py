"""The adapter to Alpaca against the simulator, over real sockets: by both of its streams."""

import dataclasses
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from brokers.alpaca.broker import AlpacaBroker
from brokers.alpaca.messages import update_of
from brokers.faults import Fault, FaultKind, FaultScript, Operation
from tests.brokers.alpaca import KEY, Alpaca, Heard, simulated, until
from tests.brokers.world import (
    ABC,
    FUT,
    NOON,
    Permit,
    approved,
    approved_replace,
    catalogue,
    new,
    order,
    quote,
    replace,
)
from trading.execution import BrokerCancelReject, BrokerReport, BrokerUnknown
from trading.ids import AccountID, WireID
from trading.order import OrdStatus, Side
from trading.ports import (
    InDoubt,
    PermitRefused,
    RateLimited,
    Rejected,
    Unauthorized,
    Unavailable,
)

pytestmark = pytest.mark.slow

A = AccountID("a")


class Desk:
    """A simulator with faults, and an adapter whose session is open."""

    def __init__(self, alpaca: Alpaca, broker: AlpacaBroker, heard: Heard) -> None:
        self.alpaca, self.broker, self.heard = alpaca, broker, heard
        self.show = alpaca.simulator.on_quote

    async def submit(self, request: Any) -> Any:
        return await self.broker.submit(approved(request), Permit())

    @property
    def orders(self) -> list[Any]:
        return list(self.alpaca.simulator.book.orders.values())


class Opening:
    """Opens desks, and closes them when the test has ended."""

    def __init__(self, stack: AsyncExitStack, folder: Path, *, replays: bool) -> None:
        self._stack, self._folder, self._replays = stack, folder, replays

    async def __call__(self, *faults: Fault, **terms: Any) -> Desk:
        alpaca = await self._stack.enter_async_context(
            simulated(
                self._folder, catalogue(), FaultScript(faults), replays=self._replays, **terms
            )
        )
        broker = alpaca.broker()
        await broker.connect(None)
        self._stack.push_async_callback(broker.close)
        alpaca.simulator.on_quote(quote(100, 5, 101, 5, at=NOON))
        return Desk(alpaca, broker, Heard(broker))


# The socket takes as long again, and differs in the stream alone.
@pytest.fixture(
    params=[
        pytest.param(True, id="events"),
        pytest.param(False, id="socket", marks=pytest.mark.slow),
    ]
)
async def open_desk(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Opening]:
    async with AsyncExitStack() as stack:
        yield Opening(stack, tmp_path, replays=request.param)


def fault(kind: FaultKind, operation: Operation, nth: int = 1, **terms: Any) -> Fault:
    return Fault(kind=kind, operation=operation, nth=nth, **terms)


BUY = new("w1", Side.BUY, 5, 101)
REST = new("w1", Side.BUY, 5, 90)


async def test_an_order_is_placed_and_its_fill_told_once(open_desk: Opening) -> None:
    desk = await open_desk()
    ack = await desk.submit(BUY)
    await desk.heard.until("NEW", "TRADE")

    _, trade = desk.heard.events
    assert isinstance(trade, BrokerReport)
    assert [trade.wire_id, trade.last_qty, trade.last_px] == ["w1", 5, 101]
    assert ack.secondary_order_id == desk.orders[0].id
    assert (await desk.broker.positions([A])).items == [(A, ABC, Decimal(5))]


async def test_an_id_that_was_used_is_the_same_order(open_desk: Opening) -> None:
    desk = await open_desk()
    first = await desk.submit(REST)

    assert await desk.submit(REST) == first
    assert len(desk.orders) == 1
    with pytest.raises(Rejected, match="another order with the id w1"):
        await desk.submit(new("w1", Side.SELL, 5, 190))


async def test_a_partly_filled_order_keeps_its_total_through_replaces(open_desk: Opening) -> None:
    desk = await open_desk()
    request = new("w1", Side.BUY, 12, 101)
    await desk.submit(request)
    await desk.heard.until("NEW", "TRADE")
    for wire_id, qty in (("w2", 14), ("w3", 20)):
        target = approved_replace(request, replace(wire_id, "w1", qty, 100.5))
        await desk.broker.replace(target, Permit())
    await desk.heard.until("NEW", "TRADE", "REPLACED", "REPLACED")

    last = desk.heard.events[-1]
    found = await desk.broker.find_order(WireID("w1"))
    assert found is not None
    assert isinstance(last, BrokerReport)
    assert (last.order_qty, last.price) == (found.order_qty, found.price)
    assert [found.order_qty, found.price, found.cum_qty] == [20, Decimal("100.5"), 5]
    assert [found.wire_id, found.last_request_wire_id] == ["w1", "w3"]
    assert [each.qty for each in desk.orders] == [12, 9, 15]
    assert (await desk.broker.orders([A])).items == [found]


async def test_a_cancel_finds_the_order_that_has_replaced_its_target(open_desk: Opening) -> None:
    desk = await open_desk()
    await desk.submit(REST)
    await desk.broker.replace(approved_replace(REST, replace("w2", "w1", 6, 91)), Permit())
    await desk.broker.cancel(order(REST), WireID("c1"))
    await desk.heard.until("NEW", "REPLACED", "CANCELED")

    found = await desk.broker.find_order(WireID("w1"))
    assert found is not None
    assert [found.status, found.last_request_wire_id] == [OrdStatus.CANCELED, "c1"]
    with pytest.raises(Rejected, match="already in canceled state"):
        await desk.broker.cancel(order(REST), WireID("c2"))


async def test_nothing_leaves_without_its_permit(open_desk: Opening) -> None:
    desk = await open_desk()
    permit = Permit(refuses=True)

    with pytest.raises(PermitRefused):
        await desk.broker.submit(approved(REST), permit)

    assert permit.asked == 1
    assert desk.orders == []
    assert await desk.broker.find_order(WireID("w1")) is None


@pytest.mark.parametrize("kind", [FaultKind.DROP_REQUEST, FaultKind.DROP_ANSWER])
async def test_without_an_answer_an_order_is_in_doubt_until_it_is_found(
    open_desk: Opening, kind: FaultKind
) -> None:
    desk = await open_desk(fault(kind, Operation.SUBMIT))

    with pytest.raises(InDoubt, match="ReadTimeout"):
        await desk.submit(REST)

    came = kind is FaultKind.DROP_ANSWER
    if not came:
        with pytest.raises(Unavailable, match="on its way"):
            await desk.broker.find_order(WireID("w1"))
        await until(lambda: not desk.broker._requests.sent_within(WireID("w1"), 1))
    assert ((await desk.broker.find_order(WireID("w1"))) is not None) is came


@pytest.mark.parametrize(
    ("kind", "error", "came"),
    [
        (FaultKind.SERVER_ERROR, InDoubt, 1),
        (FaultKind.UNAUTHORIZED, Unauthorized, 0),
        (FaultKind.RATE_LIMIT, RateLimited, 0),
    ],
)
async def test_each_answer_says_whether_it_may_have_taken_effect(
    open_desk: Opening, kind: FaultKind, error: type[Exception], came: int
) -> None:
    desk = await open_desk(fault(kind, Operation.SUBMIT))

    with pytest.raises(error):
        await desk.submit(REST)

    assert len(desk.orders) == came


async def test_after_a_rate_limit_nothing_is_sent_before_its_time(open_desk: Opening) -> None:
    desk = await open_desk(fault(FaultKind.RATE_LIMIT, Operation.SUBMIT, retry_after_ms=5000))
    for _ in range(2):
        with pytest.raises(RateLimited) as limited:
            await desk.submit(REST)
        assert 3 < limited.value.retry_after_s <= 5

    assert desk.orders == []


async def test_a_mute_stream_is_noticed_and_what_it_kept_is_told(open_desk: Opening) -> None:
    desk = await open_desk(fault(FaultKind.MUTE, Operation.EVENT, 2))
    await desk.submit(BUY)
    await until(lambda: "TRADE" in desk.heard.said, lambda: str(desk.heard.said))

    assert [word for word in desk.heard.said if word != "LinkEvent"] == ["NEW", "TRADE"]


async def test_a_break_of_the_link_loses_and_doubles_nothing(open_desk: Opening) -> None:
    desk = await open_desk(fault(FaultKind.DISCONNECT, Operation.EVENT))
    await desk.submit(new("w1", Side.BUY, 8, 101))
    await until(lambda: "TRADE" in desk.heard.said, lambda: str(desk.heard.said))
    desk.show(quote(100, 5, 101, 5, at=NOON + 1))
    await until(lambda: desk.heard.said.count("TRADE") == 2, lambda: str(desk.heard.said))

    assert [word for word in desk.heard.said if word != "LinkEvent"] == ["NEW", "TRADE", "TRADE"]


async def test_an_unknown_event_has_the_order_looked_up(open_desk: Opening) -> None:
    desk = await open_desk(fault(FaultKind.UNKNOWN_STATUS, Operation.EVENT))
    await desk.submit(REST)
    await desk.heard.until("BrokerUnknown")

    assert isinstance(desk.heard.events[0], BrokerUnknown)


async def test_a_session_resumes_from_its_cursor(open_desk: Opening) -> None:
    desk = await open_desk()
    await desk.submit(new("w1", Side.BUY, 10, 101))
    await desk.heard.until("NEW", "TRADE")
    new_event = desk.heard.events[0]
    assert isinstance(new_event, BrokerReport)
    await desk.broker.close()
    again = desk.alpaca.broker()
    await again.connect(new_event.cursor)
    heard = Heard(again)
    try:
        await until(lambda: "TRADE" in heard.said, lambda: str(heard.said))
    finally:
        await again.close()


async def test_busts_and_corrections_name_the_fill_that_they_revise(open_desk: Opening) -> None:
    desk = await open_desk(fault(FaultKind.TRADE_CANCEL, Operation.TRADE))
    await desk.submit(BUY)
    await desk.heard.until("NEW", "TRADE", "TRADE_CANCEL")

    _, trade, bust = desk.heard.events
    assert isinstance(trade, BrokerReport)
    assert isinstance(bust, BrokerReport)
    assert bust.exec_ref_id == trade.exec_id
    assert (await desk.broker.positions([A])).items == []


async def test_what_alpaca_does_not_have_is_rejected_in_words(open_desk: Opening) -> None:
    desk = await open_desk()
    with pytest.raises(Rejected, match="no stock or coin"):
        await desk.submit(new("w1", Side.BUY, 10, 101, symbol=FUT))
    with pytest.raises(Rejected, match="trades the account a, not b"):
        await desk.submit(new("w2", Side.BUY, 10, 101, account="b"))
    with pytest.raises(Rejected, match="sub-penny"):
        await desk.submit(new("w3", Side.BUY, 10, "101.25"))


async def test_a_refused_request_of_the_stream_is_told_as_such(open_desk: Opening) -> None:
    desk = await open_desk()
    await desk.submit(REST)
    await desk.heard.until("NEW")
    target = desk.orders[0]
    desk.broker._requests.canceling(target.id, WireID("c1"))
    book = desk.alpaca.simulator.book
    said = dict(book.updates[1][0]) | {"event": "order_cancel_rejected"}
    update = update_of(said, b"")
    [claim] = await desk.broker._stream._claims.of(update)  # type: ignore[union-attr]

    assert isinstance(claim, BrokerCancelReject)
    assert claim.request_wire_id == "c1"


async def test_the_key_is_in_no_log(open_desk: Opening) -> None:
    desk = await open_desk()
    await desk.submit(REST)
    text = (desk.alpaca.folder / "adapter" / "alpaca.jsonl").read_text()

    assert "client_order_id" in text
    assert KEY.secret_key not in text
    assert KEY.key_id not in text


async def test_the_last_requests_of_a_budget_are_kept_for_cancels(open_desk: Opening) -> None:
    desk = await open_desk(rate_limit=32)
    await desk.submit(REST)

    async def submit_on() -> None:
        for number in range(32):
            await desk.submit(new(f"x{number}", Side.BUY, 1, 80))

    with pytest.raises(RateLimited, match="kept for cancels"):
        await submit_on()

    await desk.broker.cancel(
        dataclasses.replace(order(REST), secondary_order_id=desk.orders[0].id),
        WireID("c1"),
    )
    assert desk.orders[0].status == "canceled"


async def test_the_account_of_the_key_is_shown_with_its_money(open_desk: Opening) -> None:
    desk = await open_desk()
    await desk.submit(BUY)
    await desk.heard.until("NEW", "TRADE")
    shown = await desk.broker.accounts()

    [account] = shown.items
    assert shown.complete
    assert (account.account_id, account.currency, account.is_blocked) == ("a", "USD", False)
    assert account.number.startswith("SIM")
    assert account.cash == 1_000_000 - 5 * 101
    assert account.equity == account.cash + 5 * Decimal("100.5")
