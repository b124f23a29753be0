"""The floor: a bare ASGI handler that writes an order's rows in natural batches, and nothing else.

No GraphQL, no authentication, no risk, no broker: what is above this is what those cost. Run as
`python -m bench.floor DATABASE_URL PORT`.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import asyncpg
import orjson
import uvicorn
from sqlalchemy.dialects import postgresql

from bench import rows
from persistence import tables

_BATCH_MAX = 64
_LOCK = "SELECT id, last_seq FROM accounts WHERE id = ANY($1) ORDER BY id FOR UPDATE"
_KNOWN = (
    "SELECT account_id, cl_ord_id FROM cl_ord_ids WHERE (account_id, cl_ord_id)"
    " IN (SELECT * FROM unnest($1::text[], $2::text[]))"
)
_COUNT = (
    "UPDATE accounts SET last_seq = n.seq FROM unnest($1::text[], $2::bigint[]) AS n (id, seq)"
    " WHERE accounts.id = n.id"
)

type _Pending = tuple[Mapping[str, Any], asyncio.Future[dict[str, Any]]]


def _insert(name: str) -> str:
    """Write the statement that inserts any number of rows, from an array for each column."""
    names = rows.columns(name)
    types = [_type(name, each) for each in names]
    arrays = ", ".join(f"${at}::{kind}[]" for at, kind in enumerate(types, 1))
    return f"INSERT INTO {name} ({', '.join(names)}) SELECT * FROM unnest({arrays})"  # noqa: S608


def _type(table: str, column: str) -> str:
    kind = tables.metadata.tables[table].c[column].type
    return kind.compile(postgresql.dialect()).split(" COLLATE", maxsplit=1)[0]  # type: ignore[no-untyped-call]


_INSERTS = {table.name: _insert(table.name) for table in rows.TABLES}


class Batches:
    """Writes what is queued now in one transaction, and answers each of it."""

    def __init__(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        """Take the one connection."""
        self._connection = connection
        self._queue: deque[_Pending] = deque()
        self._filled = asyncio.Event()

    async def put(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Queue an order, and return what a client is told once it is committed."""
        done: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._queue.append((order, done))
        self._filled.set()
        return await done

    async def run(self) -> None:
        """Write until canceled."""
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._queue:
                count = min(len(self._queue), _BATCH_MAX)
                await self._write([self._queue.popleft() for _ in range(count)])

    async def _write(self, batch: Sequence[_Pending]) -> None:
        accounts = sorted({order["accountId"] for order, _ in batch})
        keys = zip(*((order["accountId"], order["clOrdId"]) for order, _ in batch), strict=True)
        async with self._connection.transaction():
            seqs = {
                row["id"]: row["last_seq"] for row in await self._connection.fetch(_LOCK, accounts)
            }
            if await self._connection.fetch(_KNOWN, *map(list, keys)):
                raise ValueError("a ClOrdID comes twice")
            made = []
            for order, _ in batch:
                seqs[order["accountId"]] += 1
                made.append(rows.rows(order, seqs[order["accountId"]]))
            for name, statement in _INSERTS.items():
                arrays = [[each[name][column] for each in made] for column in rows.columns(name)]
                await self._connection.execute(statement, *arrays)
            await self._connection.execute(_COUNT, list(seqs), list(seqs.values()))
        for (order, done), each in zip(batch, made, strict=True):
            done.set_result(rows.answer(order, each))


type Send = Callable[[Mapping[str, Any]], Awaitable[None]]
type Receive = Callable[[], Awaitable[Mapping[str, Any]]]


class Handler:
    """The ASGI application."""

    def __init__(self, batches: Batches) -> None:
        """Take where orders go."""
        self._batches = batches

    async def __call__(self, _scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        body = b""
        is_more = True
        while is_more:
            message = await receive()
            body += message["body"]
            is_more = message["more_body"]
        placed = await self._batches.put(orjson.loads(body)["variables"]["input"])
        answer = orjson.dumps({"data": {"placeOrder": placed}})
        length = str(len(answer)).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", length)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})


async def serve(url: str, port: int) -> None:
    """Serve until a signal."""
    batches = Batches(await asyncpg.connect(url))
    worker = asyncio.create_task(batches.run())
    config = uvicorn.Config(
        Handler(batches), port=port, log_level="warning", access_log=False, lifespan="off"
    )
    await uvicorn.Server(config).serve()
    worker.cancel()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvicorn.Config(str, loop="uvloop").get_loop_factory()) as loop:
        loop.run(serve(sys.argv[1], int(sys.argv[2])))
