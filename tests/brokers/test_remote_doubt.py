"""The adapter over a socket: may a request have taken effect? And the permit for its first byte."""

import asyncio
from typing import Any

import pytest

from brokers.paper.remote import RemotePaperBroker
from brokers.paper.wire import ACCOUNTS_MAX
from tests.brokers.link import RESTING, is_up, recovered, submit, until
from tests.brokers.market import Hall, patiently
from tests.brokers.peer import WELCOME, impostor, line
from tests.brokers.world import (
    FakeClock,
    Permit,
    approved,
    approved_replace,
    new,
    order,
    replace,
    settle,
)
from tests.faults.proxy import FaultProxy, Way
from trading.ids import AccountID, WireID
from trading.order import Side
from trading.ports import (
    Ack,
    BrokerError,
    Environment,
    InDoubt,
    PermitRefused,
    RateLimited,
    Rejected,
    Unauthorized,
    Unavailable,
)

# --- may it have taken effect? ---


async def test_on_a_connection_that_is_gone_nothing_is_written(
    hall: Hall, proxy: FaultProxy, broker: RemotePaperBroker
) -> None:
    permit = Permit()
    proxy.reset()
    await until(lambda: not is_up(broker))

    with pytest.raises(Unavailable, match="is down"):
        await submit(broker, permit)

    assert permit.asked == 0
    assert hall.venue.last_number == 0


@pytest.mark.parametrize("count", [0, 1, 40])
async def test_a_reset_before_the_whole_request_arrives_leaves_a_doubt_and_no_order(
    hall: Hall, proxy: FaultProxy, broker: RemotePaperBroker, count: int
) -> None:
    proxy.reset_after(count, Way.UP)

    with pytest.raises(InDoubt):
        await submit(broker)

    await recovered(hall, broker)
    assert await broker.find_order(WireID("a")) is None
    assert hall.venue.last_number == 0


@pytest.mark.parametrize("count", [0, 1, 10])
async def test_a_lost_answer_leaves_a_doubt_and_one_order(
    hall: Hall, proxy: FaultProxy, broker: RemotePaperBroker, count: int
) -> None:
    proxy.reset_after(count, Way.DOWN)

    with pytest.raises(InDoubt):
        await submit(broker)
    await recovered(hall, broker)
    shown = await broker.find_order(WireID("a"))
    assert shown is not None
    again = await submit(broker)

    assert again == Ack(shown.secondary_order_id)
    assert hall.venue.last_number == 1
    assert [each.wire_id for each in (await broker.orders([AccountID("a")])).items] == ["a"]


async def test_doubts_about_a_replace_and_a_cancel_are_settled_by_the_order(
    hall: Hall, proxy: FaultProxy, broker: RemotePaperBroker
) -> None:
    await submit(broker)
    proxy.reset_after(0, Way.DOWN)
    with pytest.raises(InDoubt):
        await broker.replace(approved_replace(RESTING, replace("r", "a", 2, 98)), Permit())
    await recovered(hall, broker)
    proxy.reset_after(0, Way.UP)
    with pytest.raises(InDoubt):
        await broker.cancel(order(RESTING), WireID("c"))
    await recovered(hall, broker)

    shown = await broker.find_order(WireID("a"))
    assert shown is not None
    assert (shown.last_request_wire_id, int(shown.order_qty)) == ("r", 2)


async def test_a_closed_connection_leaves_a_doubt_too(
    proxy: FaultProxy, broker: RemotePaperBroker
) -> None:
    proxy.lost = {Way.UP}
    sending = asyncio.ensure_future(submit(broker))
    await settle()

    proxy.close()

    with pytest.raises(InDoubt):
        await sending


async def test_half_open_is_noticed_by_both_ends_and_then_nothing_is_written(
    hall: Hall, proxy: FaultProxy, broker: RemotePaperBroker
) -> None:
    await submit(broker)
    proxy.freeze()
    began = hall.clock.now()
    with pytest.raises(InDoubt, match="nothing was heard"):
        await patiently(hall.clock, broker.cancel(order(RESTING), WireID("c")))
    assert hall.clock.now() - began < 6_000_000_000
    with pytest.raises(Unavailable):
        await submit(broker)
    await until(lambda: not hall.server.clients)

    proxy.heal()

    await recovered(hall, broker)
    shown = await broker.find_order(WireID("a"))
    assert shown is not None
    assert shown.last_request_wire_id is None


async def test_a_question_without_an_answer_changes_nothing_and_may_be_asked_again(
    hall: Hall, proxy: FaultProxy, broker: RemotePaperBroker
) -> None:
    proxy.reset_after(0, Way.DOWN)

    with pytest.raises(Unavailable):
        await broker.find_order(WireID("a"))

    await recovered(hall, broker)
    assert await broker.find_order(WireID("a")) is None


async def test_an_answer_that_takes_too_long_is_a_doubt_and_the_link_stays(
    hall: Hall, proxy: FaultProxy, broker: RemotePaperBroker
) -> None:
    hall.venue._latency = 60_000_000, 60_000_000

    with pytest.raises(InDoubt, match="no answer came within 5 s"):
        await patiently(hall.clock, submit(broker))

    assert proxy.accepted == 1
    assert await broker.find_order(WireID("a")) is None


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"garbage\n", InDoubt),
        (line([]), InDoubt),
        (line({"id": 3}), InDoubt),
        (line({"id": 3, "ok": 1}), InDoubt),
        (line({"id": 3, "ok": {}}), InDoubt),
        (line({"id": 3, "ok": {"order_id": 5}}), InDoubt),
        (line({"id": 3, "all": []}), InDoubt),
        (line({"unheard": "of"}), InDoubt),
        (line({"event": {}, "cursor": 1}), InDoubt),
        (line({"id": 3, "error": {"code": "mystery", "text": "?"}}), InDoubt),
        (line({"id": 3, "error": 1}), InDoubt),
        (line({"id": 3, "error": {"code": "in_doubt", "text": "?"}}), InDoubt),
        (line({"id": 3, "error": {"code": "rejected", "text": "no"}}), Rejected),
        (line({"id": 3, "error": {"code": "unauthorized", "text": "no"}}), Unauthorized),
        (line({"id": 3, "error": {"code": "unavailable", "text": "no"}}), Unavailable),
        (
            line({"id": 3, "error": {"code": "rate_limited", "text": "no", "retry_after_ms": 5}}),
            RateLimited,
        ),
        (b"", InDoubt),
    ],
)
async def test_only_a_clear_answer_is_taken_for_one(
    answer: bytes, error: type[BrokerError]
) -> None:
    async with impostor(answering(answer)) as address:
        broker = RemotePaperBroker(address=address, environment=Environment.SIM, clock=FakeClock())
        await broker.connect(None)
        await broker.find_order(WireID("nobody"))

        with pytest.raises(BrokerError) as raised:
            await submit(broker)

        assert type(raised.value) is error
        await broker.close()


def answering(answer: bytes) -> Any:
    """Behave like an exchange up to the third message, and answer that with this."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers = (
            line(WELCOME),
            line({"id": 1, "ok": {}}),
            line({"id": 2, "ok": {"order": None}}),
            answer,
        )
        for each in answers:
            await reader.readline()
            writer.write(each)
        await writer.drain()
        writer.close()

    return script


# --- the permit ---


async def test_the_permit_is_asked_when_the_first_byte_can_leave_and_not_before(
    proxy: FaultProxy, broker: RemotePaperBroker
) -> None:
    many = [AccountID("x" * 120 + str(n)) for n in range(ACCOUNTS_MAX)]
    proxy.stalled = {Way.UP}
    asking = [asyncio.create_task(broker.orders(many)) for _ in range(600)]
    dialogue = broker._link._dialogue
    assert dialogue is not None
    await until(lambda: not dialogue.has_room)
    permit = Permit()
    sending = asyncio.create_task(broker.submit(approved(RESTING), permit))
    await settle()
    assert permit.asked == 0

    permit.refuses = True
    proxy.heal()

    with pytest.raises(PermitRefused):
        await sending
    assert permit.asked == 1
    for question in asking:
        question.cancel()
    assert await broker.find_order(WireID("a")) is None


async def test_no_permitted_request_ever_waits_behind_another(
    proxy: FaultProxy, broker: RemotePaperBroker
) -> None:
    dialogue = broker._link._dialogue
    assert dialogue is not None
    assert dialogue._transport is not None
    unsent: list[int] = []
    look = dialogue._transport.get_write_buffer_size

    class Watching(Permit):
        def check(self) -> None:
            unsent.append(look())

    many = [AccountID("x" * 120 + str(n)) for n in range(ACCOUNTS_MAX)]
    proxy.stalled = {Way.UP}
    sending: list[asyncio.Future[object]] = []
    for n in range(400):
        placed = approved(new(f"o{n}", Side.BUY, 1, 90))
        sending.append(asyncio.ensure_future(broker.orders(many)))
        sending.append(asyncio.ensure_future(broker.submit(placed, Watching())))
    await until(lambda: not dialogue.has_room)

    proxy.heal()
    await asyncio.gather(*sending)

    assert unsent == [0] * 400
