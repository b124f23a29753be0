"""Callers are admitted at their rate, whatever they do, and a cancel before all else."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Mapping
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from security.rates import (
    ALONE_SHARE,
    DAY_S,
    DRAWN_S,
    RETRY_S,
    Granted,
    LocalAccount,
    Rate,
    Rates,
    SharedAccount,
    Traffic,
)
from security.redis import Redis, connected
from tests import standing
from tests.security.fakes import FakeClock
from trading.ids import TenantID, UserID
from trading.outcome import RateExceeded
from trading.permission import Principal

NUMBERS = itertools.count()


def caller(user: str = "u1", client: str = "c1") -> Principal:
    return Principal(
        user_id=UserID(user),
        name=user,
        tenant_id=TenantID("t1"),
        role="trader",
        permissions=frozenset(),
        accounts={},
        expires_at=0,
        client_id=client,
    )


def limited(clock: FakeClock, **rates: int) -> Rates:
    return Rates(of(rates), LocalAccount(clock), clock)


def of(rates: Mapping[str, int]) -> Mapping[Traffic, Rate]:
    return {Traffic(name): Rate(each) for name, each in rates.items()}


async def admitted(rates: Rates, count: int, who: Principal, traffic: Traffic) -> int:
    """Ask so often; tell how often it was admitted."""
    found = 0
    for _ in range(count):
        try:
            await rates.admit(who, traffic)
        except RateExceeded:
            continue
        found += 1
    return found


@given(
    st.integers(1, 50),
    st.lists(st.tuples(st.integers(0, 2_000_000), st.integers(1, 30)), max_size=60),
)
def test_no_more_than_the_rate_and_its_burst_is_ever_granted(
    per_second: int, asked: list[tuple[int, int]]
) -> None:
    clock, rate = FakeClock(), Rate(per_second)
    account, begin, granted = LocalAccount(clock), clock.at, 0

    async def ask() -> None:
        nonlocal granted
        for wait, wanted in asked:
            clock.at += wait * 1_000
            found = await account.draw("k", rate, wanted)
            assert 0 <= found.count <= wanted
            assert (found.count == 0) == (found.retry_after > 0)
            granted += found.count
            elapsed = (clock.at - begin) // 1_000
            assert granted <= per_second + elapsed // rate.interval + 1

    asyncio.run(ask())


async def test_who_comes_when_it_was_told_to_is_admitted() -> None:
    clock = FakeClock()
    account, rate = LocalAccount(clock), Rate(10)
    assert await account.draw("k", rate, 100) == Granted(10)

    refused = await account.draw("k", rate, 1)
    clock.at += (refused.retry_after - 1) * 1_000
    assert (await account.draw("k", rate, 1)).count == 0
    clock.at += 1_000
    assert await account.draw("k", rate, 1) == Granted(1)


async def test_a_refusal_says_when_to_come_again() -> None:
    clock = FakeClock()
    rates = limited(clock, order=10)
    assert await admitted(rates, 12, caller(), Traffic.ORDER) == 10

    with pytest.raises(RateExceeded, match="more than 10 order operations in a second") as caught:
        await rates.admit(caller(), Traffic.ORDER)

    assert caught.value.retry_after_ms == 100
    clock.at += 100_000_000
    await rates.admit(caller(), Traffic.ORDER)


async def test_aliases_count_each() -> None:
    rates = limited(FakeClock(), order=10)

    await rates.admit(caller(), Traffic.ORDER, 8)
    with pytest.raises(RateExceeded):
        await rates.admit(caller(), Traffic.ORDER, 3)
    assert await admitted(rates, 5, caller(), Traffic.ORDER) == 2


async def test_classes_and_callers_are_counted_apart() -> None:
    rates = limited(FakeClock(), order=3, cancel=3, read=3)

    for who in (caller(), caller("u2"), caller(client="c2")):
        for traffic in (Traffic.ORDER, Traffic.READ, Traffic.CANCEL):
            assert await admitted(rates, 9, who, traffic) == 3
    assert await admitted(rates, 9, caller(), Traffic.SUBSCRIBE) == 9


async def test_what_was_drawn_and_not_used_lapses() -> None:
    clock = FakeClock()
    rates = limited(clock, read=100)
    await rates.admit(caller(), Traffic.READ)

    clock.at += int(DRAWN_S * 10**9)
    assert await admitted(rates, 200, caller(), Traffic.READ) == 100


async def test_a_quota_is_counted_beside_the_rate_and_comes_back_over_the_day() -> None:
    clock = FakeClock()
    quotas = {Traffic.ORDER: Rate(24, DAY_S)}
    rates = Rates(of({"order": 10, "cancel": 10}), LocalAccount(clock), clock, quotas)
    for _ in range(2):
        assert await admitted(rates, 10, caller(), Traffic.ORDER) == 10
        clock.at += 10**9
    assert await admitted(rates, 10, caller(), Traffic.ORDER) == 4

    clock.at += 10**9
    with pytest.raises(RateExceeded, match="more than 24 order operations in a day") as caught:
        await rates.admit(caller(), Traffic.ORDER)
    assert await admitted(rates, 20, caller(), Traffic.CANCEL) == 10
    assert caught.value.retry_after_ms is not None
    assert 3_500_000 < caught.value.retry_after_ms <= 3_600_000
    clock.at += caught.value.retry_after_ms * 10**6
    assert await admitted(rates, 10, caller(), Traffic.ORDER) == 1


async def test_no_more_than_so_many_callers_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("security.rates.KEPT_MAX", 2)
    rates = limited(FakeClock(), read=5)
    for number in range(9):
        await rates.admit(caller(f"u{number}"), Traffic.READ)

    assert len(rates._drawn) == 2


class Gone:
    """A Redis that is not there."""

    def __init__(self) -> None:
        self.asked = 0

    def register_script(self, _text: str) -> object:
        async def script(**_: object) -> list[int]:
            self.asked += 1
            raise ConnectionError("gone")

        return script


async def test_without_redis_each_process_admits_a_share_and_all_cancels() -> None:
    clock, gone = FakeClock(), Gone()
    account = SharedAccount(cast("Redis", gone), "test", clock)
    rates = Rates(of({"order": 40, "cancel": 40}), account, clock)

    assert await admitted(rates, 100, caller(), Traffic.ORDER) == 40 // ALONE_SHARE
    assert await admitted(rates, 100, caller(), Traffic.CANCEL) == 40
    assert gone.asked == 1
    clock.at += int(RETRY_S * 10**9)
    await rates.admit(caller(), Traffic.ORDER)
    assert gone.asked == 2


# --- with Redis -----------------------------------------------------------------------------------


@pytest.fixture
async def redis() -> AsyncIterator[Redis]:
    async with connected(standing.found(standing.REDIS)) as redis:
        yield redis


@pytest.mark.services
async def test_processes_count_together(redis: Redis) -> None:
    prefix, clock = f"drawbridge-test:{os.getpid()}:{next(NUMBERS)}", FakeClock()
    accounts = [SharedAccount(redis, prefix, clock) for _ in range(3)]
    slow = Rate(20)

    granted = [await accounts[n % 3].draw("k", slow, 4) for n in range(12)]

    # On the clock of Redis some milliseconds may have gone by.
    assert 20 <= sum(each.count for each in granted) <= 21
    assert 0 < granted[-1].retry_after <= slow.interval
    [key] = await redis.keys(f"{prefix}:*")
    assert 0 < await redis.pttl(key) <= 1_100


@pytest.mark.services
async def test_a_drawn_share_spares_trips(redis: Redis) -> None:
    prefix, clock = f"drawbridge-test:{os.getpid()}:{next(NUMBERS)}", FakeClock()
    rates = Rates(of({"order": 1_000}), SharedAccount(redis, prefix, clock), clock)
    before = (await redis.info("commandstats")).get("cmdstat_evalsha", {}).get("calls", 0)

    assert await admitted(rates, 500, caller(), Traffic.ORDER) == 500

    after = (await redis.info("commandstats"))["cmdstat_evalsha"]["calls"]
    assert 5 <= after - before <= 20
