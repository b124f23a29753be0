"""Who owns the broker's session: one process, also when it is frozen or hands it over."""

import signal
import threading

import pytest

from tests.faults.house import Fault, Gateway, House
from tests.faults.load import Caller, Follower, following, traders, trading
from tests.faults.services import until
from tests.gateway.documents import CANCEL, FIND_BY_CL_ORD_ID, PLACE
from trading.command import CommandState

pytestmark = pytest.mark.faults


@pytest.mark.parametrize(
    "at", ["claimed", "reply-read", "fill-not-recorded", "recording", "published-not-marked"]
)
def test_an_owner_that_was_frozen_past_its_lease_spoils_nothing(house: House, at: str) -> None:
    frozen = house.start(fault=Fault(at=at, do="stop"))
    house.fenced(1)
    successor = house.start()
    traded = traders(house.client, [frozen, successor])
    follower = Follower([house.client(successor)])

    with following(follower):
        with trading(*traded):
            frozen.stopped()
            house.fenced(2)
            frozen.signal(signal.SIGCONT)
        case = house.followed(follower, traded)
    # A cancel may leave under no lease, where who is frozen keeps the account locked for too long.
    assert {command.epoch for command in case.records.commands if command.attempt} - {0} == {1, 2}


def test_what_a_frozen_owner_was_about_to_send_never_leaves(house: House) -> None:
    frozen = house.start(fault=Fault(at="claimed", do="stop", nth=1))
    house.fenced(1)
    successor = house.start()
    order = {"accountId": "equity", "symbol": "AAPL", "side": "BUY", "orderQty": "1"}
    resting = {**order, "ordType": "LIMIT", "price": "222", "timeInForce": "GOOD_TILL_CANCEL"}
    house.priced(frozen, resting)
    asked = house.client(frozen).data
    elsewhere = house.client(successor).data

    placing = threading.Thread(
        target=asked, args=(PLACE,), kwargs={"input": {**resting, "clOrdId": "late"}}
    )
    placing.start()
    frozen.stopped()
    target = {"origClOrdId": "late"}
    elsewhere(
        CANCEL,
        input={"accountId": "equity", "clOrdId": "before", "target": target},
        waitFor="COMMIT",
    )
    late = elsewhere(FIND_BY_CL_ORD_ID, accountId="equity", clOrdId="late")
    canceled = house.client(successor).finished(late["id"])
    frozen.signal(signal.SIGCONT)
    placing.join()
    # It sends what it still may before it hears of this.
    asked(PLACE, input={**order, "ordType": "MARKET", "clOrdId": "after"}, waitFor="BROKER")

    assert canceled["ordStatus"] == "CANCELED"
    case = house.balanced()
    commands = {str(command.cl_ord_id): command for command in case.records.commands}
    assert commands["late"].state is CommandState.SUPERSEDED
    assert (commands["late"].epoch, commands["after"].epoch) == (1, 2)
    assert case.market.asked.keys() == {commands["after"].wire_id}


def test_a_process_that_is_frozen_in_a_statement_holds_nobody_up(house: House) -> None:
    working = house.start()
    house.fenced(1)
    frozen = house.start("api", fault=Fault(at="in-a-statement", do="stop", nth=1))
    order = {"accountId": "equity", "symbol": "AAPL", "side": "BUY", "orderQty": "1"}

    def place(gateway: Gateway, cl_ord_id: str) -> None:
        terms = {**order, "ordType": "MARKET", "clOrdId": cl_ord_id}
        caller = Caller([house.client(gateway)])
        assert caller.ask(PLACE, input=terms, waitFor="COMMIT")["__typename"] == "Order"

    placing = threading.Thread(target=place, args=(frozen, "held"))
    placing.start()
    frozen.stopped()
    place(working, "meanwhile")
    frozen.signal(signal.SIGCONT)
    placing.join()

    case = house.balanced()
    assert [claim.cl_ord_id for claim in case.records.claims] == ["meanwhile", "held"]


def test_an_owner_that_is_told_to_end_hands_the_session_over_at_once(house: House) -> None:
    leaving = house.start(hasty=False)
    house.fenced(1)
    holder, _ = house.lease()
    successor = house.start(hasty=False)
    traded = traders(house.client, [leaving, successor])
    follower = Follower([house.client(leaving), house.client(successor)])

    with following(follower):
        with trading(*traded):
            until(lambda: follower.items)
            leaving.stop()
            # Free, or the successor's already: nobody waits for it to run out.
            assert house.lease()[0] != holder
        case = house.followed(follower, traded)
    assert case.records.epoch == 2
    assert house.complaints() == []


def test_an_exchange_that_is_killed_and_comes_back_has_lost_nothing(house: House) -> None:
    gateways = [house.start(), house.start()]
    house.fenced(1)
    traded = traders(house.client, gateways)
    follower = Follower([house.client(gateways[0])])

    with following(follower):
        with trading(*traded):
            until(lambda: len(follower.items) > 10)
            house.exchange.close()
            house.open_exchange()
        house.followed(follower, traded)
