"""A small gateway in memory, behind the ports that resolvers see."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from resolvers.context import Context
from schema.context import Gateway
from tests.trading.builders import set_for
from trading.account import Account, Position, TradingState
from trading.audit import Act, ActDecision, ActKind
from trading.command import CancelAllOrders, CancelOrder, PlaceOrder, ReplaceOrder, SetTradingState
from trading.control import ApprovalRequest, ScopeState, TradingStateChange
from trading.decision import Check, RiskDecision, Verdict
from trading.execution import (
    Break,
    BreakKind,
    ExecType,
    ExecutionReport,
    OrderCancelReject,
    Origin,
    Report,
)
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
from trading.limitrequest import LimitRequest, LimitRequestState, LimitVersion
from trading.limits import Limit, LimitName, Limits, LimitScope, LimitSet
from trading.link import Link, LinkState
from trading.linkdesk import LinkBegun
from trading.order import Order, OrdStatus, OrdType, Side, TimeInForce
from trading.outcome import (
    AmendResult,
    InvalidInput,
    LimitsResult,
    LimitsSet,
    MassCancelResult,
    OrderMassCancelReport,
    PlaceResult,
    TradingStateResult,
    TradingStateSet,
    WaitFor,
)
from trading.permission import Entitlement, Permission, Principal
from trading.ports import Capabilities, Environment, ReplaceModel
from trading.quote import Quote
from trading.reject import CxlRejReason, CxlRejResponseTo, InputError, RejectedBy
from trading.revocation import Revocation, RevocationDesk
from trading.scope import Scope, ScopeKind
from trading.store import OrderFilter, Page

OURS = AccountID("ours")
FOREIGN = AccountID("foreign")
TENANT = TenantID("tenant")
AAPL = InstrumentID("AAPL@XNAS")
MSFT = InstrumentID("MSFT@XNAS")
NOON = 1_900_000_000_000_000_001


def an_account(account_id: AccountID = OURS, last_seq: int = 0) -> Account:
    return Account(
        id=account_id,
        tenant_id=TENANT,
        name=f"Account {account_id}",
        currency="USD",
        broker="paper",
        cash=Decimal("1000.50"),
        last_seq=last_seq,
    )


def a_link() -> Link:
    return Link(
        id="l1",
        tenant_id=TENANT,
        account_id=OURS,
        broker="alpaca",
        state=LinkState.ACTIVE,
        requested_by=UserID("ann"),
        requested_at=NOON,
        state_digest="",
        state_expires_at=NOON,
        token_expires_at=NOON + 1000,
        refreshed_at=NOON,
    )


def an_act(number: int) -> Act:
    return Act(
        number=number,
        kind=ActKind.SET_TRADING_STATE,
        decision=ActDecision.DONE,
        subject="account:ours",
        detail="HALTED NONE: enough",
        tenant_id=TENANT,
        user_id=UserID("risk"),
        role="risk_officer",
        client_id="console",
        token_id="jti-1",
        address="192.0.2.7",
        at=NOON,
    )


def an_order(order_id: str = "o1", account_id: AccountID = OURS) -> Order:
    return Order(
        id=OrderID(order_id),
        tenant_id=TENANT,
        account_id=account_id,
        cl_ord_id=ClOrdID(f"c-{order_id}"),
        wire_id=WireID(f"w-{order_id}"),
        symbol=AAPL,
        side=Side.BUY,
        ord_type=OrdType.LIMIT,
        order_qty=Decimal(10),
        price=Decimal("150.10"),
        stop_px=None,
        time_in_force=TimeInForce.DAY,
        expire_time=None,
        reduce_only=False,
        strategy_id=None,
        manual_order_indicator=None,
        status=OrdStatus.PARTIALLY_FILLED,
        created_at=NOON,
        transact_time=NOON,
        last_seq=2,
        cum_qty=Decimal(4),
        cum_value=Decimal(600),
    )


def a_report(
    seq: int,
    exec_type: ExecType = ExecType.TRADE,
    order_id: str = "o1",
    account_id: AccountID = OURS,
) -> ExecutionReport:
    is_fill = exec_type.is_fill
    return ExecutionReport(
        account_id=account_id,
        seq=seq,
        tenant_id=TENANT,
        order_id=OrderID(order_id),
        cl_ord_id=ClOrdID(f"c-{order_id}"),
        orig_cl_ord_id=None,
        secondary_order_id=SecondaryOrderID("b1"),
        exec_id=ExecID(f"e{seq}"),
        exec_type=exec_type,
        exec_ref_id=None,
        origin=Origin.BROKER,
        ord_status=OrdStatus.PARTIALLY_FILLED if is_fill else OrdStatus.NEW,
        symbol=AAPL,
        side=Side.BUY,
        ord_type=OrdType.LIMIT,
        time_in_force=TimeInForce.DAY,
        order_qty=Decimal(10),
        price=Decimal("150.10"),
        stop_px=None,
        last_qty=Decimal(4) if is_fill else Decimal(0),
        last_px=Decimal(150) if is_fill else Decimal(0),
        cum_qty=Decimal(4) if is_fill else Decimal(0),
        leaves_qty=Decimal(6) if is_fill else Decimal(10),
        avg_px=Decimal(150) if is_fill else None,
        in_doubt=False,
        rejected_by=None,
        ord_rej_reason=None,
        text=None,
        transact_time=NOON,
    )


def a_cancel_reject(seq: int, order_id: str | None = "o1") -> OrderCancelReject:
    return OrderCancelReject(
        account_id=OURS,
        seq=seq,
        tenant_id=TENANT,
        order_id=None if order_id is None else OrderID(order_id),
        cl_ord_id=ClOrdID("x1"),
        orig_cl_ord_id=ClOrdID("c-o1"),
        ord_status=OrdStatus.REJECTED if order_id is None else OrdStatus.FILLED,
        cxl_rej_response_to=CxlRejResponseTo.ORDER_CANCEL_REQUEST,
        cxl_rej_reason=CxlRejReason.TOO_LATE_TO_CANCEL,
        rejected_by=RejectedBy.GATEWAY,
        text="filled",
        transact_time=NOON,
    )


def a_decision() -> RiskDecision:
    check = Check(
        name="MAX_ORDER_QTY",
        verdict=Verdict.PASS,
        inputs={"orderQty": "10", "reference": None},
        limit=Decimal(1000),
        used=Decimal(10),
    )
    return RiskDecision(checks=(check,), limits_version=3, decided_at=NOON)


def an_instrument(symbol: str = "AAPL", mic: str = "XNAS") -> Instrument:
    return Instrument(
        symbol=symbol,
        mic=mic,
        description=f"{symbol} common stock",
        security_type=SecurityType.COMMON_STOCK,
        currency="USD",
        tick=Decimal("0.01"),
        lot=Decimal(1),
        multiplier=Decimal(1),
        calendar="24/7",
    )


def a_quote(symbol: InstrumentID = AAPL, bid: str = "160", ask: str = "162") -> Quote:
    return Quote(
        symbol=symbol,
        bid=Decimal(bid),
        bid_size=Decimal(100),
        ask=Decimal(ask),
        ask_size=None,
        time=NOON,
        received_at=NOON,
        source="simulated",
    )


def a_state() -> ScopeState:
    return set_for(Scope(ScopeKind.ALL), TradingState.HALTED)


def a_change() -> TradingStateChange:
    return TradingStateChange(
        id=7,
        tenant_id=TENANT,
        account_id=OURS,
        before=TradingState.ACTIVE,
        state=TradingState.HALTED,
        reason="drill",
        changed_by=UserID("u1"),
        approved_by=None,
        changed_at=NOON,
    )


def an_approval_request() -> ApprovalRequest:
    return ApprovalRequest(
        id="r1",
        tenant_id=TENANT,
        account_id=OURS,
        state=TradingState.ACTIVE,
        reason="over",
        requested_by=UserID("u1"),
        requested_at=NOON,
        expires_at=NOON,
    )


def a_principal(
    permissions: Collection[Permission] = frozenset(Permission), role: str = "trader"
) -> Principal:
    return Principal(
        user_id=UserID("u1"),
        name="Test Trader",
        tenant_id=TENANT,
        role=role,
        permissions=frozenset(permissions),
        accounts={OURS: Entitlement.TRADE},
        expires_at=NOON,
    )


def a_limit(value: int, **scope: Any) -> Limit:
    return Limit(
        scope=LimitScope(account_id=OURS, **scope),
        name=LimitName.MAX_ORDER_QTY,
        value=Decimal(value),
        owner="risk",
        reason="test",
        version=3,
    )


class FakeReads:
    """The query side over lists; `calls` counts what was read, to show batching."""

    def __init__(self) -> None:
        self.all_accounts = [an_account(OURS, last_seq=4), an_account(FOREIGN)]
        self.all_orders = [an_order(), an_order("o2"), an_order("o3", FOREIGN)]
        self.log: list[Report] = [
            a_report(1, ExecType.NEW),
            a_report(2),
            a_cancel_reject(3),
            a_cancel_reject(4, None),
        ]
        self.all_positions = [
            Position(account_id=OURS, symbol=AAPL, net_qty=Decimal(4), cost=Decimal(600)),
            Position(account_id=OURS, symbol=MSFT, open_buy_qty=Decimal(1)),
            Position(account_id=FOREIGN, symbol=AAPL, net_qty=Decimal(1), cost=Decimal(1)),
        ]
        self.calls: list[str] = []
        self.asked: tuple[OrderFilter, int, OrderID | None] | None = None

    async def reports_at(self, keys: Collection[tuple[AccountID, int]]) -> Sequence[Report]:
        raise NotImplementedError(keys)

    async def accounts(self, ids: Collection[AccountID]) -> Sequence[Account]:
        self.calls.append("accounts")
        return [each for each in self.all_accounts if each.id in ids]

    async def order(self, order_id: OrderID) -> Order | None:
        return next((each for each in self.all_orders if each.id == order_id), None)

    async def orders_by_id(self, ids: Collection[OrderID]) -> Mapping[OrderID, Order]:
        self.calls.append("orders_by_id")
        return {each.id: each for each in self.all_orders if each.id in ids}

    async def order_by_cl_ord_id(self, account_id: AccountID, cl_ord_id: ClOrdID) -> Order | None:
        mine = (each for each in self.all_orders if each.account_id == account_id)
        return next((each for each in mine if each.cl_ord_id == cl_ord_id), None)

    async def orders_commanded(self, account_id: AccountID, cl_ord_id: ClOrdID) -> Sequence[Order]:
        found = await self.order_by_cl_ord_id(account_id, cl_ord_id)
        return [found] if found else []

    async def cancel_reject(
        self, account_id: AccountID, cl_ord_id: ClOrdID
    ) -> OrderCancelReject | None:
        rejects = (each for each in self.log if isinstance(each, OrderCancelReject))
        key = (account_id, cl_ord_id)
        return next((each for each in rejects if (each.account_id, each.cl_ord_id) == key), None)

    async def orders(
        self, account_id: AccountID, which: OrderFilter, first: int, after: OrderID | None
    ) -> Page[Order]:
        self.asked = which, first, after
        mine = [each for each in self.all_orders if each.account_id == account_id]
        newest = [each for each in reversed(mine) if after is None or each.id < after]
        return Page(newest[:first], has_next=len(newest) > first, as_of_seq=4)

    async def reports(self, account_id: AccountID, after_seq: int, first: int) -> Page[Report]:
        found = [r for r in self.log if r.account_id == account_id and r.seq > after_seq]
        return Page(found[:first], has_next=len(found) > first, as_of_seq=4)

    async def fills_of(
        self, order_ids: Collection[OrderID]
    ) -> Mapping[OrderID, Sequence[ExecutionReport]]:
        self.calls.append("fills_of")
        fills = [r for r in self.log if isinstance(r, ExecutionReport) and r.exec_type.is_fill]
        return {key: [f for f in fills if f.order_id == key] for key in order_ids}

    async def positions(self, accounts: Collection[AccountID]) -> Sequence[Position]:
        self.calls.append("positions")
        return [each for each in self.all_positions if each.account_id in accounts]

    async def heads(self, accounts: Collection[AccountID]) -> Mapping[AccountID, int]:
        return {each.id: each.last_seq for each in self.all_accounts if each.id in accounts}

    async def limits(self, account_id: AccountID) -> Limits | None:
        known = LimitSet().then(3, "three", [a_limit(5, symbol=AAPL), a_limit(9)])
        return Limits.of(an_account(account_id), known, Catalogue())

    async def decision(self, account_id: AccountID, cl_ord_id: ClOrdID) -> RiskDecision | None:
        return a_decision() if (account_id, cl_ord_id) == (OURS, "c-o1") else None

    async def decisions_of(self, order_ids: Collection[OrderID]) -> Mapping[OrderID, RiskDecision]:
        self.calls.append("decisions_of")
        return {OrderID("o1"): a_decision()} if "o1" in order_ids else {}

    async def breaks(self, account_id: AccountID, first: int) -> Sequence[Break]:
        late = Break(
            kind=BreakKind.LATE_FILL,
            account_id=account_id,
            order_id=OrderID("o1"),
            detail="after CANCELED",
            raised_at=NOON,
        )
        return [late][:first]

    async def state_changes(self, after_id: int) -> Sequence[TradingStateChange]:
        return [each for each in [a_change()] if each.id > after_id]


class FakeDesk:
    """Takes every command, and answers what it is told to, or as a desk would on a quiet day."""

    def __init__(self) -> None:
        self.commands: list[tuple[Any, ...]] = []
        self.answer: Any = None

    async def place(
        self, principal: Principal, command: PlaceOrder, wait_for: WaitFor
    ) -> PlaceResult:
        placed: PlaceResult = self._take(an_order(), principal, command, wait_for)
        return placed

    async def replace(
        self, principal: Principal, command: ReplaceOrder, wait_for: WaitFor
    ) -> AmendResult:
        replaced: AmendResult = self._take(an_order(), principal, command, wait_for)
        return replaced

    async def cancel(
        self, principal: Principal, command: CancelOrder, wait_for: WaitFor
    ) -> AmendResult:
        pending = replace(an_order(), pending_cancel=True)
        canceled: AmendResult = self._take(pending, principal, command, wait_for)
        return canceled

    async def cancel_all(self, principal: Principal, command: CancelAllOrders) -> MassCancelResult:
        report = OrderMassCancelReport(
            account_id=command.account_id, cl_ord_id=command.cl_ord_id, orders=[an_order()]
        )
        canceled: MassCancelResult = self._take(report, principal, command)
        return canceled

    async def preview(
        self, principal: Principal, command: PlaceOrder
    ) -> RiskDecision | InvalidInput:
        judged: RiskDecision | InvalidInput = self._take(a_decision(), principal, command)
        return judged

    async def set_trading_state(
        self, principal: Principal, command: SetTradingState
    ) -> TradingStateResult:
        done: TradingStateResult = self._take(TradingStateSet([a_change()]), principal, command)
        return done

    async def trading_states(self, principal: Principal) -> Sequence[ScopeState]:
        done: Sequence[ScopeState] = self._take([a_state()], principal, None)
        return done

    async def approve_trading_state(
        self, principal: Principal, request_id: str
    ) -> TradingStateResult:
        done: TradingStateResult = self._take(TradingStateSet([a_change()]), principal, request_id)
        return done

    def _take(self, usual: object, *asked: object) -> Any:
        self.commands.append(asked)
        if isinstance(self.answer, Exception):
            raise self.answer
        return usual if self.answer is None else self.answer


class FakeStreams:
    """Streams that tell what is there and then end; `closed` counts iterators that were closed."""

    def __init__(self, reads: FakeReads) -> None:
        self.reads = reads
        self.opened: list[tuple[Any, ...]] = []
        self.closed = 0
        self.failure: Exception | None = None

    async def reports(self, account_id: AccountID, after_seq: int | None) -> AsyncIterator[Report]:
        self.opened.append(("reports", account_id, after_seq))
        try:
            for report in (await self.reads.reports(account_id, after_seq or 0, 100)).items:
                yield report
            if self.failure is not None:
                raise self.failure
        finally:
            self.closed += 1

    async def quotes(self, symbols: Collection[InstrumentID]) -> AsyncIterator[Quote]:
        self.opened.append(("quotes", tuple(symbols)))
        for symbol in symbols:
            yield a_quote(symbol)

    async def positions(self, account_id: AccountID) -> AsyncIterator[Position]:
        for position in await self.reads.positions({account_id}):
            yield position

    async def account(self, account_id: AccountID) -> AsyncIterator[Account]:
        for account in await self.reads.accounts({account_id}):
            yield account

    async def trading_states(
        self, accounts: Collection[AccountID]
    ) -> AsyncIterator[TradingStateChange]:
        self.opened.append(("trading_states", frozenset(accounts)))
        yield a_change()


def a_limit_request(state: LimitRequestState = LimitRequestState.PENDING) -> LimitRequest:
    return LimitRequest(
        id="r1",
        tenant_id=TENANT,
        version=3,
        limits=(a_limit(7),),
        state=state,
        requested_by=UserID("u1"),
        requested_at=NOON,
        expires_at=NOON + 1,
    )


class FakeLinks:
    """One link of ours, of which everything can be asked; `commands` are what was asked."""

    def __init__(self, commands: list[Any]) -> None:
        self.commands = commands

    async def links(self, principal: Principal) -> Sequence[Link]:
        return [a_link()] if principal.may_read(OURS) else []

    async def begin(self, principal: Principal, account_id: AccountID, broker: str) -> LinkBegun:
        self.commands.append((principal, account_id, broker))
        return LinkBegun(a_link(), "https://broker.example/authorize?state=s")

    async def complete(self, principal: Principal, redirected_to: str) -> Link:
        return self._done(principal, redirected_to)

    async def approve(self, principal: Principal, link_id: str) -> Link:
        return self._done(principal, link_id)

    async def rotate(self, principal: Principal, link_id: str) -> Link:
        return self._done(principal, link_id)

    async def unlink(self, principal: Principal, link_id: str) -> Link:
        return self._done(principal, link_id)

    def _done(self, principal: Principal, about: str) -> Link:
        self.commands.append((principal, about))
        return a_link()


class FakeActs:
    """Two acts of our tenant, and those that are recorded."""

    def __init__(self) -> None:
        self.recorded: list[Act] = []

    async def record(self, act: Act) -> None:
        self.recorded.append(act)

    async def acts(self, tenant_id: TenantID, first: int, before: int) -> Sequence[Act]:
        known = [an_act(2), an_act(1)]
        return [each for each in known if each.tenant_id == tenant_id and each.number < before][
            :first
        ]


class FakeRevocationStore:
    """The users of our tenant; nobody's tokens are revoked yet."""

    def __init__(self, commands: list[tuple[Any, ...]] | None = None) -> None:
        self.revoked: list[tuple[Any, ...]] = [] if commands is None else commands

    async def revoke(self, tenant_id: TenantID, revocation: Revocation, act: Act) -> bool:
        if (tenant_id, revocation.user_id) != (TENANT, "u1"):
            return False
        self.revoked.append((revocation, act))
        return True


class FakeLimitDesk:
    """Keeps what it was asked among the other commands; `result` is what `set_limits` answers."""

    def __init__(self, commands: list[tuple[Any, ...]]) -> None:
        self.commands = commands
        self.result: LimitsResult = LimitsSet(4, [a_limit(5)])
        self.pages: list[tuple[int, int | None]] = []

    async def in_force(self, principal: Principal) -> Sequence[Limit]:
        del principal
        return [a_limit(5, symbol=AAPL), a_limit(9)]

    async def versions(
        self, principal: Principal, first: int, before: int | None
    ) -> Sequence[LimitVersion]:
        del principal
        self.pages.append((first, before))
        return [
            LimitVersion(
                version=3,
                id="three",
                requested_by=UserID("u1"),
                approved_by=UserID("u2"),
                changed_at=NOON,
                limits=(a_limit(5),),
            )
        ]

    async def requests(self, principal: Principal, first: int) -> Sequence[LimitRequest]:
        del principal, first
        return [a_limit_request()]

    async def set_limits(self, principal: Principal, limits: Sequence[Limit]) -> LimitsResult:
        self.commands.append((principal.user_id, limits))
        return self.result

    async def approve(self, principal: Principal, request_id: str) -> LimitsSet:
        self.commands.append((principal.user_id, request_id))
        return LimitsSet(4, [a_limit(7)])

    async def deny(
        self, principal: Principal, request_id: str, reason: str
    ) -> LimitRequest | InvalidInput:
        self.commands.append((principal.user_id, request_id, reason))
        if not reason:
            return InvalidInput((InputError(("input", "reason"), "REQUIRED", "say why"),))
        return a_limit_request(LimitRequestState.DENIED)

    async def withdraw(self, principal: Principal, request_id: str) -> LimitRequest:
        self.commands.append((principal.user_id, request_id))
        return a_limit_request(LimitRequestState.WITHDRAWN)


class FakeQuotes:
    def __init__(self) -> None:
        self.newest: dict[InstrumentID, Quote] = {AAPL: a_quote()}

    def last(self, symbol: InstrumentID) -> Quote | None:
        return self.newest.get(symbol)

    def want(self, symbols: Collection[InstrumentID]) -> None:
        pass


class FakeClock:
    def __init__(self, at: int = NOON) -> None:
        self.at = at

    def now(self) -> int:
        return self.at

    def monotonic(self) -> int:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += int(seconds * 1_000_000_000)


class FakeIds:
    def __init__(self) -> None:
        self.made = 0

    def next(self) -> int:
        self.made += 1
        return self.made


@dataclass(slots=True, kw_only=True)
class World:
    """All fakes, and contexts on them."""

    reads: FakeReads = field(default_factory=FakeReads)
    desk: FakeDesk = field(default_factory=FakeDesk)
    quotes: FakeQuotes = field(default_factory=FakeQuotes)
    streams: FakeStreams = field(init=False)
    limits: FakeLimitDesk = field(init=False)
    acts: FakeActs = field(default_factory=FakeActs)
    revocations: FakeRevocationStore = field(init=False)

    def __post_init__(self) -> None:
        self.limits = FakeLimitDesk(self.desk.commands)
        self.revocations = FakeRevocationStore(self.desk.commands)
        self.streams = FakeStreams(self.reads)

    def context(self, principal: Principal | None) -> Context:
        clock = FakeClock()
        return Context(
            principal=principal,
            desk=self.desk,
            control=self.desk,
            limits=self.limits,
            acts=self.acts,
            revocations=RevocationDesk(store=self.revocations, clock=FakeClock(NOON)),
            links=FakeLinks(self.desk.commands),
            reads=self.reads,
            streams=self.streams,
            quotes=self.quotes,
            catalogue=Catalogue(
                [an_instrument(), an_instrument("MSFT"), an_instrument("MSFT", "XNYS")]
            ),
            gateway=Gateway(
                environment=Environment.SIM,
                version="1.2.3",
                brokers=[a_broker()],
                clock=clock,
                market_clock=FakeClock(NOON + 999),
            ),
            ids=FakeIds(),
        )


def a_broker() -> Capabilities:
    return Capabilities(
        broker="paper",
        environment=Environment.SIM,
        ord_types=frozenset(OrdType),
        times_in_force=frozenset(TimeInForce),
        replace=ReplaceModel.SAME_ID,
        dedupes_wire_id=True,
        proves_absence=True,
        trade_cancels=True,
    )


def an_input_error() -> InputError:
    return InputError(("input", "price"), "REQUIRED", "a LIMIT order needs a price")
