"""The session's one stream: over as many links as it takes, with what each may have missed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing

from brokers.alpaca.chains import Chains
from brokers.alpaca.claims import Claims
from brokers.alpaca.client import AlpacaClient
from brokers.alpaca.feed import Feed, NoReplay, event_in
from brokers.alpaca.messages import Unreadable, cursor_time, fill_key, update_of
from brokers.alpaca.watermark import Watermark
from brokers.instants import format_instant
from trading.execution import BrokerEvent, LinkEvent
from trading.ports import BrokerError, Clock, Unavailable

logger = logging.getLogger(__name__)

_INBOX_MAX = 1024
_PAUSES_S = (0.1, 0.5, 1.0, 2.0, 5.0)
_OVERLAP_NS = 5_000_000_000
"""How far before the last event fills are asked for again: what is told twice has one key."""

type _Item = BrokerEvent | LinkEvent | Exception | None


class Stream:
    """Reads links one after another. It is for one consumer, who is waited for."""

    def __init__(
        self,
        *,
        client: AlpacaClient,
        feed: Feed,
        chains: Chains,
        claims: Claims,
        watermark: Watermark,
        clock: Clock,
        cursor: str,
        resumes: bool,
    ) -> None:
        """Go on after a cursor. `resumes` says that it is one which was recorded."""
        self._client = client
        self._feed = feed
        self._chains = chains
        self._claims = claims
        self._watermark = watermark
        self._clock = clock
        self._cursor = cursor
        self._resumes = resumes
        self._replays = True
        self._inbox: asyncio.Queue[_Item] = asyncio.Queue(_INBOX_MAX)
        self._linked = asyncio.Event()
        self._running = asyncio.create_task(self._run(), name="alpaca-stream")
        self._failures = 0

    async def linked(self) -> None:
        """Wait until a first link is open."""
        await self._linked.wait()

    async def close(self) -> None:
        """End the link and the stream."""
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)
        while not self._inbox.empty():
            self._inbox.get_nowait()
        self._inbox.put_nowait(None)

    async def events(self) -> AsyncIterator[BrokerEvent | LinkEvent]:
        """Yield what comes, until the close."""
        while (item := await self._inbox.get()) is not None:
            if isinstance(item, Exception):
                raise item
            yield item

    # --- links ---

    async def _run(self) -> None:
        while True:
            try:
                await self._link()
            except BrokerError as error:
                logger.warning("the link to Alpaca's stream: %s", error)
            except Exception as defect:
                await self._inbox.put(defect)
                raise
            pause_s = _PAUSES_S[min(self._failures, len(_PAUSES_S) - 1)]
            self._failures += 1
            await self._clock.sleep(pause_s)

    async def _link(self) -> None:
        """Read one link to its end, beside the watermark, and let go of both."""
        work = {
            asyncio.create_task(self._read(), name="alpaca-link"),
            asyncio.create_task(self._watermark.watch(), name="alpaca-watermark"),
        }
        try:
            done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
        for task in done:
            task.result()

    async def _read(self) -> None:
        if self._replays:
            try:
                await self._read_replay()
            except NoReplay as error:
                logger.info("Alpaca's socket is used: %s", error)
                self._replays = False
            else:
                raise Unavailable("Alpaca has ended its stream")
        await self._read_socket()

    async def _read_replay(self) -> None:
        async with aclosing(self._feed.replayed(self._cursor)) as messages:  # type: ignore[type-var]
            async for raw in messages:
                if not self._linked.is_set() or self._failures:
                    await self._opened()
                if raw is not None:
                    await self._take(raw)

    async def _read_socket(self) -> None:
        async with self._feed.live() as messages:
            if self._resumes:
                await self._catch_up()
            await self._opened()
            async for raw in messages:
                await self._take(raw)
        raise Unavailable("Alpaca has closed the socket")

    async def _opened(self) -> None:
        await self._watermark.begin()
        self._failures, self._resumes = 0, True
        self._linked.set()

    async def _catch_up(self) -> None:
        """Bring the fills that were missed, and have everything else compared."""
        since = cursor_time(self._cursor) - _OVERLAP_NS
        async with aclosing(self._client.fills(format_instant(since))) as fills:  # type: ignore[type-var]
            async for activity, raw in fills:
                wire_id = await self._chains.wire_id_of(activity.order_id)
                await self._inbox.put(self._claims.fill(activity, wire_id, raw))
        await self._gap("the socket was away, and does not tell again what happened meanwhile")

    # --- messages ---

    async def _take(self, raw: bytes) -> None:
        try:
            if (given := event_in(raw)) is None:
                return
            update = update_of(given, raw)
        except (Unreadable, ValueError) as error:
            await self._gap(f"Alpaca's stream cannot be read: {error}")
            return
        for claim in await self._claims.of(update):
            await self._inbox.put(claim)
        self._cursor = update.cursor
        order = update.order
        is_fill = update.qty is not None
        fill = fill_key(order.id, order.filled_qty) if is_fill else None
        self._watermark.hear(max(update.at, order.updated_at), fill)

    async def _gap(self, text: str) -> None:
        await self._inbox.put(LinkEvent(received_at=self._clock.now(), text=text))
