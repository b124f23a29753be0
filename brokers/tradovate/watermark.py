"""The watermark: what Tradovate shows by REST, which the stream must have told by now.

A socket can stay open, and answer its heartbeats, and bring nothing; one whose session has expired
does.
"""

from __future__ import annotations

import logging

from brokers.tradovate.client import TradovateClient
from brokers.tradovate.messages import Fill, TradovateOrder
from brokers.tradovate.mirror import Mirror
from trading.ports import BrokerError, Clock, Unavailable

logger = logging.getLogger(__name__)

type _News = frozenset[TradovateOrder | Fill]


class Watermark:
    """Compares orders and fills with those that were heard of; two rounds find a mute stream."""

    def __init__(
        self, client: TradovateClient, mirror: Mirror, clock: Clock, every_s: float
    ) -> None:
        """Take what answers by REST, and what the stream has told."""
        self._client = client
        self._mirror = mirror
        self._clock = clock
        self._every_s = every_s

    async def watch(self) -> None:
        """Look until the stream is found to be mute, and raise Unavailable then."""
        suspected: _News = frozenset()
        while True:
            await self._clock.sleep(self._every_s)
            try:
                news = await self._news()
            except BrokerError as error:
                logger.warning("Tradovate's stream could not be compared: %s", error)
                continue
            # What has changed again since is told anew, and may be on its way.
            if any(not self._mirror.shows(each) for each in suspected & news):
                raise Unavailable("Tradovate's stream is mute: orders have changed without it")
            suspected = news

    async def _news(self) -> _News:
        orders, fills = await self._client.orders(), await self._client.fills()
        shown: list[TradovateOrder | Fill] = [*orders, *fills]
        return frozenset(each for each in shown if not self._mirror.shows(each))
