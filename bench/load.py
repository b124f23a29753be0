"""The load generator: a process that keeps so many orders in flight, one to a connection.

It reads a `Load` as JSON from standard input and writes a `Measured` to standard output. It speaks
HTTP/1.1 by hand, because a client library would cost more than the server that is measured.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson
import uvloop

DOCUMENT = (
    "mutation Place($input: PlaceOrderInput!) { placeOrder(input: $input) { __typename"
    " ... on Order { id clOrdId ordStatus cumQty rejectedBy text }"
    " ... on InvalidInput { errors { path message } } } }"
)
ACCEPTED = b'"rejectedBy":null'
_REFUSALS_KEPT = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What to ask of whom. It ends after `seconds`, or `orders`, whichever comes first.

    Orders go to `port`, and what becomes of them is told at `watched`.
    """

    port: int
    watched: int
    token: str
    name: str
    accounts: list[str]
    in_flight: int
    seconds: float
    orders: int
    symbol: str = "AAPL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """How it went: latencies in milliseconds, and what was answered in place of an order.

    Of each execution that was told, by its ExecID: when it was heard, in monotonic nanoseconds, and
    how many nanoseconds after the broker's TransactTime.
    """

    orders: int
    seconds: float
    p50_ms: float
    p99_ms: float
    refused: list[str] = field(default_factory=list)
    heard: dict[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def per_second(self) -> float:
        """Orders that were acknowledged, each second."""
        return self.orders / self.seconds


class Requests:
    """Makes orders that buy and sell one share in turn, so that no position and no limit grows."""

    def __init__(self, load: Load) -> None:
        """Take where they go, and the prefix that makes their ClOrdIDs fresh."""
        self._load = load
        self.made = 0
        self._head = (
            f"POST /graphql HTTP/1.1\r\nHost: 127.0.0.1:{load.port}\r\n"
            f"Authorization: Bearer {load.token}\r\n"
            "Content-Type: application/json\r\nContent-Length: "
        ).encode()

    def next(self) -> bytes:
        """Write the next request."""
        turn, at = divmod(self.made, len(self._load.accounts))
        self.made += 1
        order = {
            "accountId": self._load.accounts[at],
            "clOrdId": f"{self._load.name}-{self.made}",
            "symbol": self._load.symbol,
            "side": "SELL" if turn % 2 else "BUY",
            "ordType": "MARKET",
            "orderQty": "1",
        }
        body = orjson.dumps({"query": DOCUMENT, "variables": {"input": order}})
        return b"%b%d\r\n\r\n%b" % (self._head, len(body), body)


class Lane(asyncio.Protocol):
    """One connection, with one request in flight."""

    def __init__(self, send_next: Callable[[], bytes | None], answered: _Answered) -> None:
        """Take where requests come from, and who hears of each answer."""
        self._send_next, self._answered = send_next, answered
        self._transport: Any = None
        self._buffer = b""
        self._sent = 0
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first."""
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        """Take in an answer, and send the next request once it is whole."""
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if found and len(body) >= _length(head):
            self._buffer = b""
            self._answered(time.perf_counter_ns() - self._sent, head, body)
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail, unless everything was answered."""
        if not self.done.done():
            self.done.set_exception(ConnectionError(f"the server hung up: {exc}"))

    def _send(self) -> None:
        request = self._send_next()
        if request is None:
            self.done.set_result(None)
            self._transport.close()
            return
        self._sent = time.perf_counter_ns()
        self._transport.write(request)


type _Answered = Callable[[int, bytes, bytes], None]


def _length(head: bytes) -> int:
    lower = head.lower()
    at = lower.index(b"content-length:") + len(b"content-length:")
    return int(lower[at:].split(b"\r\n", 1)[0])


async def run(load: Load) -> Measured:
    """Keep the orders in flight until it is time."""
    requests, took, refused = Requests(load), list[int](), list[str]()
    began = time.perf_counter_ns()
    ends = began + int(load.seconds * 1e9)

    def send_next() -> bytes | None:
        is_over = requests.made >= load.orders or time.perf_counter_ns() >= ends
        return None if is_over else requests.next()

    def answered(ns: int, head: bytes, body: bytes) -> None:
        took.append(ns)
        if ACCEPTED not in body and len(refused) < _REFUSALS_KEPT:
            refused.append((head.split(b"\r\n")[0] + b" " + body).decode())

    loop = asyncio.get_running_loop()
    made = [
        await loop.create_connection(lambda: Lane(send_next, answered), "127.0.0.1", load.port)
        for _ in range(load.in_flight)
    ]
    await asyncio.gather(*(lane.done for _, lane in made))
    return measured(took, time.perf_counter_ns() - began, refused)


def measured(took: list[int], ns: int, refused: list[str]) -> Measured:
    """Sum latencies up."""
    p50_ms, p99_ms = percentiles(took)
    return Measured(
        orders=len(took), seconds=ns / 1e9, p50_ms=p50_ms, p99_ms=p99_ms, refused=refused
    )


def percentiles(took: Iterable[int]) -> tuple[float, float]:
    """Return the 50th and the 99th percentile of nanoseconds, in milliseconds."""
    ordered = sorted(took)
    return ordered[len(ordered) // 2] / 1e6, ordered[len(ordered) * 99 // 100] / 1e6


def main() -> None:
    """Do what standard input says."""
    load = Load(**json.load(sys.stdin))
    json.dump(dataclasses.asdict(uvloop.run(run(load))), sys.stdout)


if __name__ == "__main__":
    main()
