"""What the exchange says unasked over its socket: events, quotes, beats, and its end."""

import asyncio
import json
import socket
from pathlib import Path

import pytest

from brokers.paper.wire import SILENCE_S
from tests.brokers.market import LOOPBACK, Hall, patiently, venue
from tests.brokers.peer import Peer, limit_order
from tests.brokers.world import NOON, FakeClock, new, quote, settle
from trading.order import Side

# --- events ---


async def test_events_come_from_a_cursor_on_and_no_more_than_asked_for(peer: Peer) -> None:
    await peer.ask(new=limit_order("a", "BUY", "5", "100"))
    assert await peer.ask(events={"after": 1, "credit": 1}) == {"id": 7, "ok": {}}
    fill = await peer.hear()
    assert fill["cursor"] == 2
    assert fill["event"]["report"]["exec_type"] == "TRADE"
    peer.say({"id": 8, "cancel": {"wire_id": "c", "orig_wire_id": "a"}})
    assert (await peer.hear())["id"] == 8
    await settle()
    peer.say({"id": 9, "find_order": {"wire_id": "c"}})
    assert (await peer.hear())["id"] == 9, "no event has come before it"

    peer.say({"credit": 5})

    assert (await peer.hear())["event"]["report"]["exec_type"] == "CANCELED"


async def test_a_subscription_that_cannot_be_is_refused(peer: Peer) -> None:
    beyond = await peer.ask(events={"after": 1, "credit": 1})
    assert beyond["error"]["code"] == "unavailable"
    assert "ends at event 0: event 1" in beyond["error"]["text"]
    assert "ok" in await peer.ask(events={"after": 0, "credit": 1})

    assert "subscribed to events already" in str(await peer.ask(events={"after": 0, "credit": 1}))


async def test_a_client_that_does_not_read_is_cut_off_and_goes_on_from_its_cursor(
    tmp_path: Path,
) -> None:
    clock, count = FakeClock(), 3000
    hall = Hall(venue(tmp_path, clock), clock)
    hall._listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    await hall.open()
    for n in range(count):
        hall.venue._record(hall.venue._exchange.handle(new(f"o{n}", Side.BUY, 1, 90), NOON))
    await hall.venue._journal.flushed()
    async with Peer.connected(hall.address, buffer=4096) as slow, Peer.connected(hall.address) as _:
        slow.say({"hello": {"protocol": 1, "environment": "sim"}})
        slow.say({"id": 1, "events": {"after": 0, "credit": 1 << 30}})
        await settle()
        (client,) = [each for each in hall.server.clients if each._pumps]
        await clock.advance(SILENCE_S - 1)
        slow.say({"beat": {}})
        await clock.advance(1.5)

        assert client.why_ended == "nothing was taken for 4 s"
        assert hall.server.clients.isdisjoint({client})
        whole = (await slow.rest()).rpartition(b"\n")[0]
    first = [json.loads(each) for each in whole.splitlines()]
    cursors = [each["cursor"] for each in first if "event" in each]
    assert 0 < len(cursors) < count / 2

    async with Peer.connected(hall.address) as again:
        await again.greet()
        await again.ask(events={"after": cursors[-1], "credit": count})
        cursors += [(await again.hear())["cursor"] for _ in range(count - len(cursors))]
    assert cursors == list(range(1, count + 1))
    await hall.close()


# --- quotes ---


async def test_quotes_are_the_latest_of_each_symbol_with_their_age(hall: Hall, peer: Peer) -> None:
    hall.clock.time += 30
    assert await peer.ask(quotes={}) == {"id": 7, "ok": {}}
    first = await peer.hear()
    assert first == {
        "quotes": [
            {
                "symbol": "ABC@XNAS",
                "bid": "99",
                "bid_size": "5",
                "ask": "100",
                "ask_size": "3",
                "time": NOON,
                "source": "test",
                "delayed": False,
                "age": 30,
            }
        ],
        "market_time": NOON + 30,
    }

    hall.server.show(quote(98, 5, 100, 3))
    hall.server.show(quote(97, 5, None, None))

    (conflated,) = (await peer.hear())["quotes"]
    assert (conflated["bid"], "ask" in conflated) == ("97", False)


# --- beats ---


async def test_the_exchange_beats_and_tells_its_time(hall: Hall, peer: Peer) -> None:
    await hall.clock.advance(1)

    assert await peer.hear_beat() == {"beat": {"market_time": NOON + 1_000_000_000}}


async def test_a_silent_client_is_cut_off_and_one_that_beats_is_not(hall: Hall, peer: Peer) -> None:
    async with Peer.connected(hall.address) as alive:
        await alive.greet()
        for _ in range(6):
            alive.say({"beat": {}})
            await hall.clock.advance(1)

        assert "ok" in await alive.ask(find_order={"wire_id": "a"})
    assert all("beat" in json.loads(each) for each in (await peer.rest()).splitlines())
    assert len(hall.server.clients) == 1


async def test_a_client_that_never_says_hello_is_cut_off(hall: Hall) -> None:
    async with Peer.connected(hall.address) as mute:
        said = await patiently(hall.clock, mute.rest())

    assert all("beat" in json.loads(each) for each in said.splitlines())
    assert hall.server.clients == set()


async def test_the_end_of_the_exchange_is_the_end_of_its_connections(
    hall: Hall, peer: Peer
) -> None:
    await hall.close()

    assert await peer.hear() is None
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(LOOPBACK, hall.port)
