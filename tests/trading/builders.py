"""Orders, accounts, books and reports, with everything set that a test does not care about."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from trading.account import Account, TradingState
from trading.books import Books
from trading.command import CancelOrder, OrderTarget, PlaceOrder, ReplaceOrder
from trading.control import MassAction, ScopeState, TradingStates
from trading.execution import BrokerCancelReject, BrokerReport, ExecType, Fill, Origin, Report
from trading.ids import (
    AccountID,
    ClOrdID,
    ExecID,
    InstrumentID,
    OrderID,
    SecondaryOrderID,
    TenantID,
    UserID,
    WireID,
)
from trading.instrument import Catalogue, Instrument, SecurityType
from trading.limits import Limit, LimitName, Limits, LimitScope, LimitSet
from trading.order import Order, OrdStatus, OrdType, Side, TimeInForce
from trading.permission import Entitlement, Permission, Principal
from trading.ports import BrokerOrder
from trading.quote import Quote
from trading.reject import CxlRejReason
from trading.scope import Scope, ScopeKind

D = Decimal
NS = 1_000_000_000
NOW = 1_700_000_000 * NS
TENANT, ACCOUNT, OTHER = TenantID("tenant"), AccountID("a"), AccountID("b")

STOCK = Instrument(
    symbol="AAPL",
    mic="XNAS",
    description="Apple Inc. common stock",
    security_type=SecurityType.COMMON_STOCK,
    currency="USD",
    tick=D("0.01"),
    lot=D(1),
    multiplier=D(1),
    calendar="24/7",
)
FUTURE = Instrument(
    symbol="ESZ6",
    mic="XCME",
    description="E-mini S&P 500",
    security_type=SecurityType.FUTURE,
    currency="USD",
    tick=D("0.25"),
    lot=D(1),
    multiplier=D(50),
    calendar="24/7",
    initial_margin=D(15000),
    maintenance_margin=D(13000),
)
AAPL, ES = STOCK.id, FUTURE.id


def account(name: str = "a", **fields: Any) -> Account:
    plain = Account(
        id=AccountID(name),
        tenant_id=TENANT,
        name=name,
        currency="USD",
        broker="fake",
        cash=D(1_000_000),
    )
    return replace(plain, **fields)


def limits(name: str = "a", values: Mapping[str, Any] | None = None) -> Limits:
    wide = {
        LimitName.MAX_ORDER_QTY: D(1000),
        LimitName.MAX_ORDER_NOTIONAL: D(10_000_000),
        LimitName.MAX_POSITION_QTY: D(1000),
        LimitName.MAX_OPEN_ORDERS: D(100),
        LimitName.PRICE_COLLAR: D("0.1"),
        LimitName.REFERENCE_MAX_AGE_MS: D(5000),
        LimitName.MIN_BUYING_POWER: D(0),
        LimitName.INSTRUMENT_PERMITTED: D(1),
        LimitName.SHORT_SALE_PERMITTED: D(1),
        LimitName.SELF_MATCH_PERMITTED: D(0),
        LimitName.PRICE_COLLAR_TICKS: D(1_000_000),
        LimitName.PRICE_COLLAR_OVER_TIME: D(10),
        LimitName.MAX_DUPLICATE_ORDERS: D(1000),
        LimitName.MAX_STRATEGY_ORDERS: D(1000),
        LimitName.MAX_MESSAGE_RATE: D(10_000),
        LimitName.MIN_EXCESS_EQUITY: D(-10_000_000),
        LimitName.MIN_INTRADAY_EXCESS: D(-10_000_000),
        LimitName.MAX_OPEN_NOTIONAL: D(100_000_000),
        LimitName.MAX_GROSS_NOTIONAL: D(100_000_000),
        LimitName.MAX_LEVERAGE: D(1000),
        LimitName.MAX_CONCENTRATION: D(1000),
        LimitName.MAX_DAILY_LOSS: D(1_000_000),
        LimitName.MAX_DRAWDOWN: D(1_000_000),
        LimitName.MAX_IN_DOUBT_ORDERS: D(10),
    }
    chosen = wide | {LimitName(key): value for key, value in (values or {}).items()}
    scope = LimitScope(account_id=AccountID(name))
    known = [
        Limit(scope=scope, name=key, value=D(value), owner="risk", reason="test")
        for key, value in chosen.items()
        if value is not None
    ]
    return Limits.of(account(name), LimitSet().then(7, "seven", known), Catalogue([STOCK, FUTURE]))


def quote(symbol: InstrumentID = AAPL, px: int = 100, **fields: Any) -> Quote:
    plain = Quote(
        symbol=symbol,
        bid=D(px),
        bid_size=D(10),
        ask=D(px),
        ask_size=D(10),
        time=NOW,
        received_at=NOW,
        source="test",
    )
    return replace(plain, **fields)


def books(*accounts: Account) -> Books:
    mine = accounts or (account(),)
    return Books(
        catalogue=Catalogue([STOCK, FUTURE]),
        accounts={each.id: each for each in mine},
        limits={each.id: limits(each.id) for each in mine},
        references={AAPL: quote(), ES: quote(ES, 5000)},
        earlier={AAPL: D(100), ES: D(5000)},
    )


def order(**fields: Any) -> Order:
    plain = Order(
        id=OrderID("order"),
        tenant_id=TENANT,
        account_id=ACCOUNT,
        cl_ord_id=ClOrdID("cl"),
        wire_id=WireID("wire"),
        symbol=AAPL,
        side=Side.BUY,
        ord_type=OrdType.LIMIT,
        order_qty=D(100),
        price=D(100),
        stop_px=None,
        time_in_force=TimeInForce.DAY,
        expire_time=None,
        reduce_only=False,
        strategy_id=None,
        manual_order_indicator=None,
        status=OrdStatus.NEW,
        created_at=NOW,
        transact_time=NOW,
        reserve_px=D(100),
    )
    return replace(plain, **fields)


def set_for(scope: Scope, state: TradingState, epoch: int = 1, **fields: Any) -> ScopeState:
    """Say that a state was set for a scope."""
    plain = ScopeState(
        epoch=epoch,
        scope=scope,
        state=state,
        action=MassAction.NONE,
        reason="a drill",
        changed_by=UserID("officer"),
        approved_by=None,
        changed_at=NOW,
    )
    return replace(plain, **fields)


def halted(account_id: AccountID = ACCOUNT) -> TradingStates:
    row = set_for(Scope(ScopeKind.ACCOUNT, account_id), TradingState.HALTED)
    return TradingStates.of_rows([row])


def place(cl_ord_id: str = "p1", **fields: Any) -> PlaceOrder:
    plain = PlaceOrder(
        account_id=ACCOUNT,
        cl_ord_id=ClOrdID(cl_ord_id),
        symbol="AAPL",
        side=Side.BUY,
        ord_type=OrdType.LIMIT,
        order_qty=D(100),
        price=D(100),
    )
    return replace(plain, **fields)


def cancel(cl_ord_id: str = "c1", of: str | None = "p1", **fields: Any) -> CancelOrder:
    target = OrderTarget(orig_cl_ord_id=ClOrdID(of) if of else None)
    plain = CancelOrder(account_id=ACCOUNT, cl_ord_id=ClOrdID(cl_ord_id), target=target)
    return replace(plain, **fields)


def amend(cl_ord_id: str = "r1", of: str | None = "p1", **fields: Any) -> ReplaceOrder:
    target = OrderTarget(orig_cl_ord_id=ClOrdID(of) if of else None)
    plain = ReplaceOrder(account_id=ACCOUNT, cl_ord_id=ClOrdID(cl_ord_id), target=target)
    return replace(plain, **({"order_qty": D(50)} | fields))


def report(exec_type: ExecType, wire_id: str = "wire", **fields: Any) -> BrokerReport:
    """Claim something; the key is made of what is claimed unless the test gives one."""
    named = ":".join(str(fields.get(name, "")) for name in ("exec_id", "order_qty", "cursor"))
    plain = BrokerReport(
        key=f"{wire_id}:{exec_type}:{named}",
        cursor=None,
        wire_id=WireID(wire_id),
        received_at=NOW,
        exec_type=exec_type,
        transact_time=NOW,
    )
    return replace(plain, **fields)


def new(wire_id: str = "wire", **fields: Any) -> BrokerReport:
    at_broker = {"secondary_order_id": SecondaryOrderID(f"B-{wire_id}")}
    return report(ExecType.NEW, wire_id, **(at_broker | fields))


def trade(
    exec_id: str, qty: int | Decimal, px: int | Decimal = 100, wire_id: str = "wire", **fields: Any
) -> BrokerReport:
    fact = {"exec_id": ExecID(exec_id), "last_qty": D(qty), "last_px": D(px)}
    return report(ExecType.TRADE, wire_id, **(fact | fields))


def bust(exec_id: str, of: str, wire_id: str = "wire", **fields: Any) -> BrokerReport:
    ids = {"exec_id": ExecID(exec_id), "exec_ref_id": ExecID(of)}
    return report(ExecType.TRADE_CANCEL, wire_id, **(ids | fields))


def correct(
    exec_id: str, of: str, qty: int | Decimal, px: int | Decimal, **fields: Any
) -> BrokerReport:
    ids = {"exec_id": ExecID(exec_id), "exec_ref_id": ExecID(of)}
    terms = {"last_qty": D(qty), "last_px": D(px)}
    return report(ExecType.TRADE_CORRECT, **(ids | terms | fields))


def cancel_reject(request: str, wire_id: str = "wire", **fields: Any) -> BrokerCancelReject:
    plain = BrokerCancelReject(
        key=f"{wire_id}:reject:{request}",
        cursor=None,
        wire_id=WireID(wire_id),
        received_at=NOW,
        request_wire_id=WireID(request),
        cxl_rej_reason=CxlRejReason.TOO_LATE_TO_CANCEL,
        transact_time=NOW,
    )
    return replace(plain, **fields)


def fill(exec_id: str, qty: int, px: int = 100, **fields: Any) -> Fill:
    plain = Fill(
        account_id=ACCOUNT,
        exec_id=ExecID(exec_id),
        exec_type=ExecType.TRADE,
        exec_ref_id=None,
        origin=Origin.BROKER,
        order_id=OrderID("order"),
        symbol=AAPL,
        side=Side.BUY,
        last_qty=D(qty),
        last_px=D(px),
    )
    return replace(plain, **fields)


def at_broker(of: Order, **fields: Any) -> BrokerOrder:
    """Show an order at the broker as it stands with us."""
    plain = BrokerOrder(
        wire_id=of.wire_id,
        secondary_order_id=of.secondary_order_id or SecondaryOrderID(f"B-{of.wire_id}"),
        status=OrdStatus.NEW if of.status is OrdStatus.PENDING_NEW else of.status,
        order_qty=of.order_qty,
        price=of.price,
        stop_px=of.stop_px,
        cum_qty=of.cum_qty,
        avg_px=of.avg_px,
        symbol=of.symbol,
        side=of.side,
    )
    return replace(plain, **fields)


def principal(user: str = "trader", **fields: Any) -> Principal:
    plain = Principal(
        user_id=UserID(user),
        name=user,
        tenant_id=TENANT,
        role="trader",
        permissions=frozenset(Permission),
        accounts={ACCOUNT: Entitlement.TRADE},
        expires_at=NOW + 3600 * NS,
    )
    return replace(plain, **fields)


def assert_gapless(reports: Iterable[Report], name: AccountID = ACCOUNT) -> None:
    """Assert that an account's reports are numbered from 1 without a gap, in their order."""
    numbers = [each.seq for each in reports if each.account_id == name]
    assert numbers == list(range(1, len(numbers) + 1))
