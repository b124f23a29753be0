"""The owner of one broker session: sends what is committed, records what the broker claims."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass

from trading.books import Books, Wants
from trading.command import CommandState
from trading.emergency import KnownOrders
from trading.execution import Break, BreakKind, BrokerEvent, BrokerUnknown, LinkEvent
from trading.ids import AccountID, WireID
from trading.ledger import Dispatch
from trading.monitor import Monitor
from trading.permit import Permits
from trading.ports import Broker, BrokerError, Clock, Doorbell
from trading.probe import NO_PROBE, Probe, tell_recorded
from trading.reconciler import Reconciler
from trading.reconciliation import misses_a_fill
from trading.recorder import Doubted, Due, Found, News, Recorder, Returned
from trading.sending import attempt
from trading.store import Reads, Store, StoreUnavailable
from trading.watch import StateWatch
from trading.winddown import WindDown
from trading.working import WorkingSet

logger = logging.getLogger(__name__)

_BATCH_MAX = 64
_INBOX_MAX = 4096
_STORE_RETRY_S = 0.25
_LOOK_S = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSettings:
    """How patient a session is, in seconds.

    It compares its orders with the broker's every so often, asks about a command that the stream
    does not answer, and waits for what is under way when it stops, or when a scope is closed.
    """

    reconcile_every_s: float = 10.0
    answer_within_s: float = 5.0
    drain_s: float = 2.0
    flush_s: float = 1.0


class Fenced(Exception):
    """A later owner of the session has fenced these accounts: this one must not write."""


class BrokerSession:
    """One broker session and the accounts that it serves, owned by this process under `epoch`."""

    def __init__(
        self,
        *,
        broker: Broker,
        store: Store,
        reads: Reads,
        recorder: Recorder,
        permits: Permits,
        doorbell: Doorbell,
        clock: Clock,
        epoch: int = 1,
        known: KnownOrders | None = None,
        settings: SessionSettings | None = None,
        wind_down: WindDown | None = None,
        monitor: Monitor | None = None,
        probe: Probe = NO_PROBE,
    ) -> None:
        """Take the broker's adapter and everything that recording its claims needs.

        `wind_down` cancels and closes what trading states say, and `monitor` sets such states;
        None leaves that to people.
        """
        self._broker = broker
        self._store = store
        self._wind_down, self._monitor, self._probe = wind_down, monitor, probe
        self._recorder, self._permits = recorder, permits
        self._doorbell, self._clock = doorbell, clock
        self._known = known or KnownOrders()
        self._settings = settings or SessionSettings()
        self._reconciler = Reconciler(
            broker=broker,
            store=store,
            reads=reads,
            clock=clock,
            answer_within_s=self._settings.answer_within_s,
        )
        self._watch = StateWatch(
            store=store,
            reads=reads,
            permits=permits,
            doorbell=doorbell,
            clock=clock,
            session=(self.name, epoch),
            flush_s=self._settings.flush_s,
        )
        self._inbox: asyncio.Queue[News] = asyncio.Queue(_INBOX_MAX)
        self._tasks: set[asyncio.Task[None]] = set()
        self._sends: set[asyncio.Task[None]] = set()
        self._waiting: dict[WireID, list[asyncio.Future[None]]] = {}
        self._unsure: dict[WireID, Dispatch] = {}
        self._brought: set[WireID] = set()
        self._rung = asyncio.Event()
        self._working = WorkingSet()
        self.epoch = epoch
        self.is_open = False
        self.ended = asyncio.Event()
        """Set when the session has died, or found that another process owns it."""

    @property
    def name(self) -> str:
        """The broker's name."""
        return self._broker.capabilities.broker

    async def start(self) -> None:
        """Open the session: start-up is recovery, so what was in flight is settled from here on."""
        accounts = await self._store.accounts_at(self.name)
        await self._watch.begin()
        await self._broker.connect(await self._store.cursor(self.name))
        self._start(self._listen(accounts), "listen")
        self._start(self._record(), "record")
        await self._recover(accounts)
        self._start(self._look_for_queued(accounts), "queued")
        self._start(self._ring_by_itself(), "ring")
        self._start(self._reconcile_forever(accounts), "reconcile")
        self._start(self._watch.run(accounts, self._sends), "states")
        if self._wind_down is not None:
            self._start(self._wind_down.run(accounts, self.wake), "wind-down")
        if self._monitor is not None:
            self._start(self._monitor.run(accounts), "monitor")
        self.is_open = True

    async def stop(self) -> None:
        """Send nothing more, wait briefly for answers on their way, record them, and close."""
        self.is_open = False
        if self._sends:
            await asyncio.wait(self._sends, timeout=self._settings.drain_s)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.drain_s):
                await self._inbox.join()
        await self.abandon()
        await self._watch.end()

    async def abandon(self) -> None:
        """Stop at once, as a process must that no longer owns the session."""
        self.is_open = False
        self._permits.close()
        for task in self._tasks | self._sends:
            task.cancel()
        await asyncio.gather(*self._tasks, *self._sends, return_exceptions=True)
        await self._broker.close()

    def wake(self) -> None:
        """Look for commands that another process has queued, and for trading states, now."""
        self._rung.set()
        self._watch.wake()

    def dispatch(self, dispatches: Sequence[Dispatch]) -> None:
        """Send commands that clients gave, and that are committed as SENT."""
        for dispatch in dispatches:
            self._working.sent(dispatch)
        self._leave(dispatches)

    def _leave(self, dispatches: Iterable[Dispatch]) -> None:
        for dispatch in dispatches:
            task = asyncio.create_task(self._send(dispatch))
            self._sends.add(task)
            task.add_done_callback(self._sends.discard)

    def expect(self, wire_id: WireID) -> asyncio.Future[None]:
        """Return a future that is done when the broker's first word on a command is recorded."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(wire_id, []).append(future)
        return future

    def take_back(self, dispatches: Iterable[Dispatch]) -> None:
        """Queue again what a commit of unknown outcome may have marked as sent: it never left."""
        for dispatch in dispatches:
            why = "the answer to the commit was lost before it was sent"
            self._later(0, Returned(dispatch.command.wire_id, why, 0))

    def _start(self, work: Coroutine[None, None, None], what: str) -> None:
        task = asyncio.create_task(work, name=f"{self.name}-{what}")
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Close the session if one of its tasks died of a defect: better shut than half deaf."""
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        if isinstance(error, Fenced):
            logger.warning("%s: another process owns the session now", self.name)
        else:
            logger.critical("the session task %s died", task.get_name(), exc_info=error)
        self.is_open = False
        self.ended.set()

    # --- sending ---------------------------------------------------------------------------------

    async def _send(self, dispatch: Dispatch) -> None:
        answer = await attempt(self._broker, dispatch, self._permits, self._probe)
        if answer is not None:
            await self._inbox.put(answer)

    def _later(self, seconds: float, news: News) -> None:
        async def bring() -> None:
            await self._clock.sleep(seconds)
            await self._inbox.put(news)

        self._start(bring(), "later")

    # --- doubt -----------------------------------------------------------------------------------

    async def _inquire(self, command_id: WireID, order_id: WireID) -> None:
        """Ask the broker for an order until it gives a clear answer, and bring that."""
        await self._inbox.put(Found(command_id, await self._reconciler.inquire(order_id)))

    async def _recover(self, accounts: Sequence[AccountID]) -> None:
        """Take up what a process before this one left: what was sent is in doubt."""
        for command in await self._store.open_commands(accounts):
            match command.state:
                case CommandState.SENT:
                    why = "the gateway stopped before the broker's answer was recorded"
                    await self._inbox.put(Doubted(command.wire_id, why))
                case CommandState.IN_DOUBT:
                    await self._inbox.put(Doubted(command.wire_id, command.evidence or "restart"))
                case _:
                    await self._inbox.put(Due(command.wire_id))

    async def _ring_by_itself(self) -> None:
        while True:
            await self._clock.sleep(_LOOK_S)
            self.wake()

    async def _look_for_queued(self, accounts: Sequence[AccountID]) -> None:
        """Take up what other processes have accepted: each command once, for it is kept here."""
        while True:
            await self._rung.wait()
            self._rung.clear()
            try:
                queued = await self._store.queued(accounts)
            except StoreUnavailable as error:
                logger.warning("queued commands cannot be read: %s", error)
                continue
            fresh = [each.wire_id for each in queued if each.wire_id not in self._brought]
            self._brought = {each.wire_id for each in queued}
            await self._bring([Due(wire_id) for wire_id in fresh])

    # --- recording -------------------------------------------------------------------------------

    async def _listen(self, accounts: Sequence[AccountID]) -> None:
        async for event in self._broker.events():
            if isinstance(event, LinkEvent):
                logger.warning("%s: %s", self.name, event.text)
                self._start(self._look(self._reconciler.look_twice(accounts)), "gap")
            else:
                await self._inbox.put(event)
        raise ConnectionError(f"{self.name} has ended its stream")

    async def _record(self) -> None:
        while True:
            batch = [await self._inbox.get()]
            while len(batch) < _BATCH_MAX and not self._inbox.empty():
                batch.append(self._inbox.get_nowait())
            await self._record_batch(batch)
            for _ in batch:
                self._inbox.task_done()

    async def _record_batch(self, batch: Sequence[News]) -> None:
        """Record news in one transaction; if that fails, each alone, so that none spoils others."""
        try:
            await self._once_available(self._commit, batch)
        except Fenced:
            raise
        except Exception:
            logger.exception("news could not be recorded: %s", batch)
            if len(batch) == 1:
                await self._once_available(self._quarantine, batch[0])
                return
            for each in batch:
                await self._record_batch([each])

    async def _once_available[T](self, work: Callable[[T], Awaitable[None]], of: T) -> None:
        while True:
            try:
                return await work(of)
            except StoreUnavailable as error:
                logger.warning("the store is unavailable, the news wait: %s", error)
                await self._clock.sleep(_STORE_RETRY_S)

    async def _commit(self, batch: Sequence[News]) -> None:
        at, broker = self._clock.now(), self.name
        wants = await self._working.wants(self._store, batch)
        dispatches: list[Dispatch] = []
        try:
            async with self._store.transaction() as transaction:
                await transaction.lock(wants.accounts)
                books = await transaction.load(wants)
                self._check_fences(books)
                for news in batch:
                    dispatches += self._recorder.take(books, news, self.epoch, at)
                cursors = [n.cursor for n in batch if isinstance(n, BrokerEvent) and n.cursor]
                books.cursor = (broker, cursors[-1]) if cursors else None
                await transaction.save(books)
        except StoreUnavailable:
            self._unsure |= {each.command.wire_id: each for each in dispatches}
            self._working.clear()
            raise
        tell_recorded(self._probe, books, at)
        self._working.learn(books)
        self._doorbell.ring(wants.accounts)
        self._known.remember(books.orders.values())
        self._leave([*self._committed_before(books, dispatches), *dispatches])
        self._follow_up(batch, books)

    def _check_fences(self, books: Books) -> None:
        """Refuse to write where a later owner has put its fence, however late we come back."""
        if any(account.fence > self.epoch for account in books.accounts.values()):
            raise Fenced(self.name)

    def _committed_before(self, books: Books, now: Sequence[Dispatch]) -> list[Dispatch]:
        """Return what a commit whose answer was lost has marked as sent after all."""
        found = [self._unsure.pop(each) for each in set(self._unsure) & set(books.commands)]
        again = {each.command.wire_id for each in now}
        return [
            each
            for each in found
            if each.command.wire_id not in again
            and books.commands[each.command.wire_id] == each.command
        ]

    def _follow_up(self, batch: Sequence[News], books: Books) -> None:
        for wire_id in books.changed_commands:
            if books.commands[wire_id].state not in {CommandState.QUEUED, CommandState.SENT}:
                self._wake(wire_id)
        for news in batch:
            order, command = books.order_of(news.wire_id), books.commands.get(news.wire_id)
            state = command.state if command else None
            if order is None:
                continue
            if isinstance(news, BrokerUnknown) or misses_a_fill(order, news):
                self._start(self._compare(order.wire_id, order.last_seq), "compare")
            elif isinstance(news, Doubted) and state is CommandState.IN_DOUBT:
                self._start(self._inquire(news.wire_id, order.wire_id), "inquire")
            elif isinstance(news, Returned) and state is CommandState.QUEUED:
                self._brought.add(news.wire_id)
                self._later(news.retry_after_s, Due(news.wire_id))

    def _wake(self, wire_id: WireID) -> None:
        for future in self._waiting.pop(wire_id, []):
            if not future.done():
                future.set_result(None)

    async def _quarantine(self, news: News) -> None:
        """Keep news that cannot be recorded as a break, so that those behind it are heard."""
        event = news if isinstance(news, BrokerEvent) else None
        detail = event.raw.decode(errors="replace") if event else repr(news)
        async with self._store.transaction() as transaction:
            await transaction.lock(())
            books = await transaction.load(Wants(accounts=frozenset()))
            books.new_breaks.append(
                Break(
                    kind=BreakKind.UNREADABLE,
                    account_id=None,
                    order_id=None,
                    detail=detail,
                    raised_at=self._clock.now(),
                )
            )
            if event is not None and event.cursor:
                books.cursor = (self.name, event.cursor)
            await transaction.save(books)

    # --- reconciliation --------------------------------------------------------------------------

    async def _reconcile_forever(self, accounts: Sequence[AccountID]) -> None:
        while True:
            await self._clock.sleep(self._settings.reconcile_every_s)
            await self._look(self._reconciler.look(accounts))

    async def _look(self, looking: Awaitable[Sequence[News]]) -> None:
        try:
            await self._bring(await looking)
        except (BrokerError, StoreUnavailable) as error:
            logger.warning("our books could not be compared with %s: %s", self.name, error)

    async def _compare(self, wire_id: WireID, as_of_seq: int) -> None:
        await self._bring(await self._reconciler.compare(wire_id, as_of_seq))

    async def _bring(self, news: Sequence[News]) -> None:
        for each in news:
            await self._inbox.put(each)
