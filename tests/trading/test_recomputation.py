"""Recomputation: exposure folded from fills agrees with the ledger, or the account only reduces."""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trading.builders import (
    AAPL,
    ACCOUNT,
    ES,
    D,
    account,
    at_broker,
    bust,
    correct,
    place,
    trade,
)
from tests.trading.fakes import settle
from tests.trading.house import House
from tests.trading.memory import Failure
from tests.trading.office import Office
from tests.trading.watched import ACTIVE, REDUCING, Watched, traded
from trading.execution import BreakKind, BrokerReport, ExecType
from trading.exposure import Fold
from trading.ids import ExecID
from trading.order import Order, Side
from trading.store import StoreUnavailable


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Read three fills at a time, and keep where one is after four."""
    with monkeypatch.context() as patch:
        patch.setattr("trading.recomputation.PAGE", 3)
        patch.setattr("trading.recomputation.KEPT_AFTER", 4)
        yield


# --- the fold ---

OPS = st.lists(
    st.one_of(
        st.tuples(st.just("trade"), st.integers(0, 0), st.integers(1, 9)),
        st.tuples(st.just("bust"), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("correct"), st.integers(0, 9), st.integers(0, 9)),
    ),
    max_size=15,
)


def claims(wire_id: str, ops: list[tuple[str, int, int]]) -> Iterator[BrokerReport]:
    """Make a broker's claims: a revision names any claim before it, and need not make sense."""
    for number, (what, of, qty) in enumerate(ops):
        name = f"{wire_id}-{number}"
        match what:
            case "trade":
                yield trade(name, qty, 100, wire_id, key=name)
            case "bust":
                yield bust(name, f"{wire_id}-{of}", wire_id, key=name, reopened=True)
            case _:
                yield correct(name, f"{wire_id}-{of}", qty, 101, wire_id=wire_id, key=name)


@given(OPS, OPS, st.lists(st.integers(0, 40), max_size=4), st.randoms(use_true_random=False))
def test_a_fold_goes_on_from_any_checkpoint_as_if_from_the_first_fill(
    ops: list[tuple[str, int, int]], other: list[tuple[str, int, int]], cuts: list[int], random: Any
) -> None:
    office = Office()
    buys = office.working("p1", order_qty=D(50))
    sells = office.working("p2", order_qty=D(50), side=Side.SELL)
    streams = [list(claims(buys.wire_id, ops)), list(claims(sells.wire_id, other))]
    while any(streams):
        office.take(random.choice([each for each in streams if each]).pop(0))
    fills = traded(office.books.new_fills)

    whole = Fold().then(fills)
    assert whole.net_qty.get(AAPL, D(0)) == office.books.position(ACCOUNT, AAPL).net_qty
    fold, begin = Fold(), 0
    for cut in [*sorted(cuts), len(fills)]:
        fold = fold.then(fills[begin:cut])
        begin = max(begin, cut)
    assert fold == whole


def test_a_bust_and_a_correction_move_by_the_difference() -> None:
    office = Office()
    order = office.working(order_qty=D(200))
    for claim, net in (
        (trade("f1", 100, wire_id=order.wire_id), 100),
        (trade("f2", 50, wire_id=order.wire_id), 150),
        (correct("f3", "f2", 30, 100, wire_id=order.wire_id), 130),
        (bust("f4", "f1", order.wire_id), 30),
        (correct("f5", "f2", 35, 100, wire_id=order.wire_id), 35),
    ):
        office.take(claim)
        assert Fold().then(traded(office.books.new_fills)).net_qty == {AAPL: D(net)}


def test_a_deduced_fill_that_the_broker_then_tells_of_counts_once() -> None:
    office = Office()
    order = office.working(order_qty=D(200))
    theirs = at_broker(order, cum_qty=D(60), avg_px=D(100))
    office.found(order.wire_id, theirs)
    office.take(trade("f1", 60, wire_id=order.wire_id))

    assert Fold().then(traded(office.books.new_fills)).net_qty == {AAPL: D(60)}


# --- beside a ledger ---


async def fill(watched: Watched, order: Order, name: str, qty: int = 1, **fields: Any) -> None:
    watched.house.broker.tell(trade(name, qty, 100, order.wire_id, key=name, **fields))
    await settle()


async def test_a_ledger_that_agrees_with_its_facts_is_left_alone() -> None:
    watched = Watched()
    async with watched.house.open():
        await watched.hold()
        await watched.house.put(place("p2"))
        await watched.look()

    assert (watched.state, watched.reasons) == (ACTIVE, [])


@pytest.mark.parametrize("is_idle", [False, True])
@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"net_qty": D(101)}, "net_qty=101 recomputed=100"),
        ({"open_buy_qty": D(7)}, "open_buy_qty=7 recomputed=0"),
        ({"open_sell_qty": D(7)}, "open_sell_qty=7 recomputed=0"),
    ],
)
async def test_one_that_does_not_is_a_break_and_the_account_only_reduces(
    wrong: dict[str, Any], told: str, *, is_idle: bool
) -> None:
    watched = Watched()
    async with watched.house.open():
        await watched.hold()
        if is_idle:
            await watched.look()
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


async def test_what_could_not_be_told_is_told_when_the_store_is_back() -> None:
    watched = Watched()
    store = watched.house.store
    store.state.accounts[ACCOUNT] = replace(store.state.accounts[ACCOUNT], open_orders=3)
    store.failures = [Failure.BEFORE_COMMIT]
    with pytest.raises(StoreUnavailable):
        await watched.look()
    assert watched.state is ACTIVE
    await watched.look()

    assert watched.state is REDUCING
    assert len(store.state.breaks) == 1


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


# --- pages, checkpoints and proofs ---


@pytest.mark.usefixtures("small_pages")
async def test_a_long_past_is_read_in_pages_between_the_rounds_and_then_compared() -> None:
    watched = Watched(House(account()))
    async with watched.house.open():
        order = await watched.hold()
        for number in range(8):
            await fill(watched, order, f"late-{number}")
        positions = watched.house.store.state.positions
        positions[ACCOUNT, AAPL] = replace(positions[ACCOUNT, AAPL], net_qty=D(1))
        await watched.look()
        assert watched.unlike == [], "three of nine fills have been read"
        await watched.steps(1)
        assert watched.unlike == []
        await watched.steps(1)

    assert "net_qty=1 recomputed=108" in watched.unlike[0]


@pytest.mark.usefixtures("small_pages")
async def test_an_account_that_is_long_behind_is_named_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("trading.recomputation._LONG", 2)
    watched = Watched(House(account()))
    async with watched.house.open():
        order = await watched.hold()
        for number in range(8):
            await fill(watched, order, f"late-{number}")
        told = f"{ACCOUNT} is not watched until more of its fills are read"
        await watched.look()
        assert told not in caplog.messages, "three of nine fills have been read"
        await watched.steps(10)

    assert (caplog.messages.count(told), watched.unlike) == (1, [])


@pytest.mark.usefixtures("small_pages")
async def test_the_next_owner_reads_what_came_after_the_checkpoint() -> None:
    watched = Watched()
    async with watched.house.open():
        order = await watched.hold()
        for number in range(5):
            await fill(watched, order, f"late-{number}")
        await watched.look()
        await watched.steps(2)
        kept = watched.evidence.kept[ACCOUNT][1]
        assert kept.net_qty == {AAPL: D(105)}
        watched.monitor = watched.again(epoch=2)
        busted = bust("b", "opened", order.wire_id, key="b", reopened=True)
        watched.house.broker.tell(busted)
        await settle()
        # Without these the fold could not come to the position from the first fill on.
        watched.house.store.state.fills[:] = [
            f for f in watched.house.store.state.fills if f.seq > kept.seq or f.exec_id == "opened"
        ]
        await watched.look()

    assert watched.house.store.state.positions[ACCOUNT, AAPL].net_qty == D(5)
    assert watched.unlike == []


@pytest.mark.usefixtures("small_pages")
async def test_a_checkpoint_that_cannot_be_kept_now_stalls_nothing_and_is_kept_later() -> None:
    watched = Watched()
    watched.evidence.is_busy = True
    async with watched.house.open():
        order = await watched.hold()
        for number in range(5):
            await fill(watched, order, f"late-{number}")
        await watched.look()
        await watched.steps(3)
        assert watched.evidence.kept == {}
        watched.evidence.is_busy = False
        await fill(watched, order, "last")
        await watched.look()

    assert watched.evidence.kept[ACCOUNT][1].net_qty == {AAPL: D(106)}
    assert watched.unlike == []


WRONG = {
    "a quantity": Fold(1, {AAPL: D(99)}),
    "an instrument too many": Fold(1, {AAPL: D(100), ES: D(1)}),
    "too late a number": Fold(3, {}),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
async def test_a_checkpoint_that_differs_from_the_ledger_is_a_break_at_once(wrong: Any) -> None:
    watched = Watched()
    async with watched.house.open():
        await watched.hold()
        last = watched.house.store.state.accounts[ACCOUNT].last_seq
        watched.evidence.kept[ACCOUNT] = 1, replace(wrong, seq=last)
        await watched.look()

    assert watched.state is REDUCING


async def test_a_checkpoint_that_is_as_wrong_as_the_ledger_is_found_from_the_first_fill() -> None:
    watched = Watched()
    async with watched.house.open():
        await watched.hold()
        state = watched.house.store.state
        held = state.positions[ACCOUNT, AAPL]
        state.positions[ACCOUNT, AAPL] = replace(held, net_qty=D(70))
        last = state.accounts[ACCOUNT].last_seq
        watched.evidence.kept[ACCOUNT] = 1, Fold(last, {AAPL: D(70)})
        await watched.look()
        assert watched.state is ACTIVE
        await watched.steps()
        assert watched.reasons == [f"CHECKPOINT: symbol={AAPL} kept=70 recomputed=100"]
        await watched.look()

    assert watched.state is REDUCING
    assert watched.evidence.kept[ACCOUNT][1].net_qty == {AAPL: D(100)}
    told = [each.detail for each in watched.house.store.state.breaks]
    assert any("net_qty=70 recomputed=100" in each for each in told)


async def test_a_checkpoint_of_a_report_that_there_is_not_is_none() -> None:
    watched = Watched()
    async with watched.house.open():
        await watched.hold()
        watched.evidence.kept[ACCOUNT] = 1, Fold(1_000, {AAPL: D(1)})
        await watched.look()

    assert watched.reasons == []


async def test_a_proof_begins_again_when_it_has_agreed() -> None:
    watched = Watched()
    async with watched.house.open():
        await watched.hold()
        await watched.look()
        await watched.steps()
        fold = watched.monitor._recomputation._folds
        fold[ACCOUNT] = replace(fold[ACCOUNT], net_qty={AAPL: D(1)})
        assert watched.state is ACTIVE
        await watched.steps()

    assert watched.state is REDUCING


ACTS = st.lists(
    st.sampled_from(["fill", "fill", "bust", "correct", "look", "step", "restart", "stale"]),
    max_size=30,
)


@given(ACTS)
async def test_whatever_happens_between_pages_a_ledger_that_agrees_is_never_a_break(
    acts: list[str],
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trading.recomputation.PAGE", 2)
        patch.setattr("trading.recomputation.KEPT_AFTER", 3)
        patch.setattr("trading.recomputation._PROVE_EACH", 2)
        watched, epoch, earlier = Watched(), 1, []
        async with watched.house.open():
            order = await watched.hold()
            for number, act in enumerate(acts):
                match act:
                    case "fill":
                        await fill(watched, order, f"f{number}", 1 + number % 3)
                    case "bust" | "correct":
                        name, of = f"r{number}", f"f{number // 2}"
                        claim = bust(name, of, order.wire_id, key=name, reopened=True)
                        if act == "correct":
                            claim = correct(name, of, 7, 1, wire_id=order.wire_id, key=name)
                        watched.house.broker.tell(claim)
                        await settle()
                    case "look":
                        await watched.look()
                    case "step":
                        await watched.steps(1)
                    case "restart":
                        epoch += 1
                        earlier.append(watched.monitor)
                        watched.monitor = watched.again(epoch)
                    case _:
                        # Who was frozen goes on, and keeps what it had folded by then.
                        for each in earlier[-1:]:
                            await each.round([ACCOUNT])
            await watched.look()
            await watched.steps()
            await watched.look()

        assert watched.unlike == []
        fold = watched.monitor._recomputation._folds[ACCOUNT]
        fills = watched.house.store.state.fills
        assert fold == Fold().then(traded(fills))
        held: Decimal = watched.house.store.state.positions[ACCOUNT, AAPL].net_qty
        assert fold.net_qty.get(AAPL, D(0)) == held
