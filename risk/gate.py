"""The gate: the one place where an order is approved to go to a broker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from risk import checks
from risk.case import Case
from risk.conduct import STRATEGY_DISABLED
from risk.control import CONTROLS, Facts
from risk.decide import decide, see_that_all_have_facts
from risk.exposure import LATCHED
from trading.account import TradingState
from trading.books import Books
from trading.command import Command
from trading.decision import RiskDecision
from trading.ids import UserID
from trading.instrument import Instrument
from trading.limits import LimitName
from trading.order import ApprovedOrder, ApprovedReplace, Order, Replacement
from trading.ports import Capabilities, Cleared, MarketClock, Withheld
from trading.quantity import Px
from trading.record import replace

INTENT_MAX_AGE_NS = 30_000_000_000
"""How old a recorded intent may grow before it is sent: half a minute, then the client must ask."""


class RiskGate:
    """Judges orders under the account's lock, and alone makes ApprovedOrder and ApprovedReplace."""

    def __init__(self, capabilities: Mapping[str, Capabilities], market: MarketClock) -> None:
        """Take what each broker can do, by its name, and the market's clock."""
        see_that_all_have_facts()
        self._capabilities = capabilities
        self._market = market

    def clear(
        self, order: Order, instrument: Instrument, books: Books, at: int
    ) -> Cleared[ApprovedOrder]:
        """Judge a new order by every control; what is approved carries the price it reserves."""
        judged = self._judge(order, instrument, books, at)
        if (reserve_px := judged.reserve_px) is None:
            return judged.cleared(None)
        reserved = replace(order, reserve_px=reserve_px, sells_short=judged.sells_short)
        return judged.cleared(ApprovedOrder(order=reserved, approved_at=at))

    def clear_replace(
        self, order: Order, command: Command, instrument: Instrument, books: Books, at: int
    ) -> Cleared[ApprovedReplace]:
        """Judge the order as it would be under the terms of a replace."""
        terms = _terms(command)
        judged = self._judge(_under(order, terms), instrument, books, at, command.user_id)
        if (reserve_px := judged.reserve_px) is None:
            return judged.cleared(None)
        terms = replace(terms, reserve_px=reserve_px)
        approved = ApprovedReplace(
            order=order, wire_id=command.wire_id, terms=terms, approved_at=at
        )
        return judged.cleared(approved)

    def _judge(
        self,
        order: Order,
        instrument: Instrument,
        books: Books,
        at: int,
        user_id: UserID | None = None,
    ) -> _Judged:
        case = self._case(order, instrument, books, at, user_id)
        facts = case.facts()
        return _Judged(case, facts, decide(facts, case.limits.version, at))

    def readmit(
        self, order: Order, command: Command, books: Books, at: int
    ) -> ApprovedOrder | ApprovedReplace | Withheld:
        """Judge a recorded NEW or REPLACE once more before it is sent: age and trading state."""
        if at - command.created_at > INTENT_MAX_AGE_NS:
            return Withheld(f"STALE_INTENT: age_ms={(at - command.created_at) // 1_000_000}")
        terms = command.terms
        judged = order if terms is None else _under(order, terms)
        refusal = self._state_refusal(judged, books, command.user_id)
        if refusal is not None:
            return Withheld(refusal)
        if terms is None:
            return ApprovedOrder(order=order, approved_at=at)
        return ApprovedReplace(order=order, wire_id=command.wire_id, terms=terms, approved_at=at)

    def _state_refusal(self, order: Order, books: Books, user_id: UserID | None) -> str | None:
        state = books.accounts[order.account_id].state_for(order, user_id)
        if state is TradingState.ACTIVE:
            return None
        instrument = books.catalogue.get(order.symbol)
        if instrument is None:
            return f"TRADING_STATE: state={state}"
        case = self._case(order, instrument, books, order.created_at, user_id)
        return checks.trading_state.refusal(case.facts())

    def _case(
        self,
        order: Order,
        instrument: Instrument,
        books: Books,
        at: int,
        user_id: UserID | None = None,
    ) -> Case:
        capabilities = self._capabilities[books.accounts[order.account_id].broker]
        return Case.of(order, instrument, books, capabilities, self._market.now(), at, user_id)


@dataclass(frozen=True, slots=True)
class _Judged:
    """A case that was decided, and what follows for the account."""

    case: Case
    facts: Facts
    decision: RiskDecision

    @property
    def reserve_px(self) -> Px | None:
        """The price that an approved order reserves; None for one that is refused."""
        px = self.facts["reserve_px"]
        return px if self.decision.accepted and isinstance(px, Decimal) else None

    @property
    def sells_short(self) -> bool:
        """How the order is to be marked."""
        return self.facts["sells_short"] is True

    def cleared[T](self, approved: T | None) -> Cleared[T]:
        """Answer with what is approved, and what the account is remembered for."""
        order, at = self.case.order, self.case.at
        equity = self.facts["equity"]
        seen = equity if isinstance(equity, Decimal) else None
        conduct = self.case.account.conduct.observed(seen, at)
        if approved is not None:
            conduct = conduct.sent(at)
            conduct = conduct.placed(order, at) if self.case.is_new else conduct
            return Cleared(approved=approved, decision=self.decision, conduct=conduct)
        refusals = self._refusals()
        if STRATEGY_DISABLED in refusals and self._is_first_beyond():
            # One more than the limit stays counted, so that no person's order undoes it.
            conduct = conduct.counted(order)
        latched = [text for code, text in refusals.items() if code in LATCHED]
        return Cleared(
            approved=None,
            decision=self.decision,
            conduct=conduct,
            reduces=latched[0] if latched else None,
        )

    def _is_first_beyond(self) -> bool:
        order, limit = self.case.order, self.case.limit(LimitName.MAX_STRATEGY_ORDERS)
        if order.strategy_id is None or limit is None or not order.is_automated:
            return False
        return self.case.account.conduct.strategy_orders(order.strategy_id) <= limit

    def _refusals(self) -> dict[str, str | None]:
        checks = self.decision.checks
        return {each.code: each.text for each in checks if each.code is not None}


def replay(decision: RiskDecision) -> RiskDecision:
    """Judge the stored inputs of a decision again; anything but an equal decision is a defect."""
    return replace(
        decision,
        checks=tuple(CONTROLS[check.name].replay(check.inputs) for check in decision.checks),
    )


def _terms(command: Command) -> Replacement:
    if command.terms is None:
        raise ValueError("a replace has terms")
    return command.terms


def _under(order: Order, terms: Replacement) -> Order:
    """Put the order under new terms, with its old ones still reserved until the broker answers."""
    old = Replacement(
        order_qty=order.order_qty,
        price=order.price,
        stop_px=order.stop_px,
        reserve_px=order.reserve_px,
    )
    return replace(
        order, order_qty=terms.order_qty, price=terms.price, stop_px=terms.stop_px, replacement=old
    )
