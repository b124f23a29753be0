"""The subscriber: places orders that fill at once, and takes the time until each fill is heard of.

A process of its own, with a `Load` on standard input and a `Measured` on standard output. An order
is in flight until its fill is heard. All of the account's reports come over one WebSocket, and
none may be missing.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
import time
from dataclasses import replace
from datetime import datetime
from typing import Any

import uvloop

from bench.load import ACCEPTED, Load, Measured, Requests, measured
from bench.websocket import Socket

_REPORTS = (
    "subscription Reports($id: ID!) { orderReports(accountId: $id) { seq transactTime"
    " ... on ExecutionReport { clOrdId execId execType lastQty lastPx cumQty leavesQty } } }"
)
_PATIENCE_S = 30
_LOOK_S = 1


class Path:
    """Orders under way: when each was sent, and how long its fill took."""

    def __init__(self, load: Load) -> None:
        """Take the load."""
        self._load = load
        self._requests = Requests(load)
        self._waiting: dict[str, asyncio.Event] = {}
        self._seq: int | None = None
        self._heard: dict[str, tuple[int, int]] = {}

    async def run(self) -> Measured:
        """Place orders until it is time, and wait for the last fill."""
        socket = await Socket.opened(self._load.watched, self._load.token)
        payload = {"query": _REPORTS, "variables": {"id": self._load.accounts[0]}}
        socket.send({"id": "1", "type": "subscribe", "payload": payload})
        async with asyncio.TaskGroup() as tasks:
            hearing = tasks.create_task(self._hear(socket))
            await self._begin()
            self._heard.clear()
            began = time.monotonic_ns()
            ends = began + int(self._load.seconds * 1e9)
            lanes = [self._place(ends) for _ in range(self._load.in_flight)]
            took = [ns for lane in await asyncio.gather(*lanes) for ns in lane]
            spent = time.monotonic_ns() - began
            hearing.cancel()
        socket.close()
        return replace(measured(took, spent, []), heard=self._heard)

    async def _begin(self) -> None:
        """Place orders until the fill of one is heard.

        A subscription is not confirmed, so that what is filled before it is there is never heard
        of; and the first price may not be there yet, without which orders are refused.
        """
        for _ in range(_PATIENCE_S):
            try:
                async with asyncio.timeout(_LOOK_S):
                    await self._place(0)
            except (TimeoutError, ValueError) as error:
                why = error
            else:
                return
        raise ConnectionError("no fill is heard of") from why

    async def _place(self, ends: int) -> list[int]:
        """Place one order after another until it is time, and one at least."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._load.port)
        took = []
        while True:
            request = self._requests.next()
            cl_ord_id = f"{self._load.name}-{self._requests.made}"
            filled = self._waiting[cl_ord_id] = asyncio.Event()
            sent = time.monotonic_ns()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            answer = await reader.readexactly(length)
            if ACCEPTED not in answer:
                raise ValueError(answer.decode())
            async with asyncio.timeout(_PATIENCE_S):
                await filled.wait()
            now = time.monotonic_ns()
            took.append(now - sent)
            if now >= ends or self._requests.made >= self._load.orders:
                break
        writer.close()
        return took

    async def _hear(self, socket: Socket) -> None:
        async for message in socket.messages():
            match message:
                case {"type": "next", "payload": {"data": {"orderReports": dict(report)}}}:
                    self._take(report)
                case {"type": "ping"}:
                    pass  # It says how far the log is; nobody waits for an answer.
                case _:
                    raise ConnectionError(str(message))

    def _take(self, report: dict[str, Any]) -> None:
        now, utc = time.monotonic_ns(), time.time_ns()
        seq = int(report["seq"])
        if self._seq is not None and seq != self._seq + 1:
            raise ConnectionError(f"after report {self._seq} came {seq}")
        self._seq = seq
        if report.get("execType") != "TRADE":
            return
        # Nobody waits for one that was still on its way from the load before this.
        if filled := self._waiting.pop(report["clOrdId"], None):
            self._heard[report["execId"]] = now, utc - _nanoseconds(report["transactTime"])
            filled.set()


def _nanoseconds(instant: str) -> int:
    """Read an instant in UTC, such as 2026-01-31T12:00:00.123456789Z."""
    whole, _, fraction = instant.removesuffix("Z").partition(".")
    seconds = int(datetime.fromisoformat(f"{whole}+00:00").timestamp())
    return seconds * 1_000_000_000 + int(fraction.ljust(9, "0") or 0)


def main() -> None:
    """Do what standard input says."""
    load = Load(**json.load(sys.stdin))
    json.dump(dataclasses.asdict(uvloop.run(Path(load).run())), sys.stdout)


if __name__ == "__main__":
    main()
