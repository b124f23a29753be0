"""The watermark: what the account shows by REST, which the stream must have told by now.

A socket can stay open, and answer its heartbeats, and bring nothing.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import NamedTuple

from brokers.alpaca.client import AlpacaClient
from brokers.alpaca.messages import fill_key
from trading.ports import BrokerError, Clock, Unavailable

logger = logging.getLogger(__name__)

_EVERY_S = 5.0
_NEWEST = 50
_FILLS_KEPT = 1000


class Mark(NamedTuple):
    """When the account changed last, in UTC nanoseconds, and the key of its last fill."""

    at: int
    fill: str | None


class Watermark:
    """Compares the newest change of the account with the newest that was heard."""

    def __init__(self, client: AlpacaClient, clock: Clock, every_s: float = _EVERY_S) -> None:
        """Take what answers by REST; a mute stream is noticed after two rounds."""
        self._client = client
        self._clock = clock
        self._every_s = every_s
        self._heard_at = 0
        self._fills: deque[str] = deque(maxlen=_FILLS_KEPT)

    def hear(self, at: int, fill: str | None = None) -> None:
        """Take in when something happened that the stream has told, and which fill it was."""
        self._heard_at = max(self._heard_at, at)
        if fill is not None:
            self._fills.append(fill)

    async def begin(self) -> None:
        """Take all that the account shows for heard, as a new link begins. Raises BrokerError.

        Alpaca changes orders now and then without an event: that costs one new link and no more.
        """
        self.hear(*await self._mark())

    async def watch(self) -> None:
        """Look until the stream is found to be mute, and raise Unavailable then."""
        suspected = Mark(0, None)
        while True:
            await self._clock.sleep(self._every_s)
            try:
                mark = await self._mark()
            except BrokerError as error:
                logger.warning("Alpaca's stream could not be compared: %s", error)
                continue
            if self._is_news(suspected):
                raise Unavailable("Alpaca's stream is mute: the account has changed without it")
            suspected = mark

    def _is_news(self, mark: Mark) -> bool:
        # Several things happen at one instant, so that time alone does not tell a fill.
        return mark.at > self._heard_at or (mark.fill is not None and mark.fill not in self._fills)

    async def _mark(self) -> Mark:
        orders = await self._client.newest_orders(_NEWEST)
        fill = await self._client.newest_fill()
        changes = [order.updated_at for order in orders] + ([fill.at] if fill else [])
        told = fill_key(fill.order_id, fill.cum_qty) if fill else None
        return Mark(max(changes, default=0), told)
