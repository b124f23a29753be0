"""A caller of an ASGI application, which sends each part of a body as it is told."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from resolvers.root import Schema
from security.credentials import Credentials
from security.rates import LocalAccount, Rates
from serving.document import Registered, Registry
from serving.http import HttpEndpoint
from serving.operation import Operations
from serving.refusals import Refusals
from tests.resolvers.fakes import FakeClock, FakeIds, World, a_principal
from trading.outcome import Unauthenticated
from trading.permission import Principal


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of the one error."""
        [error] = self.json["errors"]
        code: str = error["extensions"]["code"]
        return code


async def authenticate(credentials: Credentials) -> Principal:
    """Let everybody in who says who they are."""
    if credentials.authorization != "Bearer good":
        raise Unauthenticated("no token")
    return a_principal()


def endpoint(operations: Operations, **settings: Any) -> HttpEndpoint:
    return HttpEndpoint(
        operations=operations,
        ids=FakeIds(),
        page_token=lambda _: None,
        **({"authenticate": authenticate} | settings),
    )


class FakeSource:
    """Where documents are registered, in lists."""

    def __init__(self, *documents: Registered, bound: Collection[str] = ()) -> None:
        self.all = list(documents)
        self.bound = frozenset(bound)

    async def documents(self) -> Sequence[Registered]:
        return self.all

    async def states(self) -> Sequence[object]:
        return [(each.client_id, each.sha256, each.retired_at) for each in self.all]

    async def bound_clients(self) -> Collection[str]:
        return self.bound


def operations(
    world: World, schema: Schema, registry: Registry | None = None, **settings: Any
) -> Operations:
    registry = registry or Registry(FakeSource(), schema, FakeClock())
    refusals = Refusals(world.acts, FakeClock())
    given: dict[str, Any] = {"rates": unlimited(), "refusals": refusals} | settings
    return Operations(schema, registry=registry, new_context=world.context, ids=FakeIds(), **given)


def unlimited() -> Rates:
    return Rates({}, LocalAccount(FakeClock()), FakeClock())


async def call(
    application: HttpEndpoint,
    method: str = "POST",
    *,
    parts: Iterable[bytes] = (b"",),
    query: str = "",
    peer: str = "127.0.0.1",
    **headers: str,
) -> Answer:
    """Send a request whose body comes in these parts."""
    given = {"authorization": "Bearer good", "content-type": "application/json"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    scope = {
        "type": "http",
        "method": method,
        "path": "/graphql",
        "query_string": query.encode(),
        "client": (peer, 1),
        # The server has them in lower case, one after another.
        "headers": [(n.lower().encode(), value.encode("latin-1")) for n, value in given.items()],
    }
    bodies = list(parts)
    waiting = [
        {"type": "http.request", "body": body, "more_body": number < len(bodies)}
        for number, body in enumerate(bodies, 1)
    ]
    sent: list[Any] = []

    async def receive() -> Any:
        return waiting.pop(0) if waiting else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await application(scope, receive, send)
    start, *rest = sent
    told = {name.decode(): value.decode() for name, value in start["headers"]}
    return Answer(start["status"], told, b"".join(part["body"] for part in rest))


async def post(application: HttpEndpoint, body: object, **headers: str) -> Answer:
    """Post a JSON body."""
    return await call(application, parts=[json.dumps(body).encode()], **headers)


async def get(application: HttpEndpoint, accept: str, **query: str) -> Answer:
    """Ask by GET."""
    return await call(application, "GET", query=urlencode(query), accept=accept)
