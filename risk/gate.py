"""The gate: the one place where an order is approved to go to a broker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from risk import checks
from risk.case import INPUTS, Case, decide
from risk.control import CONTROLS
from trading.account import TradingState
from trading.books import Books
from trading.command import Command
from trading.decision import RiskDecision, Verdict
from trading.ids import UserID
from trading.instrument import Instrument
from trading.order import ApprovedOrder, ApprovedReplace, Order, Replacement
from trading.ports import Capabilities, Cleared, MarketClock, Withheld
from trading.quantity import ZERO

INTENT_MAX_AGE_NS = 30_000_000_000
"""How old a recorded intent may grow before it is sent: half a minute, then the client must ask."""


class RiskGate:
    """Judges orders under the account's lock, and alone makes ApprovedOrder and ApprovedReplace."""

    def __init__(self, capabilities: Mapping[str, Capabilities], market: MarketClock) -> None:
        """Take what each broker can do, by its name, and the market's clock."""
        if set(INPUTS) != set(CONTROLS):
            raise AssertionError(f"controls without inputs: {set(INPUTS) ^ set(CONTROLS)}")
        self._capabilities = capabilities
        self._market = market

    def clear(
        self, order: Order, instrument: Instrument, books: Books, at: int
    ) -> Cleared[ApprovedOrder]:
        """Judge a new order by every control; what is approved carries the price it reserves."""
        case = self._case(order, instrument, books, at)
        decision = decide(case)
        if not decision.accepted:
            return Cleared(approved=None, decision=decision)
        reserved = replace(order, reserve_px=case.reserve_px() or ZERO)
        return Cleared(approved=ApprovedOrder(order=reserved, approved_at=at), decision=decision)

    def clear_replace(
        self, order: Order, command: Command, instrument: Instrument, books: Books, at: int
    ) -> Cleared[ApprovedReplace]:
        """Judge the order as it would be under the terms of a replace."""
        terms = _terms(command)
        case = self._case(_under(order, terms), instrument, books, at, command.user_id)
        decision = decide(case)
        if not decision.accepted:
            return Cleared(approved=None, decision=decision)
        terms = replace(terms, reserve_px=case.reserve_px() or ZERO)
        approved = ApprovedReplace(
            order=order, wire_id=command.wire_id, terms=terms, approved_at=at
        )
        return Cleared(approved=approved, decision=decision)

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
        check = checks.trading_state.check(**INPUTS[checks.trading_state.name](case))
        return check.text if check.verdict is Verdict.REFUSE else None

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
