"""One socket that speaks `graphql-transport-ws`, to the letter.

A socket is authenticated once, by `connection_init`, and lives no longer than its token and the
rights it was opened with. Every operation has a context of its own. What an operation does wrong
ends that operation; what a client says that the protocol does not know ends the socket.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import cast

import orjson
from graphql import GraphQLError, OperationType
from starlette.types import Receive

from resolvers.operation import Refused
from resolvers.stream import Stream
from security.credentials import Credentials
from serving import frame, message, tracing
from serving.caller import Proxies
from serving.hub import Hub, Member, SourceFailed
from serving.mailbox import Limits as MailboxLimits
from serving.mailbox import Line, Mailbox, Sender
from serving.message import Complete, ConnectionInit, Invalid, Ping, Pong, Subscribe
from serving.operation import (
    Authenticate,
    Malformed,
    Operations,
    Prepared,
    Request,
    encode,
    refusal,
)
from serving.subscription import GraphQLSource, Running, key
from serving.tracing import Errors, carried, carried_along
from trading.ids import UserID, base62
from trading.outcome import AuthenticationUnavailable, Overloaded, RateExceeded, Unauthenticated
from trading.permission import Principal
from trading.ports import Clock, IdSource
from trading.probe import Leg
from trading.store import StoreUnavailable

logger = logging.getLogger(__name__)

BAD_REQUEST = 4400
UNAUTHORIZED = 4401
FORBIDDEN = 4403
"""The common client tries again after it, with a new token; after 4401 it gives up."""

INIT_TIMEOUT = 4408
ALREADY_EXISTS = 4409
TOO_SLOW = 4290
TOO_MANY_INITS = 4429
TRY_AGAIN_LATER = 1013
INTERNAL_ERROR = 4500

_NS_PER_S = 1_000_000_000
_STEPS = 48
"""In how many crowds sockets are looked after between two pings: neither each alone nor all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much a socket may ask for, and how long it is waited for; `_s` are seconds."""

    init_wait_s: float = 5.0
    ping_every_s: float = 12.0
    """How often a client is pinged, and its rights are looked at again."""
    operations: int = 256
    parts: int = 2_048
    """How many symbols and accounts all of them may follow: each may be a group of its own."""
    mailbox: MailboxLimits = field(default_factory=MailboxLimits)


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """What all sockets of a process share."""

    operations: Operations
    authenticate: Authenticate
    ids: IdSource
    clock: Clock
    proxies: Proxies = ()
    hub: Hub
    limits: Limits = field(default_factory=Limits)
    sockets: set[Socket] = field(default_factory=set)

    def look_again(self, user_id: UserID) -> None:
        """Look at the rights of a user's sockets at once."""
        for socket in [*self.sockets]:
            socket.look_again(user_id)


class Socket:
    """One socket: who opened it, and its operations."""

    def __init__(self, house: House, line: Line, shown: Credentials) -> None:
        """Take the line to the peer, and what it has shown in its handshake."""
        self._house, self._line, self._limits = house, line, house.limits
        self._shown = shown
        self._mailbox = Mailbox(line, self._cut_off, house.limits.mailbox)
        self._principal: Principal | None = None
        self._credentials: Credentials | None = None
        self._traceparent: str | None = None
        self._has_init = False
        self._is_over = False
        self._operations: dict[str, Running] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}

    async def serve(self, receive: Receive) -> None:
        """Take messages until the socket ends; leave nothing behind."""
        self._after("init", self._limits.init_wait_s, self._init_is_late)
        self._house.sockets.add(self)
        try:
            while (event := await receive())["type"] == "websocket.receive":
                if not self._is_over:
                    await self._take(event.get("text"))
        except Exception as error:
            error_id = base62(self._house.ids.next())
            logger.exception("errorId=%s ends a socket", error_id, exc_info=error)
            self._end(INTERNAL_ERROR, f"something went wrong here; quote {error_id}")
        finally:
            self._house.sockets.discard(self)
            self._stop()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _take(self, text: str | None) -> None:
        try:
            match message.read(text):
                case ConnectionInit(payload):
                    await self._init(payload)
                case Ping(payload):
                    self._mailbox.put(message.PONG)
                    if "authorization" in payload:
                        await self._renew(payload)
                case Pong():
                    pass
                case Subscribe(operation_id, payload):
                    self._subscribe(operation_id, payload)
                case Complete(operation_id):
                    self._forget(operation_id)
        except Invalid as invalid:
            self._end(BAD_REQUEST, str(invalid))

    # --- who is there ----------------------------------------------------------------------------

    async def _init(self, payload: message.Payload) -> None:
        if self._has_init:
            self._end(TOO_MANY_INITS, "Too many initialisation requests")
            return
        self._has_init = True
        self._traceparent = carried(payload)
        self._timers.pop("init").cancel()
        credentials, principal = await self._known(payload)
        if principal is not None and not self._is_over:
            self._admit(principal, credentials)
            self._mailbox.put(message.ACKNOWLEDGED)
            self._ping_later()

    async def _known(self, payload: message.Payload) -> tuple[Credentials, Principal | None]:
        """Authenticate, or end the socket and return no principal."""
        authorization, proof = payload.get("authorization"), payload.get("dpop")
        if not isinstance(authorization, str | None) or not isinstance(proof, str | None):
            self._end(BAD_REQUEST, "authorization and dpop must be strings")
            return self._shown, None
        credentials = replace(self._shown, authorization=authorization, proof=proof)
        try:
            return credentials, await self._house.authenticate(credentials)
        except Unauthenticated as refused:
            self._end(FORBIDDEN, str(refused))
        except StoreUnavailable:
            self._end(TRY_AGAIN_LATER, "the store is down")
        except (AuthenticationUnavailable, RateExceeded) as later:
            self._end(TRY_AGAIN_LATER, str(later))
        return credentials, None

    def _admit(self, principal: Principal, credentials: Credentials) -> None:
        self._principal = principal
        # What the token is bound to was shown; from now on its rights alone are looked at again.
        self._credentials = replace(credentials, proof=None, is_proven=True)
        left = principal.expires_at - self._house.clock.now()
        expire = partial(self._end, FORBIDDEN, "token expired")
        self._after("expiry", max(left, 0) / _NS_PER_S, expire)

    async def _renew(self, payload: message.Payload) -> None:
        """Take a new token of the same caller, in band."""
        if self._principal is None:
            self._end(UNAUTHORIZED, "Unauthorized")
            return
        credentials, principal = await self._known(payload)
        if principal is not None and self._is_unchanged(principal):
            self._admit(principal, credentials)

    def _is_unchanged(self, principal: Principal) -> bool:
        """End the socket unless the caller may still do what it could when it came."""
        if self._is_over:
            return False
        if self._principal is not None and _rights(principal) != _rights(self._principal):
            self._end(FORBIDDEN, "your rights have changed: connect again")
            return False
        return True

    def look_again(self, user_id: UserID) -> None:
        """Look at the caller's rights, if it is this one."""
        if self._principal is not None and self._principal.user_id == user_id:
            self._begin(self._look_again())

    async def _look_again(self) -> None:
        try:
            credentials = cast("Credentials", self._credentials)
            self._is_unchanged(await self._house.authenticate(credentials))
        except Unauthenticated as refused:
            self._end(FORBIDDEN, str(refused))
        except (StoreUnavailable, AuthenticationUnavailable):
            pass  # Rights cannot change meanwhile either.

    def _ping(self) -> None:
        heads = {
            each.sender.id: each.position
            for each in self._operations.values()
            if each.position is not None
        }
        self._mailbox.put(message.ping(heads))
        self._begin(self._look_again())
        self._ping_later()

    def _ping_later(self) -> None:
        """Ping in step with other sockets, so that callers are looked up many at a time."""
        every = self._limits.ping_every_s
        step = every / _STEPS
        after = asyncio.get_running_loop().time() + every
        self._after("ping", every + step - after % step, self._ping)

    # --- operations ------------------------------------------------------------------------------

    def _subscribe(self, operation_id: str, payload: message.Payload) -> None:
        if self._principal is None:
            self._end(UNAUTHORIZED, "Unauthorized")
            return
        if operation_id in self._operations:
            self._end(ALREADY_EXISTS, f"Subscriber for {operation_id} already exists")
            return
        operation = Running(Sender(operation_id))
        if len(self._operations) >= self._limits.operations:
            words = f"a socket has at most {self._limits.operations} operations at a time"
            self._refuse(operation, Overloaded(words))
            return
        self._operations[operation_id] = operation
        parent = carried_along(payload) or self._traceparent
        operation.span = self._house.operations.probe.begin(Leg.OPERATION, parent)
        operation.task = self._begin(self._run(operation, payload, self._principal))

    async def _run(
        self, operation: Running, payload: message.Payload, principal: Principal
    ) -> None:
        try:
            request, operations = Request.of(payload), self._house.operations
            prepared = await operations.prepare(request, principal, self._shown.address)
            tracing.name(operation.span, prepared)
            await operations.admit(prepared, principal)
            if prepared.kind is OperationType.SUBSCRIPTION:
                await self._follow(operation, prepared, principal)
            else:
                await self._answer(operation, prepared, principal)
        except Refused as refused:
            self._finish(operation, [each.formatted for each in refused.errors])
        except SourceFailed as failed:
            self._finish(operation, failed.errors)
        except Malformed as malformed:
            error = GraphQLError(str(malformed), extensions={"code": "BAD_REQUEST"})
            self._finish(operation, [error.formatted])
        except Exception as error:  # noqa: BLE001 - it is masked, and logged
            self._refuse(operation, error)

    async def _answer(self, operation: Running, prepared: Prepared, principal: Principal) -> None:
        """Run a query or mutation."""
        context = self._house.operations.new_context(principal)
        context.address, context.traceparent = self._shown.address, operation.span.traceparent
        result = await self._house.operations.run(prepared, context)
        self._mailbox.put(message.next_result(operation.sender.id, encode(result)))
        operation.span.end(outcome=tracing.outcome(result.errors))
        self._finish(operation)

    async def _follow(self, operation: Running, prepared: Prepared, principal: Principal) -> None:
        """Have a subscription join those who are told the same."""
        operations = self._house.operations
        context, probe = operations.new_context(principal), operations.probe
        source = await prepared.subscribe(context)
        stream = cast("Stream[object]", source.events)
        parts = stream.parts or (stream,)
        self._check_parts(len(parts))
        selected, hub = key(prepared), self._house.hub
        operation.seats = [
            (
                hub.group(
                    (selected, each.scope),
                    partial(GraphQLSource, prepared, each, context, probe),
                ),
                Member(operation.sender, self._mailbox, partial(self._finish, operation)),
            )
            for each in parts
        ]
        for group, member in operation.seats:
            group.attach(member)
        for group, member in operation.seats:
            await group.admit(member, stream.after_seq, partial(self._begun, operation))
        operation.span.end(outcome=tracing.OK)

    def _check_parts(self, more: int) -> None:
        """See that a socket does not make groups without end. Raises Overloaded."""
        followed = sum(len(each.seats) for each in self._operations.values())
        if followed + more > self._limits.parts:
            words = f"a socket follows at most {self._limits.parts} accounts and symbols"
            raise Overloaded(words)

    def _begun(self, operation: Running, position: int | None) -> None:
        """Tell a client how far the log is, so that it can see that it is behind."""
        if position is not None:
            self._mailbox.put(message.ping({operation.sender.id: position}), operation.sender)

    def _refuse(self, operation: Running, error: Exception) -> None:
        """End an operation by an error, published like any other."""
        self._finish(operation, refusal(error, self._house.ids))

    def _finish(self, operation: Running, errors: Errors = ()) -> None:
        """Tell that an operation is over, once."""
        if operation.is_over:
            return
        operation.is_over = True
        operation.span.end(outcome=tracing.code(errors))
        operation_id = operation.sender.id
        if self._operations.get(operation_id) is operation:
            del self._operations[operation_id]
        operation.leave()
        over = message.error(operation_id, errors) if errors else message.complete(operation_id)
        self._mailbox.put(over)

    def _forget(self, operation_id: str) -> None:
        """End an operation of which the client wants no more; one that is over is none."""
        operation = self._operations.pop(operation_id, None)
        if operation is not None:
            operation.stop()
            self._mailbox.forget(operation.sender)

    # --- the end ---------------------------------------------------------------------------------

    def _init_is_late(self) -> None:
        self._end(INIT_TIMEOUT, "Connection initialisation timeout")

    def _cut_off(self, cursors: Mapping[str, int]) -> None:
        """End a socket that does not read what it is told, and say where it was."""
        words = "too slow"
        for count in range(len(cursors), 0, -1):
            written = orjson.dumps(dict(list(cursors.items())[:count])).decode()
            longer = f"too slow: resume after {written}"
            if frame.reason(longer) == longer:
                words = longer
                break
        self._end(TOO_SLOW, words)

    def _end(self, code: int, reason: str) -> None:
        """End the socket; it leaves all groups at once, whether its peer reads or not."""
        if not self._is_over:
            self._stop()
            self._line.end(code, frame.reason(reason))

    def _stop(self) -> None:
        self._is_over = True
        self._mailbox.close()
        for timer in self._timers.values():
            timer.cancel()
        for operation in self._operations.values():
            operation.stop()
        self._operations.clear()

    def _after(self, name: str, seconds: float, call: Callable[[], None]) -> None:
        """Call something later, instead of what stood under this name."""
        if self._is_over:
            return
        if (before := self._timers.get(name)) is not None:
            before.cancel()
        self._timers[name] = asyncio.get_running_loop().call_later(seconds, call)

    def _begin(self, work: Awaitable[None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _rights(principal: Principal) -> Principal:
    """Return what of a principal decides what it is told."""
    return replace(principal, name="", expires_at=0, token_id="")
