"""A revocation is told once, to whoever knows callers, and its tokens open nothing any more."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from security.credentials import Credentials
from security.development import open_issuer
from security.revocation import LOOK_EVERY_S, RevocationWatch
from tests.security.fakes import NOW, FakeClock, FakeIds, FakeUser, FakeUsers, authentication
from trading.ids import UserID
from trading.outcome import Unauthenticated
from trading.permission import Permission
from trading.ports import Environment
from trading.store import StoreUnavailable

U1 = UserID("u1")


class FakeRevoked:
    def __init__(self) -> None:
        self.found: Mapping[UserID, int] = {}
        self.is_down = False

    async def revoked(self) -> Mapping[UserID, int]:
        if self.is_down:
            raise StoreUnavailable("down")
        return self.found


async def test_each_revocation_is_told_once() -> None:
    kept, told = FakeRevoked(), list[str]()
    watch = RevocationWatch(kept, FakeClock())
    watch.tell(lambda user_id: told.append(f"first {user_id}"))
    watch.tell(lambda user_id: told.append(f"then {user_id}"))

    for kept.found in ({}, {U1: 5}, {U1: 5}, {U1: 7}, {U1: 7, UserID("u2"): 7}):
        await watch.look()

    assert told == ["first u1", "then u1"] * 2 + ["first u2", "then u2"]


async def test_it_looks_each_second_also_after_an_outage() -> None:
    kept, clock, told = FakeRevoked(), FakeClock(), list[UserID]()
    watch = RevocationWatch(kept, clock)
    kept.is_down = True
    watch.tell(told.append)

    async def sleep(seconds: float) -> None:
        assert seconds == LOOK_EVERY_S
        if not kept.is_down:
            raise asyncio.CancelledError
        kept.is_down, kept.found = False, {U1: 5}

    clock.sleep = sleep  # type: ignore[method-assign]
    with pytest.raises(asyncio.CancelledError):
        await watch.run()

    assert told == [U1]


async def test_tokens_of_before_are_refused_at_once(tmp_path: Path) -> None:
    clock, users = FakeClock(), FakeUsers(FakeUser())
    issuer = open_issuer(
        tmp_path, environment=Environment.SIM, host="localhost", clock=clock, ids=FakeIds()
    )
    door = authentication(issuer, users, clock)
    old = Credentials(authorization=f"Bearer {issuer.mint(U1, list(Permission))}")
    await door.of(old)

    users.known = {U1: FakeUser(revoked_before=NOW + 1)}
    await door.of(old)  # It is known again, until it is told.
    door.forget(UserID("another"))
    await door.of(old)
    door.forget(U1)
    with pytest.raises(Unauthenticated, match="it was revoked; get a new one"):
        await door.of(old)

    clock.at += 10**9
    new = Credentials(authorization=f"Bearer {issuer.mint(U1, list(Permission))}")
    assert (await door.of(new)).user_id == U1
