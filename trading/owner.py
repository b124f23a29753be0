"""Who owns a broker session: one process at a time, by a lease whose epoch fences the others."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from trading.answers import Answers
from trading.ids import WireID
from trading.ledger import Dispatch
from trading.permit import Permits
from trading.ports import BrokerError, Clock
from trading.session import BrokerSession
from trading.store import Leases, Store, StoreUnavailable

logger = logging.getLogger(__name__)

_NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseTerms:
    """How long a lease lasts without a beat, and the time between beats; in seconds.

    The owner stops sending `margin_s` before the term is over. A successor waits for the term and
    `longest_send_s` more, so that the owner's last byte has left before its first.
    """

    term_s: float = 5.0
    beat_s: float = 1.0
    margin_s: float = 1.0
    longest_send_s: float = 2.0


class SessionOwner:
    """Strives to own one broker's session, and runs it while its lease lasts.

    To the desk it is that session: what is accepted while another process owns it is recorded as
    QUEUED, and the other sends it.
    """

    def __init__(
        self,
        *,
        broker: str,
        holder: str,
        leases: Leases,
        store: Store,
        permits: Permits,
        clock: Clock,
        open_session: Callable[[int], BrokerSession],
        answers: Answers | None = None,
        terms: LeaseTerms | None = None,
    ) -> None:
        """Take how to make the session for an epoch.

        `answers` tells what another owner records; None where there can be no other process, and
        then nothing is accepted before the session is open.
        """
        self._broker = broker
        self._holder = holder
        self._leases = leases
        self._store = store
        self._permits = permits
        self._clock = clock
        self._open_session = open_session
        self._answers = answers
        self._terms = terms or LeaseTerms()
        self._session: BrokerSession | None = None
        self._released = asyncio.Event()

    # --- the session, as the desk sees it --------------------------------------------------------

    @property
    def epoch(self) -> int | None:
        """The lease under which this process sends, or None while it does not own the session."""
        session = self._session
        return session.epoch if session is not None and session.is_open else None

    @property
    def is_open(self) -> bool:
        """Whether commands are taken: here, or for another process to send."""
        return self._answers is not None or self.epoch is not None

    @property
    def owns(self) -> bool:
        """Whether this process runs the session."""
        return self.epoch is not None

    def dispatch(self, dispatches: Sequence[Dispatch]) -> None:
        """Send commands that are committed as SENT under this process's epoch."""
        if self._session is not None:
            self._session.dispatch(dispatches)

    def take_back(self, dispatches: Sequence[Dispatch]) -> None:
        """Queue again what a commit of unknown outcome may have marked as sent: it never left."""
        if self._session is not None:
            self._session.take_back(dispatches)

    def expect(self, wire_id: WireID) -> asyncio.Future[None]:
        """Return a future that is done when the broker's first word on a command is recorded."""
        if self._session is not None and self._session.is_open:
            return self._session.expect(wire_id)
        if self._answers is None:
            raise RuntimeError("nothing was accepted that could be answered")
        return self._answers.expect(wire_id)

    def wake(self) -> None:
        """Have the session look for queued commands now."""
        if self._session is not None:
            self._session.wake()

    # --- the lease -------------------------------------------------------------------------------

    async def run(self) -> None:
        """Own the session whenever its lease can be had, until canceled; not after a release."""
        while not self._released.is_set():
            began = self._clock.monotonic()
            epoch = await self._acquire()
            if epoch is not None:
                self._permits.extend(self._deadline(began))
                await self._own(epoch)
            await self._clock.sleep(self._terms.beat_s)
        await asyncio.Event().wait()

    async def release(self) -> None:
        """End the session in order, and let a successor have it at once."""
        self._released.set()
        session, self._session = self._session, None
        if session is None:
            return
        await session.stop()
        with contextlib.suppress(StoreUnavailable):
            await self._leases.release(self._broker, session.epoch)

    async def _acquire(self) -> int | None:
        wait_s = self._terms.term_s + self._terms.longest_send_s
        try:
            return await self._leases.acquire(self._broker, self._holder, wait_s)
        except StoreUnavailable as error:
            logger.warning("the lease of %s cannot be asked for: %s", self._broker, error)
            return None

    async def _own(self, epoch: int) -> None:
        """Fence the accounts, run the session, and beat; abandon it the moment that fails."""
        session = self._open_session(epoch)
        beating = asyncio.create_task(self._beat(epoch))
        try:
            accounts = await self._store.accounts_at(self._broker)
            await self._store.fence(accounts, epoch)
            self._session = session
            await session.start()
            logger.info("this process owns the session with %s, epoch %d", self._broker, epoch)
            ended = asyncio.create_task(session.ended.wait())
            await asyncio.wait({beating, ended}, return_when=asyncio.FIRST_COMPLETED)
            ended.cancel()
        except (BrokerError, StoreUnavailable) as error:
            logger.warning("the session with %s could not be opened: %s", self._broker, error)
        finally:
            beating.cancel()
            self._permits.close()
            if self._session is session:
                self._session = None
                await session.abandon()
                logger.warning("this process has lost the session with %s", self._broker)

    async def _beat(self, epoch: int) -> None:
        """Renew the lease; return when it has passed on, or was not renewed in time."""
        while True:
            await self._clock.sleep(self._terms.beat_s)
            began = self._clock.monotonic()
            try:
                if not await self._leases.renew(self._broker, epoch, self._terms.term_s):
                    return
                self._permits.extend(self._deadline(began))
            except StoreUnavailable as error:
                logger.warning("the lease of %s was not renewed: %s", self._broker, error)
            if not self._permits.is_open:
                return

    def _deadline(self, began: int) -> int:
        """Count the term from before the lease was asked for: its answer may have taken long."""
        return began + int((self._terms.term_s - self._terms.margin_s) * _NS_PER_S)
