"""The ASGI application: the GraphQL endpoint, its page, and what a supervisor asks."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.assembly import Gateway
from gateway.config import Role as ProcessRole
from gateway.config import Settings
from gateway.token import development_token
from security.roles import Role
from serving import graphiql
from serving.http import HttpEndpoint
from serving.hub import Hub
from serving.operation import Operations
from serving.socket import House
from serving.websocket import SocketEndpoint
from trading.ports import Environment

_PATH = "/graphql"


def application(gateway: Gateway, settings: Settings) -> ASGIApp:
    """Build the application of a running gateway.

    Requests of the endpoint go straight to it: it needs nothing of what Starlette's router and
    middleware do for each.
    """
    authenticate, is_live = gateway.authentication.of, settings.environment is Environment.LIVE
    operations = Operations(
        gateway.schema,
        registry=gateway.registry,
        new_context=gateway.new_context,
        ids=gateway.ids,
        rates=gateway.rates,
        refusals=gateway.refusals,
        deadline_s=settings.operation_deadline_s,
        probe=gateway.probe,
    )
    http = HttpEndpoint(
        operations=operations,
        authenticate=authenticate,
        ids=gateway.ids,
        page_token=None if is_live else lambda request: _page_token(gateway, settings, request),
        only_persisted_by_get=is_live,
        proxies=settings.trusted_proxies,
    )
    house = House(
        operations=operations,
        authenticate=authenticate,
        ids=gateway.ids,
        clock=gateway.clock,
        hub=Hub(gateway.ids),
        proxies=settings.trusted_proxies,
    )
    gateway.revocations.tell(house.look_again)
    asked = [
        Route("/healthz", _healthz),
        Route("/readyz", lambda request: _readyz(gateway, request)),
    ]
    if settings.role is ProcessRole.SESSION:
        return Starlette(routes=asked)
    served = [WebSocketRoute(_PATH, SocketEndpoint(house))]
    others = Starlette(routes=[*served, *asked, *([] if is_live else [graphiql.assets()])])

    async def dispatch(scope: Scope, receive: Receive, send: Send) -> None:
        is_endpoint = scope["type"] == "http" and scope["path"] == _PATH
        await (http if is_endpoint else others)(scope, receive, send)

    return dispatch


def _page_token(gateway: Gateway, settings: Settings, request: Request) -> str | None:
    """Fill a trader's token into the page, if it was asked for by a name of this machine.

    A page of another site that has its name point here would read the token out of ours.
    """
    ours = {settings.host, "localhost", "127.0.0.1", "::1"}
    if gateway.issuer is None or (request.url.hostname or "") not in ours:
        return None
    return development_token(gateway.issuer, Role.TRADER)


def _healthz(request: Request) -> Response:  # noqa: ARG001
    """Say that the process answers."""
    return JSONResponse({"status": "ok"})


def _readyz(gateway: Gateway, request: Request) -> Response:  # noqa: ARG001
    """Say whether orders are taken."""
    ready = gateway.is_ready
    return JSONResponse({"status": "ready" if ready else "not ready"}, 200 if ready else 503)
