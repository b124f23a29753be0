"""The simulator's streams: trades over a socket or as server-sent events, and quotes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

from brokers.alpaca.fence import Credentials
from brokers.alpaca.simulator.book import Document, alpaca_symbol
from brokers.alpaca.simulator.simulator import Simulator
from brokers.alpaca.simulator.terms import Refused, malformed, not_found
from brokers.alpaca.simulator.ulid import numbered
from brokers.instants import format_instant, parse_instant
from brokers.paper.stream import Delivery, LinkBroken
from trading.quote import Quote

_HEARTBEAT_S = 5.0


class Streams:
    """Serves each stream to any number of clients."""

    def __init__(self, simulator: Simulator) -> None:
        """Take the simulator."""
        self._simulator = simulator

    # --- trades as server-sent events ---

    async def replayed(self, request: Request) -> Response:
        """Tell every event after `since_id` or `since`, and then each new one."""
        if not self._simulator.replays:
            raise not_found("endpoint")
        asked = request.query_params
        try:
            number, part = numbered(asked["since_id"]) if "since_id" in asked else (0, -1)
            since = parse_instant(asked["since"]) if "since" in asked else None
        except ValueError as error:
            raise malformed(str(error)) from None
        if "since_id" not in asked and since is None:
            number, part = self._simulator.venue.last_number, -1
        if number > self._simulator.venue.last_number:
            raise Refused(422, 42210000, "since_id is not of this account")
        body = self._lines(number, part, since)
        return StreamingResponse(body, media_type="text/event-stream")

    async def _lines(self, number: int, part: int, since: int | None) -> AsyncGenerator[bytes]:
        yield b":open\n\n"
        # A part of the last event may have been heard and another not.
        after = max(number - 1, 0) if part >= 0 else number
        documents = self._documents(after)
        async with aclosing(_with_beats(documents, self._simulator)) as items:
            async for item in items:
                if item is None:
                    yield b":heartbeat\n\n"
                elif _is_wanted(item, number, part, since):
                    yield b"data: " + json.dumps(item).encode() + b"\n\n"

    async def _documents(self, after: int) -> AsyncGenerator[Document]:
        """Yield updates as the fault script lets them through; ends where it breaks the link."""
        with suppress(LinkBroken):
            async with aclosing(self._simulator.venue.deliveries(after)) as deliveries:
                async for delivery in deliveries:
                    for document in await self._updates(delivery):
                        yield document

    async def _updates(self, delivery: Delivery) -> list[Document]:
        book, number = self._simulator.book, delivery.event.number
        await book.reached(number)
        updates = book.updates[number]
        if delivery.is_readable:
            return list(updates)
        return [update | {"event": "garbled"} for update in updates]

    # --- trades over a socket ---

    async def trades(self, socket: WebSocket) -> None:
        """Let a client in, and tell it of trades from then on, in binary frames of JSON."""
        await socket.accept()
        with suppress(WebSocketDisconnect, RuntimeError):
            if await self._lets_in(socket):
                await self._tell(socket)

    async def _lets_in(self, socket: WebSocket) -> bool:
        while True:
            given = await _received(socket)
            if given.get("action") not in {"auth", "authenticate"}:
                await _send(socket, "listening", {"error": "not authenticated"})
                continue
            ok = self._knows(given)
            status = "authorized" if ok else "unauthorized"
            await _send(socket, "authorization", {"action": "authenticate", "status": status})
            if ok:
                return True

    def _knows(self, given: Mapping[str, Any]) -> bool:
        data = given.get("data") or {}
        key_id = given.get("key") or data.get("key_id")
        secret = given.get("secret") or data.get("secret_key")
        return Credentials(str(key_id), str(secret)) in self._simulator.accepted

    async def _tell(self, socket: WebSocket) -> None:
        telling: asyncio.Task[None] | None = None
        try:
            while True:
                given = await _received(socket)
                if given.get("action") != "listen":
                    continue
                names = (given.get("data") or {}).get("streams") or []
                after = self._simulator.venue.last_number
                await _send(socket, "listening", {"streams": names})
                if "trade_updates" in names and telling is None:
                    telling = asyncio.create_task(self._push(socket, after))
        finally:
            if telling is not None:
                telling.cancel()
                await asyncio.gather(telling, return_exceptions=True)

    async def _push(self, socket: WebSocket, after: int) -> None:
        with suppress(WebSocketDisconnect, RuntimeError):
            async with aclosing(self._documents(after)) as documents:
                async for document in documents:
                    await _send(socket, "trade_updates", document)
            await socket.close()

    # --- quotes ---

    async def quotes(self, socket: WebSocket) -> None:
        """Tell the latest quotes of what a client has subscribed to, in text frames of JSON."""
        await socket.accept()
        wanted: set[str] = set()
        telling = asyncio.create_task(self._push_quotes(socket, wanted))
        try:
            await _say(socket, {"T": "success", "msg": "connected"})
            while True:
                await self._subscribe(socket, await _received(socket), wanted)
        except (WebSocketDisconnect, RuntimeError):
            pass
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)

    async def _subscribe(
        self, socket: WebSocket, given: Mapping[str, Any], wanted: set[str]
    ) -> None:
        match given.get("action"):
            case "auth" if self._knows(given):
                await _say(socket, {"T": "success", "msg": "authenticated"})
            case "auth":
                await _say(socket, {"T": "error", "code": 402, "msg": "auth failed"})
            case "subscribe":
                wanted.update(given.get("quotes") or [])
                lists = {"trades": [], "quotes": sorted(wanted), "bars": []}
                await _say(socket, {"T": "subscription", **lists})
                self._simulator.look_again()
            case _:
                await _say(socket, {"T": "error", "code": 400, "msg": "invalid syntax"})

    async def _push_quotes(self, socket: WebSocket, wanted: set[str]) -> None:
        told: dict[str, Quote] = {}
        with suppress(WebSocketDisconnect, RuntimeError):
            while True:
                moved = self._simulator.quoted
                fresh = []
                for symbol, quote in list(self._simulator.quotes.items()):
                    name = alpaca_symbol(self._simulator.catalogue, symbol)
                    if name in wanted and told.get(name) is not quote:
                        told[name] = quote
                        fresh.append(quote_document(name, quote))
                if fresh:
                    await _say(socket, *fresh)
                await moved.wait()


def quote_document(name: str, quote: Quote) -> Document:
    """Write a quote as Alpaca does: prices and sizes are numbers, not texts."""
    return {
        "T": "q",
        "S": name,
        "bx": "V",
        "bp": float(quote.bid or 0),
        "bs": float(quote.bid_size or 0),
        "ax": "V",
        "ap": float(quote.ask or 0),
        "as": float(quote.ask_size or 0),
        "c": ["R"],
        "z": "C",
        "t": format_instant(quote.time),
    }


async def _say(socket: WebSocket, *messages: Document) -> None:
    await socket.send_text(json.dumps(messages))


async def _send(socket: WebSocket, stream: str, data: Document) -> None:
    await socket.send_bytes(json.dumps({"stream": stream, "data": data}).encode())


async def _received(socket: WebSocket) -> Mapping[str, Any]:
    """Read what a client says, in a frame of either kind; what makes no sense is nothing."""
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code") or 1000)
    try:
        given = json.loads(message.get("text") or message.get("bytes") or b"{}")
    except ValueError:
        return {}
    return given if isinstance(given, dict) else {}


def _is_wanted(document: Document, number: int, part: int, since: int | None) -> bool:
    if since is not None:
        return parse_instant(document["at"]) >= since
    return numbered(document["event_id"]) > (number, part)


async def _with_beats(
    documents: AsyncGenerator[Document], simulator: Simulator
) -> AsyncGenerator[Document | None]:
    """Yield documents, and None whenever there was none for a while."""
    following = asyncio.ensure_future(anext(documents, None))
    try:
        while True:
            beat = asyncio.ensure_future(simulator.clock.sleep(_HEARTBEAT_S))
            await asyncio.wait({following, beat}, return_when=asyncio.FIRST_COMPLETED)
            beat.cancel()
            if not following.done():
                yield None
                continue
            if (document := following.result()) is None:
                return
            yield document
            following = asyncio.ensure_future(anext(documents, None))
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
