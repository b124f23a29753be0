"""The adapter over a socket, while the network and the exchange do what they can do to it."""

import asyncio
from pathlib import Path
from random import Random

import pytest

from brokers.paper.remote import _CREDIT, RemotePaperBroker
from tests.brokers.link import RESTING, recovered, submit, until
from tests.brokers.market import LOOPBACK, Hall, patiently, venue
from tests.brokers.peer import impostor, line
from tests.brokers.world import (
    ABC,
    NOON,
    FakeClock,
    Permit,
    approved,
    new,
    order,
    settle,
    take,
)
from tests.faults.proxy import FaultProxy, Way
from trading.execution import BrokerEvent
from trading.ids import AccountID, WireID
from trading.order import Side
from trading.ports import (
    Environment,
    InDoubt,
    Unavailable,
)

# --- connecting ---


async def test_where_nobody_listens_the_session_is_not_opened(hall: Hall) -> None:
    broker = hall.broker()
    await hall.close()

    with pytest.raises(Unavailable, match=rf"at {LOOPBACK}:{hall.port} cannot be used: .*Connect"):
        await broker.connect(None)
    with pytest.raises(Unavailable, match="not open"):
        broker.events()
    await broker.close()


async def test_an_exchange_of_another_environment_is_not_used(hall: Hall) -> None:
    broker = RemotePaperBroker(
        address=hall.address, environment=Environment.PAPER, clock=hall.clock
    )

    with pytest.raises(Unavailable, match="belongs to the environment sim, and you to paper"):
        await broker.connect(None)
    await broker.close()


@pytest.mark.parametrize("said", [b"220 mail ready\r\n", line({"id": 1}), line({"beat": {}})])
async def test_what_is_no_exchange_is_not_used(said: bytes) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        await reader.read()
        writer.close()

    clock = FakeClock()
    async with impostor(script) as address:
        broker = RemotePaperBroker(address=address, environment=Environment.SIM, clock=clock)
        with pytest.raises(Unavailable, match="cannot be used"):
            await patiently(clock, broker.connect(None))
        await broker.close()


async def test_an_exchange_that_says_nothing_is_given_up(hall: Hall, proxy: FaultProxy) -> None:
    proxy.freeze()
    broker = hall.broker(port=proxy.port)

    with pytest.raises(Unavailable, match="cannot be used: nothing was heard"):
        await patiently(hall.clock, broker.connect(None))
    await broker.close()


async def test_another_exchange_at_the_same_place_is_not_traded_with(
    hall: Hall, broker: RemotePaperBroker, tmp_path: Path
) -> None:
    await submit(broker)
    await hall.close()
    (tmp_path / "paper.journal").rename(tmp_path / "old")
    clock = hall.clock
    clock.time = NOON + 1
    other = Hall(venue(tmp_path, clock), clock, hall.port)
    await other.open()
    await clock.advance(8)
    await settle()

    with pytest.raises(Unavailable, match=f"you have traded with {NOON:x}: bring back the journal"):
        await submit(broker)

    assert other.venue.last_number == 0
    await other.close()


# --- events ---


async def test_events_go_on_after_a_restart_of_the_exchange(
    hall: Hall, broker: RemotePaperBroker, tmp_path: Path
) -> None:
    stream = broker.events()
    await submit(broker)
    (first,) = await take(stream, 1)
    await hall.close()
    again = Hall(venue(tmp_path, hall.clock), hall.clock, hall.port)
    await again.open()
    await recovered(again, broker)

    await broker.cancel(order(RESTING), WireID("c"))

    (second,) = await take(stream, 1)
    assert [first.key, second.key] == ["paper:1", "paper:2"]
    await again.close()


@pytest.mark.parametrize("seed", range(4))
async def test_every_event_comes_once_and_in_order_whatever_happens_to_the_link(
    hall: Hall, proxy: FaultProxy, broker: RemotePaperBroker, seed: int
) -> None:
    random, count = Random(seed), 60
    heard: list[BrokerEvent] = []

    async def hear() -> None:
        async for event in broker.events():
            heard.append(event)
            if random.random() < 0.2:
                proxy.reset_after(random.randrange(2000), random.choice([*Way]))

    hearing = asyncio.create_task(hear())
    for n in range(count):
        request = approved(new(f"o{n}", Side.BUY, 1, 90))
        while True:
            try:
                await patiently(hall.clock, broker.submit(request, Permit()))
                break
            except (InDoubt, Unavailable):
                await hall.clock.advance(0.1)
        if n % 10 == 9:
            random.choice((proxy.reset, proxy.close, proxy.freeze))()
            await hall.clock.advance(2)
            proxy.heal()

    async def all_heard() -> None:
        while len(heard) < count:
            await hall.clock.sleep(0.1)

    await patiently(hall.clock, all_heard())
    assert [event.key for event in heard] == [f"paper:{n}" for n in range(1, count + 1)]
    assert [event.wire_id for event in heard] == [f"o{n}" for n in range(count)]
    assert hall.venue.last_number == count
    assert proxy.accepted > 5
    hearing.cancel()


async def test_a_consumer_that_takes_nothing_holds_no_more_than_it_has_asked_for(
    hall: Hall, proxy: FaultProxy, broker: RemotePaperBroker
) -> None:
    count = 2 * _CREDIT
    for n in range(count):
        hall.venue._record(hall.venue._exchange.handle(new(f"o{n}", Side.BUY, 1, 90), NOON))
    inbox = broker._inbox
    assert inbox is not None
    await until(lambda: len(inbox) == _CREDIT)
    assert await broker.find_order(WireID("o0")) is not None, "answers are not held up"
    assert len(inbox) == _CREDIT

    proxy.reset()
    await recovered(hall, broker)
    assert proxy.accepted == 2
    assert len(inbox) == _CREDIT

    events = await take(broker.events(), count)

    assert [event.key for event in events] == [f"paper:{n}" for n in range(1, count + 1)]
    assert proxy.accepted == 2


# --- more than one ---


async def test_two_clients_meet_one_market_and_hear_the_same(
    hall: Hall, broker: RemotePaperBroker
) -> None:
    other = hall.broker()
    await other.connect(None)

    acks = await asyncio.gather(
        *(
            each.submit(approved(new(f"{name}{n}", side, 1, 99.5, account=name)), Permit())
            for n in range(20)
            for each, name, side in ((broker, "x", Side.BUY), (other, "y", Side.SELL))
        )
    )

    assert len({ack.secondary_order_id for ack in acks}) == 40
    last = hall.venue.last_number
    mine, theirs = await take(broker.events(), last), await take(other.events(), last)
    assert [(e.key, e.raw) for e in mine] == [(e.key, e.raw) for e in theirs]
    both = (await other.positions([AccountID("x"), AccountID("y")])).items
    assert [(a, symbol, int(qty)) for a, symbol, qty in both] == [("x", ABC, 20), ("y", ABC, -20)]
    await other.close()


async def test_more_requests_than_may_be_under_way_wait_for_their_turn(
    broker: RemotePaperBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("brokers.paper.server.IN_FLIGHT_MAX", 3)
    monkeypatch.setattr(broker._link, "_slots", asyncio.Semaphore(3))

    acks = await asyncio.gather(
        *(broker.submit(approved(new(f"o{n}", Side.BUY, 1, 90)), Permit()) for n in range(30))
    )

    assert len({ack.secondary_order_id for ack in acks}) == 30
