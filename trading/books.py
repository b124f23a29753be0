"""Books: the locked accounts of one transaction, changed in memory and then saved as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from trading.account import Account, Position, TradingState, reservation
from trading.audit import Act
from trading.command import Claim, Command, CommandState
from trading.conduct import Conduct
from trading.control import (
    NOTHING_SET,
    ApprovalRequest,
    MassAction,
    ScopeState,
    TradingStateChange,
    TradingStates,
)
from trading.decision import RiskDecision
from trading.execution import (
    Break,
    BreakKind,
    BrokerReport,
    ExecType,
    ExecutionReport,
    Fill,
    OrderCancelReject,
    Origin,
    Report,
)
from trading.held import Held
from trading.ids import AccountID, ClOrdID, ExecID, InstrumentID, OrderID, UserID, WireID
from trading.instrument import Catalogue, Instrument
from trading.limits import Limits, LimitSet
from trading.order import Order, OrdStatus, Resting
from trading.portfolio import Portfolio
from trading.quantity import ONE, ZERO, Money, Px
from trading.quote import Quote
from trading.record import replace
from trading.reject import CxlRejReason, CxlRejResponseTo, RejectedBy
from trading.scope import Scope, ScopeKind

type ClaimKey = tuple[AccountID, ClOrdID]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wants:
    """What a transaction needs to see of its accounts, beside their own rows, positions and limits.

    An order is found by its id, a wire id of any of its commands, a ClOrdID of its chain, or as one
    of an account's open orders. `fills_of` asks for the fills of those. What `judges` new terms
    sees what else is open in the instruments of `symbols` and of those orders.
    """

    accounts: frozenset[AccountID]
    cl_ord_ids: frozenset[ClaimKey] = frozenset()
    order_ids: frozenset[OrderID] = frozenset()
    wire_ids: frozenset[WireID] = frozenset()
    fills_of: frozenset[WireID] = frozenset()
    open_orders_of: frozenset[AccountID] = frozenset()
    symbols: frozenset[InstrumentID] = frozenset()
    judges: bool = False
    broker_keys: frozenset[str] = frozenset()
    states: bool = False
    """Whether the trading states of all scopes are needed: then nobody else changes one."""
    held: Mapping[WireID, Held] = field(default_factory=dict)
    """Orders that need not be read where their `last_seq` is still the same."""
    readmits: bool = False  # Prices and limits are needed only where an account is restricted.


@dataclass(slots=True, kw_only=True)
class Books:
    """What a transaction loaded, and what it changed.

    The first group is filled in by the store: `commands` are the open ones of the loaded orders,
    `seen_keys` those of `Wants.broker_keys` recorded before, and `earlier` references of a minute
    ago. `owners` has every locked account that names its owner, and `resting` the open orders of
    those too; `in_doubt` counts orders. The second group the store saves, all of it or nothing.
    """

    catalogue: Catalogue
    accounts: dict[AccountID, Account] = field(default_factory=dict)
    orders: dict[OrderID, Order] = field(default_factory=dict)
    commands: dict[WireID, Command] = field(default_factory=dict)
    claims: dict[ClaimKey, Claim] = field(default_factory=dict)
    positions: dict[tuple[AccountID, InstrumentID], Position] = field(default_factory=dict)
    fills: dict[OrderID, list[Fill]] = field(default_factory=dict)
    cancel_rejects: dict[tuple[AccountID, int], OrderCancelReject] = field(default_factory=dict)
    limits: dict[AccountID, Limits] = field(default_factory=dict)
    references: dict[InstrumentID, Quote] = field(default_factory=dict)
    earlier: dict[InstrumentID, Px] = field(default_factory=dict)
    owners: dict[AccountID, str] = field(default_factory=dict)
    resting: dict[tuple[AccountID, InstrumentID], dict[OrderID, Resting]] = field(
        default_factory=dict
    )
    in_doubt: dict[AccountID, int] = field(default_factory=dict)
    seen_keys: set[str] = field(default_factory=set)
    states: TradingStates = NOTHING_SET
    portfolios: dict[AccountID, Portfolio] = field(default_factory=dict)
    """What positions come to, of accounts of which that was asked: follows what is recorded."""

    changed_accounts: set[AccountID] = field(default_factory=set)
    changed_orders: set[OrderID] = field(default_factory=set)
    changed_commands: set[WireID] = field(default_factory=set)
    changed_positions: set[tuple[AccountID, InstrumentID]] = field(default_factory=set)
    new_claims: list[Claim] = field(default_factory=list)
    new_reports: list[Report] = field(default_factory=list)
    new_fills: list[Fill] = field(default_factory=list)
    new_decisions: list[tuple[AccountID, ClOrdID, RiskDecision]] = field(default_factory=list)
    new_breaks: list[Break] = field(default_factory=list)
    new_broker_keys: list[str] = field(default_factory=list)
    new_state_changes: list[TradingStateChange] = field(default_factory=list)
    new_approval_requests: list[ApprovalRequest] = field(default_factory=list)
    new_scope_states: list[ScopeState] = field(default_factory=list)
    new_acts: list[Act] = field(default_factory=list)
    latched: dict[AccountID, tuple[str, UserID]] = field(default_factory=dict)
    """Accounts that were reduced: why, and by whose word. Their scopes are to follow: `latch`."""
    cursor: tuple[str, str] | None = None
    """The broker's name and the place in its stream up to which this transaction has read."""

    def order_of(self, wire_id: WireID) -> Order | None:
        """Find the order that a wire id addresses: by its own, or by one of its open commands."""
        if (command := self.commands.get(wire_id)) is not None:
            return self.orders.get(command.order_id)
        return next((order for order in self.orders.values() if order.wire_id == wire_id), None)

    def commands_of(self, order_id: OrderID) -> list[Command]:
        """Return the open commands of an order, oldest first."""
        mine = (c for c in self.commands.values() if c.order_id == order_id and c.state.is_open)
        return sorted(mine, key=lambda command: (command.created_at, command.wire_id))

    def position(self, account_id: AccountID, symbol: InstrumentID) -> Position:
        """Return an account's position in an instrument, flat where there is none yet."""
        known = self.positions.get((account_id, symbol))
        return known or Position(account_id=account_id, symbol=symbol)

    def limits_of(self, account_id: AccountID) -> Limits:
        """Return an account's limits, none of them set where there are none."""
        known = self.limits.get(account_id)
        return known or Limits.of(self.accounts[account_id], LimitSet(), self.catalogue)

    def put_command(self, command: Command) -> None:
        """Add or change a row of the command ledger."""
        self.commands[command.wire_id] = command
        self.changed_commands.add(command.wire_id)

    def settle(self, command: Command, state: CommandState, evidence: str | None = None) -> None:
        """Move a command of the ledger on, with what that rests on."""
        self.put_command(replace(command, state=state, evidence=evidence or command.evidence))

    def put_claim(self, claim: Claim) -> None:
        """Take a ClOrdID."""
        self.claims[claim.account_id, claim.cl_ord_id] = claim
        self.new_claims.append(claim)

    def put_account(self, account: Account) -> None:
        """Change an account's row."""
        self.accounts[account.id] = account
        self.changed_accounts.add(account.id)

    def put_conduct(self, account_id: AccountID, conduct: Conduct) -> None:
        """Change what an account is remembered for."""
        if (account := self.accounts[account_id]).conduct is not conduct:
            self.put_account(replace(account, conduct=conduct))

    def reduce(self, account_id: AccountID, reason: str, by: UserID, at: int) -> None:
        """Have an account only reduce from now on, unless it may not even do that."""
        account = self.accounts[account_id]
        if account.trading_state.strictness >= TradingState.REDUCING.strictness:
            return
        self.put_account(replace(account, trading_state=TradingState.REDUCING))
        self.new_state_changes.append(
            TradingStateChange(
                tenant_id=account.tenant_id,
                account_id=account_id,
                before=account.trading_state,
                state=TradingState.REDUCING,
                reason=reason,
                changed_by=by,
                approved_by=None,
                changed_at=at,
                scope_kind=ScopeKind.ACCOUNT,
                scope_id=account_id,
            )
        )
        self.latched[account_id] = reason, by

    def put_scope_state(self, row: ScopeState) -> None:
        """Set a scope's state, unless it is so already; the one before it ends."""
        held = self.states.current.get(row.scope)
        before = (held.state, held.action) if held else (TradingState.ACTIVE, MassAction.NONE)
        if before == (row.state, row.action):
            return
        row = replace(row, epoch=self.states.epoch + 1)
        if held is not None:
            self.new_scope_states.append(replace(held, ended_epoch=row.epoch))
        self.new_scope_states.append(row)
        self.states = replace(self.states, current={**self.states.current, row.scope: row})

    def latch(self, states: TradingStates, at: int) -> None:
        """Set what was reduced for the scopes too, whose `states` nobody else changes meanwhile."""
        self.states = states
        for account_id, (reason, by) in self.latched.items():
            scope = Scope(ScopeKind.ACCOUNT, account_id)
            if states.state(scope).strictness >= TradingState.REDUCING.strictness:
                continue
            held = states.current.get(scope)
            row = ScopeState(
                epoch=0,
                scope=scope,
                state=TradingState.REDUCING,
                action=held.action if held else MassAction.NONE,
                reason=reason,
                changed_by=by,
                approved_by=None,
                changed_at=at,
            )
            self.put_scope_state(row)

    def raise_breaks(self, kinds: Iterable[BreakKind], order: Order, detail: str, at: int) -> None:
        """Keep differences for a person to look at."""
        self.new_breaks.extend(
            Break(
                kind=kind,
                account_id=order.account_id,
                order_id=order.id,
                detail=detail,
                raised_at=at,
            )
            for kind in kinds
        )

    def record(
        self,
        order: Order,
        exec_type: ExecType,
        at: int,
        *,
        fill: Fill | None = None,
        claim: BrokerReport | None = None,
        ids: tuple[ClOrdID | None, ClOrdID | None] | None = None,
        text: str | None = None,
    ) -> ExecutionReport:
        """Record what happened to an order: the next report of its account, and all that it moves.

        `order` is the state after; what it was before is in these books. `ids` are ClOrdID and
        OrigClOrdID of the command which the report answers, where they are not the order's own.
        """
        account = self.accounts[order.account_id]
        seq = account.last_seq + 1
        order = replace(order, last_seq=seq, transact_time=at)
        before = self.orders.get(order.id)
        self._move(account, before, order, seq, fill)
        words = text or (claim.text if claim else None) or order.text
        report = _report(order, exec_type, fill, ids or (order.cl_ord_id, None), words)
        self.orders[order.id] = order
        self.changed_orders.add(order.id)
        self.new_reports.append(report)
        if fill is not None:
            fill = replace(fill, seq=seq)
            self.fills.setdefault(order.id, []).append(fill)
            self.new_fills.append(fill)
        return report

    def record_cancel_reject(
        self,
        command: tuple[AccountID, ClOrdID, ClOrdID | None],
        order: Order | None,
        response_to: CxlRejResponseTo,
        reason: CxlRejReason,
        rejected_by: RejectedBy,
        text: str,
        at: int,
    ) -> OrderCancelReject:
        """Record that a cancel or replace was refused, and the order as it stands after that."""
        account_id, cl_ord_id, orig_cl_ord_id = command
        account = self.accounts[account_id]
        seq = account.last_seq + 1
        report = OrderCancelReject(
            account_id=account_id,
            seq=seq,
            tenant_id=account.tenant_id,
            order_id=order.id if order else None,
            cl_ord_id=cl_ord_id,
            orig_cl_ord_id=orig_cl_ord_id,
            # FIX wants REJECTED here when the order is unknown, so that the field is never empty.
            ord_status=order.ord_status if order else OrdStatus.REJECTED,
            cxl_rej_response_to=response_to,
            cxl_rej_reason=reason,
            rejected_by=rejected_by,
            text=text,
            transact_time=at,
        )
        if order is not None:
            self._move(account, self.orders.get(order.id), order, seq, None)
            self.orders[order.id] = replace(order, last_seq=seq, transact_time=at)
            self.changed_orders.add(order.id)
        else:
            self.put_account(replace(account, last_seq=seq))
        self.new_reports.append(report)
        self.cancel_rejects[account_id, seq] = report
        return report

    def _move(
        self, account: Account, before: Order | None, after: Order, seq: int, fill: Fill | None
    ) -> None:
        """Move reservation, position, cash and open order count to the new state of an order."""
        instrument = self.catalogue.get(after.symbol)
        multiplier = instrument.multiplier if instrument else ONE
        held, holds = reservation(before, multiplier), reservation(after, multiplier)
        position, cash = self.position(account.id, after.symbol), ZERO
        if held != holds:
            position = position.reserve(after.side, held, holds)
        if fill is not None and instrument is not None:
            earlier = self.fills.get(after.id, [])
            position, cash = _execute(position, fill, earlier, instrument)
            position = replace(position, as_of_seq=seq)
        if held != holds or fill is not None:
            self._put_position(position)
        self._rest(after)
        opened = int(after.is_open) - int(before is not None and before.is_open)
        self.put_account(
            replace(
                account,
                last_seq=seq,
                cash=account.cash + cash,
                open_orders=account.open_orders + opened,
            )
        )

    def _put_position(self, position: Position) -> None:
        key = position.account_id, position.symbol
        self.positions[key] = position
        self.changed_positions.add(key)
        if (portfolio := self.portfolios.get(position.account_id)) is not None:
            portfolio.put(position)

    def _rest(self, order: Order) -> None:
        here = self.resting.setdefault((order.account_id, order.symbol), {})
        if order.is_open:
            here[order.id] = Resting.of(order)
        else:
            here.pop(order.id, None)


def _execute(
    position: Position, fill: Fill, earlier: Iterable[Fill], instrument: Instrument
) -> tuple[Position, Money]:
    """Take a fill into a position: a revision first undoes the fill that it names."""
    sign, cash = fill.side.sign, ZERO
    if fill.exec_type is not ExecType.TRADE:
        for undone in (each for each in earlier if each.exec_id == fill.exec_ref_id):
            position, cash = position.undo(undone.last_qty * sign, undone.last_px, instrument)
    if fill.exec_type is not ExecType.TRADE_CANCEL:
        position, paid = position.trade(fill.last_qty * sign, fill.last_px, instrument)
        cash += paid
    return position, cash


def _report(
    order: Order,
    exec_type: ExecType,
    fill: Fill | None,
    ids: tuple[ClOrdID | None, ClOrdID | None],
    text: str | None,
) -> ExecutionReport:
    cl_ord_id, orig_cl_ord_id = ids
    return ExecutionReport(
        account_id=order.account_id,
        seq=order.last_seq,
        tenant_id=order.tenant_id,
        order_id=order.id,
        cl_ord_id=cl_ord_id,
        orig_cl_ord_id=orig_cl_ord_id,
        secondary_order_id=order.secondary_order_id,
        # Ours are numbered like the log; a fill keeps the broker's own id.
        exec_id=fill.exec_id if fill else ExecID(f"{order.account_id}-{order.last_seq}"),
        exec_type=exec_type,
        exec_ref_id=fill.exec_ref_id if fill else None,
        origin=fill.origin if fill else Origin.BROKER,
        ord_status=order.ord_status,
        symbol=order.symbol,
        side=order.side,
        ord_type=order.ord_type,
        time_in_force=order.time_in_force,
        order_qty=order.order_qty,
        price=order.price,
        stop_px=order.stop_px,
        last_qty=fill.last_qty if fill else ZERO,
        last_px=fill.last_px if fill else ZERO,
        cum_qty=order.cum_qty,
        leaves_qty=order.leaves_qty,
        avg_px=order.avg_px,
        in_doubt=order.in_doubt,
        rejected_by=order.rejected_by,
        ord_rej_reason=order.ord_rej_reason,
        text=text,
        transact_time=order.transact_time,
    )
