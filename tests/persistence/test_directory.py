"""Users: whose tokens are revoked, and since when."""

from persistence.store import SqlStore
from tests.persistence.samples import TENANT
from trading.audit import ActDecision, ActKind, act
from trading.ids import TenantID, UserID
from trading.permission import Principal
from trading.revocation import Revocation

TRADER = UserID("trader")
OPERATOR = Principal(
    user_id=UserID("operator"),
    name="Operator",
    tenant_id=TENANT,
    role="operator",
    permissions=frozenset(),
    accounts={},
    expires_at=0,
)


async def revoke(
    store: SqlStore, before: int, whom: UserID = TRADER, tenant_id: TenantID = TENANT
) -> bool:
    done = act(ActKind.REVOKE_TOKENS, ActDecision.DONE, OPERATOR, before, subject=whom)
    revocation = Revocation(user_id=whom, before=before)
    return await store.directory.revoke(tenant_id, revocation, done)


async def test_a_revocation_is_kept_with_its_act(store: SqlStore) -> None:
    assert await store.directory.revoked() == {}

    assert await revoke(store, 5)

    assert await store.directory.revoked() == {TRADER: 5}
    user = await store.directory.user(TRADER)
    assert user is not None
    assert user.revoked_before == 5
    [recorded] = await store.audit.acts(TENANT, 10, 1 << 62)
    assert (recorded.kind, recorded.subject) == (ActKind.REVOKE_TOKENS, TRADER)


async def test_one_that_reaches_further_stays(store: SqlStore) -> None:
    for before in (5, 9, 7):
        assert await revoke(store, before)

    assert await store.directory.revoked() == {TRADER: 9}


async def test_another_tenants_user_is_none(store: SqlStore) -> None:

    assert not await revoke(store, 5, tenant_id=TenantID("other"))
    assert not await revoke(store, 5, UserID("nobody"))
    assert await store.directory.revoked() == {}
    assert await store.audit.acts(TENANT, 10, 1 << 62) == []
