"""The checker finds what is wrong: each fault that is planted in a case in which all holds."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from persistence.opening import store_file
from tests.faults import checker
from tests.faults.checker import CHECKS, Case, told, violations
from tests.gateway.client import Client
from tests.gateway.process import running
from tests.gateway.tokens import minted
from trading.command import CommandState
from trading.execution import Break, BreakKind
from trading.ids import AccountID, ExecID, WireID
from trading.order import Order
from trading.quantity import use_exact_arithmetic

EQUITY = AccountID("equity")
ORDER = {"accountId": "equity", "symbol": "AAPL", "side": "BUY", "orderQty": "2"}
RESTING = {**ORDER, "ordType": "LIMIT", "price": "222", "timeInForce": "GOOD_TILL_CANCEL"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Leave a store and a journal with an order that filled, one that rests and one canceled."""
    folder = tmp_path_factory.mktemp("checked") / "data"
    with running(folder) as gateway, Client(gateway.url, minted(folder)) as client:
        client.finished(client.placed(**ORDER, clOrdId="filled", ordType="MARKET")["id"])
        client.placed(**RESTING, clOrdId="resting")
        canceled = client.placed(**RESTING, clOrdId="canceled")
        client.cancel("cancel", "canceled")
        client.finished(canceled["id"])
    return folder


@pytest.fixture
async def case(data: Path) -> Case:
    use_exact_arithmetic()
    url = f"sqlite:///{store_file(data)}"
    found = await checker.gathered(url, data / "paper.journal")
    stream = [told(report) for report in found.records.reports]
    # Who relays within one process leaves what nobody follows.
    records = replace(found.records, unpublished=0)
    return replace(found, records=records, streams=[stream])


def altered(case: Case, **changes: Any) -> Case:
    return replace(case, records=replace(case.records, **changes))


def of(case: Case, cl_ord_id: str, **changes: Any) -> Case:
    """Alter one order."""
    orders = [replace(o, **changes) if o.cl_ord_id == cl_ord_id else o for o in case.records.orders]
    return altered(case, orders=orders)


def resting(case: Case) -> Order:
    return next(order for order in case.records.orders if order.cl_ord_id == "resting")


def twice_asked(case: Case) -> Case:
    asked = case.market.asked + Counter({resting(case).wire_id: 1})
    return replace(case, market=replace(case.market, asked=asked))


def fill_twice(case: Case) -> Case:
    [fill] = case.records.fills
    return altered(case, fills=[fill, replace(fill, exec_id=ExecID("again"))])


def in_command(case: Case, **changes: Any) -> Case:
    first, *others = case.records.commands
    return altered(case, commands=[replace(first, **changes), *others])


def in_account(case: Case, **changes: Any) -> Case:
    accounts = dict(case.records.accounts)
    accounts[EQUITY] = replace(accounts[EQUITY], **changes)
    return altered(case, accounts=accounts)


def in_position(case: Case, **changes: Any) -> Case:
    return altered(case, positions=[replace(each, **changes) for each in case.records.positions])


def broken(case: Case) -> Case:
    found = Break(kind=BreakKind.OVERFILL, account_id=EQUITY, order_id=None, detail="", raised_at=0)
    return altered(case, breaks=[found])


def changed_stream(case: Case) -> Case:
    [[first, *others]] = case.streams
    return replace(case, streams=[[{**first, "cumQty": "1"}, *others]])


def shorter_stream(case: Case) -> Case:
    return replace(case, streams=[case.streams[0][:-1]])


PLANTED: dict[str, list[Callable[[Case], Case]]] = {
    "unrest": [
        lambda case: in_command(case, state=CommandState.SENT),
        lambda case: of(case, "resting", in_doubt=True),
        lambda case: altered(case, heard=case.records.heard - 1),
        lambda case: altered(case, unpublished=1),
    ],
    "one_broker_order_per_chain": [
        twice_asked,
        lambda case: of(case, "resting", wire_id=WireID("another")),
    ],
    "orders_agree": [
        lambda case: of(case, "resting", price=Decimal(223)),
        lambda case: of(case, "filled", cum_qty=Decimal(1)),
        lambda case: of(case, "canceled", secondary_order_id=None),
    ],
    "fills_agree": [lambda case: altered(case, fills=[]), fill_twice],
    "positions_and_cash_agree": [
        lambda case: in_account(case, cash=Decimal(1)),
        lambda case: in_position(case, net_qty=Decimal(1)),
        lambda case: in_position(case, realized_pnl=Decimal(1)),
    ],
    "reservations_are_exact": [
        lambda case: in_account(case, open_orders=2),
        lambda case: in_position(case, open_buy_qty=Decimal(0)),
        lambda case: in_position(case, open_sell_notional=Decimal(1)),
        lambda case: altered(case, positions=[]),
    ],
    "sequences_have_no_gap": [
        lambda case: altered(case, reports=case.records.reports[1:]),
        lambda case: in_account(case, last_seq=99),
    ],
    "every_command_was_answered": [
        lambda case: in_command(case, cl_ord_id="unheard-of"),
        lambda case: altered(case, commands=[], reports=[]),
    ],
    "owners_kept_to_their_turn": [
        lambda case: in_command(altered(case, epoch=1), epoch=2),
        lambda case: in_command(case, epoch=0),
    ],
    "nothing_is_left_to_explain": [broken],
    "streams_equal_the_log": [changed_stream, shorter_stream],
}


def test_where_all_holds_it_finds_nothing(case: Case) -> None:
    assert violations(case) == []
    assert len(case.records.orders) == 3
    assert len(case.records.fills) == 1


@pytest.mark.parametrize(
    ("check", "plant"), [(check, plant) for check, plants in PLANTED.items() for plant in plants]
)
def test_it_finds_what_is_planted(case: Case, check: str, plant: Callable[[Case], Case]) -> None:
    found = {wrong.partition(":")[0] for wrong in violations(plant(case))}
    assert check in found


def test_every_check_is_seen_to_find_something() -> None:
    assert PLANTED.keys() == {check.__name__ for check in CHECKS}


def test_as_a_program_it_says_what_it_looked_at(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{store_file(data)}"
    arguments = ["--database-url", url, "--journal", str(data / "paper.journal")]

    assert checker.main([*arguments, "--opening", "equity=1"]) == 1

    said = capsys.readouterr().out
    assert said.startswith("3 orders, 4 commands, ")
    assert "positions_and_cash_agree: equity has cash" in said
