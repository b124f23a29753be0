"""Tokens are revoked on one person's word, within its own tenant, and with a reason."""

import pytest

from tests.resolvers.fakes import NOON, FakeClock, FakeRevocationStore, a_principal
from trading.audit import ActDecision, ActKind
from trading.ids import UserID
from trading.outcome import BadUserInput, NotFound
from trading.revocation import Revocation, RevocationDesk

U1 = UserID("u1")


@pytest.fixture
def store() -> FakeRevocationStore:
    return FakeRevocationStore()


@pytest.fixture
def desk(store: FakeRevocationStore) -> RevocationDesk:
    return RevocationDesk(store=store, clock=FakeClock(NOON))


@pytest.mark.parametrize(("said", "before"), [(None, NOON), (NOON, NOON), (5, 5)])
async def test_all_that_there_are_or_those_of_before(
    desk: RevocationDesk, store: FakeRevocationStore, said: int | None, before: int
) -> None:
    revoked = await desk.revoke(a_principal(), U1, said, "a lost phone")

    assert revoked == Revocation(user_id=U1, before=before)
    [(kept, act)] = store.revoked
    assert kept == revoked
    assert (act.kind, act.decision) == (ActKind.REVOKE_TOKENS, ActDecision.DONE)
    assert (act.subject, act.detail, act.at) == ("u1", "a lost phone", NOON)


async def test_another_tenants_user_is_as_none(desk: RevocationDesk) -> None:
    for name in ("stranger", "nobody"):
        with pytest.raises(NotFound, match=f"userId: there is no user '{name}' in your tenant"):
            await desk.revoke(a_principal(), UserID(name), None, "why")


@pytest.mark.parametrize(
    ("before", "reason", "words"), [(None, " ", "reason"), (NOON + 1, "why", "before")]
)
async def test_what_is_wrong_is_named(
    desk: RevocationDesk, store: FakeRevocationStore, before: int | None, reason: str, words: str
) -> None:
    with pytest.raises(BadUserInput, match=f"^{words}:"):
        await desk.revoke(a_principal(), U1, before, reason)
    assert store.revoked == []
