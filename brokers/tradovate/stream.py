"""The session's one stream: over as many sockets as it takes, each begun by a snapshot.

Tradovate replays nothing. A snapshot has every order, command and execution of the day, so that
what the socket before has missed is told from it, before any change after it counts.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Collection, Mapping
from typing import Any

from brokers.link.body import encode
from brokers.tradovate.claims import Claims
from brokers.tradovate.dossier import Dossier
from brokers.tradovate.link import TradovateLink
from brokers.tradovate.messages import (
    CommandReport,
    ExecutionReport,
    Unreadable,
    cursor_time,
    document,
)
from brokers.tradovate.mirror import KINDS, Mirror, Told
from brokers.tradovate.socket import Socket
from brokers.tradovate.token import Token
from brokers.tradovate.watermark import Watermark
from trading.execution import BrokerEvent, LinkEvent
from trading.ports import BrokerError, Clock, RateLimited, Unauthorized, Unavailable

logger = logging.getLogger(__name__)

_SYNC = "user/syncrequest"
_ASKED: Mapping[str, Any] = {"splitResponses": False, "entityTypes": list(KINDS)}
_INBOX_MAX = 1024
_PAUSES_S = (0.1, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0)
_STEADY_NS = 10_000_000_000
"""A link that has lasted so long was a good one: who is thrown out again and again waits longer."""

_OVERLAP_NS = 5_000_000_000
"""How far before a recorded cursor reports are told again: what is told twice has one key."""

_TOLD_MAX = 1_000_000

type _Item = BrokerEvent | LinkEvent | Exception | None


class Stream:
    """Reads sockets one after another. It is for one consumer, who is waited for."""

    def __init__(
        self,
        *,
        link: TradovateLink,
        claims: Claims,
        mirror: Mirror,
        watermark: Watermark,
        clock: Clock,
        accounts: Collection[int],
        resume_from: str | None,
    ) -> None:
        """Go on after a cursor that was recorded, or from the first snapshot.

        `accounts` are those whose orders are told of.
        """
        self._link = link
        self._claims = claims
        self._mirror = mirror
        self._watermark = watermark
        self._clock = clock
        self._accounts = accounts
        self._since = None if resume_from is None else cursor_time(resume_from) - _OVERLAP_NS
        self._told: OrderedDict[tuple[type[Told], int], None] = OrderedDict()
        self._inbox: asyncio.Queue[_Item] = asyncio.Queue(_INBOX_MAX)
        self._linked = asyncio.Event()
        self._opened_at = 0
        self._failures = 0
        self._why: str | None = None if resume_from is None else "the process has begun anew"
        self._running = asyncio.create_task(self._run(), name="tradovate-stream")

    @property
    def is_live(self) -> bool:
        """Whether a socket is open whose snapshot has been taken in."""
        return self._linked.is_set()

    async def linked(self) -> None:
        """Wait until there is such a socket."""
        await self._linked.wait()

    async def close(self) -> None:
        """End the socket and the stream."""
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

    # --- sockets ---

    async def _run(self) -> None:
        while True:
            wait_s = 0.0
            try:
                await self._one()
            except BrokerError as error:
                logger.warning("the socket to Tradovate: %s", error)
                self._why = str(error)
                wait_s = error.retry_after_s if isinstance(error, RateLimited) else 0.0
            except Exception as defect:
                await self._inbox.put(defect)
                raise
            finally:
                self._linked.clear()
            if self._opened_at and self._clock.monotonic() - self._opened_at > _STEADY_NS:
                self._failures = 0
            await self._clock.sleep(max(self._pause_s(), wait_s))

    def _pause_s(self) -> float:
        """Return how long to wait before the next socket: never past the end of maintenance."""
        pause_s = _PAUSES_S[min(self._failures, len(_PAUSES_S) - 1)]
        self._failures += 1
        if 0 < (shut_s := self._link.shut_s()) <= pause_s:
            self._failures = 0
            return shut_s
        return pause_s

    async def _one(self) -> None:
        """Open a socket, take in its snapshot, and read it to its end."""
        self._opened_at = 0
        self._link.penalties.check(_SYNC)
        token = await self._link.client.token()
        try:
            async with self._link.socket() as socket:
                await socket.authorize(token.value)
                await self._merge(await self._snapshot(socket))
                self._opened_at = self._clock.monotonic()
                self._linked.set()
                await self._follow(socket, token)
        except Unauthorized:
            self._link.login.spoil(token.value)
            raise

    async def _snapshot(self, socket: Socket) -> Mapping[str, Any]:
        penalties = self._link.penalties
        while True:
            answer = await socket.request(_SYNC, penalties.with_ticket(_SYNC, _ASKED))
            try:
                found = document(answer)
                penalties.examine(_SYNC, _ASKED, found)
            except ValueError as error:
                raise Unavailable(f"Tradovate's snapshot cannot be read: {error}") from error
            except RateLimited as limit:
                await self._clock.sleep(limit.retry_after_s)
                continue
            return found

    async def _merge(self, snapshot: Mapping[str, Any]) -> None:
        """Tell what the snapshot has that was not told, and have the rest compared."""
        try:
            self._mirror.load(snapshot)
        except Unreadable as error:
            raise Unavailable(f"Tradovate's snapshot cannot be read: {error}") from error
        begins, since = self._since is None, self._since or 0
        for each, given in self._mirror.told():
            if begins or each.at < since:
                self._remember(each)
            else:
                await self._tell(each, encode(given))
        self._since = since
        if self._why is not None:
            await self._gap(self._why)

    async def _follow(self, socket: Socket, token: Token) -> None:
        """Read a socket beside the watermark and the renewal of its token, until one fails."""
        work = {
            asyncio.create_task(self._read(socket), name="tradovate-socket"),
            asyncio.create_task(self._keep(socket, token), name="tradovate-token"),
            asyncio.create_task(self._watermark.watch(), name="tradovate-watermark"),
        }
        try:
            done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
        for task in done:
            task.result()

    async def _keep(self, socket: Socket, shown: Token) -> None:
        """Renew the token in time, and show the socket the new one."""
        while True:
            await self._clock.sleep(max(self._link.login.renew_in_s(), _PAUSES_S[0]))
            try:
                token = await self._link.client.renewed()
            except RateLimited as limit:
                await self._clock.sleep(limit.retry_after_s)
            except Unavailable as error:
                logger.warning("Tradovate's token could not be renewed yet: %s", error)
                await self._clock.sleep(_PAUSES_S[2])
            else:
                if token.value != shown.value:
                    await socket.authorize(token.value)
                    shown = token

    # --- messages ---

    async def _read(self, socket: Socket) -> None:
        async for event in socket.events():
            match event:
                case {"e": "props", "d": {"entityType": str(kind), "entity": entity}}:
                    await self._hear(kind, entity, encode(event))
                case {"e": "shutdown", "d": said}:
                    raise self._shut(said)
                case {"e": "props"}:
                    await self._gap(f"Tradovate's stream cannot be read: {event!r:.300}")
                case _:
                    pass

    def _shut(self, said: object) -> BrokerError:
        """Say why the server ends the socket; who is one too many has lost the session as well."""
        why = f"Tradovate ends the socket: {said}"
        return Unauthorized(why) if "Quota" in str(said) else Unavailable(why)

    async def _hear(self, kind: str, given: object, raw: bytes) -> None:
        try:
            entity = self._mirror.hear(kind, given)
        except Unreadable as error:
            await self._gap(f"Tradovate's stream cannot be read: {error}")
            return
        if isinstance(entity, ExecutionReport | CommandReport):
            await self._tell(entity, raw)

    async def _tell(self, told: Told, raw: bytes) -> None:
        """Pass on what a report claims, unless it was told before."""
        if (type(told), told.id) in self._told:
            return
        claim = await self._claim(told, raw)
        if claim is not None:
            await self._inbox.put(claim)
        self._remember(told)

    async def _claim(self, told: Told, raw: bytes) -> BrokerEvent | None:
        if isinstance(told, ExecutionReport):
            if told.account_id not in self._accounts:
                return None  # The user has other accounts, which are not our affair.
            return self._claims.of_execution(told, await self._dossier(told.order_id), raw)
        if (command := self._mirror.command(told.command_id)) is None:
            return None  # What it is about comes as an execution report, or is found by comparing.
        dossier = await self._dossier(command.order_id)
        if dossier.order.account_id not in self._accounts:
            return None
        return self._claims.of_command(told, command, dossier, raw)

    async def _dossier(self, order_id: int) -> Dossier:
        """Return what is known of an order, with its terms and commands, or ask for it."""
        found = self._mirror.dossier(order_id)
        if found is not None and found.is_whole:
            return found
        asked = await self._link.client.dossiers([order_id])
        if not asked:
            raise Unavailable(f"Tradovate tells of its order {order_id}, and does not show it")
        self._mirror.learn(asked[0])
        return asked[0]

    def _remember(self, told: Told) -> None:
        self._told[type(told), told.id] = None
        if len(self._told) > _TOLD_MAX:
            self._told.popitem(last=False)

    async def _gap(self, text: str) -> None:
        await self._inbox.put(LinkEvent(received_at=self._clock.now(), text=text))
