"""Monitors: what they see makes an account only reduce, and nothing that they see loosens it."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

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
    limits,
    order,
    principal,
    quote,
)
from tests.trading.house import House
from tests.trading.watched import ACTIVE, HALTED, MINE, REDUCING, Watched
from trading.account import Position, TradingState
from trading.books import Books
from trading.command import SetTradingState
from trading.control import MassAction, TradingStates
from trading.execution import Break, BreakKind
from trading.exposure import Ledger
from trading.ids import AccountID
from trading.monitor import ROUND_MAX_S
from trading.outcome import ApprovalRequired
from trading.scope import Scope, ScopeKind

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


@pytest.mark.parametrize("is_behind", [True, False])
async def test_a_halt_that_is_released_between_two_readings_is_no_latch(
    monkeypatch: pytest.MonkeyPatch, *, is_behind: bool
) -> None:
    """The states were read before the halt, or after its release; the account in between."""
    watched = Watched()
    scopes = watched.house.store.scopes
    halt = SetTradingState(state=HALTED, reason="a drill", account_id=ACCOUNT)
    before = await scopes.trading_states()
    await watched.house.control.set_trading_state(principal("one"), halt)
    halted = await watched.monitor.evidence.books([ACCOUNT])
    assert halted.accounts[ACCOUNT].trading_state is HALTED
    await watched.release()
    readings = [before] if is_behind else []
    now = await scopes.trading_states()

    async def read() -> TradingStates:
        return readings.pop() if readings else now

    async def seen(_: Collection[AccountID]) -> Books:
        return halted

    monkeypatch.setattr(scopes, "trading_states", read)
    monkeypatch.setattr(watched.monitor.evidence, "books", seen)
    await watched.look()

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


@pytest.mark.parametrize("planted_at_s", [0.1, 2.3, 2.8, 4.3, 5.6])
async def test_a_wrong_ledger_is_found_within_five_seconds_while_others_move(
    planted_at_s: float, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Reading them takes as long as it may; what is wrong has not moved, and is read at last."""
    watched = Watched()
    clock, store, read = watched.house.clock, watched.house.store, watched.evidence.ledgers
    crowd = [AccountID(f"crowd-{number:02}") for number in range(90)]
    store.state.accounts |= {each: account(each) for each in crowd}
    store.state.limits |= {each: limits(each) for each in crowd}
    last = crowd[-1]

    async def slowly(after_seqs: Mapping[AccountID, int]) -> Sequence[Ledger]:
        await clock.sleep(ROUND_MAX_S * len(after_seqs) / len(crowd))
        found = await read(after_seqs)
        for account_id in after_seqs.keys() - {last}:
            held = store.state.accounts[account_id]
            store.state.accounts[account_id] = replace(held, last_seq=held.last_seq + 1)
        return found

    monkeypatch.setattr("trading.recomputation.PAGE", 10)
    monkeypatch.setattr(watched.evidence, "ledgers", slowly)
    running = asyncio.create_task(watched.monitor.run(crowd))
    await clock.advance(planted_at_s)
    assert store.state.breaks == []
    store.state.positions[last, AAPL] = Position(account_id=last, symbol=AAPL, net_qty=D(1))
    await clock.advance(5)
    running.cancel()

    [found] = store.state.breaks
    assert found.account_id == last
    assert store.state.accounts[last].trading_state is REDUCING
    assert f"account:{last} is REDUCING: {found.detail}" in caplog.messages


async def test_a_round_that_takes_too_long_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    watched = Watched()

    async def slowly(*_: object) -> list[Break]:
        await watched.house.clock.sleep(3)
        return []

    monkeypatch.setattr(watched.evidence, "newest_breaks", slowly)
    running = asyncio.create_task(watched.monitor.run([ACCOUNT]))
    await watched.house.clock.advance(3.1)
    running.cancel()

    assert "a round over 1 accounts took 3.0 s" in caplog.messages


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
