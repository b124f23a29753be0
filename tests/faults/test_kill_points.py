"""A gateway is struck at each point between a request and its final record; another goes on."""

import signal

import pytest

from tests.faults.entry import POINTS
from tests.faults.evidence import executions
from tests.faults.house import Fault, House
from tests.faults.load import Follower, following, traders, trading
from trading.execution import ExecType

pytestmark = pytest.mark.faults

# Reached only by a process that accepts what another sends.
_NOT_THE_OWNERS = {"committed-not-rung"}

# Where the successor finds something sent of which the exchange knows nothing.
_NEVER_ARRIVED = {"claimed", "cancel-claimed"}


@pytest.mark.parametrize("at", POINTS)
def test_nothing_is_lost_when_a_gateway_is_killed(house: House, at: str) -> None:
    fault = Fault(at=at)
    if at in _NOT_THE_OWNERS:
        survivor = house.start()
        house.fenced(1)
        victim = house.start(fault=fault)
    else:
        victim = house.start(fault=fault)
        house.fenced(1)
        survivor = house.start()
    traded = traders(house.client, [victim, survivor])
    follower = Follower([house.client(victim), house.client(survivor)])

    with following(follower):
        with trading(*traded):
            assert victim.ended() == -signal.SIGKILL
        case = house.followed(follower, traded)
    if at in _NEVER_ARRIVED:
        assert any(r.in_doubt for r in executions(case.records) if r.exec_type is ExecType.RESTATED)
    assert house.complaints() == []


@pytest.mark.parametrize("at", ["in-the-transaction", "commit-sent", "recording", "recorded"])
def test_a_commit_whose_answer_was_lost_is_settled_by_asking_again(house: House, at: str) -> None:
    gateway = house.start(fault=Fault(at=at, do="lose"))
    house.fenced(1)
    traded = traders(house.client, [gateway])
    follower = Follower([house.client(gateway)])

    with following(follower):
        with trading(*traded):
            pass
        house.followed(follower, traded)
    assert "struck at pass 3" in gateway.log.read_text()
