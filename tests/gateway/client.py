"""A client of a running gateway: GraphQL over HTTP and over a WebSocket, by hand."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

import httpx2
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.gateway.documents import ACCOUNT, CANCEL, FIND, PLACE, REPLACE, REPORTS

PATIENCE_S = 30
PROTOCOL = Subprotocol("graphql-transport-ws")


class Client:
    """One caller, with its token; use it from any thread."""

    def __init__(self, url: str, token: str | None, **headers: str) -> None:
        """Take where the gateway is and who is asking."""
        self.url, self.token = url, token
        if token:
            headers["authorization"] = f"Bearer {token}"
        self._http = httpx2.Client(headers=headers, timeout=PATIENCE_S, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def post(self, query: str, **variables: Any) -> httpx2.Response:
        return self._http.post(self.url, json={"query": query, "variables": variables})

    def send(self, body: str, content_type: str) -> httpx2.Response:
        """Post what may be no request at all."""
        headers = {"content-type": content_type}
        return self._http.post(self.url, content=body.encode(), headers=headers)

    def answer(self, query: str, **variables: Any) -> Any:
        """Return the whole answer, errors and all."""
        return self.post(query, **variables).json()

    def data(self, query: str, **variables: Any) -> Any:
        """Return the one field that was asked for; there must be no error."""
        answer = self.answer(query, **variables)
        assert "errors" not in answer, answer["errors"]
        [field] = answer["data"].values()
        return field

    def error(self, query: str, **variables: Any) -> Any:
        """Return the one error of an answer that has no data."""
        answer = self.answer(query, **variables)
        assert not answer.get("data") or set(answer["data"].values()) == {None}, answer
        [error] = answer["errors"]
        return error

    # --- orders ---

    def place(self, **terms: Any) -> Any:
        return self.data(PLACE, input=terms)

    def placed(self, **terms: Any) -> Any:
        """Place an order that the broker takes; return it as it is then."""
        order = self.place(**terms)
        assert order["__typename"] == "Order", order
        assert order["rejectedBy"] is None, order
        return self.settled(order["id"])

    def replace(self, cl_ord_id: str, of: str, **terms: Any) -> Any:
        target = {"origClOrdId": of}
        return self.data(
            REPLACE, input={"accountId": "equity", "clOrdId": cl_ord_id, "target": target} | terms
        )

    def cancel(self, cl_ord_id: str, of: str, account: str = "equity") -> Any:
        target = {"origClOrdId": of}
        return self.data(
            CANCEL, input={"accountId": account, "clOrdId": cl_ord_id, "target": target}
        )

    def order(self, order_id: str) -> Any:
        return self.data(FIND, id=order_id)

    def account(self, account_id: str = "equity") -> Any:
        return self.data(ACCOUNT, id=account_id)

    def settled(self, order_id: str) -> Any:
        """Return an order once nothing about it is pending."""
        return self.until(order_id, lambda o: not o["ordStatus"].startswith("PENDING_"))

    def finished(self, order_id: str) -> Any:
        """Return an order once it is done."""
        return self.until(order_id, lambda o: not o["isOpen"])

    def until(self, order_id: str, is_so: Callable[[Any], bool]) -> Any:
        """Return an order once something is so of it."""
        return eventually(lambda: self.order(order_id), is_so)

    def reports(self, account_id: str = "equity") -> list[Any]:
        """Read the whole log of an account."""
        found: list[Any] = []
        while True:
            page = self.data(
                REPORTS, accountId=account_id, afterSeq=str(len(found) or 0), first=100
            )
            found += page["nodes"]
            if not page["pageInfo"]["hasNextPage"]:
                assert page["asOfSeq"] == str(len(found))
                return found

    # --- subscriptions ---

    @contextmanager
    def socket(self) -> Iterator[ClientConnection]:
        """Open a WebSocket of the protocol, and say who is there."""
        url = self.url.replace("http", "ws")
        # Without a bound on what waits to be read, closing never waits for a reader.
        with connect(url, subprotocols=[PROTOCOL], proxy=None, max_queue=None) as socket:
            payload = {"authorization": f"Bearer {self.token}"} if self.token else {}
            socket.send(json.dumps({"type": "connection_init", "payload": payload}))
            yield socket

    @contextmanager
    def subscribe(self, query: str, **variables: Any) -> Iterator[Iterator[Any]]:
        """Subscribe, and iterate over the one field of each item."""
        with self.socket() as socket:
            assert received(socket) == {"type": "connection_ack"}
            payload = {"query": query, "variables": variables}
            socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
            yield _items(socket)


def received(socket: ClientConnection) -> Any:
    """Return the next message that is no ping."""
    while (message := json.loads(socket.recv(PATIENCE_S)))["type"] == "ping":
        socket.send('{"type": "pong"}')
    return message


def _items(socket: ClientConnection) -> Iterator[Any]:
    while True:
        message = received(socket)
        assert message["type"] == "next", message
        assert "errors" not in message["payload"], message
        [item] = message["payload"]["data"].values()
        yield item


def eventually[T](look: Callable[[], T], is_so: Callable[[T], bool]) -> T:
    """Look until something is so; each look is a round trip, so that no pause is needed."""
    deadline = time.monotonic() + PATIENCE_S
    while not is_so(found := look()):
        assert time.monotonic() < deadline, found
    return found
