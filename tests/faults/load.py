"""Clients that do not give up: traders who ask again elsewhere, and a follower of every report."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from decimal import Decimal
from random import Random
from typing import Any

import httpx2
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection

from tests.faults.checker import Item, camel
from tests.gateway.client import Client, received
from tests.gateway.documents import CANCEL, PLACE, REPLACE
from trading.execution import ExecutionReport, OrderCancelReject

PATIENCE_S = 60
_WAIT_FOR = ("COMMIT", "BROKER")
_ASK_AGAIN = frozenset({"STORE_UNAVAILABLE", "OUTCOME_UNKNOWN", "BROKER_UNAVAILABLE", "OVERLOADED"})

# Within the collar, and further from the market than it strays in a minute: these rest.
FAR = {"AAPL": Decimal(222), "MSFT": Decimal(415)}


class NoAnswer(Exception):
    """The gateway does not know the outcome, and says so."""


class Caller:
    """Asks one gateway after another, always the same, until one knows the outcome."""

    def __init__(self, clients: Sequence[Client]) -> None:
        self.clients = list(clients)
        self.heard: set[str] = set()
        """The codes of all errors that it was told."""

    def ask(self, document: str, **variables: Any) -> Any:
        """Return the one field of the answer."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return self._answer(document, variables)
            except (httpx2.TransportError, NoAnswer):
                if time.monotonic() > deadline:
                    raise
                self.clients.append(self.clients.pop(0))

    def _answer(self, document: str, variables: dict[str, Any]) -> Any:
        answer = self.clients[0].answer(document, **variables)
        if codes := {error["extensions"]["code"] for error in answer.get("errors", ())}:
            assert codes <= _ASK_AGAIN, answer
            self.heard |= codes
            raise NoAnswer(answer)
        [field] = answer["data"].values()
        return field


class Trader(threading.Thread):
    """Places orders, some of which rest and are replaced or canceled: the same for one name."""

    def __init__(self, name: str, caller: Caller, *, orders: int, account: str = "equity") -> None:
        super().__init__(name=name)
        self.caller, self.count, self.account = caller, orders, account
        self.accepted: set[str] = set()
        """The ClOrdIDs of all that was answered with a record."""
        self.defect: Exception | None = None
        self._random = Random(name)

    def run(self) -> None:
        try:
            for number in range(self.count):
                self._trade(f"{self.name}-{number}", number)
        except Exception as defect:  # noqa: BLE001 - a thread's failure must fail the test
            self.defect = defect

    def _trade(self, cl_ord_id: str, number: int) -> None:
        symbol, qty = self._random.choice(sorted(FAR)), str(self._random.randint(1, 20))
        order = {"symbol": symbol, "side": "BUY", "ordType": "MARKET", "orderQty": qty}
        if number % 3 == 0:
            self._send(PLACE, cl_ord_id, **order | {"side": self._random.choice(["BUY", "SELL"])})
            return
        terms = {"ordType": "LIMIT", "price": str(FAR[symbol]), "timeInForce": "GOOD_TILL_CANCEL"}
        self._send(PLACE, cl_ord_id, **order | terms)
        target = {"target": {"origClOrdId": cl_ord_id}}
        if number % 3 == 1:
            self._send(CANCEL, f"{cl_ord_id}-x", **target)
        else:
            price = {"price": str(FAR[symbol] - 1)}
            self._send(REPLACE, f"{cl_ord_id}-r", **target, **price)

    def _send(self, document: str, cl_ord_id: str, **terms: Any) -> None:
        body = {"accountId": self.account, "clOrdId": cl_ord_id, **terms}
        answer = self.caller.ask(document, input=body, waitFor=self._random.choice(_WAIT_FOR))
        assert answer["__typename"] in {"Order", "OrderCancelReject"}, answer
        self.accepted.add(cl_ord_id)


# What the interface has must be asked of it, because its types are wider than theirs.
_OF_BOTH = "accountId seq orderId clOrdId origClOrdId ordStatus text transactTime"


def _others(of: type[Any]) -> str:
    names = [camel(each.name) for each in fields(of) if each.name != "tenant_id"]
    return " ".join(name for name in names if name not in _OF_BOTH.split())


EVERYTHING = f"""
subscription($accountId: ID!, $afterSeq: Sequence) {{
  orderReports(accountId: $accountId, afterSeq: $afterSeq) {{
    __typename {_OF_BOTH}
    ... on ExecutionReport {{ {_others(ExecutionReport)} }}
    ... on OrderCancelReject {{ {_others(OrderCancelReject)} }}
  }}
}}
"""


class Follower(threading.Thread):
    """Receives every report of an account from the first on, from whichever gateway there is."""

    def __init__(self, clients: Sequence[Client], account: str = "equity") -> None:
        super().__init__(name=f"follower of {account}")
        self.clients, self.account = list(clients), account
        self.items: list[Item] = []
        self.connections = 0
        self._is_over = threading.Event()
        self._moved = threading.Condition()
        self.defect: BaseException | None = None

    def run(self) -> None:
        try:
            while not self._is_over.is_set():
                try:
                    with self.clients[0].socket() as socket:
                        self.connections += 1
                        self._follow(socket)
                except (WebSocketException, OSError, TimeoutError):
                    self.clients.append(self.clients.pop(0))
        except BaseException as defect:  # noqa: BLE001 - a thread's failure must fail the test
            with self._moved:
                self.defect = defect
                self._moved.notify_all()

    def _follow(self, socket: ClientConnection) -> None:
        assert received(socket) == {"type": "connection_ack"}
        after = self.items[-1]["seq"] if self.items else "0"
        variables = {"accountId": self.account, "afterSeq": after}
        payload = {"query": EVERYTHING, "variables": variables}
        socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
        while not self._is_over.is_set():
            try:
                message = json.loads(socket.recv(timeout=0.1))
            except TimeoutError:
                continue
            match message["type"]:
                case "next":
                    assert "errors" not in message["payload"], message
                    with self._moved:
                        self.items.append(message["payload"]["data"]["orderReports"])
                        self._moved.notify_all()
                case "ping":
                    socket.send('{"type": "pong"}')
                case "complete":
                    # The gateway ends what it can no longer serve; another goes on.
                    return
                case _:
                    raise AssertionError(message)

    def reaches(self, head: int) -> None:
        """Wait for the report of this number."""
        with self._moved:
            is_level = self._moved.wait_for(
                lambda: self.defect or len(self.items) >= head, PATIENCE_S
            )
        assert self.defect is None, self.defect
        assert is_level, f"{len(self.items)} of {head}"

    def level(self, head: int) -> Sequence[Item]:
        """Wait for the report of this number, and stop."""
        try:
            self.reaches(head)
        finally:
            self._is_over.set()
            self.join(PATIENCE_S)
        return self.items


@contextmanager
def following(*followers: Follower) -> Iterator[None]:
    """Follow, and stop however it ends."""
    for follower in followers:
        follower.start()
    try:
        yield
    finally:
        for follower in followers:
            follower.level(0)


@contextmanager
def trading(*traders: Trader) -> Iterator[None]:
    """Trade, and wait until all is done that was to be done."""
    for trader in traders:
        trader.start()
    try:
        yield
    finally:
        for trader in traders:
            trader.join(2 * PATIENCE_S)
    if defects := [trader.defect for trader in traders if trader.defect]:
        raise ExceptionGroup("traders failed", defects)
    assert not any(trader.is_alive() for trader in traders)


def traders[G](
    client: Callable[[G], Client], gateways: Sequence[G], orders: int = 9
) -> list[Trader]:
    """Make four traders with clients of their own, who turn to the gateways in different orders."""
    made = []
    for number in range(4):
        first = number % len(gateways)
        turns = [*gateways[first:], *gateways[:first]]
        caller = Caller([client(gateway) for gateway in turns])
        made.append(Trader(f"trader{number}", caller, orders=orders))
    return made
