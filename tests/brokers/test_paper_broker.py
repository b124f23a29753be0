"""The adapter: a session with the exchange, from the permit to the stream and over restarts."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from brokers.faults import FaultScript
from brokers.paper.broker import PaperBroker
from brokers.paper.journal import JournalError
from tests.brokers.world import (
    ABC,
    NOON,
    SECOND,
    FakeClock,
    Permit,
    SlowDisk,
    approved,
    approved_replace,
    catalogue,
    new,
    order,
    quote,
    replace,
    settle,
    take,
    types,
)
from trading.execution import BrokerCancelReject, BrokerEvent, BrokerReport, ExecType
from trading.ids import AccountID, WireID
from trading.order import OrdStatus, Side, TimeInForce
from trading.ports import (
    Ack,
    Broker,
    InDoubt,
    PermitRefused,
    Rejected,
    Unavailable,
)

A = AccountID("a")


def paper(
    tmp_path: Path,
    clock: FakeClock | None = None,
    *,
    seed: int = 0,
    latency_ms: tuple[int, int] = (0, 0),
    faults: FaultScript | None = None,
) -> PaperBroker:
    clock = clock or FakeClock()
    return PaperBroker(
        journal=tmp_path / "paper.journal",
        catalogue=catalogue(),
        clock=clock,
        market=clock,
        seed=seed,
        latency_ms=latency_ms,
        faults=faults,
    )


async def held(broker: PaperBroker) -> list[tuple[str, str, int]]:
    return [(a, symbol, int(qty)) for a, symbol, qty in (await broker.positions([A])).items]


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[PaperBroker]:
    made = paper(tmp_path)
    await made.connect(None)
    made.on_quote(quote(99, 5, 100, 3))
    yield made
    await made.close()


async def test_an_order_is_answered_and_its_events_come_in_the_stream(broker: PaperBroker) -> None:
    port: Broker = broker

    ack = await port.submit(approved(new("a", Side.BUY, 5, 100)), Permit())

    assert ack == Ack(ack.secondary_order_id)
    first, second = await take(port.events(), 2)
    assert isinstance(first, BrokerReport)
    assert isinstance(second, BrokerReport)
    assert [(e.exec_type, e.key, e.cursor) for e in (first, second)] == [
        (ExecType.NEW, "paper:1", "1"),
        (ExecType.TRADE, "paper:2", "2"),
    ]
    assert (int(second.last_qty), int(second.last_px)) == (3, 100)
    assert first.secondary_order_id == second.secondary_order_id == ack.secondary_order_id
    assert second.raw.startswith(b'{"report":{"number":2,')
    assert (second.transact_time, second.received_at) == (NOON, NOON)


async def test_nobody_hears_of_anything_before_it_is_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, broker = SlowDisk(monkeypatch), paper(tmp_path)
    await broker.connect(None)
    sending = asyncio.create_task(broker.submit(approved(new("a", Side.BUY, 1, 90)), Permit()))
    await settle()
    hearing = asyncio.create_task(take(broker.events(), 1))
    finding = asyncio.create_task(broker.find_order(WireID("a")))
    listing = asyncio.create_task(broker.orders([A]))
    holding = asyncio.create_task(broker.positions([A]))
    waiting = [sending, hearing, finding, listing, holding]
    await settle()
    assert not any(task.done() for task in waiting)

    disk.release.set()

    await asyncio.gather(*waiting)
    assert len((await listing).items) == 1
    await broker.close()


async def test_a_refusal_comes_in_the_stream_with_its_reason(broker: PaperBroker) -> None:
    await broker.submit(approved(new("a", Side.BUY, 5, "100.3")), Permit())
    await broker.cancel(order(new("z", Side.BUY, 5)), WireID("c"))

    rejected, refused = await take(broker.events(), 2)

    assert isinstance(rejected, BrokerReport)
    assert rejected.exec_type is ExecType.REJECTED
    assert rejected.ord_rej_reason == "INVALID_PRICE_INCREMENT"
    assert isinstance(refused, BrokerCancelReject)
    assert (refused.wire_id, refused.request_wire_id) == ("z", "c")
    assert refused.cxl_rej_reason == "UNKNOWN_ORDER"


async def test_replace_and_cancel_reach_the_order(broker: PaperBroker) -> None:
    placed = new("a", Side.BUY, 5, 98)
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


async def test_the_permit_is_asked_when_the_request_arrives(tmp_path: Path) -> None:
    clock, permit = FakeClock(), Permit()
    broker = paper(tmp_path, clock, latency_ms=(10, 10))
    await broker.connect(None)
    broker.on_quote(quote(99, 5, 100, 3))
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
    broker: PaperBroker,
) -> None:
    placed = new("a", Side.BUY, 2, 100)
    first = await broker.submit(approved(placed), Permit())
    again = await broker.submit(approved(placed), Permit())

    assert first == again
    assert await held(broker) == [("a", ABC, 2)]
    with pytest.raises(Rejected, match="used before"):
        await broker.submit(approved(new("a", Side.BUY, 9, 100)), Permit())


async def test_requests_do_not_overtake_one_another(tmp_path: Path) -> None:
    clock = FakeClock()
    broker = paper(tmp_path, clock, seed=7, latency_ms=(0, 50))
    await broker.connect(None)
    broker.on_quote(quote(99, 5, 100, 3))
    sends = [
        asyncio.create_task(broker.submit(approved(new(f"o{n}", Side.BUY, 1, 98)), Permit()))
        for n in range(20)
    ]
    await clock.advance(0.05)
    await asyncio.gather(*sends)

    events = await take(broker.events(), 20)
    assert [event.wire_id for event in events] == [f"o{n}" for n in range(20)]
    assert len({wait for wait in clock.slept if wait < 0.05}) > 10
    await broker.close()


async def test_the_snapshots_are_of_the_accounts_asked_for(broker: PaperBroker) -> None:
    await broker.submit(approved(new("a", Side.BUY, 1, 100)), Permit())
    await broker.submit(approved(new("b", Side.SELL, 2, 99, account="b")), Permit())
    await broker.submit(approved(new("c", Side.BUY, 1, 90)), Permit())
    await broker.submit(approved(new("d", Side.BUY, 1, 90, account="b")), Permit())

    orders, positions = await broker.orders([A]), await broker.positions([A])

    assert orders.complete
    assert positions.complete
    assert [each.wire_id for each in orders.items] == ["c"]
    assert await held(broker) == [("a", ABC, 1)]


async def test_time_alone_ends_orders(tmp_path: Path) -> None:
    clock = FakeClock()
    broker = paper(tmp_path, clock)
    await broker.connect(None)
    dated = new(
        "a",
        Side.BUY,
        1,
        90,
        tif=TimeInForce.GOOD_TILL_DATE,
        expire_time=NOON + 5 * SECOND,
    )
    await broker.submit(approved(dated), Permit())

    await clock.advance(6)

    events = await take(broker.events(), 2)
    assert types(events) == ["NEW", "EXPIRED"]
    await broker.close()


async def test_everything_survives_a_restart(tmp_path: Path) -> None:
    first = paper(tmp_path)
    await first.connect(None)
    first.on_quote(quote(99, 5, 100, 3))
    ack = await first.submit(approved(new("a", Side.BUY, 5, 100)), Permit())
    heard = await take(first.events(), 1)
    await first.close()

    second = paper(tmp_path)
    await second.connect(heard[0].cursor)
    shown = await second.find_order(WireID("a"))
    assert shown is not None
    assert shown.secondary_order_id == ack.secondary_order_id
    assert (shown.status, int(shown.cum_qty)) == (OrdStatus.PARTIALLY_FILLED, 3)
    assert await second.submit(approved(new("a", Side.BUY, 5, 100)), Permit()) == ack
    second.on_quote(quote(99, 5, 100, 3))

    events = await take(second.events(), 2)

    assert [event.key for event in events] == ["paper:2", "paper:3"]
    assert await held(second) == [("a", ABC, 5)]
    await second.close()


async def test_a_closed_session_sends_nothing_and_can_be_opened_again(tmp_path: Path) -> None:
    broker = paper(tmp_path)
    with pytest.raises(Unavailable, match="not open"):
        await broker.submit(approved(new("a", Side.BUY, 1, 98)), Permit())
    await broker.connect(None)
    stream = broker.events()
    await broker.submit(approved(new("a", Side.BUY, 1, 98)), Permit())
    await broker.close()
    assert [event async for event in stream] == []
    with pytest.raises(Unavailable, match="not open"):
        broker.events()
    with pytest.raises(Unavailable, match="not open"):
        await broker.find_order(WireID("a"))

    await broker.connect(None)

    assert types(await take(broker.events(), 1)) == ["NEW"]
    await broker.close()


async def test_a_cursor_from_another_journal_is_refused(tmp_path: Path) -> None:
    broker = paper(tmp_path)

    for cursor in ("1", "x", "-1", "00"):
        with pytest.raises(Unavailable, match=f"ends at event 0, and cursor {cursor} is not"):
            await broker.connect(cursor)
    await broker.close()


async def test_two_exchanges_cannot_share_a_journal(tmp_path: Path) -> None:
    broker = paper(tmp_path)

    with pytest.raises(JournalError, match="in use by another process"):
        paper(tmp_path)
    await broker.close()


async def test_a_request_whose_entry_cannot_be_written_is_in_doubt_and_the_next_unsent(
    broker: PaperBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_fd: int, _data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("brokers.paper.journal._write", full)

    with pytest.raises(InDoubt, match="No space left"):
        await broker.submit(approved(new("a", Side.BUY, 1, 100)), Permit())
    with pytest.raises(Unavailable, match="cannot be written"):
        await broker.submit(approved(new("b", Side.BUY, 1, 100)), Permit())
    with pytest.raises(Unavailable, match="cannot be written"):
        await broker.find_order(WireID("a"))


async def test_the_same_seed_clock_quotes_and_orders_give_the_same_bytes(tmp_path: Path) -> None:
    folders = [tmp_path / "1", tmp_path / "2"]
    for folder in folders:
        folder.mkdir()

    async def heard(folder: Path) -> list[BrokerEvent]:
        clock = FakeClock()
        broker = paper(folder, clock, seed=3, latency_ms=(1, 30))
        await broker.connect(None)
        for n in range(15):
            broker.on_quote(quote(98 + n % 3, 4, 100 + n % 2, 3, at=clock.now()))
            side = Side.BUY if n % 2 else Side.SELL
            request = new(f"o{n}", side, 1 + n % 4, 98 + n % 5)
            sending = asyncio.create_task(broker.submit(approved(request), Permit()))
            await clock.advance(0.03)
            await sending
        last = broker._journal.last_number
        events = await take(broker.events(), last)
        await broker.close()
        return events

    first, second = [await heard(folder) for folder in folders]

    assert first == second
    assert len(first) > 20
    journals = [(folder / "paper.journal").read_bytes() for folder in folders]
    assert journals[0] == journals[1]


def test_a_latency_must_be_a_range(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="from 5 to 1 ms is not a range"):
        paper(tmp_path, latency_ms=(5, 1))
