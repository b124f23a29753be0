"""Monitors: what they see makes an account only reduce, and nothing that they see loosens it."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trading.builders import (
    AAPL,
    ACCOUNT,
    NOW,
    NS,
    OTHER,
    TENANT,
    D,
    account,
    fill,
    limits,
    order,
    place,
    principal,
    quote,
    trade,
)
from tests.trading.fakes import settle
from tests.trading.house import House, working
from trading.account import Position, TradingState
from trading.books import Books
from trading.command import SetTradingState
from trading.control import MassAction
from trading.execution import Break, BreakKind, ExecType
from trading.exposure import Fold, Ledger
from trading.ids import AccountID, ExecID
from trading.monitor import Monitor
from trading.order import Order, Side
from trading.outcome import ApprovalRequired
from trading.scope import Scope, ScopeKind

ACTIVE, REDUCING, HALTED = TradingState
MINE = Scope(ScopeKind.ACCOUNT, ACCOUNT)


class MemoryEvidence:
    """What monitors read, of a house's store."""

    def __init__(self, house: House) -> None:
        self._house = house
        self.meanwhile: Callable[[], None] = lambda: None

    async def books(self, accounts: Collection[AccountID]) -> Books:
        state = self._house.store.state
        books = Books(
            catalogue=self._house.store.catalogue,
            accounts={each: state.accounts[each] for each in accounts},
            positions={k: v for k, v in state.positions.items() if k[0] in accounts},
            limits=dict(state.limits),
            references=dict(state.references),
        )
        self.meanwhile()
        return books

    async def ledger(self, account_id: AccountID, after_seq: int) -> Ledger:
        state = self._house.store.state
        return Ledger(
            account=state.accounts[account_id],
            positions=[v for (a, _), v in state.positions.items() if a == account_id],
            open_orders=[o for o in state.orders.values() if o.is_open],
            fills=[f for f in state.fills if f.account_id == account_id and f.seq > after_seq],
        )

    async def newest_breaks(
        self, accounts: Collection[AccountID], kinds: Collection[BreakKind]
    ) -> Sequence[Break]:
        breaks = self._house.store.state.breaks
        found = {b.account_id: b for b in breaks if b.account_id in accounts and b.kind in kinds}
        return list(found.values())


class Watched:
    """A house whose account holds 100 shares that were bought at 100, and its monitor."""

    def __init__(self, house: House | None = None, **values: object) -> None:
        self.house = house or House()
        self.house.store.state.limits[ACCOUNT] = limits(values=values)
        self.evidence = MemoryEvidence(self.house)
        self.monitor = self.again()

    def again(self) -> Monitor:
        """Make the monitor of another owner."""
        return Monitor(
            store=self.house.store,
            evidence=self.evidence,
            control=self.house.control,
            catalogue=self.house.store.catalogue,
            quotes=self.house.quotes,
            clock=self.house.clock,
        )

    async def hold(self) -> Order:
        order = await working(self.house)
        self.house.broker.tell(trade("opened", 100, 100, order.wire_id, cursor="2"))
        await settle()
        return order

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

    async def release(self) -> None:
        command = SetTradingState(state=ACTIVE, reason="seen to", account_id=ACCOUNT)
        asked = await self.house.control.set_trading_state(principal("one"), command)
        assert isinstance(asked, ApprovalRequired)
        await self.house.control.approve_trading_state(principal("two"), asked.request.id)


# --- exposure ---


async def test_a_ledger_that_agrees_with_its_facts_is_left_alone() -> None:
    watched = Watched()
    async with watched.house.open():
        await watched.hold()
        await watched.house.put(place("p2"))
        await watched.look()

    assert (watched.state, watched.reasons) == (ACTIVE, [])


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"net_qty": D(101)}, "net_qty=101 recomputed=100"),
        ({"open_buy_qty": D(7)}, "open_buy_qty=7 recomputed=0"),
        ({"open_sell_qty": D(7)}, "open_sell_qty=7 recomputed=0"),
    ],
)
async def test_one_that_does_not_is_a_break_and_the_account_only_reduces(
    wrong: dict[str, Any], told: str
) -> None:
    watched = Watched()
    async with watched.house.open():
        await watched.hold()
        positions = watched.house.store.state.positions
        positions[ACCOUNT, AAPL] = replace(positions[ACCOUNT, AAPL], **wrong)
        await watched.look()
        await watched.look()

    [found] = watched.house.store.state.breaks
    assert found.kind is BreakKind.POSITION
    assert told in found.detail
    assert watched.state is REDUCING
    assert told in watched.reasons[0]


async def test_a_lost_count_of_open_orders_is_one_too() -> None:
    watched = Watched()
    accounts = watched.house.store.state.accounts
    accounts[ACCOUNT] = replace(accounts[ACCOUNT], open_orders=3)
    await watched.look()

    assert "open_orders=3 recomputed=0" in watched.reasons[0]


def test_a_bust_and_a_correction_are_folded_as_they_are_recorded() -> None:
    first, second = fill("f1", 100, seq=1), fill("f2", 50, seq=2)
    corrected = fill("f3", 30, exec_type=ExecType.TRADE_CORRECT, exec_ref_id=ExecID("f2"), seq=3)
    busted = fill("f4", 100, exec_type=ExecType.TRADE_CANCEL, exec_ref_id=ExecID("f1"), seq=4)

    assert Fold().then([first, second]).net_qty == {AAPL: D(150)}
    assert Fold().then([first, second, corrected]).net_qty == {AAPL: D(130)}
    assert Fold().then([first, second, corrected, busted]).net_qty == {AAPL: D(30)}
    sold = fill("s", 10, side=Side.SELL, seq=5)
    assert Fold().then([first, sold]) == Fold().then([first]).then([sold])


async def test_a_revision_of_what_was_folded_before_agrees() -> None:
    watched = Watched()
    async with watched.house.open():
        order = await watched.hold()
        await watched.look()
        bust = trade("b", 100, 100, order.wire_id, cursor="3")
        bust = replace(
            bust, exec_type=ExecType.TRADE_CANCEL, exec_ref_id=ExecID("opened"), reopened=True
        )
        watched.house.broker.tell(bust)
        await settle()
        assert watched.house.store.state.positions[ACCOUNT, AAPL].net_qty == 0
        await watched.look()

    assert watched.reasons == []


# --- losses ---


@pytest.mark.parametrize(("px", "state"), [(90, ACTIVE), (89, REDUCING)])
async def test_beyond_the_daily_loss_an_account_only_reduces(px: int, state: TradingState) -> None:
    watched = Watched(MAX_DAILY_LOSS=1000)
    async with watched.house.open():
        await watched.hold()
        await watched.look(100)
        await watched.look(px)

    assert watched.state is state
    told = ["LOSS_LIMIT: session_equity=1000000 equity=998900 limit=1000"]
    assert watched.reasons == ([] if state is ACTIVE else told)


@pytest.mark.parametrize(("px", "state"), [(105, ACTIVE), (104, REDUCING)])
async def test_beyond_the_drawdown_from_the_peak_too(px: int, state: TradingState) -> None:
    watched = Watched(MAX_DRAWDOWN=500)
    async with watched.house.open():
        await watched.hold()
        for each in (100, 110, px):
            await watched.look(each)

    assert watched.state is state


async def test_the_peak_is_remembered_by_the_next_owner() -> None:
    watched = Watched(MAX_DRAWDOWN=500)
    async with watched.house.open():
        await watched.hold()
        await watched.look(110)
        watched.monitor = watched.again()
        await watched.look(104)

    assert watched.state is REDUCING


async def test_risk_measures_from_the_begin_and_the_peak_that_were_seen_between_orders() -> None:
    watched = Watched()
    async with watched.house.open():
        await watched.hold()
        for px in (100, 110, 105):
            await watched.look(px)

    conduct = watched.house.store.state.accounts[ACCOUNT].conduct
    assert (conduct.session_equity, conduct.peak_equity) == (D(1_000_000), D(1_001_000))


async def test_what_an_order_remembers_meanwhile_is_not_lost() -> None:
    watched = Watched()
    terms = order()

    def remember() -> None:
        accounts = watched.house.store.state.accounts
        conduct = accounts[ACCOUNT].conduct.placed(terms, NOW)
        accounts[ACCOUNT] = replace(accounts[ACCOUNT], conduct=conduct)

    async with watched.house.open():
        await watched.hold()
        watched.evidence.meanwhile = remember
        await watched.look(110)

    conduct = watched.house.store.state.accounts[ACCOUNT].conduct
    assert conduct.duplicates(terms, NOW) == 1
    assert conduct.peak_equity == D(1_001_000)


async def test_marks_of_what_is_held_are_asked_for_while_nobody_places_an_order() -> None:
    watched = Watched()
    async with watched.house.open():
        await watched.hold()
        watched.house.quotes.wanted.clear()
        await watched.look()

    assert watched.house.quotes.wanted == {AAPL}


async def test_a_mark_that_is_stale_or_missing_decides_nothing() -> None:
    watched = Watched(MAX_DAILY_LOSS=1000, REFERENCE_MAX_AGE_MS=5000)
    async with watched.house.open():
        await watched.hold()
        await watched.look(100)
        references = watched.house.store.state.references
        references[AAPL] = quote(px=1, received_at=watched.house.clock.now() - 5 * NS - 1)
        await watched.monitor.round([ACCOUNT])
        references.clear()
        await watched.monitor.round([ACCOUNT])
        assert watched.state is ACTIVE
        references[AAPL] = quote(px=1, received_at=watched.house.clock.now() - 5 * NS)
        await watched.monitor.round([ACCOUNT])

    assert watched.state is REDUCING


async def test_an_account_that_is_locked_for_long_stalls_no_stranger(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watched = Watched(house=House(account(), account(OTHER)))
    store = watched.house.store
    store.state.breaks.append(raised(NOW))
    store.blocked.add(OTHER)
    monkeypatch.setattr("trading.monitor._LOCKED_AT_ONCE", 1)
    await watched.monitor.round([OTHER, ACCOUNT])

    assert watched.reasons == ["OPEN_BREAK: kind=OVERFILL detail=why"]
    remembered = {k: v.conduct.session_equity for k, v in store.state.accounts.items()}
    assert remembered == {OTHER: None, ACCOUNT: D(1_000_000)}


async def test_a_limit_that_is_not_set_is_not_watched() -> None:
    watched = Watched(MAX_DAILY_LOSS=None, MAX_DRAWDOWN=None)
    async with watched.house.open():
        await watched.hold()
        await watched.look(100)
        await watched.look(1)

    assert watched.state is ACTIVE


async def test_a_new_session_begins_with_what_is_left() -> None:
    watched = Watched(MAX_DAILY_LOSS=1000)
    async with watched.house.open():
        await watched.hold()
        await watched.look(100)
    await watched.house.clock.advance(86_400)
    await watched.look(80)

    assert watched.state is ACTIVE
    conduct = watched.house.store.state.accounts[ACCOUNT].conduct
    assert (conduct.session_equity, conduct.peak_equity) == (D(998_000), D(998_000))


# --- breaks, and what risk has latched ---


def raised(at: int, kind: BreakKind = BreakKind.OVERFILL) -> Break:
    return Break(kind=kind, account_id=ACCOUNT, order_id=None, detail="why", raised_at=at)


async def test_an_open_break_reduces_until_somebody_has_released_it() -> None:
    watched = Watched()
    watched.house.store.state.breaks.append(raised(NOW))
    await watched.look()
    assert watched.reasons == ["OPEN_BREAK: kind=OVERFILL detail=why"]

    await watched.house.clock.advance(1)
    await watched.release()
    await watched.look()
    assert watched.state is ACTIVE
    await watched.house.clock.advance(1)
    watched.house.store.state.breaks.append(raised(watched.house.clock.now()))
    await watched.look()

    assert watched.state is REDUCING


async def test_a_late_fill_is_none() -> None:
    watched = Watched()
    watched.house.store.state.breaks.append(raised(NOW, BreakKind.LATE_FILL))
    await watched.look()

    assert watched.state is ACTIVE


async def test_what_risk_has_latched_outlasts_the_release_of_a_wider_scope() -> None:
    watched = Watched()
    accounts = watched.house.store.state.accounts
    accounts[ACCOUNT] = replace(accounts[ACCOUNT], trading_state=REDUCING)
    await watched.look()
    [row] = watched.house.store.state.scope_states.values()
    assert (row.scope, row.state) == (MINE, REDUCING)

    tenant = SetTradingState(
        state=HALTED, reason="x", scope=Scope(ScopeKind.BROKER, "fake", TENANT)
    )
    await watched.house.control.set_trading_state(principal("one"), tenant)
    asked = await watched.house.control.set_trading_state(
        principal("one"), replace(tenant, state=ACTIVE)
    )
    assert isinstance(asked, ApprovalRequired)
    await watched.house.control.approve_trading_state(principal("two"), asked.request.id)

    assert watched.state is REDUCING
    await watched.release()
    assert watched.state is ACTIVE


async def test_a_monitor_runs_in_the_owners_session_and_survives_an_outage() -> None:
    watched = Watched()
    house = watched.house
    house.session._monitor = watched.monitor
    async with house.open():
        house.store.is_down = True
        await house.clock.advance(5)
        house.store.is_down = False
        house.store.state.breaks.append(raised(NOW))
        await house.clock.advance(5)

        assert house.session.is_open
        assert watched.state is REDUCING


EVENTS = st.lists(
    st.sampled_from(["quote up", "quote down", "break", "wrong", "right", "latch", "restart"])
    | st.sampled_from([REDUCING, HALTED]),
    max_size=12,
)


@given(EVENTS)
async def test_no_sequence_of_what_monitors_see_ever_loosens(events: list[str]) -> None:
    watched, px = Watched(MAX_DAILY_LOSS=1000, MAX_DRAWDOWN=500), 100
    state = watched.house.store.state
    state.positions[ACCOUNT, AAPL] = Position(account_id=ACCOUNT, symbol=AAPL)
    strictest = ACTIVE
    for event in events:
        state = watched.house.store.state
        mine = state.positions[ACCOUNT, AAPL]
        match event:
            case "quote up" | "quote down":
                px += 40 if event == "quote up" else -20
                px = max(px, 1)
            case "break":
                state.breaks.append(raised(watched.house.clock.now() + 1))
            case "wrong" | "right":
                qty = D(50) if event == "wrong" else D(0)
                state.positions[ACCOUNT, AAPL] = replace(mine, net_qty=qty)
                watched.monitor._heads.clear()
            case "latch":
                held = state.accounts[ACCOUNT]
                if held.trading_state is ACTIVE:
                    state.accounts[ACCOUNT] = replace(held, trading_state=REDUCING)
            case "restart":
                watched.monitor = watched.again()
            case _:
                await watched.house.control.tighten(
                    MINE, TradingState(event), "a person", principal().user_id
                )
        await watched.look(px)
        assert watched.state.strictness >= strictest.strictness
        strictest = watched.state
        row = {r.scope: r for r in watched.house.store.state.scope_states.values()}.get(MINE)
        assert row is None or row.action is MassAction.NONE
