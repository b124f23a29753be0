"""Users: added and changed, and whose tokens are revoked since when."""

from dataclasses import replace

import pytest

from persistence.account import Tenant
from persistence.directory import User, UserChange
from persistence.errors import StoreRefused
from persistence.store import SqlStore
from tests.persistence.samples import TENANT, account
from trading.audit import Act, ActDecision, ActKind, act
from trading.ids import AccountID, TenantID, UserID
from trading.permission import Entitlement, Principal
from trading.revocation import Revocation

TRADER = UserID("trader")
A, B = AccountID("a"), AccountID("b")
OPERATOR = Principal(
    user_id=UserID("operator"),
    name="Operator",
    tenant_id=TENANT,
    role="operator",
    permissions=frozenset(),
    accounts={},
    expires_at=0,
)


def done(kind: ActKind) -> Act:
    return act(kind, ActDecision.DONE, OPERATOR, 1, subject="user:ann")


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


async def test_a_user_is_added_and_changed_with_its_acts(store: SqlStore) -> None:
    ann = User(
        id=UserID("ann"),
        tenant_id=TENANT,
        name="Ann",
        role="viewer",
        accounts={A: Entitlement.READ, B: Entitlement.TRADE},
    )
    await store.directory.add(ann, done(ActKind.ADD_USER))
    assert await store.directory.user(ann.id) == ann

    change = UserChange(
        user_id=ann.id, role="trader", granted={A: Entitlement.TRADE}, withdrawn=[B]
    )
    changed = replace(ann, role="trader", accounts={A: Entitlement.TRADE})
    assert await store.directory.change(change, done(ActKind.CHANGE_USER)) == changed
    assert await store.directory.user(ann.id) == changed
    kinds = [each.kind for each in await store.audit.acts(TENANT, 10, 1 << 62)]
    assert kinds == [ActKind.CHANGE_USER, ActKind.ADD_USER]


@pytest.mark.parametrize(
    ("user_id", "tenant_id", "words"),
    [("ann", "nobody", "there is no tenant nobody"), (TRADER, TENANT, "exists already")],
)
async def test_a_user_that_does_not_fit_is_refused(
    store: SqlStore, user_id: str, tenant_id: str, words: str
) -> None:
    user = User(
        id=UserID(user_id), tenant_id=TenantID(tenant_id), name="", role="viewer", accounts={}
    )
    with pytest.raises(StoreRefused, match=words):
        await store.directory.add(user, done(ActKind.ADD_USER))
    with pytest.raises(StoreRefused, match="there is no user bob"):
        await store.directory.change(UserChange(user_id=UserID("bob")), done(ActKind.CHANGE_USER))


async def test_a_change_that_does_not_fit_is_refused_whole(store: SqlStore) -> None:
    before = await store.directory.users()
    other = Tenant(id=TenantID("other"), name="Other")
    await store.accounts.add_tenant(other, [account("theirs", tenant_id=other.id)], [], [])
    change = UserChange(
        user_id=TRADER, role="viewer", granted={AccountID("theirs"): Entitlement.READ}
    )
    with pytest.raises(StoreRefused, match="has no account theirs"):
        await store.directory.change(change, done(ActKind.CHANGE_USER))
    assert await store.directory.users() == before
    assert await store.audit.acts(TENANT, 10, 1 << 62) == []
