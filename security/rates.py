"""How often a caller may ask, by the generic cell rate algorithm (GCRA), for each class of traffic.

All processes share one account of each caller in Redis, from which a process draws some admissions
at a time: so most operations cost no trip, and together they never exceed the rate.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum, unique
from typing import Protocol

from security.redis import GONE, Redis
from trading.outcome import RateExceeded
from trading.permission import Principal
from trading.ports import Clock

logger = logging.getLogger(__name__)

ALONE_SHARE = 4
"""While Redis is down, a process admits the rate divided by this: others go on as well."""

RETRY_S = 1.0
"""How long Redis is left alone after a failure."""

DRAWN_S = 1.0
"""How long what was drawn may be used, of a rate; of a quota as long as its period."""

DRAWN_SHARE = 10
"""A process draws what comes back in a second, divided by this, at once."""

HOUR_S = 3_600
DAY_S = 86_400
"""The period of a quota."""

_WORDS = {1: "a second", HOUR_S: "an hour", DAY_S: "a day"}

KEPT_MAX = 65_536
_MICRO = 1_000_000
_NS_PER_MICRO = 1_000


@unique
class Traffic(StrEnum):
    """Classes that are counted apart, so that none can starve another."""

    CANCEL = "cancel"
    """What makes risk smaller: cancels, and trading states."""

    ORDER = "order"
    """Every other mutation."""

    READ = "read"
    SUBSCRIBE = "subscribe"


QUOTED = tuple(each for each in Traffic if each is not Traffic.CANCEL)
"""The classes that may have a quota: one that is used up must not keep a caller from a cancel."""


@dataclass(frozen=True, slots=True)
class Rate:
    """So many in a period (seconds), and as many at once. A quota is one of a long period."""

    count: int
    period_s: int = 1

    @property
    def interval(self) -> int:
        """How far apart they are when they come evenly, in microseconds."""
        return max(self.period_s * _MICRO // self.count, 1)

    @property
    def drawn(self) -> int:
        """How many are drawn at once."""
        return max(self.count // (DRAWN_SHARE * self.period_s), 1)

    def share(self, of: int) -> Rate:
        """Return the rate divided by so many, but not none."""
        return Rate(max(self.count // of, 1), self.period_s)

    def __str__(self) -> str:
        """Say it as refusals do."""
        return f"in {_WORDS[self.period_s]}"


@dataclass(frozen=True, slots=True)
class Granted:
    """How many of those wanted are admitted; of none, when to ask again, in microseconds."""

    count: int
    retry_after: int = 0


class Account(Protocol):
    """Where admissions are counted."""

    async def draw(self, key: str, rate: Rate, wanted: int) -> Granted:
        """Admit as many as there are, up to so many."""


class LocalAccount:
    """Admissions counted in this process."""

    def __init__(self, clock: Clock) -> None:
        """Begin with none."""
        self._clock = clock
        self._next: OrderedDict[str, int] = OrderedDict()

    async def draw(self, key: str, rate: Rate, wanted: int) -> Granted:
        """Admit by GCRA; who has not asked for longest is forgotten, which is to be admitted."""
        now = self._clock.monotonic() // _NS_PER_MICRO
        arrival = max(self._next.get(key, now), now)
        free = now + rate.count * rate.interval - arrival
        count = min(free // rate.interval, wanted)
        if count <= 0:
            return Granted(0, max(rate.interval - free, 0))
        self._next[key] = arrival + count * rate.interval
        self._next.move_to_end(key)
        if len(self._next) > KEPT_MAX:
            self._next.popitem(last=False)
        return Granted(count)


# The same, on the clock of Redis: one trip.
_DRAW = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval, burst, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local arrival = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now)
local free = now + burst * interval - arrival
local count = math.min(math.floor(free / interval), wanted)
if count <= 0 then
    return {0, interval - free}
end
arrival = arrival + count * interval
local lasts = math.ceil((arrival - now) / 1000) + 1
redis.call('SET', KEYS[1], string.format('%.0f', arrival), 'PX', lasts)
return {count, 0}
"""


class SharedAccount:
    """Admissions that all processes count together; without Redis each admits less by itself."""

    def __init__(self, redis: Redis, prefix: str, clock: Clock) -> None:
        """Take the connection, and what keys of this deployment begin with."""
        self._script = redis.register_script(_DRAW)
        self._prefix, self._clock = f"{prefix}:rate:", clock
        self._local = LocalAccount(clock)
        self._alone_until = 0

    async def draw(self, key: str, rate: Rate, wanted: int) -> Granted:
        """Admit, by the shared account or else a share of it."""
        if self._clock.monotonic() >= self._alone_until:
            try:
                args = [rate.interval, rate.count, wanted]
                count, retry_after = await self._script(keys=[self._prefix + key], args=args)
                return Granted(int(count), int(retry_after))
            except GONE as error:
                logger.warning("Redis: rates are counted by this process alone: %s", error)
                self._alone_until = self._clock.monotonic() + int(RETRY_S * 1_000_000_000)
        alone = rate.share(ALONE_SHARE)
        return await self._local.draw(key, alone, min(wanted, alone.drawn))


@dataclass(slots=True)
class _Drawn:
    count: int = 0
    until: int = 0
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class Rates:
    """Admits callers at the rates of their classes, and within their quotas."""

    def __init__(
        self,
        rates: Mapping[Traffic, Rate],
        account: Account,
        clock: Clock,
        quotas: Mapping[Traffic, Rate] | None = None,
    ) -> None:
        """Take the rates and quotas; a class that has none is not limited."""
        self._rates, self._account, self._clock = rates, account, clock
        self._quotas = quotas or {}
        # Nothing may hold up a cancel, and Redis could: each process counts them by itself.
        self._cancels = LocalAccount(clock)
        self._drawn: OrderedDict[str, _Drawn] = OrderedDict()

    async def admit(self, principal: Principal, traffic: Traffic, cost: int = 1) -> None:
        """Count an operation of so many fields. Raises RateExceeded, which says when to come."""
        key = f"{principal.tenant_id}:{principal.user_id}:{principal.client_id}:{traffic}"
        if (rate := self._rates.get(traffic)) is not None:
            await self._count(key, rate, cost, traffic)
        if (quota := self._quotas.get(traffic)) is not None:
            await self._count(f"{key}:quota", quota, cost, traffic)

    async def _count(self, key: str, rate: Rate, cost: int, traffic: Traffic) -> None:
        drawn = self._of(key)
        if drawn.count >= cost and self._clock.monotonic() < drawn.until:
            drawn.count -= cost
            return
        async with drawn.turn:
            await self._take(key, drawn, rate, cost, traffic)

    def _of(self, key: str) -> _Drawn:
        drawn = self._drawn.get(key)
        if drawn is None:
            drawn = self._drawn[key] = _Drawn()
            if len(self._drawn) > KEPT_MAX:
                self._drawn.popitem(last=False)
        self._drawn.move_to_end(key)
        return drawn

    async def _take(self, key: str, drawn: _Drawn, rate: Rate, cost: int, traffic: Traffic) -> None:
        now = self._clock.monotonic()
        if now >= drawn.until:
            drawn.count = 0
        if drawn.count < cost:
            account = self._cancels if traffic is Traffic.CANCEL else self._account
            granted = await account.draw(key, rate, max(rate.drawn, cost - drawn.count))
            drawn.count += granted.count
            drawn.until = now + int(DRAWN_S * rate.period_s * 1_000_000_000)
            if drawn.count < cost:
                wait = max(granted.retry_after, rate.interval * (cost - drawn.count))
                words = f"more than {rate.count} {traffic} operations {rate}"
                raise RateExceeded(words, retry_after_ms=-(-wait // 1_000))
        drawn.count -= cost
