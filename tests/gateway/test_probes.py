"""Twelve well-known probes find nothing on a live configuration, and elsewhere all of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import parse_qsl

import httpx2
import pytest
from graphql import (
    ExecutionResult,
    GraphQLSchema,
    OverlappingFieldsCanBeMergedRule,
    build_schema,
    execute,
    parse,
    specified_rules,
    validate,
)
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from gateway.app import application
from gateway.assembly import Gateway
from gateway.config import Settings
from gateway.identity import demands
from resolvers.root import Schema
from security.issuer import IssuerTokens
from security.jwks import RemoteKeys
from security.revocation import RevocationWatch
from security.verifier import audience
from serving.document import Registry
from serving.refusals import Refusals
from tests.gateway.probes import PROBES, Probe
from tests.resolvers.fakes import FakeActs, World
from tests.security.fakes import FakeClock, FakeIds, FakeUser, FakeUsers, authentication
from tests.security.provider import ISSUER, FakeProvider
from tests.serving.asgi import FakeSource, unlimited
from trading.ids import UserID
from trading.permission import Permission
from trading.ports import Environment
from trading.probe import NO_PROBE

LIVE = Settings(environment=Environment.LIVE, issuer=ISSUER)


def live(clock: FakeClock, provider: FakeProvider) -> Gateway:
    """Put a live gateway together over a small world in memory."""
    users = [FakeUser(id=UserID(role), role=role) for role in ("trader", "auditor")]
    tokens = IssuerTokens(
        issuer=ISSUER,
        audience=audience(LIVE.environment),
        keys=RemoteKeys(provider.discovery, provider, clock),
        introspection=None,
        clock=clock,
    )
    schema = Schema(LIVE.bounds)
    nobody = RevocationWatch(cast("Any", None), clock)
    return Gateway(
        revocations=nobody,
        authentication=authentication(tokens, FakeUsers(*users), clock, demands(LIVE)),
        rates=unlimited(),
        refusals=Refusals(FakeActs(), clock),
        issuer=None,
        session=cast("Any", SimpleNamespace(is_open=True)),
        clock=cast("Any", clock),
        ids=cast("Any", FakeIds()),
        schema=schema,
        registry=Registry(FakeSource(), schema, clock),
        new_context=World().context,
        probe=NO_PROBE,
        catalogue=cast("Any", None),
        failed=asyncio.Event(),
    )


@pytest.fixture(params=["anonymous", "trader", "auditor"])
def client(request: pytest.FixtureRequest) -> Iterator[httpx2.Client]:
    clock = FakeClock()
    provider = FakeProvider(clock)
    headers = {}
    if request.param != "anonymous":
        claims = {"sub": request.param, "aud": audience(LIVE.environment)}
        token = provider.token(scope=" ".join(Permission), **claims)
        headers = {"authorization": f"Bearer {token}"}
    app = application(live(clock, provider), LIVE)
    with TestClient(app, raise_server_exceptions=False, headers=headers) as client:
        if request.param != "anonymous":
            answer = client.post("/graphql", json={"query": "{ viewer { userId } }"})
            assert answer.json()["data"]["viewer"]["userId"] == request.param
        yield client


@pytest.mark.parametrize("probe", PROBES.values(), ids=PROBES)
def test_a_probe_finds_nothing_on_a_live_gateway(client: httpx2.Client, probe: Probe) -> None:
    assert not probe(client)


RULES = [each for each in specified_rules if each is not OverlappingFieldsCanBeMergedRule]
CARELESS = build_schema("type Query { viewer: Query userId: ID } type Mutation { act: ID }")


async def careless(request: Request) -> Response:
    """Answer whatever is asked, however it comes, and say all about it."""
    if "html" in request.headers.get("accept", ""):
        return HTMLResponse("<title>GraphiQL</title>")
    body = await request.body()
    kind = request.headers.get("content-type", "")
    if request.method == "GET":
        asked: Any = dict(request.query_params)
    elif "form" in kind:
        asked = dict(parse_qsl(body.decode()))
    else:
        asked = json.loads(body)
    many = [
        run(CARELESS, each["query"]) for each in (asked if isinstance(asked, list) else [asked])
    ]
    return JSONResponse(many if isinstance(asked, list) else many[0])


def run(schema: GraphQLSchema, query: str) -> Any:
    try:
        document = parse(query)
        errors = validate(schema, document, RULES)
        result = cast("ExecutionResult", execute(schema, document))
    except Exception as error:  # noqa: BLE001 - it is careless
        return {"errors": [{"message": str(error), "extensions": {"exception": repr(error)}}]}
    told: dict[str, Any] = {"data": result.data, "extensions": {"tracing": {}}}
    return {"errors": [error.formatted for error in errors]} | ({} if errors else told)


@pytest.mark.parametrize("probe", PROBES.values(), ids=PROBES)
def test_a_probe_finds_what_it_looks_for(probe: Probe) -> None:
    app = Starlette(routes=[Route("/graphql", careless, methods=["GET", "POST"])])
    with TestClient(app, raise_server_exceptions=False) as client:
        assert probe(client)
