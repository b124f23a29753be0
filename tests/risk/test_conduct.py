"""What the gate remembers of an account, and judges its next order by."""

from dataclasses import replace
from typing import Any

import pytest

from tests.risk.cases import GATE, Desk, asking, clear, codes, held, recorded, wanted
from tests.trading.builders import (
    AAPL,
    ACCOUNT,
    NOW,
    NS,
    OTHER,
    STOCK,
    D,
    account,
    amend,
    books,
    cancel,
    limits,
    order,
    place,
    quote,
)
from trading.account import TradingState
from trading.books import Books
from trading.ids import AccountID, OrderID
from trading.order import OrdType, Side

MS = NS // 1000

# --- repetition ----------------------------------------------------------------------------------


def test_the_same_order_again_within_a_second_is_suspected() -> None:
    desk = Desk(MAX_DUPLICATE_ORDERS=2)
    assert [desk.codes(f"p{n}") for n in range(3)] == [set(), set(), {"DUPLICATE_SUSPECTED"}]
    assert desk.codes("other", order_qty=D(99)) == set()
    desk.at += NS - 1
    assert desk.codes("late") == {"DUPLICATE_SUSPECTED"}
    desk.at += 1
    assert desk.codes("later") == set()


@pytest.mark.parametrize(
    "terms", [{"side": Side.SELL, "price": D(101)}, {"price": D(99)}, {"strategy_id": "s"}]
)
def test_another_order_is_no_repetition(terms: dict[str, Any]) -> None:
    desk = Desk(MAX_DUPLICATE_ORDERS=1)
    first = {"price": D(98)} if "side" in terms else {}
    assert desk.codes("p1", **first) == set()
    assert desk.codes("p2", **terms) == set()


def test_a_replace_is_no_repetition() -> None:
    desk = Desk(MAX_DUPLICATE_ORDERS=1)
    desk.working()
    desk.handle(amend(price=D(100), order_qty=D(100)))

    assert desk.books.new_decisions[-1][2].accepted


# --- strategies ----------------------------------------------------------------------------------


def automated(desk: Desk, count: int, **terms: Any) -> list[set[str]]:
    start = len(desk.books.new_decisions)
    return [desk.codes(f"s{start + n}", strategy_id="s", **terms) for n in range(count)]


def test_a_strategy_is_disabled_until_its_limit_is_raised() -> None:
    desk = Desk(MAX_STRATEGY_ORDERS=2)
    assert automated(desk, 4) == [set(), set(), {"STRATEGY_DISABLED"}, {"STRATEGY_DISABLED"}]
    # No hand of a trader's enables it again, nor does the passing of time.
    assert automated(desk, 1, manual_order_indicator=True) == [{"STRATEGY_DISABLED"}]
    desk.at += 100_000 * NS
    desk.books.references[AAPL] = quote(received_at=desk.at)
    assert automated(desk, 1) == [{"STRATEGY_DISABLED"}]
    assert desk.codes("another", strategy_id="t") == set()

    desk.books.limits[ACCOUNT] = limits(values={"MAX_STRATEGY_ORDERS": 4})
    assert automated(desk, 2) == [set(), {"STRATEGY_DISABLED"}]


def test_a_persons_order_begins_the_count_anew_before_the_limit() -> None:
    desk = Desk(MAX_STRATEGY_ORDERS=2)
    automated(desk, 2)
    assert automated(desk, 1, manual_order_indicator=True) == [set()]
    assert automated(desk, 3) == [set(), set(), {"STRATEGY_DISABLED"}]


# --- messages ------------------------------------------------------------------------------------


def test_a_quarter_of_the_messages_is_kept_for_cancels_which_are_never_refused() -> None:
    desk = Desk(MAX_MESSAGE_RATE=8)
    placed = [desk.working(f"p{n}", price=D(100 - n)) for n in range(6)]
    assert desk.codes("p6") == {"RATE_LIMIT_EXCEEDED"}
    for number, each in enumerate(placed):
        desk.handle(cancel(f"c{number}", each.cl_ord_id))
        assert desk.order(each.id).pending_cancel
    assert desk.conduct.messages == 12
    # The second after inherits what of the last one is not over yet: 12 * 41 percent and this one.
    desk.at += NS + 590 * MS
    assert desk.codes("p7") == set()
    assert desk.conduct.messages == 1


def test_a_refused_order_is_no_message_and_a_replace_is_one() -> None:
    desk = Desk(MAX_MESSAGE_RATE=4)
    desk.codes("bad", price=D(500))
    assert desk.conduct.messages == 0
    desk.working()
    desk.handle(amend())
    assert desk.conduct.messages == 2


def test_a_clock_that_goes_back_gives_no_fresh_allowance() -> None:
    desk = Desk(MAX_MESSAGE_RATE=4)
    for n in range(3):
        desk.codes(f"p{n}", price=D(100 - n))
    desk.at -= 5 * NS
    assert desk.codes("p3") == {"RATE_LIMIT_EXCEEDED"}


# --- one owner -----------------------------------------------------------------------------------


def shared(owner: str | None = "o") -> Books:
    of = books(account("a", owner=owner), account("b", owner="o"))
    of.owners = {name: each.owner for name, each in of.accounts.items() if each.owner}
    return of


def resting(of: Books, name: AccountID, side: Side, px: int, **terms: Any) -> Books:
    other = order(
        id=OrderID(f"{name}-{side}-{px}"), account_id=name, side=side, price=D(px), **terms
    )
    return recorded(of, other)


@pytest.mark.parametrize(("px", "refused"), [(99, False), (100, False), (101, True), (105, True)])
def test_accounts_of_one_owner_do_not_trade_with_one_another(px: int, *, refused: bool) -> None:
    of = resting(resting(shared(), OTHER, Side.SELL, 104), OTHER, Side.SELL, 101)
    decision = clear(of, wanted(price=D(px))).decision

    assert codes(decision) == ({"SELF_MATCH"} if refused else set())
    if decision.refusal is not None:
        assert "opposite_order_id=b-SELL-101" in str(decision.refusal.text)


def test_those_of_different_owners_may() -> None:
    of = resting(shared(owner=None), OTHER, Side.SELL, 99)

    assert clear(of, wanted()).decision.accepted


def test_an_account_does_not_trade_with_itself() -> None:
    of = resting(books(), ACCOUNT, Side.SELL, 100)

    assert codes(clear(of, wanted()).decision) == {"SELF_MATCH"}
    assert codes(clear(of, wanted(ord_type=OrdType.MARKET, price=None)).decision) == {"SELF_MATCH"}
    assert clear(of, wanted(price=D(99))).decision.accepted
    assert clear(of, wanted(side=Side.SELL)).decision.accepted


def test_what_has_ended_is_traded_with_by_nobody() -> None:
    desk = Desk()
    sold = desk.place("sell", epoch=None, side=Side.SELL)
    assert desk.codes("buy") == {"SELF_MATCH"}
    desk.handle(cancel("c", sold.cl_ord_id))
    assert desk.codes("again") == set()


def test_a_pending_replace_counts_at_either_price() -> None:
    desk = Desk()
    desk.working("sell", side=Side.SELL, price=D(105))
    desk.handle(amend("r", "sell", price=D(102), order_qty=D(100)))
    assert desk.codes("p1", price=D(102)) == {"SELF_MATCH"}
    assert desk.codes("p2", price=D(101)) == set()


# --- in doubt ------------------------------------------------------------------------------------


def test_nothing_more_goes_where_an_order_is_in_doubt() -> None:
    of = resting(books(), ACCOUNT, Side.BUY, 90, in_doubt=True)
    of.in_doubt[ACCOUNT] = 1

    assert codes(clear(of, wanted()).decision) == {"IN_DOUBT_PENDING"}
    sale = wanted(side=Side.SELL, price=D(101))
    assert clear(of, sale).decision.accepted
    of.limits[ACCOUNT] = limits(values={"MAX_IN_DOUBT_ORDERS": 0})
    assert codes(clear(of, sale).decision) == {"IN_DOUBT_PENDING"}


# --- losses --------------------------------------------------------------------------------------


def priced(desk: Desk, px: int) -> None:
    desk.books.references[AAPL] = quote(px=px, received_at=desk.at)


@pytest.mark.parametrize(
    ("name", "code"), [("MAX_DAILY_LOSS", "LOSS_LIMIT"), ("MAX_DRAWDOWN", "DRAWDOWN_LIMIT")]
)
def test_beyond_its_loss_an_account_only_reduces_from_the_same_commit_on(
    name: str, code: str
) -> None:
    desk = Desk(held(books(), 100), **{name: 500})
    assert desk.codes("p0", order_qty=D(1)) == set()
    priced(desk, 95)
    assert desk.codes("p1", order_qty=D(1), price=D(94)) == set()
    assert not desk.books.new_state_changes
    priced(desk, 94)
    assert desk.codes("p2", order_qty=D(1), price=D(93)) == {code}

    assert desk.account.trading_state is TradingState.REDUCING
    [change] = desk.books.new_state_changes
    assert (change.before, change.state, change.changed_by) == ("ACTIVE", "REDUCING", "risk")
    assert change.reason.startswith(f"{code}: ")
    # Latched: a recovery of the price does not release it, and what reduces still passes.
    priced(desk, 100)
    assert desk.codes("p3", order_qty=D(1)) == {"TRADING_STATE_REDUCING"}
    sale = {"side": Side.SELL, "order_qty": D(50), "price": D(101)}
    priced(desk, 94)
    assert desk.codes("p4", **sale) == set()
    assert len(desk.books.new_state_changes) == 1


def test_a_drawdown_is_measured_from_the_peak_and_a_loss_from_the_begin() -> None:
    desk = Desk(held(books(), 100), MAX_DAILY_LOSS=500, MAX_DRAWDOWN=500)
    desk.codes("p0", order_qty=D(1))
    priced(desk, 110)
    desk.codes("p1", order_qty=D(1), price=D(105))
    priced(desk, 104)
    assert desk.codes("p2", order_qty=D(1), price=D(100)) == {"DRAWDOWN_LIMIT"}


def test_a_new_session_begins_with_what_is_left() -> None:
    desk = Desk(held(books(), 100), MAX_DAILY_LOSS=500)
    desk.codes("p0", order_qty=D(1))
    desk.at += 86_400 * NS
    priced(desk, 94)
    assert desk.codes("p1", order_qty=D(1), price=D(94)) == set()
    assert desk.conduct.session_equity == 1_000_000 + 100 * 94


def test_a_preview_remembers_nothing() -> None:
    desk = Desk(MAX_DUPLICATE_ORDERS=1)
    before = desk.account
    for _ in range(3):
        assert desk.clerk.preview(desk.books, place("p"), desk.at).accepted
    assert desk.account is before


# --- marks, permission and the past --------------------------------------------------------------


def test_a_sale_is_marked_by_what_is_held_and_open() -> None:
    of = recorded(held(books(), 100), order(id=OrderID("first"), side=Side.SELL, order_qty=D(60)))
    marks = {}
    for qty in (40, 41):
        approved = clear(of, wanted(side=Side.SELL, order_qty=D(qty))).approved
        assert approved is not None
        marks[qty] = approved.order.sells_short

    assert marks == {40: False, 41: True}
    assert codes(
        clear(of, wanted(side=Side.SELL, order_qty=D(41)), replace(STOCK, shortable=False)).decision
    ) == {"NOT_SHORTABLE"}


def test_a_restricted_instrument_is_refused() -> None:
    of = books()
    of.limits[ACCOUNT] = limits(values={"INSTRUMENT_PERMITTED": 0})

    assert codes(clear(of, wanted()).decision) == {"RESTRICTED_INSTRUMENT"}


def test_a_price_is_judged_against_the_reference_of_a_minute_ago_too() -> None:
    of = books()
    of.limits[ACCOUNT] = limits(values={"PRICE_COLLAR_OVER_TIME": "0.1"})
    of.references[AAPL] = quote(px=115)

    assert codes(clear(of, wanted(price=D(115))).decision) == {"PRICE_OUTSIDE_COLLAR_OVER_TIME"}
    of.earlier.clear()
    assert codes(clear(of, wanted(price=D(115))).decision) == {"REFERENCE_MISSING"}


def test_a_calendar_that_nobody_knows_refuses() -> None:
    elsewhere = replace(STOCK, calendar="MOON")

    assert codes(clear(books(), wanted(), elsewhere).decision) == {"CALENDAR_MISSING"}


def test_a_replace_is_not_judged_against_itself() -> None:
    first = order(id=OrderID("first"), in_doubt=False)
    of = recorded(books(), first)
    asked = asking(first, price=D(101))

    assert GATE.clear_replace(of.orders[first.id], asked, STOCK, of, NOW).decision.accepted
