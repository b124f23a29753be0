"""GraphQL over HTTP: statuses, media types, methods, and bodies that are none."""

import asyncio
import json
import logging
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resolvers.root import Schema
from security.credentials import Credentials, Refused
from serving import http as serving_http
from serving.http import HttpEndpoint
from tests.resolvers.fakes import World, a_principal
from tests.serving.asgi import Answer, call, endpoint, get, operations, post
from trading.outcome import AuthenticationUnavailable
from trading.permission import Principal
from trading.store import StoreUnavailable

JSON = "application/json"
GRAPHQL = "application/graphql-response+json"
VIEWER = {"query": "{ viewer { userId } }"}
PLACE = (
    'mutation { placeOrder(input: {accountId: "ours", clOrdId: "c", symbol: "AAPL", side: BUY,'
    ' ordType: MARKET, orderQty: "1"}) { __typename } }'
)


# --- media types and statuses ---


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        (JSON, JSON),
        (GRAPHQL, GRAPHQL),
        (f"{GRAPHQL}, {JSON};q=0.9", GRAPHQL),
        (f"{JSON}, {GRAPHQL};q=0.9", JSON),
        (f"{GRAPHQL}, */*;q=0.1", GRAPHQL),
        (f"text/html;q=0.9, {GRAPHQL}", GRAPHQL),
        (f"{JSON};q=0, {GRAPHQL};q=0.1", GRAPHQL),
    ],
)
async def test_the_media_type_is_the_one_that_is_preferred(
    http: HttpEndpoint, accept: str, media_type: str
) -> None:
    answer = await post(http, VIEWER, accept=accept)

    assert answer.status == 200
    assert answer.headers["content-type"] == f"{media_type}; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("accept", ["text/plain", f"{JSON};q=0", "image/*", f"{JSON};q=nothing"])
async def test_who_takes_no_json_is_told(http: HttpEndpoint, accept: str) -> None:
    assert (await post(http, VIEWER, accept=accept)).status == 406


@pytest.mark.parametrize(
    ("body", "json_status", "graphql_status", "code"),
    [
        ({"query": "{"}, 200, 400, "GRAPHQL_PARSE_FAILED"),
        ({"query": "{ nothing }"}, 200, 400, "GRAPHQL_VALIDATION_FAILED"),
        ({"query": "query($x: ID!) { order(id: $x) { id } }"}, 200, 400, "BAD_USER_INPUT"),
        ({"query": "query a { viewer { name } }", "operationName": "b"}, 400, 400, "BAD_REQUEST"),
        ({"query": "subscription { tradingState { state } }"}, 400, 400, "BAD_REQUEST"),
        ({"documentId": "sha256:" + "0" * 64}, 200, 400, "PERSISTED_QUERY_NOT_FOUND"),
    ],
)
async def test_the_status_of_what_is_not_run(
    http: HttpEndpoint, body: object, json_status: int, graphql_status: int, code: str
) -> None:
    for accept, status in ((JSON, json_status), (GRAPHQL, graphql_status)):
        answer = await post(http, body, accept=accept)
        assert (answer.status, answer.code) == (status, code)
        assert "data" not in answer.json


async def test_what_the_caller_may_not_do_is_forbidden(schema: Schema, world: World) -> None:
    async def let_in(_: Credentials) -> Principal:
        return a_principal([])

    http = endpoint(operations(world, schema), authenticate=let_in)

    answer = await post(http, {"query": "{ gateway { version } }"}, accept=GRAPHQL)
    assert (answer.status, answer.code) == (403, "FORBIDDEN")


async def test_a_field_that_fails_is_answered_with_what_there_is(http: HttpEndpoint) -> None:
    query = '{ viewer { userId } orders(accountId: "nobody") { asOfSeq } }'
    answer = await post(http, {"query": query}, accept=GRAPHQL)

    assert answer.status == 200
    assert answer.json["data"] is None
    assert answer.code == "NOT_FOUND"


async def test_without_a_token_nothing_is_read(http: HttpEndpoint) -> None:
    answer = await call(http, parts=[], authorization="Bearer bad")

    assert (answer.status, answer.code) == (401, "UNAUTHENTICATED")
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_the_challenge_says_what_would_do(schema: Schema, world: World) -> None:
    async def refuse(credentials: Credentials) -> Principal:
        assert credentials == Credentials(
            authorization="DPoP token",
            proof="one, two",
            method="POST",
            certificate=":QUJD:",
            peer="192.0.2.7",
            address="192.0.2.7",
        )
        raise Refused("no", 'DPoP error="invalid_dpop_proof", algs="ES256"')

    http = endpoint(operations(world, schema), authenticate=refuse)
    headers = {"authorization": "DPoP token", "dpop": "one", "DPOP": "two", "client-cert": ":QUJD:"}
    answer = await post(http, VIEWER, peer="192.0.2.7", **headers)

    assert answer.status == 401
    assert answer.headers["www-authenticate"] == 'DPoP error="invalid_dpop_proof", algs="ES256"'


async def test_an_issuer_that_is_down_says_when_to_ask_again(schema: Schema, world: World) -> None:
    async def fail(_: Credentials) -> Principal:
        raise AuthenticationUnavailable("tokens cannot be verified at present: ask again")

    answer = await post(endpoint(operations(world, schema), authenticate=fail), VIEWER)
    assert (answer.status, answer.code) == (503, "AUTHENTICATION_UNAVAILABLE")
    assert answer.headers["retry-after"] == "1"


async def test_a_store_that_is_down_says_when_to_ask_again(schema: Schema, world: World) -> None:
    async def fail(_: Credentials) -> Principal:
        raise StoreUnavailable("down")

    answer = await post(endpoint(operations(world, schema), authenticate=fail), VIEWER)
    assert (answer.status, answer.code) == (503, "STORE_UNAVAILABLE")
    assert answer.headers["retry-after"] == "1"


async def test_a_failure_of_ours_is_masked_and_logged(
    schema: Schema, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(_: Credentials) -> Principal:
        raise RuntimeError("secret")

    answer = await post(endpoint(operations(world, schema), authenticate=fail), VIEWER)

    assert (answer.status, answer.code) == (500, "INTERNAL")
    assert b"secret" not in answer.body
    [record] = caplog.records
    assert record.getMessage().split()[0].removeprefix("errorId=") in answer.body.decode()


# --- methods ---


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"])
async def test_other_methods_are_not_served(http: HttpEndpoint, method: str) -> None:
    answer = await call(http, method)

    assert answer.status == 405
    assert answer.headers["allow"] == "GET, POST"


async def test_a_query_by_get(http: HttpEndpoint) -> None:
    query = "query A($id: ID!) { order(id: $id) { id } } query B { viewer { userId } }"
    answer = await get(http, GRAPHQL, query=query, operationName="A", variables='{"id": "o1"}')

    assert (answer.status, answer.json) == (200, {"data": {"order": {"id": "o1"}}})


async def test_a_mutation_by_get_is_refused_and_not_run(http: HttpEndpoint, world: World) -> None:
    for accept in (JSON, GRAPHQL):
        answer = await get(http, accept, query=PLACE)
        assert (answer.status, answer.headers["allow"]) == (405, "POST")
    assert world.desk.commands == []


async def test_where_it_is_so_set_get_serves_registered_documents_alone(
    schema: Schema, world: World
) -> None:
    http = endpoint(operations(world, schema), only_persisted_by_get=True)

    answer = await get(http, JSON, query="{ viewer { userId } }")
    assert (answer.status, answer.code) == (405, "METHOD_NOT_ALLOWED")
    asked = await get(http, JSON, documentId="sha256:" + "0" * 64)
    assert asked.code == "PERSISTED_QUERY_NOT_FOUND"
    assert (await post(http, VIEWER)).status == 200


@pytest.mark.parametrize(
    "query",
    [
        "query=%FF",
        "query={viewer{name}}&variables={",
        "query={viewer{name}}&variables=[1]",
        "query={viewer{name}}&extensions=1",
        "&".join(f"a{number}=1" for number in range(20)),
        "",
        "query=",
    ],
)
async def test_a_query_string_that_is_none(http: HttpEndpoint, query: str) -> None:
    answer = await call(http, "GET", query=query)

    assert (answer.status, answer.code) == (400, "BAD_REQUEST")


# --- bodies ---


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/graphql",
        "application/jsonp",
    ],
)
async def test_only_json_is_read(http: HttpEndpoint, world: World, content_type: str) -> None:
    """A page of another site can send the others without asking."""
    answer = await post(http, {"query": PLACE}, content_type=content_type)

    assert (answer.status, answer.code) == (400, "BAD_REQUEST")
    assert world.desk.commands == []


@pytest.mark.parametrize(
    "headers",
    [
        {"content_encoding": "gzip"},
        {"content_encoding": "br, identity"},
        {"content_type": "application/json; charset=utf-16"},
    ],
)
async def test_encodings_are_not_supported(http: HttpEndpoint, headers: dict[str, str]) -> None:
    answer = await post(http, VIEWER, **headers)

    assert (answer.status, answer.code) == (415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize("content_type", [JSON, "APPLICATION/JSON", f'{JSON}; charset="UTF-8"'])
async def test_json_is_recognised(http: HttpEndpoint, content_type: str) -> None:
    assert (await post(http, VIEWER, content_type=content_type)).status == 200


async def test_a_body_may_be_as_long_as_is_allowed_and_no_longer(http: HttpEndpoint) -> None:
    body = json.dumps(VIEWER).encode()
    fits = body + b" " * (serving_http.BODY_MAX - len(body))

    for parts in ([fits], [fits[:10], fits[10:]], [bytes([each]) for each in body]):
        assert (await call(http, parts=parts)).status == 200
    for parts in ([fits + b" "], [fits, b" "], [b" "] * 3 + [fits]):
        answer = await call(http, parts=parts)
        assert (answer.status, answer.code) == (413, "BODY_TOO_LARGE")
        assert answer.headers["connection"] == "close"


async def test_a_body_that_says_it_is_too_long_is_not_read(http: HttpEndpoint) -> None:
    answer = await call(http, parts=[], content_length=str(serving_http.BODY_MAX + 1))

    assert answer.status == 413


async def test_a_client_that_goes_while_it_sends_is_no_defect(
    http: HttpEndpoint, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await call(http, parts=[])

    assert answer.status == 400
    assert caplog.records == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"5",
        b'"x"',
        b"true",
        b"[]",
        b'[{"query": "{ viewer { name } }"}]',
        b"{}",
        b'{"query": null}',
        b'{"query": ""}',
        b'{"query": ["{ viewer { name } }"]}',
        b'{"query": "{ viewer { name } }", "variables": NaN}',
        b'{"query": "{ viewer { name } }", "variables": Infinity}',
        b'{"query": "{ viewer { name } }", "variables": []}',
        b'{"query": "{ viewer { name } }", "variables": "{}"}',
        b'{"query": "{ viewer { name } }", "operationName": 1}',
        b'{"query": "{ viewer { name } }", "extensions": []}',
        b'{"query": "\xff"}',
        b'{"query": "\\ud800"}',
        b'\xef\xbb\xbf{"query": "{ viewer { name } }"}',
        b"[" * 200_000,
        b'{"a":' * 30_000,
        b'{"documentId": 1}',
        b'{"extensions": {"persistedQuery": 1}}',
        b'{"extensions": {"persistedQuery": {"version": 2, "sha256Hash": "a"}}}',
        b'{"extensions": {"persistedQuery": {"version": 1}}}',
    ],
)
async def test_a_body_that_is_no_request(http: HttpEndpoint, body: bytes) -> None:
    answer = await call(http, parts=[body])

    assert (answer.status, answer.code) == (400, "BAD_REQUEST")


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.text(max_size=8), inside),
    max_leaves=12,
)
MEMBERS = ("query", "variables", "operationName", "extensions", "documentId")
BODIES = st.dictionaries(st.sampled_from(MEMBERS), JSON_VALUES).map(
    lambda body: json.dumps(body).encode()
)


@settings(max_examples=300, deadline=None)
@given(body=st.binary(max_size=200) | JSON_VALUES.map(lambda v: json.dumps(v).encode()) | BODIES)
def test_no_body_is_a_defect(body: bytes) -> None:
    answer: Answer = asyncio.run(call(endpoint(operations(World(), SCHEMA)), parts=[body]))

    assert answer.status in {200, 400}
    assert answer.json["errors"]
    assert "INTERNAL" not in {each["extensions"]["code"] for each in answer.json["errors"]}


SCHEMA: Any = Schema()


# --- deadlines ---


async def test_a_query_that_takes_too_long_is_ended(
    schema: Schema, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = asyncio.Event()

    async def never(_: object) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    monkeypatch.setattr(world.reads, "accounts", never)
    http = endpoint(operations(world, schema, deadline_s=0.0))

    answer = await post(http, {"query": "{ accounts { id } }"})
    assert answer.code == "DEADLINE_EXCEEDED"
    assert ended.is_set()


async def test_a_mutation_that_takes_too_long_goes_on(
    schema: Schema, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To end it in the middle would leave a state that nobody knows."""
    go, ended = asyncio.Event(), asyncio.Event()

    async def late(*_: object) -> None:
        await go.wait()
        ended.set()

    monkeypatch.setattr(world.desk, "place", late)
    http = endpoint(operations(world, schema, deadline_s=0.0))

    answer = await post(http, {"query": PLACE})
    assert answer.code == "OUTCOME_UNKNOWN"
    assert "same id" in answer.json["errors"][0]["message"]
    go.set()
    await at_once(ended)


async def test_a_client_that_hangs_up_does_not_end_its_mutation(
    schema: Schema, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, begun, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def late(*_: object) -> None:
        begun.set()
        await go.wait()
        ended.set()

    monkeypatch.setattr(world.desk, "place", late)
    asking = asyncio.create_task(post(endpoint(operations(world, schema)), {"query": PLACE}))
    await at_once(begun)
    asking.cancel()
    go.set()
    await at_once(ended)


async def at_once(event: asyncio.Event) -> None:
    """Wait for what needs no time, and not for ever for what never comes."""
    async with asyncio.timeout(30):
        await event.wait()


@pytest.fixture(autouse=True)
def levels(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
