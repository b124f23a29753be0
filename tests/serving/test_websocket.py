"""graphql-transport-ws by raw frames: every rule of its text, and every mistake its own close."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from resolvers.context import Context
from serving.socket import Limits
from tests.resolvers.fakes import FOREIGN, NOON, FakeReads, a_principal
from tests.serving.served import (
    MESSAGE_MAX,
    REPORTS,
    SECOND,
    Closed,
    Served,
    serving,
)
from trading.ids import UserID
from trading.outcome import Overloaded
from trading.permission import Entitlement, Permission, Principal
from trading.store import StoreUnavailable

INIT = {"type": "connection_init", "payload": {"authorization": "Bearer trader"}}
ACK = {"type": "connection_ack"}


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serving() as served:
        yield served


def complaints(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]


# --- the handshake -----------------------------------------------------------------------------


async def test_the_protocol_is_agreed_on_and_nothing_else(served: Served) -> None:
    client = await served.raw(
        protocol="graphql-ws, graphql-transport-ws",
        Sec_WebSocket_Extensions="permessage-deflate",
    )

    assert " 101 " in client.head
    assert "sec-websocket-protocol: graphql-transport-ws\r\n" in client.head.lower()
    assert "sec-websocket-extensions" not in client.head.lower()


@pytest.mark.parametrize("protocol", [None, "graphql-ws", "mqtt"])
async def test_another_protocol_is_told_so(served: Served, protocol: str | None) -> None:
    client = await served.raw(protocol=protocol)

    assert await client.closed() == (4406, "the subprotocol must be graphql-transport-ws")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://127.0.0.1:{port}"}, 101),
        # Behind a proxy that has changed the host the browser's own word counts.
        ({"Origin": "https://ours.example", "Sec-Fetch-Site": "same-origin"}, 101),
        ({"Origin": "https://elsewhere.example", "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "http://elsewhere.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
async def test_a_page_of_another_site_gets_no_socket(
    served: Served, headers: dict[str, str], status: int
) -> None:
    written = {name: value.format(port=served.port) for name, value in headers.items()}
    client = await served.raw(**written)

    assert client.head.split()[1] == str(status)


# --- initialisation ----------------------------------------------------------------------------


async def test_an_initialisation_is_acknowledged(served: Served) -> None:
    client = await served.raw()
    await client.send(INIT)

    assert await client.any() == ACK


@pytest.mark.parametrize("payload", [{}, {"payload": None}, {"payload": {"client": "web"}}])
async def test_one_without_a_token_is_forbidden(served: Served, payload: Any) -> None:
    client = await served.raw()
    await client.send({"type": "connection_init"} | payload)

    assert await client.closed() == (4403, "the token is refused")


async def test_a_payload_may_be_null(served: Served) -> None:
    served.callers.known[""] = a_principal()
    client = await served.raw()
    await client.send({"type": "connection_init", "payload": None})

    # The token has run out as it came.
    assert await client.any() == ACK
    assert await client.closed() == (4403, "token expired")


async def test_a_store_that_is_down_says_to_try_again(served: Served) -> None:
    served.callers.failure = StoreUnavailable("gone")
    client = await served.raw()
    await client.send(INIT)

    assert await client.closed() == (1013, "the store is down")


async def test_one_that_does_not_come_is_not_waited_for() -> None:
    async with serving(Limits(init_wait_s=0.01)) as served:
        client = await served.raw()

        assert await client.closed() == (4408, "Connection initialisation timeout")


async def test_two_are_too_many(served: Served) -> None:
    client = await served.client()
    await client.send(INIT)

    assert await client.closed() == (4429, "Too many initialisation requests")


async def test_two_at_once_are_too_many(served: Served) -> None:
    served.callers.wait = asyncio.Event()
    client = await served.raw()
    await client.send(INIT)
    await client.send(INIT)
    served.callers.wait.set()

    assert await client.any() == ACK
    assert await client.closed() == (4429, "Too many initialisation requests")


async def test_nothing_is_executed_before_it(served: Served) -> None:
    client = await served.raw()
    await client.subscribe(REPORTS)

    assert await client.closed() == (4401, "Unauthorized")
    assert served.streams.opened == []


# --- messages that are none --------------------------------------------------------------------


QUERY = {"query": "{ viewer { name } }"}


def subscribe(**members: Any) -> dict[str, Any]:
    return {"type": "subscribe", "id": "1", "payload": QUERY} | members


@pytest.mark.parametrize(
    "message",
    [
        "",
        "{",
        "[]",
        "1",
        "null",
        '"ping"',
        "NaN",
        "[" * 50_000,
        {},
        {"type": 1},
        {"type": None},
        {"type": ["ping"]},
        {"type": "start"},
        {"type": "PING"},
        {"type": "next", "id": "1", "payload": {}},
        {"type": "error", "id": "1", "payload": []},
        {"type": "connection_ack"},
        {"type": "connection_init", "payload": []},
        {"type": "connection_init", "payload": "Bearer trader"},
        {"type": "connection_init", "payload": {"authorization": 1}},
        {"type": "ping", "payload": 1},
        {"type": "pong", "payload": "x"},
        {"type": "complete"},
        {"type": "complete", "id": 1},
        {"type": "complete", "id": ""},
        subscribe(id=1),
        subscribe(id=None),
        subscribe(id=["1"]),
        subscribe(id=""),
        subscribe(id="x" * 257),
        {"type": "subscribe", "payload": QUERY},
        {"type": "subscribe", "id": "1"},
        subscribe(payload=None),
        subscribe(payload=[]),
        subscribe(payload={}),
        subscribe(payload={"query": None}),
        subscribe(payload={"query": 1}),
        subscribe(payload=QUERY | {"variables": []}),
        subscribe(payload=QUERY | {"variables": "x"}),
        subscribe(payload=QUERY | {"operationName": 1}),
        subscribe(payload=QUERY | {"extensions": []}),
        subscribe(payload={"documentId": 1}),
    ],
)
async def test_what_the_protocol_does_not_know_ends_the_socket(
    served: Served, message: Any, caplog: pytest.LogCaptureFixture
) -> None:
    client = await served.raw()
    await client.send(message)
    code, reason = await client.closed()

    assert code == 4400
    assert reason
    assert complaints(caplog) == []


async def test_bytes_end_it_too(served: Served) -> None:
    client = await served.raw()
    await client.frame(json.dumps(INIT).encode(), opcode=2)

    assert await client.closed() == (4400, "a message must be text")


async def test_nothing_after_a_mistake_is_heard(served: Served) -> None:
    client = await served.client()
    await client.send("[]")
    await client.subscribe(REPORTS)

    assert (await client.closed())[0] == 4400
    assert served.streams.opened == []


# --- frames that are none ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ({"payload": b"x" * (MESSAGE_MAX + 1)}, 1009),
        ({"payload": b"\xff\xfe"}, 1007),
        ({"payload": b"{}", "masked": False}, 1002),
        ({"payload": b"{}", "opcode": 3}, 1002),
        ({"payload": b"{}", "reserved": 0x40}, 1002),
        ({"payload": b"{}", "opcode": 0}, 1002),
        ({"payload": b"x" * 126, "opcode": 9}, 1002),
        ({"payload": b"x", "opcode": 9, "final": False}, 1002),
        ({"payload": b"x", "opcode": 8}, 1002),
    ],
)
async def test_a_frame_that_is_none_is_told_so(
    served: Served, frame: Any, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    client = await served.client()
    await client.frame(**frame)

    assert (await client.closed())[0] == code
    assert complaints(caplog) == []


async def test_a_message_in_parts_may_not_be_larger_either(served: Served) -> None:
    client = await served.client()
    part = b"x" * (MESSAGE_MAX // 2)
    await client.frame(part, final=False)
    await client.frame(part, opcode=0, final=False)
    await client.frame(b"x", opcode=0)

    assert (await client.closed())[0] == 1009


async def test_a_message_may_come_in_parts_with_pings_between(served: Served) -> None:
    client = await served.raw()
    text = json.dumps(INIT | {"name": "é"}, ensure_ascii=False).encode()
    middle = text.index("é".encode()) + 1
    await client.frame(text[:middle], final=False)
    await client.frame(b"there?", opcode=9)
    await client.frame(text[middle:], opcode=0)

    assert await client.heard() == (10, b"there?")
    assert await client.any() == ACK


async def test_a_close_is_answered(served: Served) -> None:
    client = await served.client()
    await client.frame(b"\x03\xe8", opcode=8)

    assert await client.closed() == (1000, "")
    assert await client.reader.read() == b""


# --- pings -------------------------------------------------------------------------------------


async def test_a_ping_is_answered_at_any_time(served: Served) -> None:
    client = await served.raw()
    await client.send({"type": "ping", "payload": {"at": 1}})
    assert await client.any() == {"type": "pong"}
    await client.send(INIT)
    assert await client.any() == ACK
    await client.send({"type": "pong"})
    await client.send({"type": "pong", "payload": None})
    await client.still()


async def test_the_server_pings_with_the_heads_of_the_logs() -> None:
    async with serving(Limits(ping_every_s=0.01)) as served:
        client = await served.client()
        assert await client.any() == {"type": "ping"}

        await client.subscribe(REPORTS, "r")
        await client.subscribe('subscription { quotes(symbols: ["AAPL"]) { bid } }', "q")
        while (message := await client.any()) == {"type": "ping"} or message["type"] != "ping":
            pass
        assert message == {"type": "ping", "payload": {"heads": {"r": 4}}}

        served.streams.tell()
        while await client.any() != {"type": "ping", "payload": {"heads": {"r": 5}}}:
            pass


async def test_the_first_ping_says_how_far_the_log_is(served: Served) -> None:
    client = await served.client()
    await client.subscribe(REPORTS, "new")
    assert await client.any() == {"type": "ping", "payload": {"heads": {"new": 4}}}

    resumed = 'subscription { orderReports(accountId: "ours", afterSeq: "2") { seq } }'
    await client.subscribe(resumed, "old")
    assert await client.any() == {"type": "ping", "payload": {"heads": {"old": 4}}}
    assert [(await client.any())["payload"]["data"]["orderReports"]["seq"] for _ in "34"] == [
        "3",
        "4",
    ]


# --- operations --------------------------------------------------------------------------------


async def test_a_query_is_answered_once_and_over(served: Served) -> None:
    client = await served.client()
    await client.subscribe("{ viewer { name } }", 'an "id"')

    assert await client.any() == {
        "type": "next",
        "id": 'an "id"',
        "payload": {"data": {"viewer": {"name": "Test Trader"}}},
    }
    assert await client.any() == {"type": "complete", "id": 'an "id"'}
    await client.subscribe("{ viewer { name } }", 'an "id"')
    assert (await client.any())["type"] == "next"


async def test_a_mutation_is_answered_too(served: Served) -> None:
    client = await served.client()
    await client.subscribe(
        "mutation($input: CancelOrderInput!) { cancelOrder(input: $input) { __typename } }",
        variables={"input": {"accountId": "ours", "clOrdId": "c", "target": {"orderId": "o1"}}},
    )

    answer = await client.any()
    assert answer["type"] == "next", answer
    assert answer["payload"]["data"]["cancelOrder"]["__typename"]
    assert await client.any() == {"type": "complete", "id": "1"}


async def test_two_of_one_id_end_the_socket(served: Served) -> None:
    client = await served.client()
    await client.subscribe(REPORTS, "same")
    await client.subscribe("{ viewer { name } }", "same")

    assert await client.closed() == (4409, "Subscriber for same already exists")


async def test_a_completed_id_is_free_again(served: Served) -> None:
    client = await served.client()
    await client.subscribe(REPORTS)
    await client.send({"type": "complete", "id": "1"})
    await client.subscribe(REPORTS)
    await client.still()
    served.streams.tell()

    assert (await client.next())["payload"] == {"data": {"orderReports": {"seq": "5"}}}
    await client.still()


async def test_a_completed_operation_says_nothing_more(served: Served) -> None:
    client = await served.client()
    await client.subscribe(REPORTS)
    await client.still()
    served.streams.tell()
    assert (await client.next())["type"] == "next"
    await client.send({"type": "complete", "id": "1"})
    await client.still()
    served.streams.tell()
    await client.still()

    assert served.streams.open == 0


async def test_what_is_over_or_never_was_may_be_completed(served: Served) -> None:
    client = await served.client()
    await client.send({"type": "complete", "id": "never"})
    await client.subscribe("{ viewer { name } }")
    assert [(await client.any())["type"] for _ in range(2)] == ["next", "complete"]
    await client.send({"type": "complete", "id": "1"})
    await client.still()


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ({"query": ""}, "BAD_REQUEST"),
        ({"query": "{"}, "GRAPHQL_PARSE_FAILED"),
        ({"query": "{ nothing }"}, "GRAPHQL_VALIDATION_FAILED"),
        ({"query": "{ a: __typename } { b: __typename }"}, "GRAPHQL_VALIDATION_FAILED"),
        (QUERY | {"operationName": "Other"}, "OPERATION_RESOLUTION_FAILURE"),
        (
            {"query": "query A { __typename } query B { __typename }"},
            "OPERATION_RESOLUTION_FAILURE",
        ),
        ({"query": "query($x: Int!) { __typename @skip(if: true) }"}, "GRAPHQL_VALIDATION_FAILED"),
        (
            {"query": "subscription($a: ID!) { account(accountId: $a) { id } }"},
            "BAD_USER_INPUT",
        ),
        ({"query": REPORTS.replace("ours", "foreign")}, "NOT_FOUND"),
        (
            {"query": REPORTS.replace('"ours"', '"ours", afterSeq: "9"')},
            "CURSOR_AHEAD",
        ),
        ({"documentId": "sha256:00"}, "PERSISTED_QUERY_NOT_FOUND"),
        (
            {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "00"}}},
            "PERSISTED_QUERY_NOT_FOUND",
        ),
        ({"extensions": {"persistedQuery": 1}}, "BAD_REQUEST"),
    ],
)
async def test_a_faulty_operation_ends_alone(
    served: Served, payload: Any, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    client = await served.client()
    await client.subscribe(REPORTS, "sound")
    await client.send({"type": "subscribe", "id": "faulty", "payload": payload})

    error = await client.next()
    assert (error["type"], error["id"]) == ("error", "faulty")
    assert error["payload"][0]["extensions"]["code"] == code
    served.streams.tell()
    assert (await client.next())["id"] == "sound"
    await client.still()
    assert complaints(caplog) == []


async def test_who_may_not_is_told_so(served: Served) -> None:
    served.callers.known["clerk"] = replace(
        a_principal({Permission.QUOTES_READ}), expires_at=NOON + SECOND * 60
    )
    trader, clerk = await served.client(), await served.client("clerk")
    await trader.subscribe(REPORTS)
    await trader.still()
    await clerk.subscribe(REPORTS)

    error = await clerk.next()
    assert error["type"] == "error"
    assert error["payload"][0]["extensions"]["code"] == "FORBIDDEN"
    served.streams.tell()
    assert (await trader.next())["type"] == "next"
    await clerk.still()


async def test_operations_are_counted() -> None:
    async with serving(Limits(operations=2)) as served:
        client = await served.client()
        for name in ("1", "2", "3"):
            await client.subscribe(REPORTS, name)
        error = await client.next()
        assert (error["type"], error["id"]) == ("error", "3")
        assert error["payload"][0]["extensions"]["code"] == "OVERLOADED"

        await client.send({"type": "complete", "id": "1"})
        await client.subscribe(REPORTS, "3")
        await client.still()
        served.streams.tell()
        assert {(await client.next())["id"] for _ in range(2)} == {"2", "3"}


async def test_a_stream_that_fails_ends_its_operation_with_an_error(served: Served) -> None:
    client = await served.client()
    await client.subscribe(REPORTS)
    await client.still()
    served.streams.fail(Overloaded("too many subscribers", retry_after_ms=10))

    error = await client.next()
    assert (error["type"], error["id"]) == ("error", "1")
    assert error["payload"][0]["extensions"] == {"code": "OVERLOADED", "retryAfterMs": 10}
    await client.still()


async def test_a_stream_that_ends_completes(served: Served) -> None:
    client = await served.client()
    await client.subscribe('subscription { quotes(symbols: ["AAPL"]) { bid } }')

    assert (await client.next())["payload"] == {"data": {"quotes": {"bid": "160"}}}
    assert await client.next() == {"type": "complete", "id": "1"}


async def test_a_defect_is_masked_and_logged_once_for_all(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    clients = [await served.client() for _ in range(3)]
    for client in clients:
        await client.subscribe(REPORTS)
        await client.still()
    served.streams.fail(TypeError("of ours"))

    errors = [await client.next() for client in clients]
    assert {error["type"] for error in errors} == {"error"}
    ids = {error["payload"][0]["extensions"]["errorId"] for error in errors}
    [error_id] = ids
    [complaint] = complaints(caplog)
    assert error_id in complaint
    assert "of ours" not in json.dumps(errors)


# --- many ---------------------------------------------------------------------------------------


async def test_what_many_follow_is_followed_and_executed_once(served: Served) -> None:
    clients = [await served.client() for _ in range(5)]
    for number, client in enumerate(clients):
        await client.subscribe(REPORTS, f"id-{'x' * number}")
        await client.still()
    served.streams.tell()

    for number, client in enumerate(clients):
        assert await client.next() == {
            "type": "next",
            "id": f"id-{'x' * number}",
            "payload": {"data": {"orderReports": {"seq": "5"}}},
        }
    assert served.streams.opened == [("reports", "ours", 4)]


CURSOR = """subscription($after: Sequence, $more: Boolean = false) {
  orderReports(accountId: "ours", afterSeq: $after) { seq order @include(if: $more) { id } } }"""


async def test_cursors_do_not_keep_followers_apart(served: Served) -> None:
    client = await served.client()
    for name, after in (("a", None), ("b", "2"), ("c", "4")):
        await client.subscribe(CURSOR, name, variables={"after": after})
    told = [(await client.next()) for _ in range(2)]
    assert [(each["id"], each["payload"]["data"]["orderReports"]["seq"]) for each in told] == [
        ("b", "3"),
        ("b", "4"),
    ]
    await client.still()
    assert len(served.house.hub) == 1

    await client.subscribe(CURSOR, "d", variables={"after": "4", "more": True})
    await client.still()
    assert len(served.house.hub) == 2
    served.streams.tell()
    last = {each["id"]: each for each in [await client.next() for _ in range(4)]}
    assert last["a"]["payload"] == last["b"]["payload"] == last["c"]["payload"]
    assert last["d"]["payload"]["data"]["orderReports"]["order"] == {"id": "o1"}


async def test_who_may_not_see_an_account_cannot_join_who_may(served: Served) -> None:
    served.callers.known["other"] = replace(
        a_principal(),
        user_id=UserID("u2"),
        accounts={FOREIGN: Entitlement.TRADE},
        expires_at=NOON + SECOND * 60,
    )
    mine, other = await served.client(), await served.client("other")
    await mine.subscribe(REPORTS)
    await mine.still()
    await other.subscribe(REPORTS)

    error = await other.next()
    assert error["payload"][0]["extensions"]["code"] == "NOT_FOUND"


async def test_trading_states_are_shared_by_those_of_the_same_accounts(served: Served) -> None:
    served.callers.known["more"] = replace(
        a_principal(),
        accounts=dict(a_principal().accounts) | {FOREIGN: Entitlement.READ},
        expires_at=NOON + SECOND * 60,
    )
    query = "subscription { tradingState { id } }"
    for token in ("trader", "more"):
        client = await served.client(token)
        await client.subscribe(query)
        assert (await client.next())["type"] == "next"

    assert len(set(served.streams.opened)) == 2


async def test_an_operation_has_a_context_of_its_own(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Context] = []
    new_context = served.house.operations.new_context

    def noted(principal: Principal) -> Context:
        made.append(new_context(principal))
        return made[-1]

    monkeypatch.setattr(served.house.operations, "new_context", noted)
    client = await served.client()
    for name in "12":
        await client.subscribe("{ viewer { name } }", name)
        assert [(await client.any())["type"] for _ in range(2)] == ["next", "complete"]

    assert len({id(context) for context in made}) == 2


async def test_what_a_shared_event_leads_to_is_read_as_its_followers_tenant(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    operations, walled = served.house.operations, FakeReads()
    new_context = operations.new_context

    def behind_the_wall(principal: Principal) -> Context:
        return replace(new_context(principal), reads=walled)

    monkeypatch.setattr(operations, "new_context", behind_the_wall)
    client = await served.client()
    await client.subscribe('subscription { orderReports(accountId: "ours") { order { id } } }')
    await client.still()
    walled.calls.clear()
    served.streams.tell()

    told = await client.next()
    assert told["payload"]["data"]["orderReports"]["order"] == {"id": "o1"}
    assert walled.calls


# --- rights --------------------------------------------------------------------------------------


async def test_a_token_that_ends_ends_its_socket(served: Served) -> None:
    served.callers.known["short"] = replace(a_principal(), expires_at=NOON + SECOND // 50)
    client = await served.client("short")
    await client.subscribe(REPORTS)

    assert await client.closed() == (4403, "token expired")


async def test_a_new_token_may_come_in_band(served: Served) -> None:
    served.callers.known["short"] = replace(a_principal(), expires_at=NOON + SECOND // 5)
    renewed, other = await served.client("short"), await served.client("short")
    await renewed.subscribe(REPORTS)
    await renewed.send({"type": "ping", "payload": {"authorization": "Bearer trader"}})
    assert await renewed.next() == {"type": "pong"}

    assert await other.closed() == (4403, "token expired"), "and so would the first have been"
    await renewed.still()


@pytest.mark.parametrize(
    ("authorization", "reason"),
    [
        ("Bearer nobody", "the token is refused"),
        ("Bearer other", "your rights have changed: connect again"),
        ("Bearer less", "your rights have changed: connect again"),
    ],
)
async def test_a_new_token_must_be_of_the_same_caller(
    served: Served, authorization: str, reason: str
) -> None:
    lasting = replace(a_principal(), expires_at=NOON + SECOND * 60)
    served.callers.known["other"] = replace(lasting, user_id=UserID("u2"))
    served.callers.known["less"] = replace(lasting, permissions=frozenset())
    client = await served.client()
    await client.send({"type": "ping", "payload": {"authorization": authorization}})

    assert await client.closed() == (4403, reason)


async def test_a_token_in_band_does_not_open_a_socket(served: Served) -> None:
    client = await served.raw()
    await client.send({"type": "ping", "payload": {"authorization": "Bearer trader"}})

    assert await client.closed() == (4401, "Unauthorized")


async def test_who_has_lost_a_right_is_told_nothing_more() -> None:
    async with serving(Limits(ping_every_s=0.01)) as served:
        lasting = replace(a_principal(), expires_at=NOON + SECOND * 60)
        served.callers.known |= {"leaver": lasting, "stayer": replace(lasting)}
        leaver, stayer = await served.client("leaver"), await served.client("stayer")
        for client in (leaver, stayer):
            await client.subscribe(REPORTS)
            await client.still()
        served.callers.known["leaver"] = replace(lasting, accounts={})

        assert await leaver.closed() == (4403, "your rights have changed: connect again")
        served.streams.tell()
        assert (await stayer.next())["type"] == "next"


async def test_a_store_that_is_down_takes_nobodys_rights() -> None:
    async with serving(Limits(ping_every_s=0.01)) as served:
        client = await served.client()
        served.callers.failure = StoreUnavailable("gone")
        for _ in range(3):
            assert await client.any() == {"type": "ping"}
        await client.still()


# --- the end -------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["shutdown", "keepalive_timeout", "abort"])
async def test_a_socket_that_ends_as_it_is_told_something_ends_without_a_word(
    served: Served, end: str, caplog: pytest.LogCaptureFixture
) -> None:
    client = await served.client()
    await client.subscribe(REPORTS)
    await client.still()
    served.streams.tell()
    [connection] = served.connections
    getattr(connection, end)()
    served.streams.tell()

    with pytest.raises((Closed, asyncio.IncompleteReadError, ConnectionError)):
        await client.forever()
    await served.over()
    assert complaints(caplog) == []
    assert served.streams.open == 0


async def test_a_client_that_vanishes_leaves_nothing_behind(served: Served) -> None:
    client = await served.client()
    await client.subscribe(REPORTS)
    await client.still()
    client.writer.transport.abort()

    await served.over()
    assert served.streams.open == 0
    assert len(served.house.hub) == 0


async def test_a_client_that_vanishes_as_it_comes_is_no_news(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    for turns in range(20):
        client = await served.raw(wait=False)
        for _ in range(turns):
            await asyncio.sleep(0)
        client.writer.transport.abort()
    await (await served.client()).still()

    assert complaints(caplog) == []


async def test_a_defect_ends_one_socket_and_is_logged(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    sound = await served.client()
    served.callers.failure = TypeError("of ours")
    client = await served.raw()
    await client.send(INIT)

    code, reason = await client.closed()
    assert (code, reason.partition("quote ")[0]) == (4500, "something went wrong here; ")
    assert complaints(caplog) == [f"errorId={reason.partition('quote ')[2]} ends a socket"]
    await sound.still()
