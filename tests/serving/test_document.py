"""Registered documents: asked for by hash, by those clients for whom they are registered."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from resolvers.document import sha256
from resolvers.root import Schema
from security.credentials import Credentials
from serving.document import REFRESH_S, Registry
from serving.http import HttpEndpoint
from tests.resolvers.fakes import NOON, FakeClock, World, a_principal
from tests.serving.asgi import Answer, FakeSource, endpoint, get, operations, post
from trading.permission import Principal
from trading.store import StoreUnavailable

JSON = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    client_id: str = "web"
    name: str = "Viewer"
    text: str = "query Viewer { viewer { userId } }"
    rows: int = 100
    expires_at: int | None = None
    retired_at: int | None = None

    @property
    def sha256(self) -> str:
        return sha256(self.text)


VIEWER = Document()
VIEWER_ID = f"sha256:{VIEWER.sha256}"


def served(
    schema: Schema,
    source: FakeSource,
    client_id: str = "web",
    clock: FakeClock | None = None,
) -> tuple[HttpEndpoint, Registry]:
    registry = Registry(source, schema, clock or FakeClock())

    async def authenticate(_: Credentials) -> Principal:
        return replace(a_principal(), client_id=client_id)

    return endpoint(operations(World(), schema, registry), authenticate=authenticate), registry


async def ready(
    schema: Schema, source: FakeSource, client_id: str = "web", clock: FakeClock | None = None
) -> HttpEndpoint:
    http, registry = served(schema, source, client_id, clock)
    await registry.refresh()
    return http


def apollo(digest: str, version: int = 1) -> dict[str, Any]:
    return {"extensions": {"persistedQuery": {"version": version, "sha256Hash": digest}}}


async def by_post(http: HttpEndpoint) -> Answer:
    return await post(http, {"documentId": VIEWER_ID})


async def by_get(http: HttpEndpoint) -> Answer:
    return await get(http, JSON, documentId=VIEWER_ID)


async def by_apollo(http: HttpEndpoint) -> Answer:
    return await post(http, apollo(VIEWER.sha256))


async def by_apollo_get(http: HttpEndpoint) -> Answer:
    extensions = f'{{"persistedQuery": {{"version": 1, "sha256Hash": "{VIEWER.sha256}"}}}}'
    return await get(http, JSON, extensions=extensions)


async def with_its_text(http: HttpEndpoint) -> Answer:
    return await post(http, {"query": VIEWER.text} | apollo(VIEWER.sha256))


@pytest.mark.parametrize("ask", [by_post, by_get, by_apollo, by_apollo_get, with_its_text])
async def test_every_way_to_a_registered_document(
    schema: Schema, ask: Callable[[HttpEndpoint], Awaitable[Answer]]
) -> None:
    answer = await ask(await ready(schema, FakeSource(VIEWER)))

    assert (answer.status, set(answer.json)) == (200, {"data"})
    assert answer.json["data"]["viewer"]["userId"]


@pytest.mark.parametrize(
    "source",
    [
        FakeSource(),
        FakeSource(replace(VIEWER, client_id="another")),
        FakeSource(replace(VIEWER, text=VIEWER.text + " ")),
        FakeSource(replace(VIEWER, retired_at=NOON - 1)),
        FakeSource(replace(VIEWER, expires_at=NOON)),
    ],
    ids=["none", "another client's", "another text", "retired", "expired"],
)
async def test_what_is_not_registered_is_not_found(schema: Schema, source: FakeSource) -> None:
    http = await ready(schema, source)

    for ask in (by_post, by_get, by_apollo):
        answer = await ask(http)
        assert answer.code == "PERSISTED_QUERY_NOT_FOUND"


async def test_a_request_registers_nothing(schema: Schema) -> None:
    http = await ready(schema, FakeSource())

    assert (await with_its_text(http)).status == 200
    assert (await by_post(http)).code == "PERSISTED_QUERY_NOT_FOUND"


async def test_a_text_of_another_hash_is_refused(schema: Schema) -> None:
    for source in (FakeSource(VIEWER), FakeSource()):
        http = await ready(schema, source)
        answer = await post(http, {"query": "{ __typename }"} | apollo(VIEWER.sha256))
        assert (answer.status, answer.code) == (400, "BAD_REQUEST")
        assert "hash" in answer.json["errors"][0]["message"]


async def test_a_bound_client_sends_registered_documents_alone(schema: Schema) -> None:
    http = await ready(schema, FakeSource(VIEWER, bound=["web"]))

    assert (await by_post(http)).status == 200
    for body in ({"query": VIEWER.text}, {"query": "{ __typename }"}):
        answer = await post(http, body)
        assert answer.code == "PERSISTED_QUERY_REQUIRED"
    text = "{ __typename }"
    asked = await post(http, {"query": text} | apollo(sha256(text)))
    assert asked.code == "PERSISTED_QUERY_REQUIRED"


async def test_another_client_is_as_free_as_before(schema: Schema) -> None:
    http = await ready(schema, FakeSource(VIEWER, bound=["web"]), "another")

    assert (await post(http, {"query": VIEWER.text})).status == 200


async def test_a_document_may_be_granted_longer_pages(schema: Schema) -> None:
    text = 'query L($n: Int) { orders(accountId: "ours", first: $n) { nodes { id } } }'
    granted = Document(name="L", text=text, rows=500)
    http = await ready(schema, FakeSource(granted))

    by_hash = {"documentId": f"sha256:{granted.sha256}"}
    assert "errors" not in (await post(http, by_hash | {"variables": {"n": 500}})).json
    for body, most in ((by_hash, 500), ({"query": text}, 100)):
        answer = await post(http, body | {"variables": {"n": most + 1}})
        assert answer.code == "BAD_USER_INPUT"
        assert (
            answer.json["errors"][0]["message"]
            == f"first: ask for 1 to {most} items, not {most + 1}"
        )


async def test_a_permission_is_asked_for_of_a_registered_document_too(schema: Schema) -> None:
    registry = Registry(
        FakeSource(VIEWER, replace(VIEWER, name="G", text=GATEWAY)), schema, FakeClock()
    )
    await registry.refresh()

    async def authenticate(_: Credentials) -> Principal:
        return replace(a_principal([]), client_id="web")

    http = endpoint(operations(World(), schema, registry), authenticate=authenticate)
    answer = await post(http, {"documentId": f"sha256:{sha256(GATEWAY)}"})
    assert answer.code == "FORBIDDEN"


GATEWAY = "query G { gateway { version } }"


async def test_a_document_that_the_schema_has_outgrown_says_so(schema: Schema) -> None:
    text = "query Old { gone }"
    http = await ready(schema, FakeSource(Document(name="Old", text=text)))

    answer = await post(http, {"documentId": f"sha256:{sha256(text)}"})
    assert answer.code == "GRAPHQL_VALIDATION_FAILED"


async def test_it_is_prepared_once(schema: Schema) -> None:
    _, registry = served(schema, FakeSource(VIEWER))
    await registry.refresh()
    first = registry.find("web", VIEWER_ID)
    await registry.refresh()

    assert first is not None
    assert registry.find("web", VIEWER_ID) is first


async def test_changes_are_felt_within_two_seconds_and_an_outage_changes_nothing(
    schema: Schema, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, clock = FakeSource(VIEWER), Steps()
    registry = Registry(source, schema, clock)
    running = asyncio.create_task(registry.run())

    async def fail() -> Any:
        raise StoreUnavailable("down")

    try:
        await clock.step()
        assert registry.find("web", VIEWER_ID) is not None
        with monkeypatch.context() as down:
            down.setattr(source, "states", fail)
            source.all, source.bound = [], frozenset({"web"})
            await clock.step()
            assert registry.find("web", VIEWER_ID) is not None
            assert not registry.is_bound("web")
        await clock.step()
        assert registry.find("web", VIEWER_ID) is None
        assert registry.is_bound("web")
    finally:
        running.cancel()
    assert clock.asked == {REFRESH_S}


class Steps(FakeClock):
    """A clock on which sleepers wake one at a time, when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: set[float] = set()
        self._go, self._asleep = asyncio.Semaphore(0), asyncio.Semaphore(0)

    async def sleep(self, seconds: float) -> None:
        self.asked.add(seconds)
        self._asleep.release()
        await self._go.acquire()

    async def step(self) -> None:
        """Wake the sleeper, and wait until it sleeps again."""
        async with asyncio.timeout(30):
            await self._asleep.acquire()
            self._go.release()
            await self._asleep.acquire()
            self._asleep.release()
