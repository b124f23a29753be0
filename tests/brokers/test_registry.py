"""Adapters are found by name: ours, and those of other distributions."""

from dataclasses import replace
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

from brokers import registry
from brokers.paper.client import Address
from brokers.registry import Surroundings, TakesQuotes, UnknownBroker, names, open_broker
from tests.brokers.world import FakeClock, catalogue
from trading.ports import Broker, Environment, Unauthorized


def surroundings(tmp_path: Path, environment: Environment = Environment.SIM) -> Surroundings:
    clock = FakeClock()
    return Surroundings(
        environment=environment,
        catalogue=catalogue(),
        clock=clock,
        market=clock,
        directory=tmp_path,
    )


def offer(theirs: Surroundings) -> Broker:
    """Stand for the adapter of another distribution."""
    return open_broker("paper", theirs)


async def test_the_paper_exchange_takes_quotes_and_keeps_its_journal(tmp_path: Path) -> None:
    broker = open_broker("paper", surroundings(tmp_path))

    assert isinstance(broker, TakesQuotes)
    assert broker.capabilities.broker == "paper"
    assert broker.capabilities.dedupes_wire_id
    assert broker.capabilities.proves_absence
    assert [path.name for path in tmp_path.iterdir()] == ["paper.journal"]  # noqa: ASYNC240 - a test may wait
    await broker.close()


@pytest.mark.parametrize("environment", [Environment.SIM, Environment.PAPER])
def test_the_paper_exchange_can_be_a_process_of_its_own(
    tmp_path: Path, environment: Environment
) -> None:
    elsewhere = replace(surroundings(tmp_path, environment), exchange=Address("127.0.0.1", 9))

    broker = open_broker("paper", elsewhere)

    assert not isinstance(broker, TakesQuotes)
    assert (broker.capabilities.broker, broker.capabilities.environment) == ("paper", environment)
    assert list(tmp_path.iterdir()) == []


def test_the_paper_exchange_is_never_live(tmp_path: Path) -> None:
    elsewhere = replace(surroundings(tmp_path, Environment.LIVE), exchange=Address("127.0.0.1", 9))

    with pytest.raises(ValueError, match="belongs to the environments sim and paper, not live"):
        open_broker("paper", elsewhere)


@pytest.mark.parametrize("environment", [Environment.PAPER, Environment.LIVE])
def test_the_paper_exchange_in_this_process_is_for_the_simulation_only(
    tmp_path: Path, environment: Environment
) -> None:
    with pytest.raises(ValueError, match=f"belongs to the environment sim, not {environment}"):
        open_broker("paper", surroundings(tmp_path, environment))


def test_an_unknown_broker_is_refused_with_those_that_are_known(tmp_path: Path) -> None:
    with pytest.raises(UnknownBroker, match="no broker papr: known are alpaca, paper"):
        open_broker("papr", surroundings(tmp_path))


async def test_another_distribution_can_bring_an_adapter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = EntryPoint("theirs", "tests.brokers.test_registry:offer", registry.GROUP)

    def points(group: str, name: str = theirs.name) -> EntryPoints:
        return EntryPoints([theirs]).select(group=group, name=name)

    monkeypatch.setattr(registry, "entry_points", points)

    assert names() == ["alpaca", "paper", "theirs", "tradovate"]
    broker = open_broker("theirs", surroundings(tmp_path))
    assert broker.capabilities.broker == "paper"
    await broker.close()


def test_a_broker_elsewhere_needs_an_address_and_a_key(tmp_path: Path) -> None:
    with pytest.raises(Unauthorized, match="needs an address and a key"):
        open_broker("alpaca", surroundings(tmp_path))
