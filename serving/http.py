"""GraphQL over HTTP, to the letter of its specification.

Queries by POST and GET, mutations by POST alone, subscriptions over the WebSocket. Credentials come
in a header and bodies are `application/json`: neither can another site's page send unasked.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import parse_qsl

import orjson
from graphql import OperationType
from starlette.requests import Request as Asked
from starlette.types import Receive, Scope, Send

from security.credentials import INVALID_TOKEN
from security.credentials import Refused as Rejected
from serving import graphiql, negotiation, tracing
from serving.caller import Proxies, shown
from serving.negotiation import MediaType
from serving.operation import (
    Authenticate,
    Fault,
    Malformed,
    Operations,
    Prepared,
    Refused,
    Request,
    encode,
    encode_refusal,
)
from trading.ids import base62
from trading.outcome import AuthenticationUnavailable, RateExceeded, Unauthenticated
from trading.permission import Principal
from trading.ports import IdSource
from trading.probe import Leg, Span
from trading.store import StoreUnavailable

log = logging.getLogger(__name__)

BODY_MAX = 262_144
"""The largest body that is read, in bytes."""

type Headers = Mapping[bytes, bytes]

# With `application/graphql-response+json` the status says why an operation was not run.
_STATUS = {
    Fault.DOCUMENT: HTTPStatus.BAD_REQUEST,
    Fault.NOT_PERSISTED: HTTPStatus.BAD_REQUEST,
    Fault.OPERATION: HTTPStatus.BAD_REQUEST,
    Fault.VARIABLES: HTTPStatus.BAD_REQUEST,
    Fault.FORBIDDEN: HTTPStatus.FORBIDDEN,
    Fault.SOURCE: HTTPStatus.BAD_REQUEST,
}


class NotServed(Exception):
    """A request that is answered with a status and one error, before any operation."""

    def __init__(
        self, status: HTTPStatus, message: str, code: str = "BAD_REQUEST", **headers: str
    ) -> None:
        """Take the status, and headers with `_` for `-`."""
        super().__init__(message)
        self.status, self.message, self.code = status, message, code
        self.extensions: dict[str, object] = {"code": code}
        self.headers = [(name.replace("_", "-").lower(), each) for name, each in headers.items()]


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpEndpoint:
    """The endpoint's HTTP side, as an ASGI application."""

    operations: Operations
    authenticate: Authenticate
    ids: IdSource
    page_token: Callable[[Asked], str | None] | None
    """Finds the token to fill into the page; None where there is no page."""
    only_persisted_by_get: bool = False
    proxies: Proxies = ()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers: Headers = dict(scope["headers"])
        accept = headers.get(b"accept", b"").decode("latin-1")
        if self.page_token and scope["method"] == "GET" and negotiation.wants_page(accept):
            page = graphiql.page(self.page_token(Asked(scope)))
            await page(scope, receive, send)
            return
        media_type = negotiation.negotiate(accept)
        parent = _text(given) if (given := headers.get(b"traceparent")) else None
        with self.operations.probe.begin(Leg.REQUEST, parent, method=scope["method"]) as span:
            try:
                status, body = await self._answer(scope, receive, headers, media_type, span)
                extra: list[tuple[str, str]] = []
            except NotServed as refused:
                status, body, extra = refused.status, _error(refused), refused.headers
                span.tell(outcome=refused.code)
            await _send(send, status, body, media_type or MediaType.JSON, extra)
            span.tell(status=int(status))

    async def _answer(
        self,
        scope: Scope,
        receive: Receive,
        headers: Headers,
        media_type: MediaType | None,
        span: Span,
    ) -> tuple[HTTPStatus, bytes]:
        """Do what is asked. Raises NotServed."""
        if media_type is None:
            offered = " or ".join(MediaType)
            raise NotServed(HTTPStatus.NOT_ACCEPTABLE, f"accept {offered}", "NOT_ACCEPTABLE")
        try:
            credentials = shown(scope, self.proxies)
            principal = await self.authenticate(credentials)
            request = await _request(scope, receive, headers)
            is_get, where = scope["method"] == "GET", credentials.address
            prepared = await self._prepared(request, principal, where, is_get=is_get)
            tracing.name(span, prepared)
            await self.operations.admit(prepared, principal)
            context = self.operations.new_context(principal)
            context.address = where
            context.traceparent = span.traceparent
            result = await self.operations.run(prepared, context)
            span.tell(outcome=tracing.outcome(result.errors))
            return HTTPStatus.OK, encode(result)
        except Refused as refused:
            span.tell(outcome=tracing.outcome(refused.errors))
            return _refusal(refused, media_type)
        except Malformed as malformed:
            raise NotServed(HTTPStatus.BAD_REQUEST, str(malformed)) from None
        except Unauthenticated as refused:
            raise _unauthenticated(refused) from None
        except StoreUnavailable:
            raise _unavailable("the store is down: ask again", "STORE_UNAVAILABLE") from None
        except AuthenticationUnavailable as down:
            raise _unavailable(str(down), down.code) from None
        except RateExceeded as exceeded:
            raise _too_many(exceeded) from None
        except NotServed:
            raise
        except Exception as error:
            raise self._masked(error) from error

    async def _prepared(
        self, request: Request, principal: Principal, address: str, *, is_get: bool
    ) -> Prepared:
        if is_get and self.only_persisted_by_get and request.query is not None:
            raise _post("GET serves persisted documents only: send a documentId, or a POST")
        prepared = await self.operations.prepare(request, principal, address)
        if prepared.kind is OperationType.SUBSCRIPTION:
            words = "Subscriptions are served over a WebSocket"
            raise NotServed(HTTPStatus.BAD_REQUEST, words)
        if is_get and prepared.kind is OperationType.MUTATION:
            raise _post("Mutations are served by POST alone")
        return prepared

    def _masked(self, error: Exception) -> NotServed:
        error_id = base62(self.ids.next())
        log.error("errorId=%s in a request", error_id, exc_info=error)
        words = f"something went wrong here; quote {error_id}"
        return NotServed(HTTPStatus.INTERNAL_SERVER_ERROR, words, "INTERNAL")


async def _request(scope: Scope, receive: Receive, headers: Headers) -> Request:
    """Read a request. Raises Malformed and NotServed."""
    match scope["method"]:
        case "POST":
            _check_content(headers)
            body = await _body(receive, headers)
            try:
                return Request.of(orjson.loads(body))
            except orjson.JSONDecodeError as error:
                raise Malformed(f"Unable to parse request body as JSON: {error}") from None
        case "GET":
            return Request.of(_query(scope["query_string"]))
        case _:
            raise NotServed(
                HTTPStatus.METHOD_NOT_ALLOWED,
                "send a POST or a GET",
                "METHOD_NOT_ALLOWED",
                Allow="GET, POST",
            )


def _check_content(headers: Headers) -> None:
    kind, _, parameters = _text(headers.get(b"content-type")).partition(";")
    if kind.strip().lower() != MediaType.JSON:
        raise Malformed(f"The content type must be {MediaType.JSON}")
    charset = parameters.strip().lower()
    if charset.startswith("charset=") and charset[8:].strip('"') not in {"utf-8", "utf8"}:
        raise _unsupported("The charset must be utf-8")
    encoding = _text(headers.get(b"content-encoding"), "identity")
    if encoding.strip().lower() not in {"", "identity"}:
        raise _unsupported("The body must not be encoded: send it as it is")


async def _body(receive: Receive, headers: Headers) -> bytes:
    """Read a body, as far as it may go, whether or not its length was told."""
    told = _text(headers.get(b"content-length"), "0")
    if told.isdecimal() and int(told) > BODY_MAX:
        raise _too_large()
    body, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Malformed("The client has gone")
        body += message.get("body", b"")
        if len(body) > BODY_MAX:
            raise _too_large()
        more = message.get("more_body", False)
    return bytes(body)


def _query(text: bytes) -> Mapping[str, object]:
    """Read a query string: `variables` and `extensions` are JSON in it."""
    try:
        pairs = parse_qsl(
            text.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=16
        )
        found: dict[str, object] = dict(pairs)
        for name in ("variables", "extensions"):
            if found.get(name):
                found[name] = orjson.loads(str(found[name]))
            else:
                found.pop(name, None)
    except ValueError as error:
        raise Malformed(f"Unable to parse the query string: {error}") from None
    return {name: value for name, value in found.items() if value != ""}


def _refusal(refused: Refused, media_type: MediaType) -> tuple[HTTPStatus, bytes]:
    if refused.fault is Fault.OPERATION:
        # It is the request that does not fit its document.
        raise NotServed(HTTPStatus.BAD_REQUEST, str(refused))
    is_json = media_type is MediaType.JSON
    return HTTPStatus.OK if is_json else _STATUS[refused.fault], encode_refusal(refused)


def _unauthenticated(refused: Unauthenticated) -> NotServed:
    challenge = refused.challenge if isinstance(refused, Rejected) else INVALID_TOKEN
    return NotServed(
        HTTPStatus.UNAUTHORIZED,
        str(refused),
        refused.code,
        WWW_Authenticate=challenge,
    )


def _unavailable(words: str, code: str) -> NotServed:
    return NotServed(HTTPStatus.SERVICE_UNAVAILABLE, words, code, Retry_After="1")


def _too_many(exceeded: RateExceeded) -> NotServed:
    wait = exceeded.retry_after_ms or 0
    refused = NotServed(
        HTTPStatus.TOO_MANY_REQUESTS,
        str(exceeded),
        exceeded.code,
        Retry_After=str(-(-wait // 1_000)),
    )
    refused.extensions["retryAfterMs"] = wait
    return refused


def _post(words: str) -> NotServed:
    return NotServed(HTTPStatus.METHOD_NOT_ALLOWED, words, "METHOD_NOT_ALLOWED", Allow="POST")


def _unsupported(words: str) -> NotServed:
    return NotServed(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, words, "UNSUPPORTED_MEDIA_TYPE")


def _too_large() -> NotServed:
    words = f"The body is larger than {BODY_MAX} bytes"
    return NotServed(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, words, "BODY_TOO_LARGE", Connection="close"
    )


def _text(value: bytes | None, default: str = "") -> str:
    return default if value is None else value.decode("latin-1")


def _error(refused: NotServed) -> bytes:
    error = {"message": refused.message, "extensions": refused.extensions}
    return orjson.dumps({"errors": [error]})


async def _send(
    send: Send,
    status: HTTPStatus,
    body: bytes,
    media_type: MediaType,
    headers: list[tuple[str, str]],
) -> None:
    given = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    fixed = [
        (b"content-type", _CONTENT_TYPE[media_type]),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
        (b"vary", b"Accept"),
    ]
    await send({"type": "http.response.start", "status": int(status), "headers": fixed + given})
    await send({"type": "http.response.body", "body": body})


_CONTENT_TYPE = {each: f"{each}; charset=utf-8".encode() for each in MediaType}
