"""Made-up tokens cost little, wherever they come from, and keep out nobody who is known."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from security.authentication import KEPT_S, Authentication
from security.credentials import Credentials
from security.development import DevelopmentIssuer, open_issuer
from security.rates import Rate
from security.strangers import Strangers
from security.verifier import Claims
from tests.security.fakes import FakeClock, FakeIds, FakeUser, FakeUsers, authentication
from trading.ids import UserID
from trading.outcome import RateExceeded, Unauthenticated
from trading.permission import Permission
from trading.ports import Environment

HERE, THERE = "192.0.2.1", "192.0.2.2"


class CountedTokens:
    """Verifies as the issuer does, and counts how often."""

    def __init__(self, issuer: DevelopmentIssuer) -> None:
        self.issuer, self.verified = issuer, 0

    async def verify(self, token: str) -> Claims:
        self.verified += 1
        return await self.issuer.verify(token)


class Door:
    """Authentication that grants each address three refusals in a second."""

    def __init__(self, directory: Path) -> None:
        self.clock = FakeClock()
        issuer = open_issuer(
            directory,
            environment=Environment.SIM,
            host="localhost",
            clock=self.clock,
            ids=FakeIds(),
        )
        self.tokens, self.users = CountedTokens(issuer), FakeUsers(FakeUser())
        self.authentication: Authentication = authentication(
            self.tokens, self.users, self.clock, refused=3
        )

    def good(self, address: str = HERE) -> Credentials:
        token = self.tokens.issuer.mint(UserID("u1"), tuple(Permission))
        return Credentials(authorization=f"Bearer {token}", address=address)

    async def told(self, credentials: Credentials) -> type[Exception] | None:
        try:
            await self.authentication.of(credentials)
        except (RateExceeded, Unauthenticated) as refused:
            return type(refused)
        return None

    async def flooded(self) -> None:
        """Have one address refused until it is told to wait."""
        for number in range(9):
            await self.told(Credentials(authorization=f"Bearer made.up.{number}", address=HERE))


@pytest.fixture
def door(tmp_path: Path) -> Door:
    return Door(tmp_path)


async def test_tokens_of_an_address_that_was_refused_too_often_are_not_looked_at(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        await door.flooded()

    assert door.tokens.verified == 3
    assert len(caplog.records) == 3
    with pytest.raises(RateExceeded, match="more than 3 callers at your address") as caught:
        await door.authentication.of(door.good())
    assert caught.value.retry_after_ms == 334
    door.clock.at += 334 * 10**6
    assert await door.told(door.good()) is None


async def test_no_token_at_all_fills_no_log(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        for _ in range(9):
            await door.told(Credentials(address=HERE))

    assert len(caplog.records) == 3


async def test_who_is_known_goes_on_beside_a_flood_and_others_elsewhere(door: Door) -> None:
    known = door.good()
    assert await door.told(known) is None
    await door.flooded()

    for _ in range(3):
        assert await door.told(known) is None
        door.clock.at += KEPT_S * 10**9
        await door.flooded()
    assert await door.told(door.good(THERE)) is None
    assert await door.told(door.good()) is RateExceeded


async def test_who_is_known_no_more_is_a_stranger(door: Door) -> None:
    known = door.good()
    await door.told(known)
    door.users.known.clear()
    door.clock.at += KEPT_S * 10**9

    told = [await door.told(known) for _ in range(5)]

    assert told == [Unauthenticated] * 3 + [RateExceeded] * 2


async def test_an_open_socket_is_told_that_its_rights_are_gone(door: Door) -> None:
    opened = replace(door.good(), is_proven=True)
    assert await door.told(opened) is None
    await door.flooded()
    door.users.known.clear()
    door.clock.at += KEPT_S * 10**9
    await door.flooded()

    assert await door.told(opened) is Unauthenticated
    assert await door.told(opened) is Unauthenticated


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("", "", True),
        ("a socket of this machine", "192.0.2.1", False),
    ],
)
async def test_a_site_is_one_address(one: str, other: str, *, is_same: bool) -> None:
    strangers = Strangers(Rate(1), FakeClock())
    await strangers.count(one)

    if is_same:
        with pytest.raises(RateExceeded):
            await strangers.admit(other)
    else:
        await strangers.admit(other)
