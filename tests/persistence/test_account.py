"""Tenants, users and accounts are added whole, or not at all; so is what a fresh store gets."""

from dataclasses import replace
from decimal import Decimal

import pytest

from persistence.account import Tenant
from persistence.directory import User
from persistence.errors import StoreRefused
from persistence.seed import seed, standard_limits
from persistence.store import SqlStore
from tests.persistence.samples import STOCK, TENANT, account, an_act, limits
from trading.ids import AccountID, TenantID, UserID
from trading.instrument import Catalogue, SecurityType
from trading.limits import LimitName, Limits, LimitSet
from trading.permission import Entitlement

TRADER = UserID("trader")


async def test_an_account_is_added_with_its_limits_and_users(store: SqlStore) -> None:
    c = account("c", cash=Decimal(5))
    await store.accounts.add(c, limits("c", MAX_ORDER_QTY=1), {TRADER: Entitlement.READ}, an_act())

    assert await store.reads.accounts([c.id]) == [c]
    assert len(await store.audit.acts(TENANT, 10, 1 << 62)) == 1
    known = await store.reads.limits(c.id)
    assert known is not None
    assert {each.name: each.value for each in known.applying(0)} == {LimitName.MAX_ORDER_QTY: 1}
    user = await store.directory.user(TRADER)
    assert user is not None
    assert user.accounts == {"a": Entitlement.TRADE, "c": Entitlement.READ}


@pytest.mark.parametrize(
    ("account_id", "tenant_id", "user_id", "message"),
    [
        ("a", TENANT, TRADER, "account a exists already"),
        ("c", TenantID("nobody"), TRADER, "its tenant nobody"),
        ("c", TENANT, UserID("stranger"), r"its users \(stranger\) does not"),
    ],
)
async def test_an_account_that_does_not_fit_is_refused_whole(
    store: SqlStore, account_id: str, tenant_id: TenantID, user_id: UserID, message: str
) -> None:
    new = account(account_id, tenant_id=tenant_id, broker="new")

    with pytest.raises(StoreRefused, match=message):
        await store.accounts.add(
            new, limits(account_id, MAX_ORDER_QTY=2), {user_id: Entitlement.TRADE}, an_act()
        )
    assert await store.audit.acts(TENANT, 10, 1 << 62) == []
    assert new not in await store.reads.accounts([new.id])


async def test_a_tenant_is_added_whole_or_not_at_all(store: SqlStore) -> None:
    other = Tenant(id=TenantID("other"), name="Other")
    taken = account("a", tenant_id=other.id)

    with pytest.raises(StoreRefused, match="tenant other, or one of its accounts"):
        await store.accounts.add_tenant(other, [taken], limits("a", MAX_ORDER_QTY=2), [])
    assert await store.accounts.tenants() == [Tenant(id=TENANT, name="Tenant")]


async def test_a_user_without_accounts_is_known(store: SqlStore) -> None:
    loner = User(id=UserID("loner"), tenant_id=TenantID("x"), name="L", role="viewer", accounts={})
    await store.accounts.add_tenant(Tenant(id=TenantID("x"), name="X"), [], [], [loner])

    assert await store.directory.user(loner.id) == loner
    assert [user.id for user in await store.directory.users()] == ["loner", "trader"]
    assert await store.directory.user(UserID("nobody")) is None


async def test_a_fresh_store_is_seeded_once(fresh: SqlStore) -> None:
    store = fresh
    await seed(store, "paper")
    await seed(store, "another")
    accounts = await store.reads.accounts([AccountID("equity"), AccountID("futures")])
    users = {user.id: user for user in await store.directory.users()}
    limits = [await store.reads.limits(each.id) for each in accounts]

    assert [(each.cash, each.currency, each.broker) for each in accounts] == [
        (Decimal(1_000_000), "USD", "paper"),
        (Decimal(250_000), "USD", "paper"),
    ]
    trading = {
        user.id for user in users.values() if set(user.accounts.values()) == {Entitlement.TRADE}
    }
    assert trading == {"trader", "partner"}
    assert users[UserID("risk_officer_2")].role == users[UserID("risk_officer")].role
    for each in limits:
        assert each is not None
        assert all(each.get(name, STOCK.id, at=0) is not None for name in LimitName)


def test_sizes_follow_the_kind_of_instrument() -> None:
    future = replace(STOCK, symbol="ESZ6", mic="XCME", security_type=SecurityType.FUTURE)
    known = LimitSet().then(1, "one", standard_limits(AccountID("x")))
    standard = Limits.of(account("x"), known, Catalogue([STOCK, future]))

    assert standard.get(LimitName.MAX_ORDER_QTY, future.id, at=0) == 50
    assert standard.get(LimitName.MAX_ORDER_QTY, STOCK.id, at=0) == 10_000
    assert standard.get(LimitName.PRICE_COLLAR, STOCK.id, at=0) is not None
