"""What stands on RabbitMQ: every name, and how each exchange and queue is declared.

Names bear the environment and the version of the messages, so that neither two environments nor
two versions ever meet. What is declared differently from what stands there is refused by RabbitMQ:
a change of arguments takes a new version, or the queue deleted by hand.
"""

from __future__ import annotations

from dataclasses import dataclass

from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel, AbstractExchange, AbstractQueue

from events.codec import VERSION, Channel
from trading.ports import Environment

PROCESS_MESSAGES_MAX = 4_096
OUTSIDE_MESSAGES_MAX = 100_000
OUTSIDE_BYTES_MAX = 256 * 1024 * 1024
DEAD_MESSAGES_MAX = 10_000
DELIVERIES_MAX = 5

OUTSIDE_CHANNELS = (Channel.REPORTS, Channel.STATES)


type Arguments = dict[str, str | int]


@dataclass(frozen=True, slots=True)
class Topology:
    """The exchanges and queues of one environment. A message's routing key is its channel."""

    environment: Environment

    @property
    def exchange(self) -> str:
        """The topic exchange to which every message goes."""
        return self._name("news")

    @property
    def outside(self) -> str:
        """The durable queue for consumers outside, with reports and changes of state."""
        return self._name("outside")

    @property
    def dead(self) -> str:
        """The exchange, and the queue of the same name, of messages that nobody could take."""
        return self._name("dead")

    def _name(self, last: str) -> str:
        return f"drawbridge.{self.environment}.v{VERSION}.{last}"

    async def declare_exchange(self, channel: AbstractChannel) -> AbstractExchange:
        """Declare the topic exchange."""
        return await channel.declare_exchange(self.exchange, ExchangeType.TOPIC, durable=True)

    async def declare_outside(self, channel: AbstractChannel) -> None:
        """Declare the durable queue and its dead letters.

        It drops the oldest when it is full, because a consumer that has gone must not stop the
        relay; and has one active consumer, because several would break the order.
        """
        dead = await channel.declare_exchange(self.dead, ExchangeType.FANOUT, durable=True)
        letters = await self._durable(channel, self.dead, DEAD_MESSAGES_MAX, {})
        await letters.bind(dead, routing_key="")
        arguments: Arguments = {
            "x-delivery-limit": DELIVERIES_MAX,
            "x-dead-letter-exchange": self.dead,
            "x-single-active-consumer": True,
        }
        queue = await self._durable(channel, self.outside, OUTSIDE_MESSAGES_MAX, arguments)
        exchange = await self.declare_exchange(channel)
        for each in OUTSIDE_CHANNELS:
            await queue.bind(exchange, routing_key=each)

    async def _durable(
        self, channel: AbstractChannel, name: str, messages_max: int, arguments: Arguments
    ) -> AbstractQueue:
        bounds: Arguments = {
            "x-queue-type": "quorum",
            "x-max-length": messages_max,
            "x-max-length-bytes": OUTSIDE_BYTES_MAX,
            "x-overflow": "drop-head",
        }
        return await channel.declare_queue(name, durable=True, arguments={**bounds, **arguments})

    async def declare_process(self, channel: AbstractChannel, process: str) -> AbstractQueue:
        """Declare the queue of one connection of one process, gone when the connection is.

        It is full only while the process hangs, and then drops the oldest: streams find in the log
        what they missed.
        """
        queue = await channel.declare_queue(
            self._name(f"process.{process}"),
            exclusive=True,
            auto_delete=True,
            arguments={"x-max-length": PROCESS_MESSAGES_MAX, "x-overflow": "drop-head"},
        )
        await queue.bind(await self.declare_exchange(channel), routing_key="#")
        return queue
