"""Orders, accounts and the like, as a test needs them: everything it does not care about is set."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

from trading.account import Account
from trading.audit import Act, ActDecision, ActKind
from trading.command import Claim, Command, CommandKind, CommandState
from trading.decision import Check, RiskDecision, Verdict
from trading.execution import ExecType, Fill, Origin
from trading.ids import AccountID, ClOrdID, ExecID, InstrumentID, OrderID, TenantID, UserID, WireID
from trading.instrument import Instrument, SecurityType
from trading.limits import Limit, LimitName, LimitScope
from trading.order import Order, OrdStatus, OrdType, Side, TimeInForce
from trading.quote import Quote
from trading.reject import OrdRejReason

TENANT = TenantID("tenant")
AAPL = InstrumentID("AAPL@XNAS")
STOCK = Instrument(
    symbol="AAPL",
    mic="XNAS",
    description="Apple Inc. common stock",
    security_type=SecurityType.COMMON_STOCK,
    currency="USD",
    tick=Decimal("0.01"),
    lot=Decimal(1),
    multiplier=Decimal(1),
    calendar="XNAS",
)


class StoppedClock:
    """A clock that stands where a test has set it."""

    def __init__(self, now: int = 0) -> None:
        self.time = now

    def now(self) -> int:
        return self.time

    def monotonic(self) -> int:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += int(seconds * 1_000_000_000)


def an_act(**fields: object) -> Act:
    plain = Act(
        kind=ActKind.SET_LIMITS,
        decision=ActDecision.DONE,
        subject="limits version 1",
        detail="",
        tenant_id=TENANT,
        user_id=UserID("officer"),
        role="risk_officer",
        client_id="console",
        token_id="jti",
        address="192.0.2.1",
        at=7,
    )
    return replace(plain, **fields)  # type: ignore[arg-type]


def account(name: str, **fields: Any) -> Account:
    plain = Account(
        id=AccountID(name),
        tenant_id=TENANT,
        name=name.title(),
        currency="USD",
        broker="paper",
        cash=Decimal(1000),
    )
    return replace(plain, **fields)


def limits(account_id: str, **values: int) -> list[Limit]:
    scope = LimitScope(account_id=AccountID(account_id))
    return [limit(LimitName(name), value, scope=scope) for name, value in values.items()]


def limit(name: LimitName = LimitName.MAX_ORDER_QTY, value: int = 5, **fields: Any) -> Limit:
    plain = Limit(scope=LimitScope(), name=name, value=Decimal(value), owner="risk", reason="test")
    return replace(plain, **fields)


def order(name: str, account_id: str = "a", **fields: Any) -> Order:
    plain = Order(
        id=OrderID(name),
        tenant_id=TENANT,
        account_id=AccountID(account_id),
        cl_ord_id=ClOrdID(f"cl-{name}"),
        wire_id=WireID(f"wire-{name}"),
        symbol=AAPL,
        side=Side.BUY,
        ord_type=OrdType.LIMIT,
        order_qty=Decimal(10),
        price=Decimal("1.5"),
        stop_px=None,
        time_in_force=TimeInForce.DAY,
        expire_time=None,
        reduce_only=False,
        strategy_id=None,
        manual_order_indicator=None,
        status=OrdStatus.PENDING_NEW,
        created_at=1,
        transact_time=1,
        reserve_px=Decimal("1.5"),
    )
    return replace(plain, **fields)


def command(of: Order, name: str | None = None, **fields: Any) -> Command:
    plain = Command(
        wire_id=WireID(name) if name else of.wire_id,
        account_id=of.account_id,
        order_id=of.id,
        cl_ord_id=of.cl_ord_id,
        orig_cl_ord_id=None,
        kind=CommandKind.NEW,
        state=CommandState.QUEUED,
        created_at=1,
    )
    return replace(plain, **fields)


def claim(of: Order, **fields: Any) -> Claim:
    plain = Claim(
        account_id=of.account_id,
        cl_ord_id=of.cl_ord_id or ClOrdID(""),
        kind="PlaceOrder",
        body_hash="0" * 64,
        order_id=of.id,
        reject_seq=None,
        claimed_at=1,
    )
    return replace(plain, **fields)


def stock(**fields: str) -> Instrument:
    return replace(STOCK, **fields)  # type: ignore[arg-type]


def fill(of: Order, name: str, qty: int = 1, px: str = "1.5", **fields: Any) -> Fill:
    plain = Fill(
        account_id=of.account_id,
        exec_id=ExecID(name),
        exec_type=ExecType.TRADE,
        exec_ref_id=None,
        origin=Origin.BROKER,
        order_id=of.id,
        symbol=of.symbol,
        side=of.side,
        last_qty=Decimal(qty),
        last_px=Decimal(px),
        transact_time=1,
    )
    return replace(plain, **fields)


def decision(limits_version: int = 1) -> RiskDecision:
    check = Check(
        name="MAX_ORDER_QTY",
        verdict=Verdict.REFUSE,
        inputs={"order_qty": "10", "reference": None},
        code="MAX_ORDER_QTY_EXCEEDED",
        text="too many",
        reason=OrdRejReason.ORDER_EXCEEDS_LIMIT,
        limit=Decimal("9.5"),
        used=Decimal(10),
    )
    return RiskDecision(checks=(check,), limits_version=limits_version, decided_at=5)


def quote(symbol: InstrumentID = AAPL, **fields: Any) -> Quote:
    plain = Quote(
        symbol=symbol,
        bid=Decimal("1.4"),
        bid_size=None,
        ask=Decimal("1.6"),
        ask_size=Decimal(7),
        time=3,
        received_at=4,
        source="test",
    )
    return replace(plain, **fields)
