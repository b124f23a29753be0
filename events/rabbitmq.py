"""The bus over RabbitMQ: one connection that publishes, one that listens, each begun again by us.

Two connections, because RabbitMQ stops reading from whoever publishes while it is short of memory
or disk, and must go on being heard. Plain ones, because aio-pika's robust connections hang a
publish while they reconnect. Whatever fails here costs time alone: rows stay in the outbox, and
streams look into the store.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aio_pika import Connection, DeliveryMode, Message
from aio_pika.abc import (
    AbstractChannel,
    AbstractExchange,
    AbstractIncomingMessage,
    HeadersType,
)
from aio_pika.connection import make_url

from events.broadcaster import Handoff
from events.codec import Channel
from events.relay import BusUnavailable
from events.topology import Topology
from trading.mounted import now
from trading.ports import Clock

logger = logging.getLogger(__name__)

OPEN_WITHIN_S = 5.0
CLOSE_WITHIN_S = 3.0
PUBLISH_WITHIN_S = 2.0
HEARTBEAT_S = 5
PAUSE_MIN_S, PAUSE_MAX_S = 0.1, 5.0
PREFETCH = 256

_DATABASE = "database"
"""The header that names the database of which a message tells."""

_TRACEPARENT = "traceparent"
"""The header that names the trace of an order that it tells of, as W3C Trace Context has it."""

_LASTING = frozenset({Channel.REPORTS, Channel.STATES})


class RabbitBus:
    """The `Bus` of one process among many. `process` names it, and no two share a name.

    `database` is the identity of the database that they share. What those of another one tell is
    passed over, for its accounts may have the same ids.

    A message goes to this process first and directly, so that its own streams need no RabbitMQ;
    the copy that comes back is passed over.
    """

    def __init__(
        self,
        *,
        url: str,
        topology: Topology,
        handoff: Handoff,
        clock: Clock,
        process: str,
        database: str,
    ) -> None:
        """Take the address, `amqp://user:password@host/vhost`; nothing is opened before `run`."""
        self._handoff = handoff
        self._publisher = _Publisher(url, topology, process, database)
        self._listener = _Listener(url, topology, process, database, handoff)
        self._clock = clock

    @property
    def is_up(self) -> bool:
        """Whether messages are both sent and heard."""
        return self._publisher.is_up and self._listener.is_up

    @property
    def foreign(self) -> int:
        """How many messages of other databases were passed over."""
        return self._listener.foreign

    async def run(self) -> None:
        """Keep both connections until canceled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_kept(self._publisher.serve, "publishing", self._clock))
            tasks.create_task(_kept(self._listener.serve, "listening", self._clock))

    async def publish(
        self, channel: Channel, message: bytes, traceparent: str | None = None
    ) -> None:
        """Hand a message over, and wait until RabbitMQ confirms it. Raises BusUnavailable."""
        await self._handoff.publish(channel, message)
        await self._publisher.publish(channel, message, traceparent)


async def _kept(
    serve: Callable[[Callable[[], None]], Awaitable[None]], what: str, clock: Clock
) -> None:
    """Serve again whenever it ends, after a pause that grows from 0.1 to 5 seconds."""
    pause_s = PAUSE_MIN_S
    is_told = False

    def up() -> None:
        nonlocal pause_s, is_told
        pause_s, is_told = PAUSE_MIN_S, False
        logger.info("RabbitMQ: %s", what)

    while True:
        try:
            await serve(up)
        except Exception as error:  # noqa: BLE001 - whatever ended it, it is begun again
            # Once for each outage, because it is tried every few seconds.
            if not is_told:
                logger.warning("RabbitMQ: %s failed and is tried again: %s", what, _said(error))
            is_told = True
        await clock.sleep(pause_s)
        pause_s = min(2 * pause_s, PAUSE_MAX_S)


def _said(error: Exception) -> str:
    if isinstance(error, ExceptionGroup):
        return _said(error.exceptions[0])
    return str(error) or type(error).__name__


class _Line:
    """An open connection with one channel, and what ended it."""

    def __init__(self, connection: Connection, channel: AbstractChannel) -> None:
        self.channel = channel
        self._connection = connection
        self._ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        connection.close_callbacks.add(lambda _, error: self.end(f"connection closed: {error!r}"))
        channel.close_callbacks.add(lambda _, error: self.end(f"channel closed: {error!r}"))

    def end(self, why: str) -> None:
        if not self._ended.done():
            self._ended.set_result(why)

    async def ended(self) -> None:
        """Wait for the end, and raise it."""
        raise ConnectionError(await self._ended)

    async def unblocked(self) -> None:
        """Wait while RabbitMQ asks not to be sent anything."""
        if (transport := self._connection.transport) is None:
            raise ConnectionError("the connection is closed")
        await transport.ready()


@asynccontextmanager
async def _line(url: str, name: str, *, confirms: bool) -> AsyncIterator[_Line]:
    """Open a connection and a channel, and close them however it ends, both within bounds."""
    connection = Connection(make_url(now(url), heartbeat=HEARTBEAT_S, name=name))
    try:
        async with asyncio.timeout(OPEN_WITHIN_S):
            await connection.connect()
            channel = connection.channel(publisher_confirms=confirms)
            await channel.initialize()
        yield _Line(connection, channel)
    finally:
        # RabbitMQ does not answer a connection that it blocks.
        try:
            async with asyncio.timeout(CLOSE_WITHIN_S):
                await connection.close()
        except TimeoutError:
            logger.warning("RabbitMQ did not answer the end of %s", name)


class _Publisher:
    """Sends messages, each confirmed."""

    def __init__(self, url: str, topology: Topology, process: str, database: str) -> None:
        self._url, self._topology, self._process = url, topology, process
        self._headers: HeadersType = {_DATABASE: database}
        self._open: tuple[_Line, AbstractExchange] | None = None

    @property
    def is_up(self) -> bool:
        return self._open is not None

    async def serve(self, up: Callable[[], None]) -> None:
        """Be open to publish until the connection ends, and raise why."""
        async with _line(self._url, f"{self._process} publishes", confirms=True) as line:
            async with asyncio.timeout(OPEN_WITHIN_S):
                exchange = await self._topology.declare_exchange(line.channel)
                await self._topology.declare_outside(line.channel)
            self._open = line, exchange
            up()
            try:
                await line.ended()
            finally:
                self._open = None

    async def publish(self, channel: Channel, message: bytes, traceparent: str | None) -> None:
        if self._open is None:
            raise BusUnavailable("there is no connection to RabbitMQ")
        line, exchange = self._open
        # A quote or a ring is worth nothing when it has waited.
        await self._wait_while_blocked(line, PUBLISH_WITHIN_S if channel in _LASTING else 0)
        wrapped = self._wrapped(channel, message, traceparent)
        try:
            async with asyncio.timeout(PUBLISH_WITHIN_S):
                await exchange.publish(wrapped, channel, mandatory=False)
        except TimeoutError:
            await self._wait_while_blocked(line, 0)
            # Nobody blocks it and nothing is confirmed: the connection is dead at the other end, or
            # a quorum queue has no leader, and then a new connection does no harm.
            line.end("a message was not confirmed in time")
            raise BusUnavailable("RabbitMQ did not confirm in time") from None
        except Exception as error:
            raise BusUnavailable(_said(error)) from error

    async def _wait_while_blocked(self, line: _Line, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await line.unblocked()
        except TimeoutError:
            raise BusUnavailable(
                "RabbitMQ takes no messages while it is short of memory or disk"
            ) from None
        except ConnectionError as error:
            raise BusUnavailable(_said(error)) from error

    def _wrapped(self, channel: Channel, message: bytes, traceparent: str | None) -> Message:
        lasting = channel in _LASTING
        headers = self._headers
        if traceparent is not None:
            headers = {**headers, _TRACEPARENT: traceparent}
        return Message(
            message,
            content_type="application/json",
            type=channel,
            app_id=self._process,
            headers=headers,
            delivery_mode=DeliveryMode.PERSISTENT if lasting else DeliveryMode.NOT_PERSISTENT,
        )


class _Listener:
    """Hears what all processes publish, and hands it over in order, a bounded number at a time."""

    def __init__(
        self, url: str, topology: Topology, process: str, database: str, handoff: Handoff
    ) -> None:
        self._url, self._topology, self._process = url, topology, process
        self._database, self._handoff = database, handoff
        self._lines = 0
        self.foreign = 0
        self.is_up = False

    async def serve(self, up: Callable[[], None]) -> None:
        """Hand messages over until the connection ends, and raise why."""
        # A queue of its own for each connection: RabbitMQ may not know yet that the last one died.
        self._lines += 1
        name = f"{self._process}.{self._lines}"
        async with _line(self._url, f"{name} listens", confirms=False) as line:
            held: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
            async with asyncio.timeout(OPEN_WITHIN_S):
                await self._consume(line, name, held)
            self.is_up = True
            up()
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(line.ended())
                    tasks.create_task(self._hand_over(held))
            finally:
                self.is_up = False
                if self.foreign:
                    logger.info("RabbitMQ: %d messages of other databases so far", self.foreign)

    async def _consume(
        self, line: _Line, name: str, held: asyncio.Queue[AbstractIncomingMessage]
    ) -> None:
        # What is held is bounded by it: RabbitMQ waits for an acknowledgement before it sends more.
        await line.channel.set_qos(prefetch_count=PREFETCH)
        queue = await self._topology.declare_process(line.channel, name)
        below = await line.channel.get_underlay_channel()
        below.on_consumer_cancel_callbacks.add(lambda _: line.end("the queue was deleted"))
        await queue.consume(held.put)

    async def _hand_over(self, held: asyncio.Queue[AbstractIncomingMessage]) -> None:
        while True:
            message = await held.get()
            # The release before says nothing of its database.
            if message.headers.get(_DATABASE, self._database) != self._database:
                self._pass_over(message)
            elif message.app_id != self._process:
                await self._take(message)
            if held.empty():
                await message.ack(multiple=True)

    def _pass_over(self, message: AbstractIncomingMessage) -> None:
        """Count what is not for us, and say so once: there may be very much of it."""
        self.foreign += 1
        if self.foreign == 1:
            logger.warning(
                "RabbitMQ: messages of another database, %s, are passed over: give each deployment"
                " a vhost of its own",
                message.headers[_DATABASE],
            )

    async def _take(self, message: AbstractIncomingMessage) -> None:
        try:
            await self._handoff.publish(message.routing_key or "", message.body)
        except UnicodeDecodeError:
            logger.warning("a message that is no text is passed over: %s", message.routing_key)
