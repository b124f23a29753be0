"""`drawbridge`, with one fault at a named point of its work, the nth time that it comes there.

    python -m tests.faults.entry [--at POINT] [--pass N] [--do kill|stop|lose] [--hasty] COMMAND…

At the point the process is killed with SIGKILL, or stopped with SIGSTOP; or it loses the answer
that it waits for there. `--hasty` has leases run out sooner, so that tests wait less.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial, wraps
from inspect import iscoroutinefunction
from itertools import count
from typing import Any

import asyncpg

import events.shards
import gateway.leased
import trading.owner
from brokers.paper.connection import Connection
from brokers.paper.remote import RemotePaperBroker
from brokers.paper.wire import encode
from events.codec import Channel
from events.doorbell import SharedDoorbell
from events.rabbitmq import RabbitBus
from gateway.cli import main
from persistence.outbox import Outbox
from trading.batch import CommandQueue
from trading.execution import BrokerReport
from trading.owner import LeaseTerms
from trading.recorder import Due
from trading.session import BrokerSession

logger = logging.getLogger(__name__)

_inside: ContextVar[type | None] = ContextVar("inside", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A place in the product: before or after a method runs, for some arguments, inside another."""

    of: type
    method: str
    after: bool = False
    concerns: Callable[..., bool] = field(default=lambda *_: True)
    inside: type[CommandQueue | BrokerSession] | None = None
    first: Callable[..., None] = field(default=lambda *_: None)
    """What still happens before the end."""


def _asks(kind: str) -> Callable[..., bool]:
    return lambda _, message: kind in message


def _brings(what: Callable[[Any], bool]) -> Callable[..., bool]:
    return lambda _, batch: any(map(what, batch))


def _write_through(connection: Connection, message: Any) -> None:
    # What is about to be sent is written here, because this process does not live to send it.
    assert connection._transport is not None
    os.write(connection._transport.get_extra_info("socket").fileno(), encode(message))


_COMMIT: Mapping[str, Any] = {
    "of": asyncpg.Connection,
    "method": "execute",
    "concerns": lambda _, statement: statement == "COMMIT",
}
_IN_DESK: Mapping[str, Any] = {**_COMMIT, "inside": CommandQueue}
_IN_SESSION: Mapping[str, Any] = {**_COMMIT, "inside": BrokerSession}

POINTS: Mapping[str, Point] = {
    "before-the-transaction": Point(of=CommandQueue, method="_commit"),
    # The driver has asked what the statement is, and not yet for its rows.
    "in-a-statement": Point(
        of=asyncpg.Connection,
        method="_get_statement",
        after=True,
        concerns=lambda _, statement, *__: "FROM positions" in statement,
        inside=CommandQueue,
    ),
    "in-the-transaction": Point(**_IN_DESK),
    "commit-sent": Point(**_IN_DESK, after=True),
    "committed-not-rung": Point(of=SharedDoorbell, method="ring", inside=CommandQueue),
    "not-claimed": Point(
        of=BrokerSession, method="_commit", concerns=_brings(lambda news: isinstance(news, Due))
    ),
    "claimed": Point(of=RemotePaperBroker, method="submit"),
    "written": Point(of=Connection, method="send", concerns=_asks("new"), first=_write_through),
    "reply-read": Point(of=RemotePaperBroker, method="submit", after=True),
    "fill-not-recorded": Point(
        of=BrokerSession,
        method="_commit",
        concerns=_brings(lambda news: isinstance(news, BrokerReport) and news.exec_type.is_fill),
    ),
    "recording": Point(**_IN_SESSION),
    "recorded": Point(**_IN_SESSION, after=True),
    "not-published": Point(
        of=RabbitBus, method="publish", concerns=lambda _, channel, *__: channel is Channel.REPORTS
    ),
    "published-not-marked": Point(of=Outbox, method="published", concerns=lambda _, ids: bool(ids)),
    "cancel-claimed": Point(of=RemotePaperBroker, method="cancel"),
    "cancel-written": Point(
        of=Connection, method="send", concerns=_asks("cancel"), first=_write_through
    ),
    "replace-written": Point(
        of=Connection, method="send", concerns=_asks("replace"), first=_write_through
    ),
}


def arm(point: Point, nth: int, strike: Callable[[], None]) -> None:
    """Have something strike when the process comes to a point for the nth time."""
    original, passes = getattr(point.of, point.method), count(1)

    def come(*args: Any, **_: object) -> None:
        here = point.inside is None or _inside.get() is point.inside
        if here and point.concerns(*args) and next(passes) == nth:
            logger.warning("struck at pass %d", nth)
            point.first(*args)
            strike()

    _replace(point.of, point.method, _wrapped(original, come, after=point.after))
    if point.inside is not None:
        outer = point.inside._commit
        _replace(point.inside, "_commit", _marked(outer, point.inside))


def _wrapped[**P, T](
    original: Callable[P, T], come: Callable[P, None], *, after: bool
) -> Callable[P, Any]:
    @contextmanager
    def passing(*args: P.args, **options: P.kwargs) -> Iterator[None]:
        if not after:
            come(*args, **options)
        yield
        if after:
            come(*args, **options)

    @wraps(original)
    def call(*args: P.args, **options: P.kwargs) -> T:
        with passing(*args, **options):
            return original(*args, **options)

    @wraps(original)
    async def wait(*args: P.args, **options: P.kwargs) -> Any:
        with passing(*args, **options):
            answer: Any = original(*args, **options)
            return await answer

    return wait if iscoroutinefunction(original) else call


def _marked[**P, T](original: Callable[P, Awaitable[T]], mark: type) -> Callable[P, Awaitable[T]]:
    async def wait(*args: P.args, **options: P.kwargs) -> T:
        before = _inside.set(mark)
        try:
            return await original(*args, **options)
        finally:
            _inside.reset(before)

    return wait


def _replace(of: Any, name: str, by: object) -> None:
    setattr(of, name, by)


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def _lose() -> None:
    raise ConnectionResetError("the answer was lost")


_STRIKES: Mapping[str, Callable[[], None]] = {"kill": _kill, "stop": _stop, "lose": _lose}


def _hurry() -> None:
    """Shorten leases: to what a busy machine still keeps."""
    terms = {"term_s": 2.0, "beat_s": 0.4, "margin_s": 0.5, "longest_send_s": 0.5}
    _replace(trading.owner, "LeaseTerms", partial(LeaseTerms, **terms))
    _replace(events.shards, "TTL_S", 2.0)
    _replace(events.shards, "BEAT_S", 0.5)
    _replace(gateway.leased, "TERM_S", 2.0)
    _replace(gateway.leased, "BEAT_S", 0.5)


def run() -> int:
    """Run a command of `drawbridge` with what the options say."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--at", choices=POINTS)
    parser.add_argument("--pass", dest="nth", type=int, default=1)
    parser.add_argument("--do", choices=_STRIKES, default="kill")
    parser.add_argument("--hasty", action="store_true")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    if options.hasty:
        _hurry()
    if options.at:
        arm(POINTS[options.at], options.nth, _STRIKES[options.do])
    return main(options.command)


if __name__ == "__main__":
    sys.exit(run())
