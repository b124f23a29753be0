"""The owner's watch over trading states: it closes the permits, flushes, confirms, and follows."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Collection, Sequence

from trading.control import Confirmation, TradingStates
from trading.following import Follower, followed
from trading.ids import AccountID
from trading.permit import Permits
from trading.ports import Clock, Doorbell
from trading.store import Reads, Store, StoreUnavailable

logger = logging.getLogger(__name__)

_RETRY_S = 0.25


class StateWatch:
    """Heeds what is set anywhere, on behalf of the owner of one broker's session.

    A confirmation says that nothing leaves any more that a state forbids, and that what had passed
    its permit before is written, or was waited for during `flush_s`: the ledger has it as SENT.
    """

    def __init__(
        self,
        *,
        store: Store,
        reads: Reads,
        permits: Permits,
        doorbell: Doorbell,
        clock: Clock,
        session: tuple[str, int],
        flush_s: float,
    ) -> None:
        """Take the broker's name and the epoch of the owner's lease as `session`."""
        self._store = store
        self._reads = reads
        self._permits = permits
        self._follower = Follower(store=store, doorbell=doorbell, clock=clock)
        self._clock = clock
        self._session = session
        self._flush_s = flush_s
        self._heeded: TradingStates | None = None
        self._due = asyncio.Event()
        self._to_follow = asyncio.Event()

    def wake(self) -> None:
        """Look at the trading states now."""
        self._due.set()

    async def begin(self) -> None:
        """Take in what is in force before anything can leave."""
        states = await self._store.scopes.trading_states()
        self._permits.hear(states)
        await self._store.scopes.own(self._confirmation(states.epoch))
        # What was set while nobody owned the session may not have reached all accounts.
        self.wake()

    async def run(
        self, accounts: Sequence[AccountID], sends: Collection[asyncio.Task[None]]
    ) -> None:
        """Watch until canceled; `sends` are those that are under way at any moment."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._heed_all(sends))
            # Apart, because the next word must not wait until ten thousand accounts have followed.
            tasks.create_task(self._follow_all(accounts))

    async def _heed_all(self, sends: Collection[asyncio.Task[None]]) -> None:
        while True:
            await self._due.wait()
            self._due.clear()
            try:
                states = await self._store.scopes.trading_states()
                if states != self._heeded:
                    await self._heed(states, sends)
                    self._heeded = states
                    self._to_follow.set()
            except StoreUnavailable as error:
                logger.warning("the trading states cannot be read: %s", error)

    async def _follow_all(self, accounts: Sequence[AccountID]) -> None:
        while True:
            await self._to_follow.wait()
            self._to_follow.clear()
            try:
                states = await self._store.scopes.trading_states()
                known = await self._reads.accounts(accounts)
                behind = [each.id for each in known if followed(each, states) != each]
                await self._follower.follow(behind)
            except StoreUnavailable as error:
                logger.warning("accounts do not follow their scopes yet: %s", error)
                await self._clock.sleep(_RETRY_S)
                self._to_follow.set()

    async def end(self) -> None:
        """Say that nobody need wait for this owner any more."""
        with contextlib.suppress(StoreUnavailable):
            await self._store.scopes.disown(self._confirmation(0))

    async def _heed(self, states: TradingStates, sends: Collection[asyncio.Task[None]]) -> None:
        self._permits.hear(states)
        if sends:
            await asyncio.wait(set(sends), timeout=self._flush_s)
        await self._store.scopes.confirm(self._confirmation(states.epoch))

    def _confirmation(self, scope_epoch: int) -> Confirmation:
        broker, epoch = self._session
        return Confirmation(broker=broker, epoch=epoch, scope_epoch=scope_epoch)
