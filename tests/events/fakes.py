"""A clock, a store and a bus that do what a test tells them."""

import asyncio
import heapq
import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from events.broadcaster import Handoff
from events.codec import Channel, ReportBatch, Reports
from events.relay import BusUnavailable
from trading.account import Account, Position, TradingState
from trading.control import TradingStateChange
from trading.execution import ExecType, ExecutionReport, Origin, Report
from trading.ids import AccountID, ClOrdID, ExecID, InstrumentID, OrderID, TenantID, UserID
from trading.order import OrdStatus, OrdType, Side, TimeInForce
from trading.ports import Clock
from trading.quote import Quote
from trading.store import Page, StoreUnavailable, shard_of

ONE, OTHER = AccountID("one"), AccountID("other")
AAPL, MSFT = InstrumentID("AAPL@XNAS"), InstrumentID("MSFT@XNAS")


async def settle() -> None:
    """Let every task run until it waits for something that only a test can bring."""
    for _ in range(60):
        await asyncio.sleep(0)


class FakeClock:
    """Time that stands still until it is advanced."""

    def __init__(self) -> None:
        self._now = 1_000_000_000_000
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._count = itertools.count()

    def now(self) -> int:
        return self._now

    def monotonic(self) -> int:
        return self._now

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        due = self._now + int(seconds * 1_000_000_000)
        heapq.heappush(self._sleepers, (due, next(self._count), future))
        await future

    async def advance(self, seconds: float) -> None:
        """Wake the sleepers one after the other, at their times."""
        end = self._now + int(seconds * 1_000_000_000)
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            self._now, _, future = heapq.heappop(self._sleepers)
            if not future.done():
                future.set_result(None)
                await settle()
        self._now = end


def report(seq: int, account_id: AccountID = ONE) -> ExecutionReport:
    return ExecutionReport(
        account_id=account_id,
        seq=seq,
        tenant_id=TenantID("demo"),
        order_id=OrderID(f"order-{seq}"),
        cl_ord_id=ClOrdID(f"c-{seq}"),
        orig_cl_ord_id=None,
        secondary_order_id=None,
        exec_id=ExecID(f"{account_id}-{seq}"),
        exec_type=ExecType.NEW,
        exec_ref_id=None,
        origin=Origin.BROKER,
        ord_status=OrdStatus.NEW,
        symbol=AAPL,
        side=Side.BUY,
        ord_type=OrdType.LIMIT,
        time_in_force=TimeInForce.DAY,
        order_qty=Decimal(100),
        price=Decimal("189.5"),
        stop_px=None,
        last_qty=Decimal(0),
        last_px=Decimal(0),
        cum_qty=Decimal(0),
        leaves_qty=Decimal(100),
        avg_px=None,
        in_doubt=False,
        rejected_by=None,
        ord_rej_reason=None,
        text=None,
        transact_time=seq,
    )


def batch(*reports: Report) -> Reports:
    """Make the news of some reports of one account."""
    return Reports((ReportBatch(reports[0].account_id, reports),))


def quote(symbol: InstrumentID, bid: str, at: int = 0) -> Quote:
    return Quote(
        symbol=symbol,
        bid=Decimal(bid),
        bid_size=Decimal(5),
        ask=Decimal(bid) + 1,
        ask_size=None,
        time=at,
        received_at=at,
        source="test",
    )


def account(account_id: AccountID = ONE) -> Account:
    return Account(
        id=account_id,
        tenant_id=TenantID("demo"),
        name="Account",
        currency="USD",
        broker="paper",
        cash=Decimal(1000),
    )


def change(number: int, account_id: AccountID = ONE) -> TradingStateChange:
    return TradingStateChange(
        id=number,
        tenant_id=TenantID("demo"),
        account_id=account_id,
        before=TradingState.ACTIVE,
        state=TradingState.HALTED,
        reason="test",
        changed_by=UserID("risk"),
        approved_by=None,
        changed_at=number,
    )


def position(symbol: InstrumentID, net_qty: int) -> Position:
    return Position(account_id=ONE, symbol=symbol, net_qty=Decimal(net_qty), as_of_seq=1)


@dataclass(frozen=True)
class Row:
    id: int
    account_id: AccountID
    first_seq: int
    last_seq: int
    traceparents: str | None = None


class FakeStore:
    """The log, the outbox and the rows that streams read; it can be down, and counts its reads."""

    def __init__(self) -> None:
        self.log: dict[AccountID, list[Report]] = {}
        self.rows: list[Row] = []
        self.account_rows = {ONE: account(ONE)}
        self.position_rows: list[Position] = []
        self.changes: list[TradingStateChange] = []
        self.reads: list[str] = []
        self.marks = 0
        self.is_down = False
        self._ids = itertools.count(1)

    def commit(
        self, count: int, account_id: AccountID = ONE, traceparents: str | None = None
    ) -> Row:
        """Record reports in one commit."""
        log = self.log.setdefault(account_id, [])
        first = len(log) + 1
        log.extend(report(seq, account_id) for seq in range(first, first + count))
        if account_id in self.account_rows:
            changed = replace(self.account_rows[account_id], last_seq=len(log))
            self.account_rows[account_id] = changed
        row = Row(next(self._ids), account_id, first, len(log), traceparents)
        self.rows.append(row)
        return row

    def _answer(self, what: str) -> None:
        self.reads.append(what)
        if self.is_down:
            raise StoreUnavailable("down")

    async def pending(self, limit: int, shards: Collection[int] | None = None) -> Sequence[Row]:
        self._answer("pending")
        rows = [row for row in self.rows if shards is None or shard_of(row.account_id) in shards]
        return rows[:limit]

    async def published(self, ids: Collection[int]) -> None:
        self.marks += 1
        self.rows = [row for row in self.rows if row.id not in ids]

    async def reports(self, account_id: AccountID, after_seq: int, first: int) -> Page[Report]:
        self._answer("reports")
        await asyncio.sleep(0)
        page = [each for each in self.log.get(account_id, ()) if each.seq > after_seq][:first]
        return Page(page, has_next=False)

    async def reports_at(self, keys: Collection[tuple[AccountID, int]]) -> Sequence[Report]:
        self._answer("reports_at")
        await asyncio.sleep(0)
        return [each for a, seq in keys for each in self.log.get(a, ()) if each.seq == seq]

    async def heads(self, accounts: Collection[AccountID]) -> Mapping[AccountID, int]:
        self._answer("heads")
        await asyncio.sleep(0)
        return {each: len(self.log.get(each, ())) for each in accounts}

    async def accounts(self, ids: Collection[AccountID]) -> Sequence[Account]:
        self._answer("accounts")
        return [self.account_rows[each] for each in sorted(ids) if each in self.account_rows]

    async def positions(self, accounts: Collection[AccountID]) -> Sequence[Position]:
        self._answer("positions")
        return [each for each in self.position_rows if each.account_id in accounts]

    async def state_changes(self, after_id: int) -> Sequence[TradingStateChange]:
        self._answer("state_changes")
        return [each for each in self.changes if each.id > after_id]


class FakeLeases:
    """Leases on the clock of a test; they can be down, and count how often they were given up."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._leases: dict[str, tuple[int, int]] = {}
        self.is_down = False
        self.released = 0

    def _answer(self) -> int:
        if self.is_down:
            raise StoreUnavailable("down")
        return self._clock.monotonic()

    async def acquire(self, name: str, holder: str, ttl_s: float) -> int | None:
        del holder
        now = self._answer()
        epoch, until = self._leases.get(name, (0, 0))
        if now < until:
            return None
        self._leases[name] = epoch + 1, now + int(ttl_s * 1_000_000_000)
        return epoch + 1

    async def renew(self, name: str, epoch: int, ttl_s: float) -> bool:
        now = self._answer()
        if self._leases[name][0] != epoch:
            return False
        self._leases[name] = epoch, now + int(ttl_s * 1_000_000_000)
        return True

    async def release(self, name: str, epoch: int) -> None:
        self._answer()
        if self._leases[name][0] == epoch:
            self._leases[name] = epoch, 0
            self.released += 1


class FaultyBus:
    """Between the relay and the process: delivers, drops, repeats, holds back or refuses."""

    def __init__(self, handoff: Handoff) -> None:
        self.fate = "deliver"
        self.sent: list[tuple[Channel, bytes]] = []
        self.traceparents: list[str | None] = []
        self._held: list[tuple[Channel, bytes]] = []
        self._handoff = handoff

    async def publish(
        self, channel: Channel, message: bytes, traceparent: str | None = None
    ) -> None:
        self.traceparents.append(traceparent)
        if self.fate == "refuse":
            raise BusUnavailable("refused")
        self.sent.append((channel, message))
        if self.fate == "hold":
            self._held.append((channel, message))
        times = {"deliver": 1, "repeat": 2}.get(self.fate, 0)
        for _ in range(times):
            await self._handoff.publish(channel, message)

    async def release(self) -> None:
        """Deliver what was held back, the newest first."""
        while self._held:
            await self._handoff.publish(*self._held.pop())


class FakeQuotes:
    """The last quotes, as a test sets them."""

    def __init__(self) -> None:
        self.by_symbol: dict[InstrumentID, Quote] = {}

    def last(self, symbol: InstrumentID) -> Quote | None:
        return self.by_symbol.get(symbol)

    def want(self, symbols: Collection[InstrumentID]) -> None:
        raise NotImplementedError(symbols)
