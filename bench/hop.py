"""The floor of the report path: lines from a socket, over RabbitMQ, to the frames of a WebSocket.

Nothing is understood, recorded or checked on the way. It is two processes, `python -m bench.hop
publish AMQP NAME PORT` and `python -m bench.hop deliver AMQP NAME PORT`. One without arguments puts
the load on: a `Load` on standard input, a `Measured` on standard output, as of `bench.reports`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
import time

import aio_pika
import orjson
import uvloop
from aio_pika.abc import AbstractExchange, AbstractIncomingMessage
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from bench.load import Load, Measured, measured
from bench.websocket import Socket

_PATIENCE_S = 30
_CHUNK = 65_536
# As long as what the exchange says of a fill.
_REPORT = {"exec_type": "TRADE", "text": "x" * 300}


async def publish(url: str, name: str, port: int) -> None:
    """Send what has come in meanwhile as one message, and the next once that is confirmed."""
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel(publisher_confirms=True)
        exchange = await _exchange(channel, name)

        async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            rest = b""
            while data := await reader.read(_CHUNK):
                whole, found, rest = (rest + data).rpartition(b"\n")
                if found:
                    await exchange.publish(aio_pika.Message(whole), routing_key="")
            writer.close()

        server = await asyncio.start_server(pump, "127.0.0.1", port)
        await server.serve_forever()


async def deliver(url: str, name: str, port: int) -> None:
    """Send each line of a message to every client, in a frame of its own."""
    clients: set[ServerConnection] = set()

    async def greet(client: ServerConnection) -> None:
        await client.recv()
        clients.add(client)
        await client.send('{"type":"connection_ack"}')
        await client.wait_closed()
        clients.discard(client)

    async def pump(message: AbstractIncomingMessage) -> None:
        for line in message.body.split(b"\n"):
            frame = b'{"id":"1","type":"next","payload":%b}' % line
            for client in clients:
                await client.send(frame, text=True)

    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind(await _exchange(channel, name))
        await queue.consume(pump, no_ack=True)
        protocol = [Subprotocol("graphql-transport-ws")]
        async with serve(greet, "127.0.0.1", port, subprotocols=protocol, compression=None):
            await asyncio.Event().wait()


async def _exchange(channel: aio_pika.abc.AbstractChannel, name: str) -> AbstractExchange:
    return await channel.declare_exchange(name, aio_pika.ExchangeType.FANOUT, auto_delete=True)


async def follow(load: Load) -> Measured:
    """Keep lines under way until it is time: a new one for each that is heard."""
    _, broker = await asyncio.open_connection("127.0.0.1", load.port)
    client = await Socket.opened(load.watched, load.token)
    sent: dict[int, int] = {}
    made, took = 0, list[int]()
    began = time.monotonic_ns()
    ends = began + int(load.seconds * 1e9)

    def tell() -> None:
        nonlocal made
        made += 1
        sent[made] = time.monotonic_ns()
        broker.write(orjson.dumps({"number": made, **_REPORT}) + b"\n")

    for _ in range(load.in_flight):
        tell()
    async with asyncio.timeout(load.seconds + _PATIENCE_S):
        async for message in client.messages():
            now = time.monotonic_ns()
            took.append(now - sent.pop(message["payload"]["number"]))  # type: ignore[index]
            if now < ends:
                tell()
            elif not sent:
                break
    client.close()
    broker.close()
    return measured(took, time.monotonic_ns() - began, [])


def main() -> None:
    """Do what the arguments say, or standard input."""
    match sys.argv[1:]:
        case ["publish", url, name, port]:
            uvloop.run(publish(url, name, int(port)))
        case ["deliver", url, name, port]:
            uvloop.run(deliver(url, name, int(port)))
        case _:
            load = Load(**json.load(sys.stdin))
            json.dump(dataclasses.asdict(uvloop.run(follow(load))), sys.stdout)


if __name__ == "__main__":
    main()
