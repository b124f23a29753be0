"""The client's end of the socket protocol: a link to an exchange that comes back by itself."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count

from brokers.paper.connection import Connection
from brokers.paper.wire import (
    IN_FLIGHT_MAX,
    Hello,
    Message,
    ProtocolError,
    decode_error,
    encode_hello,
)
from trading.ports import BrokerError, Clock, Environment, InDoubt, Unavailable

CONNECT_S = 5.0
"""How long it may take until a connection is ready for requests."""
ANSWER_S = 5.0
"""How long an answer may take."""
_PAUSE_MIN_S = 0.1
_PAUSE_MAX_S = 5.0
_SECOND_NS = 1_000_000_000

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Address:
    """Where an exchange listens."""

    host: str
    port: int

    def __str__(self) -> str:
        """Write it as people do."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class NoAnswer(Exception):
    """A message was written and no answer to it came."""


@dataclass(frozen=True, slots=True)
class _Call:
    """A message that waits for its answer; `due` is monotonic, `items` what came of a list."""

    answer: asyncio.Future[object]
    due: int
    items: list[object] = field(default_factory=list)


class Dialogue(Connection):
    """One connection of a client: its greeting, its calls, and what the exchange says unasked."""

    def __init__(self, clock: Clock, push: Callable[[Message, bytes], None]) -> None:
        """Take what is told of everything that is no answer; it may raise ProtocolError."""
        # With no room beyond what the kernel takes at once, a write is the first byte leaving.
        super().__init__(clock, write_high=0)
        self._push = push
        self._ids = count(1)
        self._calls: dict[int, _Call] = {}
        self.exchange = ""
        self.greeting = asyncio.get_running_loop().create_future()

    async def greet(self, hello: Hello) -> None:
        """Introduce this client. Raises Unavailable where the exchange will not have it."""
        self.send(encode_hello(hello))
        self.exchange = await self.greeting

    def call(self, body: Message, *, now: bool = False) -> asyncio.Future[object]:
        """Write a message, and return the future of its answer.

        That raises NoAnswer, or the BrokerError which the exchange answers; and Unavailable for
        what must leave `now` and does not, which then never leaves.
        """
        number = next(self._ids)
        answer: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        due = self._clock.monotonic() + int(ANSWER_S * _SECOND_NS)
        self._calls[number] = _Call(answer, due)
        answer.add_done_callback(lambda _: self._calls.pop(number, None))
        has_left = self.send({"id": number, **body})
        if now and not has_left and self.why_ended is None:
            answer.set_exception(Unavailable("the exchange takes nothing"))
            self.cut_off("the exchange takes nothing")
        if self.why_ended is not None and not answer.done():
            answer.set_exception(NoAnswer(self.why_ended))
        return answer

    # --- what comes ---

    def hear(self, message: Message, line: bytes) -> None:
        """Take in an answer, a greeting, or what is said unasked."""
        match message:
            case {"id": int(number), **rest}:
                if (call := self._calls.get(number)) is not None:
                    self._take_answer(call, rest)
            case {"welcome": {"exchange": str(exchange)}} if not self.greeting.done():
                self.greeting.set_result(exchange)
                self._push(message, line)
            case {"refused": {"text": str(text)}} if not self.greeting.done():
                self.greeting.set_exception(Unavailable(text))
            case {"refused": {"text": str(text)}}:
                raise ProtocolError(text)
            case _ if self.greeting.done():
                self._push(message, line)
            case _:
                raise ProtocolError("the other end is not a paper exchange")

    def _take_answer(self, call: _Call, rest: Message) -> None:
        if call.answer.done():
            return
        match rest:
            case {"ok": dict(ok)}:
                call.answer.set_result(ok)
            case {"part": list(items)}:
                call.items.extend(items)
            case {"all": list(items)}:
                call.answer.set_result([*call.items, *items])
            case {"error": error}:
                call.answer.set_exception(decode_error(error))
            case _:
                raise ProtocolError("an answer that is none")

    def beat(self) -> Message:
        """Show that this client lives."""
        return {"beat": {}}

    def watched(self, now: int) -> None:
        """Give calls up that have waited too long."""
        for call in [call for call in self._calls.values() if call.due <= now]:
            if not call.answer.done():
                call.answer.set_exception(NoAnswer(f"no answer came within {ANSWER_S:g} s"))

    def ended(self, why: str) -> None:
        """Tell everybody who waits."""
        for call in list(self._calls.values()):
            if not call.answer.done():
                call.answer.set_exception(NoAnswer(why))
        if not self.greeting.done():
            self.greeting.set_exception(Unavailable(why))
            # Nobody may be waiting for it any more.
            self.greeting.exception()


class ExchangeLink:
    """A link to the exchange: one connection after the other, made again whenever it is lost.

    `ready` prepares each new connection, by subscriptions, before anything else may be sent. It
    may raise BrokerError, and then the connection is not used. `push` is told what comes unasked.
    """

    def __init__(
        self,
        *,
        address: Address,
        environment: Environment,
        clock: Clock,
        ready: Callable[[Dialogue], Awaitable[None]],
        push: Callable[[Message, bytes], None],
    ) -> None:
        """Connect to nothing yet."""
        self.address = address
        self.exchange: str | None = None
        self._environment = environment
        self._clock = clock
        self._ready = ready
        self._push = push
        self._dialogue: Dialogue | None = None
        self._why_down = "it is not open"
        self._keeping: asyncio.Task[None] | None = None
        self._slots = asyncio.Semaphore(IN_FLIGHT_MAX)
        self._turn = asyncio.Lock()

    # --- the connection ---

    async def open(self, exchange: str | None) -> None:
        """Connect to the exchange of this id, or to any. Raises Unavailable."""
        self.exchange = exchange
        await self._connect()
        self._keeping = asyncio.get_running_loop().create_task(self._keep())

    async def close(self) -> None:
        """Let go of the connection. What waits for an answer does not get it."""
        if self._keeping is not None:
            self._keeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeping
            self._keeping = None
        await self._drop("it is not open")

    def tell(self, message: Message) -> None:
        """Send a message that has no answer, if there is a connection."""
        if self._dialogue is not None:
            self._dialogue.send(message)

    async def _keep(self) -> None:
        pause_s = _PAUSE_MIN_S
        while True:
            if self._dialogue is not None:
                await self._dialogue.closed.wait()
                await self._drop(self._dialogue.why_ended or "")
                logger.warning("the link to %s is down: %s", self.address, self._why_down)
                pause_s = _PAUSE_MIN_S
            await self._clock.sleep(pause_s)
            pause_s = min(2 * pause_s, _PAUSE_MAX_S)
            try:
                await self._connect()
            except Unavailable as error:
                logger.warning("%s; next attempt in %.1f s", error, pause_s)
                self._why_down = str(error)
            except Exception:
                # A defect here must not leave the link down for ever without a word.
                logger.exception("the link to %s cannot be made", self.address)
            else:
                logger.info("the link to %s is up again", self.address)

    async def _connect(self) -> None:
        """Make a connection that is ready for requests, or none. Raises Unavailable."""
        dialogue = Dialogue(self._clock, self._push)
        attempt = asyncio.ensure_future(self._prepare(dialogue))
        timer = asyncio.ensure_future(self._clock.sleep(CONNECT_S))
        try:
            await asyncio.wait({attempt, timer}, return_when=asyncio.FIRST_COMPLETED)
            if not attempt.done():
                raise Unavailable(f"it is not ready within {CONNECT_S:g} s")
            attempt.result()
        except (BrokerError, NoAnswer, ProtocolError, OSError) as error:
            why = f"the exchange at {self.address} cannot be used: {error}"
            raise Unavailable(why) from error
        else:
            self._dialogue = dialogue
        finally:
            for task in (attempt, timer):
                task.cancel()
            await asyncio.gather(attempt, timer, return_exceptions=True)
            if self._dialogue is not dialogue:
                dialogue.end("it is not used")

    async def _prepare(self, dialogue: Dialogue) -> None:
        loop, (host, port) = asyncio.get_running_loop(), (self.address.host, self.address.port)
        await loop.create_connection(lambda: dialogue, host, port)
        await dialogue.greet(Hello(environment=self._environment, exchange=self.exchange))
        self.exchange = dialogue.exchange
        await self._ready(dialogue)

    async def _drop(self, why: str) -> None:
        dialogue, self._dialogue, self._why_down = self._dialogue, None, why
        if dialogue is not None:
            dialogue.end(why)
            await dialogue.closed.wait()

    # --- what goes over it ---

    async def command(self, body: Message, check: Callable[[], None] | None) -> object:
        """Send a request once `check` has passed, and return what the exchange answers.

        Its first byte leaves in the same call as the check, or never; without a check it may wait.

        Raises what `check` raises, with nothing written; Unavailable, with nothing written;
        InDoubt if no answer came; and the BrokerError that the exchange answers.
        """
        try:
            return await self._call(body, check)
        except NoAnswer as error:
            raise InDoubt(str(error)) from error

    async def ask(self, body: Message) -> object:
        """Ask what changes nothing. Raises Unavailable, Unauthorized, RateLimited, Rejected."""
        try:
            return await self._call(body, None)
        except (NoAnswer, InDoubt) as error:
            raise Unavailable(str(error)) from error

    async def _call(self, body: Message, check: Callable[[], None] | None) -> object:
        async with self._slots:
            async with self._turn:
                dialogue = await self._writable()
                # No await stands between the check and the write, which goes to the kernel at once.
                if check is not None:
                    check()
                answer = dialogue.call(body, now=check is not None)
            return await answer

    async def _writable(self) -> Dialogue:
        while (dialogue := self._dialogue) is not None and dialogue.why_ended is None:
            if dialogue.has_room:
                return dialogue
            await dialogue.room()
        why = dialogue.why_ended if dialogue is not None else self._why_down
        raise Unavailable(f"the link to the exchange at {self.address} is down: {why}")
