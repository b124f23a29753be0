"""The endpoint's WebSocket side: who may open a socket, and in which protocol."""

from __future__ import annotations

from http import HTTPStatus
from typing import cast

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.http.websocket_origin import is_same_origin

from serving.caller import shown
from serving.mailbox import Line
from serving.message import PROTOCOL
from serving.protocol import LINE
from serving.socket import House, Socket

SUBPROTOCOL_NOT_ACCEPTABLE = 4406


class SocketEndpoint:
    """The endpoint's WebSocket side, as an ASGI application behind `SocketProtocol`."""

    def __init__(self, house: House) -> None:
        """Take what all its sockets share."""
        self._house = house

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one socket until it ends."""
        websocket = WebSocket(scope, receive, send)
        if not _is_from_here(websocket.headers):
            refusal = PlainTextResponse("a page of another site", HTTPStatus.FORBIDDEN)
            await websocket.send_denial_response(refusal)
            return
        is_spoken = PROTOCOL in websocket.scope["subprotocols"]
        await websocket.accept(PROTOCOL if is_spoken else None)
        line = cast("Line", websocket.scope["extensions"][LINE])
        if not is_spoken:
            line.end(SUBPROTOCOL_NOT_ACCEPTABLE, f"the subprotocol must be {PROTOCOL}")
        await Socket(self._house, line, shown(scope, self._house.proxies)).serve(receive)


def _is_from_here(headers: Headers) -> bool:
    """Tell a page of another site, which browsers let open sockets anywhere, from all others."""
    origin = headers.get("origin")
    is_ours = headers.get("sec-fetch-site") == "same-origin"
    return origin is None or is_ours or is_same_origin(origin, headers.get("host"))
