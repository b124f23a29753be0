"""The exchange as a process runs it: from the port to the journal, and to its end."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from brokers.faults import Fault, FaultKind, FaultScript, Operation
from brokers.paper.client import Address
from brokers.paper.journal import JournalError
from brokers.paper.remote import RemotePaperBroker
from brokers.paper.server import CannotListen, run_exchange
from brokers.quotes.replay import Replay, ReplayError
from tests.brokers.market import LOOPBACK
from tests.brokers.world import LISTED, FakeClock, Permit, approved, new, quote, take, types
from trading.instrument import Instrument
from trading.order import Side
from trading.ports import Environment, MarketClock, RateLimited
from trading.quote import Quote


class OneQuote:
    """A source that shows one quote, and then ends or fails."""

    def __init__(self, clock: FakeClock, failure: Exception | None = None) -> None:
        self._clock = clock
        self._failure = failure

    @property
    def instruments(self) -> Sequence[Instrument]:
        return LISTED

    @property
    def clock(self) -> MarketClock:
        return self._clock

    async def quotes(self) -> AsyncIterator[Quote]:
        yield quote(99, 5, 100, 3)
        if self._failure is not None:
            raise self._failure


@asynccontextmanager
async def running(
    directory: Path, clock: FakeClock, **terms: Any
) -> AsyncIterator[tuple[Address, asyncio.Task[None]]]:
    """Run an exchange until the block ends; fail with it if it does not start."""
    listening: asyncio.Future[Address] = asyncio.get_running_loop().create_future()
    settings: dict[str, Any] = {
        "host": LOOPBACK,
        "port": 0,
        "directory": directory,
        "environment": Environment.SIM,
        "source": OneQuote(clock),
        "clock": clock,
        "ready": lambda host, port: listening.set_result(Address(host, port)),
    }
    task = asyncio.create_task(run_exchange(**settings | terms))
    task.add_done_callback(lambda _: listening.cancel())
    await asyncio.wait({listening})
    if listening.cancelled():
        await task
    try:
        yield listening.result(), task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, JournalError):
            await task


def assert_untouched(directory: Path) -> None:
    assert list(directory.iterdir()) == []


async def connected(
    address: Address, clock: FakeClock, environment: Environment = Environment.SIM
) -> RemotePaperBroker:
    broker = RemotePaperBroker(address=address, environment=environment, clock=clock)
    await broker.connect(None)
    return broker


@pytest.mark.parametrize("environment", [Environment.SIM, Environment.PAPER])
async def test_it_trades_against_its_source_and_is_there_again_after_its_end(
    tmp_path: Path, environment: Environment
) -> None:
    clock, data = FakeClock(), tmp_path / "new" / "data"
    async with running(data, clock, environment=environment) as (address, _):
        broker = await connected(address, clock, environment)
        await broker.submit(approved(new("a", Side.BUY, 2, 100)), Permit())
        assert types(await take(broker.events(), 2)) == ["NEW", "TRADE"]
        assert broker.capabilities.environment is environment
        await broker.close()

    async with running(data, clock, environment=environment) as (address, _):
        broker = await connected(address, clock, environment)
        assert types(await take(broker.events(), 2)) == ["NEW", "TRADE"]
        await broker.close()


async def test_it_plays_the_fault_script(tmp_path: Path) -> None:
    clock = FakeClock()
    limit = Fault(kind=FaultKind.RATE_LIMIT, operation=Operation.SUBMIT, nth=1)
    async with running(tmp_path, clock, faults=FaultScript((limit,))) as (address, _):
        broker = await connected(address, clock)
        with pytest.raises(RateLimited):
            await broker.submit(approved(new("a", Side.BUY, 1, 100)), Permit())
        await broker.close()


async def test_a_port_in_use_is_found_before_anything_is_touched(tmp_path: Path) -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotListen, match=f"on {LOOPBACK}:{port} .Address already in use"):
            async with running(tmp_path / "data", FakeClock(), port=port):
                pass

    assert_untouched(tmp_path)


async def test_it_never_belongs_to_real_money(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="belongs to the environments sim and paper, not live"):
        async with running(tmp_path / "data", FakeClock(), environment=Environment.LIVE):
            pass

    assert_untouched(tmp_path)


async def test_a_journal_of_another_environment_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path, FakeClock()):
        pass

    with pytest.raises(JournalError, match="belongs to the environment sim, not paper"):
        async with running(tmp_path, FakeClock(), environment=Environment.PAPER):
            pass


async def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(JournalError, match="file/data cannot be made: Not a directory"):
        async with running(tmp_path / "file" / "data", FakeClock()):
            pass


async def test_it_ends_when_its_journal_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_fd: int, _data: bytes) -> None:
        raise OSError(28, "No space left on device")

    clock = FakeClock()
    async with running(tmp_path, clock) as (address, task):
        broker = await connected(address, clock)
        monkeypatch.setattr("brokers.paper.journal._write", full)
        sending = asyncio.create_task(broker.submit(approved(new("a", Side.BUY, 1, 100)), Permit()))
        await asyncio.wait({sending})
        await clock.advance(1)

        with pytest.raises(JournalError, match="without it the exchange cannot go on"):
            await task
        await asyncio.gather(sending, return_exceptions=True)
        await broker.close()


async def test_it_ends_with_a_source_that_fails(tmp_path: Path) -> None:
    clock = FakeClock()
    source = OneQuote(clock, failure=ReplayError("line 3 is broken"))
    with pytest.raises(ReplayError, match="line 3 is broken"):
        async with running(tmp_path, clock, source=source) as (_, task):
            await task


async def test_it_follows_a_recording_and_its_time(tmp_path: Path) -> None:
    clock = FakeClock()
    source = Replay(Path(__file__).parent / "data" / "sample.csv", clock, Decimal(0))
    async with running(tmp_path, clock, source=source) as (address, _):
        broker = await connected(address, clock)
        listed = source.instruments[0]
        await broker.submit(approved(new("a", Side.BUY, listed.lot, symbol=listed.id)), Permit())
        first, *_ = await take(broker.events(), 1)
        assert getattr(first, "transact_time", None) == source.clock.now()
        await broker.close()
