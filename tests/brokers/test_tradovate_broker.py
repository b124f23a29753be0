"""The adapter to Tradovate against the simulator, over real sockets."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from brokers.faults import Fault, FaultKind, FaultScript, Operation
from brokers.tradovate.broker import TradovateBroker
from brokers.tradovate.maintenance import Maintenance
from brokers.tradovate.messages import cursor_at
from brokers.tradovate.socket import Socket
from gateway.system import SystemClock
from tests.brokers.alpaca import Heard, until
from tests.brokers.tradovate import Tradovate, simulated
from tests.brokers.tradovate_simulator import LOGIN
from tests.brokers.world import (
    Permit,
    approved,
    approved_replace,
    new,
    order,
    quote,
    replace,
)
from tests.trading.builders import AAPL as STOCK_ID
from tests.trading.builders import ES as FUT
from tests.trading.builders import FUTURE, STOCK
from trading.execution import BrokerReport, LinkEvent
from trading.ids import AccountID, WireID
from trading.instrument import Catalogue
from trading.order import OrdStatus, Side
from trading.ports import (
    PermitRefused,
    RateLimited,
    Rejected,
    ShowsAccounts,
    Unauthorized,
    Unavailable,
)

pytestmark = pytest.mark.slow

LISTED = Catalogue([STOCK, FUTURE])
A, B = AccountID("a"), AccountID("b")
BUY = new("w1", Side.BUY, 20, 101, symbol=FUT)
REST = new("w1", Side.BUY, 20, 90, symbol=FUT)
PLACE = "POST /v1/order/placeorder"
LOG_IN = "POST /v1/auth/accesstokenrequest"
RENEW = "GET /v1/auth/renewaccesstoken"
SUBMIT = Operation.SUBMIT


class Desk:
    """A simulator with faults, and an adapter whose session is open."""

    def __init__(self, tradovate: Tradovate, broker: TradovateBroker) -> None:
        self.tradovate, self.broker = tradovate, broker
        self.heard = Heard(broker)
        self.simulator = tradovate.simulator

    def show(self, bid: Any, ask: Any, size: int = 50) -> None:
        now = SystemClock().now()
        self.simulator.on_quote(quote(bid, size, ask, size, at=now, symbol=FUT))

    async def submit(self, request: Any, permit: Permit | None = None) -> Any:
        return await self.broker.submit(approved(request), permit or Permit())

    def sent(self, what: str) -> int:
        """Count requests of a kind that have left, or were about to."""
        lines = (self.tradovate.folder / "adapter" / "tradovate.jsonl").read_text()
        return sum(f'"is":"sent","what":"{what}"' in line for line in lines.splitlines())


class Opening:
    """Opens desks, and closes them when the test has ended."""

    def __init__(self, stack: AsyncExitStack, folder: Path) -> None:
        self._stack, self._folder = stack, folder

    async def __call__(self, *faults: Fault, simulator: Any = (), **terms: Any) -> Desk:
        made = simulated(self._folder, LISTED, FaultScript(faults), **dict(simulator))
        tradovate = await self._stack.enter_async_context(made)
        broker = tradovate.broker(**terms)
        await broker.connect(None)
        self._stack.push_async_callback(broker.close)
        desk = Desk(tradovate, broker)
        desk.show(100, 101)
        return desk


@pytest.fixture
async def open_desk(tmp_path: Path) -> AsyncIterator[Opening]:
    async with AsyncExitStack() as stack:
        yield Opening(stack, tmp_path)


def fault(kind: FaultKind, operation: Operation, **terms: Any) -> Fault:
    return Fault(kind=kind, operation=operation, nth=1, **terms)


# --- orders ---


async def test_an_order_is_placed_and_its_fill_told_once(open_desk: Opening) -> None:
    desk = await open_desk()
    ack = await desk.submit(BUY)
    await desk.heard.until("NEW", "TRADE")

    _, trade = desk.heard.events
    found = await desk.broker.find_order(WireID("w1"))
    assert isinstance(trade, BrokerReport)
    assert found is not None
    assert [trade.wire_id, trade.last_qty, trade.last_px] == ["w1", 20, 101]
    assert [found.status, found.cum_qty, found.avg_px] == [OrdStatus.FILLED, 20, 101]
    assert found.secondary_order_id == ack.secondary_order_id
    assert (await desk.broker.positions([A])).items == [(A, FUT, Decimal(20))]


async def test_a_replace_keeps_the_order_and_its_quantity_is_the_total(open_desk: Opening) -> None:
    desk = await open_desk()
    request = new("w1", Side.BUY, 120, 101, symbol=FUT)
    await desk.submit(request)
    await desk.heard.until("NEW", "TRADE")
    target = approved_replace(request, replace("w2", "w1", 130, 100.5))
    ack = await desk.broker.replace(target, Permit())
    await desk.heard.until("NEW", "TRADE", "REPLACED")

    last = desk.heard.events[-1]
    found = await desk.broker.find_order(WireID("w1"))
    assert isinstance(last, BrokerReport)
    assert found is not None
    assert [last.order_qty, last.price] == [130, Decimal("100.5")]
    assert [found.order_qty, found.price, found.cum_qty] == [130, Decimal("100.5"), 50]
    assert [found.last_request_wire_id, found.secondary_order_id] == ["w2", ack.secondary_order_id]
    assert (await desk.broker.orders([A])).items == [found]


async def test_a_cancel_finds_an_order_whose_answer_was_lost(open_desk: Opening) -> None:
    desk = await open_desk(fault(FaultKind.DROP_ANSWER, SUBMIT))
    with pytest.raises(Exception, match="no answer after the request had left"):
        await desk.submit(REST)
    await desk.broker.cancel(order(REST), WireID("c1"))
    await desk.heard.until("NEW", "CANCELED")

    found = await desk.broker.find_order(WireID("w1"))
    assert found is not None
    assert [found.status, found.last_request_wire_id] == [OrdStatus.CANCELED, "c1"]


async def test_one_log_in_serves_several_accounts(open_desk: Opening) -> None:
    desk = await open_desk(accounts={A: "SIM1000002", B: "SIM1000001"})
    await desk.submit(BUY)
    await desk.submit(new("w2", Side.SELL, 10, 100, symbol=FUT, account="b"))
    await desk.heard.until("NEW", "TRADE", "NEW", "TRADE")

    held = (await desk.broker.positions([A, B])).items
    assert isinstance(desk.broker, ShowsAccounts)
    shown = {each.account_id: each for each in (await desk.broker.accounts()).items}
    assert sorted(held) == [(A, FUT, Decimal(20)), (B, FUT, Decimal(-10))]
    assert (await desk.broker.positions([B])).items == [(B, FUT, Decimal(-10))]
    assert [shown[A].number, shown[A].currency] == ["SIM1000002", "USD"]
    assert [shown[A].initial_margin, shown[B].initial_margin] == [300_000, 150_000]
    assert shown[A].buying_power == shown[A].equity - 300_000


async def test_what_is_not_for_here_is_refused_before_anything_leaves(open_desk: Opening) -> None:
    desk = await open_desk()
    for request, why in (
        (new("w1", Side.BUY, 1, 100, symbol=FUT, account="x"), "trades the accounts a, not x"),
        (new("w1", Side.BUY, 1, 100, symbol=STOCK_ID), "is no future"),
        (new("w1", Side.BUY, "1.5", 100, symbol=FUT), "no whole number of contracts"),
    ):
        with pytest.raises(Rejected, match=why):
            await desk.submit(request)
    with pytest.raises(PermitRefused):
        await desk.submit(REST, Permit(refuses=True))

    assert list(desk.simulator.book.orders) == []


async def test_what_others_do_in_accounts_of_theirs_is_not_told(open_desk: Opening) -> None:
    desk = await open_desk()
    theirs = {"action": "Buy", "symbol": "ESZ6", "orderQty": 5, "orderType": "Market"}
    await desk.simulator.place({**theirs, "accountId": 1000002})
    await desk.simulator.place({**theirs, "accountId": 1000001})
    await desk.heard.until("NEW", "TRADE")

    names = {each.wire_id for each in desk.heard.events if isinstance(each, BrokerReport)}
    [order_id] = [each.id for each in desk.simulator.book.orders.values()][1:]
    assert names == {f"tradovate-{order_id}"}
    assert (await desk.broker.positions([A])).items == [(A, FUT, Decimal(5))]


async def test_an_order_of_another_day_is_known_by_its_first_command(
    open_desk: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = await open_desk()
    await desk.submit(REST)
    await desk.heard.until("NEW")
    await desk.broker.close()
    await desk.broker.connect(cursor_at(SystemClock().now()))
    heard = Heard(desk.broker)
    # Neither the list of commands nor the snapshot has what was asked on another day.
    monkeypatch.setattr(desk.broker._client, "commands", _none)
    desk.broker._mirror.load({"orders": desk.simulator.entities.all("order")})
    found = await desk.broker.find_order(WireID("w1"))
    desk.show(89, 90)
    await until(lambda: "TRADE" in heard.said)

    assert found is not None
    assert found.status is OrdStatus.NEW
    assert {each.wire_id for each in heard.events if isinstance(each, BrokerReport)} == {"w1"}


async def _none() -> list[Any]:
    return []


# --- absence ---


async def test_an_order_that_has_just_left_is_not_taken_for_absent(open_desk: Opening) -> None:
    desk = await open_desk(fault(FaultKind.DROP_REQUEST, SUBMIT), arrival_s=0.5)
    with pytest.raises(Exception, match="no answer"):
        await desk.submit(REST)
    sent_at = desk.broker._requests._sent[WireID("w1")]
    desk.broker._requests.sending(WireID("w1"))
    with pytest.raises(Unavailable, match="still be on its way"):
        await desk.broker.find_order(WireID("w1"))

    desk.broker._requests._sent[WireID("w1")] = (sent_at[0], sent_at[1] - 1_000_000_000)
    assert await desk.broker.find_order(WireID("w1")) is None


async def test_what_may_have_been_put_away_since_it_left_is_not_absent(open_desk: Opening) -> None:
    desk = await open_desk(maintenance=Maintenance.read("Mon 00:00-Mon 00:01"))
    assert await desk.broker.find_order(WireID("w1")) is None
    desk.broker._resumed_at = SystemClock().now() - 8 * 86_400_000_000_000

    with pytest.raises(Unavailable, match="a person must look"):
        await desk.broker.find_order(WireID("w1"))


# --- penalties, maintenance ---


async def test_a_penalty_is_waited_for_and_its_ticket_sent_with_the_same_order(
    open_desk: Opening,
) -> None:
    desk = await open_desk(fault(FaultKind.RATE_LIMIT, SUBMIT, retry_after_ms=300))
    with pytest.raises(RateLimited) as limit:
        await desk.submit(REST)
    with pytest.raises(RateLimited):
        await desk.submit(new("w2", Side.BUY, 10, 90, symbol=FUT))
    assert desk.sent(PLACE) == 1

    await SystemClock().sleep(limit.value.retry_after_s)
    await desk.submit(REST)
    await desk.submit(new("w2", Side.BUY, 10, 90, symbol=FUT))
    await desk.heard.until("NEW", "NEW")
    log = (desk.tradovate.folder / "adapter" / "tradovate.jsonl").read_text()
    assert [desk.sent(PLACE), log.count('\\"p-ticket\\":')] == [3, 2]  # as given, and as sent
    assert len(desk.simulator.book.orders) == 2


async def test_a_captcha_shuts_an_endpoint_for_an_hour_and_no_other(
    open_desk: Opening, caplog: pytest.LogCaptureFixture
) -> None:
    desk = await open_desk()
    await desk.submit(REST)
    desk.simulator.window.impose("order/placeorder", 3600, captcha=True)
    for _ in range(3):
        with pytest.raises(Unavailable, match=r"wants a captcha .* 3[56][0-9]{2} s"):
            await desk.submit(new("w2", Side.BUY, 10, 90, symbol=FUT))
    await desk.broker.cancel(order(REST), WireID("c1"))
    await desk.heard.until("NEW", "CANCELED")

    assert desk.sent(PLACE) == 2
    assert [record.levelname for record in caplog.records if "captcha" in record.message] == [
        "CRITICAL"
    ]


async def test_maintenance_holds_orders_back_beforehand_and_lets_cancels_pass(
    open_desk: Opening,
) -> None:
    desk = await open_desk()
    await desk.submit(REST)
    shut = Maintenance.read("Mon 00:00-Sun 23:59, Sun 23:59-Mon 00:00")
    object.__setattr__(desk.broker._settings, "maintenance", shut)
    permit = Permit()
    with pytest.raises(Unavailable, match=r"in maintenance until 20.*Z: orders wait"):
        await desk.submit(new("w2", Side.BUY, 10, 90, symbol=FUT), permit)
    with pytest.raises(Unavailable, match="in maintenance"):
        await desk.broker.replace(approved_replace(REST, replace("w3", "w1", 30, 90)), permit)
    await desk.broker.cancel(order(REST), WireID("c1"))
    await desk.heard.until("NEW", "CANCELED")

    assert [permit.asked, desk.sent(PLACE)] == [0, 1]


# --- sessions ---


async def test_a_token_is_renewed_over_the_open_socket(open_desk: Opening) -> None:
    desk = await open_desk(simulator={"token_life_s": 0.9})
    await until(lambda: desk.sent(RENEW) == 2)
    await desk.submit(BUY)
    await desk.heard.until("NEW", "TRADE")

    assert desk.sent(LOG_IN) == 1
    assert not any(isinstance(each, LinkEvent) for each in desk.heard.events)


async def test_a_socket_that_takes_no_second_token_is_replaced(
    open_desk: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    authorize, let_in = Socket.authorize, set[Socket]()

    async def once(socket: Socket, token: str) -> None:
        if socket in let_in:
            raise Unauthorized("authorized already")
        let_in.add(socket)
        await authorize(socket, token)

    monkeypatch.setattr(Socket, "authorize", once)
    desk = await open_desk(simulator={"token_life_s": 1.5})
    await until(lambda: len(let_in) == 2 and "LinkEvent" in desk.heard.said)
    await desk.submit(BUY)
    await until(lambda: "TRADE" in desk.heard.said)

    assert desk.sent(LOG_IN) == 1


async def test_who_is_thrown_out_logs_in_anew_and_misses_nothing(open_desk: Opening) -> None:
    desk = await open_desk()
    await desk.submit(new("w1", Side.BUY, 120, 101, symbol=FUT))
    await desk.heard.until("NEW", "TRADE")
    for _ in range(2):
        desk.simulator.sessions.log_in(vars_of_login())
    desk.show(100, 101)  # trades while nobody listens
    await until(lambda: "TRADE" in desk.heard.said[2:] and "LinkEvent" in desk.heard.said)

    fills = [each for each in desk.heard.events if getattr(each, "exec_type", None) == "TRADE"]
    gap = next(each for each in desk.heard.events if isinstance(each, LinkEvent))
    assert [each.last_qty for each in fills if isinstance(each, BrokerReport)] == [50, 50]
    assert "ConnectionQuotaReached" in gap.text
    assert desk.sent(LOG_IN) == 2


async def test_while_the_stream_is_away_orders_wait_and_cancels_pass(open_desk: Opening) -> None:
    desk = await open_desk()
    await desk.submit(REST)
    assert desk.broker._stream is not None
    desk.broker._stream._linked.clear()
    with pytest.raises(Unavailable, match="stream is away: orders wait"):
        await desk.submit(new("w2", Side.BUY, 10, 90, symbol=FUT))
    await desk.broker.cancel(order(REST), WireID("c1"))

    assert desk.sent(PLACE) == 1


async def test_a_process_goes_on_after_its_cursor(open_desk: Opening) -> None:
    desk = await open_desk()
    await desk.submit(new("w1", Side.BUY, 120, 101, symbol=FUT))
    await desk.heard.until("NEW", "TRADE")
    cursor = desk.heard.events[-1].cursor  # type: ignore[union-attr]  # it is a report
    known = {each.key for each in desk.heard.events if isinstance(each, BrokerReport)}
    await desk.broker.close()
    desk.show(100, 101)
    await desk.broker.connect(cursor)
    heard = Heard(desk.broker)
    await until(lambda: len({getattr(each, "key", "") for each in heard.events} - known) == 2)

    reports = [each for each in heard.events if isinstance(each, BrokerReport)]
    assert [each.last_qty for each in reports if each.key not in known] == [50]
    assert any(isinstance(each, LinkEvent) for each in heard.events)
    with pytest.raises(Unavailable, match="not a cursor of Tradovate"):
        await desk.tradovate.broker().connect("01J")


@pytest.mark.parametrize(
    ("accounts", "why"),
    [
        ({A: None}, "not said which one the account a is .* SIM1000001, SIM1000002: say a=NAME"),
        ({A: "SIM9"}, "there is no SIM9, which the account a is"),
        ({A: "SIM1000001", B: "SIM1000001"}, "are the same one at Tradovate"),
    ],
)
async def test_accounts_that_are_not_there_are_named(
    tmp_path: Path, accounts: Any, why: str
) -> None:
    async with simulated(tmp_path, LISTED) as tradovate:
        with pytest.raises(Unauthorized, match=why):
            await tradovate.broker(accounts=accounts).connect(None)


def vars_of_login() -> dict[str, str]:
    """Return what another program of the same user would log in with."""
    return {
        "name": LOGIN.name,
        "password": LOGIN.password,
        "cid": LOGIN.cid,
        "sec": LOGIN.sec,
    }
