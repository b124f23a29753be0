"""Both adapters: a session with the exchange, from the permit to the stream and over restarts."""

import asyncio
from pathlib import Path

import pytest

from brokers.paper.broker import PaperBroker
from brokers.paper.journal import JournalError
from tests.brokers.market import A, Market, Opening, held, venue
from tests.brokers.world import (
    ABC,
    NOON,
    SECOND,
    FakeClock,
    Permit,
    SlowDisk,
    approved,
    approved_replace,
    new,
    order,
    quote,
    replace,
    settle,
    take,
    types,
)
from trading.execution import BrokerCancelReject, BrokerEvent, BrokerReport, ExecType
from trading.ids import WireID
from trading.order import OrdStatus, Side, TimeInForce
from trading.ports import (
    Ack,
    Broker,
    InDoubt,
    PermitRefused,
    Rejected,
    Unavailable,
)

START = f"{NOON:x}"
"""The id of an exchange whose journal began at noon."""


@pytest.fixture
async def market(open_market: Opening) -> Market:
    opened = await open_market()
    opened.show(quote(99, 5, 100, 3))
    return opened


async def test_an_order_is_answered_and_its_events_come_in_the_stream(market: Market) -> None:
    port: Broker = market.broker

    ack = await port.submit(approved(new("a", Side.BUY, 5, 100)), Permit())

    assert ack == Ack(ack.secondary_order_id)
    first, second = await take(port.events(), 2)
    assert isinstance(first, BrokerReport)
    assert isinstance(second, BrokerReport)
    assert [(e.exec_type, e.key, e.cursor) for e in (first, second)] == [
        (ExecType.NEW, "paper:1", f"{START}:1"),
        (ExecType.TRADE, "paper:2", f"{START}:2"),
    ]
    assert (int(second.last_qty), int(second.last_px)) == (3, 100)
    assert first.secondary_order_id == second.secondary_order_id == ack.secondary_order_id
    assert b'{"report":{"number":2,' in second.raw
    assert (second.transact_time, second.received_at) == (NOON, NOON)


async def test_nobody_hears_of_anything_before_it_is_durable(
    open_market: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, market = SlowDisk(monkeypatch), await open_market()
    broker = market.broker
    sending = asyncio.create_task(broker.submit(approved(new("a", Side.BUY, 1, 90)), Permit()))
    await settle()
    hearing = asyncio.create_task(take(broker.events(), 1))
    finding = asyncio.create_task(broker.find_order(WireID("a")))
    listing = asyncio.create_task(broker.orders([A]))
    holding = asyncio.create_task(broker.positions([A]))
    waiting = [sending, hearing, finding, listing, holding]
    await settle()
    assert market.venue.last_number == 1
    assert not any(task.done() for task in waiting)

    disk.release.set()

    await asyncio.gather(*waiting)
    assert len((await listing).items) == 1


async def test_an_answer_tells_nothing_that_came_while_it_waited_for_the_disk(
    open_market: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, market = SlowDisk(monkeypatch), await open_market()
    first = asyncio.create_task(market.broker.submit(approved(new("a", Side.BUY, 1, 90)), Permit()))
    await settle()
    listing = asyncio.create_task(market.broker.orders([A]))
    await settle()
    second = asyncio.create_task(
        market.broker.submit(approved(new("b", Side.BUY, 1, 90)), Permit())
    )
    await settle()

    disk.release.set()

    assert [each.wire_id for each in (await listing).items] == ["a"]
    await asyncio.gather(first, second)


async def test_a_refusal_comes_in_the_stream_with_its_reason(market: Market) -> None:
    await market.broker.submit(approved(new("a", Side.BUY, 5, "100.3")), Permit())
    await market.broker.cancel(order(new("z", Side.BUY, 5)), WireID("c"))

    rejected, refused = await take(market.broker.events(), 2)

    assert isinstance(rejected, BrokerReport)
    assert rejected.exec_type is ExecType.REJECTED
    assert rejected.ord_rej_reason == "INVALID_PRICE_INCREMENT"
    assert isinstance(refused, BrokerCancelReject)
    assert (refused.wire_id, refused.request_wire_id) == ("z", "c")
    assert refused.cxl_rej_reason == "UNKNOWN_ORDER"


async def test_replace_and_cancel_reach_the_order(market: Market) -> None:
    broker, placed = market.broker, new("a", Side.BUY, 5, 98)
    await broker.submit(approved(placed), Permit())
    await broker.replace(approved_replace(placed, replace("r", "a", 7, 97)), Permit())
    shown = await broker.find_order(WireID("r"))
    assert shown is not None
    assert [shown.order_qty, shown.price, shown.last_request_wire_id] == [7, 97, "r"]

    await broker.cancel(order(placed), WireID("c"))

    events = await take(broker.events(), 3)
    assert types(events) == ["NEW", "REPLACED", "CANCELED"]
    assert {event.wire_id for event in events} == {"a"}
    shown = await broker.find_order(WireID("a"))
    assert shown is not None
    assert (shown.status, shown.last_request_wire_id) == (OrdStatus.CANCELED, "c")


async def test_a_refused_permit_leaves_nothing_at_the_exchange(market: Market) -> None:
    placed, closed = new("a", Side.BUY, 5, 98), Permit(refuses=True)
    await market.broker.submit(approved(placed), Permit())

    with pytest.raises(PermitRefused):
        await market.broker.submit(approved(new("b", Side.BUY, 1, 98)), closed)
    with pytest.raises(PermitRefused):
        await market.broker.replace(approved_replace(placed, replace("r", "a", 7, 97)), closed)

    assert await market.broker.find_order(WireID("b")) is None
    assert await market.broker.find_order(WireID("r")) is None
    assert market.venue.last_number == 1


async def test_the_permit_is_asked_when_the_request_arrives(tmp_path: Path) -> None:
    """In one process, where the way to the exchange is simulated, the first byte leaves last."""
    clock, permit = FakeClock(), Permit()
    broker = PaperBroker(venue(tmp_path, clock, latency_ms=(10, 10)), clock)
    await broker.connect(None)
    sending = asyncio.create_task(broker.submit(approved(new("a", Side.BUY, 1, 100)), permit))
    await settle()
    assert permit.asked == 0

    permit.refuses = True
    await clock.advance(0.01)

    with pytest.raises(PermitRefused):
        await sending
    assert await broker.find_order(WireID("a")) is None
    await broker.close()


async def test_a_cancel_needs_no_permit_and_the_same_request_has_one_effect(
    market: Market,
) -> None:
    placed = new("a", Side.BUY, 2, 100)
    first = await market.broker.submit(approved(placed), Permit())
    again = await market.broker.submit(approved(placed), Permit())

    assert first == again
    assert await held(market.broker) == [("a", ABC, 2)]
    with pytest.raises(Rejected, match="used before"):
        await market.broker.submit(approved(new("a", Side.BUY, 9, 100)), Permit())


async def test_requests_do_not_overtake_one_another(open_market: Opening) -> None:
    market = await open_market(seed=7, latency_ms=(0, 50))
    broker, clock = market.broker, market.clock
    market.show(quote(99, 5, 100, 3))
    sends = [
        asyncio.create_task(broker.submit(approved(new(f"o{n}", Side.BUY, 1, 98)), Permit()))
        for n in range(20)
    ]
    await clock.advance(0.05)
    await asyncio.gather(*sends)

    events = await take(broker.events(), 20)
    assert [event.wire_id for event in events] == [f"o{n}" for n in range(20)]
    assert len({wait for wait in clock.slept if wait < 0.05}) > 10


async def test_the_snapshots_are_of_the_accounts_asked_for(market: Market) -> None:
    broker = market.broker
    await broker.submit(approved(new("a", Side.BUY, 1, 100)), Permit())
    await broker.submit(approved(new("b", Side.SELL, 2, 99, account="b")), Permit())
    await broker.submit(approved(new("c", Side.BUY, 1, 90)), Permit())
    await broker.submit(approved(new("d", Side.BUY, 1, 90, account="b")), Permit())

    orders, positions = await broker.orders([A]), await broker.positions([A])

    assert orders.complete
    assert positions.complete
    assert [each.wire_id for each in orders.items] == ["c"]
    assert await held(broker) == [("a", ABC, 1)]


async def test_time_alone_ends_orders(open_market: Opening) -> None:
    market = await open_market()
    dated = new(
        "a",
        Side.BUY,
        1,
        90,
        tif=TimeInForce.GOOD_TILL_DATE,
        expire_time=NOON + 5 * SECOND,
    )
    await market.broker.submit(approved(dated), Permit())

    await market.clock.advance(6)

    events = await take(market.broker.events(), 2)
    assert types(events) == ["NEW", "EXPIRED"]


async def test_everything_survives_a_restart(open_market: Opening) -> None:
    first = await open_market()
    first.show(quote(99, 5, 100, 3))
    ack = await first.broker.submit(approved(new("a", Side.BUY, 5, 100)), Permit())
    heard = await take(first.broker.events(), 1)
    await first.close()

    second = await open_market(FakeClock(NOON + SECOND), resume_from=heard[0].cursor)
    shown = await second.broker.find_order(WireID("a"))
    assert shown is not None
    assert shown.secondary_order_id == ack.secondary_order_id
    assert (shown.status, int(shown.cum_qty)) == (OrdStatus.PARTIALLY_FILLED, 3)
    assert await second.broker.submit(approved(new("a", Side.BUY, 5, 100)), Permit()) == ack
    second.show(quote(99, 5, 100, 3))

    events = await take(second.broker.events(), 2)

    assert [event.key for event in events] == ["paper:2", "paper:3"]
    assert await held(second.broker) == [("a", ABC, 5)]


async def test_a_closed_session_sends_nothing_and_can_be_opened_again(market: Market) -> None:
    broker = market.broker
    stream = broker.events()
    await broker.submit(approved(new("a", Side.BUY, 1, 98)), Permit())
    await broker.close()

    assert [event async for event in stream] == []
    with pytest.raises(Unavailable, match="not open"):
        broker.events()
    with pytest.raises(Unavailable, match="not open"):
        await broker.submit(approved(new("a", Side.BUY, 1, 98)), Permit())
    with pytest.raises(Unavailable, match="not open"):
        await broker.find_order(WireID("a"))

    await broker.connect(None)

    assert types(await take(broker.events(), 1)) == ["NEW"]


@pytest.mark.parametrize(
    ("cursor", "why"),
    [
        ("x", "x is not a cursor of the paper exchange"),
        ("-1", "-1 is not a cursor"),
        (f"{START}:00", f"{START}:00 is not a cursor"),
        (f"{START}:1", "ends at event 0: event 1 .* is not in it. Bring back the journal"),
        ("abc:0", f"the exchange {START}.* abc.* (?i:bring back the journal)"),
    ],
)
async def test_a_cursor_from_another_journal_is_refused(
    open_market: Opening, cursor: str, why: str
) -> None:
    with pytest.raises(Unavailable, match=why):
        await open_market(resume_from=cursor)


async def test_two_exchanges_cannot_share_a_journal(tmp_path: Path) -> None:
    first = venue(tmp_path, FakeClock())

    with pytest.raises(JournalError, match="in use by another process"):
        venue(tmp_path, FakeClock())
    await first.close()


async def test_a_request_whose_entry_cannot_be_written_is_in_doubt_and_the_next_unsent(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_fd: int, _data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("brokers.paper.journal._write", full)

    with pytest.raises(InDoubt, match="No space left"):
        await market.broker.submit(approved(new("a", Side.BUY, 1, 100)), Permit())
    with pytest.raises(Unavailable, match="cannot be written"):
        await market.broker.submit(approved(new("b", Side.BUY, 1, 100)), Permit())
    with pytest.raises(Unavailable, match="cannot be written"):
        await market.broker.find_order(WireID("a"))


async def test_the_same_seed_clock_quotes_and_orders_give_the_same_bytes(
    open_market: Opening, tmp_path: Path
) -> None:
    folders = [tmp_path / "1", tmp_path / "2"]
    for folder in folders:
        folder.mkdir()

    async def heard(folder: Path) -> list[BrokerEvent]:
        market = await open_market(folder=folder, seed=3, latency_ms=(1, 30))
        clock, broker = market.clock, market.broker
        for n in range(15):
            market.show(quote(98 + n % 3, 4, 100 + n % 2, 3, at=clock.now()))
            side = Side.BUY if n % 2 else Side.SELL
            request = new(f"o{n}", side, 1 + n % 4, 98 + n % 5)
            sending = asyncio.create_task(broker.submit(approved(request), Permit()))
            await clock.advance(0.03)
            await sending
        events = await take(broker.events(), market.venue.last_number)
        await market.close()
        return events

    first, second = [await heard(folder) for folder in folders]

    said = [(event.key, event.cursor, event.raw) for event in first]
    assert said == [(event.key, event.cursor, event.raw) for event in second]
    assert len(said) > 20
    journals = [(folder / "paper.journal").read_bytes() for folder in folders]
    assert journals[0] == journals[1]


def test_a_latency_must_be_a_range(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="from 5 to 1 ms is not a range"):
        venue(tmp_path, FakeClock(), latency_ms=(5, 1))
