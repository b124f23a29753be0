"""An issuer's keys: fetched seldom, changed in time, and kept while it is down."""

import asyncio
from typing import Any

import pytest
from joserfc.jwk import ECKey, OctKey, RSAKey

from security.discovery import Discovery
from security.fetch import IssuerUnavailable
from security.jwks import COOL_DOWN_S, EVERY_S, FRESH_S, STALE_S, RemoteKeys
from tests.security.fakes import FakeClock
from tests.security.provider import ISSUER, JWKS, FakeProvider, new_key


class Known:
    """Keys of a provider, at a time that a test moves."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.provider = FakeProvider(self.clock)
        self.keys = RemoteKeys(self.provider.discovery, self.provider, self.clock)

    async def kids(self, kid: str | None = "k1") -> list[str | None]:
        return [key.kid for key in await self.keys.of(kid)]

    @property
    def fetched(self) -> int:
        return self.provider.asked.count(JWKS)

    def pass_s(self, seconds: float) -> None:
        self.clock.at += int(seconds * 10**9)


@pytest.fixture
def known() -> Known:
    return Known()


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_however_many_wait_one_fetches(known: Known) -> None:
    known.provider.go.clear()
    waiting = [asyncio.create_task(known.kids()) for _ in range(50)]
    await settled()
    known.provider.go.set()

    assert await asyncio.gather(*waiting) == [["k1"]] * 50
    assert known.fetched == 1


async def test_who_gives_up_waiting_ends_nobody_elses(known: Known) -> None:
    known.provider.go.clear()
    first, second = (asyncio.create_task(known.kids()) for _ in range(2))
    await settled()
    first.cancel()
    await settled()
    known.provider.go.set()

    assert await second == ["k1"]


async def test_keys_are_not_fetched_while_they_are_fresh(known: Known) -> None:
    for _ in range(5):
        await known.kids()
        known.pass_s(FRESH_S / 5 - 1)

    assert known.fetched == 1


async def test_nobody_waits_for_keys_that_are_merely_old(known: Known) -> None:
    await known.kids()
    known.pass_s(FRESH_S)
    known.provider.go.clear()

    assert await known.kids() == ["k1"]
    known.provider.go.set()
    await settled()
    assert known.fetched == 2


async def test_a_new_key_is_looked_for_at_once(known: Known) -> None:
    await known.kids()
    known.provider.keys = [new_key("k2"), *known.provider.keys]

    assert await known.kids("k2") == ["k2", "k1"]


async def test_a_key_that_is_withdrawn_is_gone(known: Known) -> None:
    await known.kids()
    known.provider.keys = [new_key("k2")]

    assert await known.kids("k2") == ["k2"]


async def test_made_up_keys_cost_the_issuer_little(known: Known) -> None:
    await known.kids()
    before = known.clock.now()

    await asyncio.gather(*(known.kids(f"made-up-{number}") for number in range(100)))

    assert known.fetched <= 1 + 2
    assert known.clock.now() - before <= 2 * EVERY_S * 10**9


async def test_a_key_that_is_made_while_others_are_fetched_is_found(known: Known) -> None:
    known.provider.go.clear()
    early = asyncio.create_task(known.kids("made-up"))
    await settled()
    late = asyncio.create_task(known.kids("k2"))
    await settled()
    known.provider.later = [new_key("k2")]
    known.provider.go.set()

    assert await early == ["k2"]
    assert await late == ["k2"]


async def test_keys_serve_while_the_issuer_is_down_for_a_day(known: Known) -> None:
    await known.kids()
    known.provider.is_down = True

    known.pass_s(STALE_S - 1)
    assert await known.kids() == ["k1"]
    await settled()
    known.pass_s(1)
    with pytest.raises(IssuerUnavailable):
        await known.kids()

    known.provider.is_down = False
    known.pass_s(COOL_DOWN_S)
    assert await known.kids() == ["k1"]


async def test_an_issuer_that_never_answered_is_tried_again(known: Known) -> None:
    known.provider.is_down = True
    with pytest.raises(IssuerUnavailable):
        await known.kids()
    known.provider.is_down = False
    with pytest.raises(IssuerUnavailable):
        await known.kids()

    known.pass_s(COOL_DOWN_S)
    assert await known.kids() == ["k1"]


@pytest.mark.filterwarnings("ignore:Key size should be")
async def test_what_verifies_nothing_is_passed_over(known: Known) -> None:
    elliptic = ECKey.generate_key("P-256", {"kid": "good"})
    good: Any = elliptic.as_dict(private=False)
    encrypting = ECKey.generate_key("P-256").as_dict(private=False)
    secret = OctKey.generate_key(256, {"kid": "secret"}).as_dict(private=True)
    weak = RSAKey.generate_key(1024, {"kid": "weak"}).as_dict(private=False)
    known.provider.listed = [
        5,
        {},
        {"kty": "NEW"},
        dict(encrypting) | {"kid": "e", "use": "enc"},
        secret,
        weak,
        good,
    ]

    assert await known.kids("good") == ["good"]


@pytest.mark.parametrize("listed", [[], [5], "keys"])
async def test_no_keys_at_all_are_no_answer(known: Known, listed: Any) -> None:
    known.provider.listed = listed

    with pytest.raises(IssuerUnavailable):
        await known.kids()


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://evil.example", "jwks_uri": JWKS},
        {"issuer": f"{ISSUER}/", "jwks_uri": JWKS},
        {"issuer": ISSUER},
        {"issuer": ISSUER, "jwks_uri": "http://idp.example/jwks"},
        {"issuer": ISSUER, "jwks_uri": 5},
    ],
)
async def test_metadata_of_another_issuer_or_in_the_open_is_refused(
    known: Known, metadata: dict[str, Any]
) -> None:
    known.provider.metadata = metadata

    with pytest.raises(IssuerUnavailable):
        await known.kids()
    assert known.fetched == 0


async def test_keys_whose_place_is_set_need_no_metadata(known: Known) -> None:
    provider = known.provider
    keys = RemoteKeys(Discovery(ISSUER, provider, JWKS), provider, known.clock)

    assert [key.kid for key in await keys.of("k1")] == ["k1"]
    assert provider.asked == [JWKS]


async def test_what_is_under_way_is_ended(known: Known) -> None:
    known.provider.go.clear()
    waiting = asyncio.create_task(known.kids())
    await settled()

    await known.keys.close()

    with pytest.raises(asyncio.CancelledError):
        await waiting
