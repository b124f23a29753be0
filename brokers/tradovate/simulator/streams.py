"""The simulator's sockets: requests in frames, the user's entities as they change, and quotes."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from brokers.faults import FaultKind
from brokers.paper.stream import Delivery, LinkBroken
from brokers.paper.venue import NoAnswer
from brokers.tradovate.simulator import maintenance, terms
from brokers.tradovate.simulator.api import TICKET, Api
from brokers.tradovate.simulator.sessions import QUOTA, Session
from brokers.tradovate.simulator.simulator import Simulator
from brokers.tradovate.simulator.terms import Answered, Document
from brokers.tradovate.simulator.wire import Frame, at_text, frame, read, told
from trading.quote import Quote

BEAT_S = 2.5
_SILENCE_S = 4 * BEAT_S
_SYNC = "user/syncrequest"
_HEARTBEAT = "[]"
_STATUS = ("ordStatus", "execType", "commandStatus")
_SNAPSHOT = {
    "users": "user",
    "accounts": "account",
    "marginSnapshots": "marginSnapshot",
    "cashBalances": "cashBalance",
    "positions": "position",
    "orders": "order",
    "commands": "command",
    "commandReports": "commandReport",
    "executionReports": "executionReport",
    "orderVersions": "orderVersion",
    "fills": "fill",
}
_LIBRARY = {
    "currencies": "currency",
    "contracts": "contract",
    "contractMaturities": "contractMaturity",
    "products": "product",
    "exchanges": "exchange",
    "contractGroups": "contractGroup",
}


class Streams:
    """Serves sockets to any number of clients."""

    def __init__(self, simulator: Simulator, api: Api) -> None:
        """Take the simulator and its endpoints."""
        self._simulator = simulator
        self._api = api

    async def serve(self, socket: WebSocket) -> None:
        """Talk with a client until either leaves."""
        if self._simulator.maintenance.is_on:
            await socket.close()
            return
        await socket.accept()
        conversation = Conversation(self._simulator, self._api, socket)
        with suppress(WebSocketDisconnect, RuntimeError, TimeoutError):
            await conversation.run()
        await conversation.end()


class Conversation:
    """One socket: what it has been let in for, and what it is told of."""

    def __init__(self, simulator: Simulator, api: Api, socket: WebSocket) -> None:
        """Begin with nobody let in."""
        self._simulator = simulator
        self._api = api
        self._socket = socket
        self._session: Session | None = None
        self._is_synced = False
        self._wanted: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Read requests; one who says nothing for long is let go."""
        await self._socket.send_text("o")
        self._start(self._beat())
        while True:
            async with asyncio.timeout(_SILENCE_S):
                text = await self._socket.receive_text()
            if text == _HEARTBEAT:
                continue
            try:
                request = frame(text)
            except ValueError:
                await self._socket.close(1003, "not a request")
                return
            await self._take(request)

    async def end(self) -> None:
        """Stop telling, and close."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with suppress(WebSocketDisconnect, RuntimeError):
            await self._socket.close()

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(self._guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, work: Coroutine[None, None, None]) -> None:
        with suppress(WebSocketDisconnect, RuntimeError):
            await work

    async def _say(self, *messages: Document) -> None:
        await self._socket.send_text(told(*messages))

    async def _reply(self, number: int, status: int, document: object = None) -> None:
        told_of = {} if document is None else {"d": document}
        await self._say({"s": status, "i": number, **told_of})

    # --- life ---

    async def _beat(self) -> None:
        while True:
            await self._simulator.clock.sleep(BEAT_S)
            if self._simulator.maintenance.is_on:
                return await self._shut(maintenance.REASON)
            await self._socket.send_text("h")

    async def _watch(self, session: Session) -> None:
        """Shut when the session is ended; one that expires goes mute, and its socket stays."""
        await session.moved.wait()
        if session is self._session and session.ended is not None:
            await self._shut(session.ended)

    async def _shut(self, reason: str) -> None:
        await self._say({"e": "shutdown", "d": {"reasonCode": reason}})
        await self._socket.close()

    @property
    def _may(self) -> bool:
        return self._session is not None and self._simulator.sessions.is_alive(self._session)

    # --- requests ---

    async def _take(self, request: Frame) -> None:
        if request.endpoint == "authorize":
            await self._authorize(request)
        elif not self._may:
            await self._reply(request.number, 401, "Access is denied")
        elif request.endpoint == _SYNC:
            await self._synchronize(request)
        elif request.endpoint.startswith("md/"):
            await self._subscribe(request)
        else:
            # A request may never be answered, and those after it are.
            self._start(self._answer(request))

    async def _authorize(self, request: Frame) -> None:
        """Let a client in by a token, bare or as a text of JSON; a later one takes its place."""
        session = self._simulator.sessions.of(request.body.strip('"'))
        if session is None:
            return await self._reply(request.number, 401, "Invalid access token")
        if session is not self._session:
            self._session = session
            self._start(self._watch(session))
        await self._reply(request.number, 200)
        return None

    async def _answer(self, request: Frame) -> None:
        try:
            given = {**request.query, **_object(request.body)}
        except ValueError:
            return await self._reply(request.number, 400, "The body is not an object of JSON")
        try:
            status, document = await self._api.answer(request.endpoint, self._session, given)
        except NoAnswer:
            return None
        return await self._reply(request.number, status, document)

    async def _synchronize(self, request: Frame) -> None:
        window = self._simulator.window
        try:
            given = _object(request.body)
            kinds = terms.kinds(given, "entityTypes")
        except Answered as refusal:
            return await self._reply(request.number, 200, refusal.document)
        except ValueError:
            return await self._reply(request.number, 400, "The body is not an object of JSON")
        if self._is_synced:
            return await self._reply(request.number, 400, "Already synchronized")
        if not window.allows():
            return await self._reply(request.number, 429)
        if (penalty := window.penalty(_SYNC, given.get(TICKET))) is not None:
            return await self._reply(request.number, 200, penalty)
        window.count(_SYNC, failed=False)
        self._is_synced = True
        number, snapshot = self._simulator.book.number, self._snapshot(kinds)
        await self._reply(request.number, 200, snapshot)
        self._start(self._push(number, kinds))
        return None

    def _snapshot(self, kinds: Collection[str] | None) -> Document:
        entities, library = self._simulator.entities, self._simulator.library.entities
        told_of = {name: entities.all(kind) for name, kind in _SNAPSHOT.items()}
        told_of |= {name: list(library[kind].values()) for name, kind in _LIBRARY.items()}
        if kinds is None:
            return told_of
        names = {**_SNAPSHOT, **_LIBRARY}
        always = {"users", "contractGroups"}
        return {
            name: found if name in always or names[name] in kinds or name in kinds else []
            for name, found in told_of.items()
        }

    # --- the user's entities ---

    async def _push(self, after: int, kinds: Collection[str] | None) -> None:
        """Tell of changes as the fault script lets them through, until it breaks the link."""
        try:
            async with aclosing(self._simulator.venue.deliveries(after)) as deliveries:
                async for delivery in deliveries:
                    for props in await self._props(delivery):
                        if self._may and (kinds is None or props["entityType"] in kinds):
                            await self._say({"e": "props", "d": props})
        except LinkBroken as broken:
            return await self._break(broken)
        return await self._socket.close()

    async def _break(self, broken: LinkBroken) -> None:
        match broken.kind:
            case FaultKind.TOKEN_EXPIRY:
                self._simulator.sessions.expire()
            case FaultKind.EVICTION:
                self._simulator.sessions.end(QUOTA)
            case FaultKind.MAINTENANCE:
                self._simulator.maintenance.start(broken.down_s)
                await self._shut(maintenance.REASON)
            case _:
                await self._socket.close()

    async def _props(self, delivery: Delivery) -> Sequence[Document]:
        book, number = self._simulator.book, delivery.event.number
        await book.reached(number)
        if delivery.is_readable:
            return book.updates[number]
        return [garbled for each in book.updates[number] if (garbled := _garbled(each))]

    # --- quotes ---

    async def _subscribe(self, request: Frame) -> None:
        try:
            symbol = _object(request.body).get("symbol")
        except ValueError:
            return await self._reply(request.number, 400, "The body is not an object of JSON")
        instrument = self._simulator.library.find(symbol)
        if instrument is None:
            refused = {"errorText": f"no contract {symbol}", "errorCode": "UnknownSymbol"}
            return await self._reply(request.number, 200, {**refused, "mode": "None"})
        contract = self._simulator.library.contract_id(instrument.id)
        match request.endpoint:
            case "md/subscribequote":
                begins = not self._wanted
                self._wanted.add(contract)
            case "md/unsubscribequote":
                begins = False
                self._wanted.discard(contract)
            case _:
                return await self._reply(request.number, 404, f"Not found: {request.endpoint}")
        await self._reply(request.number, 200, {"mode": "RealTime"})
        if begins:
            self._start(self._push_quotes())
        self._simulator.look_again()
        return None

    async def _push_quotes(self) -> None:
        said: dict[int, Quote] = {}
        while self._wanted:
            moved, fresh = self._simulator.quoted, []
            for symbol, quote in list(self._simulator.quotes.items()):
                contract = self._simulator.library.contract_id(symbol)
                if contract in self._wanted and said.get(contract) is not quote:
                    said[contract] = quote
                    fresh.append(quote_document(contract, quote))
            if fresh and self._may:
                await self._say({"e": "md", "d": {"quotes": fresh}})
            await moved.wait()


def quote_document(contract_id: int, quote: Quote) -> Document:
    """Write a quote as Tradovate does; a side that is not there has no entry."""
    sides = {"Bid": (quote.bid, quote.bid_size), "Offer": (quote.ask, quote.ask_size)}
    return {
        "timestamp": at_text(quote.time),
        "contractId": contract_id,
        "entries": {
            name: {"price": px, **({} if size is None else {"size": size})}
            for name, (px, size) in sides.items()
            if px is not None
        },
    }


def _object(body: str) -> Mapping[str, Any]:
    """Read the body of a request. Raises ValueError."""
    given = read(body) if body and body != "undefined" else {}
    if not isinstance(given, dict):
        raise ValueError("not an object")  # noqa: TRY004 - callers wait for what is unreadable
    return given


def _garbled(props: Document) -> Document | None:
    """Make of a change one with a status that nobody knows; what has no status is not told."""
    known = [name for name in _STATUS if name in props["entity"]]
    if not known:
        return None
    return props | {"entity": props["entity"] | dict.fromkeys(known, "Garbled")}
