"""The load of the section `query`: one request over and over, on so many connections.

It reads an `Asked` as JSON from standard input and writes a `Measured` to standard output.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
import time
from dataclasses import dataclass

import uvloop

from bench.load import Lane, Measured, measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What to ask, for how long; an answer without `contains` is a failure."""

    port: int
    token: str
    body: str
    contains: str
    connections: int
    seconds: float


async def run(asked: Asked) -> Measured:
    """Ask until it is time."""
    body = asked.body.encode()
    request = (
        f"POST /graphql HTTP/1.1\r\nHost: 127.0.0.1:{asked.port}\r\n"
        f"Authorization: Bearer {asked.token}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    took, refused, wanted = list[int](), list[str](), asked.contains.encode()
    began = time.perf_counter_ns()
    ends = began + int(asked.seconds * 1e9)

    def answered(ns: int, head: bytes, answer: bytes) -> None:
        took.append(ns)
        if wanted not in answer and not refused:
            refused.append((head.split(b"\r\n")[0] + b" " + answer[:300]).decode())

    def send_next() -> bytes | None:
        return None if time.perf_counter_ns() >= ends else request

    loop = asyncio.get_running_loop()
    made = [
        await loop.create_connection(lambda: Lane(send_next, answered), "127.0.0.1", asked.port)
        for _ in range(asked.connections)
    ]
    await asyncio.gather(*(lane.done for _, lane in made))
    return measured(took, time.perf_counter_ns() - began, refused)


if __name__ == "__main__":
    done = uvloop.run(run(Asked(**json.load(sys.stdin))))
    json.dump(dataclasses.asdict(done), sys.stdout)
