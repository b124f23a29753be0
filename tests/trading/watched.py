"""A house whose account is watched by a monitor, and what the monitor reads of it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from tests.trading.builders import AAPL, ACCOUNT, limits, principal, quote, trade
from tests.trading.fakes import settle
from tests.trading.house import House, working
from trading.account import TradingState
from trading.books import Books
from trading.command import SetTradingState
from trading.execution import Break, BreakKind, Fill
from trading.exposure import Fold, Ledger, Traded
from trading.ids import AccountID
from trading.monitor import Monitor
from trading.order import Order
from trading.outcome import ApprovalRequired
from trading.scope import Scope, ScopeKind
from trading.store import StoreOverloaded

ACTIVE, REDUCING, HALTED = TradingState
MINE = Scope(ScopeKind.ACCOUNT, ACCOUNT)


def traded(fills: Sequence[Fill], among: Sequence[Fill] | None = None) -> list[Traded]:
    """Take fills as a store gives them: each with the quantity of the one that it revises."""
    qty = {each.exec_id: each.last_qty for each in among or fills}
    return [
        Traded(f.seq, f.symbol, f.side, f.exec_type, f.last_qty, qty.get(f.exec_ref_id))
        if f.exec_ref_id
        else Traded(f.seq, f.symbol, f.side, f.exec_type, f.last_qty)
        for f in fills
    ]


@dataclass
class MemoryEvidence:
    """What monitors read of a house's store, and keep."""

    house: House
    kept: dict[AccountID, tuple[int, Fold]] = field(default_factory=dict)
    meanwhile: Callable[[], None] = lambda: None
    is_busy: bool = False

    async def books(self, accounts: Collection[AccountID]) -> Books:
        state = self.house.store.state
        books = Books(
            catalogue=self.house.store.catalogue,
            accounts={each: state.accounts[each] for each in accounts},
            positions={k: v for k, v in state.positions.items() if k[0] in accounts},
            limits=dict(state.limits),
            references=dict(state.references),
        )
        self.meanwhile()
        return books

    async def ledger(self, account_id: AccountID, after_seq: int, first: int) -> Ledger:
        state = self.house.store.state
        later = await self.fills(account_id, after_seq, 1 << 62, first + 1)
        return Ledger(
            account=state.accounts[account_id],
            positions=[v for (a, _), v in state.positions.items() if a == account_id],
            open_orders=[
                o for o in state.orders.values() if o.is_open and o.account_id == account_id
            ],
            fills=later[:first],
            has_next=len(later) > first,
        )

    async def ledgers(self, after_seqs: Mapping[AccountID, int]) -> Sequence[Ledger]:
        return [await self.ledger(each, seq, 1 << 30) for each, seq in after_seqs.items()]

    async def fills(
        self, account_id: AccountID, after_seq: int, until_seq: int, first: int
    ) -> Sequence[Traded]:
        mine = [f for f in self.house.store.state.fills if f.account_id == account_id]
        asked = [f for f in mine if after_seq < f.seq <= until_seq]
        return traded(asked[:first], mine)

    async def checkpoints(self, accounts: Collection[AccountID]) -> Mapping[AccountID, Fold]:
        return {each: self.kept[each][1] for each in accounts if each in self.kept}

    async def keep(self, account_id: AccountID, fold: Fold, epoch: int) -> None:
        if self.is_busy:
            raise StoreOverloaded("no connection is free")
        if epoch >= self.kept.get(account_id, (0, fold))[0]:
            self.kept[account_id] = epoch, fold

    async def newest_breaks(
        self, accounts: Collection[AccountID], kinds: Collection[BreakKind]
    ) -> Sequence[Break]:
        breaks = self.house.store.state.breaks
        found = {b.account_id: b for b in breaks if b.account_id in accounts and b.kind in kinds}
        return list(found.values())


class Watched:
    """A house whose account holds 100 shares that were bought at 100, and its monitor."""

    def __init__(self, house: House | None = None, **values: object) -> None:
        self.house = house or House()
        self.house.store.state.limits[ACCOUNT] = limits(values=values)
        self.evidence = MemoryEvidence(self.house)
        self.monitor = self.again()

    def again(self, epoch: int = 1) -> Monitor:
        """Make the monitor of another owner."""
        return Monitor(
            store=self.house.store,
            evidence=self.evidence,
            control=self.house.control,
            catalogue=self.house.store.catalogue,
            quotes=self.house.quotes,
            clock=self.house.clock,
            epoch=epoch,
        )

    async def hold(self) -> Order:
        order = await working(self.house)
        self.house.broker.tell(trade("opened", 100, 100, order.wire_id, cursor="2"))
        await settle()
        return order

    async def steps(self, count: int = 100) -> None:
        """Go on with what is long, as the monitor does between its rounds."""
        for _ in range(count):
            await self.monitor._recomputation.step()

    async def look(self, px: Decimal | int = 100) -> None:
        now = self.house.clock.now()
        self.house.store.state.references[AAPL] = quote(px=int(px), received_at=now)
        await self.monitor.round([ACCOUNT])

    @property
    def state(self) -> TradingState:
        return self.house.store.state.accounts[ACCOUNT].trading_state

    @property
    def reasons(self) -> list[str]:
        rows = self.house.store.state.scope_states.values()
        return [row.reason for row in rows if row.changed_by == "monitor"]

    @property
    def unlike(self) -> list[str]:
        """What was found not to agree: an account that reduces for another reason is one too."""
        found = [each.detail for each in self.house.store.state.breaks]
        return [why for why in found if why.startswith(("EXPOSURE", "CHECKPOINT"))]

    async def release(self) -> None:
        command = SetTradingState(state=ACTIVE, reason="seen to", account_id=ACCOUNT)
        asked = await self.house.control.set_trading_state(principal("one"), command)
        assert isinstance(asked, ApprovalRequired)
        await self.house.control.approve_trading_state(principal("two"), asked.request.id)
