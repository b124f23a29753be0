"""The exchange behind its socket, as a client written by hand meets it."""

from typing import Any

import pytest

from brokers.paper import server as server_module
from brokers.paper.wire import LINE_MAX, PAGE
from tests.brokers.market import Hall
from tests.brokers.peer import Peer, accounts, limit_order
from tests.brokers.world import NOON, new, settle
from trading.order import Side

# --- greetings ---


async def test_the_welcome_tells_what_the_exchange_is(hall: Hall) -> None:
    async with Peer.connected(hall.address) as peer:
        assert await peer.greet(exchange=f"{NOON:x}") == {
            "welcome": {
                "protocol": 1,
                "environment": "sim",
                "exchange": f"{NOON:x}",
                "last_event": 0,
                "market_time": NOON,
            }
        }


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"hello": {"protocol": 2, "environment": "sim"}}, "speaks protocol 1, and you protocol 2"),
        ({"hello": {"protocol": 1, "environment": "paper"}}, "environment sim, and you to paper"),
        (
            {"hello": {"protocol": 1, "environment": "sim", "exchange": "17"}},
            "you have traded with 17: bring back the journal",
        ),
        ({"hello": {"protocol": 1}}, "a hello has a protocol, an environment and"),
        ({"hello": {"protocol": 1, "environment": "sim", "colour": 1}}, "a hello has a protocol"),
        ({"hello": 1}, "a hello has a protocol"),
        ({"id": 1, "new": limit_order("a", "BUY", "1", "100")}, "not of the protocol"),
        ({"beat": {}}, "not of the protocol"),
    ],
)
async def test_who_does_not_fit_is_refused_and_told_why(hall: Hall, said: Any, why: str) -> None:
    async with Peer.connected(hall.address) as peer:
        peer.say(said, {"id": 2, "new": limit_order("b", "BUY", "1", "100")})

        refusal = await peer.hear()

        assert why in refusal["refused"]["text"]
        assert await peer.hear() is None
    assert hall.venue.last_number == 0


async def test_there_is_room_for_so_many_clients(
    hall: Hall, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "_CLIENTS_MAX", 1)
    async with Peer.connected(hall.address) as second:
        assert "has 1 clients already" in (await second.hear())["refused"]["text"]
        assert await second.hear() is None

    assert "ok" in await peer.ask(find_order={"wire_id": "a"})


# --- requests ---


async def test_requests_in_one_piece_are_carried_out_in_their_order(peer: Peer) -> None:
    peer.say(
        {"id": 1, "new": limit_order("a", "BUY", "5", "98")},
        {"id": 2, "replace": {"wire_id": "r", "orig_wire_id": "a", "order_qty": "2", "price": "9"}},
        {"id": 3, "cancel": {"wire_id": "c", "orig_wire_id": "a"}},
        {"id": 4, "find_order": {"wire_id": "c"}},
        {"id": 5, "find_order": {"wire_id": "nobody"}},
    )

    answers = {answer["id"]: answer for answer in [await peer.hear() for _ in range(5)]}

    assert [answers[n] for n in (1, 2, 3)] == [
        {"id": n, "ok": {"order_id": "P1"}} for n in (1, 2, 3)
    ]
    assert answers[4]["ok"]["order"] == {
        "wire_id": "a",
        "secondary_order_id": "P1",
        "status": "CANCELED",
        "order_qty": "2",
        "price": "9",
        "cum_qty": "0",
        "symbol": "ABC@XNAS",
        "side": "BUY",
        "last_request_wire_id": "c",
    }
    assert answers[5] == {"id": 5, "ok": {"order": None}}


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"new": limit_order("a", "HOLD", "1", "100")}, "side cannot be read"),
        ({"new": limit_order("a", "BUY", "NaN", "100")}, "order_qty cannot be read"),
        ({"new": limit_order("a", "BUY", "1e3", "100")}, "order_qty cannot be read"),
        ({"new": limit_order("a", "BUY", "9" * 40, "100")}, "order_qty cannot be read"),
        ({"new": limit_order("a", "BUY", "1", "100") | {"price": 100.5}}, "price cannot be read"),
        ({"new": limit_order("a", "BUY", "1", "100") | {"price": None}}, "price cannot be read"),
        ({"new": limit_order("a", "BUY", "1", "100", colour="red")}, "no such field: colour"),
        ({"new": limit_order("", "BUY", "1", "100")}, "wire_id must be a text of 1 to 128"),
        ({"new": limit_order("a" * 129, "BUY", "1", "100")}, "wire_id must be a text of 1 to 128"),
        ({"new": {"wire_id": "a"}}, "NewOrder cannot be made"),
        ({"new": []}, "NewOrder is not an object"),
        ({"cancel": {"wire_id": 1, "orig_wire_id": "a"}}, "wire_id cannot be read"),
        ({"find_order": {}}, "find_order needs a wire_id"),
        ({"orders": {"accounts": "a"}}, "accounts must be a list"),
        ({"orders": {"accounts": [1]}}, "an account must be a text"),
        ({"positions": {"accounts": ["a"] * 257}}, "at most 256"),
        ({"events": {"after": -1, "credit": 1}}, "integers from 0"),
        ({"events": {"after": "0", "credit": 1}}, "integers from 0"),
        ({"explode": {}}, "there is no request explode"),
    ],
)
async def test_a_malformed_request_is_rejected_and_changes_nothing(
    hall: Hall, peer: Peer, body: dict[str, Any], why: str
) -> None:
    answer = await peer.ask(**body)

    assert answer["error"]["code"] == "rejected"
    assert why in answer["error"]["text"]
    assert hall.venue.last_number == 0
    assert await peer.ask(new=limit_order("a", "BUY", "1", "98")) == {
        "id": 7,
        "ok": {"order_id": "P1"},
    }


@pytest.mark.parametrize(
    "data",
    [
        b"not JSON\n",
        b"\xff\n",
        b"[]\n",
        b"{}\n",
        b'{"id":1}\n',
        b'{"id":"1","orders":{}}\n',
        b'{"credit":0}\n',
        b'{"hello":{"protocol":1,"environment":"sim"}}\n',
        b'{"id":1,"x":"' + b"y" * LINE_MAX + b'"}\n',
        b"y" * (LINE_MAX + 1),
    ],
)
async def test_what_is_not_of_the_protocol_ends_that_connection_alone(
    hall: Hall, peer: Peer, data: bytes
) -> None:
    async with Peer.connected(hall.address) as other:
        await other.greet()

        peer.write(data)

        assert "text" in (await peer.hear())["refused"]
        assert await peer.hear() is None
        assert "ok" in await other.ask(new=limit_order("a", "BUY", "1", "98"))


async def test_more_than_so_many_requests_are_turned_away(
    hall: Hall, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "IN_FLIGHT_MAX", 2)
    hall.venue._latency = 10_000, 10_000
    peer.say(*({"id": n, "new": limit_order(f"o{n}", "BUY", "1", "98")} for n in range(3)))

    turned_away = await peer.hear()

    assert turned_away["id"] == 2
    assert turned_away["error"]["code"] == "rate_limited"
    await hall.clock.advance(0.01)
    assert {(await peer.hear())["id"] for _ in range(2)} == {0, 1}
    assert await peer.ask(find_order={"wire_id": "o2"}) == {"id": 7, "ok": {"order": None}}


async def test_a_wire_id_has_one_effect_whoever_sends_it(hall: Hall, peer: Peer) -> None:
    body = limit_order("a", "BUY", "1", "98")
    first = await peer.ask(new=body)
    async with Peer.connected(hall.address) as other:
        await other.greet()

        assert await other.ask(new=body) == first
        refused = await other.ask(new=body | {"order_qty": "2"})

    assert refused["error"]["code"] == "rejected"
    assert hall.venue.last_number == 1


async def test_what_has_arrived_is_carried_out_though_its_client_is_gone(
    hall: Hall, peer: Peer
) -> None:
    hall.venue._latency = 10_000, 10_000
    peer.say({"id": 1, "new": limit_order("a", "BUY", "1", "98")})
    await settle()
    peer.writer.transport.abort()
    await settle()
    assert hall.server.clients == set()

    await hall.clock.advance(0.01)

    assert hall.venue.last_number == 1


async def test_nothing_goes_on_for_a_client_that_is_gone(hall: Hall, peer: Peer) -> None:
    await peer.ask(events={"after": 0, "credit": 1})
    await peer.ask(quotes={})
    (client,) = hall.server.clients

    peer.writer.transport.abort()
    await settle()

    assert hall.server.clients == set()
    assert [pump.cancelled() for pump in client._pumps.values()] == [True, True]


async def test_long_lists_come_in_parts(hall: Hall, peer: Peer) -> None:
    count = 2 * PAGE + 1
    for n in range(count):
        hall.venue._record(hall.venue._exchange.handle(new(f"o{n}", Side.BUY, 1, 90), NOON))
    peer.say({"id": 1, "orders": accounts()})

    first, second, third = [await peer.hear() for _ in range(3)]

    assert (len(first["part"]), len(second["part"]), len(third["all"])) == (PAGE, PAGE, 1)
    parts = first["part"] + second["part"] + third["all"]
    assert [each["wire_id"] for each in parts] == [f"o{n}" for n in range(count)]
    assert await peer.ask(orders=accounts("b")) == {"id": 7, "all": []}
    await peer.ask(new=limit_order("x", "BUY", "2", "100"))
    assert await peer.ask(positions=accounts()) == {"id": 7, "all": [["a", "ABC@XNAS", "2"]]}


async def test_the_instruments_are_listed(peer: Peer) -> None:
    answer = await peer.ask(instruments={})

    stock, future = answer["all"]
    assert stock == {
        "symbol": "ABC",
        "mic": "XNAS",
        "description": "a stock",
        "security_type": "COMMON_STOCK",
        "currency": "USD",
        "tick": "0.5",
        "lot": "1",
        "multiplier": "1",
        "calendar": "24/7-2100",
    }
    assert future["initial_margin"] == "1000"
