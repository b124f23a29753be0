"""A store in a real file, with two accounts of one tenant."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from persistence.account import Tenant
from persistence.directory import User
from persistence.opening import open_store
from persistence.store import SqlStore
from tests.persistence.samples import STOCK, TENANT, StoppedClock, account, limits
from trading.ids import AccountID, UserID
from trading.instrument import Catalogue
from trading.permission import Entitlement
from trading.ports import Environment


async def opened(directory: Path, clock: StoppedClock | None = None) -> SqlStore:
    """Open the store of a directory as every test does that does not care how."""
    return await open_store(
        directory,
        environment=Environment.SIM,
        catalogue=Catalogue([STOCK]),
        clock=clock or StoppedClock(),
        version="0.1.0",
    )


async def populate(store: SqlStore) -> None:
    """Add a tenant with the accounts `a` and `b`, and one user who may trade the first."""
    trader = User(
        id=UserID("trader"),
        tenant_id=TENANT,
        name="Trader",
        role="trader",
        accounts={AccountID("a"): Entitlement.TRADE},
    )
    await store.accounts.add_tenant(
        Tenant(id=TENANT, name="Tenant"),
        [(account(each), limits(each, MAX_ORDER_QTY=5)) for each in ("a", "b")],
        [trader],
    )


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock()


@pytest.fixture
async def store(tmp_path: Path, clock: StoppedClock) -> AsyncIterator[SqlStore]:
    store = await opened(tmp_path / "data", clock)
    await populate(store)
    yield store
    await store.close()
