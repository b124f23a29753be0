"""What risk costs each order, in this process alone: the case, its controls, and their words."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial

from persistence.judged import Checks
from persistence.seed import standard_limits
from persistence.statement import DIALECT
from risk.case import Case
from risk.control import CONTROLS
from risk.decide import decide
from trading.account import Account, Position
from trading.books import Books
from trading.ids import AccountID, ClOrdID, InstrumentID, OrderID, TenantID, WireID
from trading.instrument import Catalogue, Instrument, SecurityType
from trading.limits import Limits, LimitSet
from trading.order import Order, OrdStatus, OrdType, Side, TimeInForce
from trading.ports import Capabilities, Environment, ReplaceModel
from trading.quantity import use_exact_arithmetic
from trading.quote import Quote

HELD = (1, 10, 100)
_LOOPS = 300
_NOW = 1_700_000_000_000_000_000
_PX = Decimal(100)
_ACCOUNT = AccountID("bench")


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU time for one order, in microseconds: to find the facts, to judge them, to write it.

    `first` is for the facts of the first order of a batch, and `facts` for those after it.
    """

    first: float
    facts: float
    controls: float
    words: float


def costs(rounds: int) -> Iterator[tuple[int, Cost]]:
    """Measure with an account that holds ever more instruments."""
    use_exact_arithmetic()
    for held in HELD:
        case = _case(held)
        facts = case.facts()
        decision = decide(facts, 1, _NOW)
        if not decision.accepted:
            raise ValueError(f"the bench's order is refused: {decision.refusal}")
        yield (
            held,
            Cost(
                first=_us(rounds, partial(_first, case)),
                facts=_us(rounds, partial(_next, case)),
                controls=_us(rounds, partial(decide, facts, 1, _NOW)),
                words=_us(rounds, partial(Checks().process_bind_param, decision.checks, DIALECT)),
            ),
        )


def _first(case: Case) -> None:
    case.books.portfolios.clear()
    case.facts()


def _next(case: Case) -> None:
    """Find the facts when the order before it has moved the position, as it does when recorded."""
    portfolio = case.books.portfolios[_ACCOUNT]
    for position in case.position, replace(case.position, open_buy_qty=case.order.order_qty):
        portfolio.put(position)
    case.facts()


def count() -> int:
    """Say how many controls there are."""
    return len(CONTROLS)


def _us(rounds: int, work: Callable[[], object]) -> float:
    """Return the median over rounds: CPU time, so that others' load counts little."""
    found = []
    for _ in range(rounds):
        began = time.process_time_ns()
        for _ in range(_LOOPS):
            work()
        found.append((time.process_time_ns() - began) / _LOOPS / 1000)
    return statistics.median(found)


def _case(held: int) -> Case:
    instruments = [_stock(f"S{number}") for number in range(held)]
    account = Account(
        id=_ACCOUNT,
        tenant_id=TenantID("bench"),
        name="Bench",
        currency="USD",
        broker="paper",
        cash=Decimal(1_000_000),
    )
    catalogue = Catalogue(instruments)
    known = LimitSet().then(1, "standard", standard_limits(account.id))
    books = Books(
        catalogue=catalogue,
        accounts={account.id: account},
        limits={account.id: Limits.of(account, known, catalogue)},
    )
    for instrument in instruments:
        key = account.id, instrument.id
        books.positions[key] = Position(
            account_id=account.id, symbol=instrument.id, net_qty=Decimal(10), cost=Decimal(1000)
        )
        books.references[instrument.id] = _quote(instrument.id)
        books.earlier[instrument.id] = _PX
    return Case.of(_order(instruments[0].id), instruments[0], books, _CAPABILITIES, _NOW, _NOW)


def _stock(symbol: str) -> Instrument:
    return Instrument(
        symbol=symbol,
        mic="XNAS",
        description=symbol,
        security_type=SecurityType.COMMON_STOCK,
        currency="USD",
        tick=Decimal("0.01"),
        lot=Decimal(1),
        multiplier=Decimal(1),
        calendar="24/7",
    )


def _quote(symbol: InstrumentID) -> Quote:
    return Quote(
        symbol=symbol,
        bid=_PX,
        bid_size=_PX,
        ask=_PX,
        ask_size=_PX,
        time=_NOW,
        received_at=_NOW,
        source="bench",
    )


def _order(symbol: InstrumentID) -> Order:
    return Order(
        id=OrderID("order"),
        tenant_id=TenantID("bench"),
        account_id=_ACCOUNT,
        cl_ord_id=ClOrdID("order"),
        wire_id=WireID("order"),
        symbol=symbol,
        side=Side.BUY,
        ord_type=OrdType.LIMIT,
        order_qty=Decimal(10),
        price=_PX,
        stop_px=None,
        time_in_force=TimeInForce.DAY,
        expire_time=None,
        reduce_only=False,
        strategy_id="bench",
        manual_order_indicator=False,
        status=OrdStatus.PENDING_NEW,
        created_at=_NOW,
        transact_time=_NOW,
    )


_CAPABILITIES = Capabilities(
    broker="paper",
    environment=Environment.SIM,
    ord_types=frozenset(OrdType),
    times_in_force=frozenset(TimeInForce),
    replace=ReplaceModel.SAME_ID,
    dedupes_wire_id=True,
    proves_absence=True,
    trade_cancels=True,
)
